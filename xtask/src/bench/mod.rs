//! `cargo xtask bench`: what a start, a stop and a capture cost, as medians, and
//! as ratios against the cold boot measured in the same run.
//!
//! Everything is measured from outside, as a user's terminal would: the wall
//! time of the command line from its start to its end. The phases come from the
//! command's own report. Nothing here passes or fails; numbers depend on the
//! machine, so only ratios of one run are worth comparing.

mod ahead;
mod api;
mod checkpoints;
mod clones;
mod cold;
mod desktop;
mod guest;
mod picture;
mod program;
mod transfer;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::image;
use crate::workspace;
use program::{Program, Sample};

/// Guest memory in use at a measured stop, in MiB.
const MEMORY_IN_USE_MIB: u64 = 512;

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Starts, stops and captures
    Start,
    /// Starts prepared and from standby, and stops that answer at once, beside others; of the starter and of an image that is slow to rotate
    Ahead,
    /// Clones for test workers: one, and eight at once
    Clones,
    /// Creating and restoring checkpoints, beside a stop and a start
    Checkpoints,
    /// The starter's API: signing in, reading the user, a minute of requests at a steady rate
    Api,
    /// A pull against `curl`
    Pull,
    /// Archiving and restoring a snapshot against `tar` and `zstd`
    Archive,
    /// The desktop app's window, idling and memory
    Desktop,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How often each thing is done; the median counts
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// Measure starts with an empty page cache instead, as after a boot of the host (root only)
    #[arg(long, conflicts_with = "parts")]
    cold: bool,
    /// Measure this image instead of the starter image
    #[arg(long)]
    image: Option<PathBuf>,
    /// Write the picture of the phases here instead of docs/phases.svg
    #[arg(long)]
    picture: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.cold {
        cold::check_allowed()?;
    }
    let root = workspace::root()?;
    let image = match &args.image {
        Some(image) => image.clone(),
        None => image::ensure_built(&image::Args::of(None))?.qcow2,
    };
    let home = workspace::target_dir(&root).join("bench-home");
    let program = Program::build(&root, &home, &image)?;
    let runs = args.runs.max(1);
    if args.cold {
        return cold::measure(&program, runs);
    }
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    if wanted(Part::Start) {
        starts(args, &root, &program, &image, runs)?;
    }
    if wanted(Part::Ahead) {
        ahead::measure(&root, &image, runs)?;
    }
    if wanted(Part::Clones) {
        clones::measure(&program, runs)?;
    }
    if wanted(Part::Checkpoints) {
        checkpoints::measure(&program, runs)?;
    }
    if wanted(Part::Api) {
        api::measure(&program, runs)?;
    }
    if wanted(Part::Pull) {
        transfer::pull(&root, &program, &image, runs)?;
    }
    if wanted(Part::Archive) {
        transfer::archive(&root, &program, runs)?;
    }
    if wanted(Part::Desktop) {
        desktop::measure(&root, program.path(), &image)?;
    }
    Ok(())
}

