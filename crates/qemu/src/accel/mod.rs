//! Which accelerator works here: tried, not guessed.
//!
//! A `/dev/kvm` that opens proves nothing: on some hosts (nested virtualisation, missing CPU
//! flags) KVM makes a virtual machine and then runs it into an endless loop, or runs the firmware
//! and fails where a kernel switches modes. So each candidate has to do what every kernel does on
//! its way up, within a short time. The verdict is cached per host boot, host CPU, QEMU build and
//! state of the device node, since any of these can change it.
//!
//! Should an accelerator fail a real guest all the same, [`distrust`] notes that in the verdict.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use host::{Arch, FileStamp};
use serde::{Deserialize, Serialize};

use crate::binary::QemuBinary;
use crate::cache;
use crate::process::bare::{self, BareError};
use crate::version::Version;

mod payload;

/// How long a hardware accelerator may take. `SeaBIOS` and our sector need some 0.1 s under KVM.
const HARDWARE_LIMIT: Duration = Duration::from_secs(3);
/// How long software emulation may take; it never hangs, but the host may be busy.
const SOFTWARE_LIMIT: Duration = Duration::from_secs(20);
/// How long a killed QEMU may take to go.
const KILL_LIMIT: Duration = Duration::from_secs(2);
/// Raised when the cached form changes, or what is asked of an accelerator.
const CACHE_FORMAT: u32 = 2;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Linux's hypervisor.
    Kvm,
    /// macOS's hypervisor.
    Hvf,
    /// QEMU's own translator: slow, but works everywhere.
    Tcg,
}

/// A name that is no [`Accelerator`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown accelerator `{name}`: use `kvm`, `hvf` or `tcg`")]
pub struct UnknownAccelerator {
    /// The name as given.
    pub name: String,
}

impl Accelerator {
    /// The value of QEMU's `-accel`.
    pub const fn machine_arg(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Tcg => "tcg,thread=multi",
        }
    }

    /// The value of QEMU's `-cpu`: all that this accelerator can give a guest on this host.
    pub const fn cpu_model(self, arch: Arch) -> &'static str {
        match (self, arch) {
            (Self::Kvm | Self::Hvf, _) => "host",
            (Self::Tcg, Arch::Amd64) => "max",
            // The architected pointer authentication algorithm is slow to emulate; QEMU's own
            // has the same effect.
            (Self::Tcg, Arch::Arm64) => "max,pauth-impdef=on",
        }
    }

    /// Whether the guest sees the host's own CPU, so that a snapshot is bound to it.
    pub const fn passes_host_cpu(self) -> bool {
        match self {
            Self::Kvm | Self::Hvf => true,
            Self::Tcg => false,
        }
    }

    /// Those worth trying here, best first.
    fn candidates(arch: Arch) -> Vec<Self> {
        let mut candidates = Vec::new();
        if Arch::host() == Some(arch) {
            if cfg!(target_os = "linux") {
                candidates.push(Self::Kvm);
            }
            if cfg!(target_os = "macos") {
                candidates.push(Self::Hvf);
            }
        }
        candidates.push(Self::Tcg);
        candidates
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Tcg => "tcg",
        })
    }
}

impl FromStr for Accelerator {
    type Err = UnknownAccelerator;

    fn from_str(name: &str) -> Result<Self, UnknownAccelerator> {
        match name {
            "kvm" => Ok(Self::Kvm),
            "hvf" => Ok(Self::Hvf),
            "tcg" => Ok(Self::Tcg),
            _ => Err(UnknownAccelerator {
                name: name.to_owned(),
            }),
        }
    }
}

/// What came of trying one accelerator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Our instructions ran.
    Works {
        /// From starting QEMU to its exit, in milliseconds.
        millis: u64,
    },
    /// It is not there, or not for this user.
    Unavailable {
        /// Why, for people.
        reason: String,
    },
    /// Our instructions did not get to their end; QEMU was killed.
    Hangs {
        /// How long was waited, in milliseconds.
        limit_ms: u64,
    },
    /// QEMU ended, but not by our instructions.
    Misbehaves {
        /// How it ended, for people.
        detail: String,
    },
}

/// One accelerator and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which.
    pub accelerator: Accelerator,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// The accelerator to use, and how that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The best one that works.
    pub accelerator: Accelerator,
    /// All that were tried, in order.
    pub tried: Vec<Attempt>,
    /// The QEMU they were tried with.
    pub qemu_version: String,
}

