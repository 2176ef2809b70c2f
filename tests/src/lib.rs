//! End to end: the command line as a user runs it, real QEMU, a real guest.
//!
//! A [`World`] is a home folder of its own with its own ports. Capturing a
//! snapshot boots a guest, so it is done once and copied into each further world:
//! see [`template`].
//!
//! The image and the command line under test come from `cargo xtask test`, by
//! [`IMAGE`], [`SLOW_IMAGE`] and [`PROGRAM`]; a test without them fails and
//! says so.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    clippy::cast_possible_truncation,
    reason = "this is test code: what is not as expected fails the test"
)]

pub mod app;
pub mod campaign;
pub mod desktop;
pub mod keychain;
pub mod leaks;
pub mod mails;

pub mod guest;
mod moments;
mod processes;
pub mod qmp;
pub mod releases;
pub mod services;
mod small_disk;
mod sockets;
pub mod template;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use self::moments::Reached;
pub use self::services::port;
pub use self::small_disk::SmallDisk;

/// Names the starter image.
pub const IMAGE: &str = "STACK_EMULATOR_TEST_IMAGE";
/// Names an image whose rotation is a restart of some seconds.
pub const SLOW_IMAGE: &str = "STACK_EMULATOR_TEST_SLOW_IMAGE";
/// Names the image of the payload on Node, whose rotation is a reload.
pub const NODE_IMAGE: &str = "STACK_EMULATOR_TEST_NODE_IMAGE";
/// Names the command line under test.
pub const PROGRAM: &str = "STACK_EMULATOR_TEST_PROGRAM";

/// The publishable client key that is baked into every image.
pub const PLACEHOLDER_PCK: &str =
    "00000000000000000000000000000000ffffffffffffffffffffffffffffffff";

fn from_environment(name: &str) -> PathBuf {
    let value = std::env::var_os(name).unwrap_or_else(|| {
        panic!("{name} is not set: run these tests by `cargo xtask test`, or set it yourself")
    });
    let path = PathBuf::from(value);
    assert!(
        path.exists(),
        "{name} is {}, which is not there",
        path.display()
    );
    path
}

/// The starter image.
pub fn image() -> PathBuf {
    from_environment(IMAGE)
}

/// The image whose rotation is a restart.
pub fn slow_image() -> PathBuf {
    from_environment(SLOW_IMAGE)
}

/// The image of the payload on Node.
pub fn node_image() -> PathBuf {
    from_environment(NODE_IMAGE)
}

/// An emulator home of its own.
#[derive(Debug)]
pub struct World {
    home: tempfile::TempDir,
    /// Emulator home, below the temporary folder.
    pub emulator_home: PathBuf,
    /// What `--image` names; without one, the emulator has to find an image itself.
    image: Option<PathBuf>,
    /// On top of what every world has; without a value, the variable is taken out.
    variables: Vec<(String, Option<String>)>,
    disk: Option<SmallDisk>,
}

/// What a run of the command line gave.
#[derive(Debug)]
pub struct Run {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Run {
    /// What `output` says.
    pub fn new(output: &Output, took: Duration) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took,
        }
    }

    /// Fails the test unless the exit code is 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// The one JSON object on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{error}\nstdout: {}\nstderr: {}", self.stdout, self.stderr)
        })
    }

    /// The code of the JSON error on standard output.
    #[track_caller]
    pub fn error_code(&self) -> String {
        let json = self.json();
        json["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no error in {json}"))
            .to_owned()
    }
}

impl World {
    /// An empty home for the starter image.
    pub fn empty() -> Self {
        Self::with_image(image())
    }

    /// An empty home for `image`.
    pub fn with_image(image: PathBuf) -> Self {
        Self::at(image, "home")
    }

    /// An empty home, and no image for it.
    pub fn without_image() -> Self {
        Self::new(None, "home")
    }

    /// An empty home for `image` in a folder called `name`.
    pub fn at(image: PathBuf, name: &str) -> Self {
        Self::new(Some(image), name)
    }

