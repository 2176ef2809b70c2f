//! Answers kept with their `ETag`.
//!
//! GitHub counts no request that it answers with 304, so what was listed
//! before costs nothing to list again. A kept answer is only ever used after
//! the server has said, to the token in use now, that it is still right.

use std::path::{Path, PathBuf};

use record::Durability;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::Sha256Digest;

/// Answers kept; the oldest goes first.
const MAX_ANSWERS: usize = 64;
const VERSION: u32 = 1;
/// Longest answer that is read again, in bytes.
const LONGEST: u64 = 64 << 20;

/// The folder with the answers.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

/// One answer.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    url: String,
    pub(super) etag: String,
    pub(super) has_next: bool,
    pub(super) body: String,
}

impl Cache {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, url: &Url) -> PathBuf {
        let digest = Sha256Digest::of(url.as_str().as_bytes());
        self.folder.join(format!("{digest}.json"))
    }

    /// The answer kept for `url`. One that cannot be read is as good as none:
    /// the server is asked in any case.
    pub(super) fn get(&self, url: &Url) -> Option<Kept> {
        let bytes = record::regular::read(&self.path(url), LONGEST).ok()?;
        serde_json::from_slice(&bytes)
            .ok()
            .filter(|kept: &Kept| kept.version == VERSION && kept.url == url.as_str())
    }

    /// Keeps an answer.
    pub(super) fn put(
        &self,
        url: &Url,
        etag: &str,
        has_next: bool,
        body: &str,
    ) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let kept = Kept {
            version: VERSION,
            url: url.as_str().to_owned(),
            etag: etag.to_owned(),
            has_next,
            body: body.to_owned(),
        };
        // Mode 0600: a private repository's answers are nobody else's business.
        let kept = serde_json::to_vec(&kept)?;
        // Not synced: an answer that is lost is asked for again.
        record::replace(&self.path(url), &kept, Durability::ThisBoot)?;
        self.shrink()
    }

    fn shrink(&self) -> std::io::Result<()> {
        let mut answers = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another process may be removing the same.
            if let Ok(modified) = entry.metadata().and_then(|meta| meta.modified()) {
                answers.push((modified, entry.path()));
            }
        }
        answers.sort();
        let surplus = answers.len().saturating_sub(MAX_ANSWERS);
        for (_, path) in &answers[..surplus] {
            remove(path)?;
        }
        Ok(())
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(n: usize) -> Url {
        Url::parse(&format!("https://api.example/{n}")).unwrap()
    }

    #[test]
    fn keeps_an_answer_and_not_more_than_it_should() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("github"));
        assert!(cache.get(&url(0)).is_none());
        for n in 0..MAX_ANSWERS + 9 {
            cache.put(&url(n), "\"e\"", true, "[]").unwrap();
        }
        let kept = cache.get(&url(MAX_ANSWERS + 8)).unwrap();
        assert_eq!((kept.etag.as_str(), kept.has_next), ("\"e\"", true));
        assert_eq!(
            std::fs::read_dir(&cache.folder).unwrap().count(),
            MAX_ANSWERS
        );
    }

    #[test]
    fn a_damaged_answer_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().to_owned());
        cache.put(&url(1), "\"e\"", false, "[]").unwrap();
        std::fs::write(cache.path(&url(1)), "{\"version\":1").unwrap();
        assert!(cache.get(&url(1)).is_none());
    }
}
