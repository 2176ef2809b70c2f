//! The desktop app for the first time: from nothing to a running emulator by its wizard, also when it is killed
//! on the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::desktop::releases::{DISK, RELEASE, publish};
use e2e::desktop::{App, Desktop, SOON, until};
use e2e::{PLACEHOLDER_PCK, World, image, try_client_key};
use release_server::{Fault, FaultKind, Recorded, Server};

/// Limit for a boot and a capture; a busy machine without hardware virtualisation is no failure.
const LONG: Duration = Duration::from_secs(400);

/// A home in which nothing ever was, and a server that has one release.
fn nothing_yet() -> (World, Server) {
    let mut world = World::without_image();
    let server = publish(&mut world);
    (world, server)
}

/// From the wizard's first step to the choice of an image.
fn pass_the_checks(app: &App) {
    app.page.wait_for_heading("Welcome to Stack Emulator", SOON);
    app.page
        .wait_for_text("This computer can run the emulator.", LONG);
    app.page.shoot("welcome-checks");
    app.page.click("Continue");
    app.page.wait_for_heading("Choose an image", SOON);
}

fn bytes_on_the_way(world: &World) -> u64 {
    let incoming = fs::read_dir(world.emulator_home.join("images/incoming"));
    let files = incoming.into_iter().flatten().flatten();
    let lengths = files.filter_map(|entry| folder_length(&entry.path()));
    lengths.sum()
}

/// Bytes of a file, or of the files right in a folder.
fn folder_length(path: &Path) -> Option<u64> {
    let meta = fs::metadata(path).ok()?;
    if meta.is_file() {
        return Some(meta.len());
    }
    let entries = fs::read_dir(path).ok()?.flatten();
    Some(
        entries
            .filter_map(|entry| entry.metadata().ok())
            .map(|meta| meta.len())
            .sum(),
    )
}

fn downloads(server: &Server) -> Vec<Recorded> {
    let mut requests = server.requests();
    requests.retain(|request| request.path.contains(DISK) && matches!(request.status, 200 | 206));
    requests
}

#[test]
fn the_wizard_leads_from_an_empty_home_to_a_running_emulator() {
    let (mut world, server) = nothing_yet();
    let desktop = Desktop::start(&mut world);
    let app = desktop.launch(&world);
    assert!(desktop.shows_window(), "the first launch shows the window");
    pass_the_checks(&app);
    app.page.shoot("welcome-image");
    // Slow enough to be looked at.
    let slow = FaultKind::Slow { rate: 8_000_000 };
    server.set_faults(vec![Fault::always(DISK, slow)]);
    app.page.click(&format!("Set up {RELEASE}"));
    app.page.wait_for_heading("Setting up", SOON);
    app.page.wait_for_text("MB/s", SOON);
    app.page.shoot("welcome-download");
    // It can be paused, and goes on.
    app.page.click("Pause");
    app.page.wait_for_heading("Paused", SOON);
    server.set_faults(vec![]);
    app.page.click("Continue");
    app.page.wait_for_heading("The emulator is running", LONG);
    app.page.shoot("welcome-ready");

    let status = world.run(["status", "--json"]).ok().json();
    assert_eq!(status["state"], "running", "{status}");
    assert_eq!(status["start"]["kind"], "resumed", "{status}");
    assert_eq!(status["secret_store"], "keychain", "{status}");
    assert_eq!(desktop.keychain.entries().len(), 4);
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    let stop = |item: &e2e::desktop::MenuItem| item.label == "Stop" && item.enabled;
    desktop.tray().wait_for("the item Stop", SOON, stop);
    let sent: u64 = downloads(&server).iter().map(|request| request.sent).sum();
    let length = fs::metadata(image()).unwrap().len();
    // What was on its way in a socket when it was paused is sent again.
    assert!(sent < length + length / 4, "{sent} of {length}");

    app.page.click("Done");
    app.page.wait_for_heading("Running", SOON);
    drop(app);
    let again = desktop.launch(&world);
    again.page.wait_for_heading("Running", SOON);
    world.discard();
}

#[test]
fn what_the_command_line_has_set_up_opens_on_its_status() {
    let mut world = World::without_image();
    let desktop = Desktop::start(&mut world);
    // As `cargo xtask up --desktop` does.
    let image = image();
    let pull = ["pull", "--skip-snapshot", "--json", "--file"].map(OsStr::new);
    world.run(pull.into_iter().chain([image.as_os_str()])).ok();
    let app = desktop.launch(&world);
    assert!(desktop.shows_window());
    app.page.wait_for_heading("Stopped", SOON);
    app.page.shoot("set-up-by-the-command-line");
    // The wizard has no links to other pages.
    app.page.go("Images");
    app.page.go("Status");
    app.page.wait_for_heading("Stopped", SOON);
    assert!(app.page.button("Start").is_some());
}

#[test]
fn killed_in_a_pull_a_capture_and_a_start_the_next_launch_carries_on() {
    let (mut world, server) = nothing_yet();
    let desktop = Desktop::start(&mut world);
    let length = fs::metadata(image()).unwrap().len();

    let app = desktop.launch(&world);
    pass_the_checks(&app);
    // The rest of it would take minutes.
    let slow = FaultKind::Slow { rate: 5_000_000 };
    server.set_faults(vec![Fault::always(DISK, slow)]);
    app.page.click(&format!("Set up {RELEASE}"));
    until("a part of the image", LONG, || {
        (bytes_on_the_way(&world) > 12_000_000).then_some(())
    });
    app.kill();
    let here = bytes_on_the_way(&world);

    desktop.tray().forget();
    let app = desktop.launch(&world);
    server.set_faults(vec![]);
    server.forget_requests();
    pass_the_checks(&app);
    app.page.wait_for_text("stopped at", SOON);
    app.page.shoot("welcome-continue");
    app.page.click("Continue");
    // What a capture leaves while it is at work, and nobody else.
    let capturing = world.instance().join("snapshots/.capturing");
    until("a capture with its machine", LONG, || {
        (capturing.exists() && !world.qemu_processes().is_empty()).then_some(())
    });
    let resumed = downloads(&server);
    assert!(resumed[0].range_start() > 12_000_000 / 2, "{resumed:?}");
    let sent: u64 = resumed.iter().map(|request| request.sent).sum();
    assert!(
        sent <= length - here / 2,
        "{sent} of {length}, {here} were here"
    );
    app.kill();

    desktop.tray().forget();
    let app = desktop.launch(&world);
    server.forget_requests();
    // The image is here; the wizard goes on with what is left.
    pass_the_checks(&app);
    app.page.click("Continue");
    app.page.wait_for_heading("The emulator is running", LONG);
    assert!(downloads(&server).is_empty(), "it is not fetched again");
    assert_eq!(world.qemu_processes().len(), 1);
    app.page.click("Done");
    app.page.wait_for_heading("Running", SOON);
    app.page.click("Stop");
    app.page.wait_for_heading("Stopped", LONG);

    app.page.click("Start");
    until("a machine on its way", LONG, || {
        (!world.qemu_processes().is_empty()).then_some(())
    });
    app.kill();
    desktop.tray().forget();
    let app = desktop.launch(&world);
    // It was killed in the middle or, on a quick machine, at the very end.
    until("the app to see what is", SOON, || {
        ["Interrupted", "Stopped", "Running"]
            .contains(&app.page.heading().as_str())
            .then_some(())
    });
    if app.page.heading() != "Running" {
        app.page.click("Start");
    }
    app.page.wait_for_heading("Running", LONG);
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    assert_eq!(world.qemu_processes().len(), 1);
    world.discard();
}
