//! The end-to-end test programs, two at a time where there are two processors.
//!
//! Most of what they do is to wait for a guest, which keeps about one processor busy. A lane has ports, a temporary folder
//! and a captured snapshot of its own, so that programs of different lanes know nothing of each other; within a
//! program, tests run one after the other. What a program prints appears when it has ended, so that it stays together.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::PORTS;
use super::programs::Program;
use crate::command::{OnOurDeath, tied};
use crate::{ports, workspace};

/// More would take time from each other that the tests' limits do not allow for.
const MOST: usize = 2;
/// Those that take minutes, begun first, so that no lane is left with one of them alone at the end. Those of one row go
/// through one lane: they share a home that no others copy, which is then made once.
const LONG: [&[&str]; 8] = [
    &["rotation", "silence", "folders"],
    &["desktop", "desktop_around"],
    &["interruption"],
    &["qemu_killed"],
    &["ahead", "put_away", "standby"],
    &["checkpoints"],
    &["guest_to_host", "others"],
    &["damage"],
];
/// Folder of the homes that the programs of a lane copy.
const TEMPLATES: &str = "STACK_EMULATOR_TEST_TEMPLATES";

/// What lanes take, in this order: the rows of [`LONG`], then every other program by itself.
fn ordered(mut programs: Vec<Program>) -> VecDeque<Vec<Program>> {
    // Cargo's order is that in which they were ready.
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    let row = |program: &Program| LONG.iter().position(|row| row.contains(&&*program.name));
    let (long, short): (Vec<_>, Vec<_>) = programs.into_iter().partition(|one| row(one).is_some());
    let mut rows: Vec<_> = LONG.iter().map(|_| vec![]).collect();
    for program in long {
        if let Some(row) = row(&program) {
            rows[row].push(program);
        }
    }
    rows.retain(|row| !row.is_empty());
    rows.extend(short.into_iter().map(|program| vec![program]));
    rows.into()
}

/// Runs them all with `variables` and `arguments`; a failed one does not keep the others from running.
pub(super) fn run(
    programs: Vec<Program>,
    variables: &[(&str, PathBuf)],
    arguments: &[String],
) -> Result<()> {
    // What the tests leave, such as snapshots that they share, goes with it.
    let scratch = tempfile::Builder::new().prefix("emulator-e2e-").tempdir()?;
    let services = ports::services(&workspace::root()?)?.len();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut free = (20_000..30_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let lanes = (0..MOST.min(processors))
        .map(|number| {
            let folder = scratch.path().join(number.to_string());
            Lane::new(&folder, services, &mut free)
        })
        .collect::<Result<Vec<_>>>()?;
    let queue = Mutex::new(ordered(programs));
    let failed = Mutex::new(vec![]);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for lane in &lanes {
            scope.spawn(|| {
                while let Some(row) = next(&queue) {
                    for program in row {
                        eprintln!("e2e: {} …", program.name);
                        let begun = Instant::now();
                        let mut command = lane.command(&program);
                        command.envs(variables.iter().cloned()).args(arguments);
                        let result = lane.run(&mut command);
                        if let Err(error) = tell(lane, &program.name, begun.elapsed(), result) {
                            eprintln!("error: {}: {error:#}", program.name);
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            failed.push(program.name);
                        }
                    }
                }
                eprintln!(
                    "e2e: a lane has nothing left to do after {:.0} s",
                    begun.elapsed().as_secs_f64()
                );
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn next(queue: &Mutex<VecDeque<Vec<Program>>>) -> Option<Vec<Program>> {
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

/// Prints what a program has printed, in one piece, and passes on how it ended.
fn tell(lane: &Lane, name: &str, took: Duration, result: Result<()>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\ne2e: {name}, {:.0} s", took.as_secs_f64())?;
    let mut log =
        File::open(&lane.log).with_context(|| format!("cannot read {}", lane.log.display()))?;
    std::io::copy(&mut log, &mut out)?;
    out.flush()?;
    result
}

/// What programs that run one after the other share.
struct Lane {
    temporary: PathBuf,
    templates: PathBuf,
    /// One for each service of the starter image.
    ports: Vec<u16>,
    /// What the program that runs has printed.
    log: PathBuf,
}

impl Lane {
    /// In `folder`, which it makes, on the next of the `free` ports.
    fn new(folder: &Path, services: usize, free: &mut impl Iterator<Item = u16>) -> Result<Self> {
        let ports: Vec<u16> = free.take(services).collect();
        ensure!(
            ports.len() == services,
            "every port from 20000 to 30000 is taken"
        );
        let lane = Self {
            temporary: folder.join("tmp"),
            templates: folder.join("templates"),
            ports,
            log: folder.join("log"),
        };
        for folder in [&lane.temporary, &lane.templates] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(lane)
    }

    fn command(&self, program: &Program) -> Command {
        let mut command = tied(&program.path, OnOurDeath::Terminate);
        command
            .current_dir(&program.folder)
            .env("TMPDIR", &self.temporary)
            .env(TEMPLATES, &self.templates)
            .env(PORTS, ports::list(self.ports.iter().copied()))
            .arg("--test-threads=1");
        command
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        let log = File::create(&self.log)
            .with_context(|| format!("cannot create {}", self.log.display()))?;
        let status = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log file")?)
            .stderr(log)
            .status()
            .context("cannot run it")?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ones_come_first_and_those_of_a_row_together() {
        let names = ["run", "silence", "damage", "archive", "rotation"];
        let programs = names.map(|name| Program::at(Path::new(name))).into();
        let rows: Vec<Vec<_>> = ordered(programs)
            .into_iter()
            .map(|row| row.into_iter().map(|program| program.name).collect())
            .collect();
        assert_eq!(
            rows,
            [
                vec!["rotation", "silence"],
                vec!["damage"],
                vec!["archive"],
                vec!["run"]
            ]
        );
    }

    #[test]
    fn a_program_that_fails_is_named_and_the_others_run() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            use std::os::unix::fs::PermissionsExt;

            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            Program::at(&path)
        };
        let programs = vec![
            program("fails", "exit 101"),
            program(
                "one",
                "test \"$1 $2\" = '--test-threads=1 word' && test -d \"$TMPDIR\"",
            ),
            program("two", &format!("echo \"${PORTS}\" > \"$PLACE\"")),
        ];
        let place = folder.path().join("ran");
        let ran = run(programs, &[("PLACE", place.clone())], &["word".to_owned()]);
        assert_eq!(format!("{:#}", ran.unwrap_err()), "failed: fails");
        assert!(std::fs::read_to_string(&place).unwrap().contains(','));
    }
}
