//! A blocking store in a thread of its own, asked with time limits.
//!
//! The thread is left behind if the store never answers: it holds no lock of
//! ours, and ends with the process or when the store comes back. A thread of the
//! async runtime would not do, since the runtime waits for those.

use std::sync::mpsc;
use std::time::Duration;

use secrets::{StoreError, StoreKind};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::VaultError;

/// An answer that may still be on its way.
pub(super) type Answer<T> = oneshot::Receiver<Result<T, VaultError>>;

type Job<S> = Box<dyn FnOnce(Result<&S, VaultError>) + Send>;

/// A store of type `S`, which need not be `Send`: it never leaves its thread.
pub(super) struct Worker<S> {
    kind: StoreKind,
    jobs: mpsc::Sender<Job<S>>,
}

impl<S: 'static> Worker<S> {
    /// Begins to open a store; whether that works shows at the first [`Worker::ask`].
    pub(super) fn begin(
        kind: StoreKind,
        open: impl FnOnce() -> Result<S, VaultError> + Send + 'static,
    ) -> Result<Self, VaultError> {
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        let work = move || match open() {
            Ok(store) => queue.into_iter().for_each(|job| job(Ok(&store))),
            // The first to ask is told why; there are no others.
            Err(error) => {
                if let Ok(job) = queue.recv() {
                    job(Err(error));
                }
            }
        };
        std::thread::Builder::new()
            .name("secret store".to_owned())
            .spawn(work)
            .map_err(|source| VaultError::Thread { kind, source })?;
        Ok(Self { kind, jobs })
    }

    /// Has the store do `work`, without waiting for it. What comes is the answer,
    /// or nothing if the thread has ended.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&S) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (send, answer) = oneshot::channel();
        let job: Job<S> = Box::new(move |store| {
            // Nobody waits any more if the limit has passed.
            drop(send.send(store.and_then(|store| Ok(work(store)?))));
        });
        // If nobody takes it, it is dropped here, and the answer never comes.
        drop(self.jobs.send(job));
        answer
    }

    /// Has the store do `work`, and waits for at most `limit`.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        action: &'static str,
        limit: Duration,
        work: impl FnOnce(&S) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, VaultError> {
        self.wait(self.submit(work), action, limit).await
    }

    /// Waits for an answer for at most `limit`.
    pub(super) async fn wait<T>(
        &self,
        answer: Answer<T>,
        action: &'static str,
        limit: Duration,
    ) -> Result<T, VaultError> {
        match timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(VaultError::NoAnswer {
                kind: self.kind,
                action,
                limit,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_come_back() {
        let worker = Worker::begin(StoreKind::Keychain, || Ok(20)).unwrap();
        let sum = worker.ask("add", Duration::from_secs(60), |n| Ok(n + 1));
        assert_eq!(sum.await.unwrap(), 21);
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_opened_says_why_once() {
        let worker: Worker<()> = Worker::begin(StoreKind::Keychain, || {
            Err(VaultError::Place(StoreError::Absent {
                kind: StoreKind::Keychain,
                source: secrets::KeychainError::NoDefaultStore,
            }))
        })
        .unwrap();
        let limit = Duration::from_secs(60);
        let first = worker.ask("read", limit, |()| Ok(())).await;
        assert!(first.unwrap_err().is_absent());
        let second = worker.ask("read", limit, |()| Ok(())).await;
        assert!(matches!(second, Err(VaultError::NoAnswer { .. })));
    }

    #[tokio::test]
    async fn a_store_that_hangs_is_not_waited_for() {
        let (_release, gate) = mpsc::channel::<()>();
        let worker = Worker::begin(StoreKind::Keychain, move || {
            // Ends with the test, when the sender is dropped.
            gate.recv().ok();
            Ok(())
        })
        .unwrap();
        let limit = Duration::from_millis(50);
        let answer = worker.ask("read", limit, |()| Ok(())).await;
        assert!(
            matches!(answer, Err(VaultError::NoAnswer { .. })),
            "{answer:?}"
        );
    }
}
