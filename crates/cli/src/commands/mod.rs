//! The commands: each calls the engine and hands over what it reports.

mod ahead;
mod bench;
mod checkpoints;
mod config_file;
mod confirm;
mod credentials;
mod dashboard;
mod diagnostics;
pub(crate) mod doctor;
mod documents;
mod folders;
mod github_token;
mod hidden;
mod images;
mod instances;
mod lifecycle;
mod logs;
mod mail;
mod news;
mod run;
mod secrets;
mod settings;
mod stop_all;
mod users;

use std::io::IsTerminal as _;
use std::path::Path;

use emulator::Emulator;
use emulator::logs::LogSource;
use emulator::paths::Home;
use emulator::preferences::{InstancePer, Preferences};
use emulator::variables::Settings;
use host::core_dumps;
use tracing_subscriber::EnvFilter;

use self::news::News;
use crate::arguments::{
    CheckpointArguments, FoldersArguments, ImagesArguments, Operation, Request, SecretsArguments,
    SettingsArguments,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::{Interrupts, Signal};
use crate::invocation::{Invocation, Target};
use crate::output::{Output, tell};
use crate::progress::{Drawing, Progress};
use crate::render::style::CAUTION;
use crate::render::text::{paint, printable};

/// What `--verbose` prints: our own crates' steps, not those of the HTTP client.
const VERBOSE_FILTER: &str = "warn,emulator=debug,qemu=debug,images=debug,stack_emulator=debug";

/// Does what was asked for.
pub(crate) fn run(invocation: Invocation, output: Output) -> Result<Exit, Failure> {
    if invocation.verbose {
        trace();
    }
    let operation = match invocation.request {
        // These read no environment and no files.
        Request::Completions { shell } => return documents::completions(shell),
        Request::Man { dir } => return documents::manual(dir.as_deref()),
        Request::Operate(operation) => operation,
    };
    // This process will hold secrets, and so will the QEMU that it starts.
    let core_dumps = core_dumps::forbid().map_err(Failure::CoreDumps)?;
    host::limits::check()?;
    let settings = Settings::from_environment()?;
    if needs_no_variables(&operation) {
        for error in &settings.invalid {
            let label = paint(CAUTION, "warning:");
            tell(&format!("{label} {}\n", printable(&error.to_string())));
        }
    } else {
        settings.refuse_invalid()?;
    }
    let preferences = Preferences::read(&Home::new(settings.home.clone()))?;
    let settings = settings.with_preferences(&preferences);
    let emulator = emulator_of(invocation.target, settings, &preferences, &operation)?;
    let news = News::wanted(&emulator, &operation, output);
    // Two threads: one for the operation, one so that signals and progress are
    // seen to while the operation reads files.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let result = runtime.block_on(async {
        let question = news.as_ref().map(News::ask);
        let context = Context {
            emulator: &emulator,
            output,
            progress: Progress::new(Drawing::wanted(invocation.verbose)),
            interrupts: None,
            core_dumps,
        };
        let result = operate(operation, context).await;
        if let Some(question) = question {
            News::wait(question).await;
        }
        result
    });
    // Another thread may still compute a digest of gigabytes; an interrupted
    // command does not wait for it.
    runtime.shutdown_background();
    if let (Some(news), Ok(_)) = (news, &result) {
        news.tell();
    }
    result
}

/// The instance that is acted on.
fn emulator_of(
    target: Target,
    settings: Settings,
    preferences: &Preferences,
    operation: &Operation,
) -> Result<Emulator, Failure> {
    let Target {
        instance,
        here,
        image,
    } = target;
    let of_folder =
        here || instance.is_none() && preferences.instance_per == Some(InstancePer::Folder);
    let emulator = Emulator::new(settings, instance.unwrap_or_default(), image);
    if of_folder {
        return Ok(emulator.of_project(project_of(operation), makes_an_instance(operation))?);
    }
    Ok(emulator)
}

/// A folder of the project that is meant: that of the config file that is named, else the current one.
fn project_of(operation: &Operation) -> &Path {
    let config = if let Operation::Credentials(arguments) = operation {
        Some(&arguments.config)
    } else if let Operation::Run(arguments) = operation {
        Some(&arguments.config)
    } else if let Operation::Users { config, .. } = operation {
        Some(config)
    } else {
        None
    };
    let named = config.and_then(|config| config.config_file.as_deref());
    let folder = named.and_then(Path::parent);
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Whether it may be the first that is done with an instance.
const fn makes_an_instance(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Start { .. }
            | Operation::Run { .. }
            | Operation::Pull { .. }
            | Operation::Capture
            | Operation::Restore { .. }
            | Operation::Bench { .. }
    )
}

