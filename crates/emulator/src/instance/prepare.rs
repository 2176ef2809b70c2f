//! What a machine will be made of: QEMU, accelerator, image, ports and settings, looked at before
//! anything is changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use host::IdentityError;
use images::Image;
use qemu::{Accelerator, Disk, QemuBinary};
use record::Durability;

use super::archive::compressed;
use super::{Emulator, LockedInstance};
use crate::instance::error::InstanceError as Error;
use crate::machine::config_disk::ConfigDisk;
use crate::machine::fingerprint::{Content, Fingerprint};
use crate::machine::spec::MachineSpec;
use crate::state::instance_record::InstanceRecord;
use crate::state::session::SavedRecord;
use crate::state::snapshot::{Snapshot, SnapshotManifest};
use progress::{Event, Reporter};

/// What was looked at.
pub(crate) struct Prepared {
    pub spec: MachineSpec,
    /// The instance record, if it changed.
    pub to_remember: Option<InstanceRecord>,
}

impl Emulator {
    /// The QEMU to use, and what makes it fast.
    pub(crate) async fn find_qemu(&self) -> Result<(QemuBinary, Accelerator), Error> {
        let (arch, cache) = (self.settings.arch, self.home.cache());
        let binary = QemuBinary::find_cached(arch, self.settings.qemu.as_deref(), &cache).await?;
        let accelerator = match self.settings.accelerator {
            Some(accelerator) => accelerator,
            None => {
                qemu::accel::probe(&binary, &cache, false)
                    .await?
                    .accelerator
            }
        };
        Ok((binary, accelerator))
    }

    /// After an operation that failed because the accelerator did: has the next
    /// one use another. A boot in which QEMU ended is worth another try as it is. Gives `error` back
    /// if it was something else, or if the user insists on that accelerator.
    pub(crate) async fn make_way_for_another_try(
        &self,
        error: Error,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        // QEMU 10.0 was seen to crash in about one of several hundred boots under software emulation.
        if error.is_broken_boot() {
            let words = format!("{}; booting once more.", failure::chain(&error));
            reporter.report(Event::Warning(&words));
            return Ok(());
        }
        let Some(failed) = error
            .failed_accelerator()
            .filter(|_| self.settings.accelerator.is_none())
        else {
            return Err(error);
        };
        let (binary, _) = self.find_qemu().await?;
        let detail = "QEMU reported an internal error while it ran a guest";
        let others = qemu::accel::distrust(&binary, &self.home.cache(), failed, detail).await?;
        reporter.report(Event::Warning(&format!(
            "{failed} failed while it ran the virtual machine; trying again with {}.",
            others.accelerator
        )));
        Ok(())
    }

    /// Looks at QEMU, accelerator, image, ports and settings; changes nothing.
    ///
    /// The guest is told the ports that its services have on the host, unless saved state that a
    /// start would load holds those of another instance.
    pub(crate) async fn prepare(&self) -> Result<Prepared, Error> {
        let mut prepared = self.prepare_anew().await?;
        if let Some(saved) = self.told_before(prepared.spec.image_content()) {
            self.leave_told(&mut prepared.spec, &saved)?;
        }
        Ok(prepared)
    }

    /// The same for saved state of the machine of `saved`, and no other.
    pub(crate) async fn prepare_for(&self, saved: &Fingerprint) -> Result<Prepared, Error> {
        let mut prepared = self.prepare_anew().await?;
        if saved.ports_of_another || self.remembered()?.moved_ports {
            self.leave_told(&mut prepared.spec, saved)?;
        }
        Ok(prepared)
    }

    /// Leaves a guest that was told the ports of another instance what it was told, if it fits apart
    /// from that.
    fn leave_told(&self, spec: &mut MachineSpec, saved: &Fingerprint) -> Result<(), Error> {
        if !saved.ports_of_another && saved.ports == spec.fingerprint.ports {
            return Ok(());
        }
        let prefix = self.settings.port_prefix;
        let config = ConfigDisk::new(&spec.image.path, prefix, &saved.ports)?;
        let now = Fingerprint {
            config: config.digest(),
            ports: saved.ports.clone(),
            ports_of_another: true,
            ..spec.fingerprint.clone()
        };
        // State that has to be made anew for another reason is told the right ports.
        if saved.mismatches(&now).is_empty() {
            spec.config = config;
            spec.fingerprint = now;
            // A service that listens where it was told to listens there still.
            for service in spec.image.services(prefix) {
                let told = saved.ports.get(&service.id).copied();
                let port = told.and_then(|told| service.resolve_guest_port(prefix, told));
                spec.guest_ports.extend(port.map(|port| (service.id, port)));
            }
        }
        Ok(())
    }

