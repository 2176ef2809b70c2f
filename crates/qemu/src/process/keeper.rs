//! The logs of one QEMU, of a bounded length whatever the guest does.
//!
//! A guest writes to its serial console as fast as it can, and can have QEMU complain, for as long as
//! it runs and whether or not a program of ours is there. QEMU bounds no file that it writes. So it
//! writes into two pipes, and a small process of ours, which lives exactly as long as they are open,
//! writes what comes out of them: at most [`LIMIT`] a log, the end of it once that is reached. If that
//! process is killed, what QEMU writes is lost and it runs on.
//!
//! A pipe that is full makes the guest wait, so reading slowly is what bounds the work it can make.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

/// The first argument of a program that is to keep logs. The two paths follow.
const KEEP_LOGS: &str = "--keep-logs";
/// Variables that relocated installations need to find their libraries.
const LIBRARIES: [&str; 3] = [
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
];
/// Most bytes of a log.
const LIMIT: u64 = 4 << 20;
/// How much of its end is kept when it would become longer, in bytes.
const KEPT: u64 = 1 << 20;
/// How much is read at once, in bytes: what a pipe holds.
const BLOCK: usize = 64 << 10;
/// Between two readings: what comes meanwhile is read at once, and a guest that floods its console
/// gets no more than some MB/s written.
const PAUSE: Duration = Duration::from_millis(10);

/// Keeps logs if that is what this program was started for; every program that starts machines has to
/// call this first.
pub fn keep_logs_if_asked(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().skip(1).collect();
    let [asked, serial, output] = &arguments[..] else {
        return None;
    };
    if asked != KEEP_LOGS {
        return None;
    }
    Some(match keep(Path::new(serial), Path::new(output)) {
        Ok(()) => ExitCode::SUCCESS,
        // QEMU's own output is the one place where anybody would look.
        Err(_) => ExitCode::FAILURE,
    })
}

/// Writes what comes on standard input to `serial`, and what can be read from standard output, which is
/// the reading end of a pipe, to `output`; until both have ended.
fn keep(serial: &Path, output: &Path) -> io::Result<()> {
    let said = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let console = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (mut serial, mut output) = (BoundedLog::new(serial)?, BoundedLog::new(output)?);
    let kept = std::thread::Builder::new().spawn(move || output.take_in(said))?;
    serial.take_in(console);
    // A panic in it has ended it, too.
    drop(kept.join());
    Ok(())
}

/// The process that keeps the logs of a QEMU that is about to be started.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) child: tokio::process::Child,
    /// Where the guest's console goes.
    pub(super) console: OwnedFd,
    /// Where QEMU's own output goes.
    pub(super) output: OwnedFd,
}

impl Keeper {
    /// Starts `program`, which calls [`keep_logs_if_asked`].
    pub(super) fn start(program: &Path, serial: &Path, output: &Path) -> io::Result<Self> {
        let (console_out, console) = io::pipe()?;
        let (said_out, said) = io::pipe()?;
        let mut command = Command::new(program);
        command
            .arg0("stack-emulator")
            .arg(KEEP_LOGS)
            .args([serial, output])
            .current_dir("/")
            .process_group(0)
            .stdin(OwnedFd::from(console_out))
            .stdout(OwnedFd::from(said_out))
            .stderr(Stdio::null())
            .env_clear();
        // What it takes to be run, and no more: it asks for nothing.
        command.envs(
            LIBRARIES
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        );
        // The command, and with it our copies of the reading ends, ends with the statement.
        let child = tokio::process::Command::from(command).spawn()?;
        Ok(Self {
            child,
            console: console.into(),
            output: said.into(),
        })
    }
}

/// A log that does not become longer than [`LIMIT`].
struct BoundedLog {
    /// Its folder, wherever that is moved.
    folder: OwnedFd,
    name: OsString,
    /// As long as it is the one of that name.
    file: Option<File>,
}

impl BoundedLog {
    fn new(path: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let mut log = Self {
            folder: rustix::fs::openat(CWD, folder, flags, Mode::empty())?,
            name: name.to_owned(),
            file: None,
        };
        log.file = Some(log.open(&log.name, OFlags::CREATE | OFlags::APPEND)?);
        Ok(log)
    }

