//! Measures the desktop app in a session of its own, for `cargo xtask bench`: one JSON object with
//!
//! - `usable_ms`: from asking for the launch until the page says how the emulator is, the `WebDriver`'s own work
//!   included;
//! - `idle_cpu_percent`: of one core, by the app and the web view's processes, hidden, over a minute;
//! - `idle_cpu_by_process`: the same, for each program's name;
//! - `resident_bytes`: of the app's own process, hidden, after that minute.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use e2e::World;
use e2e::desktop::{Desktop, SOON, cpu_seconds};

/// What happens at a launch is over by then, the web view's tidying of its memory and threads included; it is not
/// what is measured.
const SETTLING: Duration = Duration::from_secs(40);
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
    let before = cpu_seconds(app.id());
    sleep(MINUTE);
    let percent = |seconds: f64| seconds / MINUTE.as_secs_f64() * 100.0;
    let by_process: BTreeMap<_, _> = cpu_seconds(app.id())
        .into_iter()
        .map(|(name, after)| {
            let busy = after - before.get(&name).copied().unwrap_or_default();
            (name, percent(busy))
        })
        .collect();
    let figures = serde_json::json!({
        "usable_ms": usable.as_secs_f64() * 1e3,
        "idle_cpu_percent": by_process.values().sum::<f64>(),
        "idle_cpu_by_process": by_process,
        "resident_bytes": e2e::desktop::resident_bytes(app.id()),
    });
    println!("{figures}");
    // It has nothing to finish; the session's end would kill it as well.
    app.kill().ok();
    app.wait().ok();
}
