//! Starts that were prepared, beside those that were not, in turns.

use std::path::Path;

use anyhow::{Result, ensure};

use super::program::{Program, Sample};
use super::{check_kind, cores, median, megabytes, phase_table, row, seconds};
use crate::image;
use crate::workspace;

/// The payload whose rotation is a restart of some seconds.
const SLOW_PAYLOAD: &str = "tests/payloads/slow-restart";
const NO_ROTATION: [(&str, &str); 1] = [("EMULATOR_NO_ROTATION", "1")];

/// Measures both images, `runs` times each.
pub(super) fn measure(root: &Path, image: &Path, runs: usize) -> Result<()> {
    let slow = image::ensure_built(&image::Args::of(Some(root.join(SLOW_PAYLOAD))))?.qcow2;
    for (name, image) in [("starter", image), ("slow payload", &slow)] {
        let home = workspace::target_dir(root).join("bench-ahead-home");
        let program = Program::build(root, &home, image)?;
        println!("{name}: capture");
        program.run(&["capture"], &[])?;
        one(&program, name, runs)?;
    }
    Ok(())
}

#[derive(Default)]
struct Samples {
    plain: Vec<Sample>,
    prepared: Vec<Sample>,
    unrotated: Vec<Sample>,
    private: Vec<f64>,
    work: Vec<Sample>,
}

impl Samples {
    fn start(&mut self, program: &Program, prepare: bool) -> Result<()> {
        if prepare {
            let work = program.run(&["work-ahead"], &[("STACK_EMULATOR_AHEAD", "disk")])?;
            ensure!(work.report["prepared"] == true, "{}", work.report);
            self.work.push(work);
        }
        let start = program.run(&["start"], &[])?;
        ensure!(
            start.report["start"]["prepared"] == prepare,
            "{}",
            start.report
        );
        if prepare {
            let status = program.run(&["status"], &[])?;
            self.private
                .extend(status.report["memory"]["anonymous"].as_f64());
            self.prepared.push(start);
        } else {
            self.plain.push(start);
        }
        Ok(())
    }
}

fn one(program: &Program, name: &str, runs: usize) -> Result<()> {
    println!("{name}: fresh starts, plain, prepared and without rotation");
    let mut fresh = Samples::default();
    for _ in 0..runs {
        for prepare in [false, true] {
            fresh.start(program, prepare)?;
            program.run(&["stop", "--discard"], &[])?;
        }
        fresh.unrotated.push(program.run(&["start"], &NO_ROTATION)?);
        program.run(&["stop", "--discard"], &[])?;
    }
    println!("{name}: continued starts, plain, prepared and without rotation");
    let mut continued = Samples::default();
    program.run(&["start"], &[])?;
    for _ in 0..runs {
        for prepare in [false, true] {
            program.run(&["stop"], &[])?;
            continued.start(program, prepare)?;
        }
        program.run(&["stop"], &[])?;
        continued
            .unrotated
            .push(program.run(&["start"], &NO_ROTATION)?);
    }
    program.run(&["stop", "--discard"], &[])?;
    println!("\n{name}: medians of {runs}, {} cores", cores());
    for (kind, samples) in [("resumed", &fresh), ("continued", &continued)] {
        for list in [&samples.plain, &samples.prepared, &samples.unrotated] {
            check_kind(list, kind)?;
        }
        let wall = |samples: &[Sample]| median(samples.iter().map(|sample| sample.wall_ms));
        let (plain, prepared) = (wall(&samples.plain), wall(&samples.prepared));
        row(&format!("{kind}, secrets replaced first"), seconds(plain));
        row(&format!("{kind}, prepared"), seconds(prepared));
        row(
            "  replaced first / prepared",
            format!("{:.1} x", plain / prepared),
        );
        row(
            &format!("{kind}, without rotation"),
            seconds(wall(&samples.unrotated)),
        );
        row(
            "private memory once prepared and started",
            megabytes(median(samples.private.iter().copied())),
        );
        row("the work ahead itself", seconds(wall(&samples.work)));
        phase_table(&[
            ("plain", &samples.plain),
            ("prepared", &samples.prepared),
            ("work", &samples.work),
        ]);
    }
    Ok(())
}
