//! The one builder of QEMU's command line, for boot, capture and resume alike.
//!
//! A snapshot can only be resumed by a machine of the same shape. So the command line has two
//! parts: [`Machine::guest_visible`], which is all that the guest can notice and all that a
//! snapshot's fingerprint has to hash, comes first and is used verbatim; what follows
//! (files, sockets, ports, the way RAM is backed) the guest cannot see. The first part refers to
//! the second by fixed names only. Nothing secret is ever put on a command line.

mod host;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::Arch;
use crate::accel::Accelerator;
use crate::binary::QemuBinary;

/// The first `PCIe` slot used for reserved root ports; those below are for fixed devices.
const FIRST_SHARE_SLOT: u8 = 0x10;

/// Most reserved root ports: q35 keeps slot 0x1f for its own bridge.
pub const MAX_SHARED_SLOTS: u8 = 0x1f - FIRST_SHARE_SLOT;

/// Most read-only disks.
pub const MAX_ISOS: usize = 4;

/// A virtual machine, as boot, capture and resume must agree on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Guest architecture; that of the binary it is run with.
    pub arch: Arch,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// Guest memory in MiB.
    pub ram_mib: u32,
    /// Guest CPUs.
    pub vcpus: u16,
    /// A name for people, shown in process lists. The guest does not see it.
    pub name: String,
    /// The root disk.
    pub disk: Disk,
    /// Read-only raw disks, such as the configuration disk. Their number and order are visible to
    /// the guest, their paths are not.
    pub isos: Vec<PathBuf>,
    /// TCP ports of 127.0.0.1 that lead into the guest.
    pub forwards: Vec<Forward>,
    /// Whether the guest can connect to others: the network of the host, what is behind it, and the
    /// host's own loopback, which QEMU offers it as 10.0.2.2. The guest does not see this, it sees that
    /// nobody answers.
    pub outside: bool,
    /// Empty `PCIe` root ports, reserved for devices plugged in later (shared folders).
    pub shared_slots: u8,
    /// Folders that a device plugged in later can offer to the guest. QEMU opens the path only
    /// then, so it need not exist when QEMU starts.
    pub shares: Vec<Share>,
    /// UEFI firmware. Required for [`Arch::Arm64`]; for [`Arch::Amd64`] `None` means `SeaBIOS`.
    pub firmware: Option<PathBuf>,
}

/// A qcow2 chain.
///
/// The whole chain is named here and given to QEMU node by node; what the image files say about
/// their backing files is ignored. An image from the network can therefore not make QEMU open
/// another file of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The writable image.
    pub path: PathBuf,
    /// What lies under it, nearest first; opened read-only.
    pub backing: Vec<PathBuf>,
}

/// A port of the host's loopback interface that leads to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Port on 127.0.0.1.
    pub host_port: u16,
    /// Port in the guest.
    pub guest_port: u16,
}

/// A folder that can be offered to the guest over 9p.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Name of the backend, for [`Machine::share_device`].
    pub id: String,
    /// The folder; may be a symbolic link that does not exist yet.
    pub path: PathBuf,
    /// The guest cannot change anything in it.
    pub read_only: bool,
}

/// What the guest's memory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ram {
    /// Anonymous memory, for plain boots and for memory loaded from a mapped-ram file.
    Private,
    /// A file, mapped shared: what the guest writes is in the file. For capture.
    SharedFile(PathBuf),
    /// A file, mapped privately: pages come in on demand and the file is never written. For resume.
    PrivateFile(PathBuf),
}

/// What QEMU does once it is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launch {
    /// Runs the guest from its firmware.
    Boot,
    /// The same, but waits for `cont` first.
    Paused,
    /// Waits for `migrate-incoming`, then for `cont`.
    Incoming,
}

/// Files and descriptors around one run, which the builder refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// What QEMU is given open, as numbers inside it.
    pub fds: SocketFds,
    /// Where QEMU writes its process id.
    pub pid_file: PathBuf,
    /// What marks the process as ours in a process list; see
    /// [`find_by_token`](crate::process::find_by_token).
    pub token: String,
}

/// Numbers of the listening sockets, and of the console's file, inside QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketFds {
    /// QMP for commands.
    pub control: i32,
    /// QMP for events.
    pub events: i32,
    /// The guest agent's port.
    pub agent: i32,
    /// The rotation port.
    pub rotate: i32,
    /// Where the guest's serial console is written to; not a socket, but a file or a pipe.
    pub console: i32,
}

