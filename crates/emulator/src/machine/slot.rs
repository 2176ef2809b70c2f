//! A slot: the place of one machine of an instance, with what tells that machine from every other
//! process of this host.
//!
//! Three things are asked of a process before it is taken for the slot's machine:
//!
//! - The run record is this folder's. It names the folder by device, inode and time of birth, which
//!   a copy of the folder does not share: the copy's record is about the original's machine.
//! - The process is the recorded one: id, start time, boot, user, program and namespaces agree.
//! - It carries the token of the record. A token is random, made for each spawn and written down
//!   before QEMU is started with it, so nobody can have a process ready that carries it.
//!
//! Where the record is lost, a QEMU of ours whose token ends with this folder's mark is its machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use qemu::ProcessIdentity;
use qemu::process::{IdentityError, carries_token, find_by_token, find_by_token_end};
use qemu::stop::StopLimits;
use record::{Durability, RecordError};

use super::run_record::{EndedBy, Purpose, RunRecord};
use crate::config::identity::FolderIdentity;
use crate::config::paths::{FolderError, SlotName, SlotPaths, make_private_folder};
use crate::machine::error::MachineError as Error;

/// Bytes of a token that are random.
const RANDOM_BYTES: usize = 16;
/// A disk with less room than this, in bytes, is full.
const NO_ROOM: u64 = 1 << 20;
/// How much of QEMU's log is looked at, in bytes.
const TAIL: u64 = 1024;
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(20);
/// How long a process that dies may take to be gone once its sockets are.
pub(super) const DEATH_LIMIT: Duration = Duration::from_millis(200);
/// For what ends by itself, or with what it is waited beside.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the run record of a slot says.
#[derive(Debug)]
pub(crate) enum Recorded {
    /// There is none: no machine.
    Nothing,
    /// It came here with a copy of another folder, and tells of that folder's machine.
    Foreign(Box<RunRecord>),
    /// It cannot be understood.
    Damaged(RecordError),
    /// It is about this slot's machine.
    Ours(Box<RunRecord>),
}

/// The place of one machine.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub paths: SlotPaths,
    /// Its folder among the files of this boot.
    pub runtime_folder: PathBuf,
}

impl Slot {
    /// The slot at `paths`, whose folders are made if they are not there.
    pub(crate) fn open(paths: SlotPaths) -> Result<Self, FolderError> {
        let runtime_folder = paths.runtime_folder()?;
        Ok(Self {
            paths,
            runtime_folder,
        })
    }

    /// A record of this slot for `purpose`, with a new token and no process yet.
    pub(crate) fn new_record(&self, purpose: Purpose) -> Result<RunRecord, Error> {
        let folder = FolderIdentity::of(self.paths.root())
            .map_err(Error::file("look at", self.paths.root()))?;
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(Error::Random)?;
        Ok(RunRecord {
            process: None,
            runtime_folder: self.runtime_folder.clone(),
            token: Some(format!(
                "{:032x}-{}",
                u128::from_be_bytes(random),
                folder.mark()
            )),
            folder: Some(folder),
            network: None,
            pid_file: true,
            purpose,
        })
    }

