//! Running other programs: tied to our own life, with output kept for the error message.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::setup::find_program;

/// Lines of a failed program's output that an error shows.
const EXCERPT_LINES: usize = 30;

/// The signal a program gets when we die first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnOurDeath {
    /// It has something to clean up.
    Terminate,
    /// It has not, and must not linger.
    Kill,
}

/// A command whose process does not outlive ours, even if we are killed.
///
/// The kernel sends the signal, through util-linux's `setpriv`: nothing that
/// we could do ourselves would still be done after a SIGKILL.
pub(crate) fn tied(program: impl AsRef<OsStr>, signal: OnOurDeath) -> Command {
    if cfg!(target_os = "linux") {
        let mut command = Command::new("setpriv");
        let name = match signal {
            OnOurDeath::Terminate => "TERM",
            OnOurDeath::Kill => "KILL",
        };
        command.args(["--pdeathsig", name, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// A command for `program`, which may be in a folder for administrators that a user's `PATH` lacks.
pub(crate) fn administrative(program: &str) -> Command {
    Command::new(find_program(program).unwrap_or_else(|| program.into()))
}

/// Like [`tied`], for a program that starts others and waits for them even after a signal:
/// all of them get it, in a process group of their own.
pub(crate) fn tied_with_children(program: impl AsRef<OsStr>) -> Command {
    use std::os::unix::process::CommandExt as _;

    let mut command = tied("sh", OnOurDeath::Terminate);
    command
        .args(["-c", GROUP_GUARD, "sh"])
        .arg(program)
        .process_group(0);
    command
}

/// Runs its arguments; when told to end, tells its whole process group.
const GROUP_GUARD: &str = "trap 'trap - TERM; kill -TERM 0' TERM INT HUP; \"$@\" & wait \"$!\"";

/// Runs `command` with its output in the file `log`, and fails with the last
/// lines of that file.
pub(crate) fn run_logged(command: &mut Command, what: &str, log: &Path) -> Result<()> {
    let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("cannot share the log file")?)
        .stderr(file)
        .status()
        .with_context(|| cannot_run(command, what))?;
    if !status.success() {
        bail!(
            "{what} failed ({status}); its last lines:\n{}",
            tail_of_file(log)
        );
    }
    Ok(())
}

/// Runs `command` and returns its standard output; fails with its standard error.
pub(crate) fn output_of(command: &mut Command, what: &str) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| cannot_run(command, what))?;
    if !output.status.success() {
        bail!(
            "{what} failed ({}):\n{}",
            output.status,
            tail(&String::from_utf8_lossy(&output.stderr), EXCERPT_LINES)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{what} printed what is not UTF-8"))
}

fn cannot_run(command: &Command, what: &str) -> String {
    format!(
        "{what}: cannot run {}; `cargo xtask setup` installs what is missing",
        command.get_program().display()
    )
}

fn tail_of_file(path: &Path) -> String {
    match std::fs::read(path) {
        Ok(bytes) => tail(&String::from_utf8_lossy(&bytes), EXCERPT_LINES),
        Err(error) => format!("(its log {} cannot be read: {error})", path.display()),
    }
}

/// The last `count` lines of `text`.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "seq 1 100; echo broken >&2; exit 3"]);
        let error = run_logged(&mut command, "the thing", &folder.path().join("log")).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("the thing failed (exit status: 3)"), "{text}");
        assert!(text.ends_with("100\nbroken"), "{text}");
        assert!(!text.contains("\n50\n"), "{text}");
    }

    #[test]
    fn children_of_a_program_end_with_it() {
        use std::io::BufRead as _;

        // Like mmdebstrap, the program itself only waits for its child after a signal. The child
        // speaks for itself: between fork and exec it still has its parent's trap, and would ignore
        // the signal.
        let script = "trap : TERM; sh -c 'echo $$; exec sleep 300' & \
                      while kill -0 $! 2>/dev/null; do wait $!; done";
        let mut command = tied_with_children("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut guard = command.spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(guard.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pid = i32::try_from(guard.id()).unwrap();
        let guard_pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(guard_pid, rustix::process::Signal::TERM).unwrap();
        assert!(!guard.wait().unwrap().success());
        let child = format!("/proc/{}/stat", line.trim());
        // Ended is enough: when it is reaped is up to the system's first process.
        let has_ended =
            || std::fs::read_to_string(&child).map_or(true, |stat| stat.contains(") Z "));
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !has_ended() {
            assert!(std::time::Instant::now() < patience, "{child} lives on");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    #[test]
    fn the_guard_passes_the_status_on() {
        let status = |code: &str| {
            let mut command = tied_with_children("sh");
            command.args(["-c", code]).status().unwrap().code()
        };
        assert_eq!(status("exit 0"), Some(0));
        assert_eq!(status("exit 7"), Some(7));
    }

    #[test]
    fn a_missing_program_names_the_remedy() {
        let error = output_of(&mut Command::new("/no/such/program"), "it").unwrap_err();
        assert!(format!("{error:#}").contains("cargo xtask setup"));
    }
}
