//! macOS: libproc and sysctl, by crates that make the calls safe.

mod handle;
mod open_files;

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libproc::bsd_info::BSDInfo;
use libproc::pid_rusage::{RUsageInfoV2, pidrusage};
use libproc::proc_pid::{pidinfo, pidpath};
use rustix::fs::{CWD, CloneFlags, fclonefileat};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use sysctl::{Ctl, Sysctl as _};
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

pub(crate) use self::handle::Handle;
use crate::page_cache::UsedFile;
use crate::ports::Connections;
use crate::process::{ProcessMemory, Seen, Stage};

/// `PROC_FLAG_INEXIT` of `sys/proc_info.h`: the process is exiting.
const IN_EXIT: u32 = 4;
/// `SSTOP` of `sys/proc.h`: a signal or a debugger has stopped it.
const STOPPED: u32 = 4;
/// `SZOMB` of `sys/proc.h`: it has ended, and its parent has not asked for its exit code.
const ZOMBIE: u32 = 5;
/// Has `pidinfo` tell of a process that has ended, too.
const ZOMBIES_TOO: u64 = 1;

/// What says which processor it is. Those of Apple are told by brand and family, and have no list
/// of features.
const MODEL: [&str; 5] = [
    "machdep.cpu.brand_string",
    "hw.cpufamily",
    "machdep.cpu.features",
    "machdep.cpu.leaf7_features",
    "machdep.cpu.extfeatures",
];

fn sysctl(name: &str) -> io::Result<String> {
    let value = Ctl::new(name).and_then(|ctl| ctl.value_string());
    Ok(value.map_err(io::Error::other)?.trim().to_owned())
}

pub(crate) fn boot_id() -> io::Result<String> {
    sysctl("kern.bootsessionuuid")
}

pub(crate) fn this_program() -> io::Result<std::path::PathBuf> {
    std::env::current_exe()
}

pub(crate) fn cpu_model() -> String {
    MODEL.map(|name| sysctl(name).unwrap_or_default()).join("|")
}

/// 0 in a virtual machine that does not pass it on, as on hosted runners.
pub(crate) fn has_hypervisor() -> Option<bool> {
    crate::cpu::says_hypervisor(&sysctl("kern.hv_support").ok()?)
}

/// See [`crate::disk::clone_file`].
pub(crate) fn clone_file(from: &File, to: &Path) -> io::Result<Option<File>> {
    match fclonefileat(from, CWD, to, CloneFlags::empty()) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
        // Not on APFS, or not on the same volume.
        Err(_) => return Ok(None),
    }
    // It has the mode of the other, whose owner may not have been allowed to write.
    std::fs::set_permissions(to, Permissions::from_mode(0o600))?;
    File::options().read(true).write(true).open(to).map(Some)
}

/// All processors of such a host have the same features.
pub(crate) fn cpu_models() -> String {
    cpu_model()
}

/// Sessions have no share of their own here.
#[expect(clippy::unnecessary_wraps, reason = "other systems can refuse")]
pub(crate) fn set_session_niceness(_: u32, _: i32) -> io::Result<()> {
    Ok(())
}

/// Only the owner of a mapping can ask which pages are there.
#[expect(clippy::unnecessary_wraps, reason = "other systems can refuse")]
pub(crate) fn used_files(_: u32) -> io::Result<Vec<UsedFile>> {
    Ok(Vec::new())
}

/// Not without mapping the file.
pub(crate) fn is_cached(_: &File, _: u64) -> Option<bool> {
    None
}

pub(crate) fn read_ahead(file: &File, part: &Range<u64>) -> io::Result<()> {
    Ok(rustix::fs::fcntl_rdadvise(
        file,
        part.start,
        part.end.saturating_sub(part.start),
    )?)
}

fn memory() -> System {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    system
}

/// macOS has no such file system beside those that a user makes of a RAM disk, which are as others.
#[expect(
    clippy::unnecessary_wraps,
    reason = "as on Linux, where the system is asked"
)]
pub(crate) fn is_in_memory(_: &Path) -> io::Result<bool> {
    Ok(false)
}

pub(crate) fn memory_total() -> Option<u64> {
    Some(memory().total_memory()).filter(|bytes| *bytes > 0)
}

#[expect(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn nameless_file(_purpose: &str) -> io::Result<Option<(File, PathBuf)>> {
    Ok(None)
}

/// A socket that no process has any more is not listed.
pub(crate) const TELLS_OF_ENDED_CONNECTIONS: bool = false;

/// See [`crate::ports::connections`].
pub(crate) fn connections(ports: &[u16]) -> io::Result<Connections> {
    use listeners::SocketState::{Established, SynReceived};
    let all = listeners::get_all().map_err(|error| io::Error::other(error.to_string()))?;
    let open = all.into_iter().any(|one| {
        one.protocol == listeners::Protocol::TCP
            && matches!(one.state, Established | SynReceived)
            && ports.contains(&one.socket.port())
    });
    Ok(Connections {
        open,
        ..Connections::default()
    })
}