    /// The fingerprint of the saved state that a start would load, if its guest was told the ports of
    /// another instance, or those that this one has left.
    fn told_before(&self, image: &Content) -> Option<Fingerprint> {
        let session = self.paths.main().session();
        let settings = &self.settings;
        let fingerprint = if settings.no_snapshot {
            return None;
        } else if session.disk().try_exists().unwrap_or(true) {
            record::read::<SavedRecord>(&session.saved())
                .ok()?
                .fingerprint
        } else if settings.force_capture {
            return None;
        } else {
            let snapshot = Snapshot::of_image(&self.paths, &image.sha256);
            let manifest = snapshot.map(|snapshot| snapshot.manifest);
            manifest.or_else(|| self.compressed(image))?.fingerprint
        };
        let moved = || self.remembered().is_ok_and(|known| known.moved_ports);
        (fingerprint.ports_of_another || moved()).then_some(fingerprint)
    }

    /// What a start would unpack where there is no snapshot of `image`.
    fn compressed(&self, image: &Content) -> Option<SnapshotManifest> {
        let ids = Snapshot::archived_ids(&self.paths).ok()?.into_iter();
        ids.filter_map(|id| compressed::manifest(&self.paths, &id))
            .find(|manifest| manifest.fingerprint.image.sha256 == image.sha256)
    }

    /// [`Self::prepare`] for a guest that boots: it is told the ports that its services have on the host.
    async fn prepare_anew(&self) -> Result<Prepared, Error> {
        self.settings.refuse_invalid()?;
        let (binary, accelerator) = self.find_qemu().await?;
        let remembered = self.remembered()?;
        let path = self.image_to_use(&remembered);
        if !path.exists() {
            return Err(Error::NoImage { path });
        }
        let image = Image::open(&path)?;
        self.check_size(&image)?;
        let image_content = self.image_content(&image, remembered.image_content.as_ref())?;
        let qemu = Content::of(&binary.path, remembered.qemu_content.as_ref())
            .map_err(Error::file("read", &binary.path))?;
        let (endpoints, guest_ports) = self.endpoints(&image, remembered.port_offset)?;
        // The guest is told the ports that its services have on the host.
        let told: BTreeMap<_, _> = endpoints.iter().map(|e| (e.id.clone(), e.port)).collect();
        let config = ConfigDisk::new(&image.path, self.settings.port_prefix, &told)?;
        let updated = InstanceRecord {
            image: Some(self.home.relative(&image.path)),
            image_content: Some(image_content.clone()),
            qemu_content: Some(qemu.clone()),
            ..remembered.clone()
        };
        let to_remember = (updated != remembered).then_some(updated);
        let mut spec = MachineSpec {
            name: format!("stack-emulator-{}", self.name),
            arch: self.settings.arch,
            accelerator,
            endpoints,
            guest_ports,
            network: self.settings.network.for_image(&image),
            fingerprint: Fingerprint {
                qemu_version: binary.version_text.clone(),
                qemu,
                accelerator: accelerator.to_string(),
                // Under emulation the guest sees QEMU's CPU, whatever the host's is.
                host_cpu: match accelerator {
                    Accelerator::Tcg => None,
                    Accelerator::Kvm | Accelerator::Hvf => Some(host_cpu()),
                },
                image: image_content,
                ram_mib: self.settings.ram_for(&image),
                vcpus: self.settings.vcpus,
                machine: Vec::new(),
                ports: told,
                ports_of_another: false,
                config: config.digest(),
            },
            binary,
            image,
            config,
            boot_id: host::boot_id().map_err(IdentityError::BootId)?,
        };
        let disk = Disk {
            path: PathBuf::new(),
            backing: Vec::new(),
        };
        let machine = spec.machine(disk, PathBuf::new(), &spec.endpoints);
        spec.fingerprint.machine = machine.guest_visible(&spec.binary);
        Ok(Prepared { spec, to_remember })
    }

