//! Takes what the documents show from a real run, for `cargo xtask pictures`: `pictures LIGHT.png DARK.png`.
//!
//! The two files get the app's Status page while the emulator is running. Standard output gets a terminal session as
//! JSON, `[{"typed": …, "printed": …}]`, with the styles of a terminal in what was printed.

#![allow(
    clippy::expect_used,
    reason = "what is not as expected ends the run, as in the tests"
)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::World;
use e2e::desktop::{Desktop, SOON};

/// Limit for a start; a busy machine without hardware virtualization is no failure.
const START_LIMIT: Duration = Duration::from_secs(240);
/// What is typed into the terminal.
const TYPED: [&str; 4] = ["start", "status", "stop", "start"];

fn main() {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [light, dark] = files.as_slice() else {
        panic!("usage: pictures LIGHT.png DARK.png");
    };
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    // The first stop after a capture reads the whole memory file, once; shown is what happens every day.
    world.start();
    use_a_project(&world);
    world.stop();
    world.run(["reset", "--yes"]).ok();

    photograph_app(&world, &desktop, light, dark);
    world.discard();

    let home = world.emulator_home.display().to_string();
    let session: Vec<_> = TYPED
        .iter()
        .map(|command| {
            let run = world.run(["--color", "always", command]).ok();
            // Where it is by default.
            let printed = run.stdout.replace(&home, "~/.stack/emulator");
            serde_json::json!({ "typed": format!("stack-emulator {command}"), "printed": printed })
        })
        .collect();
    world.discard();
    println!("{}", serde_json::Value::from(session));
}

/// Has the app know a project, as after `stack-emulator credentials`.
fn use_a_project(world: &World) {
    let file = world.user_home().join("code/shop/stack.config.ts");
    let folder = file.parent().expect("it is in a folder");
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(&file, "export const config = {};\n").expect("a config file");
    let asked = ["credentials", "--format", "next", "--config-file"].map(OsStr::new);
    world.run(asked.into_iter().chain([file.as_os_str()])).ok();
}

/// Starts the emulator from the app, and takes a picture of its window in each color scheme.
fn photograph_app(world: &World, desktop: &Desktop, light: &Path, dark: &Path) {
    let app = desktop.launch(world);
    app.page.wait_for_heading("Stopped", SOON);
    app.page.click("Start");
    app.page.wait_for_heading("Running", START_LIMIT);
    // The last that is known of a start is how soon its services answer.
    app.page.wait_for("//li//span[contains(., ' ms')]", SOON);
    // The pointer is still where Start was, and the button that is there now looks pointed at.
    app.page.go("Status");
    app.page.wait_for_stillness(SOON);
    desktop.photograph(light);
    desktop.portal.set_dark(true);
    app.page.wait_for_dark(true, SOON);
    app.page.wait_for_stillness(SOON);
    desktop.photograph(dark);
}