/// Logs steps to standard error.
fn trace() {
    let stderr = anstream::AutoStream::choice(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(stderr != anstream::ColorChoice::Never)
        .with_env_filter(EnvFilter::new(VERBOSE_FILTER))
        .with_target(false)
        .without_time()
        .init();
}

/// What every command gets.
struct Context<'a> {
    emulator: &'a Emulator,
    output: Output,
    progress: Progress,
    interrupts: Option<Interrupts>,
    /// What the user's own programs may leave.
    core_dumps: core_dumps::Allowed,
}

async fn operate(operation: Operation, mut context: Context<'_>) -> Result<Exit, Failure> {
    host::limits::survive_file_size_limit().map_err(Failure::Signals)?;
    if !holds_nothing(&operation) {
        context.interrupts = Some(Interrupts::listen()?);
    }
    let context = context;
    match operation {
        Operation::Start { ports } => lifecycle::start(&context, ports).await,
        Operation::Stop { discard, all: true } => stop_all::run(&context, discard).await,
        Operation::Stop { discard: false, .. } => lifecycle::stop(&context).await,
        Operation::Stop { discard: true, .. } => lifecycle::discard(&context).await,
        Operation::Status => lifecycle::status(&context).await,
        Operation::Instances => instances::list(&context).await,
        Operation::Clone { name, from } => instances::clone(&context, &name, &from.0).await,
        Operation::Delete { name, yes } => instances::delete(&context, name, yes).await,
        Operation::Reset { yes } => lifecycle::reset(&context, yes).await,
        Operation::Checkpoint(command) => checkpoints::run(&context, command).await,
        Operation::WorkAhead => ahead::work(&context).await,
        Operation::WatchIdle => ahead::watch_idle(&context).await,
        Operation::Capture => lifecycle::capture(&context).await,
        Operation::Verify => lifecycle::verify(&context).await,
        Operation::Archive { file } => lifecycle::archive(&context, &file).await,
        Operation::Restore { file } => lifecycle::restore(&context, &file).await,
        Operation::Releases { repo } => images::releases(&context, repo.as_ref()).await,
        Operation::Pull(arguments) => images::pull(&context, &arguments.request()).await,
        Operation::Images { command } => {
            images::run(&context, command.unwrap_or(ImagesArguments::List)).await
        }
        Operation::Settings { command } => {
            settings::run(&context, command.unwrap_or(SettingsArguments::List)).await
        }
        Operation::Doctor { probe_again, fix } => doctor::run(&context, probe_again, fix).await,
        Operation::Diagnostics { file } => diagnostics::write(&context, file).await,
        Operation::Logs {
            qemu,
            ahead,
            app,
            follow,
            lines,
        } => {
            // The arguments exclude each other.
            let source = if qemu {
                LogSource::Qemu
            } else if ahead {
                LogSource::Ahead
            } else if app {
                LogSource::App
            } else {
                LogSource::Serial
            };
            logs::show(&context, source, follow, lines).await
        }
        Operation::Dashboard { print } => dashboard::open(&context, print).await,
        Operation::Bench { runs } => bench::run(&context, runs).await,
        Operation::Credentials(arguments) => credentials::run(&context, arguments).await,
        Operation::Run(arguments) => run::run(&context, arguments).await,
        Operation::Mail(arguments) => mail::run(&context, arguments).await,
        Operation::Users { config, command } => users::run(&context, config, command).await,
        Operation::Folders(FoldersArguments::List) => folders::list(&context),
        Operation::Folders(FoldersArguments::Remove { folder }) => {
            folders::remove(&context, &folder).await
        }
        Operation::Secrets(SecretsArguments::List) => secrets::list(&context),
        Operation::Secrets(SecretsArguments::Show { name }) => secrets::show(&context, name).await,
        Operation::Secrets(SecretsArguments::Rotate) => secrets::rotate(&context).await,
        Operation::Secrets(SecretsArguments::Forget) => secrets::forget(&context).await,
    }
}

/// Whether it is done all the same where a variable has a value that cannot be used: what ends a machine,
/// looks at one or gives out its secrets goes by none of them.
const fn needs_no_variables(operation: &Operation) -> bool {
    match operation {
        Operation::Stop { .. }
        | Operation::Status
        | Operation::Instances
        | Operation::Logs { .. }
        | Operation::Secrets(_)
        | Operation::Delete { .. }
        | Operation::Reset { .. }
        | Operation::Diagnostics { .. }
        // Finishes a stop first of all; what it prepares then refuses them.
        | Operation::WorkAhead
        | Operation::WatchIdle => true,
        Operation::Checkpoint(command) => matches!(command, CheckpointArguments::List),
        Operation::Folders(command) => matches!(command, FoldersArguments::List),
        Operation::Settings { command } => {
            !matches!(command, Some(SettingsArguments::GithubToken { .. }))
        }
        Operation::Images { command } => matches!(command, None | Some(ImagesArguments::List)),
        Operation::Start { .. }
        | Operation::Clone { .. }
        | Operation::Capture
        | Operation::Verify
        | Operation::Archive { .. }
        | Operation::Restore { .. }
        | Operation::Releases { .. }
        | Operation::Pull(_)
        | Operation::Doctor { .. }
        | Operation::Credentials(_)
        | Operation::Mail(_)
        | Operation::Users { .. }
        | Operation::Dashboard { .. }
        | Operation::Run(_)
        | Operation::Bench { .. } => false,
    }
}