    fn new(image: Option<PathBuf>, name: &str) -> Self {
        let home = tempfile::Builder::new()
            .prefix("emulator-test-")
            .tempdir()
            .expect("a temporary folder");
        let emulator_home = home.path().join(name);
        Self {
            home,
            emulator_home,
            image,
            variables: Vec::new(),
            disk: None,
        }
    }

    /// A copy of this home on a file system of its own with `free_mib` to spare.
    pub fn copy_to_small_disk(&self, free_mib: u64) -> Self {
        let mut copy = Self::new(self.image.clone(), "home");
        let used_mib = if self.emulator_home.exists() {
            small_disk::length_of(&self.emulator_home) >> 20
        } else {
            0
        };
        std::fs::create_dir(&copy.emulator_home).expect("a mount point");
        let disk = SmallDisk::mount(&copy.emulator_home, used_mib + free_mib);
        if used_mib > 0 {
            let mut inside = disk.command("cp");
            // Without holes: a file system in memory makes a page for each
            // hole that a mapping reads, and kills the reader if it cannot.
            inside.args(["-a", "--sparse=never"]);
            inside.arg(self.emulator_home.join("."));
            let status = inside.arg(&copy.emulator_home).status();
            assert!(status.expect("cp is there").success());
        }
        copy.disk = Some(disk);
        copy
    }

