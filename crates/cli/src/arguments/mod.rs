//! The command line, as the parser reads it: each command and its options.

mod app;
mod checkpoints;
mod global;
mod mail;
mod users;

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use emulator::paths::InstanceName;
use emulator::preferences::{Preference, parse_size};
use emulator::pull::PullRequest;
use emulator::secrets::SecretName;
use images::github::Repo;
use images::source::{Arch, Source};

pub(crate) use self::app::{
    ConfigArguments, CredentialsArguments, CredentialsFormat, RunArguments,
};
pub(crate) use self::checkpoints::{CheckpointArguments, CloneSource};
pub(crate) use self::global::GlobalArguments;
pub(crate) use self::mail::MailArguments;
pub(crate) use self::users::UsersArguments;

/// Everything on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "stack-emulator",
    version,
    about = "A local auth backend in a virtual machine that starts in about a second",
    long_about = "A local auth backend in a virtual machine that starts in about a second.\n\n\
        The first start pulls an image, boots it once and takes a snapshot. Each later start resumes \
        the snapshot with fresh secrets. Stopping saves the session, and the next start continues the \
        session.",
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub global: GlobalArguments,
    #[command(subcommand)]
    pub request: Request,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Request {
    #[command(flatten)]
    Operate(Operation),
    /// Print a completion script for a shell
    #[command(long_about = "Print a completion script for a shell.\n\n\
            For example, in bash: source <(stack-emulator completions bash)")]
    Completions {
        /// Shell that reads the script
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// Write one page per command into this folder instead
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, action = ArgAction::Set)]
        dir: Option<PathBuf>,
    },
}

