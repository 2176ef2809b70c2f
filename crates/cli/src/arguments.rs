//! Arguments as typed; [`crate::invocation`] says what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ColorChoice, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use emulator::paths::InstanceName;
use emulator::preferences::{Preference, parse_size};
use emulator::secrets::SecretName;
use images::github::Repo;
use images::source::Arch;

/// Everything on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "stack-emulator",
    version,
    about = "A local auth backend in a virtual machine that starts in under a second",
    long_about = "A local auth backend in a virtual machine that starts in under a second.\n\n\
        The first start boots the image once and keeps a snapshot of that moment. Each later start \
        resumes it and gives every secret a fresh value. A stop keeps what you did; the next start \
        continues it.",
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub global: GlobalArguments,
    #[command(subcommand)]
    pub command: CommandArguments,
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArguments {
    /// Which emulator: each has its own ports, snapshot and session
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub instance: InstanceName,
    /// Guest image to use, in place of the one used last
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub image: Option<PathBuf>,
    /// Print exactly one JSON object on standard output, also for errors
    #[arg(long, global = true)]
    pub json: bool,
    /// Say what is done on standard error, and how long each phase took
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colours; `auto` heeds the variable `NO_COLOR`
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = false
    )]
    pub color: ColorChoice,
}

/// The command.
#[derive(Debug, Subcommand)]
pub(crate) enum CommandArguments {
    /// Start the emulator: from its snapshot, or from where the last session ended
    #[command(
        long_about = "Start the emulator: from its snapshot, or from where the last session ended.\n\n\
            Returns when every service is healthy with fresh secrets. Saved state that does not work \
            any more is no failure: the machine is booted cold, and the reason is given. Starting an \
            emulator that runs does nothing and succeeds."
    )]
    Start,
    /// Stop the emulator and keep the session for the next start
    Stop {
        /// Drop the session: the next start is a clean one
        #[arg(long)]
        discard: bool,
    },
    /// Show what the emulator is doing, its addresses and its snapshot
    #[command(
        long_about = "Show what the emulator is doing, its addresses and its snapshot.\n\n\
            Changes nothing and waits for nobody. The exit code is 0 if the emulator runs and 3 if not."
    )]
    Status,
    /// Go back to the clean snapshot, dropping what was done since
    Reset {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Boot the image and take a new snapshot of it
    Capture,
    /// Read the snapshot and the saved session in full and check them
    Verify,
    /// Write the snapshot to a compressed file
    #[command(long_about = "Write the snapshot to a compressed file.\n\n\
            The file can be tested and read with the zstd tool. It fits this kind of host only: the same \
            QEMU, accelerator, image and settings. What is at that place is replaced once the new file is whole.")]
    Archive {
        /// The file, or a folder for a file with the usual name
        #[arg(value_hint = ValueHint::AnyPath, default_value = ".")]
        file: PathBuf,
    },
    /// Take the snapshot from an archive, in place of the present one
    Restore {
        /// The archive
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Show which images there are to pull
    #[command(long_about = "Show which images there are to pull.\n\n\
            Lists the releases of the repository that have images, newest first.")]
    Releases {
        /// Repository, in place of the one in the settings
        #[arg(long, value_name = "OWNER/NAME")]
        repo: Option<Repo>,
    },
    /// Get an image, use it, and take a snapshot of it
    #[command(long_about = "Get an image, use it, and take a snapshot of it.\n\n\
            Without options, the newest image of the usual branch. What is here already is not downloaded again, \
            and what Ctrl-C interrupted goes on where it stopped. Every byte is compared with the digest that the \
            release states. Builds of pull requests and runs need a token for GitHub: GITHUB_TOKEN, one in the \
            keychain (`settings github-token set`), or what `gh auth login` keeps.")]
    Pull(PullArguments),
    /// List the images that are installed; use, remove or prune them
    Images {
        #[command(subcommand)]
        command: Option<ImagesArguments>,
    },
    /// Show or change the settings that are kept
    #[command(long_about = "Show or change the settings that are kept.\n\n\
            cache-limit     most that images and snapshots may take on disk, such as 20GB\n\
            archive-after   days after which a snapshot that nobody used is compressed\n\
            repository      where images come from, as OWNER/NAME\n\
            branch          whose newest image is pulled\n\
            ram             guest memory, as 4GiB\n\
            vcpus           number of virtual CPUs\n\
            no-rotation     on keeps the placeholder keys, which everybody knows\n\
            port.SERVICE    host port of a service of the image, such as port.backend\n\n\
            A variable that is set goes before its setting. Limits are looked after at the end of each `pull` and by `images prune`.")]
    Settings {
        #[command(subcommand)]
        command: Option<SettingsArguments>,
    },
    /// Check this host, and say what to do about what is wrong
    Doctor {
        /// Try the accelerators again instead of trusting the last verdict
        #[arg(long)]
        probe_again: bool,
    },
    /// Write an archive for whoever looks into a problem
    #[command(long_about = "Write an archive for whoever looks into a problem.\n\n\
            A zip file with the state, what `doctor` finds, settings, records and the ends of the logs. Secrets \
            are left out, and the home folder is written as ~; have a look before you publish it.")]
    Diagnostics {
        /// Where to; a new file in this folder unless given
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Show the guest's serial console
    Logs {
        /// Show what QEMU itself said instead
        #[arg(long)]
        qemu: bool,
        /// Show what the desktop app said instead
        #[arg(long, conflicts_with = "qemu")]
        app: bool,
        /// Go on showing what is added
        #[arg(short, long)]
        follow: bool,
        /// How many lines to show, counted from the end
        #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
        lines: usize,
    },
    /// Measure starts and stops on this machine
    #[command(long_about = "Measure starts and stops on this machine.\n\n\
            Starts and discards the emulator a number of times and prints medians, phase by phase, beside \
            the time of the cold boot that the snapshot was taken from. Needs a stopped emulator without a \
            kept session; `--instance bench` always is one at first.")]
    Bench {
        /// How many times to start and stop
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        runs: u16,
    },
    /// Print the keys of an app's project, or put them into its `.env` file
    #[command(
        long_about = "Print the keys of an app's project, or put them into its `.env` file.\n\n\
            The project is the one that belongs to the path of the config file; it is made when it is asked \
            for the first time. The folder of the config file is shared with the emulator, and nothing else."
    )]
    Credentials {
        #[command(flatten)]
        config: ConfigArguments,
        /// The form of the output; `next`, `vite` and `expo` are `dotenv` with the names that those read
        #[arg(long, value_enum, value_name = "FORMAT", default_value_t = CredentialsFormat::Dotenv)]
        format: CredentialsFormat,
        /// Set the variables in this file, which otherwise stays as it is byte for byte
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        write: Option<PathBuf>,
    },
    /// Run a program with the keys of its project, starting the emulator if needed
    #[command(
        long_about = "Run a program with the keys of its project, starting the emulator if needed.\n\n\
            The program gets the variables of `credentials` in every form, and the signals that this one gets. \
            Afterwards the emulator is stopped if it was started for it and nobody else uses it, and the session \
            is kept. The exit code is the program's; 128 and the number of the signal if one ended it; 127 if \
            it could not be started."
    )]
    Run {
        #[command(flatten)]
        config: ConfigArguments,
        /// The program and its arguments
        #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = ValueHint::CommandWithArguments)]
        command: Vec<OsString>,
    },
    /// Show or take back the folders that the emulator sees
    #[command(subcommand)]
    Folders(FoldersArguments),
    /// Show, replace or forget the keys that are in force
    #[command(subcommand, arg_required_else_help = true)]
    Secrets(SecretsArguments),
    /// Print a completion script for a shell
    #[command(long_about = "Print a completion script for a shell.\n\n\
            For example, in bash: source <(stack-emulator completions bash)")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// Write the pages of all commands into this folder instead
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, action = ArgAction::Set)]
        dir: Option<PathBuf>,
    },
}