    /// The disk of [`Self::copy_to_small_disk`].
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("a world on a disk of its own")
    }

    /// A home with a snapshot of the starter image, captured once and copied.
    pub fn captured() -> Self {
        Self::captured_with(image(), "captured")
    }

    /// The same with a memory file of its own, for a test that damages it.
    pub fn captured_alone() -> Self {
        let captured = Self::captured();
        captured.copy()
    }

    /// The same with a snapshot of the image whose rotation is a restart.
    pub fn captured_slow() -> Self {
        Self::captured_with(slow_image(), "captured-slow")
    }

    fn captured_with(image: PathBuf, template: &str) -> Self {
        let folder = template::ensure(template, || {
            let world = Self::with_image(image.clone());
            world.run(["capture", "--json"]).ok();
            world
        });
        Self::linked_to(&folder, Some(image))
    }

    /// A home in which the desktop app was used before, once for all such worlds: the starter image is installed,
    /// chosen and captured, since the app takes no `--image`.
    pub fn installed() -> Self {
        let folder = template::ensure("installed", || {
            let mut world = Self::without_image();
            let image = image();
            let pull = ["pull", "--json", "--file"].map(OsStr::new);
            world.run(pull.into_iter().chain([image.as_os_str()])).ok();
            let desktop = desktop::Desktop::start(&mut world);
            let app = desktop.launch(&world);
            app.page.wait_for_heading("Stopped", desktop::SOON);
            drop((app, desktop));
            world
        });
        Self::linked_to(&folder, None)
    }

    /// A copy of this home; nothing may run in it.
    pub fn copy(&self) -> Self {
        Self::copy_of(&self.emulator_home, self.image.clone())
    }

    fn linked_to(template: &Path, image: Option<PathBuf>) -> Self {
        let copy = Self::new(image, "home");
        template::copy_linked(template, &copy.emulator_home);
        copy
    }

    fn copy_of(emulator_home: &Path, image: Option<PathBuf>) -> Self {
        let copy = Self::new(image, "home");
        template::copy(emulator_home, &copy.emulator_home);
        copy
    }

    /// Sets an environment variable for all further commands.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.set_or_unset(name, Some(value.into()));
    }

    /// Takes an environment variable away for all further commands.
    pub fn unset(&mut self, name: &str) {
        self.set_or_unset(name, None);
    }

    /// From here on, the ports come from the settings. A variable would be the same for all instances of this home.
    pub fn ports_from_settings(&mut self) {
        for (service, port) in services::ports() {
            let name = format!("port.{}", service.id);
            self.run(["settings", "set", &name, &port.to_string()]).ok();
        }
        for (variable, _) in services::variables() {
            self.unset(&variable);
        }
    }

    fn set_or_unset(&mut self, name: &str, value: Option<String>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value));
    }

    /// Where this process finds a file of this world.
    pub fn seen(&self, path: &Path) -> PathBuf {
        let outside = |disk: &SmallDisk| disk.seen_from_outside(path);
        self.disk.as_ref().map_or_else(|| path.to_owned(), outside)
    }

    /// The user's home folder in this world.
    pub fn user_home(&self) -> &Path {
        self.home.path()
    }

    /// Folder of the instance `default`.
    pub fn instance(&self) -> PathBuf {
        self.emulator_home.join("instances/default")
    }

    /// Folder of the current snapshot.
    pub fn snapshot(&self) -> PathBuf {
        let snapshots = self.instance().join("snapshots");
        let current = std::fs::read_link(snapshots.join("current")).expect("there is a snapshot");
        snapshots.join(current)
    }

    /// The command line with `arguments`, not yet run.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.as_here(from_environment(PROGRAM));
        if let Some(image) = &self.image {
            command.arg("--image").arg(image);
        }
        command.args(arguments);
        command
    }

    /// Any program with this world's environment, not yet run.
    pub fn as_here(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.disk {
            Some(disk) => disk.command(program),
            None => Command::new(program),
        };
        command
            .env("HOME", self.home.path())
            .env("STACK_EMULATOR_HOME", &self.emulator_home)
            .envs(services::variables())
            .env_remove("XDG_RUNTIME_DIR")
            // What the machine has of these is not for tests.
            .env_remove("GITHUB_TOKEN")
            .env_remove("XDG_CONFIG_HOME")
            // Nobody listens there: what asks GitHub is told at once that it cannot be reached.
            .env("STACK_EMULATOR_GITHUB_API", "http://127.0.0.1:9")
            .env("NO_PROXY", "127.0.0.1,::1,localhost")
            // Not the keychain of the user who runs the tests.
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
            // Tests that want it say so: it takes a processor from those that do not.
            .env("STACK_EMULATOR_AHEAD", "off")
            .stdin(Stdio::null());
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Runs the command line and waits for it.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let begun = Instant::now();
        let output = self.command(arguments).output().expect("the program runs");
        Run::new(&output, begun.elapsed())
    }

    /// Starts the command line and does not wait.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs")
    }

    /// `start --json`, which must succeed.
    #[track_caller]
    pub fn start(&self) -> Value {
        self.run(["start", "--json"]).ok().json()
    }

    /// Whatever happened: a start works, has fresh secrets, and is alone. Says of which kind it was.
    #[track_caller]
    pub fn recovers(&self) -> String {
        let started = self.start();
        assert_eq!(try_client_key(PLACEHOLDER_PCK), 401, "{started}");
        assert_eq!(try_client_key(&self.secret("pck")), 200, "{started}");
        assert_eq!(self.qemu_processes().len(), 1);
        let kind = started["start"]["kind"].as_str();
        kind.expect("a kind").to_owned()
    }

    /// `stop --json`, which must succeed.
    #[track_caller]
    pub fn stop(&self) -> Value {
        self.run(["stop", "--json"]).ok().json()
    }

    /// `stop --discard --json`, which must succeed.
    #[track_caller]
    pub fn discard(&self) -> Value {
        self.run(["stop", "--discard", "--json"]).ok().json()
    }

    /// The value that the store keeps under `name`.
    #[track_caller]
    pub fn secret(&self, name: &str) -> String {
        self.run(["secrets", "show", name])
            .ok()
            .stdout
            .trim()
            .to_owned()
    }

    /// QEMU processes that work in this home, as far as the product counts them as alive.
    pub fn qemu_processes(&self) -> Vec<u32> {
        processes::of_qemu(&self.emulator_home)
    }

    /// Processes that were started with this world's environment, and what these have started.
    pub fn processes(&self) -> Vec<u32> {
        processes::with_variable(&format!("HOME={}", self.user_home().display()))
    }

    /// Kills QEMU, and waits until it is gone.
    pub fn kill_qemu(&self) {
        processes::kill_all(&self.qemu_processes());
    }

    /// Runs a program in the guest by its agent; the answer's exit code and
    /// standard output.
    pub fn in_guest(&self, program: &str, arguments: &[&str]) -> (i64, String) {
        guest::exec(&self.agent_socket(), program, arguments)
    }

    /// How far the guest's clock is from the host's.
    pub fn clock_off(&self) -> guest::ClockOff {
        guest::clock_off(&self.agent_socket())
    }

    /// The guest agent's socket.
    pub fn agent_socket(&self) -> PathBuf {
        self.runtime_folder().join("agent.sock")
    }

    /// Where the sockets of the running emulator are.
    pub fn runtime_folder(&self) -> PathBuf {
        self.runtime_folder_of("default")
    }

    /// The same of the instance called `name`.
    pub fn runtime_folder_of(&self, name: &str) -> PathBuf {
        let instance = self.emulator_home.join("instances").join(name);
        let path = self.seen(&instance.join("run.json"));
        let record = std::fs::read_to_string(path).expect("it runs");
        let record: Value = serde_json::from_str(&record).expect("a record");
        let folder = record["body"]["runtime_folder"].as_str();
        let folder = PathBuf::from(folder.expect("the record names its folder"));
        match &self.disk {
            Some(disk) if folder.starts_with(&self.emulator_home) => {
                disk.seen_from_outside(&folder)
            }
            Some(_) | None => folder,
        }
    }
}

