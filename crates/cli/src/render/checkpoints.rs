//! What the commands about checkpoints show.

use std::fmt::Write as _;

use emulator::quantity::{bytes, seconds};
use emulator::{
    CheckpointEntry, CheckpointList, CheckpointReport, DeleteCheckpointReport,
    RestoreCheckpointReport,
};

use super::phases::chart;
use super::style::{CAUTION, FAINT, GOOD, STRONG};
use super::text::{pad, paint, printable, widest};
use crate::output::{Detail, Render};

const HEADINGS: [&str; 4] = ["Name", "Created", "On disk", "Restore"];

// Writing to a string cannot fail, so the results of `writeln!` are dropped.
impl Render for CheckpointList {
    fn render(&self, _: Detail) -> String {
        if self.checkpoints.is_empty() {
            return "No checkpoints yet. `stack-emulator checkpoint create NAME` creates one of the running \
                    emulator.\n"
                .to_owned();
        }
        let rows: Vec<_> = self.checkpoints.iter().map(row).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|(cells, _)| cells[column].as_str());
            widest(cells.chain([HEADINGS[column]]))
        };
        let widths = [width(0), width(1), width(2)];
        let line = |cells: [&str; 4]| {
            let [name, created, size, restore] = cells;
            let padded = [name, created, size].into_iter().zip(widths);
            let padded: Vec<_> = padded.map(|(cell, width)| pad(cell, width)).collect();
            (padded, restore.to_owned())
        };
        let (heading, last) = line(HEADINGS);
        let mut text = format!(
            "{}\n",
            paint(FAINT, &format!("{}  {last}", heading.join("  ")))
        );
        for (cells, fits) in &rows {
            let (padded, restore) = line([&cells[0], &cells[1], &cells[2], &cells[3]]);
            let style = if *fits { GOOD } else { CAUTION };
            let _ = writeln!(
                text,
                "{}  {}  {}  {}",
                paint(STRONG, &padded[0]),
                padded[1],
                padded[2],
                paint(style, &restore)
            );
        }
        text
    }
}

/// The cells of a line, and whether a restore resumes it.
fn row(entry: &CheckpointEntry) -> ([String; 4], bool) {
    let age = entry.age();
    let created = age.map_or_else(|| "-".to_owned(), |age| format!("{age} ago"));
    let reason = entry.reason.as_deref().map_or_else(String::new, printable);
    let restore = match entry.fits {
        Some(true) => "resumes".to_owned(),
        Some(false) if entry.created_at_ms.is_none() => format!("impossible: {reason}"),
        Some(false) => format!("boots its disk: {reason}"),
        None => format!("unknown: {reason}"),
    };
    let cells = [
        entry.name.to_string(),
        created,
        bytes(entry.bytes_on_disk),
        restore,
    ];
    (cells, entry.fits == Some(true))
}

impl Render for CheckpointReport {
    fn render(&self, detail: Detail) -> String {
        let mut text = format!(
            "{} the checkpoint {} in {}, {} on disk; the virtual machine was paused for {}.\n",
            paint(GOOD, "Created"),
            self.checkpoint,
            seconds(self.total_ms),
            bytes(self.bytes_on_disk),
            seconds(self.paused_ms),
        );
        if detail == Detail::Full {
            text.push('\n');
            text.push_str(&chart(&self.phases));
        }
        text
    }
}

impl Render for RestoreCheckpointReport<String> {
    fn render(&self, detail: Detail) -> String {
        let secrets = if self.start.start.secrets_kept {
            "the secrets are the same"
        } else if self.start.start.rotated {
            "the secrets are new"
        } else {
            "the secrets are the placeholders"
        };
        format!(
            "{} the checkpoint {}; {secrets}.\n{}",
            paint(GOOD, "Restored"),
            self.checkpoint,
            self.start.render(detail)
        )
    }
}

impl Render for DeleteCheckpointReport {
    fn render(&self, _: Detail) -> String {
        format!(
            "{} the checkpoint {} in {}, {} freed.\n",
            paint(GOOD, "Deleted"),
            self.checkpoint,
            seconds(self.total_ms),
            bytes(self.freed_bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::plain;
    use super::*;

    #[test]
    fn each_says_what_a_restore_would_do() {
        let entry = |name: &str, fits, reason: Option<&str>| CheckpointEntry {
            name: name.parse().unwrap(),
            // Long ago.
            created_at_ms: Some(0),
            bytes_on_disk: 310_000_000,
            fits,
            reason: reason.map(str::to_owned),
        };
        let list = CheckpointList {
            checkpoints: vec![
                entry("seeded", Some(true), None),
                entry("old", Some(false), Some("QEMU was 9.0 and is now 10.0")),
                CheckpointEntry {
                    created_at_ms: None,
                    ..entry("broken", Some(false), Some("checkpoint.json is damaged"))
                },
                entry("unclear", None, Some("there is no QEMU")),
            ],
        };
        let age = list.checkpoints[0].age().unwrap();
        let text = plain(&list.render(Detail::Brief));
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        let age = format!("{age} ago");
        assert_eq!(
            lines,
            [
                vec!["Name", "Created", "On disk", "Restore"],
                vec!["seeded", &age, "310 MB", "resumes"],
                vec![
                    "old",
                    &age,
                    "310 MB",
                    "boots its disk: QEMU was 9.0 and is now 10.0"
                ],
                vec![
                    "broken",
                    "-",
                    "310 MB",
                    "impossible: checkpoint.json is damaged"
                ],
                vec!["unclear", &age, "310 MB", "unknown: there is no QEMU"],
            ]
        );
        let none = CheckpointList {
            checkpoints: vec![],
        };
        assert!(
            none.render(Detail::Brief)
                .contains("checkpoint create NAME")
        );
    }
}
