//! The app's update, from the line in its window to the release that was put in its place and begun.
//!
//! The app under test is no `AppImage`, since the tools that make one are not at hand: what it takes for the one that it runs from is
//! a file of a few bytes. The release is a script, signed with the test key in `update`, that begins the app under test again.
//! All between is real: the question, the download, the signature, the replacement, the end and the beginning.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use e2e::World;
use e2e::desktop::{APP, App, Desktop, SOON, until};
use release_server::{Asset, Fault, FaultKind, Release, Scenario, Server};
use serde_json::json;

/// The repository of the program.
const OWN: &str = "owner/name";
/// A version that is newer than any, and the one that the stand-in is signed for.
const VERSION: &str = "99.0.0";
/// What the app is before.
const OLD: &str = "the app of before";
/// Where the release's file comes from.
const FILE: &str = "/storage/asset/2";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("update")
        .join(name)
}

fn text_of(name: &str) -> String {
    fs::read_to_string(fixture(name)).unwrap().trim().to_owned()
}

/// A server with a release of the app, and the app in a home where it takes a file for its own.
struct Update {
    server: Server,
    world: World,
    /// The app's file, as the app and as the test find it.
    app_image: (PathBuf, PathBuf),
    /// Of the server, which reads its files as long as they are asked for.
    _files: tempfile::TempDir,
}

impl Update {
    /// A release that calls itself `version`, for the app of `world`, which has its file in the emulator's folder.
    fn new(mut world: World, version: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let list = files.path().join("latest.json");
        let server = Server::start(Scenario {
            repository: OWN.into(),
            releases: vec![Release {
                tag: format!("v{version}"),
                assets: [
                    (1, "latest.json", list.clone()),
                    (2, "app", fixture("app.sh")),
                ]
                .map(|(id, name, file)| Asset {
                    id,
                    name: name.into(),
                    file,
                    ..Asset::default()
                })
                .into(),
                ..Release::default()
            }],
            ..Scenario::default()
        })
        .unwrap();
        let target = format!("linux-{}", std::env::consts::ARCH);
        let url = format!("{}{OWN}/releases/download/v{version}/app", server.api());
        let content = json!({
            "version": version,
            "platforms": { target: { "url": url, "signature": text_of("app.sh.sig") } },
        });
        fs::write(&list, content.to_string()).unwrap();

        let inside = world.emulator_home.join("Stack Emulator.AppImage");
        let outside = world.seen(&inside);
        fs::create_dir_all(outside.parent().unwrap()).unwrap();
        fs::write(&outside, OLD).unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o755)).unwrap();
        let program = PathBuf::from(std::env::var_os(APP).unwrap());
        let program = program.canonicalize().unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        world.set("APPIMAGE", text(&inside));
        // Where the image is mounted: an app that is not in there is another one's child.
        world.set("APPDIR", text(program.parent().unwrap()));
        world.set(APP, text(&program));
        world.set("STACK_EMULATOR_GITHUB_API", server.api());
        world.set("STACK_EMULATOR_UPDATES", OWN);
        world.set("STACK_EMULATOR_TEST_UPDATE_KEY", text_of("test-key.pub"));
        Self {
            server,
            world,
            app_image: (inside, outside),
            _files: files,
        }
    }

    /// What is the app's file now.
    fn now(&self) -> String {
        fs::read_to_string(&self.app_image.1).unwrap()
    }

    /// Nothing was put in the app's place, and nothing was left beside it.
    #[track_caller]
    fn is_as_before(&self) {
        assert_eq!(self.now(), OLD);
        let folder = self.app_image.1.parent().unwrap();
        let names = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name());
        let left: Vec<_> = names
            .filter(|name| name.to_string_lossy().contains(".AppImage."))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// With `fault` in the download, the user is told by a text with `said` in it, and the app is what it was.
    #[track_caller]
    fn fails(&self, app: &App, button: &str, fault: Option<FaultKind>, said: &str) {
        let faults = fault.map(|kind| Fault::always(FILE, kind));
        self.server.set_faults(faults.into_iter().collect());
        app.page.click(button);
        app.page.wait_for_text("The app was not updated", SOON);
        app.page.wait_for_text(said, SOON);
        app.page
            .wait_for_text(&format!("Version {VERSION} was not installed."), SOON);
        self.is_as_before();
        app.page.shoot("update-failed");
        app.page.click("Dismiss");
        self.server.set_faults(vec![]);
    }
}

