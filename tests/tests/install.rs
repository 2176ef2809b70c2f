//! Ways in: a release is installed from a local server into an empty home, runs, and is removed without a trace.
//!
//! The release is one of the command line under test, made by `cargo xtask test`. Where it is of no account what the
//! program does, a script takes its place, so that a version is made in no time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::releases::{
    Scripted, fails, file_name, release, released, script_at, succeeds, tarball, text, version,
};
use release_server::{Fault, FaultKind, Scenario, Server};
use rustix::process::{Pid, Signal, kill_process};

/// A program's version that no release has.
const OTHER: &str = "99.1.0";

/// A home, and what a user has in it: nothing.
struct Home {
    folder: tempfile::TempDir,
    /// Where programs are looked for first.
    programs: tempfile::TempDir,
    releases: String,
}

impl Home {
    fn new(server: &Server) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            programs: tempfile::tempdir().unwrap(),
            releases: format!("{}owner/name/releases", server.api()),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn program(&self) -> PathBuf {
        self.path(".local/bin/stack-emulator")
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let path = std::env::var_os("PATH").unwrap();
        let folders = std::iter::once(self.programs.path().to_owned())
            .chain(std::env::split_paths(&path))
            .collect::<Vec<_>>();
        // Who runs the tests in the background has them ignore Ctrl-C, and a shell cannot take that back.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=INT")
            .arg(program)
            .env_clear()
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("HOME", self.folder.path())
            .env("NO_PROXY", "127.0.0.1,::1,localhost")
            .env("STACK_EMULATOR_DOWNLOADS", &self.releases)
            .stdin(Stdio::null());
        command
    }

    fn installer(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("sh");
        command.arg(release().join("install.sh")).args(arguments);
        command
    }

    #[track_caller]
    fn installs(&self, arguments: &[&str]) -> String {
        succeeds(&mut self.installer(arguments))
    }

    #[track_caller]
    fn is_refused(&self, arguments: &[&str]) -> String {
        fails(&mut self.installer(arguments), 1)
    }

    /// Puts a script in front of the program of its name.
    fn shadow(&self, name: &str, script: &str) {
        script_at(&self.programs.path().join(name), script);
    }

    /// Everything in it, folders included.
    fn content(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                found.push(entry.path());
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), found);
                }
            }
        }
        let mut found = vec![];
        walk(self.folder.path(), &mut found);
        found
    }

    /// No link leads nowhere.
    #[track_caller]
    fn is_whole(&self) {
        for path in self.content() {
            assert!(path.exists(), "{} leads nowhere", path.display());
        }
    }

    #[track_caller]
    fn is_empty(&self) {
        assert_eq!(self.content(), Vec::<PathBuf>::new());
    }
}

/// Serves both, the scripted one as the newest.
fn serve(scripted: &Scripted) -> Server {
    let tag = format!("v{}", version());
    Server::start(Scenario {
        repository: "owner/name".into(),
        releases: vec![scripted.released(100), released(&release(), &tag, 1)],
        ..Scenario::default()
    })
    .unwrap()
}

#[test]
fn the_script_installs_what_runs_and_removes_all_of_it() {
    let scripted = Scripted::new(OTHER, "");
    let server = serve(&scripted);
    let home = Home::new(&server);
    let said = home.installs(&[]);
    assert!(
        said.contains("--uninstall"),
        "it says how to undo it: {said}"
    );
    assert!(said.contains("is not in your PATH"), "{said}");
    let ran = succeeds(home.command(home.program()).arg("--version"));
    assert_eq!(ran.trim(), format!("stack-emulator {}", version()));
    let help = succeeds(home.command(home.program()).arg("--help"));
    assert!(help.contains("credentials"), "{help}");
    for file in [
        "man/man1/stack-emulator.1",
        "man/man1/stack-emulator-start.1",
        "bash-completion/completions/stack-emulator",
        "zsh/site-functions/_stack-emulator",
        "fish/vendor_completions.d/stack-emulator.fish",
    ] {
        let length = fs::metadata(home.path(".local/share").join(file))
            .expect(file)
            .len();
        assert!(length > 100, "{file}");
    }
    home.is_whole();

    // Once more: nothing changes, and nothing is left over.
    let before = home.content();
    home.installs(&[]);
    assert_eq!(home.content(), before);

    let said = home.installs(&["--uninstall"]);
    assert!(said.contains("Removed"), "{said}");
    home.is_empty();
    assert!(
        home.is_refused(&["--uninstall"])
            .contains("nothing is installed")
    );
}