/// What is done with an instance.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Operation {
    /// Start the emulator: continue the saved session, or resume the snapshot
    #[command(
        long_about = "Start the emulator: continue the saved session, or resume the snapshot.\n\n\
            The first start pulls an image if none is installed, boots it once and takes a snapshot. After \
            the download, that takes about half a minute, or a minute or two with software emulation. Later \
            starts take about a second.\n\n\
            Returns when every service is healthy and has fresh secrets. If saved state no longer works, \
            start cold-boots instead and prints why. Does nothing if the emulator is already running; \
            continues a virtual machine that is paused because its disk could not be written."
    )]
    Start {
        /// `auto` takes the next free ports for good where another program has those of the instance
        #[arg(long, value_enum, value_name = "WHICH")]
        ports: Option<PortsArgument>,
    },
    /// Stop the emulator and save the session for the next start
    #[command(
        long_about = "Stop the emulator and save the session for the next start.\n\n\
            With `--discard`, deletes all users, projects and data created since the snapshot. Credentials \
            already in .env files then stop working; write them again after the next start.\n\n\
            With `--all`, does so for every running instance, and continues after a failure; the exit code is \
            then 1. Instances that are stopped keep their saved sessions."
    )]
    Stop {
        /// Delete the session's data instead of saving it; does not ask
        #[arg(long)]
        discard: bool,
        /// Stop every running instance
        #[arg(long)]
        all: bool,
    },
    /// Show the emulator's state, addresses and snapshot
    #[command(long_about = "Show the emulator's state, addresses and snapshot.\n\n\
            Read-only; does not wait for other commands. Exits with 0 if the emulator is running, 3 if not.")]
    Status,
    /// List all instances with their state, ports and size on disk
    #[command(
        long_about = "List all instances with their state, ports and size on disk.\n\n\
            Read-only; does not wait for other commands. The instance that `--instance` names is marked with \
            an asterisk. Files that several instances share are counted in each, and once in the total."
    )]
    Instances,
    /// Create another instance from the snapshot, the saved session or a checkpoint, without booting
    #[command(
        long_about = "Create another instance from the snapshot, the saved session or a checkpoint, without \
            booting.\n\n\
            The new instance has its own ports, session and secrets, and shares the files of the snapshot \
            with its source as long as both exist. Use it with `--instance NAME`.\n\n\
            The snapshot holds the ports of the source. A start tells the new ones to the virtual machine, if \
            the image can take them; otherwise it prints which links lead to the ports of the source, and \
            `stack-emulator capture --instance NAME` takes a snapshot with the right ones."
    )]
    Clone {
        /// Name of the new instance
        #[arg(value_name = "NAME")]
        name: InstanceName,
        /// What to clone: `snapshot` (clean; the source can be running), `session` (saved, with all
        /// data in it), or the name of a checkpoint
        #[arg(long, value_name = "WHAT", default_value = "snapshot")]
        from: CloneSource,
    },
    /// Delete an instance with its session, snapshots, logs and secrets
    #[command(
        long_about = "Delete an instance with its session, snapshots, logs and secrets.\n\n\
            The instance must be stopped. Deletes all users, projects and data of its saved session; images \
            and other instances are not affected. Asks first, unless `--yes` is given."
    )]
    Delete {
        /// Instance to delete
        #[arg(value_name = "NAME")]
        name: InstanceName,
        /// Skip the confirmation
        #[arg(short, long)]
        yes: bool,
    },
    /// Discard the session: the next start is from the clean snapshot
    #[command(
        long_about = "Discard the session: the next start is from the clean snapshot.\n\n\
            Stops the emulator if it is running, and deletes all users, projects and data created since \
            the snapshot. Credentials already in .env files stop working; `stack-emulator credentials --refresh` \
            writes them again after the next start. Asks first and lists those files, unless `--yes` is given."
    )]
    Reset {
        /// Skip the confirmation
        #[arg(short, long)]
        yes: bool,
    },
    /// Prepare the next start; begun in the background when the emulator has been stopped
    #[command(hide = true)]
    WorkAhead,
    /// Stop the emulator once nothing has used it for long enough; begun in the background by a start
    #[command(hide = true)]
    WatchIdle,
    /// Create, list, restore and delete checkpoints: named states to return to
    #[command(subcommand)]
    Checkpoint(CheckpointArguments),
    /// Boot the image and take a new snapshot
    Capture,
    /// Check every byte of the snapshot, the saved session and the checkpoints
    Verify,
    /// Write the snapshot to a compressed archive file
    #[command(long_about = "Write the snapshot to a compressed archive file.\n\n\
            The `zstd` tool can test and read the file. Restore works only with the same QEMU, accelerator, \
            image and settings. An existing file is replaced once the new one is complete.")]
    Archive {
        /// Archive file to write, or a folder for a file with the default name
        #[arg(value_hint = ValueHint::AnyPath, default_value = ".")]
        file: PathBuf,
    },
    /// Replace the snapshot with the one in an archive file
    #[command(
        long_about = "Replace the snapshot with the one in an archive file.\n\n\
            Restore only an archive that you made: its memory goes into the virtual machine as it is. \
            Restore checks that the file is whole, not who made it."
    )]
    Restore {
        /// Archive file to read
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// List the releases that can be pulled, latest first
    #[command(long_about = "List the releases that can be pulled, latest first.\n\n\
            Only releases with an image are listed. The releases are those of the repository in the \
            settings, unless `--repo` names another.")]
    Releases {
        /// Repository to use instead of the setting `repository`
        #[arg(long, value_name = "OWNER/NAME")]
        repo: Option<Repo>,
    },
    /// Pull an image, select it, and take a snapshot of it
    #[command(
        long_about = "Pull an image, select it, and take a snapshot of it.\n\n\
            Without options, pulls the latest image of the default branch (setting `branch`). Does not \
            download an installed image again, and continues an interrupted download. Checks every byte \
            against the published SHA-256 digest.\n\n\
            Pull only images of people whose programs you would run. The digest shows that an image is the \
            published one, not that it is harmless; the build of a pull request is the work of the person who \
            opened it.\n\n\
            Builds of pull requests and workflow runs need a GitHub token: the variable GITHUB_TOKEN, a \
            token saved with `stack-emulator settings github-token set`, or the token of `gh auth login`."
    )]
    Pull(PullArguments),
    /// List the installed images; select, remove or prune them
    Images {
        #[command(subcommand)]
        command: Option<ImagesArguments>,
    },
    /// Show or change the settings
    #[command(long_about = "Show or change the settings.\n\n\
            cache-limit     maximum size of images and snapshots on disk, such as 20GB\n\
            archive-after   days after which an unused snapshot is compressed\n\
            repository      GitHub repository of the images, as OWNER/NAME\n\
            branch          default branch: `pull` takes its latest image\n\
            ram             memory of the virtual machine, such as 4GiB; unset, the image decides\n\
            vcpus           number of virtual CPUs\n\
            no-rotation     `on` keeps the image's placeholder secrets, which are public\n\
            ahead           `disk` saves the session and prepares the next start in the background after a stop,\n\
            \x20               `memory` keeps that ready in memory as well, `off` does nothing in the background\n\
            network         `closed` keeps the virtual machine from connecting to anything, `open` lets it,\n\
            \x20               `by-image` does what the image asks for\n\
            updates         `off` does not look for newer releases of this program\n\
            instance-per    `folder` acts on the instance of the project's folder, as `--here` does; `none` does not\n\
            stop-when-idle  minutes after which the emulator is stopped if no connection or `run` uses it\n\
            port.SERVICE    host port of a service, such as port.backend\n\n\
            An environment variable overrides its setting. Limits apply at the end of each `pull` and with \
            `images prune`. After a change of `ram` or `vcpus`, the next start is slower: it takes a new \
            snapshot, or boots a saved session from its disk, without the programs that were running.")]
    Settings {
        #[command(subcommand)]
        command: Option<SettingsArguments>,
    },
    /// Check this host and suggest a fix for each problem
    Doctor {
        /// Test the accelerators again instead of using the last result
        #[arg(long)]
        probe_again: bool,
        /// Offer to install what is missing, with apt, dnf or brew
        #[arg(
            long,
            long_help = "Offer to install what is missing, with apt, dnf or brew. Shows the exact command and asks \
                before it runs it, so it needs a terminal and does not go with --json."
        )]
        fix: bool,
    },
    /// Write a zip file for a bug report, without secrets
    #[command(long_about = "Write a zip file for a bug report, without secrets.\n\n\
            The zip file contains the status, the results of `doctor`, settings, records and the ends of the \
            logs. Secrets are left out, and the home folder is written as ~. Review the zip file before you \
            share it.")]
    Diagnostics {
        /// Zip file to write; by default, a new file in the current folder
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Show the console of the virtual machine
    Logs {
        /// Show QEMU's log instead
        #[arg(long)]
        qemu: bool,
        /// Show the log of the last preparation of a next start instead
        #[arg(long, conflicts_with = "qemu")]
        ahead: bool,
        /// Show the desktop app's log instead
        #[arg(long, conflicts_with_all = ["qemu", "ahead"])]
        app: bool,
        /// Keep printing new lines
        #[arg(short, long)]
        follow: bool,
        /// Number of lines to show, counted from the end
        #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
        lines: usize,
    },
    /// Measure starts and stops on this host
    #[command(long_about = "Measure starts and stops on this host.\n\n\
            Starts the emulator and discards the session N times. Prints the median of each phase, beside \
            the duration of the cold boot that the snapshot was taken from. Needs a stopped instance without \
            a saved session: use `--instance bench`.")]
    Bench {
        /// Number of starts and stops
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        runs: u16,
    },
    /// Print the credentials of an app, or write them to its `.env` file
    #[command(
        long_about = "Print the credentials of an app, or write them to its `.env` file.\n\n\
            Each config file has a project of its own in the emulator, created on first use. After a reset, \
            the project is created again with other credentials: `--refresh` writes the files again.\n\n\
            Shares the folder of the config file with the emulator, and no other folder. The emulator can \
            read and write the files in that folder, with your permissions, until `stack-emulator folders \
            remove`."
    )]
    Credentials(CredentialsArguments),
    /// Run a program with the credentials of its app, starting the emulator if needed
    #[command(
        long_about = "Run a program with the credentials of its app, starting the emulator if needed.\n\n\
            The program gets the variables of `credentials` in every format (and under both names, unless \
            `--names` says otherwise), and the signals sent to `run`. \
            Afterwards stops the emulator if `run` started it and no other program uses it; the session is \
            saved. Prints the address of the dashboard and, with `--watch`, the result of each change of the \
            config file to standard error. Exits with the program's code, 128 + N if signal N ended it, or 127 if it could not be \
            started.\n\n\
            Shares the folder of the config file with the emulator, as `credentials` does: the emulator can \
            read and write the files in that folder."
    )]
    Run(RunArguments),
    /// Read the mails that the backend sends: magic links, codes, invitations
    #[command(subcommand, arg_required_else_help = true)]
    Mail(MailArguments),
    /// Create, list and delete the users of an app
    #[command(
        arg_required_else_help = true,
        long_about = "Create, list and delete the users of an app.\n\n\
            They are the users of the project that belongs to the config file, whose folder is shared with the \
            emulator as `credentials` does.\n\n\
            For example: stack-emulator users add ada@example.com"
    )]
    Users {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(subcommand)]
        command: UsersArguments,
    },
    /// Open the dashboard in the browser, signed in
    #[command(long_about = "Open the dashboard in the browser, signed in.\n\n\
            The dashboard shows the projects of the emulator with their users, teams and mails. Its session ends \
            after a day, when you sign out, and with the next start or rotation of the secrets.\n\n\
            The dashboard of a published image is opened as it is.")]
    Dashboard {
        /// Print a link instead; it signs in once, within a minute
        #[arg(long)]
        print: bool,
    },
    /// List shared folders, or stop sharing one
    #[command(
        subcommand,
        long_about = "List shared folders, or stop sharing one.\n\n\
            The emulator can read and write the files in a shared folder, with your permissions. \
            `credentials` and `run` share the folder of their config file."
    )]
    Folders(FoldersArguments),
    /// List, print, rotate or remove the emulator's secrets
    #[command(subcommand, arg_required_else_help = true)]
    Secrets(SecretsArguments),
}

