//! How much of the processors and disks a process gets while others want them, too.
//!
//! A niceness is what every system has. On Linux it also decides the priority of reads and writes for
//! schedulers that know priorities: `(niceness + 20) / 5` of the class *best effort*, where 7 is the
//! lowest (`ioprio_set(2)`). Raising it back takes a privilege.
//!
//! But Linux shares the processors between sessions first (*autogroups*, `sched(7)`), and a niceness
//! then counts within its session alone. Measured on one processor: a process with niceness 15 in a
//! session of its own got 49 % of it beside one of another session, and 3 % where its session had that
//! niceness. The niceness of a session can be set back to 0 by its user.

use std::io;

use crate::system;

/// The niceness of work that nobody waits for, within its session and for reads and writes.
const LOW: i32 = 15;
/// The niceness of its session: beside another one that is busy it gets a tenth of a processor, so that it
/// is done some time on a host that is always busy.
const SESSION_LOW: i32 = 10;

/// How long a process gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until it ends, with all that it starts.
    End,
    /// Until [`restore`] is called for it or for what it has started; only where the system can do that.
    Restored,
}

/// Has this process and what it starts from now on give way to everything that somebody waits for, and
/// leave the session of its terminal.
///
/// # Errors
///
/// What the system refused. It may have done a part of it.
pub fn step_back(until: Until) -> io::Result<()> {
    // One that a shell started leads its group already, and stays in its session, which the shell
    // shares.
    let alone = rustix::process::setsid().is_ok();
    if until == Until::End {
        // All of its threads: the system may count each by itself.
        rustix::process::setpriority_pgrp(None, LOW)?;
    }
    if alone {
        system::set_session_niceness(std::process::id(), SESSION_LOW)?;
    }
    Ok(())
}

/// Gives the session of process `pid` its full share again, after [`Until::Restored`]. Takes up to 0.2 s
/// where somebody has just done that for another session.
///
/// # Errors
///
/// What the system refused.
pub fn restore(pid: u32) -> io::Result<()> {
    system::set_session_niceness(pid, 0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set for the process that steps back, which cannot be the one of all other tests.
    const CHILD: &str = "STACK_EMULATOR_TEST_STEPS_BACK";

    /// The niceness of each thread of this process.
    fn of_threads() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks
            .map(|task| {
                let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
                let (_, rest) = stat.rsplit_once(')').unwrap();
                rest.split_ascii_whitespace().nth(16).unwrap().to_owned()
            })
            .collect()
    }

    /// The niceness of the session of process `pid`, if sessions have one.
    fn of_session(pid: u32) -> Option<String> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/autogroup")).ok()?;
        Some(text.trim().rsplit(' ').next()?.to_owned())
    }

    fn in_a_child(until: &str) {
        let test = "priority::tests::a_process_gives_way_with_all_its_threads";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(CHILD, until)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    }

    #[test]
    fn a_process_gives_way_with_all_its_threads() {
        let until = match std::env::var(CHILD) {
            Err(_) => return ["end", "restored"].into_iter().for_each(in_a_child),
            Ok(until) if until == "end" => Until::End,
            Ok(_) => Until::Restored,
        };
        let grouped = of_session(std::process::id()).is_some();
        step_back(until).unwrap();
        let threads = of_threads();
        assert!(threads.len() > 1, "the test runs in a thread of its own");
        let expected = if until == Until::End { "15" } else { "0" };
        assert!(threads.iter().all(|nice| nice == expected), "{threads:?}");
        if grouped {
            assert_eq!(of_session(std::process::id()).unwrap(), "10");
        }
        // What it starts gives way as well, and can stop doing so.
        let mut started = Command::new("sleep").arg("60").spawn().unwrap();
        restore(started.id()).unwrap();
        let restored = of_session(started.id());
        started.kill().unwrap();
        started.wait().unwrap();
        assert_eq!(restored, grouped.then(|| "0".to_owned()));
    }
}
