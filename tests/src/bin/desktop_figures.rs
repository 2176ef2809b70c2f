//! Measures the desktop app in a session of its own, for `cargo xtask bench`: one JSON object with
//!
//! - `usable_ms`: from asking for the launch until the page says how the emulator is, the `WebDriver`'s own work
//!   included;
//! - `idle_cpu_percent`: of one core, by the app and the web view's processes, hidden, over a minute;
//! - `resident_bytes`: of the app's own process, hidden, after that minute.

use std::thread::sleep;
use std::time::Duration;

use e2e::World;
use e2e::desktop::{Desktop, SOON};

/// What happens at a launch is over by then; it is not what is measured.
const SETTLING: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let app = desktop.launch(&world);
    app.page.wait_for_heading("Stopped", SOON);
    let usable = app.begun.elapsed();
    drop(app);

    desktop.tray().forget();
    let mut app = desktop.launch_alone(&world, &["--hidden"]);
    desktop
        .tray()
        .wait_for("the item Start", SOON, |item| item.label == "Start");
    sleep(SETTLING);
    let before = desktop.cpu_seconds();
    sleep(MINUTE);
    let busy = desktop.cpu_seconds() - before;
    let figures = serde_json::json!({
        "usable_ms": usable.as_secs_f64() * 1e3,
        "idle_cpu_percent": busy / MINUTE.as_secs_f64() * 100.0,
        "resident_bytes": e2e::desktop::resident_bytes(app.id()),
    });
    println!("{figures}");
    // It has nothing to finish; the session's end would kill it as well.
    app.kill().ok();
    app.wait().ok();
}
