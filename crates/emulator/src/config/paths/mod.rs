//! Where every file, folder and socket is.
//!
//! ```text
//! <home>/                              STACK_EMULATOR_HOME
//!   settings.json                      choices that outlive a shell
//!   set-up.json                        there until the first set-up is done
//!   images/                            see [`images::store`]
//!   images/stack-emulator-<arch>.qcow2   an image put there by hand, manifest beside it
//!   logs/app.log                         what the desktop app writes of itself
//!   cache/                               QEMU's version, the accelerator's verdict
//!   instances/<name>/
//!     lock                               held by the one command that acts
//!     run.json                           what QEMU process there is, and why
//!     instance.json                      the image in use, the port offset
//!     ahead.json                         how many prepared starts in a row were not used
//!     secrets.json                       where the secrets are, but never a value
//!     projects.json                      the config files that were used last, and the `.env` files written for them
//!     projects.lock                      held while that list is changed
//!     idle                               locked by the process that stops it when nothing uses it
//!     users                              locked by each `run`: the last one stops what they started
//!     shares/<slot>                      link to a folder while it is plugged in
//!     snapshots/<id>/                    ram.raw device.state disk.qcow2 config.iso snapshot.json
//!     snapshots/current -> <id>
//!     snapshots/<id>.savevm.zst          what was a snapshot and was not used for long
//!     session/                           disk.qcow2 session.json (ram.mapped saved.json)
//!     sockets/                           of QEMU, and its process id
//!     logs/                              serial.log qemu.log ahead.log idle.log
//!     runtime                            link to the runtime folder, where it has no usual name
//!     checkpoints/<name>/                ram.raw device.state disk.qcow2 checkpoint.json
//!     checkpoints/.unfinished/           the machine that a checkpoint is made of while one is made
//!     restored/ replaced/                a session that takes the place of another; that other one
//!     ahead/                             the second machine: work done ahead of the next start
//!       lock worker.json                   held by the one process that works; which one it is
//!       unfinished/ used/                  what is being prepared; what the last prepared start replaced
//!       session/                           disk.qcow2 session.json ram.raw device.state prepared.json
//!       run.json logs/ sockets/            as above
//! <runtime folder>/                    what is short-lived: see [`runtime`]
//! ```

mod checkpoint;
mod of_folder;
mod runtime;
mod saved;
mod sockets;

use std::fmt;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use failure::{Code, Remedy};
use serde::{Deserialize, Serialize};

pub use self::checkpoint::{CheckpointName, CheckpointPaths, InvalidCheckpointName};
pub use self::saved::{SessionPaths, SnapshotPaths};

use super::variables::RUNTIME_FOLDER;

/// Ends the name of every snapshot archive.
pub(crate) const ARCHIVE_SUFFIX: &str = ".savevm.zst";

/// The name of an instance: 1 to 32 characters of `a-z`, `0-9`, `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceName(String);

impl InstanceName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the instance used when none is named.
    pub fn is_default(&self) -> bool {
        self.0 == "default"
    }
}

impl Default for InstanceName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

/// The text is no instance name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no instance name: use 1 to 32 of a-z, 0-9 and '-', and start with a letter")]
pub struct InvalidInstanceName(String);

impl FromStr for InstanceName {
    type Err = InvalidInstanceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let valid = text.len() <= 32
            && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && text.bytes().all(plain);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidInstanceName(text.to_owned()))
        }
    }
}

impl TryFrom<String> for InstanceName {
    type Error = InvalidInstanceName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<InstanceName> for String {
    fn from(name: InstanceName) -> Self {
        name.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A folder cannot be created, or is not the user's alone.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It could not be made.
    #[error("cannot create the folder {}", path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else could put sockets or files into it.
    #[error("the folder {} belongs to another user or is open to others", path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
}

impl FolderError {
    /// A stable code for programs.
    pub(crate) fn code(&self) -> Code {
        if failure::is_no_room(self) {
            Code::DiskFull
        } else {
            Code::Folder
        }
    }

    /// What to do about it.
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Make { .. } if failure::is_no_room(self) => Remedy::free_disk_space(),
            Self::Make { path, .. } => Remedy::check_owner_of(path),
            Self::NotPrivate { path } => Remedy::UsePrivateFolder {
                folder: path.display().to_string(),
                variable: RUNTIME_FOLDER,
            },
        }
    }
}

