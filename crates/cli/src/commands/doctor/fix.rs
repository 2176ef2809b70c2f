//! `doctor --fix`: offers to install what the checks find missing.
//!
//! Nothing is installed unasked: there has to be a terminal, the exact commands are shown first, and only a yes
//! is a yes. Whether it helped is for the same checks to say, made anew.

use std::io;
use std::process::{ExitStatus, Stdio};

use emulator::Code;
use emulator::examine::Examination;
use tokio::process::Command;

use super::packages::{Manager, Missing, Step, TooOld, missing};
use super::{Context, Findings};
use crate::commands::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, tell};
use crate::render::style::{CAUTION, STRONG};
use crate::render::text::paint;

/// Nothing was installed, or not what was missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FixError {
    /// Programs cannot answer questions.
    #[error("`doctor --fix` asks before it installs anything, so it has no --json form")]
    Json,
    /// There is no terminal to ask on.
    #[error("`doctor --fix` asks before it installs anything, and there is no terminal to ask on")]
    NobodyToAsk,
    /// The user said no.
    #[error("the installation was not confirmed; nothing was changed")]
    Declined,
    /// None of those that are known.
    #[error(
        "cannot install {}: this host has none of apt-get, dnf and brew",
        list(missing)
    )]
    NoManager {
        /// What is missing.
        missing: Vec<Missing>,
    },
    /// What is offered would not do.
    #[error(transparent)]
    TooOld(#[from] TooOld),
    /// Installing takes root, and the user has no way to become it.
    #[error("installing packages needs root, and `sudo` is not installed")]
    NoSudo {
        /// What root would run.
        steps: Vec<Step>,
    },
    /// A command cannot be started.
    #[error("cannot start `{step}`")]
    Start {
        /// The command.
        step: Step,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A command failed, and has said why itself.
    #[error("`{step}` failed ({status})")]
    Failed {
        /// The command.
        step: Step,
        /// How it ended.
        status: ExitStatus,
    },
}

impl FixError {
    /// A stable code for programs.
    pub(crate) const fn code(&self) -> Code {
        match self {
            Self::Json | Self::NobodyToAsk => Code::Confirmation,
            Self::Declined => Code::Declined,
            Self::NoManager { .. } | Self::TooOld(_) | Self::Failed { .. } => Code::QemuMissing,
            Self::NoSudo { .. } | Self::Start { .. } => Code::Program,
        }
    }

    /// One thing to do about it, where there is one.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Json => "Run `stack-emulator doctor --json` for the checks alone.",
            Self::NobodyToAsk => {
                "Run it in a terminal, or run `stack-emulator doctor`, which says what to install."
            }
            Self::NoManager { .. } => {
                "Install QEMU 9.0 or later with this system's own package manager."
            }
            Self::TooOld(_) => qemu::binary::upgrade_remedy(),
            Self::NoSudo { steps } => return Some(format!("As root, run {}.", quoted(steps))),
            Self::Failed { .. } => {
                "Read what it said above, then run `stack-emulator doctor` again."
            }
            Self::Declined | Self::Start { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// How the program ends.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Json | Self::NobodyToAsk => Exit::Usage,
            Self::Declined => Exit::Failed,
            Self::NoManager { .. }
            | Self::TooOld(_)
            | Self::NoSudo { .. }
            | Self::Start { .. }
            | Self::Failed { .. } => Exit::HostUnfit,
        }
    }
}

/// Examines, offers, installs and examines again.
pub(super) async fn run(context: &Context<'_>, probe_again: bool) -> Result<Exit, Failure> {
    if context.output.format == Format::Json {
        return Err(FixError::Json.into());
    }
    if !confirm::is_terminal() {
        return Err(FixError::NobodyToAsk.into());
    }
    let found = super::look(context, probe_again).await?;
    let missing = missing(&found.checks);
    let found = report(context, found)?;
    if missing.is_empty() {
        tell("Nothing is missing that could be installed.\n");
        return Ok(found);
    }
    let steps = plan(context, &missing).await?;
    let question = format!(
        "{} {}. To install it, this runs:\n\n{}\n\n{} ",
        paint(CAUTION, "Missing:"),
        list(&missing),
        shown(&steps),
        paint(STRONG, "Run it? [y/N]")
    );
    if !confirm::is_agreed(context, &question).await? {
        return Err(FixError::Declined.into());
    }
    for step in steps {
        install(context, step).await?;
    }
    tell("\n");
    report(context, super::look(context, true).await?)
}