/// Which image to get.
#[derive(Debug, Args)]
pub(crate) struct PullArguments {
    #[command(flatten)]
    pub source: PullSource,
    /// Repository, in place of the one in the settings
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<Repo>,
    /// Architecture, in place of this emulator's
    #[arg(long, value_name = "ARCH", value_parser = arch())]
    pub arch: Option<Arch>,
    /// Do not boot the image to take a snapshot of it
    #[arg(long)]
    pub skip_snapshot: bool,
}

/// Where it comes from: one of these, or none for the usual branch.
#[derive(Debug, Args)]
#[group(required = false, multiple = false)]
pub(crate) struct PullSource {
    /// The newest image of a branch
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// The image of one release
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// The newest build of a pull request
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub pr: Option<u64>,
    /// The build of one workflow run
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub run: Option<u64>,
    /// An image on this machine, or an artifact's zip file
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// What is wanted of the images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImagesArguments {
    /// List the images that are installed, and what they take on disk
    List,
    /// Have the next starts use another image
    Use {
        /// A tag, pr-NUMBER, run-ID, or the beginning of a digest
        #[arg(value_name = "IMAGE", required_unless_present = "none")]
        name: Option<String>,
        /// No image in particular: the one used last, or a pull if there is none
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Remove an image and its snapshots
    Remove {
        /// A tag, pr-NUMBER, run-ID, or the beginning of a digest
        #[arg(value_name = "IMAGE")]
        name: String,
    },
    /// Make room: remove what is of no use any more
    #[command(long_about = "Make room: remove what is of no use any more.\n\n\
            Removes what interrupted pulls have left and images that no tag stands for any more. What an \
            emulator runs, keeps a session on or has chosen is never removed.")]
    Prune {
        /// Remove every image that no emulator uses
        #[arg(short, long)]
        all: bool,
        /// Then remove what was not used for longest until no more than this is left, such as 20GB
        #[arg(long, value_name = "SIZE", value_parser = size)]
        limit: Option<u64>,
        /// Compress snapshots that were not used for so many days; 0 for all that can be
        #[arg(long, value_name = "DAYS")]
        archive_after: Option<u32>,
    },
}

/// What is wanted of the settings.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingsArguments {
    /// Show all settings
    List,
    /// Change a setting
    Set {
        /// Which
        #[arg(value_parser = preference)]
        name: Preference,
        /// Its new value
        value: String,
    },
    /// Tell where the token for GitHub comes from, keep one or forget it
    #[command(
        long_about = "Tell where the token for GitHub comes from, keep one or forget it.\n\n\
            It is looked for in GITHUB_TOKEN, in the keychain, and with the `gh` tool. `set` reads one from \
            standard input, unseen at a terminal, and puts it into the keychain; it is never an argument, \
            which other users could see."
    )]
    GithubToken {
        #[command(subcommand)]
        command: Option<TokenArguments>,
    },
    /// Go back to a setting's default
    Unset {
        /// Which
        #[arg(value_parser = preference)]
        name: Preference,
    },
}

