//! Questions that are asked again, told to those that wait for their answers: the
//! waits between them add up to half a minute.

use std::pin::pin;

use progress::{Event, Reporter};
use tokio::sync::broadcast;

/// Kept for one who is slow to listen; there are no more attempts at a question.
const KEPT: usize = 16;

/// The way from a question to those who listen.
#[derive(Clone, Debug)]
pub(super) struct Repeats(broadcast::Sender<String>);

impl Default for Repeats {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

impl Repeats {
    pub(super) async fn telling<T>(
        &self,
        reporter: &dyn Reporter,
        work: impl Future<Output = T>,
    ) -> T {
        let mut heard = self.0.subscribe();
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                Ok(notice) = heard.recv() => reporter.report(Event::Notice(&notice)),
                result = &mut work => return result,
            }
        }
    }
}

impl Reporter for Repeats {
    fn report(&self, event: Event<'_>) {
        if let Event::Notice(text) = event {
            // Nobody has to listen.
            drop(self.0.send(text.to_owned()));
        }
    }
}
