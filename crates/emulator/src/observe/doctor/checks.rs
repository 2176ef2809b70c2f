//! What the facts mean: pure functions from a fact to a verdict and a remedy.

use std::io;
use std::path::Path;

use ::qemu::accel::{Attempt, Verdict as Tried};
use ::qemu::{Accelerator, BinaryError, Probe, ProbeError, QemuBinary};
use failure::Remedy;
use images::Image;

use super::{Check, Verdict};
use crate::config::quantities::{bytes, seconds};
use crate::config::variables::{self, Settings};
use crate::instance::error::InstanceError as Error;
use crate::machine::error::{MachineError, qemu_remedy};
use crate::machine::fingerprint::Mismatch;
use crate::machine::ports::Taken;
use crate::machine::readiness::Endpoint;
use crate::machine::run_record::EndedBy;
use crate::observe::status::{PausedBy, State, Status};
use failure::chain;

/// Less than this is not enough for any snapshot, in bytes: a freshly booted
/// small guest has some 400 MB of memory in use, and needs room to run.
const LEAST_FREE: u64 = 1 << 30;

/// Which thing a check is about.
#[derive(Clone, Copy)]
pub(super) struct Subject {
    id: &'static str,
    title: &'static str,
}

impl Subject {
    pub(super) const fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title }
    }

    pub(super) fn ok(self, detail: impl Into<String>) -> Check {
        Check {
            id: self.id,
            title: self.title,
            verdict: Verdict::Ok,
            detail: detail.into(),
            evidence: None,
            remedy: None,
        }
    }

    pub(super) fn warning(self, detail: impl Into<String>, remedy: Remedy) -> Check {
        Check {
            verdict: Verdict::Warning,
            remedy: Some(remedy),
            ..self.ok(detail)
        }
    }

    fn failed(self, detail: impl Into<String>, remedy: Option<Remedy>) -> Check {
        Check {
            verdict: Verdict::Failed,
            remedy,
            ..self.ok(detail)
        }
    }

    pub(super) fn error(self, error: &Error) -> Check {
        self.failed(chain(error), error.remedy())
    }
}

/// QEMU found, and new enough.
pub(super) fn qemu(found: &Result<QemuBinary, BinaryError>) -> Check {
    let subject = Subject::new("qemu", "QEMU");
    match found {
        Ok(binary) => subject.ok(format!(
            "{} at {}",
            binary.version_text,
            binary.path.display()
        )),
        Err(error) => subject.failed(chain(error), Some(qemu_remedy(error))),
    }
}

/// The firmware that an `arm64` guest needs and QEMU does not have built in.
pub(super) fn firmware(found: Option<&Path>) -> Check {
    let subject = Subject::new("firmware", "Firmware");
    match found {
        Some(path) => subject.ok(path.display().to_string()),
        None => subject.failed(
            "there is no UEFI firmware, which arm64 images need",
            Some(Remedy::InstallQemu {
                how: ::qemu::binary::install_remedy(::qemu::Arch::Arm64),
            }),
        ),
    }
}

/// The accelerator, by what came of trying each.
pub(super) fn accelerator(
    probed: &Result<Probe, ProbeError>,
    chosen: Option<Accelerator>,
) -> Check {
    let subject = Subject::new("accelerator", "Accelerator");
    let probe = match probed {
        Ok(probe) => probe,
        Err(ProbeError::NoneWorks { tried, .. }) => {
            return subject.failed(
                format!("none works: {}", attempts(tried)),
                Some(Remedy::ReinstallQemu),
            );
        }
        Err(error @ (ProbeError::Payload(_) | ProbeError::Start { .. })) => {
            return subject.failed(chain(error), None);
        }
    };
    let tried = attempts(&probe.tried);
    let with_evidence = |check: Check| Check {
        evidence: Some(tried.clone()),
        ..check
    };
    if let Some(chosen) = chosen.filter(|chosen| *chosen != probe.accelerator) {
        return with_evidence(subject.warning(
            format!(
                "{chosen} is set by {}; the fastest that works is {}",
                variables::ACCELERATOR,
                probe.accelerator
            ),
            Remedy::UseFastest {
                variable: variables::ACCELERATOR,
                accelerator: probe.accelerator.to_string(),
            },
        ));
    }
    let hardware = probe
        .tried
        .iter()
        .find(|attempt| attempt.accelerator != Accelerator::Tcg);
    match (probe.accelerator, hardware) {
        (Accelerator::Kvm | Accelerator::Hvf, _) => subject.ok(tried),
        (Accelerator::Tcg, None) => with_evidence(subject.warning(
            "This host has no accelerator for this architecture; using software emulation (slower).",
            Remedy::UseHostArchitecture {
                variable: variables::ARCH,
            },
        )),
        (Accelerator::Tcg, Some(attempt)) => {
            let name = attempt.accelerator.to_string().to_uppercase();
            let slower = "using software emulation (slower).";
            let (detail, remedy) = match &attempt.verdict {
                Tried::Hangs { .. } => (
                    format!("{name} hangs on this host; {slower}"),
                    Remedy::EnableNesting,
                ),
                Tried::Unavailable { reason } => (
                    format!("{name} is not available ({reason}); {slower}"),
                    Remedy::EnableAccelerator { accelerator: name },
                ),
                Tried::Misbehaves { .. } | Tried::Works { .. } => (
                    format!("{name} does not work on this host; {slower}"),
                    Remedy::ProbeAgain { accelerator: name },
                ),
            };
            with_evidence(subject.warning(detail, remedy))
        }
    }
}