/// Which ports a start takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PortsArgument {
    /// Those of the instance, or else the next block in which all are free
    Auto,
}

/// Which image to get.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct PullArguments {
    #[command(flatten)]
    pub source: PullSource,
    /// Repository to use instead of the setting `repository`
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<Repo>,
    /// Architecture to pull instead of the emulator's
    #[arg(long, value_name = "ARCH", value_parser = arch())]
    pub arch: Option<Arch>,
    /// Install the image without taking a snapshot
    #[arg(long)]
    pub skip_snapshot: bool,
}

impl PullArguments {
    /// What they ask the engine for.
    pub(crate) fn request(self) -> PullRequest {
        let PullSource {
            branch,
            tag,
            pr,
            run,
            file,
        } = self.source;
        // The parser allows at most one of them.
        let source = branch
            .map(|branch| Source::Rolling { branch })
            .or_else(|| tag.map(Source::Tag))
            .or_else(|| pr.map(Source::PullRequest))
            .or_else(|| run.map(Source::Run))
            .or_else(|| file.map(Source::File));
        PullRequest {
            source,
            repository: self.repo,
            arch: self.arch,
            skip_snapshot: self.skip_snapshot,
        }
    }
}

/// Where it comes from: one of these, or none for the default branch.
#[derive(Debug, PartialEq, Eq, Args)]
#[group(required = false, multiple = false)]
pub(crate) struct PullSource {
    /// Pull the latest image of a branch
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// Pull the image of a release
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Pull the latest build of a pull request
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub pr: Option<u64>,
    /// Pull the build of a workflow run
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub run: Option<u64>,
    /// Install a .qcow2 image or a .zip build from this host
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, value_parser = absolute())]
    pub file: Option<PathBuf>,
}