/// The user whose process has the end `client` of a connection. Those of other users are not listed.
pub(crate) fn user_of_connection(
    client: SocketAddrV4,
    _server: SocketAddrV4,
) -> io::Result<Option<u32>> {
    let all = listeners::get_all().map_err(|error| io::Error::other(error.to_string()))?;
    let end = all.into_iter().find(|one| {
        one.socket == SocketAddr::V4(client) && one.protocol == listeners::Protocol::TCP
    });
    match end {
        Some(end) => Ok(look(end.process.pid)?.and_then(|seen| seen.user)),
        None => Ok(None),
    }
}

pub(crate) fn memory_available() -> Option<u64> {
    Some(memory().available_memory()).filter(|bytes| *bytes > 0)
}

pub(crate) fn on_battery() -> bool {
    let asked = std::process::Command::new("/usr/bin/pmset")
        .args(["-g", "batt"])
        .output();
    asked.is_ok_and(|output| crate::power::says_battery(&String::from_utf8_lossy(&output.stdout)))
}

pub(crate) fn has_nvidia_driver() -> bool {
    false
}

/// `None` if there is no such process.
pub(crate) fn look(pid: u32) -> io::Result<Option<Seen>> {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    let info: BSDInfo = match pidinfo(raw.as_raw_pid(), ZOMBIES_TOO) {
        Ok(info) => info,
        Err(_) if test_kill_process(raw) == Err(Errno::SRCH) => return Ok(None),
        Err(message) => return Err(io::Error::other(message)),
    };
    Ok(Some(Seen {
        start_ticks: info
            .pbi_start_tvsec
            .saturating_mul(1_000_000)
            .saturating_add(info.pbi_start_tvusec),
        stage: if info.pbi_status == ZOMBIE {
            Stage::Ended
        } else if info.pbi_flags & IN_EXIT != 0 {
            Stage::Exiting
        } else if info.pbi_status == STOPPED {
            Stage::Stopped
        } else {
            Stage::Running
        },
        user: Some(info.pbi_uid),
        executable: pidpath(raw.as_raw_pid()).ok().map(Into::into),
        pid_namespace: None,
        mount_namespace: None,
    }))
}

/// Whether the process has the file at `path` open; `None` if the system does not tell.
pub(crate) fn has_open(pid: u32, path: &Path) -> io::Result<Option<bool>> {
    let wanted = std::fs::metadata(path)?;
    let Ok(pid) = i32::try_from(pid) else {
        return Ok(None);
    };
    Ok(open_files::of(pid).map(|files| files.iter().any(|file| file.is(&wanted))))
}

/// Processes that have an argument ending with `mark`.
#[expect(
    clippy::unnecessary_wraps,
    reason = "listing can fail on the other system"
)]
pub(crate) fn with_argument_ending(mark: &str) -> io::Result<Vec<u32>> {
    let mut system = System::new();
    system.refresh_processes_specifics(
        ProcessesToUpdate::All,
        true,
        ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always),
    );
    let marked = system
        .processes()
        .iter()
        .filter(|(_, process)| is_marked(process, mark));
    Ok(marked.map(|(pid, _)| pid.as_u32()).collect())
}

fn is_marked(process: &sysinfo::Process, mark: &str) -> bool {
    let ends = |argument: &OsStr| argument.as_bytes().ends_with(mark.as_bytes());
    process.cmd().iter().any(|argument| ends(argument))
}

/// Whether the process has an argument ending with `mark`.
pub(crate) fn has_argument_ending(pid: u32, mark: &str) -> bool {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = System::new();
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        true,
        ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always),
    );
    system
        .process(pid)
        .is_some_and(|process| is_marked(process, mark))
}

/// The command line of a process; empty if it is gone or hidden from us.
pub(crate) fn arguments(pid: u32) -> Vec<String> {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = System::new();
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        true,
        ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always),
    );
    let words = system.process(pid).map(sysinfo::Process::cmd);
    let words = words.unwrap_or_default().iter();
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

/// The process that has started the process, or has taken its place.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    let info: BSDInfo = pidinfo(i32::try_from(pid).ok()?, 0).ok()?;
    Some(info.pbi_ppid)
}

pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = System::new();
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        true,
        ProcessRefreshKind::nothing().with_cpu(),
    );
    let process = system.process(pid)?;
    Some(Duration::from_millis(process.accumulated_cpu_time()))
}

pub(crate) fn process_memory(pid: u32) -> Option<ProcessMemory> {
    let usage: RUsageInfoV2 = pidrusage(i32::try_from(pid).ok()?).ok()?;
    Some(ProcessMemory {
        resident: usage.ri_resident_size,
        // What macOS itself charges a process with.
        anonymous: usage.ri_phys_footprint,
    })
}
