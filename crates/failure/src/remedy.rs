//! What to do about a failure, as data.

use std::path::Path;

use serde::Serialize;

/// The one thing to do about a failure.
///
/// Data only: the command line names a command, the app a button or a page, so
/// each shell has its own words for every kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Remedy {
    // The emulator.
    /// Start the emulator.
    Start,
    /// Stop the emulator.
    Stop,
    /// Stop an instance by its name.
    StopInstance {
        /// The instance.
        instance: String,
    },
    /// See which instances there are.
    ListInstances,
    /// Choose another name, or delete the instance that has it.
    DeleteInstance {
        /// The instance.
        instance: String,
    },
    /// Stop the emulator and start it again.
    StopAndStart,
    /// See which checkpoints there are.
    ListCheckpoints,
    /// See which users the app has.
    ListUsers,
    /// See which mails the backend has sent.
    ListMails,
    /// Delete the checkpoint, or choose another name.
    DeleteCheckpoint {
        /// The checkpoint.
        checkpoint: String,
    },
    /// Clone the snapshot, or start and stop the instance for a session.
    CloneSnapshot,
    /// Stop the emulator, which ends the virtual machine and keeps its disk.
    EndMachine,
    /// Try the operation again.
    Retry,
    /// Try the operation again later.
    RetryLater,
    /// Wait for the command that is using the instance, or stop its process.
    WaitForCommand,
    /// Look at the logs; give a slow host more time by the variable.
    WaitLonger {
        /// The variable for the limit.
        variable: &'static str,
    },
    /// Look at the logs and check the host.
    ReadLogs,
    /// Look at the emulator's status and its logs.
    ReadStatus,
    /// Check the host, which says what is wrong.
    CheckHost,
    /// Take a new snapshot.
    TakeSnapshot,
    /// Continue the saved session or discard it.
    ContinueOrDiscardSession,
    /// Start without naming an image, or discard the saved session.
    StartWithoutImage,
    /// Start: the session's disk is booted, and nothing on it is lost.
    BootSessionDisk,
    /// Put the image back, or discard the session.
    RestoreImageOrDiscard,
    /// Put the session's folder back that was there, or discard the session.
    RestoreDiskOrDiscard,
    /// Put the missing file back from a copy, or discard the session.
    RestoreFileOrDiscard,

    // Files and the disk.
    /// Free disk space, or keep the emulator on another disk.
    FreeDiskSpace {
        /// Where space is needed, if it is not the emulator's own folder.
        folder: Option<String>,
        /// Whether a second try continues where the first one stopped.
        continues: bool,
    },
    /// Check that the folder is the user's and can be read and written.
    CheckOwner {
        /// The folder.
        folder: String,
    },
    /// Remove a folder that is not private, or use another one.
    UsePrivateFolder {
        /// The folder.
        folder: String,
        /// The variable that names another one.
        variable: &'static str,
    },
    /// Move a damaged file away.
    MoveAway {
        /// The file.
        file: String,
        /// What is lost with it.
        loss: Loss,
    },
    /// Use the version of the program that wrote the file, or move it away.
    UseItsVersion {
        /// The file.
        file: String,
        /// What is lost with it.
        loss: Loss,
    },
    /// End programs that watch files, or raise the system's limit.
    RaiseWatchLimit {
        /// The kernel's parameter.
        parameter: &'static str,
    },
    /// End other programs, for memory and threads.
    EndPrograms,
    /// Raise what the system allows this process.
    RaiseLimit {
        /// The shell's commands that set it, such as `ulimit -n`.
        commands: Vec<String>,
    },

    // Settings.
    /// Look at the settings and at what they can be.
    ReadSettings,
    /// Stop the process that has the port, or choose another port.
    FreePorts {
        /// The ports in use.
        ports: Vec<UsedPort>,
    },
    /// Use the address 127.0.0.1 in place of the name `localhost`, or stop the other program.
    UseIpv4Address,
    /// Choose another port for one of the services.
    ChangePorts {
        /// The services' identifiers.
        services: Vec<String>,
    },
    /// Lower the port prefix.
    LowerPortPrefix {
        /// Its variable.
        variable: &'static str,
    },
    /// Give the virtual machine more.
    GiveMore {
        /// The variable that limits it.
        variable: &'static str,
        /// The setting, by the name that users give.
        setting: &'static str,
    },
    /// Use software emulation.
    UseEmulation {
        /// The variable that chooses the accelerator.
        variable: &'static str,
    },
    /// Set the repository.
    SetRepository,

    // Secrets.
    /// Unlock the keychain, or restart the program that provides it.
    UnlockKeychain,
    /// Create the keyring that the keychain puts new entries into.
    CreateKeyring,
    /// Unlock the keychain, or provide a folder in memory.
    UnlockKeychainOrUseMemory {
        /// The variable that names the folder.
        variable: &'static str,
    },
    /// Rotate the secrets.
    RotateSecrets,
    /// Start the emulator again, which makes new secrets.
    StartForNewSecrets,

    // Images.
    /// Pull an image, or name one.
    PullImage,
    /// Pull the image again.
    PullAgain,
    /// Look at the images that there are.
    ListImages,
    /// Have nothing use the image.
    ReleaseImage {
        /// What uses it.
        holds: Vec<ImageHold>,
    },
    /// Choose an image for the guest's architecture, or another architecture.
    ChooseArchitecture,
    /// Choose another release, or another architecture.
    OtherRelease,
    /// Pull the starter image from this program's own repository.
    PullStarter {
        /// The repository, as `owner/name`; `None` if the program does not know it.
        repository: Option<String>,
    },
    /// Update the program, or choose another image.
    UpdateOrOtherImage,
    /// Try again later: the image is being published.
    WaitForPublication,
    /// Start the workflow by hand, and name its run.
    StartBuild,
    /// Wait for the build to finish.
    WaitForBuild,
    /// Look at the workflow run's page; rerun it, or name another run.
    SeeBuild,
    /// Check that the run builds images, or choose another architecture.
    CheckRun,
    /// Run the workflow again.
    RerunBuild,
    /// Do not use the build; tell its author.
    DistrustBuild,
    /// Download it again; tell the publisher if it fails again.
    DownloadAgain,

    // The network.
    /// Check the network and the proxy; a second try continues.
    CheckNetwork,
    /// Something may stand between: check the proxy and the API's address.
    CheckProxy,
    /// Set a token: GitHub allows more requests with one.
    SetTokenForMore,
    /// Set a token: artifacts need one.
    SetToken,
    /// Replace the token.
    ReplaceToken,
    /// Use a token that may read the repository's contents and actions.
    WidenToken,
    /// Check the name; a private repository needs a token.
    CheckName {
        /// Whether a token was sent.
        authenticated: bool,
    },
    /// Use an `https` address for the API, or no token.
    SecureApiAddress,
    /// Correct the address of the API, or unset it.
    CorrectApiAddress,
    /// Install the system's certificates.
    InstallCertificates,
    /// Trust the authority of a proxy or mirror.
    TrustAuthority,
    /// Check the computer's clock.
    CheckClock,

    // An app's side.
    /// Name the config file.
    NameConfigFile,
    /// Correct the config file.
    CorrectConfigFile,
    /// Name the file that the link leads to.
    NameLinkTarget,
    /// Rename the folder, or move the project.
    RenameFolder,
    /// Put the config file into a folder of its own project.
    UseProjectFolder,
    /// Stop sharing a folder.
    UnshareFolder,
    /// Look at the folders that are shared.
    ListFolders,
    /// Close what uses the folder in the virtual machine, or stop the emulator.
    CloseFolder,

    // This host, as the checks find it.
    /// Install QEMU, or a newer one.
    InstallQemu {
        /// How, on this operating system, as a sentence.
        how: &'static str,
    },
    /// Reinstall QEMU with its firmware.
    ReinstallQemu,
    /// Correct the variable or unset it.
    CorrectVariable {
        /// The variable.
        variable: &'static str,
    },
    /// Unset the variable: another accelerator is faster.
    UseFastest {
        /// The variable.
        variable: &'static str,
        /// The fastest accelerator that works.
        accelerator: String,
    },
    /// Unset the variable: images of the host's architecture are faster.
    UseHostArchitecture {
        /// The variable.
        variable: &'static str,
    },
    /// Enable nested virtualization where the host itself is a virtual machine.
    EnableNesting,
    /// Make the accelerator available, and check again.
    EnableAccelerator {
        /// The accelerator.
        accelerator: String,
    },
    /// Check the accelerator again.
    ProbeAgain {
        /// The accelerator.
        accelerator: String,
    },
    /// Free disk space for a snapshot and a saved session, or give the virtual
    /// machine less memory.
    FreeDiskSpaceForSnapshot {
        /// What they can take, in MiB.
        most_mib: u32,
        /// The variable for the memory.
        variable: &'static str,
    },
    /// Free disk space, and continue the paused virtual machine.
    FreeDiskSpaceAndContinue,
    /// Continue the paused virtual machine.
    Continue,
    /// Read why the virtual machine cannot go on; a stop and a start begin it anew.
    StopAfterFault,
    /// Start after an unexpected stop: the session's disk is booted; QEMU's log
    /// may show why it stopped.
    StartAfterCrash,
    /// Rotate the secrets once they can be stored.
    RotateOnceStored,
    /// None needed: the next command cleans up.
    NoneNextCommandCleansUp,
    /// None needed: only the user can read the file, and it is gone after a restart.
    NoneFileIsPrivate,
    /// None needed: the next start without a saved session takes a new snapshot.
    NoneNextStartTakesSnapshot,

    // Archive files.
    /// Copy the archive file again, or take a snapshot here.
    CopyArchiveAgain,
    /// Take a snapshot here in place of the archive file.
    TakeSnapshotInstead,
    /// Make the settings the same, or take a snapshot here.
    MatchArchive,
    /// Wait for the other command, or write to another file.
    OtherArchiveFile,
}

