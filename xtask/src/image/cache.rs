//! Built images and base systems in the user's cache, each in a folder named by
//! its key. An entry is made beside its final place and renamed when complete,
//! so whatever is there under a key is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use images::Sha256Digest;
use tempfile::TempDir;

/// Base systems kept besides the one in use: they are large and quickly made again.
const KEPT_BASES: usize = 3;
const UNFINISHED: &str = ".unfinished-";

/// The cache, locked for this process.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    /// Held, not used: closing the file releases the lock, however we end.
    _lock: File,
}

/// What an entry holds, which is also the name of its folder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shelf {
    Bases,
    Images,
}

impl Shelf {
    fn name(self) -> &'static str {
        match self {
            Self::Bases => "bases",
            Self::Images => "images",
        }
    }
}

/// Where the entry of `key` is, if it is there. Needs no lock: entries appear whole.
pub(crate) fn find(dir: &Path, shelf: Shelf, key: Sha256Digest) -> Option<PathBuf> {
    let entry = dir.join(shelf.name()).join(key.to_string());
    entry.is_dir().then_some(entry)
}

impl Cache {
    /// Locks the cache at `dir` for a build, waiting for another build to end,
    /// and clears away what a killed one left.
    pub(crate) fn lock(dir: &Path) -> Result<Self> {
        for shelf in [Shelf::Bases, Shelf::Images] {
            let folder = dir.join(shelf.name());
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let path = dir.join("build.lock");
        let lock =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        if lock.try_lock().is_err() {
            eprintln!(
                "image: waiting for another build to end ({} is locked)",
                path.display()
            );
            lock.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        let cache = Self {
            dir: dir.to_owned(),
            _lock: lock,
        };
        for shelf in [Shelf::Bases, Shelf::Images] {
            cache.clear_unfinished(shelf)?;
        }
        Ok(cache)
    }

    /// See [`find`].
    pub(crate) fn find(&self, shelf: Shelf, key: Sha256Digest) -> Option<PathBuf> {
        find(&self.dir, shelf, key)
    }

    /// Tells this cache from those of other users and other settings of `XDG_CACHE_HOME`.
    pub(crate) fn id(&self) -> String {
        Sha256Digest::of(self.dir.as_os_str().as_encoded_bytes()).short()
    }

    /// Where the console of the last provisioning boot is kept.
    pub(crate) fn provision_log(&self) -> PathBuf {
        self.dir.join("provision.log")
    }

    fn shelf(&self, shelf: Shelf) -> PathBuf {
        self.dir.join(shelf.name())
    }

    fn clear_unfinished(&self, shelf: Shelf) -> Result<()> {
        for entry in list(&self.shelf(shelf))? {
            if entry
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED))
            {
                fs::remove_dir_all(&entry)
                    .with_context(|| format!("cannot remove {}", entry.display()))?;
            }
        }
        Ok(())
    }

    /// A folder in which an entry is made; gone when dropped without [`commit`](Self::commit).
    pub(crate) fn begin(&self, shelf: Shelf) -> Result<TempDir> {
        let folder = self.shelf(shelf);
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&folder)
            .with_context(|| format!("cannot create a folder in {}", folder.display()))
    }

    /// Puts the finished `entry` in its place, over an earlier one of the same key.
    pub(crate) fn commit(
        &self,
        shelf: Shelf,
        key: Sha256Digest,
        entry: TempDir,
    ) -> Result<PathBuf> {
        let place = self.shelf(shelf).join(key.to_string());
        let done = || -> std::io::Result<()> {
            for file in fs::read_dir(entry.path())? {
                File::open(file?.path())?.sync_all()?;
            }
            if place.exists() {
                // The old entry is moved into a folder that the next build clears, should we be
                // killed before it is gone.
                let old = self.shelf(shelf).join(format!("{UNFINISHED}old"));
                fs::rename(&place, &old)?;
                fs::rename(entry.path(), &place)?;
                fs::remove_dir_all(old)?;
            } else {
                fs::rename(entry.path(), &place)?;
            }
            File::open(self.shelf(shelf))?.sync_all()
        };
        done().with_context(|| format!("cannot put the finished build at {}", place.display()))?;
        // Renamed away: there is nothing left for it to remove.
        let _ = entry.keep();
        Ok(place)
    }

    /// Removes base systems other than `keep` and the few used last.
    pub(crate) fn prune_bases(&self, keep: &Path) -> Result<()> {
        let mut others = Vec::new();
        for entry in list(&self.shelf(Shelf::Bases))? {
            if entry != keep {
                let used = fs::metadata(&entry)
                    .and_then(|m| m.modified())
                    .unwrap_or(SystemTime::UNIX_EPOCH);
                others.push((used, entry));
            }
        }
        others.sort();
        others.truncate(others.len().saturating_sub(KEPT_BASES));
        for (_, entry) in others {
            fs::remove_dir_all(&entry)
                .with_context(|| format!("cannot remove {}", entry.display()))?;
        }
        Ok(())
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries: std::io::Result<Vec<_>> =
        fs::read_dir(folder).and_then(|items| items.map(|item| Ok(item?.path())).collect());
    entries.with_context(|| format!("cannot list {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Sha256Digest {
        Sha256Digest::of(text.as_bytes())
    }

    fn add(cache: &Cache, shelf: Shelf, name: &str, text: &str) -> PathBuf {
        let entry = cache.begin(shelf).unwrap();
        fs::write(entry.path().join("file"), text).unwrap();
        cache.commit(shelf, key(name), entry).unwrap()
    }

    #[test]
    fn an_entry_is_there_only_once_committed_and_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::lock(folder.path()).unwrap();
        let begun = cache.begin(Shelf::Images).unwrap();
        assert_eq!(find(folder.path(), Shelf::Images, key("a")), None);
        drop(begun);
        for text in ["one", "two"] {
            let place = add(&cache, Shelf::Images, "a", text);
            assert_eq!(
                find(folder.path(), Shelf::Images, key("a")),
                Some(place.clone())
            );
            assert_eq!(fs::read_to_string(place.join("file")).unwrap(), text);
        }
        assert_eq!(
            fs::read_dir(folder.path().join("images")).unwrap().count(),
            1
        );
    }

    #[test]
    fn what_a_killed_build_left_is_cleared_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::lock(folder.path()).unwrap();
        let left = cache.begin(Shelf::Bases).unwrap().keep();
        fs::write(left.join("disk.raw"), "half").unwrap();
        let whole = add(&cache, Shelf::Bases, "whole", "x");
        drop(cache);
        let _again = Cache::lock(folder.path()).unwrap();
        assert!(!left.exists());
        assert!(whole.exists());
    }

    #[test]
    fn the_lock_keeps_a_second_build_out() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::lock(folder.path()).unwrap();
        let second = File::open(folder.path().join("build.lock")).unwrap();
        assert!(second.try_lock().is_err());
        drop(cache);
        assert!(second.try_lock().is_ok());
    }

    #[test]
    fn few_base_systems_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::lock(folder.path()).unwrap();
        let bases: Vec<_> = (0..5u64)
            .map(|index| {
                let place = add(&cache, Shelf::Bases, &index.to_string(), "x");
                let when = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(index * 1000);
                File::open(&place).unwrap().set_modified(when).unwrap();
                place
            })
            .collect();
        cache.prune_bases(&bases[0]).unwrap();
        let left: Vec<_> = bases.iter().map(|base| base.exists()).collect();
        assert_eq!(left, [true, false, true, true, true]);
    }
}
