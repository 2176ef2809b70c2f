//! The desktop app from day to day: its icon, window, notifications and clipboard, beside the command line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use e2e::desktop::{Desktop, SOON, Tray, until};
use e2e::leaks::nowhere;
use e2e::{PLACEHOLDER_PCK, World, port, try_client_key};

/// Limit for a start or a stop; a busy machine without hardware virtualisation is no failure.
const A_WHILE: Duration = Duration::from_secs(240);
const NAMES: [&str; 4] = ["pck", "ssk", "sak", "cron"];

/// An app's folder with a config file that the emulator knows of, since its credentials were asked for.
fn project(world: &World) -> PathBuf {
    let file = world.user_home().join("code/my-app/stack.config.ts");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "export const config = {};\n").unwrap();
    let file_argument = file.to_str().unwrap();
    let asked = ["credentials", "--json", "--config-file", file_argument];
    world.run(asked).ok();
    file
}

fn values(world: &World) -> Vec<String> {
    NAMES.iter().map(|name| world.secret(name)).collect()
}

fn state(world: &World) -> String {
    // Its exit code says as much, but not as clearly.
    let status = world.run(["status", "--json"]).json();
    status["state"].as_str().unwrap().to_owned()
}

/// Waits until the menu offers `label`, which says what the app takes the state for.
#[track_caller]
fn offers(tray: &Tray, label: &str, limit: Duration) {
    let what = format!("the enabled item {label:?}");
    tray.wait_for(&what, limit, |item| item.label == label && item.enabled);
}

#[test]
fn the_tray_starts_and_stops_and_says_what_is() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let mut app = desktop.launch_alone(&world, &["--hidden"]);
    let tray = desktop.tray();
    offers(tray, "Start", SOON);
    assert!(!desktop.shows_window(), "it was launched hidden");
    tray.wait_for_drawing("stopped-light", SOON);
    assert_eq!(tray.icon().title, "Stack Emulator");

    tray.click("Start");
    tray.wait_for_drawing("busy-light", SOON);
    desktop
        .notifications
        .wait_for("being ready", A_WHILE, |one| {
            one.summary == "The emulator is ready"
        });
    offers(tray, "Stop", SOON);
    assert_eq!(state(&world), "running");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    tray.wait_for("the state with its start", SOON, |item| {
        item.label.starts_with("Running since ") && !item.enabled
    });
    tray.wait_for_drawing("running-light", SOON);

    // The keychain of this session holds the values, and nothing else does.
    let values = values(&world);
    assert_eq!(try_client_key(&values[0]), 200);
    let mut kept = desktop.keychain.entries();
    assert_eq!(kept.len(), 4);
    kept.retain(|entry| !values.contains(&entry.value));
    assert_eq!(kept, []);
    nowhere(world.user_home(), &values);

    tray.click("Stop");
    offers(tray, "Start", A_WHILE);
    assert_eq!(state(&world), "stopped");
    assert!(world.qemu_processes().is_empty());
    assert_eq!(app.try_wait().unwrap(), None, "the app goes on");
}

#[test]
fn the_tray_and_the_page_follow_the_command_line() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let app = desktop.launch(&world);
    app.page.wait_for_heading("Stopped", SOON);
    world.start();
    offers(desktop.tray(), "Stop", SOON);
    app.page.wait_for_heading("Running", SOON);
    app.page.shoot("running");
    world.stop();
    offers(desktop.tray(), "Start", SOON);
    app.page.wait_for_heading("Stopped", SOON);
    assert_eq!(
        desktop.notifications.all(),
        [],
        "what the user did in a terminal is no news"
    );

    // What is set there holds here as well: on the page, and for a start from the tray.
    world.discard();
    world.run(["settings", "set", "no-rotation", "true"]).ok();
    app.page.go("Settings");
    app.page
        .wait_for_text("Off: the secrets in use are public.", SOON);
    desktop.tray().click("Start");
    offers(desktop.tray(), "Stop", A_WHILE);
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 200);
    world.discard();
    world.run(["settings", "unset", "no-rotation"]).ok();
    app.page.wait_for_text("Rotates the image’s secrets", SOON);
    desktop.tray().click("Start");
    offers(desktop.tray(), "Stop", A_WHILE);
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    world.discard();
}

