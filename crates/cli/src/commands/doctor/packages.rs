//! Which package brings what is missing, and the commands that install it.
//!
//! Pure: what is on the host and what its package manager offers is passed in.

use std::fmt;

use emulator::Remedy;
use emulator::examine::{Check, Verdict};
use host::Arch;
use qemu::Version;
use qemu::binary::MINIMUM;

/// Something that a check found missing and that a package brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// QEMU, or a new enough one.
    Qemu,
    /// UEFI firmware for `arm64` guests.
    Firmware,
}

/// A program that installs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    /// Debian and Ubuntu.
    Apt,
    /// Fedora and its relatives.
    Dnf,
    /// macOS, and some Linux hosts.
    Brew,
}

/// One command, as it is shown and run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Begins with the program.
    words: Vec<String>,
}

/// The package manager offers QEMU, but none that is new enough.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the newest {package} that APT knows of is {newest}; at least {} is needed",
    MINIMUM
)]
pub(crate) struct TooOld {
    package: &'static str,
    newest: Version,
}

/// What `checks` found missing and a package brings.
pub(super) fn missing(checks: &[Check]) -> Vec<Missing> {
    let found = checks.iter().filter(|check| {
        check.verdict == Verdict::Failed && matches!(check.remedy, Some(Remedy::InstallQemu { .. }))
    });
    found
        .filter_map(|check| match check.id {
            "qemu" => Some(Missing::Qemu),
            "firmware" => Some(Missing::Firmware),
            _ => None,
        })
        .collect()
}

impl Missing {
    /// For people.
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU",
            Self::Firmware => "UEFI firmware",
        }
    }
}

impl Manager {
    /// All, in the order in which they are looked for.
    pub(super) const ALL: [Self; 3] = [Self::Apt, Self::Dnf, Self::Brew];

    /// The program's name.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Brew => "brew",
        }
    }

    /// Homebrew refuses to run as root; the others have to.
    const fn runs_as_root(self) -> bool {
        match self {
            Self::Apt | Self::Dnf => true,
            Self::Brew => false,
        }
    }

    /// The packages that bring `missing`, for guests of `arch`.
    fn packages(self, missing: &[Missing], arch: Arch) -> Vec<&'static str> {
        let mut packages = Vec::new();
        // A PC's firmware comes with its QEMU, and Homebrew's has that of both.
        let with_firmware = arch == Arch::Arm64 && !missing.is_empty();
        if missing.contains(&Missing::Qemu) || self == Self::Brew {
            packages.push(self.qemu(arch));
        }
        match self {
            Self::Apt if with_firmware => packages.push("qemu-efi-aarch64"),
            Self::Dnf if with_firmware => packages.push("edk2-aarch64"),
            Self::Apt | Self::Dnf | Self::Brew => {}
        }
        packages
    }

    /// The package with QEMU for guests of `arch`.
    pub(super) const fn qemu(self, arch: Arch) -> &'static str {
        match (self, arch) {
            (Self::Apt | Self::Dnf, Arch::Amd64) => "qemu-system-x86",
            (Self::Apt, Arch::Arm64) => "qemu-system-arm",
            (Self::Dnf, Arch::Arm64) => "qemu-system-aarch64",
            (Self::Brew, Arch::Amd64 | Arch::Arm64) => "qemu",
        }
    }

    /// The commands that install what is `missing`, in order. They ask no less than they do by themselves: the
    /// package manager lists what else comes with it.
    ///
    /// `root`: whether this process is root's already. `offered`: what `apt-cache madison` says of [`Self::qemu`];
    /// nothing where another manager is used.
    pub(super) fn plan(
        self,
        missing: &[Missing],
        arch: Arch,
        root: bool,
        offered: &str,
    ) -> Result<Vec<Step>, TooOld> {
        let sudo = (self.runs_as_root() && !root).then_some("sudo");
        let step = |arguments: &[&str]| Step {
            words: sudo
                .into_iter()
                .chain([self.program()])
                .chain(arguments.iter().copied())
                .map(ToOwned::to_owned)
                .collect(),
        };
        let mut steps = Vec::new();
        let mut install = vec!["install"];
        let source = if self == Self::Apt && missing.contains(&Missing::Qemu) {
            let offers = offers(offered);
            if offers.is_empty() {
                // Its lists were never fetched, as in a new container.
                steps.push(step(&["update"]));
            }
            match offers.iter().max_by_key(|offer| offer.version) {
                Some(best) if best.version < MINIMUM => {
                    return Err(TooOld {
                        package: self.qemu(arch),
                        newest: best.version,
                    });
                }
                best => best.and_then(|best| best.opt_in).map(ToOwned::to_owned),
            }
        } else {
            None
        };
        if let Some(suite) = &source {
            install.extend(["--target-release", suite]);
        }
        install.extend(self.packages(missing, arch));
        steps.push(step(&install));
        Ok(steps)
    }
}

/// A version that APT could install.
#[derive(Debug)]
struct Offer<'a> {
    version: Version,
    /// The suite, where APT takes nothing from it unasked.
    opt_in: Option<&'a str>,
}

/// Understands lines such as `qemu-system-x86 | 1:9.2+ds-1 | MIRROR bookworm-backports/main amd64 Packages`.
fn offers(madison: &str) -> Vec<Offer<'_>> {
    madison.lines().filter_map(offer).collect()
}

fn offer(line: &str) -> Option<Offer<'_>> {
    let mut columns = line.split('|').map(str::trim);
    let version = upstream(columns.nth(1)?)?;
    let suite = columns.next()?.split_whitespace().nth(1)?.split('/').next();
    Some(Offer {
        version,
        opt_in: suite.filter(|suite| suite.ends_with("-backports")),
    })
}

