//! When a machine has been idle for long enough: a pure function of what was seen of it.
//!
//! A connection that is open is a use for as long as it is. One that has ended is a use at the time at which it is
//! seen for the first time: the kernel goes on telling of it for a while, and that is no use of its own.

use std::collections::BTreeSet;
use std::time::Duration;

/// What was seen at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether something uses the machine now.
    pub in_use: bool,
    /// The connections that have ended and are still told of, each by the ports of its two ends.
    pub ended: BTreeSet<(u16, u16)>,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again after this time, which is never nothing.
    Wait(Duration),
    /// Nothing has used the machine for as long as the user allows.
    Stop,
}

/// What is known of the looks so far. Times are counted from any moment, by a clock that never goes back.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    last_use: Duration,
    known: BTreeSet<(u16, u16)>,
}

impl Watch {
    /// Begins to watch a machine that was used `now`.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            last_use: now,
            known: BTreeSet::new(),
        }
    }

    /// Takes a look into account. `limit` is how long the machine may be idle, and `every` the longest time between
    /// two looks at which no use goes unseen.
    pub(super) fn see(
        &mut self,
        now: Duration,
        look: Look,
        limit: Duration,
        every: Duration,
    ) -> Verdict {
        let has_new = !look.ended.is_subset(&self.known);
        self.known = look.ended;
        if look.in_use || has_new {
            self.last_use = now;
        }
        let idle = now.saturating_sub(self.last_use);
        match limit.checked_sub(idle) {
            None | Some(Duration::ZERO) => Verdict::Stop,
            Some(left) => Verdict::Wait(left.min(every)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVERY: Duration = Duration::from_secs(20);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn ended(client: u16) -> Look {
        Look {
            in_use: false,
            ended: BTreeSet::from([(client, 26701)]),
        }
    }

    #[test]
    fn a_connection_that_has_ended_counts_once() {
        let mut watch = Watch::new(seconds(0));
        let mut see = |at, look| watch.see(seconds(at), look, seconds(60), EVERY);
        assert_eq!(see(0, ended(5000)), Verdict::Wait(EVERY));
        assert_eq!(see(45, ended(5000)), Verdict::Wait(seconds(15)));
        assert_eq!(see(50, ended(5001)), Verdict::Wait(EVERY));
        assert_eq!(see(105, Look::default()), Verdict::Wait(seconds(5)));
        assert_eq!(see(110, Look::default()), Verdict::Stop);
    }

    /// A run of looks: the time since the one before, and what is seen.
    fn looks() -> impl Strategy<Value = Vec<(u64, bool, Vec<u16>)>> {
        let look = (
            1..=40_u64,
            any::<bool>(),
            proptest::collection::vec(0..4_u16, 0..3),
        );
        proptest::collection::vec(look, 1..40)
    }

    proptest! {
        #[test]
        fn it_is_stopped_after_the_limit_without_a_use_and_never_before(
            looks in looks(),
            limit in 1..=200_u64,
        ) {
            let limit = seconds(limit);
            let mut watch = Watch::new(seconds(0));
            let (mut now, mut used, mut known) = (0, 0, BTreeSet::new());
            for (after, in_use, clients) in looks {
                now += after;
                let ended: BTreeSet<_> = clients.into_iter().map(|port| (port, 1)).collect();
                if in_use || ended.iter().any(|one| !known.contains(one)) {
                    used = now;
                }
                known.clone_from(&ended);
                let verdict = watch.see(seconds(now), Look { in_use, ended }, limit, EVERY);
                match verdict {
                    Verdict::Stop => prop_assert!(seconds(now - used) >= limit && !in_use),
                    Verdict::Wait(wait) => {
                        prop_assert!(seconds(now - used) < limit);
                        prop_assert!(!wait.is_zero() && wait <= EVERY);
                        // Nobody is kept running for longer than that.
                        prop_assert!(seconds(now - used) + wait <= limit);
                    }
                }
            }
        }
    }
}
