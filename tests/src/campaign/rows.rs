//! What a user has been told is kept: rows whose commit was acknowledged, counted outside of the guest.

use std::collections::BTreeSet;

use super::deeds::Outcome;

/// The rows of a home, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Those that the backend has confirmed.
    confirmed: BTreeSet<u64>,
    /// Those of the checkpoint.
    checkpoint: BTreeSet<u64>,
    /// All below it were sent at some time, whatever the answer was.
    next: u64,
}

impl Rows {
    /// A number that no row has had.
    pub(super) fn send(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// As many numbers in a row; the first of them.
    pub(super) fn send_many(&mut self, count: u64) -> u64 {
        self.next += count;
        self.next - count
    }

    /// The backend says that it has a row.
    pub(super) fn confirm(&mut self, row: u64) {
        self.confirmed.insert(row);
    }

    /// A checkpoint is made of what there is now.
    pub(super) fn keep(&mut self) {
        self.checkpoint = self.confirmed.clone();
    }

    /// The user has thrown all away.
    pub(super) fn forget(&mut self) {
        self.confirmed.clear();
    }

    /// How many there have to be.
    pub(super) fn count(&self) -> usize {
        self.confirmed.len()
    }

    /// Whether what is `seen` is as it may be after a blow of that outcome; `told`: whether somebody has said that
    /// there is a loss. What is seen is what there is from then on.
    pub(super) fn judge(
        &mut self,
        seen: &BTreeSet<u64>,
        outcome: Outcome,
        told: bool,
    ) -> Result<(), String> {
        let strangers: Vec<_> = seen.range(self.next..).collect();
        let missing: Vec<_> = self.confirmed.difference(seen).copied().collect();
        let lacks = |of: &BTreeSet<u64>| of.difference(seen).next().is_some();
        let fine = strangers.is_empty()
            && match outcome {
                Outcome::All => missing.is_empty(),
                Outcome::AllOr { none, checkpoint } => {
                    missing.is_empty()
                        || (none && seen.is_empty())
                        || (checkpoint && !lacks(&self.checkpoint))
                }
                Outcome::AnyIfTold => missing.is_empty() || told,
            };
        let verdict = if fine {
            Ok(())
        } else {
            Err(format!(
                "of {} rows that were confirmed, {} are there ({outcome:?}, told: {told}); missing: {missing:?}; never sent: {strangers:?}",
                self.confirmed.len(),
                self.confirmed.len() - missing.len(),
            ))
        };
        self.confirmed.clone_from(seen);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop::sample::select(vec![Outcome::All, NONE, CHECKPOINT, Outcome::AnyIfTold])
    }

    const NONE: Outcome = Outcome::AllOr {
        none: true,
        checkpoint: false,
    };
    const CHECKPOINT: Outcome = Outcome::AllOr {
        none: false,
        checkpoint: true,
    };

    fn with(confirmed: usize, checkpoint: usize) -> Rows {
        let mut rows = Rows::default();
        for at in 0..confirmed {
            let row = rows.send();
            rows.confirm(row);
            if at + 1 == checkpoint {
                rows.keep();
            }
        }
        rows
    }

    proptest! {
        #[test]
        fn what_is_all_there_is_always_fine(confirmed in 0_usize..20, more in 0_u64..3, outcome in outcomes(), told: bool) {
            let mut rows = with(confirmed, confirmed / 2);
            // Sent, and never answered: it may be there.
            let mut seen = rows.confirmed.clone();
            for _ in 0..more {
                seen.insert(rows.send());
            }
            prop_assert!(rows.judge(&seen, outcome, told).is_ok());
            // From then on it has to be.
            prop_assert_eq!(rows.count(), seen.len());
        }

        #[test]
        fn one_that_is_missing_is_never_passed_over(confirmed in 2_usize..20, lost in 0_usize..20) {
            let lost = (lost % confirmed) as u64;
            let seen = |rows: &Rows| -> BTreeSet<u64> { rows.confirmed.iter().copied().filter(|row| *row != lost).collect() };
            let judge = |outcome, told| {
                let mut rows = with(confirmed, confirmed);
                let seen = seen(&rows);
                rows.judge(&seen, outcome, told).is_ok()
            };
            prop_assert!(!judge(Outcome::All, true));
            prop_assert!(!judge(NONE, true));
            prop_assert!(!judge(CHECKPOINT, true));
            prop_assert!(!judge(Outcome::AnyIfTold, false));
            prop_assert!(judge(Outcome::AnyIfTold, true));
        }
    }

    #[test]
    fn a_discard_leaves_none_and_a_restore_those_of_the_checkpoint() {
        let none = BTreeSet::new();
        assert!(with(4, 2).judge(&none, NONE, false).is_ok());
        assert!(with(4, 2).judge(&none, Outcome::All, true).is_err());
        let two = BTreeSet::from([0, 1]);
        assert!(with(4, 2).judge(&two, CHECKPOINT, false).is_ok());
        assert!(with(4, 2).judge(&two, NONE, false).is_err());
        let stranger = BTreeSet::from([0, 1, 2, 3, 9]);
        assert!(
            with(4, 2)
                .judge(&stranger, Outcome::AnyIfTold, true)
                .is_err()
        );
    }
}
