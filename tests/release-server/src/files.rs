//! Content of files: ranges, validators, and what goes wrong with them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;

use crate::fault::FaultKind;
use crate::state::{Served, State};

/// Bytes read from a file at once.
const PIECE: u64 = 256 << 10;

/// Answers with the content of `served`, or the part of it that is asked for.
pub(crate) fn serve(
    state: Arc<State>,
    number: usize,
    served: Served,
    headers: &HeaderMap,
    faults: &[FaultKind],
) -> io::Result<Response<Body>> {
    let mut content = Content::new(served, faults);
    let has = |fault: &FaultKind| faults.contains(fault);
    let etag = format!("\"{}\"", content.served.sha256);
    let fresh = has(&FaultKind::IgnoreIfRange)
        || headers
            .get(IF_RANGE)
            .is_none_or(|validator| validator.as_bytes() == etag.as_bytes());
    let range = headers
        .get(RANGE)
        .and_then(|range| range.to_str().ok())
        .filter(|_| fresh && !has(&FaultKind::IgnoreRange))
        .and_then(parse_range);
    let total = content.total;
    let mut response = Response::builder()
        .header(ACCEPT_RANGES, "bytes")
        .header(CONTENT_TYPE, "application/octet-stream");
    if !has(&FaultKind::NoValidator) {
        response = response.header(ETAG, etag);
    }
    let status = match range {
        None => StatusCode::OK,
        Some((first, last)) if first < total && last.is_none_or(|last| last >= first) => {
            content.first = first;
            content.end = last.map_or(total, |last| total.min(last + 1));
            let range = format!("bytes {first}-{}/{total}", content.end - 1);
            response = response.header(CONTENT_RANGE, range);
            StatusCode::PARTIAL_CONTENT
        }
        Some(_) => {
            return response
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(CONTENT_RANGE, format!("bytes */{total}"))
                .body(Body::empty())
                .map_err(io::Error::other);
        }
    };
    if !has(&FaultKind::Chunked) {
        response = response.header(CONTENT_LENGTH, content.end - content.first);
    }
    let (chunks, arriving) = mpsc::channel(4);
    tokio::spawn(async move {
        if let Err(error) = content.send(&state, number, &chunks).await {
            // Ends the connection. If it has ended already, so much the better.
            drop(chunks.send(Err(error)).await);
        }
    });
    response
        .status(status)
        .body(Body::from_stream(Chunks(arriving)))
        .map_err(io::Error::other)
}

/// What is sent, and what goes wrong with it.
struct Content {
    served: Served,
    total: u64,
    first: u64,
    end: u64,
    stall: Option<u64>,
    rate: Option<u64>,
    corrupt: Option<u64>,
}

impl Content {
    fn new(served: Served, faults: &[FaultKind]) -> Self {
        let mut content = Self {
            total: served.bytes,
            first: 0,
            end: 0,
            stall: None,
            rate: None,
            corrupt: None,
            served,
        };
        for fault in faults {
            match fault {
                FaultKind::Stall { after } => content.stall = Some(*after),
                FaultKind::Slow { rate } => content.rate = Some((*rate).max(1)),
                FaultKind::Corrupt { at } => content.corrupt = Some(*at),
                FaultKind::Shorter { by } => content.total = content.total.saturating_sub(*by),
                FaultKind::Longer { by } => content.total += by,
                FaultKind::Cut { .. }
                | FaultKind::Status { .. }
                | FaultKind::RateLimited { .. }
                | FaultKind::Redirect { .. }
                | FaultKind::RedirectLoop
                | FaultKind::IgnoreIfRange
                | FaultKind::IgnoreRange
                | FaultKind::NoValidator
                | FaultKind::Chunked => {}
            }
        }
        content.end = content.total;
        content
    }

    async fn send(
        &self,
        state: &State,
        number: usize,
        chunks: &mpsc::Sender<io::Result<Bytes>>,
    ) -> io::Result<()> {
        let mut file = File::open(&self.served.path).await?;
        file.seek(io::SeekFrom::Start(self.first)).await?;
        let (mut at, mut sent) = (self.first, 0);
        while at < self.end {
            let mut piece = PIECE.min(self.end - at);
            if let Some(stall) = self.stall {
                piece = piece.min(stall.saturating_sub(sent));
            }
            if let Some(rate) = self.rate {
                // The rate is the point here: there is no event to wait for.
                piece = piece.min(rate.div_ceil(20));
                tokio::time::sleep(Duration::from_micros(
                    piece.saturating_mul(1_000_000) / rate,
                ))
                .await;
            }
            if piece == 0 {
                // For as long as somebody is there.
                chunks.closed().await;
                return Ok(());
            }
            let mut chunk = self.read(&mut file, piece).await?;
            if let Some(corrupt) = self
                .corrupt
                .filter(|at_byte| (at..at + piece).contains(at_byte))
                && let Ok(index) = usize::try_from(corrupt - at)
            {
                chunk[index] ^= 0xff;
            }
            if chunks.send(Ok(chunk.freeze())).await.is_err() {
                return Ok(());
            }
            at += piece;
            sent += piece;
            state.note(number, |recorded| recorded.sent = sent);
        }
        Ok(())
    }

    /// The next `length` bytes; zeros after the end of the file.
    async fn read(&self, file: &mut File, length: u64) -> io::Result<BytesMut> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut chunk = BytesMut::with_capacity(length);
        while chunk.len() < length {
            let mut rest = (&mut *file).take((length - chunk.len()) as u64);
            if rest.read_buf(&mut chunk).await? == 0 {
                chunk.resize(length, 0);
            }
        }
        Ok(chunk)
    }
}

/// `bytes=first-` and `bytes=first-last`.
fn parse_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = match last {
        "" => None,
        last => Some(last.parse().ok()?),
    };
    Some((first.parse().ok()?, last))
}

struct Chunks(mpsc::Receiver<io::Result<Bytes>>);

impl futures_core::Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