    /// The folder for the sockets of a new machine, without what others have left in it.
    pub(crate) fn sockets(&self) -> Result<PathBuf, Error> {
        let folder = self.paths.sockets_folder();
        make_private_folder(&folder)?;
        // The machine of the main slot may have been this one's.
        let main = record_of(&self.paths.of_same_instance(SlotName::Main));
        let token = main.ok().flatten().and_then(|record| record.token);
        let kept = token.map(|token| self.paths.pid_file(&token));
        for entry in std::fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
            let path = entry.map_err(Error::file("list", &folder))?.path();
            if path.extension().is_some_and(|end| end == "pid") && Some(&path) != kept.as_ref() {
                record::remove_file(&path).map_err(Error::file("remove", &path))?;
            }
        }
        Ok(self.paths.sockets()?)
    }

    /// Writes the run record. It has to be whole for the processes of this boot alone.
    pub(crate) fn write(&self, record: &RunRecord) -> Result<(), RecordError> {
        record::write(&self.paths.run_record(), record, Durability::ThisBoot)
    }

    /// Removes the run record: there is no machine any more.
    pub(crate) fn forget(&self) -> Result<(), Error> {
        if let Ok(Some(record)) = record_of(&self.paths) {
            remove_pid_files(&self.paths, &record)?;
        }
        let path = self.paths.run_record();
        record::remove_file(&path).map_err(Error::file("remove", &path))
    }

    /// QEMU's own writes fail in its words alone, so the disk is looked at.
    pub(crate) fn or_disk_full(&self, error: Error) -> Error {
        match error {
            Error::Migration { .. } | Error::QemuDied { .. } if self.is_disk_full() => {
                self.disk_full()
            }
            error => error,
        }
    }

    fn is_disk_full(&self) -> bool {
        host::disk::free_bytes(self.paths.root()).is_ok_and(|free| free < NO_ROOM)
    }

    pub(crate) fn disk_full(&self) -> Error {
        Error::DiskFull {
            folder: self.paths.root().to_owned(),
        }
    }

    /// A write to a mapped memory file that finds no room kills QEMU without
    /// a word.
    pub(crate) fn why_qemu_died(&self) -> Error {
        self.or_disk_full(Error::QemuDied {
            log: self.paths.qemu_log(),
        })
    }

    /// Does `work` with the machine of `process`, but not past its end: the ports of a machine that is gone
    /// refuse a connection just as those of a service that is not ready yet.
    pub(crate) async fn while_alive<T, E: From<Error>>(
        &self,
        process: Option<&ProcessIdentity>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // Callers hold it for as long as it lasts, and most of it is large.
        let work = Box::pin(work);
        let Some(process) = process else {
            return work.await;
        };
        let result = tokio::select! {
            biased;
            result = work => result,
            _ = process.wait_gone(FOREVER) => return Err(self.why_qemu_died().into()),
        };
        match result {
            Ok(value) => Ok(value),
            // A connection that broke is seen before the end of the process that broke it.
            Err(error) => match process.wait_gone(DEATH_LIMIT).await {
                Ok(()) => Err(self.why_qemu_died().into()),
                Err(_) => Err(error),
            },
        }
    }
}

/// Where the process id of the machine of `record` is written: one that stood by was started for the
/// second slot.
fn pid_files(paths: &SlotPaths, record: &RunRecord) -> Vec<PathBuf> {
    let Some(token) = &record.token else {
        return Vec::new();
    };
    let ahead = paths.of_same_instance(SlotName::Ahead);
    vec![paths.pid_file(token), ahead.pid_file(token)]
}

/// Removes what a QEMU that was killed has left there.
pub(crate) fn remove_pid_files(paths: &SlotPaths, record: &RunRecord) -> Result<(), Error> {
    pid_files(paths, record)
        .iter()
        .try_for_each(|path| record::remove_file(path).map_err(Error::file("remove", path)))
}

/// How the process of `record`, which lives no more, has ended; `None` if it was killed or crashed.
pub(crate) fn ended_by(paths: &SlotPaths, record: &RunRecord) -> Option<EndedBy> {
    let process = record.process.as_ref()?;
    if host::boot_id().is_ok_and(|boot_id| boot_id != process.boot_id) {
        return Some(EndedBy::Reboot);
    }
    // QEMU removes the file when it ends by itself.
    if !record.pid_file || pid_files(paths, record).iter().any(|path| path.exists()) {
        return None;
    }
    let since = record.running().map_or(0, |vm| vm.started_at_ms);
    Some(if says_signal(&paths.qemu_log(), since) {
        EndedBy::Signal
    } else {
        EndedBy::Guest
    })
}

