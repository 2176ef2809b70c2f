//! What a campaign does: blows, chosen by seed and index alone.
//!
//! A plan knows nothing of time. An instant of a command is a part of how long that command usually takes, or a
//! moment that the command itself tells of; how much that is in milliseconds is known when the blow is struck.

use std::fmt;

use super::deeds::{Deed, Ground};
use super::harm::{Harm, files, harm};
use super::random::Random;

/// Steps that share a home, unless one of them spoils it.
const LIFE: u64 = 8;

/// What is done to the emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Processes killed at an instant of a command.
    Kills,
    /// Files of a home cut, flipped, exchanged, replaced.
    Damages,
    /// Processes stopped and continued.
    Freezes,
    /// Commands that race.
    Races,
    /// Homes copied and moved.
    Moves,
    /// Disks without room.
    Disks,
}

impl Kind {
    /// All of them, with how often each comes.
    pub const ALL: [(u32, Self); 6] = [
        (45, Self::Kills),
        (20, Self::Damages),
        (10, Self::Freezes),
        (15, Self::Races),
        (7, Self::Moves),
        (3, Self::Disks),
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Damages => "damages",
            Self::Freezes => "freezes",
            Self::Races => "races",
            Self::Moves => "moves",
            Self::Disks => "disks",
        }
    }
}

/// Who is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// The command that was given.
    Command,
    /// QEMU, whichever of them there are.
    Qemu,
    /// First QEMU, then the command.
    Both,
    /// The process that finishes what the command has begun.
    Behind,
}

/// When a command is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instant {
    /// After this many hundredths of the time that it usually takes.
    Part(u64),
    /// When it says so.
    Moment(&'static str),
}

/// How a home comes to another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Copied while it runs; the deed is done in the copy.
    CopyRunning,
    /// Copied while it is stopped; both are used then.
    CopyStopped,
    /// Renamed while it runs.
    MoveRunning,
    /// Renamed while it is stopped.
    MoveStopped,
    /// Renamed while it runs, with a link in its place.
    LinkRunning,
}

/// One blow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    Kill {
        ground: Ground,
        deed: Deed,
        victim: Victim,
        instant: Instant,
    },
    Damage {
        ground: Ground,
        file: &'static str,
        harm: Harm,
    },
    /// Stopped for this many milliseconds; for good, if the command that follows has to help itself.
    Freeze {
        ground: Ground,
        deed: Deed,
        victim: Victim,
        instant: Instant,
        ms: u64,
    },
    /// Each command with the milliseconds after which it is begun.
    Race {
        ground: Ground,
        deeds: Vec<(Deed, u64)>,
    },
    Move {
        way: Way,
        deed: Deed,
    },
    Disk {
        deed: Deed,
        free_mib: u64,
    },
}

impl Blow {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Kill { .. } => Kind::Kills,
            Self::Damage { .. } => Kind::Damages,
            Self::Freeze { .. } => Kind::Freezes,
            Self::Race { .. } => Kind::Races,
            Self::Move { .. } => Kind::Moves,
            Self::Disk { .. } => Kind::Disks,
        }
    }

    /// Whether the home is of no use for another blow.
    const fn spoils(&self) -> bool {
        matches!(
            self,
            Self::Damage { .. } | Self::Move { .. } | Self::Disk { .. }
        )
    }
}

/// A step of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) index: u64,
    pub(super) blow: Blow,
    /// Whether it has a home of its own; otherwise that of the step before.
    pub(super) fresh: bool,
    /// Whether rows are written while the blow falls.
    pub(super) writing: bool,
}

