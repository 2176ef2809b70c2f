//! What `instances` shows.

use std::fmt::Write as _;

use emulator::instances::{InstanceEntry, InstanceList, KeptSession, ServicePort};
use emulator::quantity::{bytes, seconds};
use emulator::{CloneFrom, CloneReport, DeleteReport, InstanceFolder, State};

use super::style::{BAD, CAUTION, FAINT, GOOD, STRONG, Style};
use super::text::{pad, paint, printable, widest};
use crate::output::{Detail, Render};

const HEADINGS: [&str; 5] = ["Name", "State", "Ports", "On disk", "Image"];
/// Where an instance belongs to a folder.
const FOLDER_HEADING: &str = "Folder";

// Writing to a string cannot fail, so the results of `writeln!` are dropped.
impl Render for InstanceList {
    fn render(&self, detail: Detail) -> String {
        if self.instances.is_empty() {
            return "No instances yet. `stack-emulator start` creates one.\n".to_owned();
        }
        let states: Vec<_> = self.instances.iter().map(state).collect();
        let has_folders = self.instances.iter().any(|entry| entry.folder.is_some());
        let more = has_folders.then_some(FOLDER_HEADING);
        let headings: Vec<_> = HEADINGS.into_iter().chain(more).collect();
        let cells = self.instances.iter().zip(&states);
        let cells = cells.map(|(entry, (_, state))| {
            let mut cells = vec![
                entry.name.to_string(),
                state.clone(),
                ports(&entry.ports),
                size(entry),
                image(entry, detail),
            ];
            cells.extend(
                has_folders.then(|| entry.folder.as_ref().map_or_else(|| "-".to_owned(), folder)),
            );
            cells
        });
        let cells: Vec<_> = cells.collect();
        let widths: Vec<_> = headings
            .iter()
            .enumerate()
            .map(|(column, heading)| {
                let column = cells.iter().map(|row| row[column].as_str());
                widest(column.chain([*heading]))
            })
            .collect();
        let heading = row(&headings, &widths, |_, text| paint(FAINT, text));
        let mut text = format!("  {heading}\n");
        for ((entry, cells), (style, _)) in self.instances.iter().zip(&cells).zip(&states) {
            let mark = if entry.selected { '*' } else { ' ' };
            let cells: Vec<_> = cells.iter().map(String::as_str).collect();
            let line = row(&cells, &widths, |column, text| match column {
                0 => paint(STRONG, text),
                1 => paint(*style, text),
                _ => text.to_owned(),
            });
            let _ = writeln!(text, "{mark} {line}");
        }
        for entry in &self.instances {
            if let Some(problem) = &entry.problem {
                let label = paint(CAUTION, "warning:");
                let _ = writeln!(text, "\n{label} {}: {}", entry.name, printable(problem));
            }
        }
        if self.instances.len() > 1 {
            let _ = writeln!(text, "\nTotal on disk: {}.", bytes(self.bytes_on_disk));
        }
        text
    }
}

impl Render for CloneReport {
    fn render(&self, _: Detail) -> String {
        let from = match &self.from {
            CloneFrom::Snapshot => "snapshot".to_owned(),
            CloneFrom::Session => "session".to_owned(),
            CloneFrom::Checkpoint(name) => format!("checkpoint {name}"),
        };
        format!(
            "{} the {from} of instance {} in {}; ports {}.\n\
             Start the new instance with `stack-emulator start --instance {}`.\n",
            paint(GOOD, "Cloned"),
            self.source,
            seconds(self.total_ms),
            ports(&self.ports),
            self.instance
        )
    }
}

impl Render for DeleteReport {
    fn render(&self, _: Detail) -> String {
        format!(
            "{} the instance {} in {}, {} freed.\n",
            paint(GOOD, "Deleted"),
            self.instance,
            seconds(self.total_ms),
            bytes(self.freed_bytes)
        )
    }
}

/// The folder of an instance, and whether it is there.
pub(super) fn folder(folder: &InstanceFolder) -> String {
    let path = printable(&folder.path.display().to_string());
    if folder.exists {
        path
    } else {
        format!("{path} (missing)")
    }
}

/// The cells under each other, with no spaces at the end of a line.
fn row(cells: &[&str], widths: &[usize], styled: impl Fn(usize, &str) -> String) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let last = column + 1 == cells.len();
        let padding = if last {
            String::new()
        } else {
            let padded = pad(cell, *width);
            format!("{}  ", &padded[cell.len()..])
        };
        line.push_str(&styled(column, cell));
        line.push_str(&padding);
    }
    line
}