/// Whether a signal may end it as it ends any program.
const fn holds_nothing(operation: &Operation) -> bool {
    match operation {
        // The next command finishes a stop that is interrupted.
        Operation::WatchIdle
        | Operation::Logs { .. }
        | Operation::Status
        | Operation::Instances
        | Operation::Releases { .. } => true,
        Operation::Images { command } => matches!(command, None | Some(ImagesArguments::List)),
        Operation::Settings { command } => {
            !matches!(command, Some(SettingsArguments::GithubToken { .. }))
        }
        Operation::Folders(command) => matches!(command, FoldersArguments::List),
        Operation::Checkpoint(command) => matches!(command, CheckpointArguments::List),
        Operation::Secrets(command) => matches!(command, SecretsArguments::List),
        Operation::Start { .. }
        | Operation::Stop { .. }
        | Operation::Clone { .. }
        | Operation::Delete { .. }
        | Operation::Reset { .. }
        | Operation::WorkAhead
        | Operation::Capture
        | Operation::Verify
        | Operation::Archive { .. }
        | Operation::Restore { .. }
        | Operation::Pull(_)
        | Operation::Doctor { .. }
        | Operation::Diagnostics { .. }
        | Operation::Credentials(_)
        | Operation::Mail(_)
        | Operation::Users { .. }
        | Operation::Dashboard { .. }
        | Operation::Run(_)
        | Operation::Bench { .. } => false,
    }
}

impl Context<'_> {
    /// Does `work`; if a signal comes, drops it and has the engine finish or
    /// undo what it had begun.
    async fn guarded<T, E: Into<emulator::Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let work = async { Ok(work.await.map_err(Into::into)?) };
        let recover = async || self.emulator.recover_interrupted(&self.progress).await;
        self.guarded_with(work, recover).await
    }

    /// The same for what a signal that has come already asks for, and does not
    /// interrupt: only a second one would, and that ends the program.
    async fn guarded_anew<T, E: Into<emulator::Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        if self.interrupts.as_ref().is_none_or(|i| !i.has_come()) {
            return self.guarded(work).await;
        }
        let result = work.await;
        self.progress.clear();
        Ok(result.map_err(Into::into)?)
    }

    /// The same, with another way to clean up.
    async fn guarded_with<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        clean_up: impl AsyncFnOnce() -> Result<(), emulator::InstanceError>,
    ) -> Result<T, Failure> {
        self.until_signal(work, async |signal| {
            let heading = paint(CAUTION, heading(signal));
            tell(&format!(
                "{heading} cleaning up. Interrupt again to quit immediately.\n"
            ));
            if let Err(error) = clean_up().await {
                // The next command tries again and reports in full.
                let why = printable(&emulator::chain(&error));
                let label = paint(CAUTION, "warning:");
                tell(&format!("{label} cannot clean up: {why}\n"));
            }
        })
        .await
    }

    /// Does `work` that leaves nothing behind wherever it is dropped.
    async fn abandonable<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.until_signal(work, async |_| {}).await
    }

    async fn until_signal<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        then: impl AsyncFnOnce(Signal),
    ) -> Result<T, Failure> {
        let Some(interrupts) = &self.interrupts else {
            return work.await;
        };
        let result = interrupts
            .guard(work, async |signal| {
                self.progress.clear();
                if std::io::stderr().is_terminal() {
                    // The terminal has put `^C` into the line.
                    tell("\n");
                }
                then(signal).await;
            })
            .await;
        self.progress.clear();
        result
    }
}

const fn heading(signal: Signal) -> &'static str {
    match signal {
        Signal::Interrupt => "Interrupted:",
        Signal::Terminate | Signal::Hangup => "Terminated:",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_that_of_the_config_file_that_is_named() {
        let folder = |line: &str| {
            let words = line.split_ascii_whitespace().map(Into::into);
            let Request::Operate(operation) = crate::invocation::read(words).unwrap().request
            else {
                panic!("{line} is an operation");
            };
            project_of(&operation).to_owned()
        };
        for (line, expected) in [
            ("x status", "."),
            ("x run -- npm start", "."),
            ("x credentials --config-file stack.config.ts", "."),
            (
                "x run --config-file apps/web/stack.config.ts -- npm start",
                "apps/web",
            ),
            ("x users --config-file /work/a.ts list", "/work"),
        ] {
            assert_eq!(folder(line), Path::new(expected), "{line}");
        }
    }
}