/// Moments of a command that goes on with, or resumes, a machine.
const WHILE_STARTING: [&str; 9] = [
    "Begin(Prepare)",
    "Begin(Qemu)",
    "Begin(Load)",
    "Begin(Agent)",
    "Begin(Clock)",
    "Begin(Rotate)",
    "End(Rotate",
    "Begin(Ready)",
    "End(Ready",
];
const WHILE_STOPPING: [&str; 6] = [
    "Begin(Sync)",
    "Begin(Pause)",
    "Begin(Save)",
    "End(Save",
    "Begin(Commit)",
    "End(Commit",
];
const WHILE_CAPTURING: [&str; 7] = [
    "Begin(Boot)",
    "Begin(Settle)",
    "Begin(Sync)",
    "Begin(Save)",
    "Begin(Quit)",
    "Begin(Commit)",
    "End(Commit",
];
const WHILE_WORKING_AHEAD: [&str; 9] = [
    "Begin(Save)",
    "End(Save",
    "End(Commit",
    "Begin(Copy)",
    "Begin(Load)",
    "Begin(Rotate)",
    "Begin(Settle)",
    "Begin(Commit)",
    "Begin(Quit)",
];
const WHILE_ARCHIVING: [&str; 3] = ["Begin(Archive)", "phase: Archive", "End(Archive"];
const WHILE_CHECKPOINTING: [&str; 6] = [
    "Begin(Prepare)",
    "Begin(Qemu)",
    "Begin(Sync)",
    "Begin(Save)",
    "End(Save",
    "Begin(Commit)",
];

/// What the command says on its way, as far as it says anything.
const fn moments(deed: Deed) -> &'static [&'static str] {
    match deed {
        Deed::Start | Deed::Rotate => &WHILE_STARTING,
        Deed::Restore => &[
            "Begin(Prepare)",
            "Begin(Quit)",
            "Begin(Commit)",
            "End(Commit",
            "Begin(Load)",
            "Begin(Ready)",
        ],
        Deed::Stop | Deed::StopBehind | Deed::Discard | Deed::Reset => &WHILE_STOPPING,
        Deed::Capture => &WHILE_CAPTURING,
        Deed::WorkAhead => &WHILE_WORKING_AHEAD,
        Deed::Archive | Deed::Unarchive => &WHILE_ARCHIVING,
        Deed::Checkpoint => &WHILE_CHECKPOINTING,
        _ => &[],
    }
}

fn instant(random: &mut Random, deed: Deed) -> Instant {
    let moments = moments(deed);
    if !moments.is_empty() && random.chance(45) {
        Instant::Moment(random.one_of(moments))
    } else {
        // Somewhat later than it usually takes, too.
        Instant::Part(random.below(110))
    }
}

fn blow(random: &mut Random, kind: Kind) -> Blow {
    match kind {
        Kind::Kills => {
            let (ground, deed) = random.weighted(&Deed::KILLED);
            let victim = match deed {
                Deed::StopBehind => {
                    random.weighted(&[(3, Victim::Command), (4, Victim::Behind), (1, Victim::Qemu)])
                }
                deed if deed.has_machine() => {
                    random.weighted(&[(12, Victim::Command), (3, Victim::Qemu), (1, Victim::Both)])
                }
                _ => Victim::Command,
            };
            let instant = match victim {
                Victim::Behind => Instant::Part(random.below(110)),
                _ => instant(random, deed),
            };
            Blow::Kill {
                ground,
                deed,
                victim,
                instant,
            }
        }
        Kind::Damages => {
            let ground = random.weighted(&[
                (10, Ground::Kept),
                (4, Ground::Running),
                (3, Ground::Prepared),
            ]);
            let file = random.one_of(files(ground));
            Blow::Damage {
                ground,
                file,
                harm: harm(random, ground, file),
            }
        }
        Kind::Freezes => {
            let (ground, deed) = random.weighted(&Deed::FROZEN);
            let victim = random.one_of(&[Victim::Command, Victim::Qemu]);
            Blow::Freeze {
                ground,
                deed,
                victim,
                instant: instant(random, deed),
                ms: 200 + random.below(1300),
            }
        }
        Kind::Races => {
            let ground = random.weighted(&[
                (4, Ground::Running),
                (4, Ground::Kept),
                (2, Ground::Clean),
                (1, Ground::Prepared),
                (1, Ground::SetAside),
            ]);
            let count = 2 + random.below(3);
            let deeds = (0..count)
                .map(|_| {
                    let deed = random.weighted(&Deed::RACING);
                    let after = if random.chance(50) {
                        0
                    } else {
                        random.below(800)
                    };
                    (deed, after)
                })
                .collect();
            Blow::Race { ground, deeds }
        }
        Kind::Moves => {
            let way = random.one_of(&[
                Way::CopyRunning,
                Way::CopyStopped,
                Way::MoveRunning,
                Way::MoveStopped,
                Way::LinkRunning,
            ]);
            let deed = random.one_of(&[
                Deed::Stop,
                Deed::Start,
                Deed::Discard,
                Deed::Status,
                Deed::Verify,
            ]);
            Blow::Move { way, deed }
        }
        Kind::Disks => Blow::Disk {
            deed: random.one_of(&[Deed::Start, Deed::Stop, Deed::Checkpoint, Deed::Archive]),
            free_mib: random.one_of(&[0, 1, 4, 16, 40, 100, 300]),
        },
    }
}

