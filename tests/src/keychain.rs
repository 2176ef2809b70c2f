//! A real keychain, `gnome-keyring`, on a session bus of its own.

use crate::desktop::{SOON, until};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A bus that starts no services by itself: neither another keychain, nor a
/// program that would ask somebody for a password.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// A keychain with a collection of its own, unlocked at first.
#[derive(Debug)]
pub struct Keychain {
    folder: tempfile::TempDir,
    bus: Child,
    daemon: Child,
}

/// An entry as a person sees it in their keychain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its title.
    pub label: String,
    /// What it keeps.
    pub value: String,
}

impl Keychain {
    /// Starts a bus and a keychain and waits until it is there.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("keychain-")
            .tempdir()
            .expect("a temporary folder");
        let path = folder.path();
        let config = path.join("bus.conf");
        let text = BUS.replace("@SOCKET@", &path.join("bus").display().to_string());
        std::fs::write(&config, text).expect("a file");
        let mut bus = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--config-file={}", config.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is there");
        let mut address = String::new();
        let stdout = bus.stdout.take().expect("it is piped");
        // It prints its address once it listens.
        BufReader::new(stdout)
            .read_line(&mut address)
            .expect("the bus says where it is");
        let mut daemon = in_session(path, "gnome-keyring-daemon")
            .args(["--unlock", "--components=secrets", "--foreground"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon is there");
        let mut stdin = daemon.stdin.take().expect("it is piped");
        stdin
            .write_all(b"correct horse")
            .expect("it reads a password");
        drop(stdin);
        let keychain = Self {
            folder,
            bus,
            daemon,
        };
        // The bus would tell by a signal, for which a client would be needed.
        until("the keychain", SOON, || {
            let call = "org.freedesktop.DBus.NameHasOwner";
            let name = "string:org.freedesktop.secrets";
            let answer = keychain.ask("org.freedesktop.DBus", "/", &[call, name]);
            answer.contains("boolean true").then_some(())
        });
        keychain
    }

    /// For `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> String {
        address(self.folder.path())
    }

    /// Locks the collection; nobody is there to unlock it.
    pub fn lock(&self) {
        let login = "array:objpath:/org/freedesktop/secrets/collection/login";
        let service = "org.freedesktop.Secret.Service.Lock";
        let answer = self.ask(
            "org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            &[service, login],
        );
        assert!(answer.contains("collection/login"), "{answer}");
    }

    /// Has the keychain stand still, with its connection open.
    pub fn stop_answering(&self) {
        self.signal(Signal::STOP);
    }

    /// Has it go on.
    pub fn answer_again(&self) {
        self.signal(Signal::CONT);
    }

    /// The emulator's entries, sorted by label.
    pub fn entries(&self) -> Vec<Entry> {
        let output = in_session(self.folder.path(), "secret-tool")
            .args(["search", "--all", "service", "Stack Emulator"])
            .output()
            .expect("secret-tool is there");
        let text = String::from_utf8(output.stdout).expect("text");
        let mut entries: Vec<Entry> = Vec::new();
        let mut in_value = false;
        for line in text.lines() {
            if let Some(label) = line.strip_prefix("label = ") {
                let (label, value) = (label.to_owned(), String::new());
                entries.push(Entry { label, value });
            } else if let Some(entry) = entries.last_mut() {
                // A value may have several lines; the field after it ends them.
                in_value &= !line.starts_with("created = ");
                let first = line.strip_prefix("secret = ");
                if let Some(more) = first.or(in_value.then_some(line)) {
                    in_value = true;
                    entry.value.push_str(more);
                    entry.value.push('\n');
                }
            }
        }
        for entry in &mut entries {
            entry.value.truncate(entry.value.trim_end().len());
        }
        entries.sort_by(|one, other| one.label.cmp(&other.label));
        entries
    }

    fn ask(&self, destination: &str, object: &str, call: &[&str]) -> String {
        let output = in_session(self.folder.path(), "dbus-send")
            .args(["--session", "--print-reply"])
            .arg(format!("--dest={destination}"))
            .arg(object)
            .args(call)
            .output()
            .expect("dbus-send is there");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("it runs");
    }
}

impl Drop for Keychain {
    fn drop(&mut self) {
        for process in [&mut self.daemon, &mut self.bus] {
            // Gone already is fine.
            process.kill().ok();
            process.wait().ok();
        }
    }
}

fn address(folder: &Path) -> String {
    format!("unix:path={}", folder.join("bus").display())
}

/// A program with a home and a session of the keychain's own.
fn in_session(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_RUNTIME_DIR", folder)
        .env("DBUS_SESSION_BUS_ADDRESS", address(folder))
        .env_remove("DISPLAY");
    command
}
