//! The campaign, for `cargo xtask campaign`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use e2e::campaign::{self, Kind, Options};

/// Strike the emulator at random, and look whether everything holds.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask campaign")]
struct Arguments {
    /// How long; a step that has begun is finished
    #[arg(long, value_name = "N", conflicts_with_all = ["count", "repeat"])]
    minutes: Option<u64>,
    /// The same in seconds
    #[arg(long, value_name = "N", conflicts_with_all = ["minutes", "count", "repeat"])]
    seconds: Option<u64>,
    /// How many steps, starts, resumes or requests
    #[arg(long, value_name = "N", conflicts_with = "repeat")]
    count: Option<u64>,
    /// What everything is chosen by; random if not given, and printed
    #[arg(long)]
    seed: Option<u64>,
    /// Only these
    #[arg(long, value_name = "KIND", value_enum, value_delimiter = ',')]
    only: Vec<Only>,
    /// Only the step with this index, or from one to another: `17` or `10-17`
    #[arg(long, value_name = "STEP", value_parser = steps)]
    repeat: Option<(u64, u64)>,
    /// Folder for homes with a failure
    #[arg(long, value_name = "DIR", hide = true)]
    evidence: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Processes killed at an instant of a command
    Kills,
    /// Files of a home cut, flipped, exchanged, replaced
    Damages,
    /// Processes stopped and continued
    Freezes,
    /// Commands that race
    Races,
    /// Homes copied and moved
    Moves,
    /// Disks without room
    Disks,
    /// Starts in a row (alone)
    Starts,
    /// Random values of resumes of one snapshot (alone)
    Randomness,
    /// Memory and disk after requests to each service (alone)
    Requests,
}

impl Only {
    fn kind(self) -> Option<Kind> {
        match self {
            Self::Kills => Some(Kind::Kills),
            Self::Damages => Some(Kind::Damages),
            Self::Freezes => Some(Kind::Freezes),
            Self::Races => Some(Kind::Races),
            Self::Moves => Some(Kind::Moves),
            Self::Disks => Some(Kind::Disks),
            Self::Starts | Self::Randomness | Self::Requests => None,
        }
    }
}

fn steps(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no step"));
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        return Err(format!("{from} is after {to}"));
    }
    Ok((from, to))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let random = || {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        // Short enough to be typed.
        now.map_or(0, |now| u64::from(now.subsec_nanos()))
    };
    let seed = arguments.seed.unwrap_or_else(random);
    println!("seed {seed}");
    let all_held = match *arguments.only {
        [Only::Starts] => campaign::starts(seed, arguments.count.unwrap_or(500)),
        [Only::Randomness] => campaign::randomness(arguments.count.unwrap_or(100)),
        [Only::Requests] => campaign::requests(arguments.count.unwrap_or(1000)),
        _ => {
            let only: Vec<_> = arguments
                .only
                .iter()
                .filter_map(|only| only.kind())
                .collect();
            if only.len() < arguments.only.len() {
                eprintln!("error: starts, randomness and requests are done alone");
                return ExitCode::from(2);
            }
            let mut kinds = Kind::ALL.to_vec();
            kinds.retain(|(_, kind)| only.is_empty() || only.contains(kind));
            let (first, count) = match arguments.repeat {
                Some((from, to)) => (from, Some(to - from + 1)),
                None => (0, arguments.count),
            };
            let minutes = arguments.minutes.map(|minutes| minutes * 60);
            let seconds = arguments.seconds.or(minutes);
            let time = match (seconds, count) {
                (Some(seconds), _) => Some(Duration::from_secs(seconds)),
                (None, Some(_)) => None,
                (None, None) => Some(Duration::from_secs(120)),
            };
            campaign::run(&Options {
                seed,
                first,
                count,
                time,
                kinds,
                evidence: arguments.evidence,
            })
        }
    };
    if all_held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
