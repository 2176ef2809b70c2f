//! The requests of one download, and what each of their answers means.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use progress::{Event, Reporter, Running};
use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED,
    RANGE,
};
use reqwest::{Response, StatusCode};

use super::partial::{Partial, Paths, Record};
use super::range::ContentRange;
use super::writer::Writer;
use super::{DownloadError, Downloaded, Wanted};
use crate::claim::Lease;
use crate::http::{Http, connection, host_of};
use crate::space::lacking;

/// Times that a download is begun again because the file is another one now.
const MAX_RESTARTS: u32 = 3;
/// How one request ended that did not fail for good.
enum Outcome {
    /// All of it is there.
    Complete,
    /// The server stopped before the end, as it may.
    Incomplete,
    /// What is there is of another file.
    StartOver(&'static str),
}

/// A download under way.
pub(super) struct Transfer<'a> {
    http: &'a Http,
    wanted: &'a Wanted,
    paths: Paths,
    record: Record,
    received: u64,
    /// The bytes are of more than one answer.
    mixed: bool,
    lease: Lease,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        http: &'a Http,
        wanted: &'a Wanted,
        paths: Paths,
        record: Record,
        lease: Lease,
    ) -> Self {
        Self {
            http,
            wanted,
            paths,
            record,
            received: 0,
            mixed: false,
            lease,
        }
    }

    /// Goes on from `partial` to the whole file.
    pub(super) async fn run(
        &mut self,
        mut partial: Partial,
        running: &Running<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Downloaded, DownloadError> {
        self.mixed = partial.length() > 0;
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
                    self.http.retry.pause(error, attempt, reporter).await?;
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
            reporter.report(Event::Notice(&format!(
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
        self.mixed = false;
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
        let missing = coming.saturating_sub(partial.length());
        self.check_space(missing.saturating_add(self.wanted.besides))?;
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
        running.bytes(arrived, total.unwrap_or(0));
        let mut writer = Writer::start(partial, self.lease.clone());
        let ended = loop {
            match next(&mut response, &mut writer).await {
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
                    if !writer.write(&chunk).await {
                        break Ok(());
                    }
                    running.bytes(arrived, total.unwrap_or(0));
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

/// The next chunk. Before it is waited for, what came so far goes to the disk.
async fn next(response: &mut Response, writer: &mut Writer) -> reqwest::Result<Option<Bytes>> {
    let mut chunk = pin!(response.chunk());
    let there = poll_fn(|context| Poll::Ready(chunk.as_mut().poll(context))).await;
    if let Poll::Ready(chunk) = there {
        return chunk;
    }
    // If that fails, so does the next write, which is looked at.
    writer.flush().await;
    chunk.await
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
