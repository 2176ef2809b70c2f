//! Starts whose work was done ahead, and stops that leave theirs, beside those that do it all, in turns.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use qemu::ProcessIdentity;

use super::picture::{self, Bar};
use super::program::{Program, Sample};
use super::{check_kind, cores, median, megabytes, phase_table, row, seconds};
use crate::image;
use crate::workspace;

/// The payload whose rotation is a restart of some seconds.
const SLOW_PAYLOAD: &str = "tests/payloads/slow-restart";
/// The continued starts of both images.
const PICTURE: &str = "docs/ahead.svg";
const OFF: [(&str, &str); 1] = [("STACK_EMULATOR_AHEAD", "off")];
const DISK: [(&str, &str); 1] = [("STACK_EMULATOR_AHEAD", "disk")];
const MEMORY: [(&str, &str); 1] = [("STACK_EMULATOR_AHEAD", "memory")];
const NO_ROTATION: [(&str, &str); 1] = [("EMULATOR_NO_ROTATION", "1")];

/// Measures both images, `runs` times each.
pub(super) fn measure(root: &Path, image: &Path, runs: usize) -> Result<()> {
    let slow = image::ensure_built(&image::Args::of(Some(root.join(SLOW_PAYLOAD))))?.qcow2;
    let mut bars = Vec::new();
    for (name, image) in [("slow payload", slow.as_path()), ("starter", image)] {
        let home = workspace::target_dir(root).join("bench-ahead-home");
        let program = Program::build(root, &home, image)?;
        println!("{name}: capture");
        program.run(&["capture"], &[])?;
        bars.extend(one(&program, name, runs)?);
        stops(&program, name, runs)?;
    }
    let path = root.join(PICTURE);
    let about =
        "Phases of continued starts: with the secrets replaced first, prepared, and from standby";
    std::fs::write(&path, picture::draw(&bars, about))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("\npicture: {}", path.display());
    Ok(())
}

/// What is done before a start.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Prepared,
    Standby,
}

#[derive(Default)]
struct Samples {
    plain: Vec<Sample>,
    prepared: Vec<Sample>,
    standby: Vec<Sample>,
    unrotated: Vec<Sample>,
    /// Private memory of a started machine that was prepared, and of one that stands by, in bytes.
    private: Vec<f64>,
    waiting: Vec<f64>,
    work: Vec<Sample>,
    /// How much of a processor all processes of a machine that stands by use.
    idle: Option<f64>,
}

/// How long the processes of a machine that stands by are watched.
const WATCHED: Duration = Duration::from_secs(10);

/// How much of a processor the processes use that work in the home, from now on.
fn processor_share(program: &Program) -> Result<f64> {
    let used = || -> Result<Duration> {
        let processes = program.processes()?;
        ensure!(!processes.is_empty(), "no machine stands by");
        Ok(processes.iter().filter_map(ProcessIdentity::cpu_time).sum())
    };
    let before = used()?;
    std::thread::sleep(WATCHED);
    Ok(used()?.saturating_sub(before).as_secs_f64() / WATCHED.as_secs_f64())
}

impl Samples {
    fn start(&mut self, program: &Program, before: Before) -> Result<()> {
        let ahead = match before {
            Before::Nothing => OFF,
            Before::Prepared => DISK,
            Before::Standby => MEMORY,
        };
        if before != Before::Nothing {
            let work = program.run(&["work-ahead"], &ahead)?;
            ensure!(work.report["prepared"] == true, "{}", work.report);
            if before == Before::Standby {
                let status = program.status(&ahead)?;
                self.waiting.extend(status["next_start"]["memory"].as_f64());
                if self.idle.is_none() {
                    self.idle = Some(processor_share(program)?);
                }
            } else {
                self.work.push(work);
            }
        }
        let start = program.run(&["start"], &ahead)?;
        for (field, expected) in [
            ("prepared", before != Before::Nothing),
            ("standby", before == Before::Standby),
        ] {
            let is = &start.report["start"][field];
            ensure!(*is == expected, "{field}: {}", start.report);
        }
        match before {
            Before::Nothing => self.plain.push(start),
            Before::Standby => self.standby.push(start),
            Before::Prepared => {
                let status = program.run(&["status"], &[])?;
                self.private
                    .extend(status.report["memory"]["anonymous"].as_f64());
                self.prepared.push(start);
            }
        }
        Ok(())
    }
}

