//! `run`: a program with the credentials of its project in its environment.
//!
//! While the program runs, signals are its business. A terminal sends its own to
//! the whole group of processes, so the program has them already; those that a
//! process sent to this one alone are passed on. Which is which, the kernel says
//! with each signal.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use emulator::credentials::{AppVariable, Names};
use emulator::folders::ConfigFile;
use emulator::lease::{Lease, Leaving};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::credentials::tell_clashes;
use super::{Context, ahead, config_file};
use crate::arguments::RunArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::tell;
use crate::render::reports::manner;
use crate::render::style::STRONG;
use crate::render::text::paint;
use emulator::quantity::seconds;

pub(super) async fn run(context: &Context<'_>, arguments: RunArguments) -> Result<Exit, Failure> {
    let config_file = &config_file::of(arguments.config)?;
    let (names, command) = (arguments.names.names.into(), &arguments.command[..]);
    // The parser requires at least one word.
    let (program, arguments) = match command {
        [program, arguments @ ..] => (program.as_os_str(), arguments),
        [] => (OsStr::new(""), command),
    };
    // A file that cannot be used is no reason to start anything.
    ConfigFile::name(config_file, context.emulator.settings()).map_err(emulator::Error::from)?;
    let lease = context.guarded(context.emulator.lease()).await?;
    let report = context
        .guarded(Box::pin(context.emulator.start(&context.progress)))
        .await?;
    let started = !report.already_running;
    if started {
        tell(&format!(
            "{} {} in {}.\n",
            paint(STRONG, "Emulator"),
            manner(report.start.kind),
            seconds(report.start.total_ms)
        ));
    }
    let ended = use_it(context, config_file, names, program, arguments).await;
    let left = leave(context, lease, started).await;
    let exit = ended?;
    left?;
    Ok(exit)
}

async fn use_it(
    context: &Context<'_>,
    config_file: &Path,
    names: Names,
    program: &OsStr,
    arguments: &[OsString],
) -> Result<Exit, Failure> {
    let work = context.emulator.credentials(config_file, &context.progress);
    let credentials = context.guarded(Box::pin(work)).await?;
    context.progress.clear();
    let variables = credentials.all_variables(names);
    tell_clashes(config_file, &variables);
    let child = supervise(context, program, arguments, &variables);
    let status = match &context.interrupts {
        Some(interrupts) => interrupts.ceded(child).await??,
        None => child.await?,
    };
    Ok(Exit::Child(code_of(status)))
}

/// Stops the emulator if no other program uses it.
async fn leave(context: &Context<'_>, lease: Lease, started: bool) -> Result<(), Failure> {
    match lease.leave(started)? {
        Leaving::Nothing => {}
        Leaving::LeftToOthers => tell("The emulator keeps running: another program is using it.\n"),
        Leaving::Stop(_lease) => {
            let worker = ahead::worker(context.emulator);
            let work = context.emulator.stop(worker.as_ref(), &context.progress);
            context.guarded_anew(Box::pin(work)).await?;
        }
    }
    Ok(())
}

async fn supervise(
    context: &Context<'_>,
    program: &OsStr,
    arguments: &[OsString],
    variables: &[AppVariable],
) -> Result<ExitStatus, Failure> {
    // Before there is a program, so that none is missed.
    let mut signals = listen()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(variables.iter().map(|v| (v.name.as_str(), v.expose())));
    let mut child = context
        .core_dumps
        .given_to(|| command.spawn())
        .map_err(Failure::CoreDumps)?
        .map_err(|source| Failure::Program {
            program: program.to_owned(),
            source,
        })?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(|source| Failure::Program {
                program: program.to_owned(),
                source,
            }),
            Some(signal) = signals.recv() => pass_on(&child, signal),
        }
    }
}

/// The signals that a process sent to this one.
fn listen() -> Result<mpsc::UnboundedReceiver<Signal>, Failure> {
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
    let mut signals = SignalsInfo::<WithOrigin>::new(wanted).map_err(Failure::Signals)?;
    let (send, receive) = mpsc::unbounded_channel();
    // It waits for signals for as long as this program runs.
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for origin in signals.forever() {
                // One of the terminal's has no sender.
                let Some(signal) = origin.process.and(Signal::from_named_raw(origin.signal)) else {
                    continue;
                };
                if send.send(signal).is_err() {
                    return;
                }
            }
        })
        .map_err(Failure::Signals)?;
    Ok(receive)
}

fn pass_on(child: &Child, signal: Signal) {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, signal)
    {
        // The program has just ended, and `wait` has not returned yet.
        tracing::debug!(%error, "a signal could not be passed on");
    }
}

/// The code that a shell would give.
fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_s_end_is_told_as_shells_tell_it() {
        // Wait statuses, as the system gives them.
        assert_eq!(code_of(ExitStatus::from_raw(0)), 0);
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(15)), 143);
    }
}