/// The blow with this index, of one of `kinds`.
fn planned(seed: u64, index: u64, kinds: &[(u32, Kind)]) -> (Blow, Random) {
    let mut random = Random::of(seed, index);
    let kind = random.weighted(kinds);
    (blow(&mut random, kind), random)
}

/// Step `index` of the campaign of `seed`.
pub(super) fn step(seed: u64, index: u64, kinds: &[(u32, Kind)]) -> Step {
    let (blow, mut random) = planned(seed, index, kinds);
    let after_spoilt = index
        .checked_sub(1)
        .is_some_and(|before| planned(seed, before, kinds).0.spoils());
    Step {
        index,
        fresh: index.is_multiple_of(LIFE) || blow.spoils() || after_spoilt,
        writing: random.chance(50),
        blow,
    }
}

/// The first step that has the home of step `index`.
pub(super) fn begin_of_life(seed: u64, index: u64, kinds: &[(u32, Kind)]) -> u64 {
    (0..=index)
        .rev()
        .find(|index| step(seed, *index, kinds).fresh)
        .unwrap_or(0)
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(part) => write!(f, "after {part} % of its usual time"),
            Self::Moment(moment) => write!(f, "at {moment}"),
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill {
                ground,
                deed,
                victim,
                instant,
            } => write!(f, "kill {victim:?} of {deed:?} ({ground:?}) {instant}"),
            Self::Damage { ground, file, harm } => {
                write!(f, "damage {file} ({ground:?}): {harm:?}")
            }
            Self::Freeze {
                ground,
                deed,
                victim,
                instant,
                ms,
            } => write!(
                f,
                "freeze {victim:?} of {deed:?} ({ground:?}) {instant} for {ms} ms"
            ),
            Self::Race { ground, deeds } => write!(f, "race {deeds:?} ({ground:?})"),
            Self::Move { way, deed } => write!(f, "{way:?}, then {deed:?}"),
            Self::Disk { deed, free_mib } => write!(f, "{deed:?} with {free_mib} MiB free"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_plan_is_the_same_for_the_same_seed_whatever_was_planned_before() {
        let all = |seed| -> Vec<Step> {
            (0..200)
                .map(|index| step(seed, index, &Kind::ALL))
                .collect()
        };
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
        assert_eq!(step(3, 150, &Kind::ALL), all(3)[150]);
    }

    #[test]
    fn all_kinds_come_and_only_those_that_are_wanted() {
        let kinds = |wanted: &[(u32, Kind)]| -> BTreeSet<Kind> {
            (0..300)
                .map(|index| step(1, index, wanted).blow.kind())
                .collect()
        };
        assert_eq!(kinds(&Kind::ALL).len(), Kind::ALL.len());
        assert_eq!(kinds(&[(1, Kind::Races)]), BTreeSet::from([Kind::Races]));
    }

    #[test]
    fn a_home_is_fresh_at_first_and_after_what_spoils_it() {
        let mut spoilt = true;
        for index in 0..300 {
            let step = step(9, index, &Kind::ALL);
            assert!(step.fresh || !spoilt, "{index}");
            spoilt = step.blow.spoils();
            let begin = begin_of_life(9, index, &Kind::ALL);
            assert!(begin <= index && index - begin < LIFE);
            assert_eq!(begin == index, step.fresh);
        }
    }
}
