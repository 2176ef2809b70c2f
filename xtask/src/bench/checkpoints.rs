//! Checkpoints: creating one, restoring it with the same secrets and with new ones, beside a stop and the start
//! that follows it.

use anyhow::{Result, ensure};

use super::program::{Program, Sample};
use super::{cores, median, milliseconds, phase_table, row, seconds};

const NAME: &str = "bench";

#[derive(Default)]
struct Samples {
    created: Vec<Sample>,
    restored: Vec<Sample>,
    rotated: Vec<Sample>,
    stopped: Vec<Sample>,
    continued: Vec<Sample>,
}

/// Measures `program`, `runs` times each.
pub(super) fn measure(program: &Program, runs: usize) -> Result<()> {
    println!("checkpoints: create, restore, stop, start");
    program.run(&["start"], &[])?;
    let mut all = Samples::default();
    for _ in 0..runs {
        all.created
            .push(program.run(&["checkpoint", "create", NAME], &[])?);
        all.restored.push(restore(program, true)?);
        program.run(&["secrets", "rotate"], &[])?;
        all.rotated.push(restore(program, false)?);
        program.run(&["checkpoint", "delete", NAME, "--yes"], &[])?;
        all.stopped.push(program.run(&["stop"], &[])?);
        all.continued.push(program.run(&["start"], &[])?);
    }
    program.run(&["stop", "--discard"], &[])?;
    let wall = |samples: &[Sample]| median(samples.iter().map(|sample| sample.wall_ms));
    let paused = all.created.iter();
    let paused = median(paused.filter_map(|sample| sample.report["paused_ms"].as_f64()));
    let cycle = wall(&all.stopped) + wall(&all.continued);
    println!("\ncheckpoints: medians of {runs}, {} cores", cores());
    row("create", seconds(wall(&all.created)));
    row("  of that the guest stood still", milliseconds(paused));
    row("restore, the same secrets", seconds(wall(&all.restored)));
    row("restore, secrets rotated", seconds(wall(&all.rotated)));
    row("stop and start", seconds(cycle));
    row(
        "  stop and start / restore with the same secrets",
        format!("{:.1} x", cycle / wall(&all.restored)),
    );
    phase_table(&[
        ("create", &all.created),
        ("restore", &all.restored),
        ("rotated", &all.rotated),
        ("stop", &all.stopped),
        ("start", &all.continued),
    ]);
    Ok(())
}

/// A restore that went as it should.
fn restore(program: &Program, keeps: bool) -> Result<Sample> {
    let sample = program.run(&["checkpoint", "restore", NAME], &[])?;
    let start = &sample.report["start"];
    let right = start["kind"] == "restored" && start["secrets_kept"] == keeps;
    ensure!(right, "{}", sample.report);
    Ok(sample)
}
