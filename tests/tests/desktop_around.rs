//! The desktop around the app: browser, file dialogs, dropped files, sleep, dark and light.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use e2e::desktop::releases::publish;
use e2e::desktop::{App, Desktop, SOON, until};
use e2e::mails;
use e2e::{World, port};

/// Every page of the window.
const PAGES: [&str; 6] = [
    "Status",
    "Images",
    "Credentials",
    "Mail",
    "Logs",
    "Settings",
];
/// Width and height of the smallest window.
const SMALLEST: (u32, u32) = (400, 700);
/// Limit for a start that may have to take a snapshot first.
const BOOT: Duration = Duration::from_secs(240);
/// The page while a file is over it.
const MARKED: &str = "//*[contains(@class, 'dragging')]";

/// A mail in the list, by its recipient.
fn mail_to(email: &str) -> String {
    format!("//li//button[contains(., '{email}')]")
}

/// A config file that the emulator does not know of.
fn config_file(world: &World) -> PathBuf {
    let file = world.user_home().join("code/my-app/stack.config.ts");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "export const config = {};\n").unwrap();
    file
}

#[test]
fn mails_appear_by_themselves_and_their_codes_are_copied() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let app = desktop.launch(&world);
    app.page.go("Mail");
    app.page.wait_for_text("The emulator is not running", SOON);
    world.start();
    app.page.wait_for_text("No mails yet", SOON);
    let project = mails::app(&world);
    let nonce = mails::ask_for_link(&project, "ada@example.com");
    app.page.wait_for(&mail_to("ada@example.com"), SOON);
    // With other secrets, the list goes on.
    world.run(["secrets", "rotate"]).ok();
    mails::ask_for_link(&project, "bob@example.com");
    app.page.wait_for(&mail_to("bob@example.com"), SOON);

    app.page.press(&mail_to("ada@example.com"));
    app.page.wait_for_text("Or type this code", SOON);
    let subject = app.page.wait_for("//article//h2", SOON).text();
    let code = subject.rsplit(' ').next().unwrap().to_owned();
    app.page.shoot("mail-open");
    app.page.click("Copy code");
    until("the code on the clipboard", SOON, || {
        (desktop.clipboard() == code).then_some(())
    });
    assert_eq!(mails::sign_in(&project, &code, &nonce)["is_new_user"], true);
    let emptied = mails::inbox(&project, reqwest::Method::DELETE, "/page/mails", "");
    assert_eq!(emptied.0, 200, "{}", emptied.1);
    app.page.wait_for_text("No mails yet", SOON);
    world.discard();
    app.page.wait_for_text("The emulator is not running", SOON);
}

#[test]
fn the_dashboard_and_the_services_open_in_the_browser() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let app = desktop.launch(&world);
    app.page.wait_for_heading("Stopped", SOON);
    world.start();
    app.page.wait_for_heading("Running", SOON);
    let status = world.run(["status", "--json"]).ok().json();
    let address = |id: &str| {
        let services = status["services"].as_array().unwrap();
        let service = services.iter().find(|service| service["id"] == id);
        service.unwrap()["url"].as_str().unwrap().to_owned()
    };
    let (dashboard, backend) = (address("dashboard"), address("backend"));
    assert!(
        dashboard.contains(&format!(":{}", port("dashboard"))),
        "{dashboard}"
    );
    assert!(
        backend.contains(&format!(":{}", port("backend"))),
        "{backend}"
    );

    // Arguments are for everybody to read: the browser is sent on to the link that signs in.
    desktop.tray().click("Open dashboard");
    signs_in_once(&desktop.browser.wait_for(1), &dashboard);
    keeps_to_itself_what_is_for_webkit(&app, &desktop);
    app.page.click("Open Dashboard in the browser");
    signs_in_once(&desktop.browser.wait_for(2), &dashboard);
    app.page.click("Open Backend in the browser");
    assert_eq!(
        desktop.browser.wait_for(3).trim_end_matches('/'),
        backend.trim_end_matches('/')
    );
    app.page.wait_for_heading("Running", SOON);
    assert_eq!(desktop.browser.opened().len(), 3);

    app.page.go("Mail");
    app.page.click("Open the inbox");
    let inbox = address("inbucket");
    assert_eq!(
        desktop.browser.wait_for(4).trim_end_matches('/'),
        inbox.trim_end_matches('/')
    );
    app.page.go("Status");

    world.discard();
    let disabled = |item: &e2e::desktop::MenuItem| item.label == "Open dashboard" && !item.enabled;
    desktop
        .tray()
        .wait_for("a dashboard that is not there", SOON, disabled);
}

