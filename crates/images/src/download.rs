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

use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED,
    RANGE,
};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::Sha256Digest;
use crate::claim::{Claim, Lease};
use crate::http::{Http, connection, host_of};
use crate::progress::{Event, Phase, Progress, Running};
use crate::space::lacking;

mod error;
mod partial;
mod range;
mod writer;

pub use error::DownloadError;
use partial::{Partial, Paths, Record};
use range::ContentRange;
use writer::Writer;

/// Times that a download is begun again because the file is another one now.
const MAX_RESTARTS: u32 = 3;
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

/// How one request ended that did not fail for good.
enum Outcome {
    /// All of it is there.
    Complete,
    /// The server stopped before the end, as it may.
    Incomplete,
    /// What is there is of another file.
    StartOver(&'static str),
}

/// Downloads `wanted` into the folder of `claim`.
pub(crate) async fn download(
    http: &Http,
    wanted: &Wanted,
    claim: &Claim,
    progress: &dyn Progress,
) -> Result<Downloaded, DownloadError> {
    let paths = Paths::new(claim.folder(), &wanted.name);
    let record = Record::read(&paths, &wanted.identity)
        .map_err(DownloadError::file("read the record of", &paths.part))?;
    if let Some(record) = &record
        && let Some(done) = finished(wanted, &paths, record, claim.lease(), progress).await?
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
    let partial = open(&paths.part, wanted, claim.lease(), progress).await?;
    let mut transfer = Transfer {
        http,
        wanted,
        paths,
        record,
        resumed_from: partial.length(),
        received: 0,
        mixed: partial.length() > 0,
        lease: claim.lease(),
    };
    let running = Running::begin(progress, Phase::Download, &wanted.name);
    transfer.run(partial, &running, progress).await
}

/// What an earlier call finished and nobody brought home, if it is still good.
async fn finished(
    wanted: &Wanted,
    paths: &Paths,
    record: &Record,
    lease: Lease,
    progress: &dyn Progress,
) -> Result<Option<Downloaded>, DownloadError> {
    let (Some(sha256), true) = (record.sha256, paths.done.exists()) else {
        return Ok(None);
    };
    let there = open(&paths.done, wanted, lease, progress).await?;
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
    wanted: &Wanted,
    lease: Lease,
    progress: &dyn Progress,
) -> Result<Partial, DownloadError> {
    let total = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let running = (total > 0).then(|| Running::begin(progress, Phase::Reread, &wanted.name));
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
                    running.bytes(read.load(Ordering::Relaxed), Some(total), 0);
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

/// A download under way.
struct Transfer<'a> {
    http: &'a Http,
    wanted: &'a Wanted,
    paths: Paths,
    record: Record,
    /// Bytes that were there at the beginning.
    resumed_from: u64,
    received: u64,
    /// The bytes are of more than one answer.
    mixed: bool,
    lease: Lease,
}

impl Transfer<'_> {
    async fn run(
        &mut self,
        mut partial: Partial,
        running: &Running<'_>,
        progress: &dyn Progress,
    ) -> Result<Downloaded, DownloadError> {
        let (mut attempt, mut restarts) = (0, 0);
        loop {
            let before = self.received;
            let (kept, outcome) = self.request(partial, running).await;
            partial = kept?;
            let reason = match outcome {
                Ok(Outcome::Complete) => match self.check(&partial) {
                    Ok(()) => return self.commit(partial).await,
                    // Two halves of two files, perhaps.
                    Err(_) if self.mixed => "it is a mixture of two files",
                    Err(error) => {
                        drop(partial);
                        self.clear()?;
                        return Err(error);
                    }
                },
                Ok(Outcome::StartOver(reason)) => reason,
                Ok(Outcome::Incomplete) => {
                    attempt = if self.received > before {
                        0
                    } else {
                        attempt + 1
                    };
                    if attempt > self.http.retry.attempts {
                        return Err(self.answer("it sends no more bytes"));
                    }
                    self.mixed = true;
                    continue;
                }
                Err(DownloadError::Http(error)) => {
                    attempt = if self.received > before {
                        1
                    } else {
                        attempt + 1
                    };
                    self.http.retry.pause(error, attempt, progress).await?;
                    self.mixed = partial.length() > 0;
                    continue;
                }
                Err(error) => return Err(error),
            };
            restarts += 1;
            if restarts > MAX_RESTARTS {
                return Err(DownloadError::Unstable {
                    what: self.wanted.name.clone(),
                });
            }
            progress.report(Event::Notice(&format!(
                "{} is downloaded again from the beginning: {reason}.",
                self.wanted.name
            )));
            self.restart(&mut partial)?;
        }
    }

