//! One deadline of a whole operation, which its parts share: limits of the parts would add up.

use std::time::{Duration, Instant};

/// Until when an operation has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    begun: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    pub fn within(limit: Duration) -> Self {
        Self {
            begun: Instant::now(),
            limit,
        }
    }

    /// `limit` from `begun`.
    pub const fn since(begun: Instant, limit: Duration) -> Self {
        Self { begun, limit }
    }

    /// How long the whole operation may take.
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// How long it has taken so far.
    pub fn taken(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(self.taken())
    }

    /// The deadline of a first try that leaves a second one as much as it has itself: half of what is left.
    #[must_use]
    pub fn for_a_try(&self) -> Self {
        Self::within(self.left() / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_share_what_there_is() {
        let whole = Deadline::within(Duration::from_secs(300));
        assert!(whole.left() <= whole.limit());
        let first = whole.for_a_try();
        assert!(first.limit() <= Duration::from_secs(150));
        assert!(first.for_a_try().limit() <= first.limit() / 2);
        let over = Deadline::within(Duration::ZERO);
        assert_eq!(
            (over.left(), over.for_a_try().left()),
            (Duration::ZERO, Duration::ZERO)
        );
    }
}
