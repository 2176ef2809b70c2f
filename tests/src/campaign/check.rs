//! What has to hold after a blow.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::damage::Damaged;
use super::deeds::{Deed, Outcome};
use super::failure::{Failure, Fault};
use super::left::strays;
use super::life::Life;
use super::report::{Report, STATUS};
use crate::{Run, processes};

/// How long a process that was told to end may take for it.
const GOING: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Words with which a command tells of a loss.
const TELLING: [&str; 6] = [
    "lost",
    "damaged",
    "discard",
    "is gone",
    "cannot be read",
    "is missing",
];

/// An error of the command line that helps: a code, a message and a hint.
pub(super) fn helpful(run: &Run) -> Option<String> {
    let said: Value = serde_json::from_str(&run.stdout).ok()?;
    let part = |name: &str| said["error"][name].as_str().filter(|text| !text.is_empty());
    part("hint")?;
    Some(format!("{}: {}", part("code")?, part("message")?))
}

/// Fails unless the command has succeeded, or refused with words that help.
pub(super) fn succeeded_or_helped(what: &str, run: &Run) -> Result<(), Failure> {
    if run.code == Some(0) || helpful(run).is_some() {
        return Ok(());
    }
    Err(Failure::new(
        Fault::Broken,
        format!(
            "{what} ends with {:?} and does not say what to do: {run:?}",
            run.code
        ),
    ))
}

/// How much slower than alone things are on this machine now.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split(' ').next().and_then(|word| word.parse().ok());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    let each = load.unwrap_or(0.0) / processors as f64;
    each.max(1.0)
}

/// `status` answers at once, whatever has happened.
pub(super) fn status(life: &mut Life, index: u64, report: &mut Report) -> Result<Value, Failure> {
    let mut run = life.run(Deed::Status)?;
    report.status(index, run.took);
    let limit = STATUS.mul_f64(load());
    if run.took > limit {
        // Once may be somebody else's work on this machine.
        let first = run.took;
        run = life.run(Deed::Status)?;
        report.status(index, run.took);
        if run.took > limit {
            return Err(Failure::new(
                Fault::Slow,
                format!(
                    "status took {first:?}, then {:?}, on a machine that is {:.1} times busy",
                    run.took,
                    load()
                ),
            ));
        }
    }
    match Life::state(&run) {
        Some(state) => Ok(state),
        None if helpful(&run).is_some() => Ok(Value::Null),
        None => Err(Failure::new(
            Fault::Wrong,
            format!("status says neither a state nor what to do: {run:?}"),
        )),
    }
}

/// A start works, by whatever way, and tells of its reason. What it tells, in one text.
fn start(
    life: &mut Life,
    damaged: Option<&Damaged>,
    report: &mut Report,
) -> Result<(Value, String), Failure> {
    let mut told = String::new();
    let mut run = life.run(Deed::Start)?;
    if run.code != Some(0) {
        let Some(said) = helpful(&run) else {
            return Err(Failure::new(
                Fault::Broken,
                format!("a start fails and does not say what to do: {run:?}"),
            ));
        };
        let Some(damaged) = damaged else {
            return Err(Failure::new(
                Fault::Broken,
                format!("a start fails: {said}\n{}", run.stdout),
            ));
        };
        report.refused(format!(
            "start, {} {:?}: {}",
            damaged.file,
            damaged.harm,
            said.replace(&life.world.user_home().display().to_string(), "~")
        ));
        told.push_str(&run.stdout);
        if damaged.outcome() == Outcome::AnyIfTold {
            // What is lost is given up, as a user would in the end.
            run = life.run(Deed::Reset)?;
            succeeded_or_helped("a reset", &run)?;
        } else {
            damaged.repair();
        }
        run = life.run(Deed::Start)?;
        if run.code != Some(0) {
            damaged.repair();
            let at_last = life.run(Deed::Start)?;
            return Err(Failure::new(
                Fault::Broken,
                format!(
                    "a start fails after what it asked for, too: {run:?}\nwith the file put back: {:?}",
                    at_last.code
                ),
            ));
        }
    }
    // What is said to those who look for a fault of ours is not said to a user.
    let to_users = |line: &&str| !["DEBUG", "TRACE"].iter().any(|word| line.starts_with(word));
    told.extend(run.stderr.lines().filter(to_users));
    let started: Value = serde_json::from_str(&run.stdout)
        .map_err(|error| Failure::new(Fault::Wrong, format!("a start says {error}: {run:?}")))?;
    let details = &started["start"];
    let (kind, reason) = (
        details["kind"].as_str().unwrap_or("?"),
        details["fallback_reason"].as_str().unwrap_or_default(),
    );
    told.push_str(reason);
    let is_running = started["already_running"] == true;
    let prepared = if details["prepared"] == true {
        " prepared"
    } else {
        ""
    };
    report.started(&if is_running {
        "running already".to_owned()
    } else {
        format!("{kind}{prepared}")
    });
    if kind == "cold" && reason.is_empty() && !is_running {
        return Err(Failure::new(
            Fault::Wrong,
            format!("a start is cold and does not say why: {started}"),
        ));
    }
    Ok((started, told))
}

