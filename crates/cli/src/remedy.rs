//! What to do about a failure, in the words of the command line: commands and options.

use emulator::{ImageHold, Loss, Remedy};

/// The remedy as one or two sentences.
#[expect(clippy::too_many_lines, reason = "one arm for each remedy")]
pub(crate) fn words(remedy: &Remedy) -> String {
    let fixed = match remedy {
        Remedy::Start => "Run `stack-emulator start` first.",
        Remedy::Stop => "Run `stack-emulator stop` first.",
        Remedy::ListInstances => "See the instances with `stack-emulator instances`.",
        Remedy::UseIpv4Address => {
            "Use 127.0.0.1 in addresses instead of localhost, or stop that program."
        }
        Remedy::StopAndStart => "Run `stack-emulator stop` and `stack-emulator start` first.",
        Remedy::ListCheckpoints => "See the checkpoints with `stack-emulator checkpoint list`.",
        Remedy::ListUsers => "See the users with `stack-emulator users list`.",
        Remedy::ListMails => "See the mails with `stack-emulator mail list`.",
        Remedy::CloneSnapshot => {
            "Clone its snapshot with `--from snapshot`, or start and stop it first."
        }
        Remedy::EndMachine => {
            "Run `stack-emulator stop`: it ends the virtual machine and keeps its disk."
        }
        Remedy::Retry => "Try again.",
        Remedy::RetryLater => "Try again later.",
        Remedy::WaitForCommand => "Try again when it has finished, or stop that process.",
        Remedy::ReadLogs => "See `stack-emulator logs` and `stack-emulator doctor`.",
        Remedy::ReadStatus => "See `stack-emulator status` and `stack-emulator logs`.",
        Remedy::CheckHost => "Run `stack-emulator doctor`: it checks this host and suggests fixes.",
        Remedy::TakeSnapshot => "Take a new snapshot with `stack-emulator capture`.",
        Remedy::ContinueOrDiscardSession => {
            "Continue it with `stack-emulator start`, or discard it with `stack-emulator reset`."
        }
        Remedy::StartWithoutImage => {
            "Start without --image to continue the session, or discard it with `stack-emulator reset`."
        }
        Remedy::BootSessionDisk => {
            "Run `stack-emulator start`: it boots the session's disk, and no data is lost."
        }
        Remedy::RestoreImageOrDiscard => {
            "Put the image back, or discard the session with `stack-emulator reset`."
        }
        Remedy::RestoreDiskOrDiscard => {
            "Put the folder back that was there when the emulator was started, or discard the session with \
             `stack-emulator reset`."
        }
        Remedy::RestoreFileOrDiscard => {
            "Put that file back from a copy, or discard the session with `stack-emulator reset`: its data cannot \
             be read without the file."
        }
        Remedy::EndPrograms => "Close other programs, then try again.",
        Remedy::ReadSettings => {
            "See `stack-emulator settings` for the values and `stack-emulator settings --help` for what is valid."
        }
        Remedy::SetRepository => "Set it with `stack-emulator settings set repository OWNER/NAME`.",
        Remedy::UnlockKeychain => "Unlock your keychain, or restart the keychain service.",
        Remedy::CreateKeyring => {
            "Create a default keyring with your desktop's program for passwords, such as Passwords and Keys \
             (seahorse) or KWalletManager."
        }
        Remedy::RotateSecrets => "Run `stack-emulator secrets rotate` to create new secrets.",
        Remedy::StartForNewSecrets => {
            "Run `stack-emulator start`: it creates new secrets and stores them where this host can."
        }
        Remedy::PullImage => {
            "Pull an image with `stack-emulator pull`, or name one with --image FILE."
        }
        Remedy::PullAgain => "Pull it again with `stack-emulator pull`, which replaces it.",
        Remedy::ListImages => "See the images with `stack-emulator images`.",
        Remedy::ChooseArchitecture => {
            "Choose an image for this architecture, or set the architecture with --arch or EMULATOR_ARCH."
        }
        Remedy::OtherRelease => "Choose another release, or another --arch.",
        Remedy::UpdateOrOtherImage => "Update Stack Emulator, or choose another image.",
        Remedy::WaitForPublication => {
            "It is probably still being published: try again in a few minutes."
        }
        Remedy::StartBuild => {
            "The workflow may not run for this pull request: start it by hand, then use --run."
        }
        Remedy::WaitForBuild => "Try again when the build has finished.",
        Remedy::SeeBuild => "See the run's page; then re-run it, or choose another run.",
        Remedy::CheckRun => {
            "Check that this is a run of the workflow that builds images, or choose another --arch."
        }
        Remedy::RerunBuild => "Re-run the workflow to build it again.",
        Remedy::DistrustBuild => "Do not use this build, and tell its author.",
        Remedy::DownloadAgain => {
            "Run the command again. If it fails again, tell the publisher of the image."
        }
        Remedy::CheckNetwork => {
            "Check the network and the proxy (HTTPS_PROXY, NO_PROXY), then try again: it continues where it stopped."
        }
        Remedy::CheckProxy => {
            "A proxy or mirror may be in the way: check HTTPS_PROXY and STACK_EMULATOR_GITHUB_API."
        }
        Remedy::SetTokenForMore => {
            "Set GITHUB_TOKEN, or log in with `gh auth login`: with a token the limit is 5000 requests an hour."
        }
        Remedy::SetToken => "Set GITHUB_TOKEN, or log in with `gh auth login`.",
        Remedy::ReplaceToken => {
            "Replace the token: it may have expired. Public releases need none."
        }
        Remedy::WidenToken => "Use a token that may read this repository's contents and actions.",
        Remedy::CheckName {
            authenticated: false,
        } => "Check the name. If the repository is private, set GITHUB_TOKEN.",
        Remedy::CheckName {
            authenticated: true,
        } => "Check the name, and that the token may read this repository.",
        Remedy::SecureApiAddress => {
            "Set STACK_EMULATOR_GITHUB_API to an https address, or unset the token."
        }
        Remedy::CorrectApiAddress => {
            "Set STACK_EMULATOR_GITHUB_API to the address of a GitHub REST API, or unset it."
        }
        Remedy::InstallCertificates => {
            "Check that the system's certificates are installed (package ca-certificates), and that SSL_CERT_FILE \
             and SSL_CERT_DIR, if set, name some."
        }
        // macOS asks its keychain and no variable.
        Remedy::TrustAuthority if cfg!(target_vendor = "apple") => {
            "If a proxy or mirror has a certificate of your company's own authority, add that authority to the \
             keychain and trust it there."
        }
        Remedy::TrustAuthority => {
            "If a proxy or mirror has a certificate of your company's own authority, add that authority to the \
             system's (update-ca-certificates), or set SSL_CERT_FILE to a PEM file of all trusted authorities."
        }
        Remedy::CheckClock => {
            "Check this computer's clock. If it is right, tell the operator of that host."
        }
        Remedy::NameConfigFile => "Name the config file with --config-file FILE.",
        Remedy::CorrectConfigFile => {
            "The file must export a plain object as `config`, and be readable by you."
        }
        Remedy::NameLinkTarget => "Name the file that the link leads to.",
        Remedy::RenameFolder => "Rename it, or move the project to another folder.",
        Remedy::UseProjectFolder => "Put the config file into a folder of its own project.",
        Remedy::UnshareFolder => {
            "See `stack-emulator folders list`, and stop sharing one with `stack-emulator folders remove`."
        }
        Remedy::ListFolders => "See the shared folders with `stack-emulator folders list`.",
        Remedy::CloseFolder => {
            "A program in the virtual machine is using it: try again, or stop the emulator."
        }
        Remedy::ReinstallQemu => "Reinstall QEMU with its firmware files.",
        Remedy::EnableNesting => {
            "If this host is a virtual machine, enable nested virtualization on its own host, then run \
             `stack-emulator doctor --probe-again`."
        }
        Remedy::FreeDiskSpaceAndContinue => {
            "Free disk space, then run `stack-emulator start` to continue."
        }
        Remedy::Continue => "Run `stack-emulator start` to continue.",
        Remedy::StopAfterFault => {
            "`stack-emulator logs --qemu` may show why; run `stack-emulator stop`, then `start`."
        }
        Remedy::StartAfterCrash => {
            "Run `stack-emulator start` to boot from the session's disk; `stack-emulator logs --qemu` may show why."
        }
        Remedy::RotateOnceStored => {
            "Once the check above is ok, run `stack-emulator secrets rotate` to store new secrets there."
        }
        Remedy::NoneNextCommandCleansUp => "No action needed: the next command cleans up.",
        Remedy::NoneFileIsPrivate => {
            "No action needed: only you can read the file, and it is gone after a restart. Containers often forbid \
             keyrings."
        }
        Remedy::NoneNextStartTakesSnapshot => {
            "No action needed: the next start without a saved session takes a new snapshot."
        }
        Remedy::CopyArchiveAgain => {
            "Copy the file again, or take a snapshot here with `stack-emulator capture`."
        }
        Remedy::TakeSnapshotInstead => "Take a snapshot here with `stack-emulator capture`.",
        Remedy::MatchArchive => {
            "Make these the same, or take a snapshot here with `stack-emulator capture`."
        }
        Remedy::OtherArchiveFile => "Wait for it, or write to another file.",
        Remedy::InstallQemu { how } => {
            return format!("{how} `stack-emulator doctor --fix` offers to do it.");
        }
        Remedy::StopInstance { instance } => {
            return format!("Run `stack-emulator stop --instance {instance}` first.");
        }
        Remedy::DeleteInstance { instance } => {
            return format!(
                "Choose another name, or delete it with `stack-emulator delete {instance}`."
            );
        }
        Remedy::DeleteCheckpoint { checkpoint } => {
            return format!(
                "Choose another name, or delete it with `stack-emulator checkpoint delete {checkpoint}`."
            );
        }
        Remedy::WaitLonger { variable } => {
            return format!(
                "See `stack-emulator logs`. If this host is slow, allow more time with {variable}."
            );
        }
        Remedy::FreeDiskSpace { folder, continues } => {
            return free_disk_space(folder.as_deref(), *continues);
        }
        Remedy::CheckOwner { folder } => {
            return format!("Check that you own {folder} and can read and write in it.");
        }
        Remedy::UsePrivateFolder { folder, variable } => {
            return format!(
                "Remove {folder}, or set {variable} to a folder that only you can use."
            );
        }
        Remedy::MoveAway { file, loss } => {
            return format!("Move {file} away: {}.", consequence(*loss));
        }
        Remedy::UseItsVersion { file, loss } => {
            return format!(
                "Use the version of Stack Emulator that wrote it, or move {file} away: {}.",
                consequence(*loss)
            );
        }
        Remedy::RaiseWatchLimit { parameter } => {
            return format!(
                "Close programs that watch many files, or raise the limit: sysctl {parameter}."
            );
        }
        Remedy::RaiseLimit { commands } => return raise_limit(commands),
        Remedy::FreePorts { ports } => {
            return format!(
                "Stop that process, or take the next free ports: `stack-emulator start --ports auto`. To choose one: {}.",
                port_commands(ports.iter().map(|used| used.service.as_str()), ", ")
            );
        }
        Remedy::ChangePorts { services } => {
            return format!(
                "Change one of the ports: {}.",
                port_commands(services.iter().map(String::as_str), " or ")
            );
        }
        Remedy::LowerPortPrefix { variable } => {
            return format!("Set {variable} to a smaller number, or unset it.");
        }
        Remedy::GiveMore { variable, setting } => {
            return format!(
                "Raise it with `stack-emulator settings set {setting} VALUE`, or raise or unset {variable}."
            );
        }
        Remedy::UseEmulation { variable } => {
            return format!(
                "Unset {variable}, or set it to `tcg` (software emulation works everywhere)."
            );
        }
        Remedy::UnlockKeychainOrUseMemory { variable } => {
            return format!(
                "Unlock your keychain, or set {variable} to a folder in memory (tmpfs)."
            );
        }
        Remedy::ReleaseImage { holds } => return release(holds),
        Remedy::PullStarter { repository } => {
            return format!(
                "Run `stack-emulator pull --repo {}` to pull the starter image{}.",
                repository.as_deref().unwrap_or("OWNER/NAME"),
                if repository.is_some() {
                    " of Stack Emulator"
                } else {
                    " from the repository that releases Stack Emulator"
                }
            );
        }
        Remedy::CorrectVariable { variable } => return format!("Correct {variable}, or unset it."),
        Remedy::UseFastest {
            variable,
            accelerator,
        } => return format!("Unset {variable} to use {accelerator}."),
        Remedy::UseHostArchitecture { variable } => {
            return format!("Unset {variable} to use an image of this host's architecture.");
        }
        Remedy::EnableAccelerator { accelerator } => {
            return format!(
                "Make {accelerator} available if this host has it, then run `stack-emulator doctor --probe-again`."
            );
        }
        Remedy::ProbeAgain { accelerator } => {
            return format!(
                "Run `stack-emulator doctor --probe-again` to test {accelerator} again."
            );
        }
        Remedy::FreeDiskSpaceForSnapshot { most_mib, variable } => {
            return format!(
                "A snapshot and a saved session can take up to {} more: free disk space, or lower {variable}.",
                emulator::quantity::bytes(u64::from(*most_mib) << 20)
            );
        }
    };
    fixed.to_owned()
}

