//! The campaign: blows at random, and what has to hold after each.
//!
//! A blow is planned by seed and index alone ([`plan`]): processes killed, stopped and continued at random instants
//! of every command, files of a home spoilt, disks filled, commands racing, homes copied and moved. It falls on a
//! ground that was made for it ([`life`]), and whatever it was, afterwards ([`check`])
//!
//! - `status` answers within a second,
//! - the next start works, by whatever way, and says why if it is not the fastest,
//! - each row whose commit was acknowledged is there, or its loss was asked for, or was told ([`rows`]),
//! - the keys in the store are the guest's, which refuses those before,
//! - no process and no file is left,
//! - and no command hangs.
//!
//! What does not hold is a failure. It is struck again alone in a fresh home, so that the shortest way to repeat it
//! is known, and what the home was like before and after is kept.
//!
//! [`measures`] repeats one thing for figures: starts in a row, random values of resumes, requests.
//!
//! The program `campaign` runs it, and `cargo xtask campaign` that one.

mod api;
mod check;
mod damage;
mod deeds;
mod failure;
mod going;
mod harm;
mod left;
mod life;
mod measures;
mod plan;
mod random;
mod report;
mod rows;
mod strike;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::failure::{Failure, Fault};
use self::life::Life;
pub use self::measures::{randomness, requests, starts};
pub use self::plan::Kind;
use self::plan::Step;
use self::report::{Found, Report};

/// How often a blow that failed is struck again alone.
const AGAIN: u32 = 2;
/// With so many failures, somebody should look at these first.
const ENOUGH: usize = 25;

/// What is wanted of a campaign.
#[derive(Clone, Debug)]
pub struct Options {
    /// What everything is chosen by.
    pub seed: u64,
    /// The first step.
    pub first: u64,
    /// How many steps, if that is what ends it.
    pub count: Option<u64>,
    /// How long it goes on, if that is what ends it; a step that has begun is finished.
    pub time: Option<Duration>,
    /// Kinds with their weights.
    pub kinds: Vec<(u32, Kind)>,
    /// Where homes with a failure are kept.
    pub evidence: PathBuf,
}

/// Runs it, and prints what was seen; whether everything held.
pub fn run(options: &Options) -> bool {
    let begun = Instant::now();
    let mut report = Report::default();
    let mut life = None;
    let end = options
        .count
        .map_or(u64::MAX, |count| options.first + count);
    for index in options.first..end {
        let is_over = options.time.is_some_and(|time| begun.elapsed() > time);
        if is_over || report.found.len() >= ENOUGH {
            break;
        }
        let step = plan::step(options.seed, index, &options.kinds);
        let started = Instant::now();
        report.struck(step.blow.kind());
        let result = one(&mut life, &step, &mut report, options);
        let said = result
            .as_ref()
            .map_or_else(|failure| format!("{:?}", failure.fault), |()| "ok".into());
        eprintln!(
            "{index}: {}: {said}, {:.1} s",
            step.blow,
            started.elapsed().as_secs_f64()
        );
        if let Err(failure) = result {
            eprintln!("{failure}");
            keep(&mut life, &step, &failure, options);
            report.found.push(Found {
                index,
                blow: step.blow.to_string(),
                failure,
                alone: again(&step, &report, options),
                from: plan::begin_of_life(options.seed, index, &options.kinds),
            });
        }
    }
    drop(life);
    let again = |from: u64, to: u64| {
        let only: Vec<_> = if options.kinds.len() == Kind::ALL.len() {
            vec![]
        } else {
            let names = options.kinds.iter().map(|(_, kind)| kind.name());
            vec![format!(" --only {}", names.collect::<Vec<_>>().join(","))]
        };
        format!(
            "cargo xtask campaign --seed {}{} --repeat {from}-{to}",
            options.seed,
            only.concat()
        )
    };
    println!(
        "\nseed {}, {:.0} s\n{}",
        options.seed,
        begun.elapsed().as_secs_f64(),
        report.text(again)
    );
    report.found.is_empty()
}

/// One step, in the home of the step before or in a fresh one.
fn one(
    life: &mut Option<Life>,
    step: &Step,
    report: &mut Report,
    options: &Options,
) -> Result<(), Failure> {
    let begun = catch_unwind(AssertUnwindSafe(|| {
        if step.fresh
            && let Some(old) = life.take()
        {
            old.end()?;
        }
        let life = life.get_or_insert_with(Life::begin);
        life.log = vec![format!("step {}: {}", step.index, step.blow)];
        strike::ground(life, &step.blow)?;
        let picture = options.evidence.join("before");
        fs::remove_dir_all(&picture).ok();
        life.picture(&picture);
        life.log.push("the blow falls".to_owned());
        strike::strike(life, step, report)
    }));
    begun.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(Failure::new(Fault::Panic, text.unwrap_or_default()))
    })
}

/// Keeps what there is to see of a failure. The home is of no use any more.
fn keep(life: &mut Option<Life>, step: &Step, failure: &Failure, options: &Options) {
    let folder = options
        .evidence
        .join(format!("{}-{}", options.seed, step.index));
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder).ok();
    fs::rename(options.evidence.join("before"), folder.join("before")).ok();
    let mut text = format!("{}\n{failure}\n\n", step.blow);
    if let Some(life) = life.take() {
        text.push_str(&life.log.join("\n"));
        life.picture(&folder.join("after"));
    }
    fs::write(folder.join("log.txt"), text).ok();
    eprintln!("kept in {}", folder.display());
}

/// Strikes the same blow alone; how often it failed.
fn again(step: &Step, report: &Report, options: &Options) -> (u32, u32) {
    let mut scratch = report.again();
    let step = Step {
        fresh: true,
        ..step.clone()
    };
    let options = Options {
        evidence: options.evidence.join("again"),
        ..options.clone()
    };
    let failed = (0..AGAIN).filter(|_| one(&mut None, &step, &mut scratch, &options).is_err());
    (u32::try_from(failed.count()).unwrap_or(AGAIN), AGAIN)
}