/// The machine cannot be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// A path that QEMU cannot be told about.
    #[error("the path {path} is not valid UTF-8: move {what} to a folder with a plain name")]
    PathNotUtf8 {
        /// What the path is for.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A relative path: QEMU runs in another folder.
    #[error("the path {path} of {what} is not absolute")]
    PathNotAbsolute {
        /// What the path is for.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A number out of range.
    #[error("{what} is {value}, but must be between {min} and {max}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A name with characters that QEMU's ids cannot have.
    #[error("`{id}` cannot be the name of a {what}: use letters, digits, `-`, `.` and `_`")]
    BadId {
        /// What the name is for.
        what: &'static str,
        /// The name.
        id: String,
    },
    /// The machine is for another architecture than the program.
    #[error("the machine is {machine}, but {program} emulates {binary}")]
    WrongArch {
        /// The machine's.
        machine: Arch,
        /// The binary's.
        binary: Arch,
        /// The binary.
        program: PathBuf,
    },
    /// 64-bit ARM has no built-in firmware.
    #[error(
        "an arm64 machine needs UEFI firmware: install qemu-efi-aarch64 (Linux) or qemu (macOS)"
    )]
    NoFirmware,
}

impl Machine {
    /// Whether the machine tells its guest's kernel that it was resumed, by a new generation id. Where
    /// it does not, somebody else has to, or two resumed guests draw the same random values.
    pub const fn has_generation_id(arch: Arch) -> bool {
        match arch {
            Arch::Amd64 => true,
            // QEMU has the device for machines with ACPI tables of a PC.
            Arch::Arm64 => false,
        }
    }

    /// Everything about the machine that the guest can notice, as command-line arguments in order.
    ///
    /// A snapshot's fingerprint hashes these, with the QEMU build and the host's CPU where the
    /// CPU model passes it through. There is no host path, port, descriptor or process in them.
    pub fn guest_visible(&self, binary: &QemuBinary) -> Vec<String> {
        let mut args = Vec::with_capacity(64);
        let mut add = |option: &str, value: String| {
            args.push(option.to_owned());
            args.push(value);
        };

        let machine_type = &binary.machine_type;
        let machine = match self.arch {
            // Without the parts of a PC that no image of ours uses, firmware and kernel have less
            // to look for.
            Arch::Amd64 => format!(
                "{machine_type},memory-backend=ram,usb=off,vmport=off,graphics=off,sata=off"
            ),
            Arch::Arm64 => format!("{machine_type},memory-backend=ram,usb=off,gic-version=max"),
        };
        add("-machine", machine);
        add("-accel", self.accelerator.machine_arg().to_owned());
        add("-cpu", self.accelerator.cpu_model(self.arch).to_owned());
        add("-m", format!("{}M", self.ram_mib));
        add(
            "-smp",
            format!("{0},sockets=1,cores={0},threads=1", self.vcpus),
        );

        // Slots are spelled out: an address that follows from the order of options would move
        // with it. Modern-only virtio has fewer windows for the firmware to lay out.
        let pci = |slot: u8| format!("bus=pcie.0,addr={slot:#x}");
        let virtio = |slot: u8| format!("{},disable-legacy=on", pci(slot));
        add(
            "-device",
            format!(
                "virtio-blk-pci,id=disk0,drive=root,bootindex=0,{}",
                virtio(0x2)
            ),
        );
        for index in 0..self.isos.len().min(MAX_ISOS) {
            // 0x3 to 0x6.
            let slot = virtio(u8::try_from(index).unwrap_or(u8::MAX).saturating_add(0x3));
            add(
                "-device",
                format!("virtio-blk-pci,id=iso{index},drive=iso{index},{slot}"),
            );
        }
        add(
            "-device",
            // Without its option ROM: nobody boots from the network, and it is 0.5 MiB to copy.
            format!(
                "virtio-net-pci,id=nic0,netdev=net0,mac=52:54:00:5e:00:01,romfile=,{}",
                virtio(0x8)
            ),
        );
        add(
            "-device",
            format!("virtio-rng-pci,id=rng,rng=entropy,{}", virtio(0x9)),
        );
        add(
            "-device",
            format!("virtio-serial-pci,id=ports,max_ports=4,{}", virtio(0xa)),
        );
        add(
            "-device",
            "virtserialport,id=port-agent,bus=ports.0,nr=1,chardev=agent,\
             name=org.qemu.guest_agent.0"
                .to_owned(),
        );
        add(
            "-device",
            "virtserialport,id=port-rotate,bus=ports.0,nr=2,chardev=rotate,\
             name=org.stack-emulator.rotate.0"
                .to_owned(),
        );
        for slot in 0..self.shared_slots.min(MAX_SHARED_SLOTS) {
            let number = slot + 1;
            add(
                "-device",
                // No I/O window: 8 of them would not fit, and virtio needs none.
                format!(
                    "pcie-root-port,id=share{slot},chassis={number},slot={number},io-reserve=0,{}",
                    pci(FIRST_SHARE_SLOT + slot)
                ),
            );
        }
        match self.arch {
            Arch::Amd64 => {
                add(
                    "-device",
                    "isa-serial,id=console,chardev=console".to_owned(),
                );
            }
            // The board brings its own serial port.
            Arch::Arm64 => add("-serial", "chardev:console".to_owned()),
        }
        if Self::has_generation_id(self.arch) {
            // A new one at each start makes the guest's kernel reseed its random number
            // generator, without which two starts of a snapshot would agree on it.
            add("-device", "vmgenid,id=generation,guid=auto".to_owned());
        }
        args
    }

