//! UEFI firmware, for the machines that have none built in.
//!
//! A PC's QEMU brings `SeaBIOS` and finds it by itself. The `virt` machine of
//! 64-bit ARM starts with nothing, and where its firmware lies depends on who
//! packaged it.

use std::path::{Path, PathBuf};

use host::Arch;

use crate::binary::QemuBinary;

/// Of packages of its own: Debian and Ubuntu, the latter's and older ones' other name, Fedora, Arch.
const PACKAGED: [&str; 4] = [
    "/usr/share/AAVMF/AAVMF_CODE.fd",
    "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    "/usr/share/edk2/aarch64/QEMU_EFI.fd",
    "/usr/share/edk2/aarch64/QEMU_CODE.fd",
];

/// What QEMU itself installs, below the folder that its `bin` is in: Homebrew,
/// and the distribution that builds it.
const OWN: &str = "share/qemu/edk2-aarch64-code.fd";

/// The firmware for a machine that `binary` runs; `None` if it needs none, or
/// there is none: [`crate::Machine`] tells these apart, and names the remedy.
pub fn find(binary: &QemuBinary) -> Option<PathBuf> {
    match binary.arch {
        Arch::Amd64 => None,
        Arch::Arm64 => places(&binary.path).find(|place| place.is_file()),
    }
}

/// Best first: what came with this QEMU.
fn places(program: &Path) -> impl Iterator<Item = PathBuf> {
    // Homebrew's program is a link from one prefix into another.
    let real = program.canonicalize().ok();
    let programs = [Some(program.to_owned()), real];
    let own = programs
        .into_iter()
        .flatten()
        .filter_map(|program| Some(program.parent()?.parent()?.join(OWN)));
    own.chain(PACKAGED.map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_came_with_qemu_goes_before_what_the_system_has() {
        let dir = tempfile::tempdir().unwrap();
        let (cellar, prefix) = (dir.path().join("cellar"), dir.path().join("prefix"));
        for folder in [
            cellar.join("bin"),
            cellar.join("share/qemu"),
            prefix.join("bin"),
        ] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(cellar.join("bin/qemu-system-aarch64"), "").unwrap();
        fs::write(cellar.join(OWN), "").unwrap();
        let link = prefix.join("bin/qemu-system-aarch64");
        symlink(cellar.join("bin/qemu-system-aarch64"), &link).unwrap();

        let found = places(&link).find(|place| place.is_file()).unwrap();
        assert_eq!(
            found.canonicalize().unwrap(),
            cellar.join(OWN).canonicalize().unwrap()
        );
        let last: Vec<_> = places(&link).skip(2).collect();
        assert_eq!(last, PACKAGED.map(PathBuf::from));
    }
}
