//! Waiting for a guest to be warm and quiet, before it is captured.
//!
//! A snapshot is resumed hundreds of times, and every resume repeats what the
//! guest was in the middle of. Taken at the first healthy moment, a guest with
//! the real backend needed 25–27 s for each later start; taken after its
//! warm-up, 5–7 s. So each service is asked until its answers are fast and
//! steady, and then the guest's CPUs must be idle for some seconds.
//!
//! Some guests are never idle, such as published images, whose services ask
//! each other every second. For them it is enough that nothing changes any
//! more: a warm-up ends in answers that get no faster and a load that gets no
//! lower.

use std::time::Duration;

use host::ProcessIdentity;
use tokio::time::Instant;

use crate::machine::readiness::{Endpoint, Prober};

/// Rounds of requests whose times are compared.
const WINDOW: usize = 4;
/// A round is steady if it takes at most this times the fastest of its window,
/// or is within [`SLACK`] of it.
const STEADY: u32 = 2;
/// Differences below this say nothing about warm-up.
const SLACK: Duration = Duration::from_millis(50);
/// How long the CPUs are watched at a time. A sample is a sample: there is no
/// event for "idle".
const SAMPLE: Duration = Duration::from_millis(500);
/// Share of one host core below which a guest counts as idle. A quiet guest
/// under software emulation uses 2–5 % for its clock ticks.
const IDLE_SHARE: f64 = 0.15;
/// Samples in a row that must be idle.
const IDLE_SAMPLES: u32 = 4;

/// Samples that make up one stretch: some rounds of what happens each second.
const STRETCH: usize = 4;
/// Stretches that are compared, of at least 2 s each: three parts of four.
const LEVEL_WINDOW: usize = 12;
/// By how much the parts' loads may differ, as a share of the lowest.
const LEVEL_LOAD: f64 = 0.15;
/// Differences in load below this, in cores, say nothing about warm-up.
const LOAD_SLACK: f64 = 0.05;
/// By how much the parts' answers may differ, as a share of the fastest.
const LEVEL_ANSWERS: f64 = 0.25;
/// The share of its CPUs from which a guest may have work that waits: it then
/// cannot get any busier, so that a steady load says nothing.
const SATURATED: f64 = 0.9;

/// How the wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Fast, steady and idle.
    Quiet,
    /// Never idle, but no longer getting faster or quieter.
    Level,
    /// The limit came first; the snapshot will work, its starts may be slower.
    StillBusy,
}

/// What a guest was like for some seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    /// Host cores that it used.
    load: f64,
    /// How long a round of requests then took.
    answers: Duration,
}

