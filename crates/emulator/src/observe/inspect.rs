//! Questions about an instance that change nothing and need no lock: what
//! `doctor` and the settings page ask.

use std::path::PathBuf;

use images::Image;
use images::manifest::Service;

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

    /// Whether a machine runs that a start by the present settings would not have made: with other memory,
    /// processors or ports, or with placeholder secrets where they are to be rotated, or the other way round.
    pub fn runs_by_other_settings(&self) -> Result<bool, Error> {
        let Some(record) = slot::record_of(&self.paths.main())? else {
            return Ok(false);
        };
        let Some(vm) = record.running() else {
            return Ok(false);
        };
        let ports = self.port_settings()?;
        let moved = vm.endpoints.iter().any(|endpoint| {
            let setting = ports.iter().find(|setting| setting.service == endpoint.id);
            setting.is_some_and(|setting| setting.port != endpoint.port)
        });
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
        Ok(moved
            || record.network() != network
            || made.ram_mib != ram
            || made.vcpus != self.settings.vcpus
            || vm.rotated == self.settings.no_rotation)
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