/// How much of each log a failed test prints.
const LOG_LINES: usize = 30;

impl Drop for World {
    /// A test that failed must not leave a VM for the next one to trip over, and its logs go with it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["qemu.log", "serial.log"] {
                let log = std::fs::read(self.instance().join("logs").join(name));
                let text = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
                let lines: Vec<_> = text.lines().collect();
                let end = &lines[lines.len().saturating_sub(LOG_LINES)..];
                eprintln!("the end of {name}:\n{}", end.join("\n"));
            }
        }
        for pid in self.qemu_processes() {
            processes::kill(pid);
        }
    }
}

/// A client for servers on this host, with a limit for each request.
fn loopback_client(limit: Duration) -> reqwest::blocking::Client {
    loopback(limit).build().expect("a client")
}

fn loopback(limit: Duration) -> reqwest::blocking::ClientBuilder {
    reqwest::blocking::Client::builder()
        .tls_backend_preconfigured(images::http::no_tls().expect("a TLS configuration"))
        .no_proxy()
        .timeout(limit)
}

/// `GET` of a path on the backend with the given headers: status and body.
pub fn get(path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    get_at(port("backend"), path, headers)
}

/// The same on a backend at `port`.
fn get_at(port: u16, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let client = loopback_client(Duration::from_secs(30));
    let mut request = client.get(format!("http://127.0.0.1:{port}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().expect("the backend answers");
    let status = answer.status().as_u16();
    (status, answer.json().unwrap_or(Value::Null))
}

/// Where an address on the loopback sends a browser on to, if anybody answers there.
pub fn led_to(address: &str) -> Option<String> {
    let client = loopback(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let answer = client.get(address).send();
    let location = answer.ok()?.headers().get("location")?.clone();
    Some(location.to_str().expect("an address").to_owned())
}

/// The dashboard's page, from the service at `port`.
pub fn dashboard_page(port: u16) -> String {
    let client = loopback_client(Duration::from_secs(30));
    let address = format!("http://127.0.0.1:{port}/handler/sign-in");
    let answer = client.get(address).send().expect("the dashboard answers");
    answer.text().expect("a page")
}

/// What the backend says to a publishable client key: an HTTP status.
pub fn try_client_key(key: &str) -> u16 {
    backend_says(port("backend"), key)
}

/// The same on a backend at `port`.
pub fn backend_says(port: u16, key: &str) -> u16 {
    let headers = [
        ("x-stack-project-id", "internal"),
        ("x-stack-access-type", "client"),
        ("x-stack-publishable-client-key", key),
    ];
    get_at(port, "/api/v1/projects/current", &headers).0
}

/// Leaves something in the guest that [`read_the_note`] finds wherever the session's disk was kept.
#[track_caller]
pub fn leave_a_note(world: &World) {
    let script = "echo kept > /var/tmp/note; sync";
    assert_eq!(world.in_guest("/bin/sh", &["-c", script]).0, 0);
}

/// What [`leave_a_note`] left: `kept` and a line's end.
pub fn read_the_note(world: &World) -> String {
    world.in_guest("/bin/cat", &["/var/tmp/note"]).1
}