fn state(entry: &InstanceEntry) -> (Style, String) {
    let (style, state) = match entry.state {
        None => (BAD, "damaged"),
        Some(State::Stopped) if entry.problem.is_some() => (BAD, "damaged"),
        Some(State::Running) => (GOOD, "running"),
        Some(State::Paused) => (BAD, "paused"),
        Some(State::Starting) => (CAUTION, "starting"),
        Some(State::Stopping) => (CAUTION, "stopping"),
        Some(State::Capturing) => (CAUTION, "taking a snapshot"),
        Some(State::Interrupted) => (CAUTION, "interrupted"),
        Some(State::Died) => (BAD, "stopped unexpectedly"),
        Some(State::Stopped) => (FAINT, "stopped"),
    };
    let session = match entry.session {
        Some(KeptSession::Saved) => ", session saved",
        Some(KeptSession::DiskKept) => ", session disk kept",
        None => "",
    };
    let busy = entry
        .busy
        .as_ref()
        .map_or(String::new(), |holder| format!(", busy with {holder}"));
    (style, printable(&format!("{state}{session}{busy}")))
}

/// Ports in order, with a dash for each run: `26700-26703, 8114`.
fn ports(ports: &[ServicePort]) -> String {
    let mut numbers: Vec<_> = ports.iter().map(|port| port.port).collect();
    numbers.sort_unstable();
    let runs = numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let runs = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        [only] => only.to_string(),
        [] => String::new(),
    });
    let runs: Vec<_> = runs.collect();
    if runs.is_empty() {
        "-".to_owned()
    } else {
        runs.join(", ")
    }
}

fn size(entry: &InstanceEntry) -> String {
    let all = bytes(entry.bytes_on_disk);
    if entry.shared_bytes == 0 {
        all
    } else {
        format!("{all}, {} shared", bytes(entry.shared_bytes))
    }
}

fn image(entry: &InstanceEntry, detail: Detail) -> String {
    let path = || entry.image.as_ref().map(|path| path.display().to_string());
    let name = || {
        let file = || Some(entry.image.as_ref()?.file_name()?.to_string_lossy().into());
        entry.image_name.clone().or_else(file)
    };
    let text = match detail {
        Detail::Brief => name(),
        Detail::Full => path(),
    };
    printable(&text.unwrap_or_else(|| "-".to_owned()))
}

#[cfg(test)]
mod tests {
    use emulator::lock::Holder;

    use super::super::text::plain;
    use super::*;

    fn entry(name: &str, ports: &[u16]) -> InstanceEntry {
        let port = |port: &u16| ServicePort {
            service: String::new(),
            port: *port,
        };
        InstanceEntry {
            name: name.parse().unwrap(),
            folder: None,
            selected: false,
            state: Some(State::Stopped),
            busy: None,
            session: None,
            ports: ports.iter().map(port).collect(),
            image: None,
            image_name: None,
            bytes_on_disk: 412_000_000,
            shared_bytes: 0,
            problem: None,
        }
    }

    #[test]
    fn instances_are_a_table() {
        let list = InstanceList {
            instances: vec![
                InstanceEntry {
                    selected: true,
                    state: Some(State::Running),
                    image: Some("/images/a.qcow2".into()),
                    image_name: Some("emulator-dev-latest".into()),
                    ..entry("default", &[8114, 26700, 26702, 26701])
                },
                InstanceEntry {
                    session: Some(KeptSession::Saved),
                    busy: Some(Holder {
                        pid: 12,
                        command: "verify".into(),
                    }),
                    shared_bytes: 95_000_000,
                    image: Some("/images/a.qcow2".into()),
                    ..entry("work", &[26720])
                },
                InstanceEntry {
                    problem: Some("instance.json is damaged".into()),
                    ..entry("x", &[])
                },
            ],
            bytes_on_disk: 1_100_000_000,
        };
        assert_eq!(
            plain(&list.render(Detail::Brief)),
            "  Name     State                                                Ports              On disk                 Image\n\
             * default  running                                              8114, 26700-26702  412 MB                  emulator-dev-latest\n  \
               work     stopped, session saved, busy with `verify` (pid 12)  26720              412 MB, 95.0 MB shared  a.qcow2\n  \
               x        damaged                                              -                  412 MB                  -\n\n\
             warning: x: instance.json is damaged\n\nTotal on disk: 1.10 GB.\n"
        );
    }

    #[test]
    fn instances_of_folders_are_listed_with_these() {
        let of = |path: &str, exists| {
            let path = path.into();
            Some(InstanceFolder { path, exists })
        };
        let list = InstanceList {
            instances: vec![
                entry("default", &[26700]),
                InstanceEntry {
                    folder: of("/work/shop", true),
                    ..entry("shop", &[26720])
                },
                InstanceEntry {
                    folder: of("/old/shop", false),
                    ..entry("shop-1a2b3c", &[26740])
                },
            ],
            bytes_on_disk: 412_000_000,
        };
        assert_eq!(
            plain(&list.render(Detail::Brief)),
            "  Name         State    Ports  On disk  Image  Folder\n  \
               default      stopped  26700  412 MB   -      -\n  \
               shop         stopped  26720  412 MB   -      /work/shop\n  \
               shop-1a2b3c  stopped  26740  412 MB   -      /old/shop (missing)\n\n\
             Total on disk: 412 MB.\n"
        );
    }

    #[test]
    fn an_empty_home_says_what_makes_one() {
        let list = InstanceList {
            instances: vec![],
            bytes_on_disk: 0,
        };
        assert!(
            list.render(Detail::Brief)
                .contains("`stack-emulator start`")
        );
    }
}
