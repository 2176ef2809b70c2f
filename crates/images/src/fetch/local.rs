//! A file of this computer: reflinked where the file system can, else copied,
//! so that what the user does with it later does not reach the store's.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use progress::{Phase, Running};
use record::regular;
use sha2::{Digest as _, Sha256};

use super::{Fetch, FetchError, Fetched, MAX_SMALL};
use crate::Sha256Digest;
use crate::claim::Lease;
use crate::download::{DownloadError, StopOnDrop};
use crate::source::names;
use crate::space::lacking;

const PIECE: usize = 1 << 20;

impl Fetch<'_> {
    pub(super) async fn local(&self, source: &Path) -> Result<Fetched, FetchError> {
        if source
            .extension()
            .is_some_and(|extension| extension == "zip")
        {
            // It stays where it is; only what is in it is brought here.
            return self.unpacked(source, false).await;
        }
        let arch = self.resolved.arch;
        let folder = self.claim.folder();
        let disk = folder.join(names::disk(arch));
        let (digest, bytes) = self.copy(source, &disk).await?;
        // The names that are looked for beside an image.
        let beside = |extension: &str, name: String| {
            small(&source.with_extension(extension), &folder.join(name))
        };
        let manifest = beside("json", names::manifest(arch))?;
        let base_env = beside("base.env", names::base_env(arch))?;
        Ok(Fetched {
            verified: self.check_manifest(manifest.as_deref(), digest)?,
            disk,
            manifest,
            base_env,
            snapshot_archive: None,
            digest,
            bytes,
            origin: self.resolved.origin.clone(),
            warnings: vec![],
            received: 0,
        })
    }

    async fn copy(&self, source: &Path, to: &Path) -> Result<(Sha256Digest, u64), FetchError> {
        let running = Running::begin(self.reporter, Phase::Copy);
        let total = self.resolved.bytes;
        let wanted_still = StopOnDrop::default();
        let stop = wanted_still.0.clone();
        let (reports, mut reported) = tokio::sync::watch::channel(0);
        let job = Copy {
            source: source.to_owned(),
            to: to.to_owned(),
            lease: self.claim.lease(),
        };
        let thread = tokio::task::spawn_blocking(move || {
            job.run(|done| {
                reports.send_replace(done);
                !stop.load(Ordering::Relaxed)
            })
        });
        // Ends when the thread drops the sender.
        while reported.changed().await.is_ok() {
            running.bytes(*reported.borrow_and_update(), total.unwrap_or(0));
        }
        thread.await.unwrap_or_else(|_| {
            Err(FetchError::file("copy", source)(io::Error::other(
                "the copying thread ended",
            )))
        })
    }
}

/// Copies a small file if it is there.
fn small(from: &Path, to: &Path) -> Result<Option<PathBuf>, FetchError> {
    let mut content = Vec::new();
    match regular::open(from) {
        Ok(file) => file.take(MAX_SMALL + 1).read_to_end(&mut content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    }
    .map_err(FetchError::file("read", from))?;
    if content.len() as u64 > MAX_SMALL {
        return Err(DownloadError::TooLarge {
            what: from.display().to_string(),
            limit: MAX_SMALL,
        }
        .into());
    }
    record::replace(to, &content, record::Durability::PowerCut)
        .map_err(FetchError::file("write", to))?;
    Ok(Some(to.to_owned()))
}

struct Copy {
    source: PathBuf,
    to: PathBuf,
    lease: Lease,
}

impl Copy {
    fn run(self, go_on: impl FnMut(u64) -> bool) -> Result<(Sha256Digest, u64), FetchError> {
        let beside = self.to.with_extension("copying");
        let source = regular::open(&self.source).map_err(FetchError::file("open", &self.source))?;
        // Of a copy that was cut off.
        record::remove_file(&beside).map_err(FetchError::file("remove", &beside))?;
        let create = FetchError::file("create", &beside);
        let (out, digested) = match host::disk::clone_file(&source, &beside) {
            // What is digested is the clone: the original may have changed since.
            Ok(Some(clone)) => {
                let digested = digest(&clone, &mut io::sink(), go_on);
                (clone, digested)
            }
            Ok(None) => {
                self.check_space(&source)?;
                let out = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&beside)
                    .map_err(create)?;
                let digested = digest(&source, &mut &out, go_on);
                (out, digested)
            }
            Err(error) => return Err(create(error)),
        };
        let digested = digested.map_err(FetchError::file("copy", &self.source))?;
        let commit = || -> io::Result<()> {
            out.sync_all()?;
            std::fs::rename(&beside, &self.to)?;
            File::open(self.to.parent().unwrap_or(&self.to))?.sync_all()
        };
        commit().map_err(FetchError::file("commit", &self.to))?;
        drop(self.lease);
        Ok(digested)
    }

    fn check_space(&self, source: &File) -> Result<(), FetchError> {
        let needed = source
            .metadata()
            .map_err(FetchError::file("look at", &self.source))?
            .len();
        let folder = self.to.parent().unwrap_or(&self.to);
        let lacking = lacking(folder, needed);
        match lacking.map_err(FetchError::file("ask for the free space of", folder))? {
            None => Ok(()),
            Some(available) => Err(DownloadError::Space {
                path: self.to.clone(),
                needed,
                available,
            }
            .into()),
        }
    }
}

/// Copies `from` to `to`: digest and length of what was read.
fn digest(
    mut from: &File,
    to: &mut impl Write,
    mut go_on: impl FnMut(u64) -> bool,
) -> io::Result<(Sha256Digest, u64)> {
    let mut hasher = Sha256::new();
    let (mut buffer, mut done) = (vec![0; PIECE], 0);
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok((<[u8; 32]>::from(hasher.finalize()).into(), done));
        }
        hasher.update(&buffer[..length]);
        to.write_all(&buffer[..length])?;
        done += length as u64;
        if !go_on(done) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
}
