//! Which files of a home are spoilt, and how.

use super::deeds::Ground;
use super::random::Random;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// Cut to this many hundredths of its length.
    Cut(u64),
    /// One bit flipped, at this many hundredths of it.
    Flip(u64),
    /// The same, with the time of the last change put back, as a fault of the disk leaves it.
    FlipUnnoticed(u64),
    /// Exchanged with another file of the home.
    Exchange(&'static str),
    /// Bytes added at its end.
    Append,
    Remove,
    /// Replaced by a link to nothing.
    Dangling,
    /// Replaced by a link to a file outside of the home, with the content that it had.
    Link,
    Fifo,
    Folder,
    /// Replaced by a character device that swallows everything.
    Device,
}

/// Files of a home by the ground on which they are there; `@` is the folder of the current snapshot.
const FILES: [(Ground, &[&str]); 3] = [
    (
        Ground::Kept,
        &[
            "instance.json",
            "secrets.json",
            "lock",
            "session/disk.qcow2",
            "session/session.json",
            "session/ram.mapped",
            "session/saved.json",
            "snapshots/current",
            "@/ram.raw",
            "@/device.state",
            "@/disk.qcow2",
            "@/config.iso",
            "@/snapshot.json",
            "@/pages.json",
            "logs/serial.log",
            "logs/qemu.log",
            "logs",
            "session",
            "snapshots",
            "run.json",
            "users",
            "projects.json",
            "../.lock",
            "../../settings.json",
            "../../cache",
        ],
    ),
    (
        Ground::Running,
        &[
            "run.json",
            "instance.json",
            "secrets.json",
            "lock",
            "session/session.json",
            "session/disk.qcow2",
            "@/snapshot.json",
            "@/config.iso",
            "logs/serial.log",
            "logs/qemu.log",
            "../.lock",
        ],
    ),
    (
        Ground::Prepared,
        &[
            "ahead/session/disk.qcow2",
            "ahead/session/session.json",
            "ahead/session/ram.raw",
            "ahead/session/device.state",
            "ahead/session/prepared.json",
            "ahead/session",
            "ahead/lock",
            "ahead",
            "ahead.json",
            "session/saved.json",
            "session/disk.qcow2",
        ],
    ),
];

/// What is done to one of them.
pub(super) fn harm(random: &mut Random, ground: Ground, file: &'static str) -> Harm {
    let part = random.below(100);
    // Folders, and what is a link.
    if !file.contains('.') || file.starts_with("../") || file.ends_with("/session") {
        return random.one_of(&[
            Harm::Remove,
            Harm::Dangling,
            Harm::Fifo,
            Harm::Folder,
            Harm::Device,
            Harm::Append,
            Harm::Cut(0),
        ]);
    }
    let others = others(ground);
    let other = random.one_of(&others);
    random.weighted(&[
        (5, Harm::Cut(part)),
        (2, Harm::Cut(0)),
        (5, Harm::Flip(part)),
        (3, Harm::FlipUnnoticed(part)),
        (if other == file { 0 } else { 4 }, Harm::Exchange(other)),
        (2, Harm::Append),
        (3, Harm::Remove),
        (2, Harm::Dangling),
        (2, Harm::Link),
        (2, Harm::Fifo),
        (2, Harm::Folder),
        (2, Harm::Device),
    ])
}

/// Regular files that one may be exchanged with.
fn others(ground: Ground) -> Vec<&'static str> {
    files(ground)
        .iter()
        .copied()
        .filter(|file| file.contains('.') && !file.starts_with("../"))
        .collect()
}

/// Those that are spoilt on a ground.
pub(super) fn files(ground: Ground) -> &'static [&'static str] {
    FILES
        .iter()
        .find(|(of, _)| *of == ground)
        .map_or(&[], |(_, files)| *files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::plan::{Blow, Kind, step};
    use super::*;

    #[test]
    fn every_file_meets_every_way_to_spoil_it_in_the_long_run() {
        let wanted = [(1, Kind::Damages)];
        let mut met = BTreeSet::new();
        for index in 0..20_000 {
            if let Blow::Damage { file, harm, ground } = step(1, index, &wanted).blow {
                let word = format!("{harm:?}");
                let word = word.split('(').next().unwrap_or_default().to_owned();
                met.insert((format!("{ground:?}"), file, word));
                assert_ne!(Harm::Exchange(file), harm, "with itself");
            }
        }
        for (ground, files) in FILES {
            for file in files {
                let of = format!("{ground:?}");
                let ways = met.iter().filter(|(on, name, _)| *on == of && name == file);
                assert!(ways.count() >= 5, "{file}");
            }
        }
    }
}
