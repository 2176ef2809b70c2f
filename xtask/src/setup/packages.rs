//! What each part of the work needs on the machine, how its presence is seen
//! without starting a package manager, and which package brings it.

use std::env;
use std::path::{Path, PathBuf};

use qemu::Arch;

/// What a command is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Need {
    /// Run an emulator: QEMU
    Run,
    /// Build a guest image
    Image,
    /// Build the desktop app
    Desktop,
    /// Run all tests
    Test,
}

/// How to see that something is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    /// One of these programs is in `PATH` (or in an administrator's folders).
    Program(&'static [&'static str]),
    /// This file exists.
    File(&'static str),
    /// `pkg-config` knows this library.
    PkgConfig(&'static str),
    /// This QEMU is there and new enough.
    Qemu(&'static str),
}

/// Something that may be missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) need: Need,
    pub(crate) probe: Probe,
    pub(crate) debian: &'static str,
    /// The package's name in Ubuntu, where it differs.
    pub(crate) ubuntu: Option<&'static str>,
    guests: Guests,
}

/// Which guests it is needed for.
#[derive(Clone, Copy, Debug)]
enum Guests {
    All,
    /// Those of this architecture.
    Of(Arch),
    /// Those whose programs the machine cannot run yet.
    Foreign,
}

impl Item {
    const fn of(mut self, guest: Arch) -> Self {
        self.guests = Guests::Of(guest);
        self
    }

    const fn of_foreign(mut self) -> Self {
        self.guests = Guests::Foreign;
        self
    }

    /// Whether guests of the architecture `guest` need it on a machine that `runs` their programs, or does not.
    pub(crate) fn is_for(&self, guest: Arch, runs: bool) -> bool {
        match self.guests {
            Guests::All => true,
            Guests::Of(arch) => arch == guest,
            Guests::Foreign => !runs,
        }
    }
}

const fn item(need: Need, probe: Probe, debian: &'static str) -> Item {
    Item {
        need,
        probe,
        debian,
        ubuntu: None,
        guests: Guests::All,
    }
}

/// Packages that must come from the same suite as QEMU itself: an older one refuses to be
/// installed beside a newer one, and the other way round.
pub(crate) const QEMU_FAMILY: [&str; 3] = ["qemu-system-x86", "qemu-system-arm", QEMU_TOOLS];
/// What works on disk images, for all of them.
pub(crate) const QEMU_TOOLS: &str = "qemu-utils";

/// Everything, by need.
pub(crate) const ITEMS: &[Item] = &[
    item(
        Need::Run,
        Probe::Qemu("qemu-system-x86_64"),
        "qemu-system-x86",
    )
    .of(Arch::Amd64),
    item(
        Need::Run,
        Probe::Qemu("qemu-system-aarch64"),
        "qemu-system-arm",
    )
    .of(Arch::Arm64),
    // A PC's firmware comes with its QEMU.
    item(
        Need::Run,
        Probe::File("/usr/share/AAVMF/AAVMF_CODE.fd"),
        "qemu-efi-aarch64",
    )
    .of(Arch::Arm64),
    item(Need::Run, Probe::Program(&["qemu-img"]), QEMU_TOOLS),
    item(Need::Image, Probe::Program(&["mmdebstrap"]), "mmdebstrap"),
    item(
        Need::Image,
        Probe::File("/usr/share/keyrings/debian-archive-keyring.gpg"),
        "debian-archive-keyring",
    ),
    item(Need::Image, Probe::Program(&["newuidmap"]), "uidmap"),
    item(Need::Image, Probe::Program(&["mke2fs"]), "e2fsprogs"),
    item(Need::Image, Probe::Program(&["sfdisk"]), "fdisk"),
    item(Need::Image, Probe::Program(&["mformat"]), "mtools"),
    // What a BIOS starts, which only PCs have.
    item(Need::Image, Probe::Program(&["syslinux"]), "syslinux").of(Arch::Amd64),
    item(
        Need::Image,
        Probe::File("/usr/lib/syslinux/mbr/gptmbr.bin"),
        "syslinux-common",
    )
    .of(Arch::Amd64),
    // The guest's packages are installed by running its own programs: see `emulation`.
    item(
        Need::Image,
        Probe::Program(&["qemu-aarch64-static"]),
        "qemu-user-static",
    )
    .of_foreign(),
    item(
        Need::Image,
        Probe::Program(&["update-binfmts"]),
        "binfmt-support",
    )
    .of_foreign(),
    item(Need::Image, Probe::Program(&["arch-test"]), "arch-test").of_foreign(),
    // Libraries of the desktop app's window and tray, and what finds them for the compiler.
    item(Need::Desktop, Probe::Program(&["pkg-config"]), "pkg-config"),
    item(
        Need::Desktop,
        Probe::PkgConfig("webkit2gtk-4.1"),
        "libwebkit2gtk-4.1-dev",
    ),
    item(
        Need::Desktop,
        Probe::PkgConfig("ayatana-appindicator3-0.1"),
        "libayatana-appindicator3-dev",
    ),
    item(
        Need::Desktop,
        Probe::PkgConfig("librsvg-2.0"),
        "librsvg2-dev",
    ),
    // Any version: a Node that is too old is used only to fetch a newer one.
    item(Need::Desktop, Probe::Program(&["npm"]), "npm"),
    // libFuzzer is C++; Rust itself asks only for a C compiler.
    item(Need::Test, Probe::Program(&["c++"]), "g++"),
    item(Need::Test, Probe::Program(&["shellcheck"]), "shellcheck"),
    item(Need::Test, Probe::Program(&["zstd"]), "zstd"),
    item(Need::Test, Probe::Program(&["curl"]), "curl"),
    item(Need::Test, Probe::Program(&["xorriso"]), "xorriso"),
    item(Need::Test, Probe::Program(&["isoinfo"]), "genisoimage"),
    item(Need::Test, Probe::Program(&["bsdtar"]), "libarchive-tools"),
    item(Need::Test, Probe::Program(&["faketime"]), "faketime"),
    item(Need::Test, Probe::Program(&["python3"]), "python3"),
    // What a step of the action reads a list of releases with.
    item(Need::Test, Probe::Program(&["jq"]), "jq"),
    // The app that the end-to-end tests run.
    item(Need::Test, Probe::Program(&["node"]), "nodejs"),
    // A keychain in a session bus of its own.
    item(
        Need::Test,
        Probe::Program(&["gnome-keyring-daemon"]),
        "gnome-keyring",
    ),
    item(Need::Test, Probe::Program(&["dbus-daemon"]), "dbus"),
    item(
        Need::Test,
        Probe::Program(&["secret-tool"]),
        "libsecret-tools",
    ),
    item(
        Need::Test,
        Probe::File("/usr/share/OVMF/OVMF_CODE_4M.fd"),
        "ovmf",
    ),
    item(
        Need::Test,
        Probe::Program(&["pg_config", "pg_ctlcluster"]),
        "postgresql",
    ),
    // The desktop app in a display of its own, driven through WebDriver.
    item(
        Need::Test,
        Probe::Program(&["WebKitWebDriver"]),
        "webkit2gtk-driver",
    ),
    item(Need::Test, Probe::Program(&["Xvfb"]), "xvfb"),
    item(Need::Test, Probe::Program(&["xauth"]), "xauth"),
    item(Need::Test, Probe::Program(&["xclip"]), "xclip"),
    item(Need::Test, Probe::Program(&["xwininfo"]), "x11-utils"),
    item(Need::Test, Probe::Program(&["xdotool"]), "xdotool"),
    item(Need::Test, Probe::Program(&["import"]), "imagemagick"),
    // What judges the desktop app's package.
    item(
        Need::Test,
        Probe::Program(&["desktop-file-validate"]),
        "desktop-file-utils",
    ),
    item(Need::Test, Probe::Program(&["appstreamcli"]), "appstream"),
    Item {
        need: Need::Test,
        probe: Probe::Program(&["chromium", "chromium-browser", "google-chrome"]),
        debian: "chromium",
        ubuntu: Some("chromium-browser"),
        guests: Guests::All,
    },
    Item {
        need: Need::Test,
        probe: Probe::Program(&["chromedriver"]),
        debian: "chromium-driver",
        ubuntu: Some("chromium-chromedriver"),
        guests: Guests::All,
    },
];

/// Finds `program` in `PATH`, and in the folders for administrators, which a user's `PATH` may lack.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file)
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The first `major.minor` in the text of `qemu-system-… --version` or in a package's version,
/// whose epoch (`1:`) is skipped.
pub(crate) fn version_in(text: &str) -> Option<(u32, u32)> {
    let text = text.rsplit_once("version ").map_or(text, |(_, rest)| rest);
    let text = text.split_once(':').map_or(text, |(_, rest)| rest);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_both_texts() {
        let program = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright (c) 2003-2025\n";
        assert_eq!(version_in(program.lines().next().unwrap()), Some((10, 0)));
        assert_eq!(version_in("1:7.2+dfsg-7+deb12u18"), Some((7, 2)));
        assert_eq!(version_in("8.2.2+ds-0ubuntu1"), Some((8, 2)));
        assert_eq!(version_in("(none)"), None);
    }

    #[test]
    fn each_architecture_of_guests_has_its_own_programs_and_firmware() {
        let of = |guest| {
            let items = ITEMS.iter().filter(|item| item.is_for(guest, true));
            items.map(|item| item.debian).collect::<Vec<_>>()
        };
        let pc = of(Arch::Amd64);
        assert!(pc.contains(&"syslinux") && pc.contains(&"qemu-system-x86"));
        assert!(!pc.contains(&"qemu-efi-aarch64") && !pc.contains(&"qemu-system-arm"));
        let arm = of(Arch::Arm64);
        assert!(arm.contains(&"qemu-efi-aarch64") && arm.contains(&"qemu-system-arm"));
        assert!(!arm.contains(&"syslinux") && !arm.contains(&"qemu-system-x86"));
    }

    #[test]
    fn programs_that_the_machine_cannot_run_need_emulation() {
        for guest in [Arch::Amd64, Arch::Arm64] {
            for runs in [true, false] {
                let items = ITEMS.iter().filter(|item| item.is_for(guest, runs));
                let found = items
                    .filter(|item| item.debian == "qemu-user-static")
                    .count();
                assert_eq!(found, usize::from(!runs), "{guest}");
            }
        }
    }

    #[test]
    fn programs_are_found_or_not() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-at-all"), None);
    }
}
