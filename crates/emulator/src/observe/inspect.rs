//! Questions about an instance that change nothing and need no lock: what
//! `doctor` and the settings page ask.

use std::path::PathBuf;

use images::Image;
use images::manifest::Service;
use serde::Serialize;

use crate::config::variables::{DEFAULT_RAM_MIB, usual_ram};
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::machine::fingerprint::Mismatch;
use crate::machine::ports::{self, Taken};
use crate::machine::readiness::Endpoint;
use crate::machine::slot;
use crate::state::error::StateError;
use crate::state::snapshot::{Found, Snapshot};

/// The guest's memory while the user sets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsualRam {
    /// In MiB.
    pub mib: u32,
    /// Whether the image asks for so much.
    pub by_image: bool,
}

/// A setting that the running machine was started by, and that has another value for the next start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct OtherSetting {
    /// Its name for the command line, such as `ram` or `port.backend`.
    pub setting: String,
    /// The value that is in force, for people.
    pub now: String,
    /// That of the next start.
    pub next: String,
}

impl Emulator {
    /// The image that the next start would use: the one named, else the one
    /// used last, else the default.
    pub fn image_path(&self) -> Result<PathBuf, Error> {
        Ok(self.image_to_use(&self.remembered()?))
    }

    /// The services of the chosen image, or the contract's if there is no image
    /// that can be read.
    pub fn services(&self) -> Result<Vec<Service>, Error> {
        Ok(self.services_by(&self.remembered()?))
    }

    /// What the guest's memory is while the user sets none, for the chosen image.
    pub fn usual_ram(&self) -> Result<UsualRam, Error> {
        Ok(match Image::open(&self.image_path()?) {
            Ok(image) => UsualRam {
                mib: usual_ram(&image),
                by_image: image.manifest.is_some_and(|m| m.ram_mib.is_some()),
            },
            Err(_) => UsualRam {
                mib: DEFAULT_RAM_MIB,
                by_image: false,
            },
        })
    }

    /// The guest's memory in MiB at the next start.
    pub fn ram_mib(&self) -> Result<u32, Error> {
        match self.settings.ram_mib {
            Some(set) => Ok(set),
            None => Ok(self.usual_ram()?.mib),
        }
    }

    /// The services' addresses, and the ports that somebody has. Ports that a
    /// running emulator has itself are among them.
    pub fn taken_ports(&self) -> Result<(Vec<Endpoint>, Vec<Taken>), Error> {
        let remembered = self.remembered()?;
        let image = Image::open(&self.image_to_use(&remembered))?;
        let (endpoints, _) = self.endpoints(&image, remembered.port_offset)?;
        let taken = ports::taken(&endpoints);
        Ok((endpoints, taken))
    }

    /// Whether a machine runs that a start by the present settings would not have made.
    pub fn runs_by_other_settings(&self) -> Result<bool, Error> {
        Ok(!self.other_settings()?.is_empty())
    }

    /// The settings by which the running machine was started and the next one will not be: memory,
    /// processors, ports, and whether the secrets are rotated.
    pub(crate) fn other_settings(&self) -> Result<Vec<OtherSetting>, Error> {
        let Some(record) = slot::record_of(&self.paths.main())? else {
            return Ok(Vec::new());
        };
        let Some(vm) = record.running() else {
            return Ok(Vec::new());
        };
        let mut differing = Vec::new();
        let mut compare = |setting: &str, now: String, next: String| {
            if now != next {
                let setting = setting.to_owned();
                differing.push(OtherSetting { setting, now, next });
            }
        };
        let made = &vm.fingerprint;
        // Where the image cannot be read, nobody knows what it asks for.
        let ram = match (self.settings.ram_mib, Image::open(&self.image_path()?)) {
            (Some(set), _) => set,
            (None, Ok(image)) => usual_ram(&image),
            (None, Err(_)) => made.ram_mib,
        };
        let network = match Image::open(&self.image_path()?) {
            Ok(image) => self.settings.network.for_image(&image),
            Err(_) => record.network(),
        };
        let memory = |mib: u32| format!("{mib} MiB");
        compare("ram", memory(made.ram_mib), memory(ram));
        let count = |vcpus: u32| vcpus.to_string();
        compare(
            "cpus",
            count(made.vcpus.into()),
            count(self.settings.vcpus.into()),
        );
        let ports = self.port_settings()?;
        for endpoint in &vm.endpoints {
            let wanted = ports.iter().find(|port| port.service == endpoint.id);
            if let Some(wanted) = wanted {
                let name = format!("port.{}", endpoint.id);
                compare(&name, endpoint.port.to_string(), wanted.port.to_string());
            }
        }
        let off = self.settings.no_rotation;
        if !vm.rotates_like(off) {
            let word = |off| if off { "on" } else { "off" }.to_owned();
            compare("no-rotation", word(!off), word(off));
        }
        if record.network() != network {
            let word = |network| format!("{network:?}").to_lowercase();
            compare("network", word(record.network()), word(network));
        }
        Ok(differing)
    }

    /// What keeps the current snapshot from being resumed here; `None` if
    /// there is none.
    pub async fn snapshot_mismatches(&self) -> Result<Option<Vec<Mismatch>>, Error> {
        let snapshot = match Snapshot::current(&self.paths) {
            Found::None => return Ok(None),
            Found::Damaged(damage) => return Err(StateError::SnapshotDamaged { damage }.into()),
            Found::Whole(snapshot) => snapshot,
        };
        let prepared = self.prepare().await?;
        Ok(Some(snapshot.mismatches(&prepared.spec.fingerprint)))
    }
}