/// All that has to hold, by a start of its own; the emulator runs then.
pub(super) fn after(
    life: &mut Life,
    outcome: Outcome,
    damaged: Option<&Damaged>,
    index: u64,
    report: &mut Report,
) -> Result<(), Failure> {
    status(life, index, report)?;
    let (started, told) = start(life, damaged, report)?;
    life.look_at_keys()?;
    let seen = life.seen_rows()?;
    let mut is_told = TELLING.iter().any(|word| told.contains(word));
    if !is_told && outcome == Outcome::AnyIfTold && seen.len() < life.rows.count() {
        let verified = life.run(Deed::Verify)?;
        if verified.code != Some(0) {
            report.told_by_verify();
            is_told = true;
        }
    }
    if let Err(why) = life.rows.judge(&seen, outcome, is_told) {
        return Err(Failure::new(
            Fault::Lost,
            format!("{why}\nthe start: {started}"),
        ));
    }
    let state = status(life, index, report)?;
    if state["state"] != "running" {
        return Err(Failure::new(
            Fault::Wrong,
            format!("the status after a start: {state}"),
        ));
    }
    nothing_left(life, damaged)
}

/// A copy of a home works like the home, and is stopped again.
pub(super) fn after_in_a_copy(
    life: &mut Life,
    outcome: Outcome,
    report: &mut Report,
) -> Result<(), Failure> {
    let (started, _) = start(life, None, report)?;
    life.look_at_keys()?;
    let seen = life.seen_rows()?;
    // What becomes of the copy is nothing to the original.
    let judged = life.rows.clone().judge(&seen, outcome, false);
    life.must(Deed::Discard)?;
    judged.map_err(|why| {
        Failure::new(
            Fault::Lost,
            format!("in a copy: {why}\nthe start: {started}"),
        )
    })
}

/// No process but the emulator's QEMU, and no file that nobody expects.
fn nothing_left(life: &Life, damaged: Option<&Damaged>) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let qemus = life.qemus();
        let others: Vec<u32> = life
            .processes()
            .into_iter()
            .filter(|pid| !qemus.contains(pid))
            .collect();
        if qemus.len() == 1 && others.is_empty() {
            break;
        }
        if begun.elapsed() > GOING {
            let list = qemus.iter().chain(&others);
            let list: Vec<_> = list
                .map(|pid| format!("{pid} {}", processes::command_line(*pid)))
                .collect();
            return Err(Failure::new(
                Fault::Left,
                format!("processes: {}", list.join("\n")),
            ));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    let is_known = |path: &str| {
        // What a killed command has left beside a file that its user has named goes with the next of its kind.
        let is_beside = [".partial", ".stack-emulator-new"]
            .iter()
            .any(|end| path.ends_with(end));
        // The campaign's own; the place of what was spoilt may have anything.
        !path.starts_with("home/") && is_beside
            || damaged.is_some() && (path.starts_with("kept-") || path == "elsewhere")
            || damaged.is_some_and(|damaged| damaged.is_about(path))
    };
    let strays = strays(&life.files(), is_known);
    if strays.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Fault::Left, format!("files: {strays:?}")))
}
