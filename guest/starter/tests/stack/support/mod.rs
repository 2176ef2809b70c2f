//! A private stack for each test: its own database in a real Postgres, its own folders and ports, and
//! the real binaries.

#![allow(unreachable_pub, reason = "everything in a test binary is")]

pub mod app;
pub mod browser;
pub mod http;
pub mod postgres;

use std::{
    fs,
    io::Write as _,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use self::http::{Request, Response};

/// Longest wait for something that has an event; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const PCK: &str = "STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY";
pub const SSK: &str = "STACK_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY";
pub const SAK: &str = "STACK_SEED_INTERNAL_PROJECT_SUPER_SECRET_ADMIN_KEY";
pub const CRON: &str = "CRON_SECRET";

/// The four secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Four {
    pub pck: String,
    pub ssk: String,
    pub sak: String,
    pub cron: String,
}

impl Four {
    pub fn placeholders() -> Self {
        let key = |digit: &str| "0".repeat(32) + &digit.repeat(32);
        Self {
            pck: key("f"),
            ssk: key("e"),
            sak: key("d"),
            cron: key("c"),
        }
    }

    /// Secrets that are told apart by a two-digit number.
    pub fn numbered(number: u8) -> Self {
        let key = |kind: &str| kind.repeat(31) + &format!("{number:02}") + &kind.repeat(31);
        Self {
            pck: key("a"),
            ssk: key("b"),
            sak: key("c"),
            cron: key("d"),
        }
    }

    pub fn input(&self) -> String {
        format!(
            "{PCK}={}\n{SSK}={}\n{SAK}={}\n{CRON}={}\n",
            self.pck, self.ssk, self.sak, self.cron
        )
    }
}

/// A running stack. Its processes end with it.
pub struct Stack {
    pub dir: TempDir,
    pub database: postgres::Database,
    prefix: u16,
    backend: Option<Child>,
    dashboard: Option<Child>,
}

