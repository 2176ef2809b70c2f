//! The bootable disk: a GPT with a FAT boot partition and the root file system.
//!
//! Both firmwares find their way without help. UEFI starts systemd-boot from
//! its default path; a BIOS runs the code in the first sector, which starts
//! syslinux from the partition marked as bootable. Either loads the kernel and
//! the initial RAM disk from the same FAT partition at once, without a menu.
//! All of it is written into an ordinary file by ordinary programs: no loop
//! device, no mount, no privileges.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::recipe::Platform;
use crate::command::{administrative, output_of};

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// Where the boot partition begins; the usual alignment.
const BOOT_START: u64 = MIB;
/// Room for the second copy of the partition table at the end.
const TAIL: u64 = MIB;
/// Code of a master boot record; the partition table follows.
const BOOT_CODE_BYTES: usize = 440;
const GPT_BOOT_CODE: &str = "/usr/lib/syslinux/mbr/gptmbr.bin";
/// FAT keeps no earlier time: 1980-01-01.
const FAT_EPOCH: &str = "315532800";

/// Sizes of the parts, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) disk: u64,
    pub(crate) boot: u64,
}

impl Layout {
    /// Where the root file system begins.
    fn root_start(self) -> u64 {
        BOOT_START + self.boot
    }

    /// Size of the root file system in MiB.
    pub(crate) fn root_mib(self) -> u64 {
        (self.disk - self.root_start() - TAIL) / MIB
    }

    /// The partition table, in `sfdisk`'s language. The identifiers are fixed, so that the same
    /// inputs give the same table.
    fn partition_table(self) -> String {
        format!(
            "label: gpt\n\
             label-id: 1B1C6F9E-4C2F-4C0F-8D8B-2D6B0E4E7A01\n\
             start={}, size={}, type=uefi, name=stack-boot, uuid=1B1C6F9E-4C2F-4C0F-8D8B-2D6B0E4E7A02, \
             attrs=LegacyBIOSBootable\n\
             start={}, size={}, type=linux, name=stack-root, uuid=1B1C6F9E-4C2F-4C0F-8D8B-2D6B0E4E7A03\n",
            BOOT_START / SECTOR,
            self.boot / SECTOR,
            self.root_start() / SECTOR,
            self.root_mib() * MIB / SECTOR,
        )
    }
}

/// What goes onto the disk, as files below one folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// Holds `vmlinuz`, `initrd.img`, `loader.efi` and `root.ext4`.
    pub(crate) folder: &'a Path,
    pub(crate) kernel_options: &'a str,
    pub(crate) platform: &'a Platform,
}

/// Writes the disk at `path`, sparse.
pub(crate) fn write(path: &Path, layout: Layout, parts: Parts<'_>) -> Result<()> {
    let disk = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    disk.set_len(layout.disk)
        .with_context(|| format!("cannot make {} sparse", path.display()))?;
    partition(path, layout)?;
    let boot = BootPartition { disk: path };
    boot.fill(layout, parts)?;
    if parts.platform.bios {
        boot.install_syslinux()?;
    }
    let root = parts.folder.join("root.ext4");
    copy_sparse(&root, path, layout.root_start())
        .with_context(|| format!("cannot copy {} onto the disk", root.display()))
}

fn partition(disk: &Path, layout: Layout) -> Result<()> {
    let mut sfdisk = administrative("sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(disk)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run sfdisk; `cargo xtask setup` installs what is missing")?;
    let mut stdin = sfdisk
        .stdin
        .take()
        .context("sfdisk has no standard input")?;
    stdin
        .write_all(layout.partition_table().as_bytes())
        .context("cannot give sfdisk the partition table")?;
    drop(stdin);
    let output = sfdisk
        .wait_with_output()
        .context("cannot wait for sfdisk")?;
    ensure!(
        output.status.success(),
        "sfdisk failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The FAT partition inside the disk file.
struct BootPartition<'a> {
    disk: &'a Path,
}

impl BootPartition<'_> {
    fn fill(&self, layout: Layout, parts: Parts<'_>) -> Result<()> {
        let sectors = (layout.boot / SECTOR).to_string();
        let hidden = (BOOT_START / SECTOR).to_string();
        self.mtools(
            "mformat",
            &[
                "-T",
                &sectors,
                "-H",
                &hidden,
                "-v",
                "STACKBOOT",
                "-N",
                "57AC0001",
                "::",
            ],
        )?;
        let efi = parts.platform.efi_path.as_str();
        for folder in folders_of(efi).chain(["loader".into(), "loader/entries".into()]) {
            self.mtools("mmd", &[&format!("::{folder}")])?;
        }
        let options = parts.kernel_options;
        let texts = [
            (
                "loader.conf",
                "loader/loader.conf",
                "timeout 0\ndefault stack.conf\n".to_owned(),
            ),
            (
                "stack.conf",
                "loader/entries/stack.conf",
                format!(
                    "title Stack Emulator\nlinux /vmlinuz\ninitrd /initrd.img\noptions {options}\n"
                ),
            ),
            (
                "syslinux.cfg",
                "syslinux.cfg",
                format!(
                    "DEFAULT stack\nPROMPT 0\nTIMEOUT 0\nLABEL stack\n  LINUX /vmlinuz\n  INITRD /initrd.img\n  APPEND {options}\n"
                ),
            ),
        ];
        for (name, target, text) in texts {
            let path = parts.folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            self.copy(&path, target)?;
        }
        self.copy(&parts.folder.join("loader.efi"), efi)?;
        for name in ["vmlinuz", "initrd.img"] {
            self.copy(&parts.folder.join(name), name)?;
        }
        Ok(())
    }

    fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let from = from
            .to_str()
            .context("the temporary folder has a name that is not UTF-8; set TMPDIR")?;
        self.mtools("mcopy", &[from, &format!("::{to}")])
    }

    fn mtools(&self, tool: &str, arguments: &[&str]) -> Result<()> {
        let mut image = self.disk.as_os_str().to_owned();
        image.push(format!("@@{BOOT_START}"));
        let mut command = Command::new(tool);
        command.arg("-i").arg(image).args(arguments);
        command
            .env("SOURCE_DATE_EPOCH", FAT_EPOCH)
            .env("MTOOLS_SKIP_CHECK", "1")
            .env("MTOOLSRC", "/dev/null");
        output_of(
            &mut command,
            &format!("writing the boot partition with {tool}"),
        )?;
        Ok(())
    }

    fn install_syslinux(&self) -> Result<()> {
        let mut command = Command::new("syslinux");
        command
            .args(["--offset", &BOOT_START.to_string(), "--install"])
            .arg(self.disk);
        output_of(&mut command, "installing the BIOS boot loader")?;
        let write = || -> std::io::Result<()> {
            let code = fs::read(GPT_BOOT_CODE)?;
            let mut disk = File::options().write(true).open(self.disk)?;
            disk.write_all(&code[..code.len().min(BOOT_CODE_BYTES)])
        };
        write().with_context(|| format!("cannot copy the boot sector {GPT_BOOT_CODE}"))
    }
}

