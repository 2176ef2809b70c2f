//! Linux: `/proc` and pidfd. What is read there is understood by the pure functions of `parse`.

mod handle;
mod memory_map;
mod parse;

use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

pub(crate) use self::handle::Handle;
pub(crate) use self::memory_map::{is_cached, read_ahead, used_files};
use crate::ports::Connections;
use crate::process::{ProcessMemory, Seen};

/// How much of `/proc/cpuinfo` is read for the first processor: each further one costs time.
const FIRST_CPU: u64 = 4096;

/// What tells one model from another.
const MODEL: [&str; 4] = ["model name", "CPU part", "flags", "Features"];

/// The lines of `/proc/cpuinfo` that say what a guest will see.
const VISIBLE: [&str; 6] = [
    "vendor_id",
    "model name",
    "flags",
    "Features",
    "CPU implementer",
    "CPU part",
];

pub(crate) fn boot_id() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// Only a try tells.
pub(crate) const fn has_hypervisor() -> Option<bool> {
    None
}

/// See [`crate::disk::clone_file`].
pub(crate) fn clone_file(from: &File, to: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let target = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    if rustix::fs::ioctl_ficlone(&target, from).is_ok() {
        return Ok(Some(target));
    }
    std::fs::remove_file(to)?;
    Ok(None)
}

/// The kernel's own link to it, which whoever follows it has to itself: a process that was just
/// forked still runs the same program.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn this_program() -> io::Result<PathBuf> {
    Ok(PathBuf::from("/proc/self/exe"))
}

pub(crate) fn cpu_model() -> String {
    let mut text = Vec::new();
    // A host that does not tell has an unknown model, as all of its boots do.
    let _ =
        File::open("/proc/cpuinfo").and_then(|file| file.take(FIRST_CPU).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    MODEL
        .map(|name| parse::value(&text, name).unwrap_or_default())
        .join("|")
}

pub(crate) fn cpu_models() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    parse::distinct_lines(&text, &VISIBLE).join("\n")
}

/// See [`crate::ports::TELLS_OF_ENDED_CONNECTIONS`]: `TCP_TIMEWAIT_LEN` of the kernel is a minute.
pub(crate) const TELLS_OF_ENDED_CONNECTIONS: bool = true;

