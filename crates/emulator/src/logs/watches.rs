//! A set of watched folders that follows what is there.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use failure::Remedy;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

/// Folders cannot be watched for changes.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The system refused to watch any file.
    #[error("cannot watch files for changes")]
    Begin(#[source] notify::Error),
    /// It does not watch this folder.
    #[error("cannot watch {} for changes", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: notify::Error,
    },
}

impl WatchError {
    /// What to do about it, if anything helps.
    pub(crate) fn remedy(&self) -> Option<Remedy> {
        let (Self::Begin(source) | Self::Folder { source, .. }) = self;
        let parameter = match &source.kind {
            notify::ErrorKind::MaxFilesWatch => "fs.inotify.max_user_watches",
            notify::ErrorKind::Io(error)
                if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) =>
            {
                "fs.inotify.max_user_instances"
            }
            _ => return None,
        };
        Some(Remedy::RaiseWatchLimit { parameter })
    }
}

/// Tells one folder from another that takes its place.
type Identity = (u64, u64);

/// The kernel's watches on folders, each without what is below it.
#[derive(Debug)]
pub(crate) struct Watches {
    watcher: RecommendedWatcher,
    folders: BTreeMap<PathBuf, Identity>,
}

impl Watches {
    /// Watches nothing yet; `tell` is called in a thread of its own.
    pub(crate) fn begin(
        tell: impl Fn(notify::Result<notify::Event>) + Send + 'static,
    ) -> Result<Self, WatchError> {
        Ok(Self {
            watcher: notify::recommended_watcher(tell).map_err(WatchError::Begin)?,
            folders: BTreeMap::new(),
        })
    }

    /// Watches `folders` and no others; says whether there is a new one among
    /// them, or what happened meanwhile may not have been told: macOS has one
    /// stream for all folders, which is begun anew for each change of them. One
    /// that is gone by now is left out: its parent tells.
    pub(crate) fn renew(&mut self, folders: &[PathBuf]) -> Result<bool, WatchError> {
        let now: BTreeMap<_, _> = folders
            .iter()
            .filter_map(|folder| Some((folder.clone(), identity(folder)?)))
            .collect();
        for (folder, identity) in &self.folders {
            if now.get(folder) != Some(identity) {
                // The kernel lets go by itself of a folder that was removed,
                // so that it is unknown is no failure.
                let _ = self.watcher.unwatch(folder);
            }
        }
        let before = self.folders.len();
        self.folders
            .retain(|folder, identity| now.get(folder) == Some(identity));
        let mut news = cfg!(target_os = "macos") && self.folders.len() < before;
        for (folder, identity) in now {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    news = true;
                    self.folders.insert(folder, identity);
                }
                Err(_) if !folder.is_dir() => {}
                Err(source) => return Err(WatchError::Folder { folder, source }),
            }
        }
        Ok(news)
    }
}

fn identity(folder: &Path) -> Option<Identity> {
    let meta = std::fs::metadata(folder).ok()?;
    Some((meta.dev(), meta.ino()))
}