/// What is wanted of the images.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum ImagesArguments {
    /// List the installed images and their size on disk
    List,
    /// Select the image for the next start
    Use {
        /// A tag, pr-NUMBER, run-ID, or the beginning of a digest
        #[arg(value_name = "IMAGE", required_unless_present = "none")]
        name: Option<String>,
        /// Select none: the next start uses the last one, or pulls one
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Remove an image and its snapshots
    Remove {
        /// A tag, pr-NUMBER, run-ID, or the beginning of a digest
        #[arg(value_name = "IMAGE")]
        name: String,
    },
    /// Free disk space: remove superseded images and unfinished pulls
    #[command(
        long_about = "Free disk space: remove superseded images and unfinished pulls.\n\n\
            An image is superseded when its tag, pull request or branch has a newer image. Never removes an \
            image that is in use: selected or running in an instance, or with a saved session on it."
    )]
    Prune {
        /// Remove every image that no instance uses
        #[arg(short, long)]
        all: bool,
        /// Then remove the least recently used until at most this much is left, such as 20GB
        #[arg(long, value_name = "SIZE", value_parser = size)]
        limit: Option<u64>,
        /// Compress snapshots not used for this many days; 0 compresses all that are not in use
        #[arg(long, value_name = "DAYS")]
        archive_after: Option<u32>,
    },
}

