//! Work of some seconds on threads of its own, on behalf of a future.
//!
//! When the future is dropped, the threads are told to stop and are waited
//! for: by the time the instance's lock goes, which the same operation holds,
//! nothing of theirs is left. They look up at every frame, so that takes
//! milliseconds, unless the disk is being synced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::error::ArchiveError;
use progress::{Event, Phase, Reporter};

/// The most threads. Reading feeds no more than that many compressors, and
/// each takes some 20 MiB.
const MAX_THREADS: usize = 16;

/// What the threads of one operation share with its future.
pub(super) struct Job {
    progress: watch::Sender<Progress>,
    cancelled: Arc<AtomicBool>,
}

/// How far an operation has come, in bytes.
#[derive(Clone, Copy, Default)]
struct Progress {
    done: u64,
    total: u64,
}

impl Job {
    /// Says how many bytes there are in all.
    pub(super) fn set_total(&self, bytes: u64) {
        self.progress.send_modify(|progress| progress.total = bytes);
    }

    /// Says that so many bytes more are done.
    pub(super) fn advance(&self, bytes: u64) {
        self.progress.send_modify(|progress| progress.done += bytes);
    }

    /// An error once the future has been dropped.
    pub(super) fn check(&self) -> Result<(), ArchiveError> {
        if self.cancelled.load(Ordering::Relaxed) {
            Err(ArchiveError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// One that nobody watches.
    pub(super) fn unwatched() -> Self {
        Self {
            progress: watch::Sender::default(),
            cancelled: Arc::default(),
        }
    }

    /// Cancels it, as dropping its future does.
    #[cfg(test)]
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// How many threads to work on.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS))
}

/// Runs `work` on a thread, reporting its progress as that of `phase`.
pub(super) async fn run<T, E>(
    phase: Phase,
    reporter: &dyn Reporter,
    work: impl FnOnce(&Job) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<ArchiveError> + Send + 'static,
{
    let (sender, mut progress) = watch::channel(Progress::default());
    let cancelled = Arc::new(AtomicBool::new(false));
    let job = Job {
        progress: sender,
        cancelled: Arc::clone(&cancelled),
    };
    let thread = std::thread::Builder::new()
        .name("archive".to_owned())
        .spawn(move || work(&job))
        .map_err(ArchiveError::Thread)?;
    let mut running = Running {
        cancelled,
        thread: Some(thread),
    };
    // The sender goes with the thread, so this ends when the work does.
    while progress.changed().await.is_ok() {
        let Progress { done, total } = *progress.borrow_and_update();
        reporter.report(Event::Bytes { phase, done, total });
    }
    match running.thread.take().map(JoinHandle::join) {
        Some(Ok(result)) => result,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        None => Err(ArchiveError::Cancelled.into()),
    }
}

/// Stops the thread when it is dropped before the thread has ended.
struct Running<T> {
    cancelled: Arc<AtomicBool>,
    thread: Option<JoinHandle<T>>,
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.cancelled.store(true, Ordering::Relaxed);
            // Its result, or its panic, is of no interest to anybody any more.
            drop(thread.join());
        }
    }
}
