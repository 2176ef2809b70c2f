//! A small guest for tests with a real QEMU: a boot sector that counts.
//!
//! It increments a number in RAM for ever and writes it to the serial port now and then, so a test
//! can see that RAM, devices and the flow of instructions all came through. It also obeys the
//! power button.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use qemu::{
    Accelerator, Arch, Disk, Greeting, Launch, Machine, Monitor, ProcessIdentity, QemuBinary, Ram,
    Running, Sockets, Spawn, SpawnError,
};

/// Generous: the machine may be running many tests at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Guest RAM in MiB; small, for speed.
pub(crate) const RAM_MIB: u32 = 64;

/// ```text
///         cli
///         xor  ax, ax
///         mov  ds, ax
///         mov  ss, ax
///         mov  sp, 0x7c00
///         mov  dword [0x8000], 0
///         mov  dx, 0x602          ; ACPI PM1 enable
///         mov  ax, 0x100          ;   the power button
///         out  dx, ax
/// count:  inc  dword [0x8000]
///         test dword [0x8000], 0x3fffff
///         jnz  count
///         mov  ebx, [0x8000]
///         mov  cx, 8
/// digit:  rol  ebx, 4
///         mov  al, bl
///         and  al, 15
///         add  al, '0'
///         cmp  al, '9' + 1
///         jb   1f
///         add  al, 'a' - '9' - 1
/// 1:      call put
///         loop digit
///         mov  al, 10
///         call put
///         mov  dx, 0x600          ; ACPI PM1 status
///         in   ax, dx
///         test ah, 1              ;   power button pressed?
///         jz   count
///         mov  dx, 0x604          ; ACPI PM1 control
///         mov  ax, 0x2000         ;   soft off
///         out  dx, ax
/// put:    mov  ah, al
///         mov  dx, 0x3fd
/// 2:      in   al, dx
///         test al, 0x20           ; transmitter empty?
///         jz   2b
///         mov  al, ah
///         mov  dx, 0x3f8
///         out  dx, al
///         ret
/// ```
const COUNTER: [u8; 109] = [
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0x66, 0xc7, 0x06, 0x00, 0x80, 0x00,
    0x00, 0x00, 0x00, 0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, 0x66, 0xff, 0x06, 0x00, 0x80, 0x66,
    0xf7, 0x06, 0x00, 0x80, 0xff, 0xff, 0x3f, 0x00, 0x75, 0xf0, 0x66, 0x8b, 0x1e, 0x00, 0x80, 0xb9,
    0x08, 0x00, 0x66, 0xc1, 0xc3, 0x04, 0x88, 0xd8, 0x24, 0x0f, 0x04, 0x30, 0x3c, 0x3a, 0x72, 0x02,
    0x04, 0x27, 0xe8, 0x17, 0x00, 0xe2, 0xeb, 0xb0, 0x0a, 0xe8, 0x10, 0x00, 0xba, 0x00, 0x06, 0xed,
    0xf6, 0xc4, 0x01, 0x74, 0xc5, 0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0x88, 0xc4, 0xba, 0xfd,
    0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0x88, 0xe0, 0xba, 0xf8, 0x03, 0xee, 0xc3,
];

