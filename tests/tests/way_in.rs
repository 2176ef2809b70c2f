//! The whole way in, as somebody goes it who has no checkout, from one local release server: the installer, the image that its
//! program offers, an app's credentials; and the way out, which leaves nothing but the user's data.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use e2e::app::App;
use e2e::desktop::{SOON, until};
use e2e::releases::{file_name, release, released, succeeds, version};
use e2e::{PLACEHOLDER_PCK, Run, World, image, try_client_key};
use release_server::{Asset, Release, Scenario, Server};
use serde_json::Value;

/// The repository of program and starter.
const OWN: &str = "owner/name";

/// What `cargo xtask release` publishes: a version of the program, and an image with what belongs to it.
fn serve(folder: &Path) -> Server {
    let disk = image();
    let settings = folder.join(file_name(&disk.with_extension("base.env")));
    fs::write(
        &settings,
        "# The starter image needs no development settings.\n",
    )
    .unwrap();
    let files = [disk.clone(), disk.with_extension("json"), settings];
    let asset = |(id, file): (u64, PathBuf)| Asset {
        id,
        name: file_name(&file),
        file,
        ..Asset::default()
    };
    let images = Release {
        tag: "emulator-dev-latest".into(),
        prerelease: true,
        published_at: "2026-11-20T08:00:00Z".into(),
        target: "4b825dc642cb6eb9a060e54bf8d69288fbee4904".into(),
        assets: (1..).zip(files).map(asset).collect(),
        ..Release::default()
    };
    let programs = released(&release(), &format!("v{}", version()), 100);
    Server::start(Scenario {
        repository: OWN.into(),
        releases: vec![images, programs],
        ..Scenario::default()
    })
    .unwrap()
}

/// Somebody with an empty home, who has the installer.
struct Somebody {
    world: World,
    server: Server,
    /// Of the server, which reads its files as long as they are asked for.
    _files: tempfile::TempDir,
}

impl Somebody {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let server = serve(files.path());
        let mut world = World::without_image();
        // Where everybody has it.
        world.emulator_home = world.user_home().join(".stack/emulator");
        world.unset("STACK_EMULATOR_HOME");
        let temporary = world.user_home().join("tmp");
        fs::create_dir(&temporary).unwrap();
        world.set("TMPDIR", temporary.to_str().unwrap());
        world.set("STACK_EMULATOR_GITHUB_API", server.api());
        // As a program of a release knows it.
        world.set("STACK_EMULATOR_UPDATES", OWN);
        world.set(
            "STACK_EMULATOR_DOWNLOADS",
            format!("{}{OWN}/releases", server.api()),
        );
        Self {
            world,
            server,
            _files: files,
        }
    }

    fn installer(&self, arguments: &[&str]) -> String {
        let mut command = self.world.as_here("sh");
        succeeds(command.arg(release().join("install.sh")).args(arguments))
    }

    /// The program that was installed.
    fn program(&self) -> PathBuf {
        self.world.user_home().join(".local/bin/stack-emulator")
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.world.as_here(self.program());
        command.args(arguments);
        command
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let begun = Instant::now();
        let output = self.command(arguments).output().unwrap();
        Run::new(&output, begun.elapsed())
    }

    #[track_caller]
    fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        self.run(arguments).ok().json()
    }

    /// What is in the home, sorted.
    fn home(&self) -> Vec<String> {
        let entries = fs::read_dir(self.world.user_home()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| file_name(&entry.unwrap().path()))
            .collect();
        names.sort();
        names
    }

    /// Nothing runs, and the home has what the user has put there, and the data.
    #[track_caller]
    fn is_gone_but_for_the_data(&self) {
        until("an end of all processes", SOON, || {
            self.world.processes().is_empty().then_some(())
        });
        assert_eq!(self.home(), [".stack", "app", "tmp"]);
        let temporary = fs::read_dir(self.world.user_home().join("tmp")).unwrap();
        assert_eq!(temporary.count(), 0, "temporary files are left");
    }
}

#[test]
fn from_an_empty_home_to_an_app_s_credentials_and_out_again() {
    let somebody = Somebody::new();
    somebody.installer(&[]);

    // What the program says to do next is done word for word.
    let refused = somebody.run(["pull", "--json"]).fails_with(1).json();
    let hint = refused["error"]["hint"].as_str().expect("a hint");
    let command = hint.split('`').nth(1).expect("a command");
    let words: Vec<_> = command.split(' ').collect();
    assert_eq!(words, ["stack-emulator", "pull", "--repo", OWN]);
    let pulled = somebody.json(words[1..].iter().chain(&["--json"]));
    assert_eq!(pulled["image"]["verified"], "release", "{pulled}");
    assert_eq!(pulled["chosen"], true, "{pulled}");
    // The image is of the beginning of 2026. Nothing else is amiss, and that is said once.
    let warnings = pulled["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{pulled}");
    let age = warnings[0].as_str().unwrap();
    assert!(
        age.starts_with("The newest image of the branch dev is"),
        "{age}"
    );
    assert!(pulled["snapshot"]["snapshot"]["id"].is_string(), "{pulled}");
    assert!(
        somebody
            .server
            .requests()
            .iter()
            .all(|request| !request.path.contains("/contents/")),
        "the starter's settings come with it"
    );

    let started = somebody.json(["start", "--json"]);
    assert_eq!(started["start"]["kind"], "resumed", "{started}");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    let config_file = App::folder(&somebody.world, "export const config = {};\n");
    let words = ["credentials", "--json", "--config-file"].map(OsStr::new);
    let credentials = somebody.json(words.into_iter().chain([config_file.as_os_str()]));
    for field in ["project_id", "publishable_client_key", "secret_server_key"] {
        let value = credentials[field].as_str().unwrap_or_default();
        assert!(!value.is_empty(), "{field}: {credentials}");
    }
    // Without the program, nothing could stop the machine.
    let mut uninstall = somebody.world.as_here("sh");
    uninstall
        .arg(release().join("install.sh"))
        .arg("--uninstall");
    let said = e2e::releases::fails(&mut uninstall, 1);
    assert!(said.contains("stop it first"), "{said}");

    somebody.json(["stop", "--json"]);
    let said = somebody.installer(&["--uninstall"]);
    assert!(
        said.contains(".stack/emulator"),
        "it says where the data is: {said}"
    );
    somebody.is_gone_but_for_the_data();

    // Whoever comes back goes on where they were.
    somebody.installer(&[]);
    let continued = somebody.json(["start", "--json"]);
    assert_eq!(continued["start"]["kind"], "continued", "{continued}");
    somebody.json(["stop", "--discard", "--json"]);
    somebody.installer(&["--uninstall"]);
    somebody.is_gone_but_for_the_data();
}