fn report(context: &Context<'_>, found: Examination) -> Result<Exit, Failure> {
    let findings = Findings(found);
    context.output.report(&findings)?;
    Ok(findings.exit())
}

/// The commands for this host's package manager.
async fn plan(context: &Context<'_>, missing: &[Missing]) -> Result<Vec<Step>, FixError> {
    let manager = Manager::ALL
        .into_iter()
        .find(|manager| host::programs::find(manager.program()).is_some())
        .ok_or_else(|| FixError::NoManager {
            missing: missing.to_vec(),
        })?;
    let arch = context.emulator.settings().arch;
    let root = rustix::process::geteuid().is_root();
    let offered = match manager {
        Manager::Apt => offered_by_apt(manager.qemu(arch)).await,
        Manager::Dnf | Manager::Brew => String::new(),
    };
    let steps = manager.plan(missing, arch, root, &offered)?;
    let lacks_sudo =
        |step: &Step| step.words().0 == "sudo" && host::programs::find("sudo").is_none();
    if steps.iter().any(lacks_sudo) {
        let steps = manager.plan(missing, arch, true, &offered)?;
        return Err(FixError::NoSudo { steps });
    }
    Ok(steps)
}

/// The versions of `package` that APT knows of; nothing where it does not say.
async fn offered_by_apt(package: &str) -> String {
    let asked = Command::new("apt-cache")
        .args(["madison", package])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    match asked.await {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => {
            tracing::debug!(%error, "apt-cache cannot be asked");
            String::new()
        }
    }
}

/// Runs one command on this terminal. Ctrl-C is its own: it is never left half-done by us.
async fn install(context: &Context<'_>, step: Step) -> Result<(), Failure> {
    tell(&format!("\n{} {step}\n", paint(STRONG, "$")));
    let (program, arguments) = step.words();
    let program = host::programs::find(program).unwrap_or_else(|| program.into());
    let mut command = Command::new(program);
    command.args(arguments);
    let ended = async {
        // It is no program of ours, so it may leave a core dump as any other.
        let started = context.core_dumps.given_to(|| command.spawn());
        let mut child = match started.map_err(Failure::CoreDumps)? {
            Ok(child) => child,
            Err(source) => return Ok(Err(source)),
        };
        Ok::<_, Failure>(child.wait().await)
    };
    let ended = match &context.interrupts {
        Some(interrupts) => interrupts.ceded(ended).await?,
        None => ended.await,
    };
    match ended? {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(FixError::Failed { step, status }.into()),
        Err(source) => Err(FixError::Start { step, source }.into()),
    }
}

fn list(missing: &[Missing]) -> String {
    let words: Vec<_> = missing.iter().map(|one| one.describe()).collect();
    words.join(" and ")
}

/// A line for each, as a block of its own.
fn shown(steps: &[Step]) -> String {
    let steps: Vec<_> = steps.iter().map(|step| format!("    {step}")).collect();
    steps.join("\n")
}

fn quoted(steps: &[Step]) -> String {
    let steps: Vec<_> = steps.iter().map(|step| format!("`{step}`")).collect();
    steps.join(" and then ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_asked_is_told_what_to_do_instead() {
        let steps = Manager::Apt.plan(&[Missing::Firmware], host::Arch::Arm64, true, "");
        let refused = [
            FixError::Json,
            FixError::NobodyToAsk,
            FixError::NoManager {
                missing: vec![Missing::Qemu],
            },
            FixError::NoSudo {
                steps: steps.unwrap(),
            },
        ];
        for error in &refused {
            assert!(error.hint().is_some(), "{error}");
        }
        let hint = refused[3].hint().unwrap();
        assert_eq!(hint, "As root, run `apt-get install qemu-efi-aarch64`.");
    }
}
