//! `bench`: starts and stops, many times, on the user's own host.

use std::fmt::Write as _;

use emulator::{StartKind, StartReport, State};
use progress::PhaseTime;
use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Occupied};
use crate::output::{Detail, Render};
use crate::render::phases::chart;
use crate::render::reports::manner;
use crate::render::style::{CAUTION, GOOD};
use crate::render::text::{Facts, paint, printable};
use emulator::quantity::{bytes, factor, seconds};

/// What a benchmark reports.
#[derive(Debug, Serialize)]
struct BenchReport {
    /// How many cycles were measured.
    runs: u16,
    /// `kvm`, `hvf` or `tcg`.
    accelerator: String,
    /// How the starts came about.
    kinds: Kinds,
    /// Whether the starts rotated the secrets.
    rotated: bool,
    /// From the call of a start to the proof of readiness.
    start: Spread,
    /// From the call of `stop --discard` to its end.
    discard: Spread,
    /// The phases of a start: medians, in order.
    phases: Vec<PhaseTime>,
    /// Memory that a started VM has of its own, in bytes: the median.
    anonymous_bytes: Option<u64>,
    /// The cold boot that the snapshot was taken from, in milliseconds.
    cold_boot_ms: Option<f64>,
    /// How many times as fast as that cold boot the median start is.
    speedup: Option<f64>,
}

/// How many starts were of which kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Kinds {
    resumed: u16,
    continued: u16,
    cold: u16,
}

/// A measured time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the unit stands in the JSON as well"
)]
struct Spread {
    median_ms: f64,
    least_ms: f64,
    most_ms: f64,
}

/// One start and one stop.
struct Cycle {
    start: StartReport,
    discard_ms: f64,
    anonymous_bytes: Option<u64>,
}

pub(super) async fn run(context: &Context<'_>, runs: u16) -> Result<Exit, Failure> {
    let status = context.emulator.status().await?;
    match status.state {
        State::Stopped | State::Interrupted if !status.session_kept => {}
        // After a crash the session's disk is what the user still has.
        State::Stopped | State::Interrupted | State::Died => {
            return Err(Failure::BenchOccupied {
                occupied: Occupied::Session,
            });
        }
        State::Running | State::Starting | State::Paused | State::Stopping | State::Capturing => {
            return Err(Failure::BenchOccupied {
                occupied: Occupied::Running,
            });
        }
    }
    let measure = Box::pin(async {
        let mut cycles = Vec::new();
        for run in 1..=runs {
            context.progress.step(Some(format!("Run {run} of {runs}")));
            cycles.push(Box::pin(cycle(context)).await?);
        }
        context.progress.step(None);
        Ok(cycles)
    });
    // An interruption between a start and its stop must not leave the virtual
    // machine running.
    let clean_up = async || {
        context
            .emulator
            .discard("stop --discard", None, &context.progress)
            .await
            .map(drop)
    };
    let cycles = context.guarded_with(measure, clean_up).await?;
    if let Some(report) = summarize(runs, &cycles) {
        context.output.report(&report)?;
    }
    Ok(Exit::Success)
}

async fn cycle(context: &Context<'_>) -> Result<Cycle, Failure> {
    let start = context.emulator.start(&context.progress).await?;
    let running = context.emulator.status().await?;
    let stopped = context
        .emulator
        .discard("stop --discard", None, &context.progress)
        .await?;
    Ok(Cycle {
        start,
        discard_ms: stopped.total_ms,
        anonymous_bytes: running.memory.map(|memory| memory.anonymous),
    })
}

/// `None` if nothing was measured.
fn summarize(runs: u16, cycles: &[Cycle]) -> Option<BenchReport> {
    let last = cycles.last()?;
    let mut kinds = Kinds::default();
    for cycle in cycles {
        match cycle.start.start.kind {
            StartKind::Resumed => kinds.resumed += 1,
            StartKind::Continued | StartKind::Restored => kinds.continued += 1,
            StartKind::Cold => kinds.cold += 1,
        }
    }
    let start = spread(cycles.iter().map(|cycle| cycle.start.start.total_ms))?;
    let mut memory: Vec<u64> = cycles
        .iter()
        .filter_map(|cycle| cycle.anonymous_bytes)
        .collect();
    memory.sort_unstable();
    let cold_boot_ms = last
        .start
        .snapshot
        .as_ref()
        .map(|snapshot| snapshot.cold_boot_ms);
    Some(BenchReport {
        runs,
        accelerator: last.start.accelerator.clone(),
        kinds,
        rotated: last.start.start.rotated,
        start,
        discard: spread(cycles.iter().map(|cycle| cycle.discard_ms))?,
        phases: phase_medians(cycles),
        anonymous_bytes: memory.get(memory.len() / 2).copied(),
        cold_boot_ms,
        speedup: cold_boot_ms.map(|cold| cold / start.median_ms),
    })
}

/// The median of each phase over the cycles that had it, in the order of the
/// first cycle in which it came.
fn phase_medians(cycles: &[Cycle]) -> Vec<PhaseTime> {
    let mut names: Vec<&str> = Vec::new();
    let phases = || cycles.iter().flat_map(|cycle| &cycle.start.start.phases);
    for phase in phases() {
        if !names.contains(&phase.name.as_str()) {
            names.push(&phase.name);
        }
    }
    let median = |name: &str| {
        let times = phases()
            .filter(|phase| phase.name == name)
            .map(|phase| phase.ms);
        Some(PhaseTime {
            name: name.to_owned(),
            ms: spread(times)?.median_ms,
        })
    };
    names.into_iter().filter_map(median).collect()
}

