//! Progress lines on stderr: one a step, with the seconds it took.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use anyhow::Result;

/// Runs `work` and reports it as one line, `image: base system … 51.2 s`.
pub(crate) fn step<T>(task: &str, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let mut out = std::io::stderr();
    // On a terminal the line is there from the start; in a log it is written whole, so that
    // lines of other programs do not land in its middle.
    let live = out.is_terminal();
    if live {
        let _ = write!(out, "{task}: {name} … ");
        let _ = out.flush();
    }
    let result = work();
    let seconds = started.elapsed().as_secs_f64();
    let ending = if result.is_ok() { "" } else { ", failed" };
    if live {
        eprintln!("{seconds:.1} s{ending}");
    } else {
        eprintln!("{task}: {name} … {seconds:.1} s{ending}");
    }
    result
}