/// The upstream version in one of Debian's, such as `1:10.0.2+ds-2~bpo12+1`.
fn upstream(text: &str) -> Option<Version> {
    let text = text.split_once(':').map_or(text, |(_epoch, rest)| rest);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let mut numbers = text[..end.unwrap_or(text.len())].split('.');
    let first = numbers.next()?.parse().ok()?;
    let mut next = || numbers.next().map_or(Ok(0), str::parse).ok();
    Some(Version::new(first, next()?, next()?))
}

impl Step {
    /// The program and its arguments.
    pub(super) fn words(&self) -> (&str, &[String]) {
        match self.words.split_first() {
            Some((program, arguments)) => (program, arguments),
            None => ("", &[]),
        }
    }
}

impl fmt::Display for Step {
    /// As it is typed: no word of it needs quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `apt-cache madison qemu-system-x86` on Debian 12 with backports; the mirror's address is another.
    const BOOKWORM: &str = "\
qemu-system-x86 | 1:10.0.2+ds-2+deb13u1~bpo12+1 | http://mirror.example/debian bookworm-backports/main amd64 Packages
qemu-system-x86 | 1:7.2+dfsg-7+deb12u18+b3 | http://mirror.example/debian bookworm/main amd64 Packages
qemu-system-x86 | 1:7.2+dfsg-7+deb12u15 | http://mirror.example/debian-security bookworm-security/main amd64 Packages
";
    const PLAIN: &str = "qemu-system-x86 | 1:10.0.2+ds-2 | http://mirror.example/debian trixie/main amd64 Packages\n";
    const NOBLE: &str = "qemu-system-x86 | 1:8.2.2+ds-0ubuntu1.7 | http://mirror.example/ubuntu noble-updates/main amd64 Packages\n";

    fn plan(manager: Manager, missing: &[Missing], arch: Arch, offered: &str) -> Vec<String> {
        let steps = manager.plan(missing, arch, false, offered).unwrap();
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_manager_has_its_command_and_only_some_need_root() {
        let qemu = [Missing::Qemu];
        let of = |manager, arch, offered| plan(manager, &qemu, arch, offered).join("; ");
        assert_eq!(
            of(Manager::Apt, Arch::Amd64, PLAIN),
            "sudo apt-get install qemu-system-x86"
        );
        assert_eq!(
            of(Manager::Apt, Arch::Arm64, PLAIN),
            "sudo apt-get install qemu-system-arm qemu-efi-aarch64"
        );
        assert_eq!(
            of(Manager::Dnf, Arch::Arm64, ""),
            "sudo dnf install qemu-system-aarch64 edk2-aarch64"
        );
        for arch in [Arch::Amd64, Arch::Arm64] {
            assert_eq!(of(Manager::Brew, arch, ""), "brew install qemu");
        }
        let root = Manager::Dnf.plan(&qemu, Arch::Amd64, true, "").unwrap();
        assert_eq!(root[0].to_string(), "dnf install qemu-system-x86");
        assert_eq!(root[0].words().0, "dnf");
    }

    #[test]
    fn firmware_comes_alone_where_it_is_a_package_of_its_own() {
        let firmware = [Missing::Firmware];
        let of = |manager| plan(manager, &firmware, Arch::Arm64, "").join("; ");
        assert_eq!(of(Manager::Apt), "sudo apt-get install qemu-efi-aarch64");
        assert_eq!(of(Manager::Dnf), "sudo dnf install edk2-aarch64");
        assert_eq!(of(Manager::Brew), "brew install qemu");
    }

    #[test]
    fn apt_is_sent_to_the_suite_that_is_new_enough() {
        let of = |offered| plan(Manager::Apt, &[Missing::Qemu], Arch::Amd64, offered);
        assert_eq!(
            of(BOOKWORM),
            ["sudo apt-get install --target-release bookworm-backports qemu-system-x86"]
        );
        assert_eq!(
            of(""),
            [
                "sudo apt-get update",
                "sudo apt-get install qemu-system-x86"
            ]
        );
        let old = Manager::Apt
            .plan(&[Missing::Qemu], Arch::Amd64, false, NOBLE)
            .unwrap_err();
        assert_eq!(
            old.to_string(),
            "the newest qemu-system-x86 that APT knows of is 8.2.2; at least 9.0.0 is needed"
        );
    }

    #[test]
    fn versions_are_upstream_s() {
        let three = |text| upstream(text).map(|v| (v.major, v.minor, v.micro));
        assert_eq!(three("1:7.2+dfsg-7+deb12u18+b3"), Some((7, 2, 0)));
        assert_eq!(three("10.0.2"), Some((10, 0, 2)));
        assert_eq!(three("9"), Some((9, 0, 0)));
        for none in ["", "1:", "x9", "9..1", "99999999999"] {
            assert_eq!(three(none), None, "{none}");
        }
    }

    #[test]
    fn only_what_a_package_brings_is_missing() {
        let check = |id, verdict, remedy| Check {
            id,
            title: "x",
            verdict,
            detail: String::new(),
            evidence: None,
            remedy,
        };
        let how = || Some(Remedy::InstallQemu { how: "x" });
        let found = missing(&[
            check("qemu", Verdict::Failed, how()),
            check("firmware", Verdict::Failed, how()),
            check("disk", Verdict::Failed, Some(Remedy::Retry)),
        ]);
        assert_eq!(found, [Missing::Qemu, Missing::Firmware]);
        let fine = [
            check("qemu", Verdict::Ok, None),
            // The path that a variable gives is no matter of packages.
            check("qemu", Verdict::Failed, Some(Remedy::ReinstallQemu)),
        ];
        assert_eq!(missing(&fine), []);
    }
}
