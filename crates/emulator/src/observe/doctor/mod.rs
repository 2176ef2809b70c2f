//! Can this host run the emulator, and if not, what to do: the checks of
//! `doctor` and of the first start of the desktop app.
//!
//! Facts are gathered here, one after the other, from the same functions that
//! a start uses; what they mean is decided by the pure functions of `checks`.

mod checks;
mod localhost;
mod secrets;

use std::path::Path;

use failure::Remedy;
use qemu::QemuBinary;
use serde::Serialize;

use crate::config::variables::DEFAULT_RAM_MIB;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::machine::ports::taken_on_ipv6;
use crate::observe::status::{State, Status};

/// What an examination found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct Examination {
    /// False if a check failed.
    pub fit: bool,
    /// What was looked at, in the order in which it matters. A check that
    /// cannot be made because of another one's failure is left out.
    pub checks: Vec<Check>,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct Check {
    /// Stable: `qemu`, `firmware`, `accelerator`, `instance`, `disk`, `image`, `ports`, `localhost`,
    /// `secrets`, `secrets_in_force` or `snapshot`.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, for people; may have several lines.
    pub detail: String,
    /// How it was found, for a bug report: for instance what QEMU said.
    pub evidence: Option<String>,
    /// What to do about it.
    pub remedy: Option<Remedy>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but could be better.
    Warning,
    /// It does not work.
    Failed,
}

impl Verdict {
    /// The verdict in one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

impl Emulator {
    /// Examines this host and the instance; changes nothing but caches.
    ///
    /// The accelerator's verdict is remembered; `probe_again` tries each anew,
    /// which takes up to some seconds for each that hangs. May be dropped at
    /// any time.
    pub async fn examine(&self, probe_again: bool) -> Examination {
        let checks = self.look(probe_again).await;
        Examination {
            fit: !checks.iter().any(|check| check.verdict == Verdict::Failed),
            checks,
        }
    }

    async fn look(&self, probe_again: bool) -> Vec<Check> {
        let settings = &self.settings;
        let cache = self.home.cache();
        let mut found = Vec::new();

        let binary = QemuBinary::find_cached(settings.arch, settings.qemu.as_deref(), &cache).await;
        found.push(checks::qemu(&binary));
        if let Ok(binary) = &binary {
            if binary.arch == qemu::Arch::Arm64 {
                found.push(checks::firmware(qemu::firmware::find(binary).as_deref()));
            }
            let probed = qemu::accel::probe(binary, &cache, probe_again).await;
            found.push(checks::accelerator(&probed, settings.accelerator));
        }

        let status = self.status().await;
        found.push(checks::instance(&status));
        let known = status.as_ref().ok();
        let snapshot_bytes = known
            .and_then(|status| status.snapshot.as_ref())
            .map(|snapshot| snapshot.bytes_on_disk);
        let free = self.home.free_bytes();
        let image = self.image_path().and_then(|path| open_image(&path));
        let ram_mib = match &image {
            Ok(image) => settings.ram_for(image),
            Err(_) => settings.ram_mib.unwrap_or(DEFAULT_RAM_MIB),
        };
        found.push(checks::disk(&settings.home, &free, ram_mib, snapshot_bytes));

        let none_yet = self
            .remembered()
            .is_ok_and(|known| self.lacks_image(&known));
        found.push(if none_yet {
            checks::no_image_yet()
        } else {
            checks::image(&image, settings)
        });
        if image.is_ok() {
            let ours = known.is_some_and(has_machine);
            let ports = self.taken_ports();
            found.push(checks::ports(&ports, ours));
            if let Ok((endpoints, _)) = &ports {
                found.extend(localhost::check(&taken_on_ipv6(endpoints)));
            }
        }
        found.push(secrets::check(&self.examine_secret_places().await));
        if let Ok(Some(place)) = self.secret_place()
            && known.is_some_and(has_machine)
        {
            found.extend(secrets::check_in_force(&place));
        }
        if let (Ok(_), Ok(_), Some(status)) = (&binary, &image, known) {
            let mismatches = self.snapshot_mismatches().await;
            found.push(checks::snapshot(status, &mismatches));
        }
        found
    }
}

/// Whether the ports may well be taken by the emulator itself.
const fn has_machine(status: &Status) -> bool {
    match status.state {
        State::Running | State::Starting | State::Paused | State::Stopping | State::Interrupted => {
            true
        }
        State::Stopped | State::Capturing | State::Died => false,
    }
}

fn open_image(path: &Path) -> Result<images::Image, Error> {
    if !path.exists() {
        return Err(Error::NoImage {
            path: path.to_owned(),
        });
    }
    Ok(images::Image::open(path)?)
}
