//! The instructions an accelerator has to run, and the machine they run in.
//!
//! On x86 they are a boot sector, so that the firmware, which probes devices, has to get through
//! first; it then goes the way of a kernel, to user mode and interrupts. On ARM they are the first thing the CPU runs.

use std::path::Path;

use host::Arch;

use super::Accelerator;
use crate::binary::QemuBinary;

/// The x86 program, a boot sector: `boot_sector.S` is its source, and says what it does.
const BOOT_SECTOR: &[u8; 512] = include_bytes!("boot_sector.bin");

/// `isa-debug-exit` exits with twice the value written, plus one.
const DEBUG_EXIT_CODE: i32 = 0x15 * 2 + 1;

/// The disk's size in bytes. A disk of less than one cylinder has no sectors for `SeaBIOS`.
const DISK_SIZE: usize = 1 << 20;

/// The ARM program: asks the firmware interface to switch the machine off.
///
/// ```text
/// mov  w1, #10000
/// 1: subs w1, w1, #1
/// b.ne 1b
/// mov  x0, #0x84000000
/// movk x0, #8               ; PSCI SYSTEM_OFF
/// hvc  #0
/// b    .
/// ```
const ARM_CODE: [u32; 7] = [
    0x5284_e201,
    0x7100_0421,
    0x54ff_ffe1,
    0xd2b0_8000,
    0xf280_0100,
    0xd400_0002,
    0x1400_0000,
];

/// Where the ARM board has RAM, past the device tree it puts into the first MiB.
const ARM_ADDRESS: &str = "0x40200000";

/// The file to run.
pub(super) fn image(arch: Arch) -> Vec<u8> {
    match arch {
        Arch::Amd64 => {
            let mut disk = vec![0; DISK_SIZE];
            disk[..BOOT_SECTOR.len()].copy_from_slice(BOOT_SECTOR);
            disk
        }
        Arch::Arm64 => ARM_CODE
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect(),
    }
}

/// QEMU's exit status if the program ran to its end. QEMU's own failures exit with 1.
pub(super) const fn exit_code(arch: Arch) -> i32 {
    match arch {
        Arch::Amd64 => DEBUG_EXIT_CODE,
        Arch::Arm64 => 0,
    }
}

/// The machine, next to what [`bare`](crate::process::bare) adds.
pub(super) fn arguments(
    binary: &QemuBinary,
    accelerator: Accelerator,
    payload: &Path,
) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| args.extend([option.to_owned(), value]);
    add("-machine", format!("{},usb=off", binary.machine_type));
    add("-accel", accelerator.machine_arg().to_owned());
    add("-cpu", accelerator.cpu_model(binary.arch).to_owned());
    add("-m", "64M".to_owned());
    // Temporary folders have UTF-8 names on every system we know; a comma is QEMU's separator.
    let path = payload.display().to_string().replace(',', ",,");
    match binary.arch {
        Arch::Amd64 => {
            add(
                "-blockdev",
                format!("driver=file,node-name=probe,read-only=on,filename={path}"),
            );
            add(
                "-device",
                "virtio-blk-pci,drive=probe,bootindex=0".to_owned(),
            );
            add(
                "-device",
                "isa-debug-exit,iobase=0xf4,iosize=0x04".to_owned(),
            );
        }
        Arch::Arm64 => add(
            "-device",
            format!("loader,file={path},addr={ARM_ADDRESS},cpu-num=0,force-raw=on"),
        ),
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the assembler that comes with every C compiler.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn the_boot_sector_is_what_its_source_says() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/accel/boot_sector.S");
        let folder = tempfile::tempdir().unwrap();
        let (object, sector) = (folder.path().join("o"), folder.path().join("bin"));
        let run = |program: &str, arguments: &[&str], input: &Path, output: &Path| {
            let status = std::process::Command::new(program)
                .args(arguments)
                .arg("-o")
                .args([output, input])
                .status();
            assert!(status.unwrap().success(), "{program}");
        };
        run("as", &["--64"], &source, &object);
        run(
            "ld",
            &["-Ttext", "0x7c00", "--oformat", "binary"],
            &object,
            &sector,
        );
        assert_eq!(std::fs::read(sector).unwrap(), BOOT_SECTOR);
    }

    #[test]
    fn the_disk_is_bootable() {
        let disk = image(Arch::Amd64);
        assert_eq!(disk.len() % 512, 0);
        assert_eq!(disk[510..512], [0x55, 0xaa]);
    }
}
