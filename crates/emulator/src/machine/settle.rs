//! Waiting for a guest to be warm and quiet, before it is captured.
//!
//! A snapshot is resumed hundreds of times, and every resume repeats what the
//! guest was in the middle of. Taken at the first healthy moment, a guest with
//! the real backend needed 25–27 s for each later start; taken after its
//! warm-up, 5–7 s. So each service is asked until its answers are fast and
//! steady, and then the guest's CPUs must be idle for some seconds.

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

/// How the wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Fast, steady and idle.
    Quiet,
    /// The limit came first; the snapshot will work, its starts may be slower.
    StillBusy,
}

/// Asks and watches until the guest is quiet, for at most `limit`. `meanwhile`
/// is called between samples.
pub(crate) async fn settle(
    prober: &Prober,
    endpoints: &[Endpoint],
    process: &ProcessIdentity,
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
    let mut idle = 0;
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
            _ => 1.0,
        };
        idle = if busy < IDLE_SHARE { idle + 1 } else { 0 };
        tracing::debug!(busy, idle, "settling");
        meanwhile();
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

#[cfg(test)]
mod tests {
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
}
