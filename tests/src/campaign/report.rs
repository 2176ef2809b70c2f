//! What a campaign has seen: counts, durations, failures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::deeds::{Deed, Ground};
use super::failure::{Failure, Fault};
use super::plan::Kind;

/// What `status` may take.
pub(super) const STATUS: Duration = Duration::from_secs(1);

/// A step that found something.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) index: u64,
    pub(super) blow: String,
    pub(super) failure: Failure,
    /// How often it failed when it was struck alone in a fresh home, of how many.
    pub(super) alone: (u32, u32),
    /// The first step that it needs, if not alone.
    pub(super) from: u64,
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    kinds: BTreeMap<Kind, u64>,
    /// How starts after a blow went.
    starts: BTreeMap<String, u64>,
    /// Commands that refused to work with a spoilt file, by what they said.
    refusals: BTreeMap<String, u64>,
    /// Losses that only `verify` told of.
    told_by_verify: u64,
    statuses: u64,
    slow: Vec<(u64, Duration)>,
    slowest: Duration,
    usual: BTreeMap<(Deed, Ground), Duration>,
    /// Kills and freezes that came too late.
    missed: u64,
    pub(super) found: Vec<Found>,
}

impl Report {
    /// An empty one that knows how long commands take.
    pub(super) fn again(&self) -> Self {
        Self {
            usual: self.usual.clone(),
            ..Self::default()
        }
    }

    pub(super) fn struck(&mut self, kind: Kind) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    pub(super) fn started(&mut self, how: &str) {
        *self.starts.entry(how.to_owned()).or_default() += 1;
    }

    pub(super) fn refused(&mut self, what: String) {
        *self.refusals.entry(what).or_default() += 1;
    }

    pub(super) fn told_by_verify(&mut self) {
        self.told_by_verify += 1;
    }

    pub(super) fn missed(&mut self) {
        self.missed += 1;
    }

    pub(super) fn status(&mut self, index: u64, took: Duration) {
        self.statuses += 1;
        self.slowest = self.slowest.max(took);
        if took > STATUS {
            self.slow.push((index, took));
        }
    }

    /// How long a command usually takes on a ground.
    pub(super) fn usual(&self, deed: Deed, ground: Ground) -> Duration {
        let known = self.usual.get(&(deed, ground)).copied();
        known.unwrap_or_else(|| deed.guess(ground))
    }

    /// One has taken so long.
    pub(super) fn took(&mut self, deed: Deed, ground: Ground, took: Duration) {
        let before = self.usual.get(&(deed, ground)).copied().unwrap_or(took);
        self.usual.insert((deed, ground), (before * 2 + took) / 3);
    }

    /// The summary, for people. `again` is the command line that repeats a step.
    pub(super) fn text(&self, again: impl Fn(u64, u64) -> String) -> String {
        let mut text = String::new();
        let mut line = |words: String| {
            text.push_str(&words);
            text.push('\n');
        };
        let list = |counts: &mut dyn Iterator<Item = (String, u64)>| {
            let words: Vec<_> = counts
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            words.join(", ")
        };
        let mut kinds = self
            .kinds
            .iter()
            .map(|(kind, count)| (kind.name().to_owned(), *count));
        line(format!("struck: {}", list(&mut kinds)));
        let mut starts = self.starts.iter().map(|(name, n)| (name.clone(), *n));
        line(format!("starts after it: {}", list(&mut starts)));
        line(format!(
            "status: {} times, slowest {} ms, slower than {} s: {}{}",
            self.statuses,
            self.slowest.as_millis(),
            STATUS.as_secs(),
            self.slow.len(),
            self.slow
                .iter()
                .take(10)
                .fold(String::new(), |mut all, (index, took)| {
                    write!(all, "; step {index}: {} ms", took.as_millis()).ok();
                    all
                })
        ));
        line(format!(
            "blows that came too late: {}; losses that only `verify` told of: {}",
            self.missed, self.told_by_verify
        ));
        for (what, count) in &self.refusals {
            line(format!("refused {count} times: {what}"));
        }
        for found in &self.found {
            let (failed, tried) = found.alone;
            let from = if failed > 0 { found.index } else { found.from };
            line(format!(
                "\nFAILED step {}: {}\n  {}\n  repeat: {}; alone in a fresh home it failed {failed} times of {tried}",
                found.index,
                found.blow,
                found.failure.to_string().replace('\n', "\n  "),
                again(from, found.index)
            ));
        }
        let count = |fault| {
            let found = self.found.iter();
            found.filter(|found| found.failure.fault == fault).count()
        };
        line(format!(
            "\nstuck {}, lost {}, left {}, silently wrong {}, broken {}, slow {}, the campaign's own {}",
            count(Fault::Stuck),
            count(Fault::Lost),
            count(Fault::Left),
            count(Fault::Wrong),
            count(Fault::Broken),
            count(Fault::Slow),
            count(Fault::Panic)
        ));
        text
    }
}