    fn restart(&mut self, partial: &mut Partial) -> Result<(), DownloadError> {
        // The bytes first: a record of the next file must not find those of this one.
        partial.restart().map_err(self.error("empty"))?;
        self.record = Record::new(&self.wanted.identity);
        self.record
            .write(&self.paths)
            .map_err(self.error("write the record of"))?;
        (self.resumed_from, self.mixed) = (0, false);
        Ok(())
    }

    /// One request and what comes of it. The partial file comes back in any
    /// case but one: that the thread that had it died.
    async fn request(
        &mut self,
        mut partial: Partial,
        running: &Running<'_>,
    ) -> (
        Result<Partial, DownloadError>,
        Result<Outcome, DownloadError>,
    ) {
        let have = partial.length();
        // A process has died between its last two steps.
        if self
            .record
            .sha256
            .is_some_and(|sha256| sha256 == partial.digest())
        {
            return (Ok(partial), Ok(Outcome::Complete));
        }
        if have > 0 {
            match self.record.total {
                Some(total) if have == total => return (Ok(partial), Ok(Outcome::Complete)),
                Some(total) if have < total && self.record.validator.is_some() => {}
                // Without a validator nothing tells that it is still the same file.
                _ if self.record.validator.is_none() => {
                    return (
                        Ok(partial),
                        Ok(Outcome::StartOver("the server cannot continue it")),
                    );
                }
                Some(_) => {
                    return (
                        Ok(partial),
                        Ok(Outcome::StartOver("what is there is too long")),
                    );
                }
                None => {}
            }
        }
        let response = match self.ask(have).await {
            Ok(response) => response,
            Err(error) => return (Ok(partial), Err(error)),
        };
        match self.receive_head(&response, &mut partial) {
            Ok(None) => {}
            Ok(Some(outcome)) => return (Ok(partial), Ok(outcome)),
            Err(error) => return (Ok(partial), Err(error)),
        }
        self.receive_body(response, partial, running).await
    }