    /// The whole command line, without the program.
    ///
    /// # Errors
    ///
    /// See [`MachineError`].
    pub fn command_line(
        &self,
        binary: &QemuBinary,
        ram: &Ram,
        launch: Launch,
        files: &Files,
    ) -> Result<Vec<OsString>, MachineError> {
        self.check(binary)?;
        let mut args = self.guest_visible(binary);
        host::arguments(self, binary, ram, launch, files, &mut args)?;
        Ok(args.into_iter().map(OsString::from).collect())
    }

    /// The id of the device in reserved slot `slot` (from 0).
    pub fn share_device_id(slot: u8) -> String {
        format!("share-dev{slot}")
    }

    /// The device to plug into reserved slot `slot` (from 0) that offers the share `share_id` to
    /// the guest under the mount tag `tag`. Its id is [`Machine::share_device_id`].
    pub fn share_device(slot: u8, share_id: &str, tag: &str) -> qapi_qmp::device_add {
        let text = |text: &str| serde_json::Value::from(text);
        qapi_qmp::device_add::new(
            "virtio-9p-pci".to_owned(),
            Self::share_device_id(slot),
            format!("share{slot}"),
            [
                ("fsdev".to_owned(), text(share_id)),
                ("mount_tag".to_owned(), text(tag)),
            ],
        )
    }

    fn check(&self, binary: &QemuBinary) -> Result<(), MachineError> {
        if self.arch != binary.arch {
            return Err(MachineError::WrongArch {
                machine: self.arch,
                binary: binary.arch,
                program: binary.path.clone(),
            });
        }
        if self.arch == Arch::Arm64 && self.firmware.is_none() {
            return Err(MachineError::NoFirmware);
        }
        let in_range = |what, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(MachineError::OutOfRange {
                    what,
                    value,
                    min,
                    max,
                })
            }
        };
        in_range(
            "the guest's memory in MiB",
            self.ram_mib.into(),
            16,
            1 << 20,
        )?;
        in_range("the number of vCPUs", self.vcpus.into(), 1, 255)?;
        in_range(
            "the number of read-only disks",
            self.isos.len() as u64,
            0,
            MAX_ISOS as u64,
        )?;
        in_range(
            "the number of reserved slots",
            self.shared_slots.into(),
            0,
            MAX_SHARED_SLOTS.into(),
        )?;
        self.shares
            .iter()
            .try_for_each(|share| check_id("shared folder", &share.id))
    }
}

/// QEMU's rule for ids: a letter, then letters, digits, `-`, `.`, `_`.
fn check_id(what: &'static str, id: &str) -> Result<(), MachineError> {
    let mut chars = id.chars();
    let good = chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if good {
        Ok(())
    } else {
        Err(MachineError::BadId {
            what,
            id: id.to_owned(),
        })
    }
}

/// The path as text that QEMU can be given.
fn utf8<'a>(what: &'static str, path: &'a Path) -> Result<&'a str, MachineError> {
    if !path.is_absolute() {
        return Err(MachineError::PathNotAbsolute {
            what,
            path: path.to_owned(),
        });
    }
    path.to_str().ok_or_else(|| MachineError::PathNotUtf8 {
        what,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests;