/// The folders above `path`, outermost first.
fn folders_of(path: &str) -> impl Iterator<Item = String> {
    path.match_indices('/')
        .map(|(end, _)| path[..end].to_owned())
}

/// Copies the written parts of `from` into `to`, from the byte `at` on; holes stay holes.
fn copy_sparse(from: &Path, to: &Path, at: u64) -> Result<()> {
    use rustix::fs::{SeekFrom as RawSeek, seek};
    use rustix::io::Errno;

    let mut source = File::open(from)?;
    let mut target = File::options().write(true).open(to)?;
    let mut position = 0;
    loop {
        let start = match seek(&source, RawSeek::Data(position)) {
            Ok(start) => start,
            // No data after here.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = seek(&source, RawSeek::Hole(start))?;
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(at + start))?;
        std::io::copy(&mut (&mut source).take(end - start), &mut target)?;
        position = end;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    use super::*;

    const LAYOUT: Layout = Layout {
        disk: 8 << 30,
        boot: 48 * MIB,
    };

    #[test]
    fn the_parts_fill_the_disk_and_do_not_overlap() {
        assert_eq!(LAYOUT.root_start(), 49 * MIB);
        assert_eq!(
            LAYOUT.root_start() + LAYOUT.root_mib() * MIB + TAIL,
            LAYOUT.disk
        );
        let table = LAYOUT.partition_table();
        assert!(table.contains("start=2048, size=98304"), "{table}");
        assert!(table.contains("start=100352, size=16674816"), "{table}");
    }

    #[test]
    fn a_table_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let disk = File::create(&path).unwrap();
        disk.set_len(LAYOUT.disk).unwrap();
        partition(&path, LAYOUT).unwrap();
        let mut signature = [0; 8];
        let disk = File::open(&path).unwrap();
        disk.read_exact_at(&mut signature, SECTOR).unwrap();
        assert_eq!(&signature, b"EFI PART");
    }

    #[test]
    fn the_path_of_an_ordinary_user_will_do() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again
            .args(["--exact", "image::disk::tests::a_table_is_written"])
            .env("PATH", "/usr/local/bin:/usr/bin:/bin");
        let said = output_of(&mut again, "the test in another environment").unwrap();
        assert!(said.contains("1 passed"), "{said}");
    }

    #[test]
    fn folders_come_outermost_first() {
        assert_eq!(
            folders_of("EFI/BOOT/BOOTX64.EFI").collect::<Vec<_>>(),
            ["EFI", "EFI/BOOT"]
        );
    }

    #[test]
    fn a_sparse_copy_has_the_same_bytes_and_stays_sparse() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let source = File::create(&from).unwrap();
        source.set_len(64 * MIB).unwrap();
        source.write_all_at(b"first", 0).unwrap();
        source.write_all_at(b"middle", 32 * MIB).unwrap();
        File::create(&to).unwrap().set_len(128 * MIB).unwrap();
        copy_sparse(&from, &to, MIB).unwrap();
        let target = File::open(&to).unwrap();
        for (text, at) in [
            (&b"first"[..], MIB),
            (b"middle", 33 * MIB),
            (&[0; 8], 60 * MIB),
        ] {
            let mut read = vec![0; text.len()];
            target.read_exact_at(&mut read, at).unwrap();
            assert_eq!(read, text);
        }
        assert!(fs::metadata(&to).unwrap().blocks() * 512 < 8 * MIB);
    }
}