/// Makes `path` and its parents, for the user alone.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), FolderError> {
    let error = |source| FolderError::Make {
        path: path.to_owned(),
        source,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(error)?;
    let meta = std::fs::symlink_metadata(path).map_err(error)?;
    let mine = meta.uid() == rustix::process::getuid().as_raw();
    if !meta.is_dir() || !mine {
        return Err(FolderError::NotPrivate {
            path: path.to_owned(),
        });
    }
    if meta.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(error)?;
    }
    Ok(())
}

/// The emulator's home folder.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The home folder at `path`, which is made when something is put there.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `path` from the home folder on, if it is below it: what is written down
    /// so holds wherever the home is moved to. Joined to the home it is `path` again.
    pub(crate) fn relative(&self, path: &Path) -> PathBuf {
        let below = |home: &Path| path.strip_prefix(home).map(Path::to_owned).ok();
        below(&self.0)
            .or_else(|| below(&self.0.canonicalize().ok()?))
            .unwrap_or_else(|| path.to_owned())
    }

    /// Free space on the disk that it is on, or would be made on, in bytes.
    pub(crate) fn free_bytes(&self) -> std::io::Result<u64> {
        let mut folders = self.0.ancestors();
        let there = folders.find(|path| path.exists()).unwrap_or(&self.0);
        host::disk::free_bytes(there)
    }

    /// The images that were pulled.
    pub fn image_store(&self) -> images::store::Store {
        images::store::Store::at(self.0.join("images"))
    }

    /// An image that was put there by hand: used if no other was chosen.
    pub fn default_image(&self, arch: host::Arch) -> PathBuf {
        self.0.join(format!("images/stack-emulator-{arch}.qcow2"))
    }

    /// Answers that are dear to get and cheap to check.
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// What is known of newer releases of this program.
    pub fn updates(&self) -> PathBuf {
        self.cache().join("updates.json")
    }

    /// That the emulator is being set up, and with what.
    pub fn set_up(&self) -> PathBuf {
        self.0.join("set-up.json")
    }

    /// What the desktop app writes of itself.
    pub fn app_log(&self) -> PathBuf {
        self.0.join("logs/app.log")
    }

    /// Names of the instances that there are, in order.
    pub fn instance_names(&self) -> std::io::Result<Vec<InstanceName>> {
        let entries = match std::fs::read_dir(self.instances()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().filter(|_| path.is_dir());
            names.extend(name.and_then(|name| name.to_str()?.parse().ok()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The folder that holds one folder an instance.
    pub fn instances(&self) -> PathBuf {
        self.0.join("instances")
    }

    /// The files of the instance called `name`.
    pub fn instance(&self, name: &InstanceName) -> InstancePaths {
        InstancePaths {
            root: self.instances().join(name.as_str()),
        }
    }
}

/// The files of one instance.
#[derive(Clone, Debug)]
pub struct InstancePaths {
    pub(crate) root: PathBuf,
}

impl InstancePaths {
    /// The instance's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files of one of the instance's machines.
    pub fn slot(&self, slot: SlotName) -> SlotPaths {
        SlotPaths {
            instance: self.root.clone(),
            name: slot,
            root: match slot {
                // The instance's folder itself: so it was when there was one machine.
                SlotName::Main => self.root.clone(),
                SlotName::Ahead => self.root.join("ahead"),
                SlotName::Checkpoint => self.checkpoints().join(".unfinished"),
            },
        }
    }

    /// The files of the machine that the user works with.
    pub fn main(&self) -> SlotPaths {
        self.slot(SlotName::Main)
    }

    /// The image in use and the port offset.
    pub fn instance_record(&self) -> PathBuf {
        self.root.join("instance.json")
    }

    /// What became of what was prepared for starts.
    pub fn ahead_history(&self) -> PathBuf {
        self.root.join("ahead.json")
    }

    /// Where the secrets are; never a value.
    pub fn secret_place(&self) -> PathBuf {
        self.root.join("secrets.json")
    }

    /// Locked by the process that stops the machine when nothing uses it.
    pub fn idle(&self) -> PathBuf {
        self.root.join("idle")
    }

    /// What that process wrote.
    pub fn idle_log(&self) -> PathBuf {
        self.main().logs().join("idle.log")
    }

    /// Locked by those who use the emulator and may have it stopped afterwards.
    pub fn users(&self) -> PathBuf {
        self.root.join("users")
    }

    /// The config files that were used last.
    pub fn projects(&self) -> PathBuf {
        self.root.join("projects.json")
    }

    /// Locked while [`Self::projects`] is changed.
    pub fn projects_lock(&self) -> PathBuf {
        self.root.join("projects.lock")
    }

    /// The folder of all snapshots.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// The symbolic link that names the snapshot in use.
    pub fn current_snapshot(&self) -> PathBuf {
        self.snapshots().join("current")
    }

    /// The folder of one snapshot.
    pub fn snapshot(&self, id: &str) -> SnapshotPaths {
        SnapshotPaths {
            root: self.snapshots().join(id),
        }
    }

    /// The archive that takes the place of a snapshot that was not used for long.
    pub fn snapshot_archive(&self, id: &str) -> PathBuf {
        self.snapshots().join(format!("{id}{ARCHIVE_SUFFIX}"))
    }

    /// The folder of all checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The files of the checkpoint called `name`.
    pub fn checkpoint(&self, name: &CheckpointName) -> CheckpointPaths {
        CheckpointPaths {
            root: self.checkpoints().join(name.as_str()),
        }
    }

    /// A checkpoint that is being made, in the slot of the machine that it is made of.
    pub fn checkpoint_in_progress(&self) -> CheckpointPaths {
        CheckpointPaths {
            root: self.slot(SlotName::Checkpoint).root.join("checkpoint"),
        }
    }

    /// Where a capture works before it is committed.
    pub fn capture_in_progress(&self) -> SnapshotPaths {
        SnapshotPaths {
            root: self.snapshots().join(".capturing"),
        }
    }
}

/// Which of an instance's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotName {
    /// The one that the user works with.
    Main,
    /// The one on which work is done ahead.
    Ahead,
    /// The copy of the user's that a checkpoint is made of. It never runs.
    Checkpoint,
}

impl SlotName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Main, Self::Ahead, Self::Checkpoint];
}

