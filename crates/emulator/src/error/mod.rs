//! What can go wrong with an operation, with a stable code and a remedy.

mod remedy;

use std::path::PathBuf;

use crate::instance::lock::LockError;
use crate::machine::ports::Taken;

/// Why an operation on an instance failed.
///
/// [`Error::code`] is stable and meant for programs; the message says what
/// happened, [`Error::hint`] what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder cannot be made or trusted.
    #[error(transparent)]
    Folder(#[from] crate::config::paths::FolderError),
    /// The instance is in use.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is no usable QEMU.
    #[error(transparent)]
    Qemu(#[from] qemu::BinaryError),
    /// No accelerator works.
    #[error(transparent)]
    Accelerator(#[from] qemu::ProbeError),
    /// There is no image.
    #[error("there is no image at {}", path.display())]
    NoImage {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The image cannot be used.
    #[error(transparent)]
    Image(#[from] images::ImageError),
    /// An image that was pulled is not what it was.
    #[error("the image {} has SHA-256 {found}, and had {expected} when it was pulled: it is damaged", path.display())]
    ImageChanged {
        /// The image.
        path: PathBuf,
        /// What it was.
        expected: images::Sha256Digest,
        /// What it is.
        found: images::Sha256Digest,
    },
    /// The store of images cannot be read or changed.
    #[error(transparent)]
    ImageStore(#[from] images::store::StoreError),
    /// No image, or more than one, is meant.
    #[error(transparent)]
    ImageName(#[from] images::store::NameError),
    /// The image is in use.
    #[error("the image {} is in use: {}", digest.short(), uses.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    ImageInUse {
        /// The image.
        digest: images::Sha256Digest,
        /// By whom.
        uses: Vec<crate::library::installed::ImageUse>,
    },
    /// The session that is kept belongs to another image than the one chosen.
    #[error("a session is kept that belongs to the image {}", image.display())]
    SessionKept {
        /// The session's image.
        image: PathBuf,
    },
    /// An image cannot be got.
    #[error(transparent)]
    Pull(Box<crate::library::pull::PullError>),
    /// What the user has set cannot be read or written.
    #[error("the settings cannot be used")]
    Preferences {
        /// What is wrong with them.
        #[source]
        source: record::RecordError,
    },
    /// No service of the image is called that.
    #[error("the image has no service {service:?}; it has {}", known.join(", "))]
    UnknownService {
        /// What was asked for.
        service: String,
        /// The services' identifiers.
        known: Vec<String>,
    },
    /// This host or the image cannot have that.
    #[error("{asked} cannot be: {limit}")]
    Limit {
        /// What was asked for.
        asked: String,
        /// What there is.
        limit: String,
    },
    /// A setting cannot have that value.
    #[error(transparent)]
    Preference(#[from] crate::config::preferences::InvalidPreference),
    /// Changes cannot be watched for.
    #[error(transparent)]
    Watch(#[from] crate::logs::watches::WatchError),
    /// A log cannot be read or written.
    #[error(transparent)]
    Log(#[from] crate::logs::LogError),
    /// The image needs more than the settings give it.
    #[error("the image needs at least {needed}, and {variable} gives it {given}")]
    TooSmall {
        /// What it needs.
        needed: String,
        /// The variable to change.
        variable: &'static str,
        /// What it would get.
        given: String,
    },
    /// A service of the image has no port that can be used.
    #[error(
        "service {service} cannot have the guest port {template:?} with the port prefix {prefix}"
    )]
    GuestPort {
        /// The service.
        service: String,
        /// The port as the manifest gives it.
        template: String,
        /// The prefix in force.
        prefix: u16,
    },
    /// Two services would have the same port on the host.
    #[error("services {first} and {second} would both have host port {port}")]
    PortTwice {
        /// One service.
        first: String,
        /// The other.
        second: String,
        /// The port.
        port: u16,
    },
    /// Ports are taken.
    #[error("{}", taken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    PortsTaken {
        /// Which, by whom.
        taken: Vec<Taken>,
    },
    /// A file of ours cannot be read or written.
    #[error(transparent)]
    Record(#[from] record::RecordError),
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The config disk cannot be made.
    #[error(transparent)]
    ConfigDisk(#[from] crate::machine::config_disk::ConfigDiskError),
    /// The disk overlay cannot be made.
    #[error(transparent)]
    Overlay(#[from] images::qcow2::OverlayError),
    /// No random numbers.
    #[error("the operating system gave no random numbers")]
    Random(#[source] getrandom::Error),
    /// QEMU did not start.
    #[error(transparent)]
    Spawn(#[from] qemu::SpawnError),
    /// QEMU ended by itself.
    #[error("QEMU ended unexpectedly; its last words are in {}", log.display())]
    QemuDied {
        /// QEMU's log.
        log: PathBuf,
    },
    /// The accelerator could not go on running the guest.
    #[error("{accelerator} failed while it ran the guest; QEMU's last words are in {}", log.display())]
    AcceleratorFailed {
        /// Which.
        accelerator: qemu::Accelerator,
        /// QEMU's log.
        log: PathBuf,
    },
    /// The host has no room for what the guest writes.
    #[error("the disk that {} is on is full", folder.display())]
    DiskFull {
        /// The instance's folder.
        folder: PathBuf,
    },
    /// A command to QEMU failed.
    #[error("QEMU could not {action}")]
    Monitor {
        /// What was asked of it.
        action: &'static str,
        /// What it said.
        #[source]
        source: qemu::QmpError,
    },
    /// Saving or loading the machine failed.
    #[error("QEMU could not {action} the machine")]
    Migration {
        /// `save`, `load` or `capture`.
        action: &'static str,
        /// What it said.
        #[source]
        source: qemu::MigrationError,
    },
    /// Something inside the guest failed.
    #[error(transparent)]
    Guest(#[from] crate::machine::guest::GuestError),
    /// The guest is not ready.
    #[error(transparent)]
    NotReady(#[from] crate::machine::readiness::NotReady),
    /// The secret store failed.
    #[error(transparent)]
    Vault(#[from] crate::vault::VaultError),
    /// The system does not tell about processes.
    #[error(transparent)]
    Process(#[from] host::IdentityError),
    /// QEMU could not be ended.
    #[error(transparent)]
    Stop(#[from] qemu::StopError),
    /// A folder cannot be shared or taken back.
    #[error(transparent)]
    Share(Box<crate::machine::folders::ShareError>),
    /// The backend gave no project keys.
    #[error(transparent)]
    Credentials(#[from] crate::apps::credentials::CredentialsError),
    /// It cannot be done while the emulator runs.
    #[error("{request} cannot be done while the emulator runs")]
    Running {
        /// What was asked for.
        request: &'static str,
    },
    /// It can only be done while the emulator runs.
    #[error("{request} can only be done while the emulator runs")]
    NotRunning {
        /// What was asked for.
        request: &'static str,
    },
    /// The session lies on another image than the one asked for.
    #[error("the kept session belongs to the image {}, not to {}", session.display(), asked.display())]
    OtherImage {
        /// The session's image.
        session: PathBuf,
        /// The image asked for.
        asked: PathBuf,
    },
    /// The image under the session is gone or changed.
    #[error("the kept session's disk cannot be used: the image {} under it was replaced by another one, or removed", path.display())]
    SessionImage {
        /// Where it was.
        path: PathBuf,
    },
    /// What the session's disk lies on is damaged.
    #[error("the kept session's disk cannot be used: {problem}")]
    SessionBase {
        /// What is missing.
        problem: String,
    },
    /// There is no snapshot.
    #[error("there is no snapshot")]
    NoSnapshot,
    /// The snapshot is damaged.
    #[error("the snapshot is damaged: {damage}")]
    SnapshotDamaged {
        /// What is wrong.
        damage: String,
    },
    /// The memory of the kept session is damaged.
    #[error("the kept session's memory is damaged: {damage}")]
    SessionDamaged {
        /// What is wrong.
        damage: String,
    },
    /// An archive cannot be written or read.
    #[error(transparent)]
    Archive(#[from] crate::instance::archive::ArchiveError),
    /// A resumed guest's processor ran into something senseless.
    #[error("the resumed guest reset itself instead of going on")]
    GuestReset,
    /// A start failed by memory and then by a cold boot.
    #[error("the emulator could not be started: {first}; a cold boot failed as well")]
    ColdFailed {
        /// Why the first way failed.
        first: String,
        /// Why the cold boot failed.
        #[source]
        source: Box<Error>,
    },
}

impl Error {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        if self.found_no_room() {
            return "disk_full";
        }
        match self {
            Self::Folder(_) => "folder",
            Self::Lock(LockError::Busy { .. }) => "busy",
            Self::Lock(LockError::File { .. }) | Self::File { .. } => "file",
            Self::Qemu(_) => "qemu_missing",
            Self::Accelerator(_) => "accelerator",
            Self::NoImage { .. } => "image_missing",
            Self::Image(_) => "image",
            Self::ImageChanged { .. } => "image_damaged",
            Self::ImageStore(_) => "image_store",
            Self::ImageName(images::store::NameError::Unknown(_)) => "image_unknown",
            Self::ImageName(images::store::NameError::Ambiguous { .. }) => "image_ambiguous",
            Self::ImageInUse { .. } => "image_in_use",
            Self::SessionKept { .. } => "session_kept",
            Self::Pull(error) => error.code(),
            Self::Preference(_) | Self::Limit { .. } => "setting",
            Self::Watch(_) => "watch",
            Self::Log(error) => error.code(),
            Self::TooSmall { .. } => "too_small",
            Self::GuestPort { .. } | Self::PortTwice { .. } | Self::UnknownService { .. } => {
                "port_setting"
            }
            Self::PortsTaken { .. } => "port_taken",
            Self::Record(_) | Self::Preferences { .. } => "record",
            Self::ConfigDisk(_) => "config_disk",
            Self::Overlay(_) => "overlay",
            Self::Random(_) => "random",
            Self::Spawn(_) => "qemu_start",
            Self::QemuDied { .. } => "qemu_died",
            Self::AcceleratorFailed { .. } => "accelerator_failed",
            Self::DiskFull { .. } => "disk_full",
            Self::Monitor { .. } => "qemu",
            Self::Migration { .. } => "migration",
            Self::Guest(crate::machine::guest::GuestError::Rotation { .. }) => "rotation",
            Self::Guest(_) | Self::GuestReset => "guest",
            Self::NotReady(_) => "not_ready",
            Self::Vault(_) => "secret_store",
            Self::Process(_) => "process",
            Self::Stop(_) => "stop",
            Self::Running { .. } => "running",
            Self::NotRunning { .. } => "not_running",
            Self::Share(error) => error.code(),
            Self::Credentials(error) => error.code(),
            Self::OtherImage { .. } => "other_image",
            Self::SessionImage { .. } | Self::SessionBase { .. } => "session_base",
            Self::NoSnapshot => "no_snapshot",
            Self::SnapshotDamaged { .. } => "snapshot_damaged",
            Self::SessionDamaged { .. } => "session_damaged",
            Self::Archive(_) => "archive",
            Self::ColdFailed { source, .. } => source.code(),
        }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        if self.found_no_room() {
            return Some(make_room());
        }
        Some(match self {
            Self::Lock(LockError::Busy { .. }) => "Wait for it, or end that process.".to_owned(),
            Self::NoImage { .. } => {
                "Get one with `stack-emulator pull`, or name one with --image FILE.".to_owned()
            }
            Self::ImageChanged { .. } => {
                "Get it again with `stack-emulator pull`, which replaces it.".to_owned()
            }
            Self::ImageName(_) => "See what there is with `stack-emulator images`.".to_owned(),
            Self::ImageInUse { uses, .. } => release(uses),
            Self::SessionKept { .. } => {
                "Go on with it by `stack-emulator start`, or drop it with `stack-emulator reset`."
                    .to_owned()
            }
            Self::TooSmall { variable, .. } => {
                format!("Raise {variable} or unset it, or raise the setting of `stack-emulator settings`.")
            }
            Self::Preferences { .. } => {
                "Remove that file: the defaults hold then, until `stack-emulator settings set` changes them."
                    .to_owned()
            }
            Self::GuestPort { .. } => "Set PORT_PREFIX to a smaller number or unset it.".to_owned(),
            Self::PortTwice { .. } => {
                "Change one of the EMULATOR_…_PORT variables, or `stack-emulator settings set port.SERVICE PORT`.".to_owned()
            }
            Self::PortsTaken { taken } => {
                let variables: Vec<_> = taken.iter().map(|taken| taken.service.as_str()).collect();
                format!(
                    "End the process that has it, or set another port for {} by `stack-emulator settings set port.SERVICE PORT` or its EMULATOR_…_PORT variable.",
                    variables.join(" and ")
                )
            }
            Self::NotRunning { .. } => "Run `stack-emulator start` first.".to_owned(),
            Self::Share(error) => return error.hint().map(str::to_owned),
            Self::Credentials(error) => return error.hint().map(str::to_owned),
            Self::Vault(error) => return error.hint().map(str::to_owned),
            Self::Running { .. } => "Run `stack-emulator stop` first.".to_owned(),
            Self::OtherImage { .. } => {
                "Start without --image to continue the session, or drop it with `stack-emulator reset`.".to_owned()
            }
            Self::SessionImage { .. } => {
                "Put the image back, or drop the session with `stack-emulator reset`.".to_owned()
            }
            Self::SessionBase { .. } => {
                "Put that file back from a copy, or drop the session with `stack-emulator reset`: what was done in it cannot be read without the file."
                    .to_owned()
            }
            Self::NoSnapshot | Self::SnapshotDamaged { .. } => {
                "Take a new one with `stack-emulator capture`.".to_owned()
            }
            Self::SessionDamaged { .. } => {
                "`stack-emulator start` boots the session's disk instead, with all that was done on it."
                    .to_owned()
            }
            Self::NotReady(_) => format!(
                "See `stack-emulator logs`; if the machine is slow, give it more time with {}.",
                crate::config::variables::READY_TIMEOUT
            ),
            Self::DiskFull { .. } => make_room(),
            Self::Record(error) => remedy::of(error),
            Self::QemuDied { .. }
            | Self::Spawn(_)
            | Self::Guest(_)
            | Self::GuestReset
            | Self::Monitor { .. }
            | Self::Migration { .. } => {
                "See `stack-emulator logs` and `stack-emulator doctor`.".to_owned()
            }
            Self::AcceleratorFailed { .. } => format!(
                "Unset {0}, or set it to tcg: software emulation works everywhere.",
                crate::config::variables::ACCELERATOR
            ),
            Self::ColdFailed { source, .. } => return source.hint(),
            Self::Pull(error) => return error.hint(),
            Self::Watch(error) => return error.hint().map(str::to_owned),
            Self::Log(error) => return error.hint().map(str::to_owned),
            Self::Preference(_) => {
                "`stack-emulator settings` shows what is set, and `stack-emulator settings --help` what can be."
                    .to_owned()
            }
            Self::Folder(_)
            | Self::Lock(LockError::File { .. })
            | Self::Qemu(_)
            | Self::Accelerator(_)
            | Self::Image(_)
            | Self::ImageStore(_)
            | Self::UnknownService { .. }
            | Self::Limit { .. }
            | Self::File { .. }
            | Self::ConfigDisk(_)
            | Self::Overlay(_)
            | Self::Random(_)
            | Self::Archive(_)
            | Self::Process(_)
            | Self::Stop(_) => return None,
        })
    }

    /// Whether a file of ours, whichever it was, found no room on the disk.
    fn found_no_room(&self) -> bool {
        // What is downloaded has codes of its own.
        !matches!(self, Self::Pull(_)) && is_no_room(self)
    }

    /// The accelerator that failed, if that was the reason.
    pub(crate) fn failed_accelerator(&self) -> Option<qemu::Accelerator> {
        match self {
            Self::AcceleratorFailed { accelerator, .. } => Some(*accelerator),
            Self::ColdFailed { source, .. } => source.failed_accelerator(),
            _ => None,
        }
    }

    pub(crate) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

impl From<crate::machine::folders::ShareError> for Error {
    fn from(error: crate::machine::folders::ShareError) -> Self {
        Self::Share(Box::new(error))
    }
}

impl From<crate::library::pull::PullError> for Error {
    /// Boxed: it holds what a server said, and would make every result large.
    fn from(error: crate::library::pull::PullError) -> Self {
        Self::Pull(Box::new(error))
    }
}

/// Whether the system's word in `error` or its causes is that a disk is full.
fn is_no_room(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::{Error as IoError, ErrorKind};
    let mut next = Some(error);
    while let Some(cause) = next {
        let kind = cause.downcast_ref().map(IoError::kind);
        if matches!(
            kind,
            Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        ) {
            return true;
        }
        next = cause.source();
    }
    false
}

fn make_room() -> String {
    format!(
        "Make room there, or keep the emulator elsewhere with {}; then try again.",
        crate::config::variables::HOME
    )
}

/// How to have an image in use no more.
fn release(uses: &[crate::library::installed::ImageUse]) -> String {
    use crate::library::installed::Tie;
    let way = |used: &crate::library::installed::ImageUse| {
        let option = if used.instance.is_default() {
            String::new()
        } else {
            format!(" --instance {}", used.instance)
        };
        let reset = match used.tie {
            Tie::Running | Tie::Session => {
                format!("`stack-emulator stop --discard{option}`, then ")
            }
            Tie::Chosen => String::new(),
        };
        format!("{reset}`stack-emulator images use OTHER{option}` (or `--none`)")
    };
    let ways: Vec<_> = uses.iter().map(way).collect();
    format!("To let go of it: {}.", ways.join("; "))
}

/// An error and its causes in one line: `a: b: c`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Error as IoError, ErrorKind};

    use super::*;
    use record::RecordError;

    #[test]
    fn a_disk_that_is_full_is_known_by_whatever_was_written() {
        let path = || PathBuf::from("/home/emulator/file");
        let full = || IoError::from(ErrorKind::StorageFull);
        let write = |source| RecordError::Write {
            path: path(),
            source,
        };
        let overlay = images::qcow2::OverlayError::Write {
            path: path(),
            source: full(),
        };
        let save = qemu::MigrationError::File {
            operation: qemu::migration::Operation::Save,
            file: path(),
            source: full(),
        };
        let errors = [
            Error::from(write(full())),
            Error::file("sync", &path())(full()),
            Error::from(overlay),
            Error::Migration {
                action: "save",
                source: save,
            },
            Error::ColdFailed {
                first: "it was damaged".into(),
                source: Box::new(Error::from(write(full()))),
            },
            Error::file("write", &path())(IoError::from(ErrorKind::QuotaExceeded)),
        ];
        for error in errors {
            assert_eq!(error.code(), "disk_full", "{error}");
            assert!(error.hint().unwrap().contains("Make room"), "{error}");
        }
        let other = Error::from(write(IoError::from(ErrorKind::PermissionDenied)));
        assert_eq!(other.code(), "record");
    }
}