fn starts(args: &Args, root: &Path, program: &Program, image: &Path, runs: usize) -> Result<()> {
    println!("capture");
    let captures = program.repeat(runs.min(3), &["capture"], &[])?;
    let to_committed = median(
        captures
            .iter()
            .filter_map(|c| c.report["stop_to_committed_ms"].as_f64()),
    );

    println!("cold boot");
    let mut cold = Vec::new();
    for _ in 0..runs {
        cold.push(program.run(&["start"], &[("EMULATOR_NO_SNAPSHOT", "1")])?);
        program.run(&["stop", "--discard"], &[])?;
    }

    println!("start from the snapshot, stop --discard");
    let (mut resumed, mut discarded, mut anonymous) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        resumed.push(program.run(&["start"], &[])?);
        let status = program.run(&["status"], &[])?;
        anonymous.extend(status.report["memory"]["anonymous"].as_f64());
        discarded.push(program.run(&["stop", "--discard"], &[])?);
    }

    println!("start from the snapshot without rotation");
    let mut unrotated = Vec::new();
    for _ in 0..runs {
        unrotated.push(program.run(&["start"], &[("EMULATOR_NO_ROTATION", "1")])?);
        program.run(&["stop", "--discard"], &[])?;
    }

    println!("stop, continue");
    let (mut saved, mut continued) = (Vec::new(), Vec::new());
    program.run(&["start"], &[])?;
    guest::use_memory(program, MEMORY_IN_USE_MIB)?;
    for _ in 0..runs {
        saved.push(program.run(&["stop"], &[])?);
        continued.push(program.run(&["start"], &[])?);
    }
    let memory_file = program.session_memory_bytes();
    program.run(&["stop", "--discard"], &[])?;

    check_kind(&resumed, "resumed")?;
    check_kind(&unrotated, "resumed")?;
    check_kind(&continued, "continued")?;
    check_kind(&cold, "cold")?;

    let size = std::fs::metadata(image)
        .with_context(|| format!("cannot look at {}", image.display()))?
        .len();
    let wall = |samples: &[Sample]| median(samples.iter().map(|sample| sample.wall_ms));
    println!(
        "\nmedians of {runs}, {} cores, {}",
        cores(),
        accelerator(&resumed)
    );
    row(
        "start from snapshot, with rotation",
        seconds(wall(&resumed)),
    );
    row(
        "start from snapshot, without rotation",
        seconds(wall(&unrotated)),
    );
    row("cold boot", seconds(wall(&cold)));
    row(
        "  cold boot / start from snapshot",
        format!("{:.1} x", wall(&cold) / wall(&resumed)),
    );
    row(
        "our own share of a start (total less QEMU and guest)",
        milliseconds(median(resumed.iter().map(own_share))),
    );
    row(
        "rotation in the guest",
        milliseconds(median(resumed.iter().map(|s| s.phase("rotate")))),
    );
    row("stop --discard", seconds(wall(&discarded)));
    row(
        &format!("stop, session kept, {MEMORY_IN_USE_MIB} MiB of guest memory in use"),
        seconds(wall(&saved)),
    );
    row("start that continues it", seconds(wall(&continued)));
    row("capture, from stop to committed", seconds(to_committed));
    row(
        "anonymous memory of a started VM",
        megabytes(median(anonymous)),
    );
    if let Some(bytes) = memory_file {
        row("saved session's memory on disk", megabytes(bytes));
    }
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    row("image", megabytes(size as f64));
    phase_table(&[
        ("start", &resumed),
        ("continue", &continued),
        ("cold", &cold),
        ("stop", &saved),
    ]);

    let path = args
        .picture
        .clone()
        .unwrap_or_else(|| root.join("docs/phases.svg"));
    let bars = [
        picture::Bar::new("Cold boot", &cold),
        picture::Bar::new("Continue the last session", &continued),
        picture::Bar::new("Start from the snapshot", &resumed),
    ];
    std::fs::write(
        &path,
        picture::draw(
            &bars,
            "Phases of a start from the snapshot, of a continued session and of a cold boot",
        ),
    )
    .with_context(|| format!("cannot write {}", path.display()))?;
    println!("\npicture: {}", path.display());
    Ok(())
}

/// A line of a table.
#[expect(clippy::needless_pass_by_value, reason = "made for it")]
fn row(name: &str, value: String) {
    println!("  {name:<58} {value:>10}");
}

/// A start that fell back would be measured as something that it is not.
fn check_kind(samples: &[Sample], kind: &str) -> Result<()> {
    for sample in samples {
        let start = &sample.report["start"];
        anyhow::ensure!(
            start["kind"] == kind,
            "a start was to be {kind} and was not: {start}"
        );
    }
    Ok(())
}

/// Phases in which QEMU or the guest works; the rest of a start is ours.
const THEIRS: [&str; 7] = ["qemu", "load", "boot", "agent", "clock", "rotate", "ready"];

fn own_share(sample: &Sample) -> f64 {
    sample.wall_ms - THEIRS.iter().map(|phase| sample.phase(phase)).sum::<f64>()
}

fn phase_table(columns: &[(&str, &[Sample])]) {
    println!("\nphases in ms");
    for (name, samples) in columns {
        let mut names: Vec<&str> = Vec::new();
        for sample in *samples {
            names.extend(
                sample
                    .phase_names()
                    .filter(|phase| !names.contains(phase))
                    .collect::<Vec<_>>(),
            );
        }
        let times: Vec<String> = names
            .iter()
            .map(|phase| {
                format!(
                    "{phase} {:.0}",
                    median(samples.iter().map(|sample| sample.phase(phase)))
                )
            })
            .collect();
        println!("  {name:<10} {}", times.join("  "));
    }
}

fn accelerator(samples: &[Sample]) -> String {
    samples
        .first()
        .and_then(|sample| sample.report["accelerator"].as_str())
        .unwrap_or("?")
        .to_owned()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn seconds(ms: f64) -> String {
    format!("{:.2} s", ms / 1e3)
}

fn milliseconds(ms: f64) -> String {
    format!("{ms:.0} ms")
}

fn megabytes(bytes: f64) -> String {
    format!("{:.0} MB", bytes / 1e6)
}

/// The middle value; of an even number, the mean of the two in the middle.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The phases of a report, wherever the command puts them.
fn phases(report: &Value) -> impl Iterator<Item = (&str, f64)> {
    let list = report["start"]["phases"]
        .as_array()
        .or_else(|| report["phases"].as_array());
    list.into_iter()
        .flatten()
        .filter_map(|phase| Some((phase["name"].as_str()?, phase["ms"].as_f64()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).is_nan());
    }
}
