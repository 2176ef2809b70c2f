//! Clones of an instance, as a test runner makes them: from `clone` to a machine that runs with fresh secrets,
//! one at a time and eight at once, and the memory that each takes for itself.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::program::{Program, Sample};
use super::{cores, median, megabytes, row, seconds};

/// So many test workers.
const AT_ONCE: u16 = 8;
/// Ports of the clones begin here, away from those of the measured instance.
const PORTS: u16 = 36700;
/// From one clone's ports to the next one's: no image has more services.
const SERVICES: u16 = 10;

/// Measures it `runs` times.
pub(super) fn measure(program: &Program, runs: usize) -> Result<()> {
    println!("capture");
    program.run(&["capture"], &[])?;
    println!("one clone");
    let (mut made, mut one) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let begun = Instant::now();
        let clone = Clone::new(program, 0);
        made.push(clone.make()?.wall_ms);
        clone.start()?;
        one.push(milliseconds_since(begun));
        clone.delete()?;
    }
    println!("{AT_ONCE} clones at once");
    let (mut all_up, mut each, mut private) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let clones: Vec<Clone<'_>> = (0..AT_ONCE).map(|n| Clone::new(program, n)).collect();
        let begun = Instant::now();
        each.extend(at_once(&clones, |clone| {
            let begun = Instant::now();
            clone.make()?;
            clone.start()?;
            Ok(milliseconds_since(begun))
        })?);
        all_up.push(milliseconds_since(begun));
        for clone in &clones {
            private.push(clone.private_bytes()?);
        }
        at_once(&clones, Clone::delete)?;
    }
    println!("\nmedians of {runs}, {} cores", cores());
    let median = |values: &[f64]| median(values.iter().copied());
    row(
        "one clone, from `clone` to running and rotated",
        seconds(median(&one)),
    );
    row("  of it `clone`", seconds(median(&made)));
    row(
        &format!("{AT_ONCE} clones at once, until all are running and rotated"),
        seconds(median(&all_up)),
    );
    row("  one of them", seconds(median(&each)));
    row("private memory of each", megabytes(median(&private)));
    Ok(())
}

/// One clone.
struct Clone<'a> {
    program: &'a Program,
    name: String,
    ports: Vec<(String, String)>,
}

impl<'a> Clone<'a> {
    fn new(program: &'a Program, number: u16) -> Self {
        Self {
            program,
            name: format!("clone-{number}"),
            ports: program.ports_from(PORTS + SERVICES * number),
        }
    }

    fn make(&self) -> Result<Sample> {
        self.program.run(&["clone", &self.name], &[])
    }

    fn start(&self) -> Result<()> {
        let report = self.run(&["start"])?.report;
        let start = &report["start"];
        ensure!(
            start["kind"] == "resumed" && start["rotated"] == true,
            "a clone was to be resumed with fresh secrets and was not: {start}"
        );
        Ok(())
    }

    fn private_bytes(&self) -> Result<f64> {
        let report = self.run(&["status"])?.report;
        let bytes = report["memory"]["anonymous"].as_f64();
        bytes.with_context(|| format!("`status` does not say how much memory is used: {report}"))
    }

    fn delete(&self) -> Result<()> {
        self.run(&["stop", "--discard"])?;
        self.program.run(&["delete", "--yes", &self.name], &[])?;
        Ok(())
    }

    fn run(&self, command: &[&str]) -> Result<Sample> {
        let arguments = [&["--instance", self.name.as_str()], command].concat();
        let ports = self.ports.iter();
        let ports: Vec<_> = ports
            .map(|(name, port)| (name.as_str(), port.as_str()))
            .collect();
        self.program.run(&arguments, &ports)
    }
}

/// Has `work` done for all clones at the same time.
fn at_once<'a, T: Send>(
    clones: &'a [Clone<'a>],
    work: impl Fn(&Clone<'a>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = clones
            .iter()
            .map(|clone| scope.spawn(move || work(clone)))
            .collect();
        workers
            .into_iter()
            .map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

fn milliseconds_since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}
