//! Back-off: when a failed request is made again, and how long until then.

use std::time::Duration;

use progress::{Event, Reporter};

use super::HttpError;

/// How often and how patiently a failed request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Repetitions without progress after which it is given up.
    pub attempts: u32,
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Default for Retry {
    /// Five repetitions within at most 31 s.
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(16),
        }
    }
}

impl Retry {
    /// The wait before repetition `attempt` (from 1): twice the one before, of
    /// which `random` (0 to 1) spreads the upper half, so that clients that
    /// failed together do not come back together.
    pub fn wait(&self, attempt: u32, random: f64) -> Duration {
        let doubled = 1u32
            .checked_shl(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let longest = self.base.saturating_mul(doubled).min(self.cap);
        longest.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }

    /// Says so and waits, or returns `error` if it is not worth it.
    pub(crate) async fn pause(
        &self,
        error: HttpError,
        attempt: u32,
        reporter: &dyn Reporter,
    ) -> Result<(), HttpError> {
        if !error.is_transient() || attempt > self.attempts {
            return Err(error);
        }
        let wait = self.wait(attempt, fastrand::f64());
        reporter.report(Event::Notice(&format!(
            "{error}; trying again in {:.1} s (attempt {}).",
            wait.as_secs_f64(),
            attempt + 1
        )));
        // The event that is waited for is the server's recovery, which nobody announces.
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_lies_in_the_upper_half_of_its_doubling_and_under_the_cap(
            attempt in 1u32..200, base in 1u64..5_000, cap in 1u64..60_000, random in 0.0f64..=1.0
        ) {
            let retry = Retry { attempts: 5, base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            let longest = retry.wait(attempt, 1.0);
            let wait = retry.wait(attempt, random);
            prop_assert!(longest <= retry.cap);
            prop_assert!(wait <= longest && wait >= longest.mul_f64(0.499));
            prop_assert!(retry.wait(attempt + 1, 1.0) >= longest);
        }
    }
}
