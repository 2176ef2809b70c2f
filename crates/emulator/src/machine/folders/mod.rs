//! Folders of the host inside the guest: only those of config files that the
//! user named, each as a 9p device of its own, mounted at `/host/<its path>`.
//!
//! ```text
//! name        the folder exists, is the user's to share, and is neither the home
//!             folder nor anything around it
//! record      session/folders.json, so that the command after a kill continues
//! plug        a symbolic link in the instance folder leads to it for as long as
//!             QEMU takes to open it; then `device_add` on a reserved root port
//! look        what QEMU has opened is what was named, and is recorded as that
//! mount       by the guest agent, with plain `mkdir` and `mount`, as published
//!             images have them
//! ```
//!
//! A mounted folder keeps a machine from being saved, so all are unmounted and
//! unplugged before a stop saves the session, and are there again when the
//! session goes on. They belong to the session: a dropped one takes them along.
//!
//! On the host, QEMU opens nothing by following a link inside the folder: links
//! reach the guest as links and mean the guest's own files there. What the guest
//! writes belongs to the user that QEMU runs as.

mod attach;
mod name;

use std::path::{Path, PathBuf};

use failure::{Code, Remedy};
use qemu::{Monitor, Share, Sockets};
use serde::{Deserialize, Serialize};

use crate::config::paths::SlotPaths;
use crate::config::variables::Settings;
use crate::machine::MONITOR_LIMIT;
use crate::machine::error::MachineError as Error;
use crate::machine::guest::GuestError;
use crate::machine::spec::SHARED_SLOTS;
use progress::{Event, Reporter};
use record::{Durability, Record};

use attach::Attachment;
use name::Identity;
pub use name::{CONFIG_FILES, ConfigFile, NamedFolder, UsualConfigFile};

/// Why a folder cannot be shared, or its sharing not be ended.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The config file or the folder is not there.
    #[error("there is no {what} {}", path.display())]
    NotThere {
        /// `config file` or `folder`.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A folder has no config file under a usual name.
    #[error("there is no config file in {}: neither {} nor {}", folder.display(), CONFIG_FILES[0], CONFIG_FILES[1])]
    NoConfigFile {
        /// The folder.
        folder: PathBuf,
    },
    /// It is something else.
    #[error("{} is not a {what}", path.display())]
    WrongKind {
        /// `regular file` or `folder`.
        what: &'static str,
        /// What was named.
        path: PathBuf,
    },
    /// The guest is told paths as text.
    #[error("the path {} is not UTF-8", path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// The config file is a link out of its folder, which is all that is shared.
    #[error("the config file {} is a link to {}, outside of its folder", path.display(), target.display())]
    LeadsOut {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// It contains more than a project's files.
    #[error("the folder {} may not be shared with the emulator: {reason}", path.display())]
    Refused {
        /// The folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It is another folder than the one that was named.
    #[error("the folder {} was replaced by another one since it was named", path.display())]
    Replaced {
        /// The folder.
        path: PathBuf,
    },
    /// All root ports are taken.
    #[error("{SHARED_SLOTS} folders are shared already, and no more can be")]
    NoSlot,
    /// It is not shared.
    #[error("the folder {} is not shared", path.display())]
    NotShared {
        /// The folder.
        path: PathBuf,
    },
    /// The link for QEMU cannot be made.
    #[error("cannot make the link {}", path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// QEMU does not open or close it.
    #[error("QEMU cannot {action} the folder {}", path.display())]
    Device {
        /// `share`, `look for` or `stop sharing`.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: Box<qemu::QmpError>,
    },
    /// The guest cannot be asked.
    #[error("the guest cannot {action} the folder {}", path.display())]
    Guest {
        /// `mount` or `unmount`.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the agent said.
        #[source]
        source: Box<GuestError>,
    },
    /// The guest tried and failed.
    #[error("the guest cannot {action} the folder {}: {said}", path.display())]
    GuestRefused {
        /// `mount` or `unmount`.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// The guest's words.
        said: String,
    },
}

impl ShareError {
    /// A stable code for programs.
    pub const fn code(&self) -> Code {
        match self {
            Self::NotThere { .. }
            | Self::NoConfigFile { .. }
            | Self::WrongKind { .. }
            | Self::LeadsOut { .. } => Code::ConfigFile,
            Self::Refused { .. } | Self::NotUtf8 { .. } => Code::FolderRefused,
            Self::NotShared { .. } => Code::NotShared,
            Self::NoSlot => Code::TooManyFolders,
            Self::Replaced { .. }
            | Self::Link { .. }
            | Self::Device { .. }
            | Self::Guest { .. }
            | Self::GuestRefused { .. } => Code::FolderShare,
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NotThere { .. } | Self::NoConfigFile { .. } | Self::WrongKind { .. } => {
                Remedy::NameConfigFile
            }
            Self::NotUtf8 { .. } => Remedy::RenameFolder,
            Self::LeadsOut { .. } => Remedy::NameLinkTarget,
            Self::Refused { .. } => Remedy::UseProjectFolder,
            Self::Replaced { .. } => Remedy::Retry,
            Self::NoSlot => Remedy::UnshareFolder,
            Self::NotShared { .. } => Remedy::ListFolders,
            Self::GuestRefused {
                action: "unmount", ..
            } => Remedy::CloseFolder,
            Self::Link { .. }
            | Self::Device { .. }
            | Self::Guest { .. }
            | Self::GuestRefused { .. } => return None,
        })
    }
}

/// A folder that the guest sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFolder {
    /// Which root port it is plugged into.
    pub(crate) slot: u8,
    /// The folder on the host: absolute, without links.
    pub path: String,
    /// What QEMU has opened for it, noted once that was looked at. A device in the
    /// slot without this, or with another one, is not this folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opened: Option<Identity>,
}

