//! The processes of a session, known by the address of its bus.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// The keychain's name, as far as the kernel keeps it.
const KEYCHAIN: &str = "gnome-keyring-d";

/// Processes whose environment names the bus at `address`.
fn of_session(address: &str) -> Vec<u32> {
    let needle = format!("DBUS_SESSION_BUS_ADDRESS={address}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("this is Linux").flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Gone in the meantime, or another user's: not of this session.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else {
            continue;
        };
        if environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == needle.as_bytes())
        {
            found.push(pid);
        }
    }
    found
}

/// Those that run `program`. One that was killed and not yet waited for has no program any more.
pub(super) fn of_program(address: &str, program: &Path) -> Vec<u32> {
    let program = program.canonicalize().expect("the program is there");
    let mut pids = of_session(address);
    pids.retain(|pid| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|running| running == program)
    });
    pids
}

/// Processor time of all processes of the session but its keychain's, in seconds.
pub(super) fn cpu_seconds(address: &str) -> f64 {
    let ticks: u64 = of_session(address)
        .into_iter()
        .filter(|pid| !is(*pid, KEYCHAIN))
        .filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name is in brackets and may hold anything; user and system time are the 12th and 13th after it.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        })
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    seconds
}

/// Kills every process of the session, and those that they start meanwhile.
pub(super) fn end_all(address: &str) {
    let begun = Instant::now();
    loop {
        let left: Vec<u32> = of_session(address)
            .into_iter()
            // The keychain ends with the bus that it is on.
            .filter(|pid| !is(*pid, KEYCHAIN))
            .collect();
        if left.is_empty() || begun.elapsed() > GRACE {
            return;
        }
        for pid in left {
            kill(pid);
        }
        std::thread::sleep(super::LOOK_AGAIN);
    }
}

fn is(pid: u32, name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}

/// Kills a process; gone already is fine.
pub(super) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Asks a process to end.
pub(super) fn ask_to_end(pid: u32) {
    signal(pid, Signal::TERM);
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        kill_process(pid, signal).ok();
    }
}

/// Asks a child of ours to end, and ends it if it does not.
pub(super) fn terminate(child: &mut Child) {
    signal(child.id(), Signal::TERM);
    let begun = Instant::now();
    while begun.elapsed() < GRACE {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(super::LOOK_AGAIN),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    child.kill().ok();
    child.wait().ok();
}