    /// Takes in all that can be read.
    fn take_in(&mut self, mut from: impl Read) {
        let mut block = vec![0; BLOCK];
        loop {
            match from.read(&mut block) {
                Ok(0) => return,
                // What cannot be written, as on a full disk, is lost: there is nobody to tell, and who does
                // not read on makes the guest wait.
                Ok(read) => drop(self.add(block.get(..read).unwrap_or_default())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) if self.is_named(&file) => file,
            // The keeper of another machine has begun it anew. One that was removed is not made again: its
            // folder is being removed, perhaps.
            Some(_) | None => self.open(&self.name, OFlags::APPEND)?,
        };
        let length = file.metadata()?.len();
        if length.saturating_add(bytes.len() as u64) > LIMIT {
            if let Ok(shorter) = self.shorten(&mut file, length) {
                file = shorter;
            } else {
                file.set_len(0)?;
            }
        }
        file.write_all(bytes)?;
        self.file = Some(file);
        Ok(())
    }

    /// Has a file with the end of the log take its place.
    fn shorten(&self, file: &mut File, length: u64) -> io::Result<File> {
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(length.saturating_sub(KEPT)))?;
        file.take(KEPT).read_to_end(&mut end)?;
        // It begins where a line begins.
        let line = end.iter().position(|byte| *byte == b'\n');
        let end = line.and_then(|at| end.get(at + 1..)).unwrap_or(&end);
        let mut name = self.name.clone();
        name.push(".new");
        let mut shorter = self.open(&name, OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND)?;
        shorter.write_all(end)?;
        rustix::fs::renameat(&self.folder, &name, &self.folder, &self.name)?;
        Ok(shorter)
    }

    fn open(&self, name: &OsStr, more: OFlags) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = File::from(rustix::fs::openat(&self.folder, name, flags, mode)?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    /// Whether `file` is still the one of the log's name.
    fn is_named(&self, file: &File) -> bool {
        let (Ok(ours), Ok(named)) = (
            file.metadata(),
            rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW),
        ) else {
            return false;
        };
        #[allow(
            clippy::unnecessary_cast,
            clippy::cast_sign_loss,
            reason = "the types differ between systems"
        )]
        let named = (named.st_dev as u64, named.st_ino as u64);
        (ours.dev(), ours.ino()) == named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads so much, line by line, and then as an end that has no line's end.
    struct Flood {
        lines: u64,
        most: u64,
    }

    impl Read for Flood {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.lines == self.most {
                return Ok(0);
            }
            let mut filled = 0;
            while self.lines < self.most {
                let line = format!("line {:>59}\n", self.lines);
                let Some(room) = into.get_mut(filled..filled + line.len()) else {
                    break;
                };
                room.copy_from_slice(line.as_bytes());
                filled += line.len();
                self.lines += 1;
            }
            Ok(filled)
        }
    }

    #[test]
    fn however_much_comes_the_log_is_bounded_and_has_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serial.log");
        std::fs::write(&path, "of an earlier start\n".repeat(1000)).unwrap();
        let mut log = BoundedLog::new(&path).unwrap();
        // Five times the limit.
        let most = 5 * LIMIT / 65;
        log.take_in(Flood { lines: 0, most });
        let text = std::fs::read_to_string(&path).unwrap();
        assert!((KEPT / 2..=LIMIT).contains(&(text.len() as u64)));
        let numbers = text.lines().map(|line| {
            let number = line.strip_prefix("line ").expect("whole lines");
            number.trim().parse::<u64>().unwrap()
        });
        let numbers: Vec<u64> = numbers.collect();
        assert!(numbers.is_sorted_by(|one, next| one + 1 == *next));
        assert_eq!(numbers.last(), Some(&(most - 1)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_log_is_written_where_its_folder_is_and_not_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, moved) = (dir.path().join("logs"), dir.path().join("moved"));
        std::fs::create_dir(&folder).unwrap();
        let mut log = BoundedLog::new(&folder.join("qemu.log")).unwrap();
        log.add(b"one\n").unwrap();
        std::fs::rename(&folder, &moved).unwrap();
        log.add(b"two\n").unwrap();
        let path = moved.join("qemu.log");
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        // As the keeper of another machine does.
        std::fs::write(moved.join("new"), "three\n").unwrap();
        std::fs::rename(moved.join("new"), &path).unwrap();
        log.add(b"four\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three\nfour\n");
        std::fs::remove_file(&path).unwrap();
        assert!(log.add(b"five\n").is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_link_in_a_log_s_place_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("serial.log"), dir.path().join("other"));
        std::fs::write(&other, "mine").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(BoundedLog::new(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        let mut log = BoundedLog::new(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(log.add(b"one\n").is_err());
        assert_eq!(std::fs::read(&other).unwrap(), b"mine");
    }

    #[test]
    fn other_arguments_are_not_for_it() {
        let asked =
            |arguments: &[&str]| keep_logs_if_asked(arguments.iter().map(OsString::from)).is_some();
        assert!(!asked(&["stack-emulator", "start"]));
        assert!(!asked(&["stack-emulator", KEEP_LOGS]));
        assert!(!asked(&["stack-emulator", "logs", "a", "b"]));
        assert!(asked(&["stack-emulator", KEEP_LOGS, "/", "/"]), "it fails");
    }
}