/// `None` if there are no times.
fn spread(times: impl Iterator<Item = f64>) -> Option<Spread> {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    let (least_ms, most_ms) = (*times.first()?, *times.last()?);
    let middle = times.len() / 2;
    let upper = *times.get(middle)?;
    let median_ms = if times.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(*times.get(middle - 1)?, upper)
    };
    Some(Spread {
        median_ms,
        least_ms,
        most_ms,
    })
}

impl Spread {
    fn render(&self) -> String {
        format!(
            "{} ({} to {})",
            seconds(self.median_ms),
            seconds(self.least_ms),
            seconds(self.most_ms)
        )
    }
}

impl Render for BenchReport {
    fn render(&self, _: Detail) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} of {} {} on {}{}.\n",
            paint(GOOD, "Medians"),
            self.runs,
            if self.runs == 1 { "start" } else { "starts" },
            printable(&self.accelerator),
            if self.rotated {
                ""
            } else {
                ", without rotation"
            },
        );
        let mut facts = Facts::default();
        facts.add("Start", self.start.render());
        if let Some(cold) = self.cold_boot_ms {
            facts.add(
                "Cold boot",
                format!(
                    "{}, {} as long",
                    seconds(cold),
                    factor(cold, self.start.median_ms)
                ),
            );
        }
        facts.add("Stop", format!("{}, with --discard", self.discard.render()));
        if let Some(memory) = self.anonymous_bytes {
            facts.add(
                "Memory",
                format!("{} without pages shared with the snapshot", bytes(memory)),
            );
        }
        let Kinds {
            resumed,
            continued,
            cold,
        } = self.kinds;
        if resumed != self.runs {
            // A start that is not what it should be must not hide in a median.
            let kinds = [
                (StartKind::Resumed, resumed),
                (StartKind::Continued, continued),
                (StartKind::Cold, cold),
            ];
            let told: Vec<String> = kinds
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| format!("{count} {}", manner(kind)))
                .collect();
            facts.add("Kinds", paint(CAUTION, &told.join(", ")));
        }
        text.push_str(&facts.render());
        text.push('\n');
        text.push_str(&chart(&self.phases));
        text
    }
}

#[cfg(test)]
mod tests {
    use emulator::{SnapshotInfo, StartDetails};

    use super::*;
    use crate::render::text::plain;

    fn cycle(kind: StartKind, total_ms: f64, phases: &[(&str, f64)]) -> Cycle {
        let phases = phases
            .iter()
            .map(|(name, ms)| PhaseTime {
                name: (*name).into(),
                ms: *ms,
            })
            .collect();
        Cycle {
            start: StartReport {
                state: "running",
                already_running: false,
                start: StartDetails {
                    kind,
                    fallback_reason: None,
                    remedy: None,
                    clock_off_ms: None,
                    total_ms,
                    phases,
                    rotated: true,
                    prepared: false,
                    standby: false,
                    secrets_kept: false,
                },
                services: vec![],
                told_ports: vec![],
                localhost: vec![],
                accelerator: "tcg".into(),
                snapshot: Some(SnapshotInfo {
                    id: "0123456789abcdef".into(),
                    captured_at_ms: 0,
                    cold_boot_ms: 18_000.0,
                    bytes_on_disk: 1,
                }),
            },
            discard_ms: 120.0,
            anonymous_bytes: Some(148_000_000),
        }
    }

    #[test]
    fn medians_are_the_middle() {
        let median = |times: &[f64]| spread(times.iter().copied()).map(|spread| spread.median_ms);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        let spread = spread([3.0, 1.0].into_iter()).unwrap();
        assert_eq!((spread.least_ms, spread.most_ms), (1.0, 3.0));
    }

    #[test]
    fn a_phase_that_not_every_start_has_is_kept() {
        let cycles = [
            cycle(
                StartKind::Resumed,
                600.0,
                &[("qemu", 40.0), ("rotate", 200.0)],
            ),
            cycle(
                StartKind::Cold,
                18_000.0,
                &[("qemu", 60.0), ("boot", 17_000.0)],
            ),
        ];
        let phases = phase_medians(&cycles);
        let seen: Vec<_> = phases
            .iter()
            .map(|phase| (phase.name.as_str(), phase.ms))
            .collect();
        assert_eq!(
            seen,
            [("qemu", 50.0), ("rotate", 200.0), ("boot", 17_000.0)]
        );
    }

    #[test]
    fn the_report_compares_with_the_cold_boot() {
        let cycles = [cycle(StartKind::Resumed, 720.0, &[("qemu", 40.0)])];
        let report = summarize(1, &cycles).unwrap();
        assert_eq!(report.speedup, Some(25.0));
        let text = plain(&report.render(Detail::Brief));
        assert!(text.starts_with("Medians of 1 start on tcg.\n"), "{text}");
        assert!(text.contains("Cold boot  18.0 s, 25× as long\n"), "{text}");
        assert!(
            text.contains("Memory     148 MB without pages shared with the snapshot\n"),
            "{text}"
        );
        assert!(!text.contains("Kinds"), "{text}");
    }

    #[test]
    fn a_start_that_was_not_resumed_is_pointed_out() {
        let cycles = [
            cycle(StartKind::Resumed, 700.0, &[]),
            cycle(StartKind::Cold, 18_000.0, &[]),
        ];
        let text = plain(&summarize(2, &cycles).unwrap().render(Detail::Brief));
        assert!(
            text.contains("1 resumed from the snapshot, 1 booted cold"),
            "{text}"
        );
    }

    #[test]
    fn nothing_measured_is_no_report() {
        assert!(summarize(1, &[]).is_none());
    }
}
