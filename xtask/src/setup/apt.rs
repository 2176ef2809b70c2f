//! Installing packages with APT, and asking before it is done as root.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::packages::{QEMU_FAMILY, QEMU_TOOLS, find_program, version_in};
use super::sources;
use super::{MINIMUM_QEMU, Release};
use crate::command::output_of;

const ETC_APT: &str = "/etc/apt";
const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/stack-emulator-backports.sources";
/// The pocket of Ubuntu's own Cloud Archive that has QEMU 9 for 24.04.
const UBUNTU_CLOUD_ARCHIVE: &str = "cloud-archive:epoxy";

/// Runs commands as root, once the user agreed.
pub(crate) struct Root {
    superuser: bool,
    agreed: bool,
    /// The command that installs the same, for a user who cannot be asked.
    remedy: String,
}

impl Root {
    /// `agreed`: the user said so on the command line.
    pub(crate) fn new(agreed: bool, remedy: String) -> Self {
        Self {
            remedy,
            superuser: rustix::process::geteuid().is_root(),
            agreed: agreed || std::env::var("CI").is_ok_and(|value| value == "true"),
        }
    }

    /// Asks once, before anything is changed; needs no answer from root or in CI.
    pub(super) fn ask(&mut self, plan: &str) -> Result<()> {
        eprintln!("setup: {plan}");
        if self.superuser || self.agreed {
            return Ok(());
        }
        ensure!(
            find_program("sudo").is_some(),
            "this needs root, and there is no sudo; run `{}` as root",
            self.remedy
        );
        ensure!(
            std::io::stdin().is_terminal(),
            "this needs root, and there is no terminal to ask on; run `{} --yes` to agree",
            self.remedy
        );
        eprint!("setup: do this with sudo? [Y/n] ");
        std::io::stderr()
            .flush()
            .context("cannot write to the terminal")?;
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .context("cannot read the answer")?;
        ensure!(
            matches!(
                answer.trim().to_ascii_lowercase().as_str(),
                "" | "y" | "yes"
            ) && !answer.is_empty(),
            "not installed; install what is listed above and run this again"
        );
        self.agreed = true;
        Ok(())
    }

    pub(super) fn command(&self, program: &str) -> Command {
        if self.superuser {
            return Command::new(program);
        }
        let mut command = Command::new("sudo");
        command.arg(program);
        command
    }

    fn apt_get(&self, arguments: &[&str]) -> Result<()> {
        // sudo drops the environment, so `env` stands behind it.
        let mut command = self.command("env");
        command
            .args([
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "--quiet",
                "--yes",
            ])
            .args(arguments);
        // Its output is the user's only sign of life for minutes; stdout belongs to our caller.
        let status = command
            .stdout(std::io::stderr())
            .status()
            .context("cannot run apt-get")?;
        ensure!(
            status.success(),
            "apt-get {} failed ({status}); see its message above",
            arguments[0]
        );
        Ok(())
    }
}

/// Installs `packages`; QEMU's from a suite that has it new enough.
pub(crate) fn install(root: &mut Root, release: &Release, packages: &[String]) -> Result<()> {
    root.ask(&format!("missing on this machine: {}", packages.join(" ")))?;
    // Lists that were never fetched, or long ago, name packages that are not there. A source that
    // cannot be reached is no reason to stop: what is needed may be in another.
    if let Err(error) = root.apt_get(&["update"]) {
        eprintln!("setup: {error:#}; going on with the lists there are");
    }
    let (mut qemu, others): (Vec<_>, Vec<_>) = packages
        .iter()
        .map(String::as_str)
        .partition(|name| QEMU_FAMILY.contains(name));
    if !qemu.is_empty() {
        if !qemu.contains(&QEMU_TOOLS) {
            qemu.push(QEMU_TOOLS);
        }
        install_qemu(root, release, &qemu)?;
    }
    if !others.is_empty() {
        install_plain(root, release, &others)?;
    }
    Ok(())
}

/// Installs packages that any suite has new enough, from the plain one where it can be.
///
/// Where QEMU brought libraries from backports with it, development packages of the plain suite ask for
/// the older libraries and are refused. The second try lets the newest of both suites win, so that what
/// is newer in the plain one (its security updates) still comes from there.
fn install_plain(root: &Root, release: &Release, packages: &[&str]) -> Result<()> {
    let install = |options: &[&str]| {
        let mut arguments = vec!["install", "--no-install-recommends"];
        arguments.extend(options);
        arguments.push("--");
        arguments.extend(packages);
        root.apt_get(&arguments)
    };
    let Err(refusal) = install(&[]) else {
        return Ok(());
    };
    let suite = format!("{}-backports", release.codename);
    if !sources::has_suite(&sources::read(Path::new(ETC_APT))?, &suite) {
        return Err(refusal);
    }
    eprintln!("setup: {refusal:#}; trying again with {suite} beside the plain suite");
    let file = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    fs::write(file.path(), equal_pin(&suite)).context("cannot write a temporary file")?;
    // APT reads it as a user of its own.
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))
        .context("cannot open a temporary file to others")?;
    let preferences = format!("Dir::Etc::preferences={}", file.path().display());
    install(&["-o", &preferences])
}