/// Limits that a shell sets, or what else uses them up.
fn raise_limit(commands: &[String]) -> String {
    if commands.is_empty() {
        return "Close other programs, or use a shell or container with fewer limits.".to_owned();
    }
    let commands: Vec<_> = commands
        .iter()
        .map(|command| format!("`{command}`"))
        .collect();
    format!(
        "Raise the limit ({}), or close other programs.",
        commands.join(", ")
    )
}

/// Where space is needed, and what else helps.
fn free_disk_space(folder: Option<&str>, continues: bool) -> String {
    const PRUNE: &str = "Free disk space, for instance with `stack-emulator images prune`,";
    match (folder, continues) {
        (Some(folder), _) => format!("Free disk space in {folder}, or choose another place."),
        (None, true) => format!("{PRUNE} then try again: it continues where it stopped."),
        (None, false) => format!(
            "{PRUNE} or set {} to a folder on another disk.",
            emulator::variables::HOME
        ),
    }
}

/// The commands that set the services' ports.
fn port_commands<'a>(services: impl Iterator<Item = &'a str>, between: &str) -> String {
    let commands: Vec<_> = services
        .map(|service| format!("`stack-emulator settings set port.{service} PORT`"))
        .collect();
    commands.join(between)
}

/// How to have nothing use an image.
fn release(holds: &[ImageHold]) -> String {
    let way = |hold: &ImageHold| {
        let delete = if hold.checkpoints {
            let option = hold.instance.as_ref();
            let option = option.map_or_else(String::new, |name| format!(" --instance {name}"));
            format!("`stack-emulator checkpoint delete NAME{option}`, then ")
        } else {
            String::new()
        };
        let option = hold
            .instance
            .as_ref()
            .map_or_else(String::new, |name| format!(" --instance {name}"));
        let discard = if hold.session {
            format!("`stack-emulator stop --discard{option}`, then ")
        } else {
            String::new()
        };
        format!("{delete}{discard}`stack-emulator images use OTHER{option}` (or `--none`)")
    };
    let ways: Vec<_> = holds.iter().map(way).collect();
    let warning = if holds.iter().any(|hold| hold.session) {
        " `--discard` deletes that session's data."
    } else {
        ""
    };
    format!("To free it: {}.{warning}", ways.join("; "))
}