    async fn ask(&self, have: u64) -> Result<Response, DownloadError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(self.wanted.accept));
        if let Some(validator) = self.record.validator.as_deref().filter(|_| have > 0)
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={have}-"))
            && let Ok(validator) = HeaderValue::from_str(validator)
        {
            headers.insert(RANGE, range);
            headers.insert(IF_RANGE, validator);
        }
        let response = self.http.get(&self.wanted.url, &headers).await?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                Ok(response)
            }
            _ => Err(self.http.refusal(response, &self.wanted.name).await.into()),
        }
    }

    /// Makes sure that the body continues what is there; `Some` if there is no
    /// use in reading it.
    fn receive_head(
        &mut self,
        response: &Response,
        partial: &mut Partial,
    ) -> Result<Option<Outcome>, DownloadError> {
        let have = partial.length();
        let headers = response.headers();
        let range = headers
            .get(CONTENT_RANGE)
            .and_then(|value| value.to_str().ok())
            .and_then(ContentRange::parse);
        let total = match (response.status(), range) {
            (StatusCode::OK, _) => {
                let total = length(headers);
                if have > 0 {
                    self.restart(partial)?;
                }
                self.record.validator = validator(headers);
                self.record.total = total;
                self.record
                    .write(&self.paths)
                    .map_err(self.error("write the record of"))?;
                total
            }
            (StatusCode::PARTIAL_CONTENT, Some(ContentRange::Bytes { first, total, .. })) => {
                // `If-Range` was there to prevent this, but not all servers know it.
                let changed = strong_etag(headers)
                    .is_some_and(|etag| Some(etag) != self.record.validator.as_deref())
                    && self.record.validator.as_deref().is_some_and(is_etag);
                if changed
                    || (total.is_some()
                        && self.record.total.is_some()
                        && total != self.record.total)
                {
                    return Ok(Some(Outcome::StartOver("it is another file by now")));
                }
                if first != have || have == 0 {
                    return Err(self.answer("it sends other bytes than it was asked for"));
                }
                total.or(self.record.total)
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, range) => {
                let all =
                    matches!(range, Some(ContentRange::Unsatisfied { total }) if total == have);
                return Ok(Some(if all && have > 0 {
                    Outcome::Complete
                } else {
                    Outcome::StartOver("it is shorter by now")
                }));
            }
            _ => return Err(self.answer("a part of it without Content-Range")),
        };
        if let (Some(total), Some(expected)) = (total, self.wanted.bytes)
            && total != expected
        {
            return Err(self.length(expected, total));
        }
        let coming = total.or(self.wanted.bytes).unwrap_or(0);
        if coming > self.wanted.limit {
            return Err(self.too_large());
        }
        self.check_space(coming.saturating_sub(partial.length()))?;
        Ok(None)
    }

    async fn receive_body(
        &mut self,
        mut response: Response,
        partial: Partial,
        running: &Running<'_>,
    ) -> (
        Result<Partial, DownloadError>,
        Result<Outcome, DownloadError>,
    ) {
        let total = self.record.total.or(self.wanted.bytes);
        let most = total.unwrap_or(self.wanted.limit);
        let url = response.url().clone();
        let mut arrived = partial.length();
        running.bytes(arrived, total, self.resumed_from);
        let writer = Writer::start(partial, self.lease.clone());
        let ended = loop {
            match response.chunk().await {
                Ok(None) => break Ok(()),
                Err(error) => break Err(connection(&url, error).into()),
                Ok(Some(chunk)) => {
                    arrived += chunk.len() as u64;
                    self.received += chunk.len() as u64;
                    if arrived > most {
                        break Err(match total {
                            Some(total) => self.length(total, arrived),
                            None => self.too_large(),
                        });
                    }
                    if !writer.write(chunk).await {
                        break Ok(());
                    }
                    running.bytes(arrived, total, self.resumed_from);
                }
            }
        };
        let partial = match writer.finish().await {
            Ok((partial, Ok(()))) => partial,
            Ok((partial, Err(error))) => {
                let failed = self.error("write")(error);
                return (Ok(partial), Err(failed));
            }
            Err(error) => return (Err(self.error("write")(error)), Ok(Outcome::Incomplete)),
        };
        let outcome = ended.map(|()| match self.record.total {
            Some(total) if partial.length() < total => Outcome::Incomplete,
            _ => Outcome::Complete,
        });
        (Ok(partial), outcome)
    }

    /// Length and digest of what is there against what was announced.
    fn check(&self, partial: &Partial) -> Result<(), DownloadError> {
        match self.wanted.bytes {
            Some(expected) if expected != partial.length() => {
                return Err(self.length(expected, partial.length()));
            }
            _ => {}
        }
        match self.wanted.sha256 {
            Some(expected) if expected != partial.digest() => Err(DownloadError::Digest {
                what: self.wanted.name.clone(),
                expected,
                found: partial.digest(),
            }),
            _ => Ok(()),
        }
    }

    async fn commit(&mut self, partial: Partial) -> Result<Downloaded, DownloadError> {
        let done = Downloaded {
            path: self.paths.done.clone(),
            bytes: partial.length(),
            sha256: partial.digest(),
            received: self.received,
        };
        let (paths, mut record, lease) =
            (self.paths.clone(), self.record.clone(), self.lease.clone());
        // `fsync` of a gigabyte takes seconds.
        tokio::task::spawn_blocking(move || {
            let _lease = lease;
            partial.commit(&paths, &mut record)
        })
        .await
        .unwrap_or_else(|_| Err(std::io::Error::other("the writing thread ended")))
        .map_err(self.error("commit"))?;
        Ok(done)
    }

    fn check_space(&self, needed: u64) -> Result<(), DownloadError> {
        let folder = self.paths.part.parent().unwrap_or(&self.paths.part);
        match lacking(folder, needed).map_err(self.error("ask for the free space of"))? {
            None => Ok(()),
            Some(available) => Err(DownloadError::Space {
                path: self.paths.part.clone(),
                needed,
                available,
            }),
        }
    }

    fn clear(&self) -> Result<(), DownloadError> {
        self.paths.clear().map_err(self.error("clear away"))
    }

    fn error(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> DownloadError + use<> {
        let path = self.paths.part.clone();
        move |source| DownloadError::File {
            action,
            path,
            source,
        }
    }

    fn answer(&self, problem: &'static str) -> DownloadError {
        DownloadError::Answer {
            host: host_of(&self.wanted.url),
            what: self.wanted.name.clone(),
            problem,
        }
    }

    fn length(&self, expected: u64, found: u64) -> DownloadError {
        DownloadError::Length {
            what: self.wanted.name.clone(),
            expected,
            found,
        }
    }

    fn too_large(&self) -> DownloadError {
        DownloadError::TooLarge {
            what: self.wanted.name.clone(),
            limit: self.wanted.limit,
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_etag(validator: &str) -> bool {
    validator.starts_with('"')
}

/// An `ETag` that promises equal bytes.
fn strong_etag(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(ETAG)?
        .to_str()
        .ok()
        .filter(|etag| is_etag(etag))
}

/// What `If-Range` may be given: a strong `ETag`, else the time of change.
fn validator(headers: &HeaderMap) -> Option<String> {
    strong_etag(headers)
        .or_else(|| headers.get(LAST_MODIFIED)?.to_str().ok())
        .map(ToOwned::to_owned)
}
