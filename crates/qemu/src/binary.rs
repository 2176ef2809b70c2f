//! Which QEMU: finding the program and asking it what it is.
//!
//! The version, the machine type and the sandbox options come from QMP, never from text meant for
//! people. Asking costs one start of QEMU (some 50 ms), so the answer can be cached under the
//! file's device, inode, size and time of change: a package upgrade changes at least one of them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use host::{Arch, FileStamp};
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::process::bare::{self, BareError};
use crate::qmp::{Qmp, QmpError};
use crate::version::Version;

/// The oldest QEMU that can do what we ask of it: mapped-ram came with 9.0.
pub const MINIMUM: Version = Version::new(9, 0, 0);

/// How long QEMU may take to say what it is; generous, for a cold disk.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// Raised when the cached form changes.
const CACHE_FORMAT: u32 = 1;

/// A QEMU system emulator that was run and said what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QemuBinary {
    /// Absolute path of the program.
    pub path: PathBuf,
    /// The guest architecture it emulates.
    pub arch: Arch,
    /// Its version.
    pub version: Version,
    /// The version with the packager's suffix: two builds of one version may behave differently.
    pub version_text: String,
    /// The versioned machine type, such as `pc-q35-10.0`: an unversioned one changes its devices
    /// under a snapshot with the next upgrade.
    pub machine_type: String,
    /// Whether it can drop system calls it does not need (`-sandbox`).
    pub sandbox: bool,
    /// The file, as it was when asked.
    pub stamp: FileStamp,
}

/// No usable QEMU.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// Not installed.
    #[error("{program} is not installed")]
    NotFound {
        /// The program's file name.
        program: &'static str,
        /// How to install it on this system, as a sentence.
        remedy: &'static str,
    },
    /// The path given explicitly holds no program.
    #[error("{path} is not an executable file")]
    NotExecutable {
        /// The path given.
        path: PathBuf,
    },
    /// The file cannot be looked at.
    #[error("cannot read {path}")]
    Stat {
        /// The program.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Found, but too old.
    #[error("{path} is QEMU {found}; at least {needed} is needed")]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        found: Version,
        /// [`MINIMUM`].
        needed: Version,
        /// How to install a newer one on this system, as a sentence.
        remedy: &'static str,
    },
    /// It cannot be started.
    #[error("cannot run {path}")]
    NotRunnable {
        /// The program.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: BareError,
    },
    /// It ended instead of answering.
    #[error("{path} exited ({status}) instead of answering: {stderr}")]
    Died {
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of its error output.
        stderr: String,
    },
    /// It runs but QMP failed.
    #[error("{path} did not answer which QEMU it is")]
    Ask {
        /// The program.
        path: PathBuf,
        /// The QMP error.
        #[source]
        source: QmpError,
    },
}

impl QemuBinary {
    /// Finds the program and asks it. Spawns it once.
    ///
    /// # Errors
    ///
    /// See [`BinaryError`]; the first two name a remedy.
    pub async fn find(arch: Arch, explicit: Option<&Path>) -> Result<Self, BinaryError> {
        let path = Self::locate(arch, explicit)?;
        let stamp = stamp_of(&path)?;
        Self::ask(arch, path, stamp).await
    }

    /// The same, but does not spawn a program whose answer is in `cache_dir`.
    ///
    /// A cache that cannot be read or written costs time, not correctness: it is logged.
    ///
    /// # Errors
    ///
    /// As [`QemuBinary::find`].
    pub async fn find_cached(
        arch: Arch,
        explicit: Option<&Path>,
        cache_dir: &Path,
    ) -> Result<Self, BinaryError> {
        let path = Self::locate(arch, explicit)?;
        let stamp = stamp_of(&path)?;
        let file = cache_dir.join(format!("qemu-{arch}.json"));
        if let Some(known) = cache::load::<Self>(&file, CACHE_FORMAT)
            && known.path == path
            && known.stamp == stamp
            && known.arch == arch
            && known.version >= MINIMUM
        {
            return Ok(known);
        }
        let found = Self::ask(arch, path, stamp).await?;
        cache::store(&file, CACHE_FORMAT, &found);
        Ok(found)
    }

    /// Where the program is: `explicit`, else the first in `PATH` and the usual places.
    ///
    /// # Errors
    ///
    /// [`BinaryError::NotFound`] or [`BinaryError::NotExecutable`].
    pub fn locate(arch: Arch, explicit: Option<&Path>) -> Result<PathBuf, BinaryError> {
        if let Some(path) = explicit {
            let path = std::path::absolute(path).map_err(|source| BinaryError::Stat {
                path: path.to_owned(),
                source,
            })?;
            return if host::programs::is_executable(&path) {
                Ok(path)
            } else {
                Err(BinaryError::NotExecutable { path })
            };
        }
        host::programs::find(program(arch)).ok_or(BinaryError::NotFound {
            program: program(arch),
            remedy: install_remedy(arch),
        })
    }