/// A folder with a bootable disk, and what it takes to start machines from it.
pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) binary: QemuBinary,
    pub(crate) machine: Machine,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base, with a comma.qcow2");
        let overlay = folder.path().join("overlay.qcow2");
        let raw = folder.path().join("raw");
        let mut sector = vec![0; 1 << 20];
        sector[..COUNTER.len()].copy_from_slice(&COUNTER);
        sector[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(&raw, sector).unwrap();
        qemu_img(&["convert", "-f", "raw", "-O", "qcow2"], &[&raw, &base]);
        let iso = folder.path().join("config.iso");
        std::fs::write(&iso, vec![0; 1 << 16]).unwrap();
        // What it says about its backing file does not matter, the command line does.
        qemu_img(&["create", "-f", "qcow2"], &[&overlay, Path::new("1M")]);
        Self {
            binary: QemuBinary::find(Arch::Amd64, None).await.unwrap(),
            machine: Machine {
                arch: Arch::Amd64,
                accelerator: Accelerator::Tcg,
                ram_mib: RAM_MIB,
                vcpus: 1,
                name: "a test, really".to_owned(),
                disk: Disk {
                    path: overlay.clone(),
                    backing: vec![base],
                },
                isos: vec![iso],
                forwards: Vec::new(),
                outside: false,
                shared_slots: 8,
                shares: Vec::new(),
                firmware: None,
            },
            folder,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn serial(&self, run: &str) -> PathBuf {
        self.path(&format!("{run}.serial"))
    }

    pub(crate) async fn try_spawn(
        &self,
        run: &str,
        ram: Ram,
        launch: Launch,
    ) -> Result<Guarded, SpawnError> {
        let running = Spawn {
            binary: &self.binary,
            machine: &self.machine,
            ram,
            launch,
            run_dir: &self.path(run),
            pid_file: &self.path(&format!("{run}.pid")),
            log: &self.path(&format!("{run}.log")),
            serial_log: &self.serial(run),
            keeper: None,
            token: &token(run),
            limit: LIMIT,
        }
        .spawn()
        .await?;
        Ok(running.into())
    }

    pub(crate) async fn spawn(&self, run: &str, ram: Ram, launch: Launch) -> Guarded {
        self.try_spawn(run, ram, launch).await.unwrap()
    }
}

impl Drop for Lab {
    /// A failed test shows what its machines had to say.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(self.folder.path()).unwrap().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let said = std::fs::read_to_string(&path).unwrap_or_default();
                eprintln!("--- {}\n{said}", path.display());
            }
        }
    }
}

/// A token for one run of one test process.
pub(crate) fn token(run: &str) -> String {
    format!("test-{run}-{}", std::process::id())
}

/// A machine that is killed when a test ends early.
pub(crate) struct Guarded {
    pub(crate) identity: ProcessIdentity,
    pub(crate) sockets: Sockets,
    pub(crate) greeting: Greeting,
    pub(crate) answered_after: Duration,
    monitor: Option<Monitor>,
}

impl Guarded {
    pub(crate) fn monitor(&self) -> &Monitor {
        self.monitor.as_ref().unwrap()
    }

    /// Lets the next client in.
    pub(crate) async fn close_monitor(&mut self) {
        self.monitor.take().unwrap().close().await;
    }

    /// Ends the machine for good and checks that it is gone.
    pub(crate) async fn kill(self) {
        self.identity.kill(LIMIT).await.unwrap();
        self.gone();
    }

    /// Tells QEMU to quit and waits until it has.
    pub(crate) async fn quit(self) {
        self.monitor().quit(LIMIT).await.unwrap();
        self.identity.wait_gone(LIMIT).await.unwrap();
    }

    /// The machine is expected to be gone already.
    pub(crate) fn gone(self) {
        assert!(!self.identity.is_alive().unwrap());
    }
}

impl From<Running> for Guarded {
    fn from(running: Running) -> Self {
        Self {
            identity: running.identity,
            sockets: running.sockets,
            greeting: running.greeting,
            answered_after: running.answered_after,
            monitor: Some(running.monitor),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.identity.is_alive().unwrap_or(false) {
            let pid = self.identity.pid.to_string();
            drop(Command::new("kill").args(["-9", &pid]).status());
        }
    }
}

pub(crate) fn qemu_img(options: &[&str], files: &[&Path]) {
    let output = Command::new("qemu-img")
        .args(options)
        .args(files)
        .output()
        .expect("qemu-img (package qemu-utils) is needed for this test");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The numbers a counting guest has written, complete lines only.
pub(crate) fn counts(serial: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(serial).unwrap_or_default();
    let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    // Firmware writes escape sequences and text of its own before the guest starts.
    complete
        .lines()
        .filter(|line| line.len() == 8)
        .filter_map(|line| u32::from_str_radix(line, 16).ok())
        .collect()
}

/// Waits until the guest has written `wanted` numbers in all.
pub(crate) async fn wait_for_counts(serial: &Path, wanted: usize) -> Vec<u32> {
    let search = async {
        loop {
            let found = counts(serial);
            if found.len() >= wanted {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, search)
        .await
        .expect("the guest does not count")
}
