//! The processes of this host, asked of Linux itself and not of the crate under test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use host::ProcessIdentity;
use rustix::process::{Pid, Signal, kill_process};

/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// Between two looks: the end of a process that is not our child sends no event.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The keychain's name, as far as the kernel keeps it.
const KEYCHAIN: &str = "gnome-keyring-d";

/// Every process of this host.
fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").expect("this is Linux");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What the kernel tells about a process under this name.
fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// The files with the arguments and the environment of every process.
pub(crate) fn words_of_all() -> impl Iterator<Item = PathBuf> {
    all().flat_map(|pid| ["cmdline", "environ"].map(|name| file(pid, name)))
}

/// Processes with a file `name` of words that end with a zero, and these are as `fits` wants them.
fn with_words(name: &str, fits: impl Fn(&[&[u8]]) -> bool) -> Vec<u32> {
    all()
        .filter(|pid| {
            // Gone in the meantime, or another user's.
            std::fs::read(file(*pid, name))
                .is_ok_and(|words| fits(&words.split(|byte| *byte == 0).collect::<Vec<_>>()))
        })
        .collect()
}

/// QEMU processes with `path` in an argument; one that is exiting does not count, as for the product.
pub(crate) fn of_qemu(path: &Path) -> Vec<u32> {
    let needle = path.as_os_str().as_encoded_bytes();
    let mut pids = with_words("cmdline", |words| {
        let holds = |word: &&[u8]| word.windows(needle.len()).any(|part| part == needle);
        let program = words.first().copied().unwrap_or_default();
        String::from_utf8_lossy(program).contains("qemu-system") && words.iter().any(holds)
    });
    pids.retain(|pid| {
        let identity = ProcessIdentity::of(*pid);
        identity.expect("the system tells").is_some()
    });
    pids
}

/// Processes whose environment names the bus at `address`.
fn of_session(address: &str) -> Vec<u32> {
    let needle = format!("DBUS_SESSION_BUS_ADDRESS={address}");
    with_words("environ", |words| words.contains(&needle.as_bytes()))
}

/// Processes whose environment has `word`, a variable with its value; one that is exiting does not count.
pub(crate) fn with_variable(word: &str) -> Vec<u32> {
    let mut pids = with_words("environ", |words| words.contains(&word.as_bytes()));
    pids.retain(|pid| !has_ended(*pid));
    pids
}

/// The words of a process's command line, for people.
pub(crate) fn command_line(pid: u32) -> String {
    let words = std::fs::read(file(pid, "cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words)
        .replace('\0', " ")
        .trim_end()
        .to_owned()
}

/// What a process and its threads are at, as far as the kernel tells us.
pub(crate) fn dossier(pid: u32) -> String {
    let mut text = format!("process {pid}: {}\n", command_line(pid));
    let threads = std::fs::read_dir(file(pid, "task")).into_iter().flatten();
    for thread in threads.flatten() {
        let read = |name: &str| {
            let said = std::fs::read_to_string(thread.path().join(name));
            said.unwrap_or_default().trim().to_owned()
        };
        let state = Stat::read(&read("stat")).map_or_else(String::new, |stat| stat.state);
        writeln!(
            text,
            "  thread {} ({}) {state}, in {}, call {}",
            thread.file_name().display(),
            read("comm"),
            read("wchan"),
            read("syscall"),
        )
        .ok();
        for line in read("stack").lines() {
            writeln!(text, "    {line}").ok();
        }
    }
    text
}

/// The program that a process runs; one that was killed and not yet waited for has none any more.
pub(crate) fn program(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(file(pid, "exe")).ok()
}

/// Those that run `program`.
pub(crate) fn of_program(address: &str, program: &Path) -> Vec<u32> {
    let program = program.canonicalize().expect("the program is there");
    let mut pids = of_session(address);
    pids.retain(|pid| self::program(*pid).as_ref() == Some(&program));
    pids
}

/// Whether nothing is left of a process but, perhaps, an exit code that nobody has asked for. Its arguments and its
/// program go earlier, while it still lets go of its memory and files.
fn has_ended(pid: u32) -> bool {
    std::fs::read_to_string(file(pid, "stat"))
        .ok()
        .and_then(|stat| Stat::read(&stat))
        .is_none_or(|stat| matches!(stat.state.as_str(), "Z" | "X"))
}

/// Kills processes, and waits until they have ended.
pub(crate) fn kill_all(pids: &[u32]) {
    for pid in pids {
        kill(*pid);
    }
    let begun = Instant::now();
    while !pids.iter().all(|pid| has_ended(*pid)) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{pids:?} do not die"
        );
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Resident memory of a process, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(file(pid, "status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("a number of KiB") * 1024
}

/// Processor time, in seconds, of the process `ancestor` and of all that came of it, by name.
pub fn cpu_seconds(ancestor: u32) -> BTreeMap<String, f64> {
    let mut stats = BTreeMap::new();
    for pid in all() {
        // Gone in the meantime.
        if let Ok(stat) = std::fs::read_to_string(file(pid, "stat")) {
            stats.insert(pid, Stat::read(&stat).expect("the kernel's own words"));
        }
    }
    let mut seconds = BTreeMap::new();
    for (pid, stat) in &stats {
        let mut line = std::iter::successors(Some(*pid), |pid| Some(stats.get(pid)?.parent));
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
    state: String,
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
            state: (*fields.first()?).to_owned(),
            parent: u32::try_from(field(1)?).ok()?,
            ticks: field(11)? + field(12)?,
        })
    }
}

/// Kills every process of the session, and those that they start meanwhile.
pub(crate) fn end_all(address: &str) {
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
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn is(pid: u32, name: &str) -> bool {
    std::fs::read_to_string(file(pid, "comm")).is_ok_and(|comm| comm.trim() == name)
}

/// Has a process stand still, or go on; gone already is fine.
pub(crate) fn stand_still(pid: u32, still: bool) {
    signal(pid, if still { Signal::STOP } else { Signal::CONT });
}

/// Kills a process; gone already is fine.
pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Asks a process to end.
pub(crate) fn ask_to_end(pid: u32) {
    signal(pid, Signal::TERM);
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        kill_process(pid, signal).ok();
    }
}

/// Asks a child of ours to end, and ends it if it does not.
pub(crate) fn terminate(child: &mut Child) {
    signal(child.id(), Signal::TERM);
    let begun = Instant::now();
    while begun.elapsed() < GRACE {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(LOOK_AGAIN),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    child.kill().ok();
    child.wait().ok();
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_child_that_nobody_waits_for_has_ended_once_it_is_killed() {
        let mut child = Command::new("sleep")
            .arg("300")
            .spawn()
            .expect("sleep is there");
        assert!(!has_ended(child.id()) && program(child.id()).is_some());
        kill_all(&[child.id()]);
        assert!(has_ended(child.id()));
        child.wait().expect("it is our child");
        assert!(has_ended(child.id()), "nothing is left of it");
    }

    #[test]
    fn any_name_is_told_from_what_follows_it() {
        let stat = Stat::read("12 (a) b (c) R 34 0 0 0 0 0 0 0 0 0 7 8 0").expect("it is whole");
        assert_eq!(
            (&*stat.name, &*stat.state, stat.parent, stat.ticks),
            ("a) b (c", "R", 34, 15)
        );
        assert!(Stat::read("12 (a").is_none());
    }
}
