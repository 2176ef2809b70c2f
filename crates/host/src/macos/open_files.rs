//! The files that a process has open, by device and inode.
//!
//! `libproc` lists descriptors and asks about each, for any type that says what it asks for; of files it
//! has no type of its own.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use libproc::bsd_info::BSDInfo;
use libproc::file_info::{ListFDs, PIDFDInfo, PIDFDInfoFlavor, ProcFDType, pidfdinfo};
use libproc::proc_pid::{listpidinfo, pidinfo};

/// Room for descriptors that are opened between the count and the list.
const MORE: usize = 32;

/// `struct vnode_fdinfo` of macOS's `sys/proc_info.h`, with what nobody asks for left unnamed.
#[repr(C)]
#[derive(Default)]
pub(super) struct OpenFile {
    /// `struct proc_fileinfo`: flags, status, offset, type, guard flags.
    of_descriptor: [u64; 3],
    /// `vst_dev`, the first field of `struct vinfo_stat`.
    device: u32,
    /// `vst_mode` and `vst_nlink`.
    mode_and_links: [u16; 2],
    /// `vst_ino`.
    inode: u64,
    /// User, group, four times in two words each, size and blocks.
    stat: [u64; 11],
    /// Block size, flags, generation, device of a special file.
    more: [u32; 4],
    /// `vst_qspare`.
    spare: [u64; 2],
    /// `vi_type`, `vi_pad` and `vi_fsid`.
    of_vnode: [u32; 4],
}

// What the kernel writes, and refuses to write into less.
const _: () = assert!(size_of::<OpenFile>() == 176);

impl PIDFDInfo for OpenFile {
    fn flavor() -> PIDFDInfoFlavor {
        PIDFDInfoFlavor::VNodeInfo
    }
}

impl OpenFile {
    /// Whether it is the file with this `stat`, which has the device's number with its sign extended.
    pub(super) fn is(&self, file: &Metadata) -> bool {
        u64::from(self.device) == file.dev() & u64::from(u32::MAX) && self.inode == file.ino()
    }
}

/// Those of the process; `None` if the system does not tell.
pub(super) fn of(pid: i32) -> Option<Vec<OpenFile>> {
    let info: BSDInfo = pidinfo(pid, 0).ok()?;
    let room = usize::try_from(info.pbi_nfiles).ok()?.saturating_add(MORE);
    let descriptors = listpidinfo::<ListFDs>(pid, room).ok()?;
    let files = descriptors
        .iter()
        .filter(|descriptor| matches!(descriptor.proc_fdtype.into(), ProcFDType::VNode))
        // One that is closed meanwhile is not open.
        .filter_map(|descriptor| pidfdinfo(pid, descriptor.proc_fd).ok());
    Some(files.collect())
}