impl Stack {
    /// Folders and a database as the image has them, but no process yet.
    pub fn installed() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stack = Self {
            database: postgres::Database::create(),
            prefix: free_prefix(),
            dir,
            backend: None,
            dashboard: None,
        };
        for folder in ["etc", "run", "host"] {
            fs::create_dir(stack.path(folder)).unwrap();
        }
        copy_folder(
            &payload("files/opt/stack/dashboard"),
            &stack.path("dashboard"),
        );
        copy_folder(&payload("files/opt/stack/dashboard"), &stack.path("built"));
        let four = Four::placeholders();
        fs::write(
            stack.path("etc/secrets.env"),
            format!("{PCK}={}\n{CRON}={}\n", four.pck, four.cron),
        )
        .unwrap();
        fs::write(
            stack.path("runtime.env"),
            format!(
                "STACK_EMULATOR_PORT_PREFIX={}\nSTACK_EMULATOR_BACKEND_HOST_PORT={}\n\
                 STACK_EMULATOR_MOCK_OAUTH_HOST_PORT={}\n",
                stack.prefix,
                stack.backend_port(),
                stack.mock_oauth_port()
            ),
        )
        .unwrap();
        stack
    }

    /// The same with the backend running.
    pub fn start() -> Self {
        let mut stack = Self::installed();
        stack.start_backend();
        stack
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub fn backend_port(&self) -> u16 {
        self.prefix * 100 + 2
    }

    pub fn dashboard_port(&self) -> u16 {
        self.prefix * 100 + 1
    }

    pub fn inbox_port(&self) -> u16 {
        self.prefix * 100 + 3
    }

    pub fn mock_oauth_port(&self) -> u16 {
        self.prefix * 100 + 14
    }

    pub fn start_backend(&mut self) {
        self.backend = Some(self.spawn_service(env!("CARGO_BIN_EXE_stack-backend")));
    }

    pub fn start_dashboard(&mut self) {
        self.dashboard = Some(self.spawn_service(env!("CARGO_BIN_EXE_stack-dashboard")));
    }

    pub fn backend(&mut self) -> &mut Child {
        self.backend.as_mut().unwrap()
    }

    pub fn kill_backend(&mut self) {
        let mut child = self.backend.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts a service and waits for its word to systemd that it is ready.
    fn spawn_service(&self, program: &str) -> Child {
        let socket = self.path("run/notify");
        let _ = fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = self
            .command(program)
            .env("NOTIFY_SOCKET", &socket)
            .spawn()
            .unwrap();
        let mut word = [0; 64];
        let length = notify.recv(&mut word).expect("the service never got ready");
        assert_eq!(&word[..length], b"READY=1");
        child
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_remove("NOTIFY_SOCKET")
            .env("STACK_CONFIG_DIR", self.path("etc"))
            .env("STACK_DASHBOARD_DIR", self.path("dashboard"))
            .env("STACK_DASHBOARD_BUILT_DIR", self.path("built"))
            .env("STACK_INBOX_DIR", payload("files/opt/stack/inbox"))
            .env("STACK_INBOX_PORT", self.inbox_port().to_string())
            .env("STACK_CONTROL_SOCKET", self.path("run/control.sock"))
            .env("STACK_HOST_ROOT", self.path("host"))
            .env("STACK_RUNTIME_ENV", self.path("runtime.env"))
            .env("STACK_DATABASE", self.database.connection_string("stack"))
            .stdin(Stdio::null());
        command
    }

    /// `trigger-fast-rotate`, with its output captured.
    pub fn rotate_command(&self) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_trigger-fast-rotate"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a rotation and gives it its input.
    pub fn spawn_rotation(mut command: Command, input: &str) -> Child {
        let mut child = command.spawn().unwrap();
        // A refusal may come before all of the input was read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child
    }

    pub fn rotate_with(&self, input: &str) -> Output {
        Self::spawn_rotation(self.rotate_command(), input)
            .wait_with_output()
            .unwrap()
    }

    pub fn rotate(&self, four: &Four) -> Output {
        self.rotate_with(&four.input())
    }

    pub fn recover(&self) -> Output {
        let mut command = self.rotate_command();
        command.arg("--recover").stdin(Stdio::null());
        command.output().unwrap()
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.backend_port(), method, path)
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path).send()
    }

    /// The project-credentials call with the server key of `internal` and a body as it stands.
    pub fn project_call(&self, ssk: &str, body: &str) -> Response {
        self.request("POST", "/api/v1/internal/local-emulator/project")
            .header("content-type", "application/json")
            .header("x-stack-project-id", "internal")
            .header("x-stack-access-type", "server")
            .header("x-stack-secret-server-key", ssk)
            .body(body)
            .send()
    }

    /// Puts a file where the guest sees the host's `path`.
    pub fn write_host_file(&self, path: &str, content: &str) {
        let file = self.path("host").join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    /// Status of `projects/current` of project `internal` with a key.
    pub fn status_with(&self, access: &str, key: &str) -> u16 {
        let header = match access {
            "client" => "x-stack-publishable-client-key",
            "server" => "x-stack-secret-server-key",
            "admin" => "x-stack-super-secret-admin-key",
            other => panic!("{other}"),
        };
        self.request("GET", "/api/v1/projects/current")
            .header("x-stack-project-id", "internal")
            .header("x-stack-access-type", access)
            .header(header, key)
            .send()
            .status
    }

    pub fn cron_status(&self, secret: &str) -> u16 {
        self.request("GET", "/api/latest/internal/email-queue-step")
            .header("authorization", &format!("Bearer {secret}"))
            .send()
            .status
    }

    pub fn bundle(&self) -> String {
        fs::read_to_string(self.path("dashboard/assets/dashboard.js")).unwrap()
    }

    /// Which of the secrets are in force, seen from outside: API, cron endpoint, bundle and file.
    pub fn in_force(&self, four: &Four) -> [bool; 6] {
        let file = fs::read_to_string(self.path("etc/secrets.env")).unwrap();
        [
            self.status_with("client", &four.pck) == 200,
            self.status_with("server", &four.ssk) == 200,
            self.status_with("admin", &four.sak) == 200,
            self.cron_status(&four.cron) == 200,
            self.bundle().contains(&four.pck),
            file.contains(&four.pck) && file.contains(&four.cron),
        ]
    }

    /// Asserts that exactly these secrets are in force everywhere, and none of the others anywhere.
    #[track_caller]
    pub fn assert_only_in_force(&self, four: &Four, others: &[&Four]) {
        assert_eq!(self.in_force(four), [true; 6], "should be in force");
        for other in others {
            assert_eq!(self.in_force(other), [false; 6], "should not be in force");
        }
    }

    /// Names of files that an unfinished rotation would have left.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in ["etc", "dashboard", "dashboard/assets"] {
            for entry in fs::read_dir(self.path(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.to_string_lossy().contains("rotating") {
                    found.push(path);
                }
            }
        }
        found
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for child in [&mut self.backend, &mut self.dashboard]
            .into_iter()
            .flatten()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A file of the default payload.
pub fn payload(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../payload")
        .join(below)
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A port prefix whose ports nobody listens on.
fn free_prefix() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries run beside each other: start at different places, below the ephemeral ports.
    let offset = u16::try_from(std::process::id() % 200).unwrap();
    (0..200)
        .map(|_| 110 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 200)
        .find(|prefix| {
            [1, 2, 3, 14]
                .into_iter()
                .all(|port| std::net::TcpListener::bind(("0.0.0.0", prefix * 100 + port)).is_ok())
        })
        .expect("no free ports")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits for a child with a limit.
pub fn wait(child: &mut Child) -> std::process::ExitStatus {
    let (sender, receiver) = std::sync::mpsc::channel();
    let pid = child.id();
    let guard = std::thread::spawn(move || {
        if receiver.recv_timeout(PATIENCE).is_err() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    });
    let status = child.wait().unwrap();
    let _ = sender.send(());
    guard.join().unwrap();
    status
}

/// All that a child wrote to a pipe.
pub fn read_all(mut pipe: impl std::io::Read) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}
