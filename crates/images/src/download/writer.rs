//! The thread that writes and digests while bytes arrive.
//!
//! Chunks come through a channel of bounded length: memory stays flat, the
//! network is read while the disk is written, and a future that is dropped
//! closes the channel, which ends the thread.

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::partial::Partial;
use crate::claim::Lease;

/// Chunks under way. A chunk is what the connection had ready, 400 KiB at most.
const QUEUE: usize = 16;

/// The sending end.
pub(super) struct Writer {
    chunks: mpsc::Sender<Bytes>,
    thread: JoinHandle<(Partial, io::Result<()>)>,
}

impl Writer {
    pub(super) fn start(mut partial: Partial, lease: Lease) -> Self {
        let (chunks, mut arriving) = mpsc::channel::<Bytes>(QUEUE);
        let thread = tokio::task::spawn_blocking(move || {
            let _lease = lease;
            while let Some(chunk) = arriving.blocking_recv() {
                if let Err(error) = partial.append(&chunk) {
                    return (partial, Err(error));
                }
            }
            (partial, Ok(()))
        });
        Self { chunks, thread }
    }

    /// Hands over a chunk; `false` if the thread has failed: [`Writer::finish`] says how.
    pub(super) async fn write(&self, chunk: Bytes) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// Waits until all is written.
    pub(super) async fn finish(self) -> io::Result<(Partial, io::Result<()>)> {
        drop(self.chunks);
        self.thread
            .await
            .map_err(|_| io::Error::other("the writing thread ended"))
    }
}