#[test]
fn a_signed_release_takes_the_app_s_place_and_the_emulator_runs_on() {
    let mut update = Update::new(World::installed(), VERSION);
    let desktop = Desktop::start(&mut update.world);
    update.world.start();
    let machine = update.world.qemu_processes();
    assert_eq!(machine.len(), 1);
    let app = desktop.launch(&update.world);
    app.page
        .wait_for_text(&format!("Version {VERSION} is available."), SOON);
    app.page.shoot("update-offered");
    let (install, again) = (
        format!("Install version {VERSION}"),
        format!("Try again to install version {VERSION}"),
    );

    // One byte differs; the connection breaks; the file ends too early.
    let corrupt = FaultKind::Corrupt { at: 3 };
    let signature = "not signed by those who made this app";
    update.fails(&app, &install, Some(corrupt), signature);
    let connection = "Check the connection";
    update.fails(&app, &again, Some(FaultKind::Cut { after: 20 }), connection);
    update.fails(&app, &again, Some(FaultKind::Shorter { by: 9 }), signature);

    // Nothing more comes, and the user does not want to wait.
    let stall = FaultKind::Stall { after: 100 };
    update.server.set_faults(vec![Fault::always(FILE, stall)]);
    app.page.click(&again);
    let share = 100 * 100 / fs::metadata(fixture("app.sh")).unwrap().len();
    let downloading = format!("Downloading version {VERSION}, {share} %");
    app.page.wait_for_text(&downloading, SOON);
    app.page.shoot("update-downloading");
    app.page.click("Cancel the download");
    app.page
        .wait_for_text(&format!("Version {VERSION} is available."), SOON);
    update.is_as_before();
    update.server.set_faults(vec![]);

    app.page.click(&install);
    app.page
        .wait_for_text(&format!("Version {VERSION} is installed."), SOON);
    app.page.shoot("update-ready");
    assert_eq!(update.now(), fs::read_to_string(fixture("app.sh")).unwrap());
    let mode = fs::metadata(&update.app_image.1).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o755);
    app.page.click_to_the_end("Restart app");
    app.wait_for_the_end(SOON);
    let begun = update.world.user_home().join("begun");
    until("the release that was installed", SOON, || {
        begun.exists().then_some(())
    });
    until("the window of the app that was begun", SOON, || {
        desktop.shows_window().then_some(())
    });
    assert_eq!(desktop.app_processes().len(), 1);
    assert_eq!(update.world.qemu_processes(), machine);
    let status = update.world.run(["status", "--json"]).ok().json();
    assert_eq!(status["state"], "running");
    drop((app, desktop));
    update.world.discard();
}

#[test]
fn a_full_disk_and_an_older_release_leave_the_app_as_it_is() {
    // What it is signed for is not what the list calls it.
    let world = World::without_image().copy_to_small_disk(16);
    let mut update = Update::new(world, "99.0.1");
    let desktop = Desktop::start(&mut update.world);
    let app = desktop.launch(&update.world);
    app.page.click("Later");
    app.page.click("Install version 99.0.1");
    app.page.wait_for_text("The app was not updated", SOON);
    app.page
        .wait_for_text("not signed by those who made this app", SOON);
    update.is_as_before();
    drop((app, desktop));

    let world = World::without_image().copy_to_small_disk(16);
    let mut update = Update::new(world, VERSION);
    let desktop = Desktop::start(&mut update.world);
    let app = desktop.launch(&update.world);
    app.page.click("Later");
    let install = format!("Install version {VERSION}");
    until("the offer", SOON, || app.page.button(&install).map(drop));
    let home = update.app_image.1.parent().unwrap();
    let mut filler = File::create(home.join("filler")).unwrap();
    while filler.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    update.fails(&app, &install, None, "Free some disk space");
    // Its room is free once nobody has it open.
    drop(filler);
    fs::remove_file(home.join("filler")).unwrap();
    app.page
        .click(&format!("Try again to install version {VERSION}"));
    app.page
        .wait_for_text(&format!("Version {VERSION} is installed."), SOON);
}

/// The variables of an `AppImage` are inherited by what it starts, and its file is not ours.
#[test]
fn an_app_that_another_app_image_has_started_replaces_nothing() {
    let mut update = Update::new(World::without_image(), VERSION);
    let elsewhere = tempfile::tempdir().unwrap();
    update
        .world
        .set("APPDIR", elsewhere.path().to_str().unwrap());
    let desktop = Desktop::start(&mut update.world);
    let app = desktop.launch(&update.world);
    app.page.click("Later");
    app.page
        .wait_for_text(&format!("Version {VERSION} is available."), SOON);
    let install = format!("Install version {VERSION}");
    assert!(app.page.button(&install).is_none());
    update.is_as_before();
}
