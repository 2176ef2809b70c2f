//! The processes of a session, known by the address of its bus.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::all_processes;

/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// The keychain's name, as far as the kernel keeps it.
const KEYCHAIN: &str = "gnome-keyring-d";

/// Processes whose environment names the bus at `address`.
fn of_session(address: &str) -> Vec<u32> {
    let needle = format!("DBUS_SESSION_BUS_ADDRESS={address}");
    let mut found = Vec::new();
    for pid in all_processes() {
        // Gone in the meantime, or another user's: not of this session.
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else {
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

/// Processor time, in seconds, of the process `ancestor` and of all that came of it, by name.
pub fn cpu_seconds(ancestor: u32) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for pid in all_processes() {
        // Gone in the meantime.
        if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            all.insert(pid, Stat::read(&stat).expect("the kernel's own words"));
        }
    }
    let mut seconds = BTreeMap::new();
    for (pid, stat) in &all {
        let mut line = std::iter::successors(Some(*pid), |pid| Some(all.get(pid)?.parent));
        if line.any(|pid| pid == ancestor) {
            #[expect(clippy::cast_precision_loss, reason = "for people")]
            let used = stat.ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
            *seconds.entry(stat.name.clone()).or_default() += used;
        }
    }
    seconds
}

/// What `/proc/PID/stat` says.
struct Stat {
    name: String,
    parent: u32,
    /// User and system time.
    ticks: u64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The name is in brackets and may hold anything.
        let (start, rest) = text.rsplit_once(')')?;
        let (_, name) = start.split_once('(')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            name: name.to_owned(),
            parent: u32::try_from(field(1)?).ok()?,
            ticks: field(11)? + field(12)?,
        })
    }
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