    async fn ask(arch: Arch, path: PathBuf, stamp: FileStamp) -> Result<Self, BinaryError> {
        let (mut qemu, monitor) = match bare::spawn(&path, &["-machine", "none"]) {
            Ok(started) => started,
            Err(source) => return Err(BinaryError::NotRunnable { path, source }),
        };
        let (version, package, machine_type, sandbox) = match Self::interview(monitor, arch).await {
            Ok(answer) => answer,
            Err(source) => {
                // If it died, that is the cause and the QMP error its consequence.
                let ending = qemu.ending(Duration::from_millis(500)).await;
                return Err(match ending {
                    Some((status, stderr)) if source.is_disconnect() => BinaryError::Died {
                        path,
                        status,
                        stderr,
                    },
                    _ => BinaryError::Ask { path, source },
                });
            }
        };
        // It was told to quit; whether it obeys at once does not matter to the answer.
        qemu.kill(Duration::from_secs(1)).await;
        if version < MINIMUM {
            return Err(BinaryError::TooOld {
                path,
                found: version,
                needed: MINIMUM,
                remedy: upgrade_remedy(),
            });
        }
        let version_text = if package.is_empty() {
            version.to_string()
        } else {
            format!("{version} {package}")
        };
        Ok(Self {
            path,
            arch,
            version,
            version_text,
            machine_type,
            sandbox,
            stamp,
        })
    }

    async fn interview(
        stream: tokio::net::UnixStream,
        arch: Arch,
    ) -> Result<(Version, String, String, bool), QmpError> {
        let (qmp, greeting) = Qmp::connect(stream, ASK_LIMIT).await?;
        let (alias, prefix) = match arch {
            Arch::Amd64 => ("q35", "pc-q35"),
            Arch::Arm64 => ("virt", "virt"),
        };
        let machines = qmp
            .execute(qapi_qmp::query_machines { compat_props: None }, ASK_LIMIT)
            .await?;
        let version = greeting.version;
        let machine_type = machines
            .into_iter()
            .find(|machine| machine.alias.as_deref() == Some(alias))
            .map_or_else(
                // A packager may have moved the alias to a type of its own; upstream's stays.
                || format!("{prefix}-{}.{}", version.major, version.minor),
                |machine| machine.name,
            );
        let options = qmp
            .execute(
                qapi_qmp::query_command_line_options { option: None },
                ASK_LIMIT,
            )
            .await?;
        let sandbox = options.iter().any(|option| {
            option.option == "sandbox"
                && ["enable", "elevateprivileges", "spawn"]
                    .iter()
                    .all(|wanted| option.parameters.iter().any(|known| known.name == *wanted))
        });
        qmp.execute(qapi_qmp::quit {}, ASK_LIMIT).await?;
        Ok((version, greeting.package, machine_type, sandbox))
    }
}

/// The file name of the system emulator for `arch`.
pub(crate) const fn program(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "qemu-system-x86_64",
        Arch::Arm64 => "qemu-system-aarch64",
    }
}

fn stamp_of(path: &Path) -> Result<FileStamp, BinaryError> {
    FileStamp::of(path).map_err(|source| BinaryError::Stat {
        path: path.to_owned(),
        source,
    })
}

/// How to install QEMU for `arch` on this system, as a sentence.
pub fn install_remedy(arch: Arch) -> &'static str {
    match (cfg!(target_os = "macos"), arch) {
        (true, _) => "Run `brew install qemu`.",
        (false, Arch::Amd64) => {
            "On Debian and Ubuntu, run `sudo apt install qemu-system-x86`; on Fedora, \
             `sudo dnf install qemu-system-x86`."
        }
        (false, Arch::Arm64) => {
            "On Debian and Ubuntu, run `sudo apt install qemu-system-arm qemu-efi-aarch64`; on \
             Fedora, `sudo dnf install qemu-system-aarch64`."
        }
    }
}

/// How to get a QEMU of [`MINIMUM`] or later on this system, as a sentence.
pub const fn upgrade_remedy() -> &'static str {
    if cfg!(target_os = "macos") {
        "Run `brew upgrade qemu`."
    } else {
        "On Debian 12, install it from bookworm-backports. Debian 13, Ubuntu 24.10 and later have it."
    }
}
