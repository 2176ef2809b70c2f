//! `guest/image/recipe.toml`: what the base system is made of.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::tree::Footprint;

/// The recipe, for all architectures.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    pub(crate) suite: String,
    pub(crate) packages: Vec<String>,
    pub(crate) initrd_modules: Vec<String>,
    pub(crate) kernel_options: Vec<String>,
    pub(crate) disk: Disk,
    arch: BTreeMap<String, Platform>,
}

/// Sizes of the disk and of its boot partition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disk {
    pub(crate) boot_mib: u64,
    min_virtual_gib: u64,
    base_mib: u64,
}

/// What differs by machine architecture.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Platform {
    pub(crate) kernel_package: String,
    pub(crate) efi_loader: String,
    pub(crate) efi_path: String,
    pub(crate) bios: bool,
    pub(crate) console: String,
    pub(crate) rust_target: String,
    /// Of the starter's programs; the compiler's own choice without it.
    #[serde(default)]
    pub(crate) linker: Option<String>,
    pub(crate) qemu: String,
    pub(crate) machine: String,
    /// Processor of the provisioning boot.
    pub(crate) cpu: String,
    #[serde(default)]
    pub(crate) firmware: Option<std::path::PathBuf>,
}

/// The file system has one inode for so many bytes (`inode_ratio` in `guest/image/mke2fs.conf`).
const BYTES_PER_INODE: u64 = 16384;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Recipe {
    /// Reads the recipe of the checkout at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("guest/image/recipe.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a usable recipe", path.display()))
    }

    /// The table of `arch`.
    pub(crate) fn platform(&self, arch: &str) -> Result<&Platform> {
        match self.arch.get(arch) {
            Some(platform) => Ok(platform),
            None => bail!(
                "there is no recipe for the architecture {arch:?}; known are {}",
                self.arch
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }
}

impl Disk {
    /// The size of a disk, in bytes, for a payload.
    pub(crate) fn virtual_bytes(&self, payload: Footprint) -> u64 {
        let inodes = payload.inodes.saturating_mul(BYTES_PER_INODE);
        let needed = (self.base_mib * MIB)
            .saturating_add(payload.bytes.saturating_mul(3))
            .saturating_add(inodes);
        needed.max(self.min_virtual_gib * GIB).div_ceil(GIB) * GIB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe::read(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap()
    }

    #[test]
    fn the_recipe_of_this_checkout_reads() {
        let recipe = recipe();
        assert_eq!(
            recipe.platform("amd64").unwrap().efi_path,
            "EFI/BOOT/BOOTX64.EFI"
        );
        assert!(!recipe.platform("arm64").unwrap().bios);
        let error = recipe.platform("riscv64").unwrap_err().to_string();
        assert!(
            error.contains("riscv64") && error.contains("amd64, arm64"),
            "{error}"
        );
    }

    #[test]
    fn a_large_payload_gets_a_larger_disk() {
        let disk = recipe().disk;
        let of = |bytes| disk.virtual_bytes(Footprint { bytes, inodes: 0 });
        assert_eq!(of(0), 8 * GIB);
        assert_eq!(of(GIB), 8 * GIB);
        assert_eq!(of(5 * GIB), 18 * GIB);
        assert_eq!(of(5 * GIB + 1) % GIB, 0);
    }

    #[test]
    fn a_million_small_files_find_an_inode_each() {
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/image/mke2fs.conf");
        let settings = std::fs::read_to_string(settings).unwrap();
        let ratio = settings
            .lines()
            .find_map(|line| line.trim().strip_prefix("inode_ratio = "))
            .unwrap();
        assert_eq!(ratio.parse::<u64>().unwrap(), BYTES_PER_INODE);
        let inodes = 1_000_000;
        let bytes = inodes * 512;
        let disk = recipe().disk.virtual_bytes(Footprint { bytes, inodes });
        // The base system has some ten thousand files of its own.
        assert!(disk / BYTES_PER_INODE > inodes + 100_000, "{disk}");
    }
}