/// The app has variables for the engine of its page, and the browser that it has started has none of them.
#[track_caller]
fn keeps_to_itself_what_is_for_webkit(app: &App, desktop: &Desktop) {
    let own = fs::read(format!("/proc/{}/environ", app.pid)).unwrap();
    let own = String::from_utf8_lossy(&own);
    let mut set = own
        .split('\0')
        .filter(|word| word.starts_with("WEBKIT_DISABLE_"));
    assert!(set.next().is_some(), "{own}");
    for prefix in ["WEBKIT_DISABLE_", "STACK_EMULATOR_DESKTOP"] {
        assert_eq!(desktop.browser.variables(prefix), Vec::<String>::new());
    }
    // What the session has set is the browser's, too: the driver of this test has set one for WebKit.
    assert_eq!(
        desktop.browser.variables("WEBKIT_INSPECTOR_SERVER").len(),
        1
    );
    assert_eq!(desktop.browser.variables("DISPLAY=").len(), 1);
}

/// What an address that a browser was given leads to: a link to the dashboard, which is there once.
#[track_caller]
fn signs_in_once(address: &str, dashboard: &str) {
    let link = e2e::led_to(address).expect("the address leads on");
    let start = format!("{}/handler/sign-in#code=", dashboard.trim_end_matches('/'));
    let code = link.strip_prefix(&start).expect(&link);
    assert!(!code.is_empty() && !address.contains(code), "{address}");
    assert_eq!(e2e::led_to(address), None, "it is there once");
}

/// What the app writes of itself.
fn log(world: &World) -> PathBuf {
    world.emulator_home.join("logs/app.log")
}

/// Waits until the app has noted something.
#[track_caller]
fn wait_for_log(world: &World, text: &str) {
    until(&format!("{text:?} in the app's log"), SOON, || {
        let log = fs::read_to_string(log(world)).ok()?;
        log.contains(text).then_some(())
    });
}

/// The guest's clock less the host's, in seconds.
fn guest_is_ahead(world: &World) -> i64 {
    let (code, text) = world.in_guest("/bin/date", &["+%s"]);
    assert_eq!(code, 0, "{text}");
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    text.trim().parse::<i64>().unwrap() - i64::try_from(now).unwrap()
}

#[test]
fn a_guest_that_slept_with_the_computer_gets_the_time_when_it_wakes() {
    const TWO_HOURS: i64 = 7200;
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    world.start();
    // A home that was used before has a log already.
    fs::remove_file(log(&world)).unwrap();
    let mut app = desktop.launch_alone(&world, &["--hidden"]);
    // A signal that nobody listens for yet is lost, and the bus does not say who listens.
    wait_for_log(&world, "told when this computer sleeps");
    desktop.login.sleep();
    // What a sleep of that length leaves behind.
    let (code, text) = world.in_guest("/bin/date", &["-s", "2 hours ago"]);
    assert_eq!(code, 0, "{text}");
    let ahead = guest_is_ahead(&world);
    assert!(ahead < -TWO_HOURS + 120, "nobody has set it yet: {ahead} s");
    desktop.login.wake();
    // The guest agent has one client at a time, so it is left alone until the app has used it.
    wait_for_log(&world, "the guest's clock was set");
    let ahead = guest_is_ahead(&world);
    assert!(ahead.abs() <= 5, "{ahead} s");
    assert_eq!(app.try_wait().unwrap(), None, "the app goes on");
    // The machine is as usable as before.
    assert_eq!(e2e::try_client_key(&world.secret("pck")), 200);
    world.discard();
}

/// Keeps a picture of every page, under names that begin with `name`.
fn shoot_all(app: &App, name: &str) {
    for page in PAGES {
        app.page.go(page);
        app.page.wait_for(
            &format!("//a[@aria-current='page'][contains(., '{page}')]"),
            SOON,
        );
        // A page shows skeletons until its data has arrived.
        until("the whole page", SOON, || {
            app.page
                .find("//*[contains(@class, 'skeleton')]")
                .is_none()
                .then_some(())
        });
        app.page.shoot(&format!("{name}-{}", page.to_lowercase()));
    }
}

#[test]
fn the_app_is_dark_when_the_desktop_is_and_follows_it() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let _releases = publish(&mut world);
    let file = config_file(&world);
    world.start();
    let file = file.to_str().unwrap();
    world
        .run(["credentials", "--json", "--config-file", file])
        .ok();

    desktop.portal.set_dark(true);
    let app = desktop.launch(&world);
    app.page.wait_for_heading("Running", SOON);
    app.page.wait_for_dark(true, SOON);
    desktop.tray().wait_for_drawing("running-dark", SOON);
    shoot_all(&app, "dark");

    // While it runs, too: the page, and the icon on its panel.
    desktop.portal.set_dark(false);
    app.page.wait_for_dark(false, SOON);
    desktop.tray().wait_for_drawing("running-light", SOON);
    shoot_all(&app, "light");
    desktop.portal.set_dark(true);
    app.page.wait_for_dark(true, SOON);
    desktop.tray().wait_for_drawing("running-dark", SOON);

    app.page.resize(SMALLEST);
    shoot_all(&app, "dark-narrow");
    desktop.portal.set_dark(false);
    app.page.wait_for_dark(false, SOON);
    shoot_all(&app, "narrow");
    world.discard();
}

