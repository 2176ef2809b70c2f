//! What a machine is made of: decided once, before a boot or a resume, and the same for both.

use std::collections::BTreeMap;
use std::path::PathBuf;

use images::Image;
use qemu::{Accelerator, Disk, QemuBinary};

use super::config_disk::ConfigDisk;
use super::fingerprint::{Content, Fingerprint};
use super::folders;
use super::readiness::Endpoint;
use super::run_record::forwards;
use super::slot::Slot;
use crate::config::network::GuestNetwork;

/// Root ports kept free for folders that are shared with a running machine.
pub(crate) const SHARED_SLOTS: u8 = 8;

/// Everything that a boot or a resume is made from.
pub(crate) struct MachineSpec {
    /// QEMU's name for the machine, for people who look at processes.
    pub name: String,
    pub arch: qemu::Arch,
    pub binary: QemuBinary,
    pub accelerator: Accelerator,
    pub image: Image,
    /// The services, at the ports that the host binds for them.
    pub endpoints: Vec<Endpoint>,
    pub guest_ports: BTreeMap<String, u16>,
    pub config: ConfigDisk,
    /// Whom the guest can connect to. Saved state does not hold it.
    pub network: GuestNetwork,
    /// What saved state has to fit. Holds the ports that the guest is told, not those that the host binds.
    pub fingerprint: Fingerprint,
    pub boot_id: String,
}

impl MachineSpec {
    /// Digest of the image, with its stamp.
    pub(crate) fn image_content(&self) -> &Content {
        &self.fingerprint.image
    }

    /// The one place where a virtual machine is described, on `disk`, with the host's ports of `endpoints`.
    pub(crate) fn machine(
        &self,
        disk: Disk,
        config_iso: PathBuf,
        endpoints: &[Endpoint],
    ) -> qemu::Machine {
        qemu::Machine {
            arch: self.arch,
            accelerator: self.accelerator,
            ram_mib: self.fingerprint.ram_mib,
            vcpus: self.fingerprint.vcpus,
            name: self.name.clone(),
            disk,
            isos: vec![config_iso],
            forwards: forwards(endpoints, &self.guest_ports),
            outside: self.network == GuestNetwork::Open,
            shared_slots: SHARED_SLOTS,
            shares: Vec::new(),
            firmware: qemu::firmware::find(&self.binary),
        }
    }

    /// The machine on the disk of the slot's session, over the disk of a snapshot if there is one
    /// between it and the image.
    pub(crate) fn session_machine(
        &self,
        slot: &Slot,
        snapshot_disk: Option<PathBuf>,
        config_iso: PathBuf,
    ) -> qemu::Machine {
        let backing = snapshot_disk
            .into_iter()
            .chain([self.image.path.clone()])
            .collect();
        let disk = Disk {
            path: slot.paths.session().disk(),
            backing,
        };
        qemu::Machine {
            shares: folders::shares(&slot.paths),
            ..self.machine(disk, config_iso, &self.endpoints)
        }
    }
}