/// Whether the last that QEMU wrote into its log, after `since_ms`, is that a signal ends it. That only
/// chooses the words.
fn says_signal(log: &Path, since_ms: u64) -> bool {
    let written = || {
        let at = std::fs::metadata(log).ok()?.modified().ok()?;
        at.duration_since(std::time::UNIX_EPOCH).ok()
    };
    written().is_some_and(|at| at.as_millis() >= u128::from(since_ms))
        && last_line(log).is_ok_and(|line| line.contains("terminating on signal"))
}

fn last_line(path: &Path) -> std::io::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = record::regular::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut text = Vec::new();
    file.take(TAIL).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text
        .trim_end()
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned())
}

/// Whether `process` runs on the disk at `disk`. Its memory is of no use beside another one, such as a copy
/// that was put into the disk's place.
pub(crate) fn check_disk(process: &ProcessIdentity, disk: &Path) -> Result<(), Error> {
    match process.has_open(disk) {
        Ok(Some(false)) => {}
        // Where the system does not tell, nothing speaks against it.
        Ok(Some(true) | None) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::file("look at", disk)(error)),
    }
    Err(Error::OtherDisk {
        disk: disk.to_owned(),
    })
}

/// Ends processes of which nothing is wanted any more.
pub(crate) async fn kill(processes: &[ProcessIdentity]) -> Result<(), Error> {
    let limits = StopLimits {
        powerdown: None,
        quit: None,
        kill: KILL_LIMIT,
    };
    for process in processes {
        qemu::stop::stop(None, process, &limits).await?;
    }
    Ok(())
}

/// Waits until the process of `record`, which lives no more, is gone: one that is exiting still has
/// its ports and the locks of its disks.
pub(crate) async fn wait_gone(record: &RunRecord) -> Result<(), Error> {
    if let Some(process) = &record.process {
        process.wait_gone(KILL_LIMIT).await?;
    }
    Ok(())
}

/// What the run record of the slot at `paths` says.
pub(crate) fn recorded(paths: &SlotPaths) -> Result<Recorded, RecordError> {
    let record: RunRecord = match record::read_optional(&paths.run_record()) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(Recorded::Nothing),
        Err(error) if error.is_damaged() => return Ok(Recorded::Damaged(error)),
        Err(error) => return Err(error),
    };
    // After another boot a file system can have another device number, and nothing runs.
    let of_this_boot = record
        .process
        .as_ref()
        .is_none_or(|process| host::boot_id().is_ok_and(|boot_id| boot_id == process.boot_id));
    let foreign = of_this_boot
        && record.folder.is_some_and(|recorded| {
            // A folder that cannot be looked at is the one that the record was read from.
            FolderIdentity::of(paths.root()).is_ok_and(|now| now != recorded)
        });
    let record = Box::new(record);
    Ok(if foreign {
        Recorded::Foreign(record)
    } else {
        Recorded::Ours(record)
    })
}

/// The run record of the slot at `paths`, if it is about a machine of that slot.
pub(crate) fn record_of(paths: &SlotPaths) -> Result<Option<RunRecord>, RecordError> {
    match recorded(paths)? {
        Recorded::Nothing | Recorded::Foreign(_) => Ok(None),
        Recorded::Damaged(error) => Err(error),
        Recorded::Ours(record) => Ok(Some(*record)),
    }
}

/// The processes that `record` is about, if they live. One whose id was not written down yet is
/// looked for by its token.
pub(crate) fn live_processes(
    paths: &SlotPaths,
    record: &RunRecord,
) -> Result<Vec<ProcessIdentity>, Error> {
    let token = match &record.token {
        Some(token) => token.clone(),
        // Of a version that marked all machines of a folder alike.
        None => paths.digest()?,
    };
    Ok(match &record.process {
        Some(process) if is_ours(process, &token)? => vec![process.clone()],
        Some(_) => Vec::new(),
        None => find_by_token(&token, None)?,
    })
}

fn is_ours(process: &ProcessIdentity, token: &str) -> Result<bool, IdentityError> {
    Ok(process.is_alive()? && carries_token(process, token))
}

