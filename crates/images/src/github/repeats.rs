//! Questions that are asked again, told to whoever waits for their answers: the
//! waits between them add up to half a minute.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::progress::{Event, Progress};

/// Kept for one who is slow to listen; there are no more attempts at a question.
const KEPT: usize = 16;

/// The way from a question to those who listen.
#[derive(Clone, Debug)]
pub(super) struct Repeats(broadcast::Sender<Repeat>);

#[derive(Clone, Debug)]
struct Repeat {
    reason: String,
    attempt: u32,
    wait: Duration,
}

impl Default for Repeats {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

impl Repeats {
    pub(super) async fn telling<T>(
        &self,
        progress: &dyn Progress,
        work: impl Future<Output = T>,
    ) -> T {
        let mut heard = self.0.subscribe();
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                Ok(Repeat { reason, attempt, wait }) = heard.recv() => {
                    progress.report(Event::Retry { reason: &reason, attempt, wait });
                }
                result = &mut work => return result,
            }
        }
    }
}

impl Progress for Repeats {
    fn report(&self, event: Event<'_>) {
        if let Event::Retry {
            reason,
            attempt,
            wait,
        } = event
        {
            let reason = reason.to_owned();
            // Nobody has to listen.
            drop(self.0.send(Repeat {
                reason,
                attempt,
                wait,
            }));
        }
    }
}