#[test]
fn another_version_takes_the_place_of_the_one_before() {
    let scripted = Scripted::new(OTHER, "");
    let server = serve(&scripted);
    let home = Home::new(&server);
    home.installs(&["--version", OTHER]);
    let novelty = home.path(".local/share/man/man1/stack-emulator-novelty.1");
    assert!(novelty.exists());
    home.installs(&["--version", &version()]);
    assert!(!novelty.is_symlink(), "what only the other one had is gone");
    let kept = fs::read_dir(home.path(".local/lib/stack-emulator")).unwrap();
    assert_eq!(kept.count(), 1, "releases of before are removed");
    home.is_whole();
    // The script of the checkout knows no version: it takes the newest.
    let script = fs::read_to_string(release().join("install.sh")).unwrap();
    let unfilled = script.replace(&format!("\nversion='{}'\n", version()), "\nversion=''\n");
    assert_ne!(script, unfilled);
    let place = home.programs.path().join("install.sh");
    fs::write(&place, unfilled).unwrap();
    succeeds(home.command("sh").arg(place));
    let ran = succeeds(home.command(home.program()).arg("--version"));
    assert_eq!(ran.trim(), format!("stack-emulator {OTHER}"));
    assert!(novelty.exists());
    home.installs(&["--uninstall"]);
    home.is_empty();
}

#[test]
fn what_is_not_as_stated_is_not_installed() {
    let scripted = Scripted::new(OTHER, "");
    let server = serve(&scripted);
    let home = Home::new(&server);
    let of_version = ["--version", OTHER];
    let faults = [
        (FaultKind::Corrupt { at: 40 }, "another SHA-256 digest"),
        (FaultKind::Shorter { by: 5 }, "another SHA-256 digest"),
        (
            FaultKind::Status {
                status: 404,
                headers: vec![],
            },
            "cannot download",
        ),
        (
            FaultKind::Redirect {
                to: "ftp://127.0.0.1/x".into(),
            },
            "cannot download",
        ),
    ];
    let file = format!(
        "/releases/download/v{OTHER}/{}",
        file_name(&tarball(scripted.folder()))
    );
    for (fault, expected) in faults {
        let path = match fault {
            FaultKind::Redirect { .. } | FaultKind::Status { .. } => file.as_str(),
            // The content comes from the storage, where the tarball is the second file.
            _ => "/storage/asset/101",
        };
        server.set_faults(vec![Fault::always(path, fault)]);
        let said = home.is_refused(&of_version);
        assert!(said.contains(expected), "{said}");
        home.is_empty();
    }
    server.set_faults(vec![]);
    assert!(
        home.is_refused(&["--version", "0.0.9"])
            .contains("cannot download")
    );
    home.is_empty();
    home.installs(&of_version);
}

#[test]
fn a_mistake_is_named_and_nothing_is_done() {
    let scripted = Scripted::new(OTHER, "");
    let server = serve(&scripted);
    let mut home = Home::new(&server);
    for (arguments, expected) in [
        (&["--frobnicate"][..], "--frobnicate"),
        (&["--version"], "needs a version"),
        (&["--version", "1;2"], "is not a version"),
        (&["--uninstall"], "nothing is installed"),
    ] {
        let said = home.is_refused(arguments);
        assert!(said.contains(expected), "{said}");
    }
    let said = fails(home.installer(&[]).env("STACK_EMULATOR_PREFIX", "here"), 1);
    assert!(said.contains("absolute path"), "{said}");
    for (system, machine) in [("FreeBSD", "x86_64"), ("Linux", "riscv64")] {
        home.shadow(
            "uname",
            &format!("[ \"$1\" = -s ] && echo {system} || echo {machine}"),
        );
        let said = home.is_refused(&[]);
        assert!(
            said.contains(if system == "Linux" { machine } else { system }),
            "{said}"
        );
    }
    home.shadow("uname", "[ \"$1\" = -s ] && echo Darwin || echo arm64");
    let said = home.is_refused(&[]);
    assert!(
        said.contains("no file for this system (aarch64-apple-darwin)"),
        "{said}"
    );
    home.releases = "http://mirror.example/releases".into();
    assert!(home.is_refused(&[]).contains("https://"));
    home.is_empty();
}