fn attempts(tried: &[Attempt]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a few seconds")]
    let time = |millis: u64| seconds(millis as f64);
    let told: Vec<String> = tried
        .iter()
        .map(|attempt| match &attempt.verdict {
            Tried::Works { millis } => format!("{} works ({})", attempt.accelerator, time(*millis)),
            Tried::Unavailable { reason } => {
                format!("{} is not available ({reason})", attempt.accelerator)
            }
            Tried::Hangs { limit_ms } => {
                format!(
                    "{} hangs (given up after {})",
                    attempt.accelerator,
                    time(*limit_ms)
                )
            }
            Tried::Misbehaves { detail } => format!("{} fails ({detail})", attempt.accelerator),
        })
        .collect();
    told.join(", ")
}

/// What a killed command or a crash left, and who is at work.
pub(super) fn instance(status: &Result<Status, Error>) -> Check {
    let subject = Subject::new("instance", "Instance");
    let status = match status {
        Ok(status) => status,
        Err(error) => return subject.error(error),
    };
    if let Some(holder) = &status.busy {
        return subject.ok(format!("{}, busy with {holder}", status.instance));
    }
    let said = |state: &str| format!("{}, {state}", status.instance);
    match status.state {
        State::Stopped if status.session_kept => subject.ok(said("stopped, with a saved session")),
        State::Stopped => subject.ok(said("stopped")),
        State::Running if status.unreachable => subject.warning(
            said("running, but QEMU cannot be reached"),
            Remedy::StopAndStart,
        ),
        State::Running => subject.ok(said("running")),
        State::Starting => subject.ok(said("starting")),
        State::Stopping => subject.ok(said("stopping")),
        State::Capturing => subject.ok(said("taking a snapshot")),
        State::Paused => {
            let (why, remedy) = match status.paused_by {
                Some(PausedBy::Disk) => (
                    "paused: the virtual machine cannot write to its disk",
                    Remedy::FreeDiskSpaceAndContinue,
                ),
                Some(PausedBy::Fault) => (
                    "paused: the virtual machine cannot go on",
                    Remedy::StopAfterFault,
                ),
                Some(PausedBy::Signal) => ("paused: a signal has stopped QEMU", Remedy::Continue),
                Some(PausedBy::Request) | None => ("paused by another program", Remedy::Continue),
            };
            subject.failed(said(why), Some(remedy))
        }
        State::Interrupted => subject.warning(
            said("a command was killed before it finished"),
            Remedy::NoneNextCommandCleansUp,
        ),
        State::Died => {
            let how = match status.ended_by {
                Some(EndedBy::Guest) => "powered off from inside",
                Some(EndedBy::Signal) => "ended by a signal",
                Some(EndedBy::Reboot) => "ended when the host was shut down or restarted",
                None => "stopped unexpectedly",
            };
            subject.warning(said(how), Remedy::StartAfterCrash)
        }
    }
}

/// Room for a snapshot and a saved session, each up to the guest's memory.
pub(super) fn disk(
    home: &Path,
    free: &io::Result<u64>,
    ram_mib: u32,
    snapshot: Option<u64>,
) -> Check {
    let subject = Subject::new("disk", "Free disk");
    let free = match free {
        Ok(free) => *free,
        Err(error) => {
            return subject.failed(
                format!("cannot read the free space of {}: {error}", home.display()),
                None,
            );
        }
    };
    let said = format!("{} in {}", bytes(free), home.display());
    let memory = u64::from(ram_mib) << 20;
    // What is there already need not be written again.
    let most = (2 * memory).saturating_sub(snapshot.unwrap_or(0));
    if free < LEAST_FREE {
        subject.failed(said, Some(Remedy::free_disk_space()))
    } else if free < most {
        subject.warning(
            said,
            Remedy::FreeDiskSpaceForSnapshot {
                most_mib: u32::try_from(most >> 20).unwrap_or(u32::MAX),
                variable: variables::RAM,
            },
        )
    } else {
        subject.ok(said)
    }
}