#[test]
fn credentials_are_copied_from_the_tray_and_from_the_page() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    world.start();
    let file = project(&world);
    let app = desktop.launch(&world);
    app.page.wait_for_heading("Running", SOON);
    let file_argument = file.to_str().unwrap();
    let form = |format: &str| {
        let shown = [
            "credentials",
            "--format",
            format,
            "--config-file",
            file_argument,
        ];
        world.run(shown).ok().stdout
    };

    // The first of the submenu is the project and format of the last time.
    let tray = desktop.tray();
    let submenu = tray.wait_for("recent projects", SOON, |item| {
        item.label == "Copy credentials" && item.children.iter().any(|child| child.enabled)
    });
    let last = &submenu.children[0];
    assert!(last.label.starts_with("my-app"), "{submenu:#?}");
    tray.click(&last.label);
    let copied = until("variables on the clipboard", SOON, || {
        Some(desktop.clipboard()).filter(|text| text.contains("STACK_PROJECT_ID"))
    });
    assert_eq!(copied.trim(), form("dotenv").trim());

    app.page.go("Credentials");
    app.page.wait_for_heading("Credentials", SOON);
    app.page.wait_for_text("Variables of my-app", SOON);
    app.page.choose("Next.js");
    app.page.click("Copy credentials");
    app.page.wait_for_text("The clipboard is cleared in", SOON);
    assert_eq!(desktop.clipboard().trim(), form("next").trim());
    app.page.shoot("credentials");

    // Secrets stay with Rust until somebody asks to see one.
    let project_secret = copied
        .lines()
        .find_map(|line| line.strip_prefix("STACK_SECRET_SERVER_KEY="))
        .unwrap()
        .trim_matches(['\'', '"'])
        .to_owned();
    let instance = values(&world);
    for page in ["Status", "Images", "Credentials", "Logs", "Settings"] {
        app.page.go(page);
        app.page.wait_for(
            &format!("//a[@aria-current='page'][contains(., '{page}')]"),
            SOON,
        );
        let source = app.page.source();
        assert!(!source.contains(&project_secret), "on {page}");
        for value in &instance {
            assert!(!source.contains(value), "on {page}");
        }
    }
    app.page.go("Credentials");
    app.page.wait_for_text("Variables of my-app", SOON);
    app.page.click("Show Secret server key");
    app.page.wait_for_text(&project_secret, SOON);
    world.discard();

    // It was copied to be pasted now; later there is nothing to find.
    until("a cleared clipboard", A_WHILE, || {
        desktop.clipboard().is_empty().then_some(())
    });
}

#[test]
fn a_port_that_is_taken_is_shown_with_its_remedy() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let app = desktop.launch(&world);
    app.page.wait_for_heading("Stopped", SOON);
    let taken = TcpListener::bind(("127.0.0.1", port("backend"))).unwrap();
    // From the tray, as somebody would who does not look at the window.
    desktop.tray().click("Start");
    desktop.tray().wait_for_drawing("failed-light", SOON);
    // The window shows it, so there is no notification of it.
    app.page
        .wait_for_text("A port is in use by another program", SOON);
    app.page.wait_for_text("port_taken", SOON);
    app.page.shoot("port-taken");
    app.page.click("Change the ports");
    app.page.wait_for_heading("Settings", SOON);

    drop(taken);
    app.page.go("Status");
    app.page.click("Start");
    app.page.wait_for_heading("Running", A_WHILE);
    world.discard();
}