/// No accelerator could be found.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// None worked, not even software emulation.
    #[error("no accelerator of {program} works: {}", summary(tried))]
    NoneWorks {
        /// The QEMU used.
        program: PathBuf,
        /// What came of each.
        tried: Vec<Attempt>,
    },
    /// The test program could not be written.
    #[error("cannot write the probe's test program")]
    Payload(#[source] io::Error),
    /// QEMU could not be started at all.
    #[error("cannot start {program}")]
    Start {
        /// The QEMU used.
        program: PathBuf,
        /// Why.
        #[source]
        source: BareError,
    },
}

fn summary(tried: &[Attempt]) -> String {
    let words: Vec<String> = tried
        .iter()
        .map(
            |Attempt {
                 accelerator,
                 verdict,
             }| match verdict {
                Verdict::Works { millis } => format!("{accelerator} works ({millis} ms)"),
                Verdict::Unavailable { reason } => {
                    format!("{accelerator} is unavailable ({reason})")
                }
                Verdict::Hangs { limit_ms } => format!("{accelerator} hangs (for {limit_ms} ms)"),
                Verdict::Misbehaves { detail } => format!("{accelerator} fails ({detail})"),
            },
        )
        .collect();
    words.join(", ")
}

/// What a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Circumstances {
    binary: FileStamp,
    qemu_version: String,
    boot_id: String,
    cpu_model: String,
    /// Device number, owner and mode of `/dev/kvm`, and whether this user may open it.
    device: Option<String>,
}

impl Circumstances {
    fn now(binary: &QemuBinary) -> Self {
        Self {
            binary: binary.stamp,
            qemu_version: binary.version_text.clone(),
            boot_id: host::boot_id().unwrap_or_default(),
            cpu_model: host::cpu::model(),
            device: kvm_device(),
        }
    }
}

/// The first QEMU that can be told to end with the process that started it.
const ENDS_WITH_PARENT: Version = Version::new(10, 2, 0);

#[derive(Serialize, Deserialize)]
struct Cached {
    circumstances: Circumstances,
    probe: Probe,
}

/// Finds the best accelerator that works, from `cache_dir` unless `force`.
///
/// # Errors
///
/// [`ProbeError::NoneWorks`] if even software emulation fails; such a result is not cached.
pub async fn probe(
    binary: &QemuBinary,
    cache_dir: &Path,
    force: bool,
) -> Result<Probe, ProbeError> {
    let circumstances = Circumstances::now(binary);
    let file = verdict_file(binary, cache_dir);
    if !force
        && let Some(cached) = cache::load::<Cached>(&file, CACHE_FORMAT)
        && cached.circumstances == circumstances
    {
        return Ok(cached.probe);
    }
    try_all(binary, &file, circumstances, None).await
}

/// Notes that `failed` did not run a real guest, although the probe had found that it works, and
/// finds the best of the others. That holds as long as a verdict does: until the host boots again
/// or the probe is forced.
///
/// # Errors
///
/// [`ProbeError::NoneWorks`] if there is no other that works.
pub async fn distrust(
    binary: &QemuBinary,
    cache_dir: &Path,
    failed: Accelerator,
    detail: &str,
) -> Result<Probe, ProbeError> {
    let known = Attempt {
        accelerator: failed,
        verdict: Verdict::Misbehaves {
            detail: detail.to_owned(),
        },
    };
    let file = verdict_file(binary, cache_dir);
    try_all(binary, &file, Circumstances::now(binary), Some(known)).await
}

fn verdict_file(binary: &QemuBinary, cache_dir: &Path) -> PathBuf {
    cache_dir.join(format!("accelerator-{}.json", binary.arch))
}

