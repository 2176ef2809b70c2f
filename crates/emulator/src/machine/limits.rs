//! What this process is allowed, held against what the machine needs before QEMU is started.

use host::limits::Limit;
use qemu::Ram;

use super::bring_up::Origin;
use super::error::MachineError as Error;
use super::slot::Slot;
use super::spec::MachineSpec;

/// What a file has beside the memory or the disk that it holds, at most, in bytes.
const BESIDE_CONTENT: u64 = 64 << 20;
/// What QEMU reserves beside the guest's memory, at least, in bytes.
const BESIDE_MEMORY: u64 = 256 << 20;

/// Refuses what would kill QEMU sooner or later: a signal ends it at a write beyond the limit on a
/// file's size, and so does a page of a mapped file that a file system in memory has no room for.
pub(super) fn check(slot: &Slot, spec: &MachineSpec, origin: &Origin) -> Result<(), Error> {
    let ram = u64::from(spec.fingerprint.ram_mib) << 20;
    let file = ram.max(spec.image.virtual_bytes) + BESIDE_CONTENT;
    for (limit, needed) in [
        (Limit::FileSize, file),
        (Limit::AddressSpace, ram + BESIDE_MEMORY),
    ] {
        if let Some(limit) = limit.in_force().filter(|limit| limit.value < needed) {
            return Err(Error::Limit { limit, needed });
        }
    }
    let mapped = match origin {
        Origin::Snapshot { ram, .. }
        | Origin::Ahead { ram, .. }
        | Origin::Boot(Ram::SharedFile(ram) | Ram::PrivateFile(ram)) => ram,
        Origin::Boot(Ram::Private) | Origin::Session { .. } => return Ok(()),
    };
    let room = host::disk::free_bytes(slot.paths.root());
    let missing = host::disk::bytes_to_come(mapped).map_err(Error::file("look at", mapped))?;
    if missing > 0 && room.is_ok_and(|room| room < missing) {
        return Err(slot.disk_full());
    }
    Ok(())
}