#[test]
fn a_second_launch_and_a_notification_show_the_window() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let mut first = desktop.launch_alone(&world, &["--hidden"]);
    offers(desktop.tray(), "Start", SOON);
    assert!(!desktop.shows_window());
    let second = desktop.launch_alone(&world, &[]).wait().unwrap();
    assert!(second.success());
    until("the window", SOON, || desktop.shows_window().then_some(()));
    assert_eq!(desktop.app_processes(), [first.id()]);
    first.kill().unwrap();
    first.wait().unwrap();

    // Whatever the first one held so that there is one only, its death gave back.
    desktop.tray().forget();
    let mut third = desktop.launch_alone(&world, &["--hidden"]);
    let _taken = TcpListener::bind(("127.0.0.1", port("backend"))).unwrap();
    desktop.tray().click("Start");
    let told = desktop
        .notifications
        .wait_for("the failure", A_WHILE, |one| {
            one.summary.contains("could not be started")
        });
    assert!(told.body.contains(&port("backend").to_string()), "{told:?}");
    assert!(!desktop.shows_window());
    let (action, _) = &told.actions[0];
    desktop.notifications.invoke(&told, action);
    until("the window", SOON, || desktop.shows_window().then_some(()));
    assert_eq!(third.try_wait().unwrap(), None);
}

#[test]
fn quitting_asks_what_becomes_of_a_running_emulator() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    world.start();
    for (answer, after) in [
        ("Quit and leave it running", "running"),
        ("Stop it and quit", "stopped"),
    ] {
        desktop.tray().forget();
        let app = desktop.launch(&world);
        app.page.wait_for_heading("Running", SOON);
        desktop.tray().click("Quit");
        app.page.wait_for_text("Quit Stack Emulator?", SOON);
        app.page.click_to_the_end(answer);
        app.wait_for_the_end(A_WHILE);
        assert_eq!(state(&world), after);
    }
    // Asked before there was a page to ask, or a look at the state: in the tray of an app that has just begun.
    world.start();
    desktop.tray().forget();
    let app = std::thread::scope(|scope| {
        let launch = scope.spawn(|| desktop.launch_with(&world, &["--hidden"]));
        desktop.tray().click("Quit");
        launch.join().unwrap()
    });
    app.page.wait_for_text("Quit Stack Emulator?", SOON);
    until("the window", SOON, || desktop.shows_window().then_some(()));
    app.page.shoot("quit");
    // Who does not want to is asked again the next time; who is not answered need not wait.
    app.page.click("Cancel");
    until("no question", SOON, || {
        app.page.find("//dialog").is_none().then_some(())
    });
    desktop.tray().click("Quit");
    app.page.wait_for_text("Quit Stack Emulator?", SOON);
    desktop.tray().click("Quit");
    app.wait_for_the_end(SOON);
    assert_eq!(state(&world), "running");
    world.stop();
    // With nothing to ask about, it just ends.
    desktop.tray().forget();
    let mut app = desktop.launch_alone(&world, &["--hidden"]);
    offers(desktop.tray(), "Start", SOON);
    desktop.tray().click("Quit");
    assert!(app.wait().unwrap().success());
}

#[test]
fn without_a_tray_the_window_opens_and_says_so() {
    let mut world = World::installed();
    let desktop = Desktop::without_tray(&mut world);
    let app = desktop.launch(&world);
    app.page
        .wait_for_text("This desktop does not show tray icons", SOON);
    app.page.shoot("without-tray");
    drop(app);
    // Settings that cannot be read are no reason not to open; the page says what is wrong with them.
    world.run(["settings", "set", "ahead", "off"]).ok();
    let settings = world.emulator_home.join("settings.json");
    let kept = fs::read(&settings).unwrap();
    fs::write(&settings, "{").unwrap();
    let app = desktop.launch(&world);
    app.page
        .wait_for_text("The emulator’s state cannot be read", SOON);
    app.page.wait_for_text("settings.json", SOON);
    app.page.shoot("unreadable-settings");
    let mended = settings.with_extension("mended");
    fs::write(&mended, kept).unwrap();
    fs::rename(mended, &settings).unwrap();
    until("a page without a failure", SOON, || {
        app.page.find("//*[@role='alert']").is_none().then_some(())
    });
    drop(app);
    let mut app = desktop.launch_alone(&world, &["--hidden"]);
    until("the window", SOON, || desktop.shows_window().then_some(()));
    app.kill().unwrap();
    app.wait().unwrap();
}
