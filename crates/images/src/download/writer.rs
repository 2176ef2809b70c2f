//! The threads that write, digest and sync while bytes arrive.
//!
//! ```text
//! chunks ──copied──> blocks ──> write ──> digest ─┐
//!                      ^          └─ sync         │
//!                      └───────── empty ──────────┘
//! ```
//!
//! There are so many blocks and no more: memory stays flat, the network is read
//! while the disk is written, and a future that is dropped closes the channel,
//! which ends the threads. One of them has the disk take what is written in the
//! meantime; else all of it would be waited for at the end.
//!
//! The copy is cheaper than none: the connection's buffer is free again at once
//! and is used again, where one that waits for the disk would have to be
//! replaced by new pages, which the kernel clears first.

use std::io;
use std::sync::mpsc::{Receiver, channel, sync_channel};

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::partial::{Partial, Tail};
use crate::claim::Lease;

/// Length of a block in bytes. A chunk, of up to 400 KiB, fits.
const BLOCK: usize = 512 << 10;

/// Blocks that there are.
const BLOCKS: usize = 12;

/// Bytes written between two syncs.
const SYNC_EVERY: u64 = 16 << 20;

/// The sending end.
pub(super) struct Writer {
    filling: Vec<u8>,
    filled: mpsc::Sender<Vec<u8>>,
    empty: mpsc::Receiver<Vec<u8>>,
    thread: JoinHandle<(Partial, io::Result<()>)>,
}

impl Writer {
    pub(super) fn start(mut partial: Partial, lease: Lease) -> Self {
        let (filled, arriving) = mpsc::channel(BLOCKS);
        let (emptied, empty) = mpsc::channel(BLOCKS);
        for _ in 1..BLOCKS {
            // There is room for all of them.
            drop(emptied.try_send(Vec::with_capacity(BLOCK)));
        }
        let thread = tokio::task::spawn_blocking(move || {
            let _lease = lease;
            let written = write_all(&mut partial, arriving, emptied);
            (partial, written)
        });
        Self {
            filling: Vec::with_capacity(BLOCK),
            filled,
            empty,
            thread,
        }
    }

    /// Takes bytes; `false` if the threads have failed: [`Writer::finish`] says how.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let fits = bytes.len().min(BLOCK - self.filling.len());
            self.filling.extend_from_slice(&bytes[..fits]);
            bytes = &bytes[fits..];
            if self.filling.len() == BLOCK && !self.flush().await {
                return false;
            }
        }
        true
    }

    /// Has what was taken so far written, full block or not. To be called before
    /// waiting for more: a byte that is here should be on disk if we are killed.
    pub(super) async fn flush(&mut self) -> bool {
        if self.filling.is_empty() {
            return true;
        }
        let Some(empty) = self.empty.recv().await else {
            return false;
        };
        let block = std::mem::replace(&mut self.filling, empty);
        self.filled.send(block).await.is_ok()
    }

    /// Waits until all is written.
    pub(super) async fn finish(mut self) -> io::Result<(Partial, io::Result<()>)> {
        // If it fails, the thread says why.
        self.flush().await;
        drop((self.filled, self.empty));
        self.thread
            .await
            .map_err(|_| io::Error::other("the writing thread ended"))
    }
}

fn write_all(
    partial: &mut Partial,
    arriving: mpsc::Receiver<Vec<u8>>,
    emptied: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let file = partial.file()?;
    let (tail, hasher) = partial.halves();
    std::thread::scope(|scope| {
        let (due, dues) = sync_channel(1);
        // Its errors count: the kernel tells each of them once, so that the
        // sync at the end would not hear of them.
        let syncing = scope.spawn(move || dues.into_iter().try_for_each(|()| file.sync_data()));
        let (written, blocks) = channel();
        let digesting = scope.spawn(move || digest(&blocks, &emptied, hasher));
        let wrote = write_blocks(tail, arriving, |block, due_now| {
            // The receiver ends only by a panic, which joining it tells.
            drop(written.send(block));
            // If the last sync is still under way, the next one takes this along.
            due_now && due.try_send(()).is_ok()
        });
        drop((due, written));
        let digested = digesting
            .join()
            .map_err(|_| io::Error::other("the digesting thread ended"));
        let synced = syncing
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the syncing thread ended")));
        wrote.and(digested).and(synced)
    })
}

/// Appends blocks until there are no more. `pass_on` takes each, and whether a
/// sync is due; it says whether one was begun.
fn write_blocks(
    mut tail: Tail<'_>,
    mut arriving: mpsc::Receiver<Vec<u8>>,
    mut pass_on: impl FnMut(Vec<u8>, bool) -> bool,
) -> io::Result<()> {
    let mut synced = tail.length();
    while let Some(block) = arriving.blocking_recv() {
        tail.append(&block)?;
        if pass_on(block, tail.length() - synced >= SYNC_EVERY) {
            synced = tail.length();
        }
    }
    Ok(())
}

/// Digests what was written, and gives the blocks back.
fn digest(blocks: &Receiver<Vec<u8>>, emptied: &mpsc::Sender<Vec<u8>>, hasher: &mut Sha256) {
    for mut block in blocks {
        hasher.update(&block);
        block.clear();
        // Nobody may want it any more.
        drop(emptied.try_send(block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sha256Digest;
    use crate::claim::Claim;
    use progress::Silent;

    /// More than all blocks hold, in pieces that do not fit evenly.
    #[tokio::test]
    async fn pieces_of_any_length_arrive_in_order_and_are_digested() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::acquire(dir.path(), "key", "label", &Silent)
            .await
            .unwrap();
        let path = dir.path().join("f.part");
        let content: Vec<u8> = (0u32..2 << 20).flat_map(u32::to_le_bytes).collect();
        let partial = Partial::open(&path, |_| true).unwrap();
        let mut writer = Writer::start(partial, claim.lease());
        let mut rest = &content[..];
        for length in [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 7, usize::MAX] {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            assert!(writer.write(piece).await);
            rest = after;
        }
        let (partial, written) = writer.finish().await.unwrap();
        written.unwrap();
        assert_eq!(partial.length(), content.len() as u64);
        assert_eq!(partial.digest(), Sha256Digest::of(&content));
        // Not `assert_eq!`: megabytes would be printed.
        let same = std::fs::read(&path).unwrap() == content;
        assert!(same, "the file is not what was written");
    }

    #[tokio::test]
    async fn what_was_flushed_is_written_although_nothing_follows() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::acquire(dir.path(), "key", "label", &Silent)
            .await
            .unwrap();
        let path = dir.path().join("f.part");
        let partial = Partial::open(&path, |_| true).unwrap();
        let mut writer = Writer::start(partial, claim.lease());
        assert!(writer.write(b"abc").await && writer.flush().await);
        // All blocks but the one that is being filled come back once digested.
        let mut back = Vec::new();
        while back.len() < BLOCKS - 1 {
            back.push(writer.empty.recv().await.unwrap());
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    }

    /// Only Linux has such a device.
    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_disk_that_takes_no_more_ends_it_with_its_error() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::acquire(dir.path(), "key", "label", &Silent)
            .await
            .unwrap();
        let partial = Partial::of(
            std::fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        );
        let mut writer = Writer::start(partial, claim.lease());
        let piece = vec![1; BLOCK];
        let mut pieces = 0;
        while writer.write(&piece).await {
            pieces += 1;
            assert!(pieces < 2 * BLOCKS, "it notices");
        }
        let (_, written) = writer.finish().await.unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