/// What a record's absence means.
const fn consequence(loss: Loss) -> &'static str {
    match loss {
        Loss::SelectedImage => "only the selected image is lost, none of the emulator's data",
        Loss::Machine => "a virtual machine that still runs is ended, and its disk is kept",
        Loss::Nothing => "it is created again from the session's disk",
        Loss::Memory => "the session's disk is booted, and no data is lost",
        Loss::SharedFolders => "the shared folders are lost, and can be shared again",
        Loss::Projects => "the list of projects is lost",
        Loss::Secrets => "the secrets are lost, and the next start creates new ones",
        Loss::Checkpoint => "the checkpoint is lost",
        Loss::Snapshot => "`stack-emulator capture` takes a new snapshot",
        Loss::Settings => "the default settings apply",
        Loss::Content => "its content is lost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deleted_on_the_way_is_said() {
        let hold = |session| ImageHold {
            instance: Some("two".into()),
            session,
            checkpoints: false,
        };
        let text = words(&Remedy::ReleaseImage {
            holds: vec![hold(false)],
        });
        assert_eq!(
            text,
            "To free it: `stack-emulator images use OTHER --instance two` (or `--none`)."
        );
        let text = words(&Remedy::ReleaseImage {
            holds: vec![hold(true)],
        });
        assert!(
            text.contains("stop --discard --instance two`, then"),
            "{text}"
        );
        assert!(text.ends_with("deletes that session's data."), "{text}");
    }

    #[test]
    fn the_starter_s_repository_is_named_where_it_is_known() {
        let words = |repository: Option<&str>| {
            words(&Remedy::PullStarter {
                repository: repository.map(str::to_owned),
            })
        };
        assert_eq!(
            words(Some("a/b")),
            "Run `stack-emulator pull --repo a/b` to pull the starter image of Stack Emulator."
        );
        assert_eq!(
            words(None),
            "Run `stack-emulator pull --repo OWNER/NAME` to pull the starter image from the repository that releases \
             Stack Emulator."
        );
    }

    #[test]
    fn names_and_numbers_are_part_of_the_words() {
        let ports = vec![emulator::UsedPort {
            port: 26700,
            service: "dashboard".into(),
        }];
        assert_eq!(
            words(&Remedy::FreePorts { ports }),
            "Stop that process, or take the next free ports: `stack-emulator start --ports auto`. \
             To choose one: `stack-emulator settings set port.dashboard PORT`."
        );
        let remedy = Remedy::MoveAway {
            file: "/x/secrets.json".into(),
            loss: Loss::Secrets,
        };
        assert_eq!(
            words(&remedy),
            "Move /x/secrets.json away: the secrets are lost, and the next start creates new ones."
        );
    }
}
