//! Tells when something that a shell shows may have changed, by any process.
//!
//! The folder is the truth and several processes act on it, so a shell that
//! stays open has to be told when it changed. The kernel tells: of files as
//! they are written, and of QEMU's end, after which no file changes. Nothing
//! is asked at intervals where the kernel can be waited for.
//!
//! What is told is that a part *may* have changed, never how: the shell
//! looks for himself, and may be told of nothing new.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host::{IdentityError, ProcessIdentity};
use notify::EventKind;
use notify::event::{AccessKind, AccessMode, ModifyKind};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use crate::logs::watches::WatchError;

use crate::instance::Emulator;
use crate::logs::watches::Watches;
use crate::observe::error::ObserveError as Error;

/// A record is written in several steps, and one command writes several; what
/// comes within this time is told once. Too short to be seen.
const SETTLE: Duration = Duration::from_millis(50);
/// A process is waited for by the kernel's word; the limit that this takes
/// only has to be renewed now and then.
const PROCESS_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// What [`Emulator::status`] and [`Emulator::glance`] tell.
    pub status: bool,
    /// What is installed, half pulled, or chosen.
    pub images: bool,
    /// The config files that were used, and the folders that are shared.
    pub projects: bool,
    /// What is set in `settings.json`.
    pub settings: bool,
    /// Which other instances there are, and what they do.
    pub instances: bool,
}

impl Changed {
    /// Nothing has.
    pub const NOTHING: Self = Self {
        status: false,
        images: false,
        projects: false,
        settings: false,
        instances: false,
    };
    /// Nothing is known to be as it was.
    pub const EVERYTHING: Self = Self {
        status: true,
        images: true,
        projects: true,
        settings: true,
        instances: true,
    };
    /// The instance, and nothing beside it.
    pub const STATUS: Self = Self {
        status: true,
        ..Self::NOTHING
    };

    /// What has changed in either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            status: self.status || other.status,
            images: self.images || other.images,
            projects: self.projects || other.projects,
            settings: self.settings || other.settings,
            instances: self.instances || other.instances,
        }
    }
}

/// The other instances, and nothing beside them.
const OTHERS: Changed = Changed {
    instances: true,
    ..Changed::NOTHING
};

/// What the kernel has told and nobody has heard yet.
#[derive(Debug, Default)]
struct News {
    changed: Changed,
    /// A folder came or went, so other ones have to be watched.
    folders: bool,
}

#[derive(Debug, Default)]
struct Shared {
    news: Mutex<News>,
    told: Notify,
}

impl Shared {
    fn tell(&self, changed: Changed, folders: bool) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        news.changed = news.changed.and(changed);
        news.folders |= folders;
        drop(news);
        self.told.notify_one();
    }

    fn is_quiet(&self) -> bool {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        news.changed == Changed::NOTHING && !news.folders
    }

    fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The changes of one instance and its home, from [`Emulator::changes`] on.
/// Dropped, it watches no more.
#[derive(Debug)]
pub struct Changes {
    emulator: Emulator,
    shared: Arc<Shared>,
    watches: Watches,
    process: Option<Waiting>,
}