/// What is wanted of the settings.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum SettingsArguments {
    /// Show all settings
    List,
    /// Change a setting
    Set {
        /// Setting to change, such as ram
        #[arg(value_parser = preference)]
        name: Preference,
        /// New value, such as 4GiB
        value: String,
    },
    /// Show, save or remove the GitHub token
    #[command(long_about = "Show, save or remove the GitHub token.\n\n\
            The token comes from the variable GITHUB_TOKEN, else from the keychain, else from `gh`. `set` \
            reads it from standard input (hidden on a terminal) and saves it in the keychain. It is never \
            passed as an argument, where other users could see it.")]
    GithubToken {
        #[command(subcommand)]
        command: Option<TokenArguments>,
    },
    /// Restore the default of a setting
    Unset {
        /// Setting to restore, such as ram
        #[arg(value_parser = preference)]
        name: Preference,
    },
}

/// `settings github-token …`
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum TokenArguments {
    /// Show where the token comes from
    Show,
    /// Save a token from standard input in the keychain
    Set,
    /// Remove the token from the keychain
    Forget,
}

/// What is wanted of the shared folders.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum FoldersArguments {
    /// List the shared folders
    List,
    /// Stop sharing a folder
    Remove {
        /// Folder to stop sharing
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// What is wanted of the secrets.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum SecretsArguments {
    /// List the names of the secrets and where they are stored, without values
    List,
    /// Print a secret to standard output
    #[command(long_about = "Print a secret to standard output.\n\n\
            For example: export STACK_SECRET=$(stack-emulator secrets show ssk)")]
    Show {
        /// Secret to print
        #[arg(value_parser = secret_name())]
        name: SecretName,
    },
    /// Rotate all secrets of the running emulator
    #[command(long_about = "Rotate all secrets of the running emulator.\n\n\
            Returns once the new secrets are accepted and the old ones are refused. Anything that uses these \
            secrets needs the new values: `stack-emulator secrets show NAME`. Project credentials are not \
            affected.")]
    Rotate,
    /// Remove the secrets of a stopped emulator; the next start creates new ones
    Forget,
}

/// A path is remembered, so it must hold wherever the next command is run.
fn absolute() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

fn arch() -> impl TypedValueParser<Value = Arch> {
    PossibleValuesParser::new(["amd64", "arm64"]).try_map(|typed| typed.parse::<Arch>())
}

fn preference(typed: &str) -> Result<Preference, String> {
    Preference::from_name(typed).ok_or_else(|| {
        let names = Preference::FIXED.map(|name| name.name());
        format!("expected one of {} or port.SERVICE", names.join(", "))
    })
}

fn size(typed: &str) -> Result<u64, &'static str> {
    parse_size(typed).ok_or("expected a size with its unit, such as 20GB or 500MiB")
}

fn secret_name() -> impl TypedValueParser<Value = SecretName> {
    let value = |name: SecretName| PossibleValue::new(name.short()).help(name.describe());
    PossibleValuesParser::new(SecretName::ALL.map(value)).try_map(|typed| {
        SecretName::ALL
            .into_iter()
            .find(|name| name.short() == typed)
            .ok_or("no such secret")
    })
}