#[test]
fn a_config_file_is_chosen_in_the_desktop_s_own_dialog() {
    const TITLE: &str = "Choose the project's config file";
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let file = config_file(&world);
    let app = desktop.launch(&world);
    app.page.wait_for_heading("Stopped", SOON);
    app.page.go("Credentials");
    app.page.click("Choose a config file…");
    let dialog = desktop.dialog(TITLE);
    app.page.shoot("file-dialog");
    dialog.press("Escape");
    dialog.wait_for_the_end(SOON);
    // Nothing was chosen, and nothing went wrong.
    assert!(app.page.button("Choose a config file…").is_some());
    assert!(app.page.find("//*[@role='alert']").is_none());
    let known = world.instance().join("projects.json");
    assert!(!known.exists(), "no project is remembered");

    app.page.click("Choose a config file…");
    let dialog = desktop.dialog(TITLE);
    dialog.choose(&file);
    dialog.wait_for_the_end(SOON);
    app.page.wait_for_text("Variables of my-app", SOON);
    app.page
        .wait_for_text("Start the emulator to get this project’s variables.", SOON);
    let known = fs::read_to_string(known).unwrap();
    assert!(known.contains(file.to_str().unwrap()), "{known}");
}

#[test]
fn a_config_file_is_dropped_on_the_window() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let file = config_file(&world);
    let app = desktop.launch(&world);
    app.page.wait_for_heading("Stopped", SOON);
    app.page.go("Credentials");
    app.page
        .wait_for_text("Choose your project’s config file", SOON);
    let drag = desktop.drag(&file);
    app.page.wait_for(MARKED, SOON);
    app.page.shoot("dragging");
    drag.leave();
    until("a page that is no longer marked", SOON, || {
        app.page.find(MARKED).is_none().then_some(())
    });
    let known = world.instance().join("projects.json");
    assert!(!known.exists(), "no project is remembered");

    desktop.drag(&file).release();
    app.page.wait_for_text("Variables of my-app", SOON);
    assert!(app.page.find(MARKED).is_none());
    let known = fs::read_to_string(known).unwrap();
    assert!(known.contains(file.to_str().unwrap()), "{known}");
}

#[test]
fn the_app_begins_and_ends_with_the_session() {
    let mut world = World::installed();
    let desktop = Desktop::start(&mut world);
    let app = desktop.launch(&world);
    app.page.wait_for_heading("Stopped", SOON);
    app.page.go("Settings");
    let autostart = world.user_home().join(".config/autostart");
    let entries = || {
        let files = fs::read_dir(&autostart).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        texts.collect::<Vec<_>>()
    };
    assert_eq!(entries(), [""; 0]);
    app.page.click("Open at login");
    let entry = until("the entry", SOON, || {
        entries().into_iter().find(|text| text.contains("Exec="))
    });
    let command = entry.lines().find_map(|line| line.strip_prefix("Exec="));
    let command = command.unwrap();
    assert!(command.contains("stack-emulator-desktop"), "{entry}");
    assert!(
        command.ends_with("--hidden"),
        "no window at a login: {entry}"
    );
    // The switch says what is, not what was asked for.
    let on =
        |label: &str| format!("//*[@role='switch'][@aria-label='{label}'][@aria-checked='true']");
    app.page.wait_for(&on("Open at login"), SOON);
    app.page.click("Open at login");
    until("no entry", SOON, || entries().is_empty().then_some(()));
    let start_too = "Start the emulator with the app";
    app.page.click(start_too);
    app.page.wait_for(&on(start_too), SOON);
    drop(app);

    desktop.tray().forget();
    let mut app = desktop.launch_alone(&world, &["--hidden"]);
    let running = |item: &e2e::desktop::MenuItem| item.label == "Stop" && item.enabled;
    desktop.tray().wait_for("the item Stop", BOOT, running);
    assert!(!desktop.shows_window());

    // At logout the session ends its programs, and there is nobody to answer a question.
    desktop.log_out();
    assert!(app.wait().unwrap().success());
    assert_eq!(
        world.qemu_processes().len(),
        1,
        "it goes on without the app"
    );
    world.discard();
}