/// The files of one of an instance's machines.
#[derive(Clone, Debug)]
pub struct SlotPaths {
    root: PathBuf,
    /// The instance's folder.
    instance: PathBuf,
    name: SlotName,
}

impl SlotPaths {
    /// The slot's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files of another machine of the same instance.
    pub(crate) fn of_same_instance(&self, name: SlotName) -> Self {
        let instance = InstancePaths {
            root: self.instance.clone(),
        };
        instance.slot(name)
    }

    /// Locked by the one command that acts on the machine.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// What QEMU process there is, and why.
    pub fn run_record(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// Leads to the folder that is being plugged into slot `slot`, for as long as
    /// that takes.
    pub fn share_link(&self, slot: u8) -> PathBuf {
        self.root.join("shares").join(slot.to_string())
    }

    /// The session: a disk, and what was saved with it.
    pub fn session(&self) -> SessionPaths {
        SessionPaths {
            root: self.root.join("session"),
        }
    }

    /// Which process works in this slot without holding the instance.
    pub fn worker(&self) -> PathBuf {
        self.root.join("worker.json")
    }

    /// What is of no use any more and not removed yet, such as the saved memory of a session that went on.
    pub fn used(&self) -> PathBuf {
        self.root.join("used")
    }

    /// What is being prepared, in the form of a session; of no use to anybody but its maker.
    pub fn unfinished(&self) -> SessionPaths {
        SessionPaths {
            root: self.root.join("unfinished"),
        }
    }

    /// A session that is about to take the place of [`Self::session`].
    pub fn restored(&self) -> SessionPaths {
        SessionPaths {
            root: self.root.join("restored"),
        }
    }

    /// The session whose place was taken, until it is removed.
    pub fn replaced(&self) -> SessionPaths {
        SessionPaths {
            root: self.root.join("replaced"),
        }
    }

    /// The folder of its logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What the guest wrote to its serial console.
    pub fn serial_log(&self) -> PathBuf {
        self.logs().join("serial.log")
    }

    /// What the last work ahead of a start wrote, in the slot of the user's machine: it outlives that work.
    pub fn ahead_log(&self) -> PathBuf {
        self.logs().join("ahead.log")
    }

    /// What QEMU itself wrote.
    pub fn qemu_log(&self) -> PathBuf {
        self.logs().join("qemu.log")
    }

    /// The config disk of a boot that belongs to no snapshot.
    pub fn boot_config_iso(&self) -> PathBuf {
        self.root.join("config.iso")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["default", "a", "ci-2"] {
            assert_eq!(good.parse::<InstanceName>().unwrap().as_str(), good);
        }
        for bad in ["", "2nd", "-x", "A", "a/b", "..", "ä", &"x".repeat(33)] {
            assert!(bad.parse::<InstanceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn free_space_is_known_before_the_home_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("not/yet"));
        assert!(home.free_bytes().unwrap() > 0);
    }

    #[test]
    fn a_folder_open_to_others_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("open");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        make_private_folder(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_is_no_private_folder() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert!(make_private_folder(&link).is_err());
    }
}