/// See [`crate::ports::connections`].
pub(crate) fn connections(ports: &[u16]) -> io::Result<Connections> {
    let mut text = std::fs::read_to_string("/proc/net/tcp")?;
    // The end of a client that uses IPv6 for both is here. A host may have no IPv6.
    match std::fs::read_to_string("/proc/net/tcp6") {
        Ok(more) => text.push_str(&more),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(parse::connections(&text, ports))
}

/// The user whose socket is the end `client` of a connection to `server`.
pub(crate) fn user_of_connection(
    client: SocketAddrV4,
    server: SocketAddrV4,
) -> io::Result<Option<u32>> {
    let text = std::fs::read_to_string("/proc/net/tcp")?;
    Ok(parse::user_of_connection(&text, client, server))
}

pub(crate) fn memory_total() -> Option<u64> {
    parse::bytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

pub(crate) fn nameless_file(purpose: &str) -> io::Result<Option<(File, PathBuf)>> {
    use std::os::fd::AsRawFd as _;
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file = File::from(rustix::fs::memfd_create(purpose, flags)?);
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    Ok(Some((file, path.into())))
}

/// Whether the file system of `path` has its files in memory.
pub(crate) fn is_in_memory(path: &Path) -> io::Result<bool> {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of `linux/magic.h`.
    const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];
    let kind = rustix::fs::statfs(path)?.f_type;
    // The type's width differs between architectures.
    Ok(IN_MEMORY
        .into_iter()
        .any(|magic| i64::from(magic) == kind as i64))
}

pub(crate) fn memory_available() -> Option<u64> {
    parse::bytes(
        &std::fs::read_to_string("/proc/meminfo").ok()?,
        "MemAvailable",
    )
}

/// Sets what the session of process `pid` gets beside other sessions, where the kernel shares by those.
pub(crate) fn set_session_niceness(pid: u32, niceness: i32) -> io::Result<()> {
    let path = of_process(pid, "autogroup");
    // The kernel takes a word of a user each 0.1 s; there is no event for "now".
    for _ in 0..20 {
        match std::fs::write(&path, niceness.to_string()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            done => return done,
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

pub(crate) fn has_nvidia_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}

/// A file that the kernel shows of a process.
fn of_process(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// `None` if there is no such process.
pub(crate) fn look(pid: u32) -> io::Result<Option<Seen>> {
    let read = |file| match std::fs::read_to_string(of_process(pid, file)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    };
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, "unknown format");
    let (Some(stat), Some(status)) = (read("stat")?, read("status")?) else {
        return Ok(None);
    };
    let stat = parse::stat(&stat).ok_or_else(unknown)?;
    // What the kernel does not tell is left out: it keeps these links of a process that is not
    // dumpable from its own user, and one that is exiting has none.
    let link = |file| std::fs::read_link(of_process(pid, file)).ok();
    Ok(Some(Seen {
        start_ticks: stat.start_ticks,
        stage: stat.stage,
        user: parse::effective_user(&status),
        executable: link("exe").map(parse::program),
        pid_namespace: link("ns/pid").and_then(|link| parse::namespace(&link)),
        mount_namespace: link("ns/mnt").and_then(|link| parse::namespace(&link)),
    }))
}

/// A process that ends while its files are read gives `ESRCH`.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

pub(crate) fn on_battery() -> bool {
    let Ok(entries) = std::fs::read_dir("/sys/class/power_supply") else {
        return false;
    };
    let read = |folder: &Path, name| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let supplies: Vec<[String; 3]> = entries
        .flatten()
        .map(|entry| ["type", "scope", "status"].map(|name| read(&entry.path(), name)))
        .collect();
    crate::power::is_drawn(
        supplies
            .iter()
            .map(|[kind, scope, status]| [kind.as_str(), scope, status]),
    )
}

/// Whether the process has the file at `path` open; `None` if the kernel keeps that from us.
pub(crate) fn has_open(pid: u32, path: &Path) -> io::Result<Option<bool>> {
    use std::os::unix::fs::MetadataExt as _;
    let wanted = std::fs::metadata(path)?;
    let Ok(open) = std::fs::read_dir(of_process(pid, "fd")) else {
        return Ok(None);
    };
    // One that is closed meanwhile is not open.
    let mut files = open
        .flatten()
        .filter_map(|entry| std::fs::metadata(entry.path()).ok());
    let found = files.any(|file| file.dev() == wanted.dev() && file.ino() == wanted.ino());
    Ok(Some(found))
}

/// Processes that have an argument ending with `mark`.
pub(crate) fn with_argument_ending(mark: &str) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if has_argument_ending(pid, mark) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Whether the process has an argument ending with `mark`. One that is gone, or hidden from us and
/// then not ours, has none.
pub(crate) fn has_argument_ending(pid: u32, mark: &str) -> bool {
    std::fs::read(of_process(pid, "cmdline")).is_ok_and(|arguments| {
        arguments
            .split(|&byte| byte == 0)
            .any(|argument| argument.ends_with(mark.as_bytes()))
    })
}

/// The command line of a process; empty if it is gone or hidden from us.
pub(crate) fn arguments(pid: u32) -> Vec<String> {
    let text = std::fs::read(of_process(pid, "cmdline")).unwrap_or_default();
    parse::arguments(&text)
}

/// The process that has started the process, or has taken its place.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    parse::parent(&std::fs::read_to_string(of_process(pid, "stat")).ok()?)
}

pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = parse::stat(&std::fs::read_to_string(of_process(pid, "stat")).ok()?)?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(stat.cpu_ticks * 1000 / per_second))
}

pub(crate) fn process_memory(pid: u32) -> Option<ProcessMemory> {
    let text = std::fs::read_to_string(of_process(pid, "smaps_rollup")).ok()?;
    Some(ProcessMemory {
        resident: parse::bytes(&text, "Rss")?,
        anonymous: parse::bytes(&text, "Anonymous")?,
    })
}