/// No image, and none selected or named: no failure, since a start pulls one.
pub(super) fn no_image_yet() -> Check {
    Subject::new("image", "Image").ok("None yet. The first start pulls one.")
}

/// The image: there, sound, and content with what it is given.
pub(super) fn image(image: &Result<Image, Error>, settings: &Settings) -> Check {
    let subject = Subject::new("image", "Image");
    let image = match image {
        Ok(image) => image,
        Err(error) => return subject.error(error),
    };
    let path = image.path.display();
    let Some(manifest) = &image.manifest else {
        return subject.ok(format!(
            "{path}, without a manifest: treated as a published image"
        ));
    };
    let lacks = |needed: String, variable: &'static str, given: String| {
        subject.error(&Error::TooSmall {
            needed,
            variable,
            given,
        })
    };
    let ram = settings.ram_for(image);
    if ram < manifest.min_ram_mib {
        let needed = format!("{} MiB of memory", manifest.min_ram_mib);
        return lacks(needed, variables::RAM, format!("{ram} MiB"));
    }
    if settings.vcpus < manifest.min_vcpus {
        let needed = format!("{} virtual CPUs", manifest.min_vcpus);
        return lacks(needed, variables::CPUS, settings.vcpus.to_string());
    }
    if manifest.arch != settings.arch.to_string() {
        return subject.failed(
            format!("{path} is for {}, not for {}", manifest.arch, settings.arch),
            Some(Remedy::ChooseArchitecture),
        );
    }
    subject.ok(format!(
        "{} {} at {path}",
        manifest.name, manifest.payload_version
    ))
}

/// Ports: free, or taken by the emulator itself.
pub(super) fn ports(found: &Result<(Vec<Endpoint>, Vec<Taken>), Error>, ours: bool) -> Check {
    let subject = Subject::new("ports", "Ports");
    match found {
        Err(error) => subject.error(error),
        Ok((endpoints, taken)) if taken.is_empty() || ours => {
            let ports: Vec<String> = endpoints
                .iter()
                .map(|endpoint| endpoint.port.to_string())
                .collect();
            let state = if ours {
                "in use by this emulator"
            } else {
                "free"
            };
            subject.ok(format!("{} {state}", ports.join(", ")))
        }
        Ok((_, taken)) => {
            let taken = taken.clone();
            subject.error(&MachineError::PortsTaken { taken }.into())
        }
    }
}