/// QEMU processes of the slot at `paths`, whatever their tokens.
pub(crate) fn orphans(paths: &SlotPaths) -> Result<Vec<ProcessIdentity>, Error> {
    let root = paths.root();
    let folder = FolderIdentity::of(root).map_err(Error::file("look at", root))?;
    let mut found = find_by_token_end(&format!("-{}", folder.mark()))?;
    found.extend(find_by_token(&paths.digest()?, None)?);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::{Home, InstanceName};

    fn slot(home: &Path, name: SlotName) -> Slot {
        let paths = Home::new(home.to_owned()).instance(&InstanceName::default());
        Slot::open(paths.slot(name)).unwrap()
    }

    #[test]
    fn a_copy_of_a_folder_does_not_take_the_original_s_machine_for_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (home, copy) = (dir.path().join("home"), dir.path().join("copy"));
        let original = slot(&home, SlotName::Main);
        let record = original.new_record(Purpose::Capturing).unwrap();
        original.write(&record).unwrap();
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([&home, &copy])
            .status()
            .unwrap();
        assert!(copied.success());
        let copied = slot(&copy, SlotName::Main);
        assert!(matches!(
            recorded(&copied.paths).unwrap(),
            Recorded::Foreign(_)
        ));
        assert!(record_of(&copied.paths).unwrap().is_none());
        // Moved, it is the same folder.
        let moved = dir.path().join("moved");
        std::fs::rename(&home, &moved).unwrap();
        let moved = slot(&moved, SlotName::Main);
        assert_eq!(
            record_of(&moved.paths).unwrap().unwrap().token,
            record.token
        );
    }

    /// A process that waits for a line, or for its end.
    fn machine() -> (std::process::Child, ProcessIdentity) {
        let mut command = std::process::Command::new("cat");
        command.stdin(std::process::Stdio::piped());
        let child = command.spawn().unwrap();
        let identity = ProcessIdentity::of(child.id()).unwrap().unwrap();
        (child, identity)
    }

    fn unanswered() -> Error {
        Error::DiskFull {
            folder: PathBuf::new(),
        }
    }

    #[tokio::test]
    async fn what_is_asked_of_a_machine_is_not_waited_for_past_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let main = slot(dir.path(), SlotName::Main);
        let is_lost = |result| matches!(result, Err(Error::QemuDied { .. }));

        let (mut child, process) = machine();
        let done = main.while_alive(Some(&process), async { Ok::<_, Error>(7) });
        assert_eq!(done.await.unwrap(), 7);
        let failed = async { Err::<(), _>(unanswered()) };
        let failed = main.while_alive(Some(&process), failed).await;
        assert!(matches!(failed, Err(Error::DiskFull { .. })), "{failed:?}");
        // Nothing would ever answer.
        let ((), waited) = tokio::join!(
            async { child.kill().unwrap() },
            main.while_alive(Some(&process), std::future::pending::<Result<(), Error>>())
        );
        assert!(is_lost(waited));
        child.wait().unwrap();

        // Its end breaks a connection, which is told first.
        let (mut child, process) = machine();
        let broken = async {
            child.kill().unwrap();
            Err::<(), _>(unanswered())
        };
        assert!(is_lost(main.while_alive(Some(&process), broken).await));
        child.wait().unwrap();
    }

    #[test]
    fn a_record_of_an_earlier_boot_is_not_taken_for_a_copy_s() {
        let dir = tempfile::tempdir().unwrap();
        let main = slot(dir.path(), SlotName::Main);
        let mut record = main.new_record(Purpose::Capturing).unwrap();
        let mut process = ProcessIdentity::of(std::process::id()).unwrap().unwrap();
        process.boot_id = "another".to_owned();
        record.process = Some(process);
        record.folder = Some(FolderIdentity {
            device: 0,
            inode: 0,
            born_ns: None,
        });
        main.write(&record).unwrap();
        assert!(matches!(recorded(&main.paths).unwrap(), Recorded::Ours(_)));
        assert!(live_processes(&main.paths, &record).unwrap().is_empty());
    }

    #[test]
    fn each_spawn_has_a_token_of_its_own_that_names_its_slot() {
        let dir = tempfile::tempdir().unwrap();
        let (main, ahead) = (
            slot(dir.path(), SlotName::Main),
            slot(dir.path(), SlotName::Ahead),
        );
        let token = |slot: &Slot| slot.new_record(Purpose::Capturing).unwrap().token.unwrap();
        let (one, two, other) = (token(&main), token(&main), token(&ahead));
        assert_ne!(one, two);
        let end = |token: &str| token.split_once('-').unwrap().1.to_owned();
        assert_eq!(end(&one), end(&two));
        assert_ne!(end(&one), end(&other));
        assert!(main.runtime_folder != ahead.runtime_folder);
    }

    #[test]
    fn only_a_process_that_carries_the_token_is_the_slot_s() {
        let dir = tempfile::tempdir().unwrap();
        let main = slot(dir.path(), SlotName::Main);
        let mut record = main.new_record(Purpose::Capturing).unwrap();
        // Alive, and with everything else that a record tells of a process.
        record.process = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(record.process.is_some());
        assert!(live_processes(&main.paths, &record).unwrap().is_empty());
    }

    #[test]
    fn a_record_of_before_tokens_is_still_understood() {
        let dir = tempfile::tempdir().unwrap();
        let main = slot(dir.path(), SlotName::Main);
        let text = r#"{"process":null,"runtime_folder":"/run/x","purpose":"capturing"}"#;
        let old: RunRecord = serde_json::from_str(text).unwrap();
        main.write(&old).unwrap();
        assert!(record_of(&main.paths).unwrap().is_some());
        assert!(live_processes(&main.paths, &old).unwrap().is_empty());
    }

    #[test]
    fn how_qemu_has_ended_is_told_from_what_it_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let main = slot(dir.path(), SlotName::Main);
        let mut record = main.new_record(Purpose::Capturing).unwrap();
        record.process = ProcessIdentity::of(std::process::id()).unwrap();
        let token = record.token.clone().unwrap();
        main.sockets().unwrap();
        std::fs::create_dir_all(main.paths.logs()).unwrap();
        for of in [&main.paths, &main.paths.of_same_instance(SlotName::Ahead)] {
            std::fs::create_dir_all(of.sockets_folder()).unwrap();
            std::fs::write(of.pid_file(&token), "7").unwrap();
            assert_eq!(ended_by(&main.paths, &record), None, "killed");
            std::fs::remove_file(of.pid_file(&token)).unwrap();
        }
        assert_eq!(ended_by(&main.paths, &record), Some(EndedBy::Guest));
        let said = "a\nqemu: terminating on signal 15 from pid 7 (kill)\n";
        std::fs::write(main.paths.qemu_log(), said).unwrap();
        assert_eq!(ended_by(&main.paths, &record), Some(EndedBy::Signal));
        std::fs::write(main.paths.qemu_log(), format!("{said}other\n")).unwrap();
        assert_eq!(ended_by(&main.paths, &record), Some(EndedBy::Guest));
        let old = RunRecord {
            pid_file: false,
            ..record.clone()
        };
        assert_eq!(ended_by(&main.paths, &old), None, "nobody knows");
        if let Some(process) = &mut record.process {
            process.boot_id = "another".to_owned();
        }
        assert_eq!(ended_by(&main.paths, &record), Some(EndedBy::Reboot));
    }

    #[test]
    fn memory_belongs_to_the_disk_that_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, copy) = (dir.path().join("disk"), dir.path().join("copy"));
        std::fs::write(&disk, "disk").unwrap();
        std::fs::copy(&disk, &copy).unwrap();
        let open = std::fs::File::open(&disk).unwrap();
        let this = ProcessIdentity::of(std::process::id()).unwrap().unwrap();
        let is_it = || check_disk(&this, &disk).is_ok();
        assert!(is_it());
        std::fs::rename(&copy, &disk).unwrap();
        assert!(!is_it());
        std::fs::remove_file(&disk).unwrap();
        assert!(!is_it());
        drop(open);
    }
}