#[test]
fn a_program_that_somebody_else_installed_is_left_alone() {
    let scripted = Scripted::new(OTHER, "");
    let server = serve(&scripted);
    let home = Home::new(&server);
    script_at(&home.program(), "echo mine");
    let said = home.is_refused(&["--version", OTHER]);
    assert!(said.contains("was not installed by install.sh"), "{said}");
    assert_eq!(succeeds(&mut home.command(home.program())), "mine\n");
    // Nothing was begun.
    let mine = [".local", ".local/bin", ".local/bin/stack-emulator"];
    let mut content = home.content();
    content.sort();
    assert_eq!(content, mine.map(|path| home.path(path)));
}

/// Killed at any of its steps, a run leaves no program or a whole one, and the next run puts everything right.
#[test]
fn killed_anywhere_it_leaves_nothing_half_done() {
    let scripted = Scripted::new(OTHER, "");
    let server = serve(&scripted);
    let of_version = ["--version", OTHER];
    let counter = |name: &str, at: u32| {
        let real = String::from_utf8(
            Command::new("sh")
                .args(["-c", &format!("command -v {name}")])
                .output()
                .unwrap()
                .stdout,
        );
        let real = real.unwrap();
        // The script itself is the parent; what it was killed in is not done any more.
        format!(
            "echo >> \"$HOME.count\"\n[ \"$(wc -l < \"$HOME.count\")\" -eq {at} ] && kill -KILL $PPID && exit\nexec {} \"$@\"",
            real.trim()
        )
    };
    // Six links are made and moved into place, and one folder.
    for (name, at) in [
        ("mkdir", 3),
        ("tar", 1),
        ("mv", 1),
        ("ln", 1),
        ("mv", 2),
        ("ln", 4),
        ("ln", 6),
        ("mv", 7),
    ] {
        let home = Home::new(&server);
        home.shadow(name, &counter(name, at));
        let output = home.installer(&of_version).output().unwrap();
        assert_eq!(
            output.status.signal(),
            Some(9),
            "{name} {at}: {}",
            text(&output)
        );
        let count = PathBuf::from(format!("{}.count", home.folder.path().display()));
        fs::remove_file(count).unwrap();
        fs::remove_file(home.programs.path().join(name)).unwrap();
        assert!(
            !home.program().exists(),
            "{name} {at}: the program's link is the last"
        );
        home.is_whole();
        if at % 2 == 1 {
            home.installs(&of_version);
            succeeds(home.command(home.program()).arg("--version"));
            home.is_whole();
        }
        home.installs(&["--uninstall"]);
        home.is_empty();
    }
}

#[test]
fn ctrl_c_while_it_downloads_leaves_nothing() {
    let scripted = Scripted::new(OTHER, "");
    let server = serve(&scripted);
    let home = Home::new(&server);
    server.set_faults(vec![Fault::always(
        "/storage/asset/101",
        FaultKind::Stall { after: 20 },
    )]);
    let mut child = home
        .installer(&["--version", OTHER])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = || {
        let requests = server.requests();
        requests
            .iter()
            .any(|request| request.path == "/storage/asset/101")
    };
    let begun = std::time::Instant::now();
    while !asked() {
        assert!(begun.elapsed().as_secs() < 60, "the download has not begun");
        // There is no event for a request.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // A terminal tells all of its group; a shell goes on to its trap once its child has ended.
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    for pid in children_of(group) {
        kill_process(pid, Signal::INT).unwrap();
    }
    kill_process(group, Signal::INT).unwrap();
    assert!(!child.wait().unwrap().success());
    home.is_empty();
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let pid = parent.as_raw_nonzero();
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap();
    children
        .split_whitespace()
        .map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap())
        .collect()
}

/// npm with nothing but the packages, and no network.
fn npm(home: &Home, folder: &Path) -> Command {
    let mut command = home.command("npm");
    command
        .env("npm_config_cache", home.programs.path().join("cache"))
        .env("npm_config_offline", "true")
        .env("npm_config_audit", "false")
        .env("npm_config_fund", "false")
        .env("npm_config_update_notifier", "false")
        .current_dir(folder);
    command
}

