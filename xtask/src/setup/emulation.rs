//! Programs of another architecture, which Linux hands to QEMU's user-mode emulation (`binfmt_misc`).
//!
//! A base system is installed by running its own programs. Where they are not this machine's, the kernel has to know
//! what runs them; that is a setting of the machine, made once by root. Packages make it while they are installed, where
//! an init system runs; here it is made where they did not, and again where a reboot has lost it.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use qemu::Arch;

use super::apt::Root;
use super::find_program;
use crate::command::output_of;

/// Whether this machine runs programs of `guest`; of another architecture than its own, mmdebstrap asks the same.
pub(super) fn works(guest: Arch) -> bool {
    if Arch::host() == Some(guest) {
        return true;
    }
    let Some(test) = find_program("arch-test") else {
        return false;
    };
    Command::new(test)
        .arg(guest.name())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Has the kernel hand programs of `guest` to QEMU.
pub(super) fn register(root: &mut Root, guest: Arch) -> Result<()> {
    root.ask(&format!(
        "this machine's kernel is to run programs of {guest} by QEMU (binfmt_misc)"
    ))?;
    let format = format(guest);
    for action in ["--import", "--enable"] {
        let mut command = root.command("update-binfmts");
        output_of(
            command.args([action, format]),
            &format!("registering QEMU for programs of {guest}"),
        )?;
    }
    ensure!(
        works(guest),
        "QEMU is registered for programs of {guest}, and yet they do not run here; in a container, the machine \
         around it has to be set up: `arch-test {guest}` there says whether it is"
    );
    Ok(())
}

/// What Debian calls the registration.
const fn format(guest: Arch) -> &'static str {
    match guest {
        Arch::Amd64 => "qemu-x86_64",
        Arch::Arm64 => "qemu-aarch64",
    }
}
