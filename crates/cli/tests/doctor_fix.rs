//! `doctor --fix` on a terminal, with package managers and a QEMU of the test's own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Cli, Ended, ended};

/// Says by QMP which QEMU it is: the one that the file `version` beside it names. Asked to run the probe's
/// instructions, it ends as if they had.
const QEMU: &str = r#"#!/bin/sh
folder=${0%/*}
case "$*" in *isa-debug-exit*) exit 43 ;; esac
read -r major minor <"$folder/version"
printf '{"QMP":{"version":{"qemu":{"major":%s,"minor":%s,"micro":0},"package":""},"capabilities":[]}}\r\n' \
	"$major" "$minor" >&3
while read -r line <&3; do
	id=${line#*\"id\":}
	id=${id%%[,\}]*}
	case $line in
	*query-*) printf '{"return":[],"id":%s}\r\n' "$id" >&3 ;;
	*'"quit"'*) printf '{"return":{},"id":%s}\r\n' "$id" >&3 && exit 0 ;;
	*) printf '{"return":{},"id":%s}\r\n' "$id" >&3 ;;
	esac
done
"#;

/// Notes what it was asked for, and then has the QEMU of the file `candidate`, if there is one.
const APT_GET: &str = r#"#!/bin/sh
folder=${0%/*}
echo "$*" >>"$folder/asked"
if [ -e "$folder/candidate" ]; then
	read -r candidate <"$folder/candidate"
	echo "$candidate" >"$folder/version"
	exit 0
fi
echo "E: Unable to fetch some archives" >&2
exit 100
"#;

/// What Debian 12 with backports says.
const MADISON: &str = "qemu-system-x86 | 1:10.0.2+ds-2~bpo12+1 | http://mirror.example/debian bookworm-backports/main amd64 Packages
qemu-system-x86 | 1:7.2+dfsg-7 | http://mirror.example/debian bookworm/main amd64 Packages";

struct Host {
    cli: Cli,
    programs: PathBuf,
}

impl Host {
    /// One with QEMU 7.2.
    fn new() -> Self {
        let cli = Cli::new();
        let programs = cli.home().join("programs");
        fs::create_dir(&programs).unwrap();
        let host = Self { cli, programs };
        host.program("qemu-system-x86_64", QEMU);
        host.program("apt-get", APT_GET);
        host.program(
            "apt-cache",
            &format!("#!/bin/sh\ncat <<'END'\n{MADISON}\nEND\n"),
        );
        host.program("sudo", "#!/bin/sh\nexec \"$@\"\n");
        host.file("version", "7 2\n");
        host
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.programs.join(name), text).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        self.file(name, text);
        let path = self.programs.join(name);
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.programs.join("asked")).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cli.command(arguments);
        self.set(&mut command);
        command
    }

    fn set(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap();
        let mut folders = vec![self.programs.clone()];
        folders.extend(std::env::split_paths(&path));
        command
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("EMULATOR_ARCH", "amd64");
    }

    /// `doctor --fix` on a terminal, where `typed` is typed.
    fn fix(&self, typed: &str) -> Ended {
        let inner = self.command(&[]);
        let mut command = Command::new("script");
        command
            .args(["--quiet", "--return", "--command"])
            .arg(format!("{} doctor --fix", inner.get_program().display()))
            .arg("/dev/null")
            .env_clear()
            .envs(
                inner
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(typed.as_bytes())
            .unwrap();
        ended(child.wait_with_output().unwrap())
    }
}

/// The command that is shown and run.
fn install() -> String {
    let sudo = if rustix::process::geteuid().is_root() {
        ""
    } else {
        "sudo "
    };
    format!("{sudo}apt-get install --target-release bookworm-backports qemu-system-x86")
}

#[test]
fn a_yes_installs_what_is_shown_and_the_checks_judge_it() {
    let host = Host::new();
    host.file("candidate", "10 0\n");
    let fixed = host.fix("y\n");
    let shown = format!("To install it, this runs:\r\n\r\n    {}\r\n", install());
    assert!(fixed.stdout.contains(&shown), "{}", fixed.stdout);
    let asked = "install --target-release bookworm-backports qemu-system-x86\n";
    assert_eq!(host.asked(), asked);
    let lines = |word: &str| {
        let found = fixed.stdout.lines().filter(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(word) && words.next() == Some("QEMU")
        });
        found.count()
    };
    assert_eq!((lines("failed"), lines("ok")), (1, 1), "{}", fixed.stdout);
    let after = ended(host.command(&["doctor"]).output().unwrap());
    assert_eq!(fixed.code, after.code, "{}", after.stdout);

    let nothing = host.fix("y\n");
    let said = "Nothing is missing that could be installed.";
    assert!(nothing.stdout.contains(said), "{}", nothing.stdout);
    assert_eq!(host.asked(), asked);
}

#[test]
fn anything_but_a_yes_installs_nothing() {
    let host = Host::new();
    for typed in ["\n", "n\n", "yeah\n", ""] {
        let ended = host.fix(typed);
        assert_eq!(ended.code, 1, "{typed:?}: {}", ended.stdout);
        assert!(ended.stdout.contains("nothing was changed"), "{typed:?}");
    }
    assert_eq!(host.asked(), "");
}

#[test]
fn a_package_manager_that_fails_leaves_the_host_unfit() {
    let host = Host::new();
    let ended = host.fix("yes\n");
    assert_eq!(ended.code, 5, "{}", ended.stdout);
    let said = format!("`{}` failed (exit status: 100)", install());
    assert!(ended.stdout.contains(&said), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("E: Unable to fetch"),
        "{}",
        ended.stdout
    );
}

#[test]
fn where_apt_has_nothing_new_enough_it_is_not_asked() {
    let host = Host::new();
    let plain = MADISON.lines().last().unwrap();
    host.program("apt-cache", &format!("#!/bin/sh\necho '{plain}'\n"));
    let ended = host.fix("y\n");
    assert_eq!(ended.code, 5, "{}", ended.stdout);
    assert!(
        ended.stdout.contains("is 7.2.0; at least 9.0.0"),
        "{}",
        ended.stdout
    );
    assert_eq!(host.asked(), "");
}

#[test]
fn without_somebody_to_ask_nothing_is_looked_at() {
    let host = Host::new();
    let refused = ended(host.command(&["doctor", "--fix"]).output().unwrap());
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(
        refused.stderr.contains("no terminal to ask on"),
        "{}",
        refused.stderr
    );
    let json = ended(
        host.command(&["doctor", "--fix", "--json"])
            .output()
            .unwrap(),
    );
    let (code, message, hint) = json.error();
    assert_eq!((json.code, code.as_str()), (2, "confirmation"));
    assert!(message.contains("--json"), "{message}");
    assert!(hint.unwrap().contains("doctor --json"));
    assert_eq!(host.asked(), "");
}
