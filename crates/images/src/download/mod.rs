//! One file over HTTP: resumed, verified, committed by rename.
//!
//! ```text
//!            .part there? ── read it for its digest
//!                 │
//!   ┌─────> GET, Range: bytes=have-, If-Range: validator
//!   │             ├─ 200 ── begin again: another file, or no ranges there
//!   │             ├─ 206 ── from `have` on, of the same length and ETag: append
//!   │             └─ 416 ── all of it is here already, or begin again
//!   │             │
//!   ├─ broken off ┤   (waits; gives up after some tries without a new byte)
//!   │             │
//!   └─ digest of a resumed file is wrong: may be a mixture, once from the start
//!                 │
//!            fsync, record, rename, fsync of the folder
//! ```
//!
//! Each try begins at the address that was given, not at the one it redirected
//! to: GitHub's redirects expire within a minute.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use progress::{Phase, Reporter, Running};
use url::Url;

use crate::Sha256Digest;
use crate::claim::{Claim, Lease};
use crate::http::Http;

mod error;
mod partial;
mod range;
mod transfer;
mod writer;

pub use error::DownloadError;
use partial::{Partial, Paths, Record};
use transfer::Transfer;

/// How often reading what is there for its digest is reported.
const REREAD_REPORT: Duration = Duration::from_millis(100);

/// The file that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Where it is.
    pub(crate) url: Url,
    /// `Accept` header.
    pub(crate) accept: &'static str,
    /// What it is called, here and to the user.
    pub(crate) name: String,
    /// Tells it from every other file; bytes are only added to those of the same.
    pub(crate) identity: String,
    /// Its length in bytes, if that was announced.
    pub(crate) bytes: Option<u64>,
    /// What else has to fit on the disk once it is there, in bytes.
    pub(crate) besides: u64,
    /// Its digest, if that was announced.
    pub(crate) sha256: Option<Sha256Digest>,
    /// More bytes than this are not taken.
    pub(crate) limit: u64,
}

/// The file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Downloaded {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) sha256: Sha256Digest,
    /// Bytes that came over the network in this call.
    pub(crate) received: u64,
}

/// Downloads `wanted` into the folder of `claim`.
pub(crate) async fn download(
    http: &Http,
    wanted: &Wanted,
    claim: &Claim,
    reporter: &dyn Reporter,
) -> Result<Downloaded, DownloadError> {
    let paths = Paths::new(claim.folder(), &wanted.name);
    let record = Record::read(&paths, &wanted.identity)
        .map_err(DownloadError::file("read the record of", &paths.part))?;
    if let Some(record) = &record
        && let Some(done) = finished(wanted, &paths, record, claim.lease(), reporter).await?
    {
        return Ok(done);
    }
    let record = match record {
        Some(record) if !paths.done.exists() => record,
        _ => {
            paths
                .clear()
                .map_err(DownloadError::file("clear away", &paths.part))?;
            let record = Record::new(&wanted.identity);
            record
                .write(&paths)
                .map_err(DownloadError::file("write the record of", &paths.part))?;
            record
        }
    };
    let partial = open(&paths.part, claim.lease(), reporter).await?;
    let running = Running::begin(reporter, Phase::Download);
    let mut transfer = Transfer::new(http, wanted, paths, record, claim.lease());
    transfer.run(partial, &running, reporter).await
}

/// What an earlier call finished and nobody brought home, if it is still good.
async fn finished(
    wanted: &Wanted,
    paths: &Paths,
    record: &Record,
    lease: Lease,
    reporter: &dyn Reporter,
) -> Result<Option<Downloaded>, DownloadError> {
    let (Some(sha256), true) = (record.sha256, paths.done.exists()) else {
        return Ok(None);
    };
    let there = open(&paths.done, lease, reporter).await?;
    let announced = wanted.sha256.unwrap_or(sha256);
    Ok(
        (there.digest() == sha256 && sha256 == announced).then(|| Downloaded {
            path: paths.done.clone(),
            bytes: there.length(),
            sha256,
            received: 0,
        }),
    )
}

/// Opens a file of ours, and reads it for its digest on a thread of its own.
async fn open(
    path: &Path,
    lease: Lease,
    reporter: &dyn Reporter,
) -> Result<Partial, DownloadError> {
    let total = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let running = (total > 0).then(|| Running::begin(reporter, Phase::Reread));
    let read = Arc::new(AtomicU64::new(0));
    // Dropped together with this future.
    let wanted_still = StopOnDrop::default();
    let mut thread = {
        let (path, read, stop) = (path.to_owned(), read.clone(), wanted_still.0.clone());
        tokio::task::spawn_blocking(move || {
            let _lease = lease;
            Partial::open(&path, |length| {
                read.store(length, Ordering::Relaxed);
                !stop.load(Ordering::Relaxed)
            })
        })
    };
    loop {
        // A clock for the display; the end is an event.
        match tokio::time::timeout(REREAD_REPORT, &mut thread).await {
            Err(_) => {
                if let Some(running) = &running {
                    running.bytes(read.load(Ordering::Relaxed), total);
                }
            }
            Ok(joined) => {
                return joined
                    .unwrap_or_else(|_| Err(std::io::Error::other("the reading thread ended")))
                    .map_err(DownloadError::file("read", path));
            }
        }
    }
}

/// Tells a thread that nobody waits for it any more.
#[derive(Default)]
pub(crate) struct StopOnDrop(pub(crate) Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