impl SharedFolder {
    /// Where the guest has it.
    pub fn guest_path(&self) -> String {
        format!("/host{}", self.path)
    }

    fn covers(&self, path: &str) -> bool {
        Path::new(path).starts_with(&self.path)
    }
}

/// `session/folders.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SharedFolders {
    folders: Vec<SharedFolder>,
}

impl Record for SharedFolders {
    const FORMAT: &'static str = "stack-emulator-folders";
    const VERSION: u32 = 1;
}

/// What has to change so that a folder is visible in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Plan {
    /// It is, by itself or as part of this one.
    Covered(SharedFolder),
    /// These lie in it and would be hidden: they go first, then it comes.
    Replace {
        inside: Vec<SharedFolder>,
        new: SharedFolder,
    },
}

fn plan(shared: &[SharedFolder], path: &str) -> Result<Plan, ShareError> {
    if let Some(folder) = shared.iter().find(|folder| folder.covers(path)) {
        return Ok(Plan::Covered(folder.clone()));
    }
    let (inside, others): (Vec<_>, Vec<_>) = shared
        .iter()
        .cloned()
        .partition(|folder| Path::new(&folder.path).starts_with(path));
    let taken = |slot: &u8| others.iter().any(|folder| folder.slot == *slot);
    let slot = (0..SHARED_SLOTS)
        .find(|slot| !taken(slot))
        .ok_or(ShareError::NoSlot)?;
    let path = path.to_owned();
    Ok(Plan::Replace {
        inside,
        new: SharedFolder {
            slot,
            path,
            opened: None,
        },
    })
}

/// The share devices' other ends, for the command line of a session's machine.
pub(crate) fn shares(paths: &SlotPaths) -> Vec<Share> {
    let share = |slot| Share {
        id: attach::tag(slot),
        path: paths.share_link(slot),
        read_only: false,
    };
    (0..SHARED_SLOTS).map(share).collect()
}

/// Makes `folder` visible in the guest of the machine in the slot at `paths`.
pub(crate) async fn share(
    paths: &SlotPaths,
    settings: &Settings,
    sockets: &Sockets,
    folder: &NamedFolder,
) -> Result<(), Error> {
    let monitor = monitor(sockets).await?;
    let done = share_by(paths, settings, &monitor, sockets, folder).await;
    monitor.close().await;
    done
}

