//! The stable codes of all failures.

use serde::Serialize;

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $text:literal,)+) => {
        /// A failure's stable name, for programs: scripts and the app's page choose by it.
        ///
        /// One list for the engine and the shells, so that no two failures have the same
        /// name by accident. A code is never renamed and never given another meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[cfg_attr(feature = "specta", derive(specta::Type))]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Code {
            /// All codes, in the order of the table in the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as programs read it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What failures with this code have in common, as a sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($meaning),+).trim_ascii(),)+
                }
            }
        }
    };
}

codes! {
    // The host.
    /// QEMU is not installed, too old, or cannot be run.
    QemuMissing = "qemu_missing",
    /// QEMU did not start.
    QemuStart = "qemu_start",
    /// QEMU exited unexpectedly.
    QemuDied = "qemu_died",
    /// A command to QEMU failed.
    Qemu = "qemu",
    /// QEMU could not save or load the virtual machine.
    Migration = "migration",
    /// No accelerator works on this host.
    Accelerator = "accelerator",
    /// The accelerator failed while it ran the virtual machine.
    AcceleratorFailed = "accelerator_failed",
    /// The operating system did not answer a question about a process.
    Process = "process",
    /// The operating system's random source failed.
    Random = "random",
    /// A folder cannot be created, or is not the user's alone.
    Folder = "folder",
    /// A file cannot be read or written.
    File = "file",
    /// One of the emulator's own records cannot be read or written.
    Record = "record",
    /// There is not enough disk space.
    DiskFull = "disk_full",
    /// A port is in use.
    PortTaken = "port_taken",
    /// The port settings cannot be used.
    PortSetting = "port_setting",
    /// The image needs more memory or processors than it is given.
    TooSmall = "too_small",
    /// A setting has an invalid value.
    Setting = "setting",
    /// An environment variable has an invalid value.
    Environment = "environment",
    /// The operating system refused something that the program needs.
    System = "system",

    // The instance.
    /// Another command is using the instance and did not finish in time.
    Busy = "busy",
    /// This needs a stopped emulator.
    Running = "running",
    /// This needs a running emulator.
    NotRunning = "not_running",
    /// There is no instance of that name.
    InstanceMissing = "instance_missing",
    /// There is an instance of that name already.
    InstanceExists = "instance_exists",
    /// The text cannot be the name of a checkpoint.
    CheckpointName = "checkpoint_name",
    /// There is no checkpoint of that name.
    CheckpointMissing = "checkpoint_missing",
    /// There is a checkpoint of that name already.
    CheckpointExists = "checkpoint_exists",
    /// The checkpoint is damaged.
    CheckpointDamaged = "checkpoint_damaged",
    /// The running virtual machine does not fit the host and the settings any more.
    OtherMachine = "other_machine",
    /// The session's disk is not the one that the virtual machine runs on.
    SessionDisk = "session_disk",
    /// There is no saved session.
    NoSession = "no_session",
    /// Changes made by other programs cannot be watched for.
    Watch = "watch",
    /// The services did not become ready in time.
    NotReady = "not_ready",
    /// The virtual machine refused to rotate the secrets.
    Rotation = "rotation",
    /// Something inside the virtual machine failed.
    Guest = "guest",
    /// The virtual machine could not be ended.
    Stop = "stop",
    /// The disk with the virtual machine's settings could not be written.
    ConfigDisk = "config_disk",
    /// The session's disk could not be created.
    Overlay = "overlay",
    /// The saved session's memory is damaged; its disk is not.
    SessionDamaged = "session_damaged",
    /// The saved session's disk cannot be used.
    SessionBase = "session_base",
    /// The saved session belongs to another image than the selected one.
    SessionKept = "session_kept",
    /// The saved session belongs to another image than the one asked for.
    OtherImage = "other_image",
    /// There is no snapshot.
    NoSnapshot = "no_snapshot",
    /// The snapshot is damaged.
    SnapshotDamaged = "snapshot_damaged",
    /// The archive file cannot be written or restored.
    Archive = "archive",

    // Images.
    /// The image file is missing.
    ImageMissing = "image_missing",
    /// The image cannot be used.
    Image = "image",
    /// The image's content is not what it was when it was pulled.
    ImageDamaged = "image_damaged",
    /// The image is in use.
    ImageInUse = "image_in_use",
    /// There is no image of that name.
    ImageUnknown = "image_unknown",
    /// More than one image has that name.
    ImageAmbiguous = "image_ambiguous",
    /// The folder of images cannot be read or changed.
    ImageStore = "image_store",
    /// The image's manifest cannot be used.
    Manifest = "manifest",
    /// The image does not match its manifest.
    ManifestDigest = "manifest_digest",
    /// The build's archive holds no disk image.
    NoDisk = "no_disk",
    /// The build's archive is damaged.
    ArtifactDamaged = "artifact_damaged",
    /// The build's archive holds what no build of this project holds.
    ArtifactRefused = "artifact_refused",
    /// GitHub has deleted the build's files.
    ArtifactExpired = "artifact_expired",
    /// The release has no image for this architecture.
    NoAsset = "no_asset",
    /// The release's image is still being uploaded.
    AssetUploading = "asset_uploading",
    /// There is no build of that pull request.
    NoBuild = "no_build",
    /// The workflow run has no image for this architecture.
    NoArtifact = "no_artifact",
    /// The build is still running.
    BuildRunning = "build_running",
    /// The build failed.
    BuildFailed = "build_failed",
    /// The server's answer to a download is invalid.
    DownloadAnswer = "download_answer",
    /// The download has another length than announced.
    DownloadLength = "download_length",
    /// The download is larger than any image may be.
    DownloadTooLarge = "download_too_large",
    /// The download does not match its published digest.
    DownloadDigest = "download_digest",
    /// The file kept changing while it was downloaded.
    DownloadUnstable = "download_unstable",

    // GitHub.
    /// The server cannot be reached.
    Network = "network",
    /// The server redirected to an address that is not followed.
    Redirect = "redirect",
    /// HTTPS cannot be set up on this host.
    TlsSetup = "tls_setup",
    /// The server's certificate is not trusted.
    TlsCertificate = "tls_certificate",
    /// The GitHub token would be sent unencrypted.
    TokenInClear = "token_in_clear",
    /// This download needs a GitHub token.
    TokenNeeded = "token_needed",
    /// GitHub allows no more requests for now.
    RateLimited = "rate_limited",
    /// GitHub does not accept the token.
    GithubTokenRefused = "github_token_refused",
    /// GitHub denied access.
    GithubForbidden = "github_forbidden",
    /// Not found on GitHub.
    GithubNotFound = "github_not_found",
    /// GitHub has deleted what was asked for.
    GithubExpired = "github_expired",
    /// GitHub returned an error.
    GithubStatus = "github_status",
    /// GitHub's answer cannot be understood.
    GithubAnswer = "github_answer",
    /// The configured address of the GitHub API is invalid.
    GithubApiAddress = "github_api_address",

    // Secrets and credentials.
    /// The secrets cannot be read or stored.
    SecretStore = "secret_store",
    /// There are no secrets, or none that fit the running emulator.
    SecretsMissing = "secrets_missing",
    /// The backend does not accept the emulator's own key.
    KeyRefused = "key_refused",
    /// The project's config file cannot be used.
    ConfigFile = "config_file",
    /// The image has no backend service.
    NoBackend = "no_backend",
    /// The backend does not answer.
    BackendUnreachable = "backend_unreachable",
    /// The backend failed, or its answer is invalid.
    BackendFailed = "backend_failed",
    /// The `.env` file could not be written.
    EnvFile = "env_file",
    /// The folder could not be shared, or its sharing not ended.
    FolderShare = "folder_share",
    /// The folder may not be shared.
    FolderRefused = "folder_refused",
    /// The folder is not shared.
    NotShared = "not_shared",
    /// As many folders are shared as there can be.
    TooManyFolders = "too_many_folders",
    /// The image's backend does not show the mails that it sends.
    MailUnsupported = "mail_unsupported",
    /// There is no such mail, or no code in it.
    MailMissing = "mail_missing",
    /// The project has no such user.
    UserMissing = "user_missing",
    /// The backend refuses to do this with the user.
    UserRefused = "user_refused",

    // Logs.
    /// There is no log yet.
    LogMissing = "log_missing",
    /// The log cannot be read or written.
    Log = "log",

    // The command line.
    /// The question was answered with no.
    Declined = "declined",
    /// There is no terminal to ask on.
    Confirmation = "confirmation",
    /// A file would be overwritten.
    FileExists = "file_exists",
    /// Standard input does not contain a GitHub token.
    Token = "token",
    /// Standard input does not contain a password.
    Password = "password",
    /// The program to run cannot be started.
    Program = "program",
    /// A benchmark would end a running emulator or discard a session.
    Occupied = "occupied",
    /// The result cannot be printed.
    Output = "output",
    /// A signal ended the command.
    Interrupted = "interrupted",

    // The desktop app.
    /// The operation was canceled.
    Cancelled = "cancelled",
    /// The link or file cannot be opened.
    Link = "link",
    /// The clipboard cannot be used.
    Clipboard = "clipboard",
    /// Opening at login cannot be changed.
    Autostart = "autostart",
    /// The app was not replaced by a newer release.
    Update = "update",
    /// The app itself failed.
    Internal = "internal",
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<&str> for Code {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn each_is_snake_case_unique_and_explained() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(
                text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{text}"
            );
            assert!(seen.insert(text), "{text} is there twice");
            assert_eq!(serde_json::to_value(code).unwrap(), text);
            assert!(code.meaning().ends_with('.'), "{text}: {}", code.meaning());
        }
    }

    /// `docs/errors.md` is written from [`Code::ALL`].
    #[test]
    fn the_documentation_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
        let expected = table();
        if std::env::var_os("STACK_EMULATOR_WRITE_ERRORS").is_some() {
            std::fs::write(path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/errors.md is out of date: run `STACK_EMULATOR_WRITE_ERRORS=1 cargo test -p failure`"
        );
    }

    fn table() -> String {
        let mut text = String::from(
            "# Error codes\n\n\
             When a command fails, its JSON output (`--json`) has `error.code`, and the app's error report \
             has the same code. Codes are stable: scripts can rely on them. `error.message` and `error.hint` are \
             for people and may change.\n\n\
             This table is generated from the code (`STACK_EMULATOR_WRITE_ERRORS=1 cargo test -p failure`).\n\n\
             | Code | Meaning |\n|---|---|\n",
        );
        for code in Code::ALL {
            writeln!(text, "| `{code}` | {} |", code.meaning()).unwrap();
        }
        text
    }
}
