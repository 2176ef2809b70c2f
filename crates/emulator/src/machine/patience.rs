//! How long a guest is waited for that boots for a snapshot: one that is merely slow is told from one that
//! is stuck, by what it does and not by a number alone.
//!
//! A boot has its usual time. From then on it is waited for as long as there are signs that it gets on, and
//! no longer than a boot can take on any host. Of the signs, used processor time alone says least, since a
//! guest that is stuck may be busy; it counts for about as long again as the usual time.

use std::time::{Duration, Instant};

use qemu::Running;

use super::MONITOR_LIMIT;
use super::error::MachineError as Error;
use super::readiness::{Endpoint, Prober};
use crate::config::paths::SlotPaths;
use progress::{Event, Reporter};

/// Beyond its usual time, how long a boot that gets on may take.
const MOST_BEYOND: Duration = Duration::from_secs(15 * 60);
/// Without a sign for so long, a boot is stuck: on a busy host, emulated ones were seen to do nothing but
/// calculate for a quarter of a minute.
const LEAST_QUIET: Duration = Duration::from_secs(30);
const MOST_QUIET: Duration = Duration::from_secs(60);
/// Beyond its usual time, how long a boot may do nothing but calculate, at least.
const LEAST_BUSY: Duration = Duration::from_secs(120);
/// Between two looks. There is no event for what a guest does.
const PAUSE: Duration = Duration::from_secs(1);
/// What a service may take for its answer to a look.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// A process that does no more than wait uses less of a processor than this.
const IDLE_SHARE: f64 = 0.05;

/// What a boot is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// So long in any case.
    usual: Duration,
    /// Then as long as the last sign is no older than this.
    quiet: Duration,
    /// And this in all, where there is no sign but processor time.
    busy: Duration,
    /// And this in all, whatever there is.
    most: Duration,
}

impl Limits {
    /// By the usual time.
    pub(crate) fn new(usual: Duration) -> Self {
        Self {
            usual,
            quiet: (usual / 5).clamp(LEAST_QUIET, MOST_QUIET),
            busy: usual.saturating_add(usual.max(LEAST_BUSY)),
            most: usual.saturating_add(MOST_BEYOND),
        }
    }

    /// No boot is waited for longer.
    pub(crate) const fn most(&self) -> Duration {
        self.most
    }
}

/// When there was a sign last, since the boot began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// On the console.
    console: Option<Duration>,
    /// Of its disks.
    disk: Option<Duration>,
    /// Of its services: their answers changed.
    services: Option<Duration>,
    /// Of its processors.
    processor: Option<Duration>,
}

/// What is done about a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is waited for.
    Wait,
    /// It is stuck, or takes too long.
    GiveUp,
}

/// Judges a boot that has taken `taken`.
pub(crate) fn judge(taken: Duration, seen: &Seen, limits: &Limits) -> Verdict {
    let is_recent =
        |sign: Option<Duration>| sign.is_some_and(|when| taken.saturating_sub(when) < limits.quiet);
    let gets_on = [seen.console, seen.disk, seen.services]
        .into_iter()
        .any(is_recent);
    let is_busy = is_recent(seen.processor) && taken < limits.busy;
    if taken < limits.usual || (taken < limits.most && (gets_on || is_busy)) {
        Verdict::Wait
    } else {
        Verdict::GiveUp
    }
}

impl Seen {
    /// What was seen last, for people.
    fn describe(&self, taken: Duration) -> String {
        let signs = [
            ("a service's answer changed", self.services),
            ("console output", self.console),
            ("disk activity", self.disk),
        ];
        let ago = |when| taken.saturating_sub(when).as_secs();
        let seen = signs
            .into_iter()
            .filter_map(|(what, when)| Some((when?, what)));
        let last = match seen.max_by_key(|(when, _)| *when) {
            Some((when, what)) => format!("{what}, {} s ago", ago(when)),
            None => "no output, no disk activity and no answer".to_owned(),
        };
        match self.processor {
            Some(when) => format!("{last}; processor activity, {} s ago", ago(when)),
            None => last,
        }
    }
}

/// What a guest has done so far, as far as can be told.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sample {
    console: Option<host::FileStamp>,
    disk_bytes: Option<u64>,
    services: Vec<bool>,
    processor: Option<Duration>,
}

/// Returns once a boot that began at `begun` is not to be waited for any longer, and says why.
pub(crate) async fn run_out(
    running: &Running,
    paths: &SlotPaths,
    endpoints: &[Endpoint],
    limits: &Limits,
    begun: Instant,
    reporter: &dyn Reporter,
) -> Error {
    // What comes before says nothing of a boot that then is to be judged.
    let first = limits.usual.saturating_sub(limits.quiet);
    tokio::time::sleep(first.saturating_sub(begun.elapsed())).await;
    let prober = Prober::new();
    let look = async || {
        let moved = running
            .monitor
            .disk_bytes(MONITOR_LIMIT.min(ANSWER_LIMIT))
            .await;
        let mut services = Vec::new();
        for endpoint in endpoints {
            let healthy = match &prober {
                Ok(prober) => prober.is_healthy(endpoint, ANSWER_LIMIT).await,
                Err(_) => false,
            };
            services.push(healthy);
        }
        Sample {
            console: host::FileStamp::of(&paths.serial_log()).ok(),
            disk_bytes: moved.ok(),
            services,
            processor: running.identity.cpu_time(),
        }
    };
    let (mut seen, mut before, mut told) = (Seen::default(), look().await, false);
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        let now = look().await;
        let taken = begun.elapsed();
        note(&mut seen, taken, &before, &now, looked.elapsed());
        (before, looked) = (now, Instant::now());
        if judge(taken, &seen, limits) == Verdict::GiveUp {
            return Error::Stuck {
                taken,
                last: seen.describe(taken),
            };
        }
        if taken >= limits.usual && !told {
            told = true;
            reporter.report(Event::Notice(&format!(
                "The virtual machine is not ready after {} s, but makes progress ({}). Waiting for it.",
                limits.usual.as_secs(),
                seen.describe(taken)
            )));
        }
    }
}