async fn share_by(
    paths: &SlotPaths,
    settings: &Settings,
    monitor: &Monitor,
    sockets: &Sockets,
    folder: &NamedFolder,
) -> Result<(), Error> {
    let attachment = &mut Attachment::new(paths, sockets);
    let mut shared = read(paths)?;
    match plan(&shared, &folder.path)? {
        Plan::Covered(by) => {
            let around = if by.path == folder.path {
                folder.clone()
            } else {
                NamedFolder::again(&by.path, settings)?
            };
            attach(paths, monitor, attachment, &mut shared, &by, &around).await
        }
        Plan::Replace { inside, new } => {
            for hidden in &inside {
                attachment.detach(monitor, hidden).await?;
                shared.retain(|folder| folder != hidden);
                write(paths, shared.clone())?;
            }
            shared.push(new.clone());
            write(paths, shared.clone())?;
            let attached = attach(paths, monitor, attachment, &mut shared, &new, folder).await;
            if let Err(error) = attached {
                // One that cannot be taken apart stays in the record: nothing
                // else gets its slot, and a stop tries again.
                match attachment.detach(monitor, &new).await {
                    Ok(()) => {
                        shared.retain(|folder| folder.slot != new.slot);
                        write(paths, shared)?;
                    }
                    Err(left) => tracing::debug!(%left, "a folder stays half-attached"),
                }
                return Err(error);
            }
            Ok(())
        }
    }
}

/// Takes the folder that a user calls `path` back from the guest of the machine that is reached by
/// `sockets`, if there is one, and from the record.
pub(crate) async fn unshare(
    paths: &SlotPaths,
    sockets: Option<&Sockets>,
    path: &Path,
) -> Result<(), Error> {
    let mut shared = read(paths)?;
    let Some(at) = position(&shared, path) else {
        let path = path.to_owned();
        return Err(ShareError::NotShared { path }.into());
    };
    if let Some(sockets) = sockets {
        let monitor = monitor(sockets).await?;
        let detached = Attachment::new(paths, sockets)
            .detach(&monitor, &shared[at])
            .await;
        monitor.close().await;
        detached?;
    }
    shared.remove(at);
    write(paths, shared)
}

/// Makes `folder`, one of `shared`, visible in the guest, if what is at its path is
/// what was `named`.
async fn attach(
    paths: &SlotPaths,
    monitor: &Monitor,
    attachment: &mut Attachment<'_>,
    shared: &mut [SharedFolder],
    folder: &SharedFolder,
    named: &NamedFolder,
) -> Result<(), Error> {
    let plugged = attachment.is_plugged(monitor, folder).await?;
    if !plugged || folder.opened != Some(named.identity) {
        if plugged {
            // Another folder, or one that nobody has looked at yet.
            attachment.detach(monitor, folder).await?;
        }
        // The record is never ahead of QEMU.
        note_opened(paths, shared, folder.slot, None)?;
        attachment.plug(monitor, folder, named).await?;
        note_opened(paths, shared, folder.slot, Some(named.identity))?;
    }
    Ok(attachment.mount(folder).await?)
}

fn note_opened(
    paths: &SlotPaths,
    shared: &mut [SharedFolder],
    slot: u8,
    opened: Option<Identity>,
) -> Result<(), Error> {
    match shared.iter_mut().find(|folder| folder.slot == slot) {
        Some(folder) if folder.opened != opened => folder.opened = opened,
        Some(_) | None => return Ok(()),
    }
    write(paths, shared.to_vec())
}

/// Where a folder is among those shared, by what a user calls it. The folder itself
/// may be gone by now, or a link may be in its place: its name is what counts.
fn position(shared: &[SharedFolder], path: &Path) -> Option<usize> {
    let absolute = std::path::absolute(path).ok();
    let by_name = absolute.as_deref().and_then(|path| {
        let parent = path.parent()?.canonicalize().ok()?;
        Some(parent.join(path.file_name()?))
    });
    let names = [by_name, path.canonicalize().ok(), absolute];
    names
        .iter()
        .flatten()
        .find_map(|name| shared.iter().position(|f| Path::new(&f.path) == name))
}

async fn monitor(sockets: &Sockets) -> Result<Monitor, Error> {
    let connected = Monitor::connect(sockets, MONITOR_LIMIT).await;
    let (monitor, _) = connected.map_err(|source| Error::Unreachable { source })?;
    Ok(monitor)
}