/// Asks and watches until the guest is quiet, or busy in the same way for long,
/// but for at most `limit`. `meanwhile` is called between samples.
pub(crate) async fn settle(
    prober: &Prober,
    endpoints: &[Endpoint],
    process: &ProcessIdentity,
    vcpus: u16,
    limit: Duration,
    mut meanwhile: impl FnMut(),
) -> Settled {
    let deadline = Instant::now() + limit;
    let mut times = Vec::new();
    while !is_steady(&times) {
        if Instant::now() >= deadline {
            return Settled::StillBusy;
        }
        match prober.round_trip(endpoints).await {
            Some(time) => times.push(time),
            None => times.clear(),
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpus = cores.min(usize::from(vcpus));
    let mut idle = 0;
    let (mut loads, mut stretches) = (Vec::new(), Vec::new());
    while idle < IDLE_SAMPLES {
        if Instant::now() >= deadline {
            return Settled::StillBusy;
        }
        let (before, begun) = (process.cpu_time(), Instant::now());
        tokio::time::sleep(SAMPLE).await;
        let busy = match (before, process.cpu_time()) {
            (Some(before), Some(after)) => {
                after.saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
            }
            // Where the system does not tell, the time limit decides.
            _ => f64::INFINITY,
        };
        idle = if busy < IDLE_SHARE { idle + 1 } else { 0 };
        tracing::debug!(busy, idle, "settling");
        meanwhile();
        loads.push(busy);
        // A guest that is about to be idle is left in peace.
        if loads.len() >= STRETCH && idle == 0 {
            let load = mean(&loads);
            loads.clear();
            match prober.round_trip(endpoints).await {
                Some(answers) => stretches.push(Stretch { load, answers }),
                None => stretches.clear(),
            }
            if is_level(&stretches, cpus) {
                tracing::debug!(load, "never idle, but level");
                return Settled::Level;
            }
        }
    }
    Settled::Quiet
}

fn is_steady(times: &[Duration]) -> bool {
    let Some(window) = times.len().checked_sub(WINDOW).map(|start| &times[start..]) else {
        return false;
    };
    match (window.iter().min(), window.iter().max()) {
        (Some(least), Some(most)) => *most <= *least * STEADY || *most <= *least + SLACK,
        _ => false,
    }
}

/// Whether the last stretches of a guest that can keep `cpus` cores busy show no warm-up: neither its load
/// nor its answers differ from one part of them to another.
fn is_level(stretches: &[Stretch], cpus: usize) -> bool {
    let Some(start) = stretches.len().checked_sub(LEVEL_WINDOW) else {
        return false;
    };
    let window = &stretches[start..];
    // The middle of each part, so that what happens once a minute does not count.
    let middles = |value: fn(&Stretch) -> f64| -> Vec<f64> {
        let parts = window.chunks(LEVEL_WINDOW / 3);
        parts
            .map(|part| median(part.iter().map(value).collect()))
            .collect()
    };
    let loads = middles(|stretch| stretch.load);
    let answers = middles(|stretch| stretch.answers.as_secs_f64());
    let most_load = f64::from(u32::try_from(cpus).unwrap_or(u32::MAX)) * SATURATED;
    loads.iter().all(|load| *load < most_load)
        && are_alike(&loads, LEVEL_LOAD, LOAD_SLACK)
        && are_alike(&answers, LEVEL_ANSWERS, SLACK.as_secs_f64())
}

/// Whether no value is more than `share` of the least above it, or than `slack`.
fn are_alike(values: &[f64], share: f64, slack: f64) -> bool {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most - least <= (least * share).max(slack)
}

fn mean(values: &[f64]) -> f64 {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    values.iter().sum::<f64>() / f64::from(count)
}

/// The value in the middle, or the mean of the two there.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        mean(&values[middle.saturating_sub(1)..=middle])
    } else {
        values[middle]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steady_means_alike_not_fast() {
        let ms = |times: &[u64]| {
            times
                .iter()
                .map(|ms| Duration::from_millis(*ms))
                .collect::<Vec<_>>()
        };
        assert!(!is_steady(&ms(&[10, 10, 10])), "too few");
        assert!(
            is_steady(&ms(&[900, 400, 380, 390, 410])),
            "the warm-up is behind"
        );
        assert!(!is_steady(&ms(&[900, 400, 380, 390])));
        assert!(is_steady(&ms(&[1, 4, 2, 3])), "noise");
    }

    const CPUS: usize = 2;

    fn stretch(load: f64, answers: f64) -> Stretch {
        Stretch {
            load,
            answers: Duration::from_secs_f64(answers),
        }
    }

    /// What begins `excess` times above its `end` and comes `rate` closer with each stretch.
    fn falling(end: f64, excess: f64, rate: f64, at: usize) -> f64 {
        end * (1.0 + excess * rate.powi(i32::try_from(at).unwrap()))
    }

    proptest! {
        #[test]
        fn a_guest_that_is_always_as_busy_is_level(
            load in 0.2..1.6f64,
            answers in 0.01..5.0f64,
            noise in prop::collection::vec((-0.04..0.04f64, -0.1..0.1f64), LEVEL_WINDOW..40),
        ) {
            let seen: Vec<_> = noise
                .iter()
                .map(|(of_load, of_answers)| {
                    stretch(load * (1.0 + of_load), answers * (1.0 + of_answers))
                })
                .collect();
            prop_assert!(is_level(&seen, CPUS), "{:?}", seen);
        }

        #[test]
        fn a_guest_that_gets_quieter_is_not(
            end in 0.5..1.2f64,
            fall in 0.3..0.45f64,
            noise in prop::collection::vec(-0.01..0.01f64, LEVEL_WINDOW),
        ) {
            // In a straight line: a curve falls more at its beginning.
            let whole = f64::from(u32::try_from(LEVEL_WINDOW).unwrap() - 1);
            let seen: Vec<_> = noise
                .iter()
                .zip(0u32..)
                .map(|(noise, at)| {
                    let left = 1.0 - f64::from(at) / whole;
                    stretch(end * (1.0 + fall * left + noise), 0.3)
                })
                .collect();
            prop_assert!(!is_level(&seen, CPUS), "{:?}", seen);
        }

        #[test]
        fn a_guest_that_answers_faster_and_faster_is_not(
            end in 0.3..5.0f64,
            excess in 1.0..5.0f64,
            rate in 0.7..0.9f64,
        ) {
            let seen: Vec<_> = (0..LEVEL_WINDOW)
                .map(|at| stretch(0.7, falling(end, excess, rate, at)))
                .collect();
            prop_assert!(!is_level(&seen, CPUS), "{:?}", seen);
        }

        #[test]
        fn every_warm_up_that_ends_is_level_in_the_end(
            load in 0.2..0.8f64,
            answers in 0.05..2.0f64,
            excess in 0.0..1.0f64,
            rate in 0.1..0.8f64,
        ) {
            let seen: Vec<_> = (0..LEVEL_WINDOW + 12)
                .map(|at| {
                    let (load, answers) = (falling(load, excess, rate, at), falling(answers, excess, rate, at));
                    stretch(load, answers)
                })
                .collect();
            prop_assert!(is_level(&seen, CPUS), "{:?}", seen);
        }

        #[test]
        fn a_short_look_and_a_guest_with_no_time_to_spare_tell_nothing(
            load in 0.2..1.6f64,
            few in 0..LEVEL_WINDOW,
            full in 1.8..2.5f64,
        ) {
            prop_assert!(!is_level(&vec![stretch(load, 0.3); few], CPUS));
            prop_assert!(!is_level(&[stretch(full, 0.3); LEVEL_WINDOW], CPUS));
            prop_assert!(!is_level(&[stretch(f64::INFINITY, 0.3); LEVEL_WINDOW], CPUS));
        }
    }

    #[test]
    fn what_happens_once_does_not_count() {
        let mut seen = [stretch(0.7, 0.3); LEVEL_WINDOW];
        seen[5] = stretch(1.9, 2.0);
        assert!(is_level(&seen, CPUS));
        // A step in the middle does, until it is behind.
        let mut seen = vec![stretch(1.2, 0.3); 6];
        seen.extend([stretch(0.7, 0.3); LEVEL_WINDOW]);
        assert!(!is_level(&seen[..=LEVEL_WINDOW], CPUS));
        assert!(is_level(&seen, CPUS));
    }
}