    fn check_size(&self, image: &Image) -> Result<(), Error> {
        let Some(manifest) = &image.manifest else {
            return Ok(());
        };
        let (ram, vcpus) = (self.settings.ram_for(image), self.settings.vcpus);
        if ram < manifest.min_ram_mib {
            return Err(Error::TooSmall {
                needed: format!("{} MiB of memory", manifest.min_ram_mib),
                variable: crate::config::variables::RAM,
                given: format!("{ram} MiB"),
            });
        }
        if vcpus < manifest.min_vcpus {
            return Err(Error::TooSmall {
                needed: format!("{} virtual CPUs", manifest.min_vcpus),
                variable: crate::config::variables::CPUS,
                given: vcpus.to_string(),
            });
        }
        Ok(())
    }
}

impl LockedInstance<'_> {
    /// [`Emulator::prepare`], and keeps what is worth remembering.
    pub(crate) async fn prepare(&self) -> Result<MachineSpec, Error> {
        self.emulator.claim_ports()?;
        let prepared = self.emulator.prepare().await?;
        self.remember(&prepared)?;
        Ok(prepared.spec)
    }

    /// The same for a guest that boots.
    pub(crate) async fn prepare_anew(&self) -> Result<MachineSpec, Error> {
        self.emulator.claim_ports()?;
        let prepared = self.emulator.prepare_anew().await?;
        self.remember(&prepared)?;
        Ok(prepared.spec)
    }

    /// Keeps what is worth remembering of what was found.
    pub(crate) fn remember(&self, prepared: &Prepared) -> Result<(), Error> {
        let home = &self.emulator.home;
        if let Some(digest) = home.image_store().digest_at(&prepared.spec.image.path)
            && let Err(error) = home.image_store().touch(digest)
        {
            // It only says which image was not used for longest.
            tracing::debug!(%error, "the use of the image could not be noted");
        }
        if let Some(record) = &prepared.to_remember {
            record::write(
                &self.emulator.paths.instance_record(),
                record,
                Durability::PowerCut,
            )?;
        }
        Ok(())
    }
}

/// Digest of the host CPU's model and features, which a guest with a
/// passed-through CPU sees.
fn host_cpu() -> String {
    images::Sha256Digest::of(host::cpu::all_models().as_bytes()).short()
}

#[cfg(test)]
mod tests {
    use progress::Silent;

    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::{HOME, NO_SNAPSHOT, Settings};
    use crate::instance::archive::tests::snapshot::instance;

    #[tokio::test]
    async fn what_the_guest_was_told_counts_as_long_as_a_start_would_load_it() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, mut snapshot) = instance(dir.path());
        let home = dir.path().join("home").into_os_string();
        let emulator = |variables: Vec<(_, _)>| {
            let home = (HOME.into(), home.clone());
            let settings = Settings::from_variables(variables.into_iter().chain([home])).unwrap();
            Emulator::new(settings, InstanceName::default(), None)
        };
        let usual = emulator(vec![]);
        let image = snapshot.manifest.fingerprint.image.clone();
        assert!(usual.told_before(&image).is_none(), "its own ports");
        let mut record = InstanceRecord {
            moved_ports: true,
            ..InstanceRecord::default()
        };
        record::write(&paths.instance_record(), &record, Durability::ThisBoot).unwrap();
        assert!(
            usual.told_before(&image).is_some(),
            "those that it has left"
        );
        record.moved_ports = false;
        record::write(&paths.instance_record(), &record, Durability::ThisBoot).unwrap();

        snapshot.manifest.fingerprint.ports_of_another = true;
        let manifest = snapshot.paths.manifest();
        record::write(&manifest, &snapshot.manifest, Durability::ThisBoot).unwrap();
        assert!(usual.told_before(&image).is_some());
        let cold = emulator(vec![(NO_SNAPSHOT.into(), "1".into())]);
        assert!(cold.told_before(&image).is_none(), "it boots");
        let other = Content {
            sha256: images::Sha256Digest::of(b"another"),
            ..image.clone()
        };
        assert!(usual.told_before(&other).is_none(), "a new snapshot");

        let held = usual.hold("test", &Silent).await.unwrap();
        held.compress(snapshot, &Silent).await.unwrap();
        drop(held);
        assert!(usual.told_before(&image).is_some(), "it is unpacked");

        let session = paths.main().session();
        std::fs::create_dir_all(session.root()).unwrap();
        std::fs::write(session.disk(), "a disk").unwrap();
        assert!(usual.told_before(&image).is_none(), "the disk is booted");
    }
}