/// A process whose end is waited for.
#[derive(Debug)]
struct Waiting {
    process: ProcessIdentity,
    task: JoinHandle<()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Emulator {
    /// Begins to watch the instance and its home, which need not be there yet.
    /// Whatever changes after this call is told by [`Changes::next`].
    ///
    /// Call it within a Tokio runtime.
    pub fn changes(&self) -> Result<Changes, Error> {
        let shared = Arc::<Shared>::default();
        let folders = Folders::of(self);
        let (teller, judge) = (Arc::clone(&shared), folders.clone());
        let watches = Watches::begin(move |event| match event {
            // Events were lost, or may have been.
            Err(_) => teller.tell(Changed::EVERYTHING, true),
            Ok(event) if event.need_rescan() => teller.tell(Changed::EVERYTHING, true),
            Ok(event) => {
                let mut news = News::default();
                for path in &event.paths {
                    let of_path = judge.judge(path, event.kind);
                    news.changed = news.changed.and(of_path.changed);
                    news.folders |= of_path.folders;
                }
                if news.changed != Changed::NOTHING || news.folders {
                    teller.tell(news.changed, news.folders);
                }
            }
        })?;
        let mut changes = Changes {
            emulator: self.clone(),
            shared,
            watches,
            process: None,
        };
        changes.watches.renew(&folders.to_watch())?;
        changes.wait_for_process()?;
        Ok(changes)
    }
}

impl Changes {
    /// Waits until something may have changed; what changed since the last
    /// call is told at once. May be dropped and called again: nothing is lost.
    ///
    /// New folders are watched from here, so it has to be called again soon.
    pub async fn next(&mut self) -> Result<Changed, Error> {
        loop {
            if self.shared.is_quiet() {
                self.shared.told.notified().await;
                continue;
            }
            // Begun at once, so that little happens unseen in a new folder.
            self.renew_watches()?;
            tokio::time::sleep(SETTLE).await;
            self.renew_watches()?;
            let News { changed, .. } = self.shared.take();
            if changed.status {
                self.wait_for_process()?;
            }
            if changed != Changed::NOTHING {
                return Ok(changed);
            }
        }
    }

    fn renew_watches(&mut self) -> Result<(), Error> {
        let folders = {
            let mut news = self
                .shared
                .news
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut news.folders)
        };
        if folders
            && self
                .watches
                .renew(&Folders::of(&self.emulator).to_watch())?
        {
            // What happened in a folder before it was watched was not seen.
            // Once more for folders, since a parent may have been made with it.
            self.shared.tell(Changed::EVERYTHING, true);
        }
        Ok(())
    }

    /// No file changes when QEMU ends by itself, so that is waited for.
    fn wait_for_process(&mut self) -> Result<(), Error> {
        let process = self.emulator.process()?;
        if self.process.as_ref().map(|waiting| &waiting.process) == process.as_ref() {
            return Ok(());
        }
        self.process = process.map(|process| {
            let (shared, waited_for) = (Arc::clone(&self.shared), process.clone());
            let task = tokio::spawn(async move {
                while let Err(IdentityError::StillThere { .. }) =
                    waited_for.wait_gone(PROCESS_WAIT).await
                {}
                // Also if the system would not say: then a look will.
                shared.tell(Changed::STATUS, false);
            });
            Waiting { process, task }
        });
        Ok(())
    }
}

/// The folders in which changes matter.
#[derive(Clone, Debug)]
struct Folders {
    home: PathBuf,
    images: PathBuf,
    references: PathBuf,
    incoming: PathBuf,
    instances: PathBuf,
    instance: PathBuf,
    ahead: PathBuf,
    snapshots: PathBuf,
}

impl Folders {
    fn of(emulator: &Emulator) -> Self {
        // Some systems tell of paths with symbolic links resolved.
        let home = resolved(emulator.home.path());
        let images = home.join("images");
        let instances = home.join("instances");
        let instance = instances.join(emulator.name.as_str());
        Self {
            references: images.join("references"),
            incoming: images.join("incoming"),
            snapshots: instance.join("snapshots"),
            ahead: instance.join("ahead"),
            home,
            images,
            instances,
            instance,
        }
    }

    /// Those that are there, and while the home is not, what it will be made in.
    ///
    /// Not among them: the session, whose disk is written all the time, and
    /// the logs. What matters there is changed under the instance's lock, whose
    /// release is seen.
    fn to_watch(&self) -> Vec<PathBuf> {
        let ours = [
            &self.home,
            &self.images,
            &self.references,
            &self.incoming,
            &self.instances,
            &self.instance,
            &self.ahead,
            &self.snapshots,
        ];
        if self.home.is_dir() {
            let others = self.others();
            ours.into_iter()
                .chain(&others)
                .filter(|folder| folder.is_dir())
                .cloned()
                .collect()
        } else {
            let there = self.home.ancestors().find(|folder| folder.is_dir());
            there.map(Path::to_owned).into_iter().collect()
        }
    }

