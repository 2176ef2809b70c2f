//! The first start after a boot of the host: the same starts with the page cache dropped before each, beside
//! those with a warm one, in turns.
//!
//! Dropping the page cache takes root, and slows down whatever else runs on this host.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::program::{Program, Sample};
use super::{check_kind, cores, median, phase_table, row, seconds};

/// The kernel's switch for that; 3 drops pages, folders' entries and inodes.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Refuses what would fail half-way.
pub(super) fn check_allowed() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "`--cold` drops the page cache of this host, which only root can do; run it as root"
    );
    Ok(())
}

/// Measures fresh and continued starts, `runs` times each.
pub(super) fn measure(program: &Program, runs: usize) -> Result<()> {
    println!("capture");
    program.run(&["capture"], &[])?;
    println!("fresh starts, with the page cache warm and dropped");
    let (mut warm, mut cold) = (Vec::new(), Vec::new());
    // The first one writes down what the later ones read ahead.
    program.run(&["start"], &[])?;
    for _ in 0..runs {
        for (samples, drop) in [(&mut warm, false), (&mut cold, true)] {
            program.run(&["stop", "--discard"], &[])?;
            samples.push(start(program, drop)?);
        }
    }
    check_kind(&warm, "resumed")?;
    check_kind(&cold, "resumed")?;
    println!("continued starts, with the page cache warm and dropped");
    let (mut continued, mut continued_cold) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        for (samples, drop) in [(&mut continued, false), (&mut continued_cold, true)] {
            program.run(&["stop"], &[])?;
            samples.push(start(program, drop)?);
        }
    }
    program.run(&["stop", "--discard"], &[])?;
    check_kind(&continued, "continued")?;
    check_kind(&continued_cold, "continued")?;
    println!("\nmedians of {runs}, {} cores", cores());
    for (kind, warm, cold) in [
        ("fresh", &warm, &cold),
        ("continued", &continued, &continued_cold),
    ] {
        let wall = |samples: &[Sample]| median(samples.iter().map(|sample| sample.wall_ms));
        let (warm_ms, cold_ms) = (wall(warm), wall(cold));
        row(&format!("{kind}, page cache warm"), seconds(warm_ms));
        row(&format!("{kind}, page cache dropped"), seconds(cold_ms));
        row("  dropped / warm", format!("{:.1} x", cold_ms / warm_ms));
        phase_table(&[("warm", warm), ("dropped", cold)]);
    }
    Ok(())
}

fn start(program: &Program, drop: bool) -> Result<Sample> {
    if drop {
        drop_page_cache()?;
    }
    program.run(&["start"], &[])
}

fn drop_page_cache() -> Result<()> {
    // What is not written yet cannot be dropped.
    rustix::fs::sync();
    std::fs::write(Path::new(DROP_CACHES), "3")
        .with_context(|| format!("cannot write {DROP_CACHES}"))
}