/// What is lost with one of the emulator's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Which image is selected; none of the emulator's data.
    SelectedImage,
    /// A virtual machine that still runs is ended; its disk is kept.
    Machine,
    /// Nothing: it is made again from the session's disk.
    Nothing,
    /// The saved memory; the session's disk is booted.
    Memory,
    /// Which folders are shared; they can be shared again.
    SharedFolders,
    /// The list of projects.
    Projects,
    /// The secrets; the next start makes new ones.
    Secrets,
    /// The snapshot; a new one can be taken.
    Snapshot,
    /// The checkpoint.
    Checkpoint,
    /// The settings; the defaults apply.
    Settings,
    /// What the file says.
    Content,
}

/// A port that another process has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct UsedPort {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The identifier of the service that needs it.
    pub service: String,
}

/// An instance that uses an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct ImageHold {
    /// Its name; `None` for the default one.
    pub instance: Option<String>,
    /// Whether it runs the image or has a session of it; otherwise the image is
    /// only selected.
    pub session: bool,
    /// Whether it has checkpoints of it.
    pub checkpoints: bool,
}

impl Remedy {
    /// Raise what the system allows this process, by these commands of a shell.
    pub fn raise_limit(commands: impl IntoIterator<Item = &'static str>) -> Self {
        Self::RaiseLimit {
            commands: commands.into_iter().map(ToOwned::to_owned).collect(),
        }
    }

    /// For a full disk under the emulator's own folder.
    pub const fn free_disk_space() -> Self {
        Self::FreeDiskSpace {
            folder: None,
            continues: false,
        }
    }

    /// For a file that cannot be read or written: its folder's owner is checked.
    pub fn check_owner_of(file: &Path) -> Self {
        Self::CheckOwner {
            folder: file.parent().unwrap_or(file).display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_crosses_as_its_kind_and_its_data() {
        let remedy = Remedy::FreePorts {
            ports: vec![UsedPort {
                port: 26700,
                service: "dashboard".into(),
            }],
        };
        let json = serde_json::to_value(&remedy).unwrap();
        let expected = serde_json::json!({
            "kind": "free_ports",
            "ports": [{ "port": 26700, "service": "dashboard" }],
        });
        assert_eq!(json, expected);
    }
}