    /// The folders of the other instances that there are now.
    fn others(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.instances).into_iter().flatten();
        let paths = entries.flatten().map(|entry| entry.path());
        paths.filter(|path| self.is_another(path)).collect()
    }

    /// Whether that is the folder of another instance. One on its way in or out has a name that begins with a dot.
    fn is_another(&self, folder: &Path) -> bool {
        let name = folder.file_name().and_then(|name| name.to_str());
        folder.parent() == Some(&self.instances)
            && *folder != self.instance
            && name.is_some_and(|name| !name.starts_with('.'))
    }

    /// What an event at `path` means.
    fn judge(&self, path: &Path, kind: EventKind) -> News {
        self.judge_told(path, kind, cfg!(target_os = "linux"))
    }

    /// The same, of a system that tells of the close of a file that was written to, or not. macOS does not; it
    /// tells of what was written when the file is closed (`vn_close` in its kernel), and some of that together.
    fn judge_told(&self, path: &Path, kind: EventKind, closes_are_told: bool) -> News {
        let written = kind == EventKind::Access(AccessKind::Close(AccessMode::Write))
            || !closes_are_told
                && matches!(
                    kind,
                    EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) | EventKind::Any
                );
        let came_or_went = matches!(
            kind,
            EventKind::Any
                | EventKind::Other
                | EventKind::Create(_)
                | EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Any | ModifyKind::Other)
        );
        let growing = matches!(kind, EventKind::Modify(ModifyKind::Data(_)));
        // Reading is no change, and neither are a file's times.
        if !written && !came_or_went && !growing {
            return News::default();
        }
        let ours = [
            &self.images,
            &self.references,
            &self.incoming,
            &self.instances,
            &self.instance,
            &self.ahead,
            &self.snapshots,
        ];
        if came_or_went
            && (self.home.starts_with(path) || ours.iter().any(|folder| *folder == path))
        {
            return News {
                changed: Changed::EVERYTHING,
                folders: true,
            };
        }
        if came_or_went && self.is_another(path) {
            return News {
                changed: OTHERS,
                folders: true,
            };
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return News::default();
        };
        let name = name.to_str().unwrap_or_default();
        // A file that is being written is looked at when it is whole.
        let whole = written || came_or_went;
        let changed = if parent == self.home {
            match name {
                // Ports and memory are part of what the status tells.
                "settings.json" if whole => Changed {
                    settings: true,
                    ..Changed::STATUS
                },
                _ => Changed::NOTHING,
            }
        } else if (parent == self.images || parent == self.references) && whole {
            // Without a choice of the user's, the newest image is what starts.
            Changed {
                images: true,
                ..Changed::STATUS
            }
        } else if parent == self.incoming && came_or_went {
            Changed {
                images: true,
                ..Changed::NOTHING
            }
        } else if parent == self.instance || parent == self.ahead {
            match name {
                // Written into when it is taken, closed when it is released.
                "lock" if written => Changed {
                    projects: true,
                    ..Changed::STATUS
                },
                "lock" | "idle" => Changed::STATUS,
                "run.json" | "secrets.json" | "session" if came_or_went => Changed::STATUS,
                "instance.json" if came_or_went => Changed {
                    images: true,
                    ..Changed::STATUS
                },
                "projects.json" if came_or_went => Changed {
                    projects: true,
                    ..Changed::NOTHING
                },
                _ => Changed::NOTHING,
            }
        } else if parent == self.snapshots && came_or_went {
            Changed::STATUS
        } else if self.is_another(parent) {
            match name {
                "lock" => OTHERS,
                "run.json" if came_or_went => OTHERS,
                _ => Changed::NOTHING,
            }
        } else {
            Changed::NOTHING
        };
        News {
            changed,
            folders: false,
        }
    }
}

/// `path` with the symbolic links in it resolved as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let known = path
        .ancestors()
        .find_map(|there| Some((there, there.canonicalize().ok()?)));
    match known {
        Some((there, real)) => match path.strip_prefix(there) {
            Ok(rest) if rest.as_os_str().is_empty() => real,
            Ok(rest) => real.join(rest),
            Err(_) => path.to_owned(),
        },
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
