//! `cargo xtask setup`: installs what this machine lacks.
//!
//! Silent and quick when nothing is missing: presence is seen by looking for
//! programs and files, so it works with a QEMU built by hand as well.

mod apt;
mod emulation;
mod packages;
mod sources;
mod target;

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use qemu::Arch;

use packages::{ITEMS, Item, Probe, version_in};
pub(crate) use packages::{Need, find_program};
pub(crate) use target::{MACOS, ensure_target};

/// The oldest QEMU that will do: the first with `mapped-ram` migration.
const MINIMUM_QEMU: (u32, u32) = (9, 0);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// What the machine is set up for; everything without it
    #[arg(long = "for", value_name = "NEED", value_enum)]
    needs: Vec<Need>,
    /// Architecture of the guests, amd64 or arm64; this machine's without it
    #[arg(long, value_name = "ARCH")]
    guest: Option<Arch>,
    /// Use sudo without asking
    #[arg(long, short)]
    yes: bool,
}

/// `cargo xtask setup`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let all = [Need::Run, Need::Image, Need::Desktop, Need::Test];
    let needs = if args.needs.is_empty() {
        &all
    } else {
        args.needs.as_slice()
    };
    let guest = args.guest.unwrap_or_else(host_guest);
    Wanted { needs, guest }.ensure(args.yes)?;
    if needs.contains(&Need::Test) {
        ensure_target(MACOS)?;
    }
    Ok(())
}

/// Makes sure that the machine has what `needs` ask for. An image is built by running it, and
/// the tests do both, so each need includes the ones before it.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    ensure_for(needs, host_guest())
}

/// The same for guests of the architecture `guest`.
pub(crate) fn ensure_for(needs: &[Need], guest: Arch) -> Result<()> {
    Wanted { needs, guest }.ensure(false)
}

/// Makes sure that the machine has what `need` alone asks for, for what is built and not run.
pub(crate) fn ensure_only(need: Need) -> Result<()> {
    let wanted = Wanted {
        needs: &[need],
        guest: host_guest(),
    };
    wanted.ensure_where(|other| other == need, false)
}

/// The architecture whose guests this machine runs best.
fn host_guest() -> Arch {
    Arch::host().unwrap_or(Arch::Amd64)
}

/// What the machine is set up for.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    needs: &'a [Need],
    guest: Arch,
}

impl Wanted<'_> {
    fn ensure(self, agreed: bool) -> Result<()> {
        match self.needs.iter().max() {
            Some(most) => self.ensure_where(|need| need <= *most, agreed),
            None => Ok(()),
        }
    }

    fn ensure_where(self, wanted: impl Fn(Need) -> bool, agreed: bool) -> Result<()> {
        let missing = missing(&wanted, self.guest);
        let can_install = || !wanted(Need::Image) || emulation::works(self.guest);
        if missing.is_empty() && can_install() {
            return Ok(());
        }
        let release = Release::read()?;
        let packages: Vec<_> = missing
            .iter()
            .map(|item| release.package(item).to_owned())
            .collect();
        if find_program("apt-get").is_none() {
            bail!(
                "missing on this machine: {} (named as in Debian); this is no Debian or Ubuntu, so install them by its own \
                 means, QEMU in version {}.{} or later",
                packages.join(" "),
                MINIMUM_QEMU.0,
                MINIMUM_QEMU.1
            );
        }
        let mut root = apt::Root::new(agreed, self.command());
        if !packages.is_empty() {
            apt::install(&mut root, &release, &packages)?;
        }
        let still: Vec<_> = self::missing(&wanted, self.guest)
            .iter()
            .map(|item| release.package(item))
            .collect();
        if !still.is_empty() {
            bail!(
                "installed, and yet not to be found: what {} should bring; is another program of that name first in PATH?",
                still.join(" ")
            );
        }
        if !can_install() {
            emulation::register(&mut root, self.guest)?;
        }
        Ok(())
    }

    /// The command that sets a machine up for this, and for no more than that.
    fn command(self) -> String {
        let mut command = "cargo xtask setup".to_owned();
        let most = self
            .needs
            .iter()
            .max()
            .and_then(ValueEnum::to_possible_value);
        if let Some(most) = most {
            command.extend([" --for ", most.get_name()]);
        }
        if Arch::host() != Some(self.guest) {
            command.extend([" --guest ", self.guest.name()]);
        }
        command
    }
}

/// What is not there of the needs that `wanted` chooses, for guests of the architecture `guest`.
fn missing(wanted: impl Fn(Need) -> bool, guest: Arch) -> Vec<&'static Item> {
    let runs = emulation::works(guest);
    ITEMS
        .iter()
        .filter(|item| wanted(item.need) && item.is_for(guest, runs) && !is_there(item.probe))
        .collect()
}

fn is_there(probe: Probe) -> bool {
    match probe {
        Probe::Program(names) => names.iter().any(|name| find_program(name).is_some()),
        Probe::File(path) => fs::exists(path).unwrap_or(false),
        Probe::PkgConfig(library) => Command::new("pkg-config")
            .args(["--exists", library])
            .status()
            .is_ok_and(|status| status.success()),
        Probe::Qemu(program) => {
            qemu_version(program).is_some_and(|version| version >= MINIMUM_QEMU)
        }
    }
}

/// The version of the QEMU called `program`, if one runs.
fn qemu_version(program: &str) -> Option<(u32, u32)> {
    let output = Command::new(find_program(program)?)
        .arg("--version")
        .output()
        .ok()?;
    version_in(String::from_utf8_lossy(&output.stdout).lines().next()?)
}

/// Which distribution this is, from `/etc/os-release`.
#[derive(Debug, PartialEq, Eq)]
struct Release {
    id: String,
    codename: String,
}

impl Release {
    fn read() -> Result<Self> {
        let path = "/etc/os-release";
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read {path} to learn what this system is"))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map_or_else(String::new, |value| {
                    value.trim_matches(['"', '\'']).to_owned()
                })
        };
        Self {
            id: value("ID"),
            codename: value("VERSION_CODENAME"),
        }
    }

    fn package(&self, item: &Item) -> &'static str {
        item.ubuntu
            .filter(|_| self.id == "ubuntu")
            .unwrap_or(item.debian)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(
            Release::parse(debian),
            Release {
                id: "debian".into(),
                codename: "bookworm".into()
            }
        );
        let ubuntu =
            Release::parse("NAME=\"Ubuntu\"\nVERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n");
        assert_eq!(ubuntu.id, "ubuntu");
        let chromium = ITEMS.iter().find(|item| item.debian == "chromium").unwrap();
        assert_eq!(ubuntu.package(chromium), "chromium-browser");
    }

    #[test]
    fn what_is_advised_installs_no_more_than_is_needed() {
        let command = |guest| {
            let needs = &[Need::Run, Need::Image];
            Wanted { needs, guest }.command()
        };
        assert_eq!(command(host_guest()), "cargo xtask setup --for image");
        let other = match host_guest() {
            Arch::Amd64 => Arch::Arm64,
            Arch::Arm64 => Arch::Amd64,
        };
        let expected = format!("cargo xtask setup --for image --guest {other}");
        assert_eq!(command(other), expected);
    }

    #[test]
    fn a_need_includes_the_ones_before_it() {
        let count = |most: Need| ITEMS.iter().filter(|item| item.need <= most).count();
        let counts = [Need::Run, Need::Image, Need::Desktop, Need::Test].map(count);
        assert!(counts.is_sorted_by(|less, more| less < more));
        assert!(missing(|_| false, host_guest()).is_empty());
    }
}
