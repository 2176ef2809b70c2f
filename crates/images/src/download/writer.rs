//! The threads that write, digest and sync while bytes arrive.
//!
//! Chunks come through a channel of bounded length: memory stays flat, the
//! network is read while the disk is written, and a future that is dropped
//! closes the channel, which ends the thread. A second thread has the disk take
//! what is written in the meantime; else all of it would be waited for at the end.

use std::io;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::partial::Partial;
use crate::claim::Lease;

/// Chunks under way. A chunk is what the connection had ready, 400 KiB at most.
const QUEUE: usize = 16;

/// Bytes written between two syncs.
const SYNC_EVERY: u64 = 16 << 20;

/// The sending end.
pub(super) struct Writer {
    chunks: mpsc::Sender<Bytes>,
    thread: JoinHandle<(Partial, io::Result<()>)>,
}

impl Writer {
    pub(super) fn start(mut partial: Partial, lease: Lease) -> Self {
        let (chunks, arriving) = mpsc::channel(QUEUE);
        let thread = tokio::task::spawn_blocking(move || {
            let _lease = lease;
            let written = write_all(&mut partial, arriving);
            (partial, written)
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

fn write_all(partial: &mut Partial, mut arriving: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let file = partial.file()?;
    std::thread::scope(|scope| {
        let (due, dues) = sync_channel(1);
        // Its errors count: the kernel tells each of them once, so that the
        // sync at the end would not hear of them.
        let syncing = scope.spawn(move || dues.into_iter().try_for_each(|()| file.sync_data()));
        let mut synced = partial.length();
        let mut written = Ok(());
        while let Some(chunk) = arriving.blocking_recv() {
            written = partial.append(&chunk);
            if written.is_err() {
                break;
            }
            // If the last one is still under way, the next one takes this along.
            if partial.length() - synced >= SYNC_EVERY && due.try_send(()).is_ok() {
                synced = partial.length();
            }
        }
        drop((due, arriving));
        let synced = syncing
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the syncing thread ended")));
        written.and(synced)
    })
}