/// Attaches all folders of a session that goes on, if they still are what the user
/// named. One that cannot be is no failure of the start: it is dropped, with a warning.
pub(crate) async fn attach_all(
    paths: &SlotPaths,
    settings: &Settings,
    monitor: &Monitor,
    sockets: &Sockets,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let shared = read(paths)?;
    if shared.is_empty() {
        return Ok(());
    }
    let mut attachment = Attachment::new(paths, sockets);
    let mut kept = shared.clone();
    for folder in &shared {
        let attached = match NamedFolder::again(&folder.path, settings) {
            Ok(named) => attach(paths, monitor, &mut attachment, &mut kept, folder, &named).await,
            Err(error) => Err(error.into()),
        };
        let Err(error) = attached else { continue };
        let why = failure::chain(&error);
        let text = format!("A folder is not shared any more: {why}.");
        reporter.report(Event::Warning(&text));
        match attachment.detach(monitor, folder).await {
            Ok(()) => {
                kept.retain(|kept| kept.slot != folder.slot);
                write(paths, kept.clone())?;
            }
            // It stays in the record, so that nothing else gets its slot.
            Err(left) => {
                let text = format!(
                    "A folder could not be taken back: {}.",
                    failure::chain(&left)
                );
                reporter.report(Event::Warning(&text));
            }
        }
    }
    Ok(())
}

/// Detaches all folders of a machine that is about to be saved.
pub(crate) async fn detach_all(
    paths: &SlotPaths,
    monitor: &Monitor,
    sockets: &Sockets,
) -> Result<(), Error> {
    let shared = read(paths)?;
    let mut attachment = Attachment::new(paths, sockets);
    for folder in &shared {
        attachment.detach(monitor, folder).await?;
    }
    Ok(())
}

/// The folders of the slot's session.
pub(crate) fn read(paths: &SlotPaths) -> Result<Vec<SharedFolder>, record::RecordError> {
    let record: Option<SharedFolders> = record::read_optional(&paths.session().folders())?;
    Ok(record.unwrap_or_default().folders)
}

fn write(paths: &SlotPaths, folders: Vec<SharedFolder>) -> Result<(), Error> {
    let path = paths.session().folders();
    Ok(record::write(
        &path,
        &SharedFolders { folders },
        Durability::PowerCut,
    )?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shared(paths: &[&str]) -> Vec<SharedFolder> {
        let folder = |(slot, path): (usize, &&str)| SharedFolder {
            slot: u8::try_from(slot).unwrap(),
            path: (*path).to_owned(),
            opened: None,
        };
        paths.iter().enumerate().map(folder).collect()
    }

    #[test]
    fn what_lies_in_a_shared_folder_is_there_already() {
        let all = shared(&["/a/b", "/c"]);
        assert_eq!(plan(&all, "/a/b").unwrap(), Plan::Covered(all[0].clone()));
        assert_eq!(plan(&all, "/c/d").unwrap(), Plan::Covered(all[1].clone()));
    }

    #[test]
    fn what_a_new_folder_would_hide_goes_first() {
        let all = shared(&["/a/b", "/c", "/a/d"]);
        let Plan::Replace { inside, new } = plan(&all, "/a").unwrap() else {
            panic!()
        };
        assert_eq!(inside, [all[0].clone(), all[2].clone()]);
        assert_eq!((new.slot, new.path.as_str()), (0, "/a"));
        // `/a/bc` does not lie in `/a/b`.
        let Plan::Replace { inside, new } = plan(&all, "/a/bc").unwrap() else {
            panic!()
        };
        assert!(inside.is_empty());
        assert_eq!(new.slot, 3);
    }

    #[test]
    fn there_are_only_so_many() {
        let names = ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7"];
        let all = shared(&names);
        assert!(matches!(plan(&all, "/8"), Err(ShareError::NoSlot)));
        assert!(plan(&all[..7], "/8").is_ok());
    }

    proptest! {
        #[test]
        fn no_two_folders_share_a_slot_or_hide_each_other(
            names in prop::collection::vec("(/[ab]{1,2}){1,3}", 0..20),
        ) {
            let mut all: Vec<SharedFolder> = Vec::new();
            for name in &names {
                match plan(&all, name) {
                    Ok(Plan::Covered(by)) => prop_assert!(all.contains(&by)),
                    Ok(Plan::Replace { inside, new }) => {
                        all.retain(|folder| !inside.contains(folder));
                        all.push(new);
                    }
                    Err(_) => prop_assert_eq!(all.len(), usize::from(SHARED_SLOTS)),
                }
                for (at, one) in all.iter().enumerate() {
                    for other in &all[at + 1..] {
                        prop_assert_ne!(one.slot, other.slot);
                        prop_assert!(!one.covers(&other.path) && !other.covers(&one.path));
                    }
                }
            }
        }
    }
}
