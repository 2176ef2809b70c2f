//! Ctrl-C, SIGTERM and SIGHUP: stop where the operation is, clean up, and go.
//!
//! QEMU runs in a process group of its own, so the terminal's Ctrl-C reaches
//! this program alone. The operation's future is dropped, and the engine then
//! finishes or undoes what it had begun, as the next command would after a
//! SIGKILL. A second signal ends the program at once; even then the next
//! command cleans up.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::Exit;
use crate::failure::Failure;

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal was closed.
    Hangup,
}

impl Signal {
    /// What it did, for people.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupted by Ctrl-C",
            Self::Terminate => "ended by SIGTERM",
            Self::Hangup => "ended because the terminal was closed",
        }
    }

    const fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::Terminate => Exit::Terminated,
            Self::Hangup => Exit::HungUp,
        }
    }
}

/// The signals of this process, from when they are listened for.
#[derive(Debug)]
pub(crate) struct Interrupts {
    first: watch::Receiver<Option<Signal>>,
    /// Signals are ignored here: the work handles them itself.
    ceded: Arc<AtomicBool>,
}

impl Interrupts {
    /// Starts to listen.
    ///
    /// A task of its own does it: an operation may keep its thread busy with
    /// reading gigabytes, and the second signal must work even then.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(Failure::Signals)?;
        let (tell, first) = watch::channel(None);
        let ceded = Arc::new(AtomicBool::new(false));
        let ignore = ceded.clone();
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    Some(()) = terminate.recv() => Signal::Terminate,
                    Some(()) = hangup.recv() => Signal::Hangup,
                    else => return,
                };
                if ignore.load(Ordering::Relaxed) {
                    continue;
                }
                if tell.borrow().is_some() {
                    std::process::exit(signal.exit().code().into());
                }
                tell.send_replace(Some(signal));
            }
        });
        Ok(Self { first, ceded })
    }

    /// Whether a signal has come.
    pub(crate) fn has_come(&self) -> bool {
        self.first.borrow().is_some()
    }

    /// Does `work`, which handles signals itself, unless one has come before.
    pub(crate) async fn ceded<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        self.ceded.store(true, Ordering::Relaxed);
        // A signal that came between two operations has interrupted neither.
        let before = *self.first.borrow();
        let result = match before {
            Some(signal) => Err(Failure::Interrupted(signal)),
            None => Ok(work.await),
        };
        self.ceded.store(false, Ordering::Relaxed);
        result
    }

    /// Does `work` unless a signal comes; then drops it and does `clean_up`.
    pub(crate) async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        clean_up: impl AsyncFnOnce(Signal),
    ) -> Result<T, Failure> {
        let mut first = self.first.clone();
        let signal = {
            let mut work = pin!(work);
            tokio::select! {
                result = &mut work => return result,
                // Without the listening task, nothing can interrupt.
                Ok(signal) = first.wait_for(Option::is_some) => *signal,
            }
            // `work` is dropped here, and with it the instance's lock.
        };
        let signal = signal.unwrap_or(Signal::Interrupt);
        clean_up(signal).await;
        Err(Failure::Interrupted(signal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupts() -> (watch::Sender<Option<Signal>>, Interrupts) {
        let (tell, first) = watch::channel(None);
        let ceded = Arc::default();
        (tell, Interrupts { first, ceded })
    }

    #[tokio::test]
    async fn the_operation_is_dropped_before_the_cleaning_up() {
        let (tell, interrupts) = interrupts();
        let held = Arc::new(());
        let lock = held.clone();
        let work = async move {
            tell.send_replace(Some(Signal::Terminate));
            std::future::pending::<()>().await;
            drop(lock);
            Ok(())
        };
        let cleaned = AtomicBool::new(false);
        let clean_up = async |signal| {
            assert_eq!(signal, Signal::Terminate);
            assert_eq!(
                Arc::strong_count(&held),
                1,
                "the operation lets go of what it holds first"
            );
            cleaned.store(true, Ordering::Relaxed);
        };
        let failure = interrupts.guard(work, clean_up).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Terminated);
        assert!(cleaned.into_inner());
    }

    #[tokio::test]
    async fn an_operation_that_ends_by_itself_is_left_alone() {
        let (_tell, interrupts) = interrupts();
        let clean_up = async |_| panic!("there is nothing to clean up");
        assert_eq!(
            interrupts.guard(async { Ok(7) }, clean_up).await.unwrap(),
            7
        );
    }

    #[tokio::test]
    async fn what_sees_to_signals_itself_does_not_begin_after_one() {
        let (tell, interrupts) = interrupts();
        assert_eq!(interrupts.ceded(async { 7 }).await.unwrap(), 7);
        tell.send_replace(Some(Signal::Interrupt));
        assert!(interrupts.has_come());
        let work = async { panic!("the signal came first") };
        let failure = interrupts.ceded(work).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Interrupted);
    }

    #[tokio::test]
    async fn nobody_listening_is_no_interruption() {
        let (tell, interrupts) = interrupts();
        drop(tell);
        let clean_up = async |_| panic!("there is nothing to clean up");
        let work = async {
            tokio::task::yield_now().await;
            Ok(7)
        };
        assert_eq!(interrupts.guard(work, clean_up).await.unwrap(), 7);
    }
}