const ALL: [Before; 3] = [Before::Nothing, Before::Prepared, Before::Standby];

/// Stops that save the session first, those that leave that to the background, and the starts that
/// follow those at once.
fn stops(program: &Program, name: &str, runs: usize) -> Result<()> {
    println!("{name}: stops, with the session saved first and behind, and a start right after");
    let (mut first, mut saved, mut behind, mut after) = (vec![], vec![], vec![], vec![]);
    for _ in 0..runs {
        program.run(&["stop", "--discard"], &OFF)?;
        program.run(&["capture"], &OFF)?;
        program.run(&["start"], &OFF)?;
        // The first one after a capture.
        first.push(program.run(&["stop"], &DISK)?);
        after.push(program.run(&["start"], &DISK)?);
        behind.push(program.run(&["stop"], &DISK)?);
        after.push(program.run(&["start"], &DISK)?);
        saved.push(program.run(&["stop"], &OFF)?);
        program.run(&["start"], &OFF)?;
    }
    program.run(&["stop", "--discard"], &OFF)?;
    for stop in first.iter().chain(&behind) {
        ensure!(stop.report["session"] == "saving", "{}", stop.report);
    }
    check_kind(&after, "continued")?;
    let wall = |samples: &[Sample]| median(samples.iter().map(|sample| sample.wall_ms));
    println!("\n{name}: medians of {runs}, {} cores", cores());
    row("stop, session saved first", seconds(wall(&saved)));
    row("stop, session saved behind", seconds(wall(&behind)));
    let ratio = wall(&saved) / wall(&behind);
    row("  saved first / behind", format!("{ratio:.1} x"));
    row("the first one after a capture", seconds(wall(&first)));
    row("start right after a stop", seconds(wall(&after)));
    Ok(())
}

fn one(program: &Program, name: &str, runs: usize) -> Result<[Bar; 3]> {
    println!("{name}: fresh starts, plain, prepared, from standby and without rotation");
    let mut fresh = Samples::default();
    for _ in 0..runs {
        for before in ALL {
            fresh.start(program, before)?;
            program.run(&["stop", "--discard"], &[])?;
        }
        fresh.unrotated.push(program.run(&["start"], &NO_ROTATION)?);
        program.run(&["stop", "--discard"], &[])?;
    }
    println!("{name}: continued starts, plain, prepared, from standby and without rotation");
    let mut continued = Samples::default();
    program.run(&["start"], &[])?;
    for _ in 0..runs {
        for before in ALL {
            program.run(&["stop"], &[])?;
            continued.start(program, before)?;
        }
        program.run(&["stop"], &[])?;
        continued
            .unrotated
            .push(program.run(&["start"], &NO_ROTATION)?);
    }
    program.run(&["stop", "--discard"], &[])?;
    println!("\n{name}: medians of {runs}, {} cores", cores());
    for (kind, samples) in [("resumed", &fresh), ("continued", &continued)] {
        let lists = [
            &samples.plain,
            &samples.prepared,
            &samples.standby,
            &samples.unrotated,
        ];
        for list in lists {
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
        let standby = wall(&samples.standby);
        row(&format!("{kind}, from standby"), seconds(standby));
        row(
            "  replaced first / from standby",
            format!("{:.1} x", plain / standby),
        );
        row(
            "private memory of a standby",
            megabytes(median(samples.waiting.iter().copied())),
        );
        if let Some(share) = samples.idle {
            row(
                &format!("processor time of a standby in {} s", WATCHED.as_secs()),
                format!("{:.2} %", share * 100.0),
            );
        }
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
            ("standby", &samples.standby),
            ("work", &samples.work),
        ]);
    }
    Ok([
        Bar::new(&format!("{name}: secrets replaced first"), &continued.plain),
        Bar::new(&format!("{name}: prepared on disk"), &continued.prepared),
        Bar::new(&format!("{name}: standby in memory"), &continued.standby),
    ])
}