/// Notes what has changed between two looks, `apart` from each other.
fn note(seen: &mut Seen, taken: Duration, before: &Sample, now: &Sample, apart: Duration) {
    if now.console != before.console {
        seen.console = Some(taken);
    }
    if now.disk_bytes.is_some() && now.disk_bytes != before.disk_bytes {
        seen.disk = Some(taken);
    }
    if now.services != before.services {
        seen.services = Some(taken);
    }
    let used = now.processor.zip(before.processor);
    if used.is_some_and(|(now, before)| {
        now.saturating_sub(before).as_secs_f64() > IDLE_SHARE * apart.as_secs_f64()
    }) {
        seen.processor = Some(taken);
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn seconds() -> impl Strategy<Value = Duration> {
        (0_u64..3000).prop_map(Duration::from_secs)
    }

    fn seen() -> impl Strategy<Value = Seen> {
        let sign = || option::of(seconds());
        (sign(), sign(), sign(), sign()).prop_map(|(console, disk, services, processor)| Seen {
            console,
            disk,
            services,
            processor,
        })
    }

    fn limits() -> impl Strategy<Value = Limits> {
        (1_u64..900).prop_map(|usual| Limits::new(Duration::from_secs(usual)))
    }

    proptest! {
        #[test]
        fn nobody_is_given_up_before_the_usual_time_nor_waited_for_beyond_the_most(
            taken in seconds(), seen in seen(), limits in limits()
        ) {
            let verdict = judge(taken, &seen, &limits);
            if taken < limits.usual {
                prop_assert_eq!(verdict, Verdict::Wait);
            }
            if taken >= limits.most {
                prop_assert_eq!(verdict, Verdict::GiveUp);
            }
        }

        #[test]
        fn a_guest_that_does_nothing_gets_the_usual_time_alone(
            taken in seconds(), limits in limits()
        ) {
            let waits = judge(taken, &Seen::default(), &limits) == Verdict::Wait;
            prop_assert_eq!(waits, taken < limits.usual);
        }

        #[test]
        fn a_later_sign_never_ends_a_boot(
            taken in seconds(), seen in seen(), limits in limits(), later in seconds()
        ) {
            let later = later.min(taken);
            let more = Seen {
                console: seen.console.max(Some(later)),
                ..seen
            };
            if judge(taken, &seen, &limits) == Verdict::Wait {
                prop_assert_eq!(judge(taken, &more, &limits), Verdict::Wait);
            }
        }

        #[test]
        fn after_the_last_sign_the_end_is_near(
            taken in seconds(), seen in seen(), limits in limits()
        ) {
            let signs = [seen.console, seen.disk, seen.services, seen.processor];
            let last = signs.into_iter().flatten().max().unwrap_or_default();
            let end = limits.usual.max(last + limits.quiet);
            if taken >= end {
                prop_assert_eq!(judge(taken, &seen, &limits), Verdict::GiveUp);
            }
        }

        #[test]
        fn processor_time_alone_does_not_count_for_ever(
            taken in seconds(), limits in limits()
        ) {
            let spins = Seen { processor: Some(taken), ..Seen::default() };
            let waits = judge(taken, &spins, &limits) == Verdict::Wait;
            prop_assert_eq!(waits, taken < limits.busy.min(limits.most));
        }
    }

    #[test]
    fn what_changes_between_two_looks_is_a_sign() {
        let second = Duration::from_secs(1);
        let before = Sample {
            disk_bytes: Some(1),
            services: vec![false],
            processor: Some(Duration::ZERO),
            ..Sample::default()
        };
        let mut seen = Seen::default();
        note(&mut seen, 5 * second, &before, &before.clone(), second);
        assert_eq!(seen, Seen::default());
        assert!(seen.describe(5 * second).starts_with("no output"));
        // A monitor that does not answer is no sign of anything.
        let silent = Sample {
            disk_bytes: None,
            ..before.clone()
        };
        note(&mut seen, 5 * second, &before, &silent, second);
        assert_eq!(seen, Seen::default());
        let now = Sample {
            disk_bytes: Some(2),
            services: vec![true],
            processor: Some(second / 2),
            ..before.clone()
        };
        note(&mut seen, 6 * second, &before, &now, second);
        let at = Some(6 * second);
        assert_eq!((seen.console, seen.disk), (None, at));
        assert_eq!((seen.services, seen.processor), (at, at));
        let told = seen.describe(9 * second);
        assert_eq!(told, "disk activity, 3 s ago; processor activity, 3 s ago");
    }
}