/// Tries one after the other until one works, but not what is `known` already.
async fn try_all(
    binary: &QemuBinary,
    file: &Path,
    circumstances: Circumstances,
    mut known: Option<Attempt>,
) -> Result<Probe, ProbeError> {
    let folder = tempfile::tempdir().map_err(ProbeError::Payload)?;
    let payload = folder.path().join("probe.bin");
    std::fs::write(&payload, payload::image(binary.arch)).map_err(ProbeError::Payload)?;

    let mut tried = Vec::new();
    for accelerator in Accelerator::candidates(binary.arch) {
        let attempt = match known.take_if(|known| known.accelerator == accelerator) {
            Some(known) => known,
            None => Attempt {
                accelerator,
                verdict: attempt(binary, accelerator, &payload).await?,
            },
        };
        tracing::debug!(?attempt, "accelerator tried");
        let works = matches!(attempt.verdict, Verdict::Works { .. });
        tried.push(attempt);
        if works {
            let probe = Probe {
                accelerator,
                tried,
                qemu_version: binary.version_text.clone(),
            };
            let cached = Cached {
                circumstances,
                probe,
            };
            cache::store(file, CACHE_FORMAT, &cached);
            return Ok(cached.probe);
        }
    }
    Err(ProbeError::NoneWorks {
        program: binary.path.clone(),
        tried,
    })
}

async fn attempt(
    binary: &QemuBinary,
    accelerator: Accelerator,
    payload: &Path,
) -> Result<Verdict, ProbeError> {
    let reason = match accelerator {
        Accelerator::Kvm => kvm_unavailable(),
        Accelerator::Hvf => hvf_unavailable(host::cpu::has_hypervisor()),
        Accelerator::Tcg => None,
    };
    if let Some(reason) = reason {
        return Ok(Verdict::Unavailable { reason });
    }
    let limit = match accelerator {
        Accelerator::Kvm | Accelerator::Hvf => HARDWARE_LIMIT,
        Accelerator::Tcg => SOFTWARE_LIMIT,
    };
    let mut args = payload::arguments(binary, accelerator, payload);
    if cfg!(not(target_os = "linux")) && binary.version >= ENDS_WITH_PARENT {
        args.extend(["-run-with", "exit-with-parent=on"].map(Into::into));
    }
    let started = Instant::now();
    let (mut qemu, monitor) =
        bare::spawn(&binary.path, &args).map_err(|source| ProbeError::Start {
            program: binary.path.clone(),
            source,
        })?;
    let ending = qemu.ending(limit).await;
    // Kept open until here: the machine must not notice that nobody talks to it.
    drop(monitor);
    let Some((status, stderr)) = ending else {
        qemu.kill(KILL_LIMIT).await;
        return Ok(Verdict::Hangs {
            limit_ms: millis(limit),
        });
    };
    if status.code() == Some(payload::exit_code(binary.arch)) {
        return Ok(Verdict::Works {
            millis: millis(started.elapsed()),
        });
    }
    let detail = if stderr.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {stderr}")
    };
    Ok(Verdict::Misbehaves { detail })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why KVM need not even be tried; `None` if it has to be.
fn kvm_unavailable() -> Option<String> {
    match std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
    {
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(
            "/dev/kvm may not be opened by this user; `sudo usermod -aG kvm $USER` and a new \
             login change that"
                .to_owned(),
        ),
        Err(error) => Some(format!("/dev/kvm: {error}")),
    }
}

/// The same of macOS's hypervisor, from what the system says of it.
fn hvf_unavailable(told: Option<bool>) -> Option<String> {
    match told {
        Some(false) => Some(
            "macOS has no hypervisor here: `sysctl kern.hv_support` is 0, as in most virtual machines"
                .to_owned(),
        ),
        Some(true) | None => None,
    }
}

fn kvm_device() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata("/dev/kvm").ok()?;
    let access = kvm_unavailable().is_none();
    Some(format!(
        "{:x} {}:{} {:o} {access}",
        meta.rdev(),
        meta.uid(),
        meta.gid(),
        meta.mode()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_without_a_hypervisor_is_told_so_and_any_other_is_tried() {
        let reason = hvf_unavailable(Some(false)).unwrap();
        assert!(reason.contains("kern.hv_support"), "{reason}");
        assert_eq!(hvf_unavailable(Some(true)), None);
        assert_eq!(hvf_unavailable(None), None);
    }

    #[test]
    fn software_emulation_is_what_is_left_everywhere() {
        for arch in [Arch::Amd64, Arch::Arm64] {
            let candidates = Accelerator::candidates(arch);
            assert_eq!(candidates.last(), Some(&Accelerator::Tcg));
            let own = Arch::host() == Some(arch);
            assert_eq!(candidates.len(), if own { 2 } else { 1 }, "{arch}");
        }
    }
}