/// Preferences that give a suite the priority that plain ones have: of equals, APT takes the newest.
fn equal_pin(suite: &str) -> String {
    format!("Package: *\nPin: release n={suite}\nPin-Priority: 500\n")
}

/// Installs `packages` of QEMU's family at once, its tools among them, from one suite: where one of the family is there
/// already from a newer suite, the others' plain versions cannot be installed beside it.
fn install_qemu(root: &Root, release: &Release, packages: &[&str]) -> Result<()> {
    let mut suite = None;
    if !plain_suite_has(packages)? {
        match release.id.as_str() {
            "debian" => suite = Some(add_backports(root, release)?),
            "ubuntu" => add_cloud_archive(root, packages)?,
            other => bail!(
                "{other} {} has no QEMU {}.{} or later; install one and run this again",
                release.codename,
                MINIMUM_QEMU.0,
                MINIMUM_QEMU.1
            ),
        }
    }
    let mut arguments = vec!["install", "--no-install-recommends"];
    if let Some(suite) = &suite {
        arguments.extend(["--target-release", suite]);
    }
    arguments.push("--");
    arguments.extend(packages);
    root.apt_get(&arguments)
}

/// Whether APT would by itself install `packages` of QEMU's family in a version that is new enough. One that is installed
/// does not speak for the others: it may be of another suite.
fn plain_suite_has(packages: &[&str]) -> Result<bool> {
    for &package in packages {
        let mut command = Command::new("apt-cache");
        command.args(["policy", package]).env("LC_ALL", "C");
        let policy = output_of(&mut command, "asking APT for QEMU's version")?;
        if candidate(&policy).is_none_or(|found| found < MINIMUM_QEMU) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The candidate version in the output of `apt-cache policy`.
fn candidate(policy: &str) -> Option<(u32, u32)> {
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))
        .and_then(|text| version_in(text.trim()))
}

/// Makes sure that the backports suite is among the sources, and returns its name.
fn add_backports(root: &Root, release: &Release) -> Result<String> {
    let suite = format!("{}-backports", release.codename);
    let sources = sources::read(Path::new(ETC_APT))?;
    if sources::has_suite(&sources, &suite) {
        return Ok(suite);
    }
    let aliases = ["stable", "oldstable", "oldoldstable"];
    let Some(text) = sources::backports(&sources, &release.codename, &aliases) else {
        bail!(
            "the QEMU of {} is too old, a newer one is in {suite}, and {ETC_APT} has no source of Debian's main \
             archive to take its address from; add the suite {suite} to your sources and run this again",
            release.codename
        );
    };
    eprintln!("setup: adding {suite} from this machine's own archive, as {BACKPORTS_FILE}");
    let file = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    fs::write(file.path(), text).context("cannot write a temporary file")?;
    let mut command = root.command("install");
    command
        .args(["-m", "644"])
        .arg(file.path())
        .arg(BACKPORTS_FILE);
    output_of(&mut command, &format!("writing {BACKPORTS_FILE}"))?;
    root.apt_get(&["update"])?;
    Ok(suite)
}

/// Ubuntu 24.04 has QEMU 8.2; its vendor's archive for clouds has a later one.
fn add_cloud_archive(root: &Root, packages: &[&str]) -> Result<()> {
    root.apt_get(&[
        "install",
        "--no-install-recommends",
        "--",
        "software-properties-common",
        "ubuntu-cloud-keyring",
    ])?;
    let mut command = root.command("add-apt-repository");
    command.args(["--yes", UBUNTU_CLOUD_ARCHIVE]);
    output_of(&mut command, &format!("adding {UBUNTU_CLOUD_ARCHIVE}"))?;
    root.apt_get(&["update"])?;
    ensure!(
        plain_suite_has(packages)?,
        "{UBUNTU_CLOUD_ARCHIVE} has no QEMU {}.{} or later for this Ubuntu; install one and run this again",
        MINIMUM_QEMU.0,
        MINIMUM_QEMU.1
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_found_in_apts_answer() {
        let policy = "qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7+deb12u18+b3\n  Version table:\n";
        assert_eq!(candidate(policy), Some((7, 2)));
        assert_eq!(
            candidate("qemu-system-x86:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
        assert_eq!(candidate(""), None);
    }
}