/// `settings github-token …`
#[derive(Debug, Subcommand)]
pub(crate) enum TokenArguments {
    /// Tell where it comes from
    Show,
    /// Keep the one on standard input in the keychain
    Set,
    /// Remove it from the keychain
    Forget,
}

/// Which app.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// The app's config file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "stack.config.ts")]
    pub config_file: PathBuf,
}

/// How credentials are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CredentialsFormat {
    /// Lines for a shell: `export NAME='value'`
    Env,
    /// Lines of a `.env` file: `NAME=value`
    Dotenv,
    /// The same, with the prefix `NEXT_PUBLIC_` but for the secret
    Next,
    /// The same, with the prefix `VITE_`
    Vite,
    /// The same, with the prefix `EXPO_PUBLIC_`
    Expo,
    /// One JSON object, with the super secret admin key and the config file's settings
    Json,
}

/// What is wanted of the shared folders.
#[derive(Debug, Subcommand)]
pub(crate) enum FoldersArguments {
    /// List them
    List,
    /// Take one back from the emulator
    Remove {
        /// The folder
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// What is wanted of the secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsArguments {
    /// List their names and where they are kept, but no values
    List,
    /// Print one value to standard output
    #[command(long_about = "Print one value to standard output.\n\n\
            For example: export STACK_SECRET=$(stack-emulator secrets show ssk)")]
    Show {
        /// Which: publishable client, secret server or super secret admin key, or the cron secret
        #[arg(value_parser = secret_name())]
        name: SecretName,
    },
    /// Replace all of them in the running emulator
    #[command(long_about = "Replace all of them in the running emulator.\n\n\
            Returns once the new ones are accepted and the old ones refused. Apps that hold old ones have to \
            get new ones: see `stack-emulator credentials`.")]
    Rotate,
    /// Remove them from where they are kept; the emulator must be stopped
    Forget,
}

fn arch() -> impl TypedValueParser<Value = Arch> {
    PossibleValuesParser::new(["amd64", "arm64"]).try_map(|typed| typed.parse::<Arch>())
}

fn preference(typed: &str) -> Result<Preference, String> {
    Preference::from_name(typed).ok_or_else(|| {
        let names = Preference::FIXED.map(|name| name.name());
        format!("the settings are {} and port.SERVICE", names.join(", "))
    })
}

fn size(typed: &str) -> Result<u64, &'static str> {
    parse_size(typed).ok_or("a size has a unit, such as 20GB or 500MiB")
}

fn secret_name() -> impl TypedValueParser<Value = SecretName> {
    PossibleValuesParser::new(SecretName::ALL.map(SecretName::short)).try_map(|typed| {
        SecretName::ALL
            .into_iter()
            .find(|name| name.short() == typed)
            .ok_or("no such secret")
    })
}