fn npm_packages() -> Vec<PathBuf> {
    let files = fs::read_dir(release()).unwrap();
    files
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "tgz"))
        .collect()
}

#[test]
fn npm_installs_what_runs_and_removes_all_of_it() {
    let scripted = Scripted::new(OTHER, "");
    let server = serve(&scripted);
    let home = Home::new(&server);
    let app = home.path("app");
    fs::create_dir(&app).unwrap();
    fs::write(
        app.join("package.json"),
        "{\"name\": \"app\", \"private\": true}",
    )
    .unwrap();
    succeeds(
        npm(&home, &app)
            .args(["install", "--ignore-scripts"])
            .args(npm_packages()),
    );
    let program = app.join("node_modules/.bin/stack-emulator");
    let ran = succeeds(home.command(&program).arg("--version"));
    assert_eq!(ran.trim(), format!("stack-emulator {}", version()));
    let through_npx = npm(&home, &app)
        .args(["exec", "--no", "--", "stack-emulator", "--version"])
        .output()
        .unwrap();
    assert!(text(&through_npx).contains(&version()), "{through_npx:?}");
    // Exit codes are the program's own.
    let nothing_runs = home.command(&program).arg("status").output().unwrap();
    assert_eq!(nothing_runs.status.code(), Some(3), "{nothing_runs:?}");
    fails(home.command(&program).arg("frobnicate"), 2);
    let names = [
        "stack-emulator",
        "@stack-emulator/linux-x64",
        "@stack-emulator/linux-arm64",
    ];
    succeeds(npm(&home, &app).arg("uninstall").args(names));
    assert!(!program.is_symlink());
    assert!(!app.join("node_modules/stack-emulator").exists());
    // npm may leave the folder of the scope, and nothing in it.
    let scope = fs::read_dir(app.join("node_modules/@stack-emulator"));
    assert_eq!(scope.map_or(0, Iterator::count), 0);
}

/// npm's script with a program of ours in the place of the system's package.
fn with_script(folder: &Path, script: &str) -> PathBuf {
    let package = folder.join("node_modules/stack-emulator");
    fs::create_dir_all(&package).unwrap();
    let main = npm_packages()
        .into_iter()
        .find(|file| file_name(file) == format!("stack-emulator-{}.tgz", version()))
        .expect("npm's package");
    succeeds(
        Command::new("tar")
            .arg("-xzf")
            .arg(main)
            .args(["--strip-components=1", "-C"])
            .arg(&package),
    );
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        _ => "arm64",
    };
    let place = format!("node_modules/@stack-emulator/linux-{machine}/bin/stack-emulator");
    script_at(&folder.join(place), script);
    package.join("stack-emulator.js")
}

#[test]
fn npm_s_script_passes_everything_on() {
    let folder = tempfile::tempdir().unwrap();
    let script = with_script(
        folder.path(),
        "[ \"$1\" = wait ] && { trap 'echo ended; exit 7' TERM; echo ready; while :; do sleep 0.05; done; }\n\
         [ \"$1\" = die ] && kill -KILL $$\n\
         for word; do echo \"<$word>\"; done; cat; exit 5",
    );
    let node = |words: &[&str]| {
        let mut command = Command::new("node");
        command.arg(&script).args(words).stdin(Stdio::null());
        command
    };
    assert_eq!(
        fails(&mut node(&["a b", "", "--json"]), 5),
        "<a b>\n<>\n<--json>\n"
    );
    let killed = node(&["die"]).output().unwrap();
    assert_eq!(killed.status.signal(), Some(9), "{killed:?}");

    let mut waiting = node(&["wait"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(waiting.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = Pid::from_raw(i32::try_from(waiting.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = waiting.wait().unwrap();
    assert_eq!(ended.code(), Some(7), "{ended:?}");
    line.clear();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ended\n");

    fs::remove_dir_all(folder.path().join("node_modules/@stack-emulator")).unwrap();
    let said = fails(&mut node(&[]), 1);
    assert!(said.contains("is not installed"), "{said}");
}