/// The snapshot: there, whole as far as a quick look tells, and fit for the next start.
pub(super) fn snapshot(
    status: &Status,
    mismatches: &Result<Option<Vec<Mismatch>>, Error>,
) -> Check {
    let subject = Subject::new("snapshot", "Snapshot");
    if let Some(damage) = &status.snapshot_damage {
        return subject.warning(
            format!("damaged: {damage}; starts boot cold"),
            Remedy::TakeSnapshot,
        );
    }
    match (mismatches, &status.snapshot) {
        (Err(error), _) => subject.error(error),
        (Ok(None), _) | (Ok(Some(_)), None) => subject.ok("none yet; the next start takes one"),
        (Ok(Some(mismatches)), Some(snapshot)) if mismatches.is_empty() => {
            subject.ok(snapshot.summary())
        }
        (Ok(Some(mismatches)), Some(_)) => {
            let told: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
            subject.warning(
                format!("no longer fits: {}", told.join("; ")),
                Remedy::NoneNextStartTakesSnapshot,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use ::qemu::Version;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[expect(clippy::unnecessary_wraps, reason = "what the check takes")]
    fn probe(tried: Vec<Attempt>) -> Result<Probe, ProbeError> {
        let accelerator = tried.last().unwrap().accelerator;
        Ok(Probe {
            accelerator,
            tried,
            qemu_version: "10.0.2".into(),
        })
    }

    fn attempt(accelerator: Accelerator, verdict: Tried) -> Attempt {
        Attempt {
            accelerator,
            verdict,
        }
    }

    #[test]
    fn missing_firmware_fails_and_says_how_to_get_it() {
        assert_eq!(firmware(Some(Path::new("/fw"))).verdict, Verdict::Ok);
        let check = firmware(None);
        assert_eq!(check.verdict, Verdict::Failed);
        assert!(matches!(check.remedy, Some(Remedy::InstallQemu { .. })));
    }

    #[test]
    fn a_missing_qemu_fails_and_says_how_to_get_it() {
        let missing = BinaryError::NotFound {
            program: "qemu-system-x86_64",
            remedy: "apt install it",
        };
        let check = qemu(&Err(missing));
        assert_eq!(check.verdict, Verdict::Failed);
        let how = "apt install it";
        assert_eq!(check.remedy, Some(Remedy::InstallQemu { how }));
        let old = BinaryError::TooOld {
            path: "/q".into(),
            found: Version::new(7, 2, 0),
            needed: Version::new(9, 0, 0),
            remedy: "use backports",
        };
        let check = qemu(&Err(old));
        assert!(
            check.detail.contains("7.2.0") && check.detail.contains("9.0.0"),
            "{check:?}"
        );
        let how = "use backports";
        assert_eq!(check.remedy, Some(Remedy::InstallQemu { how }));
    }

    #[test]
    fn a_hanging_kvm_is_told_from_a_missing_one() {
        let tcg = || attempt(Accelerator::Tcg, Tried::Works { millis: 231 });
        let hangs = attempt(Accelerator::Kvm, Tried::Hangs { limit_ms: 3000 });
        let check = accelerator(&probe(vec![hangs, tcg()]), None);
        assert_eq!(check.verdict, Verdict::Warning);
        assert_eq!(
            check.detail,
            "KVM hangs on this host; using software emulation (slower)."
        );
        assert_eq!(
            check.evidence.unwrap(),
            "kvm hangs (given up after 3.00 s), tcg works (0.23 s)"
        );
        assert_eq!(check.remedy, Some(Remedy::EnableNesting));
        let missing = attempt(
            Accelerator::Kvm,
            Tried::Unavailable {
                reason: "no /dev/kvm".into(),
            },
        );
        let check = accelerator(&probe(vec![missing, tcg()]), None);
        let accelerator = "KVM".to_owned();
        assert!(check.detail.contains("no /dev/kvm"), "{check:?}");
        assert_eq!(
            check.remedy,
            Some(Remedy::EnableAccelerator { accelerator })
        );
    }

    #[test]
    fn a_working_kvm_is_fine_unless_something_else_is_set() {
        let works = || attempt(Accelerator::Kvm, Tried::Works { millis: 90 });
        assert_eq!(
            accelerator(&probe(vec![works()]), None).verdict,
            Verdict::Ok
        );
        assert_eq!(
            accelerator(&probe(vec![works()]), Some(Accelerator::Kvm)).verdict,
            Verdict::Ok
        );
        let check = accelerator(&probe(vec![works()]), Some(Accelerator::Tcg));
        assert_eq!(check.verdict, Verdict::Warning);
        let expected = Remedy::UseFastest {
            variable: variables::ACCELERATOR,
            accelerator: "kvm".to_owned(),
        };
        assert_eq!(check.remedy, Some(expected));
    }

    #[test]
    fn room_is_judged_by_what_is_still_to_be_written() {
        let judge = |free, snapshot| disk(Path::new("/home/x"), &Ok(free), 4096, snapshot).verdict;
        assert_eq!(judge(GIB / 2, None), Verdict::Failed);
        assert_eq!(judge(7 * GIB, None), Verdict::Warning);
        assert_eq!(judge(7 * GIB, Some(GIB)), Verdict::Ok);
        assert_eq!(judge(9 * GIB, None), Verdict::Ok);
    }

    #[test]
    fn a_taken_port_names_its_holder_unless_that_is_the_emulator() {
        let endpoint = Endpoint {
            id: "backend".into(),
            name: "Backend".into(),
            port: 26701,
            path: None,
            browsable: false,
        };
        let taken = Taken {
            port: 26701,
            service: "backend".into(),
            owner: Some("node (pid 7)".into()),
        };
        let found = Ok((vec![endpoint], vec![taken]));
        let check = ports(&found, false);
        assert_eq!(check.verdict, Verdict::Failed);
        assert!(
            check.detail.contains("26701") && check.detail.contains("node (pid 7)"),
            "{check:?}"
        );
        assert!(check.remedy.is_some());
        assert_eq!(ports(&found, true).verdict, Verdict::Ok);
    }

    #[test]
    fn a_missing_image_fails_with_its_remedy() {
        let settings = Settings::from_variables([("HOME".into(), "/home/x".into())]).unwrap();
        let check = image(&Err(Error::NoImage { path: "/no".into() }), &settings);
        assert_eq!(check.verdict, Verdict::Failed);
        assert_eq!(check.remedy, Some(Remedy::PullImage));
    }

    #[test]
    fn an_image_that_a_start_pulls_is_not_missing() {
        let check = no_image_yet();
        assert_eq!((check.id, check.verdict), ("image", Verdict::Ok));
        assert_eq!(check.detail, "None yet. The first start pulls one.");
    }
}
