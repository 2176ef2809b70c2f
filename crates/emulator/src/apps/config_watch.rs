//! Following an app's config file: told when there is something else in it.
//!
//! Its folder is watched, since editors replace a file rather than write to it. What comes is compared with
//! what was there before, so that a file that was only saved again is no change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::error::AppsError as Error;
use super::projects::read_small;
use crate::logs::watches::Watches;

/// An editor writes in several steps, and a checkout replaces a file after it was gone; what comes within
/// this time is one change.
const SETTLE: Duration = Duration::from_millis(150);

/// A config file that is followed. Dropped, it is followed no more.
#[derive(Debug)]
pub struct ConfigWatch {
    path: PathBuf,
    /// What was in it; `None` if it could not be read.
    content: Option<Vec<u8>>,
    told: Arc<Notify>,
    _watches: Watches,
}

impl ConfigWatch {
    /// Begins to follow the file at `path`. A change after this call is told by [`changed`](Self::changed).
    ///
    /// # Errors
    ///
    /// [`WatchError`](crate::changes::WatchError): the system watches no more folders.
    pub fn begin(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // Where it is a link, what it leads to may change as well, or the link.
        let mut files = vec![path.clone()];
        files.extend(path.canonicalize());
        let names: Vec<_> = files
            .iter()
            .filter_map(|file| Some(file.file_name()?.to_owned()))
            .collect();
        let told = Arc::new(Notify::new());
        let teller = Arc::clone(&told);
        let mut watches = Watches::begin(move |event| {
            let concerns = event.is_err()
                || event.is_ok_and(|event| {
                    let named = |path: &PathBuf| {
                        names
                            .iter()
                            .any(|name| path.file_name() == Some(name.as_os_str()))
                    };
                    event.need_rescan() || event.paths.iter().any(named)
                });
            if concerns {
                teller.notify_one();
            }
        })?;
        let folders: Vec<_> = files
            .iter()
            .filter_map(|file| Some(file.parent()?.to_owned()))
            .collect();
        watches.renew(&folders)?;
        Ok(Self {
            // Watched before it is read, so that nothing falls in between.
            content: read_small(&path),
            path,
            told,
            _watches: watches,
        })
    }

    /// Waits until there is something else in the file, or it came or went. May be dropped and called again.
    pub async fn changed(&mut self) {
        loop {
            self.told.notified().await;
            tokio::time::sleep(SETTLE).await;
            let content = read_small(&self.path);
            if content != self.content {
                self.content = content;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_content_is_told_however_it_got_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stack.config.ts");
        std::fs::write(&file, "one").unwrap();
        let mut watch = ConfigWatch::begin(&file).unwrap();
        std::fs::write(&file, "two").unwrap();
        watch.changed().await;
        // As most editors do it.
        let beside = dir.path().join("new");
        std::fs::write(&beside, "three").unwrap();
        std::fs::rename(&beside, &file).unwrap();
        watch.changed().await;
        std::fs::remove_file(&file).unwrap();
        watch.changed().await;
        std::fs::write(&file, "three").unwrap();
        watch.changed().await;
        assert_eq!(watch.content.as_deref(), Some(&b"three"[..]));
    }

    #[tokio::test]
    async fn a_file_that_is_saved_again_and_one_beside_it_are_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stack.config.ts");
        std::fs::write(&file, "one").unwrap();
        let mut watch = ConfigWatch::begin(&file).unwrap();
        std::fs::write(&file, "one").unwrap();
        std::fs::write(dir.path().join("other.ts"), "two").unwrap();
        {
            let mut changed = std::pin::pin!(watch.changed());
            let waited = tokio::time::timeout(3 * SETTLE, &mut changed).await;
            assert!(waited.is_err(), "nothing has changed");
        }
        std::fs::write(&file, "two").unwrap();
        watch.changed().await;
    }

    #[tokio::test]
    async fn what_a_link_leads_to_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (
            dir.path().join("stack.config.ts"),
            dir.path().join("shared/config.ts"),
        );
        std::fs::create_dir(dir.path().join("shared")).unwrap();
        std::fs::write(&target, "one").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut watch = ConfigWatch::begin(&link).unwrap();
        std::fs::write(&target, "two").unwrap();
        watch.changed().await;
    }
}
