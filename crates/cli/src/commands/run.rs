//! `run`: a program with the credentials of its project in its environment.
//!
//! While the program runs, signals are its business. A terminal sends its own to
//! the whole group of processes, so the program has them already; those that a
//! process sent to this one alone are passed on. Which is which, the kernel says
//! with each signal.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::pin::pin;
use std::process::ExitStatus;

use emulator::config_watch::ConfigWatch;
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
use crate::render::style::{GOOD, STRONG};
use crate::render::text::{paint, printable};
use emulator::progress::Silent;
use emulator::quantity::seconds;

pub(super) async fn run(context: &Context<'_>, arguments: RunArguments) -> Result<Exit, Failure> {
    let config_file = &config_file::of(arguments.config)?;
    // A file that cannot be used is no reason to start anything.
    ConfigFile::name(config_file, context.emulator.settings()).map_err(emulator::Error::from)?;
    let watch = arguments.watch.then(|| ConfigWatch::begin(config_file));
    let watch = watch.transpose()?;
    let lease = context.guarded(context.emulator.lease()).await?;
    let report = context
        .guarded(Box::pin(context.emulator.start(&context.progress)))
        .await?;
    ahead::begin_idle_watch(context.emulator);
    let started = !report.already_running;
    if started {
        tell(&format!(
            "{} {} in {}.\n",
            paint(STRONG, "Emulator"),
            manner(report.start.kind),
            seconds(report.start.total_ms)
        ));
    }
    if let Some(dashboard) = report
        .services
        .iter()
        .find(|service| service.id == "dashboard")
    {
        tell(&format!("Dashboard: {}\n", printable(&dashboard.url)));
    }
    let app = App {
        config_file,
        names: arguments.names.names.into(),
        command: &arguments.command,
    };
    let ended = use_it(context, &app, watch).await;
    let left = leave(context, lease, started).await;
    let exit = ended?;
    left?;
    Ok(exit)
}

/// What is run, and as which app.
struct App<'a> {
    config_file: &'a Path,
    names: Names,
    /// The program and its arguments.
    command: &'a [OsString],
}

async fn use_it(
    context: &Context<'_>,
    app: &App<'_>,
    watch: Option<ConfigWatch>,
) -> Result<Exit, Failure> {
    let work = context
        .emulator
        .credentials(app.config_file, &context.progress);
    let credentials = context.guarded(Box::pin(work)).await?;
    context.progress.clear();
    let variables = credentials.all_variables(app.names);
    tell_clashes(app.config_file, &variables);
    let child = supervise(context, app, &variables, watch);
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
    app: &App<'_>,
    variables: &[AppVariable],
    watch: Option<ConfigWatch>,
) -> Result<ExitStatus, Failure> {
    // The parser requires at least one word.
    let (program, arguments) = match app.command {
        [program, arguments @ ..] => (program.as_os_str(), arguments),
        [] => (OsStr::new(""), app.command),
    };
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
    let watched = watch.is_some();
    let mut following = pin!(follow(context, app, variables, watch));
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(|source| Failure::Program {
                program: program.to_owned(),
                source,
            }),
            Some(signal) = signals.recv() => pass_on(&child, signal),
            // It ends only where there is nothing to follow.
            () = &mut following, if watched => {}
        }
    }
}

/// Says what the emulator makes of each change of the config file, for as long as the program runs.
async fn follow(
    context: &Context<'_>,
    app: &App<'_>,
    given: &[AppVariable],
    watch: Option<ConfigWatch>,
) {
    let Some(mut watch) = watch else {
        return;
    };
    let name = printable(&app.config_file.display().to_string());
    loop {
        watch.changed().await;
        // Asking for the credentials has the backend read the file. The program has the terminal, so
        // nothing is drawn meanwhile.
        let asked = context.emulator.credentials(app.config_file, &Silent);
        match Box::pin(asked).await {
            Ok(credentials) => tell(&taken(&name, credentials.all_variables(app.names) == given)),
            Err(error) => {
                let failure = Failure::from(error);
                let subject = format!("{name} has changed");
                context.output.report_error(&subject, &failure);
            }
        }
    }
}

/// What is said of a change that the backend took.
fn taken(name: &str, same_credentials: bool) -> String {
    let done = paint(GOOD, "Changed:");
    if same_credentials {
        format!("{done} {name} is in force.\n")
    } else {
        format!(
            "{done} {name} is in force, and the credentials have changed: start the program again.\n"
        )
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
    fn a_change_is_told_with_what_it_means_for_the_program() {
        assert!(taken("stack.config.ts", true).ends_with("stack.config.ts is in force.\n"));
        assert!(taken("stack.config.ts", false).contains("start the program again"));
    }

    #[test]
    fn a_program_s_end_is_told_as_shells_tell_it() {
        // Wait statuses, as the system gives them.
        assert_eq!(code_of(ExitStatus::from_raw(0)), 0);
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(15)), 143);
    }
}
