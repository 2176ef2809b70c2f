//! Imports within a crate point down: each folder of `crates/emulator/src` is a room, and uses the rooms below it alone.
//! The same holds for the desktop app's modules.
//!
//! Read from the source text, tests included, so what a room *may* use is one table here, and a new room has to be
//! given its place before anything passes. What is compiled for macOS only is seen as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::tracked_files;
use super::words::{Named, named_from_root, words};

/// Where there are rooms.
const HOUSES: [(&str, &Plan<'_>); 2] = [("crates/emulator/src", &PLAN), ("src-tauri", &DESKTOP)];
/// The root of the crate, which holds the public names.
const ROOT: &str = "lib";

/// What a crate's modules may use.
struct Plan<'a> {
    /// May use every room; none may use these.
    top: &'a [&'a str],
    /// Each room and the rooms that it may use, which stand below it here: so no circle can be allowed.
    rooms: &'a [(&'a str, &'a [&'a str])],
    /// Small modules that all may use, and that use none.
    leaves: &'a [&'a str],
    /// Arrows that are there and should not be: from, to, and why it is so.
    exceptions: &'a [(&'a str, &'a str, &'a str)],
}

const PLAN: Plan<'_> = Plan {
    top: &[ROOT, "error"],
    rooms: &[
        (
            "library",
            &["instance", "state", "machine", "vault", "logs", "config"],
        ),
        (
            "apps",
            &["instance", "state", "machine", "vault", "logs", "config"],
        ),
        (
            "observe",
            &["instance", "state", "machine", "vault", "logs", "config"],
        ),
        ("instance", &["state", "machine", "vault", "logs", "config"]),
        ("state", &["machine", "vault", "logs", "config"]),
        ("machine", &["vault", "logs", "config"]),
        ("vault", &["config"]),
        ("logs", &["config"]),
        ("config", &[]),
    ],
    leaves: &["fault"],
    exceptions: &[],
};

const DESKTOP: Plan<'_> = Plan {
    top: &[ROOT, "main", "build"],
    rooms: &[
        (
            "launch",
            &[
                "bridge",
                "tray",
                "quit",
                "operations",
                "refresh",
                "updates",
                "updater",
                "sleep",
                "appearance",
                "window",
                "app_state",
                "environment",
            ],
        ),
        ("bridge", &["commands"]),
        (
            "commands",
            &[
                "quit",
                "operations",
                "dashboard",
                "updates",
                "settings",
                "window",
                "app_state",
                "published",
                "activity",
            ],
        ),
        (
            "tray",
            &[
                "quit",
                "operations",
                "dashboard",
                "notification",
                "window",
                "app_state",
            ],
        ),
        ("quit", &["operations", "window", "app_state"]),
        (
            "operations",
            &["notification", "app_state", "activity", "clipboard"],
        ),
        ("dashboard", &["browser", "app_state"]),
        ("refresh", &["settings", "app_state", "published"]),
        ("updates", &["updater", "app_state", "activity"]),
        ("settings", &["app_state"]),
        ("sleep", &["app_state"]),
        ("appearance", &["window", "app_state"]),
        ("notification", &["window", "app_state"]),
        ("window", &["app_state"]),
        ("browser", &["environment"]),
        ("environment", &["updater"]),
        ("updater", &[]),
        (
            "app_state",
            &["published", "followers", "activity", "clipboard"],
        ),
        ("published", &["activity"]),
        ("followers", &["activity"]),
        ("activity", &[]),
        ("clipboard", &[]),
    ],
    leaves: &["wire"],
    exceptions: &[],
};

/// One module's naming another.
#[derive(Debug)]
struct Arrow {
    from: String,
    to: String,
    place: String,
    /// In a file of tests only, which may reach up.
    of_tests: bool,
}

/// Checks each crate that has rooms in the checkout at `root`.
pub(super) fn check(root: &Path) -> Result<()> {
    let files = tracked_files(root)?;
    for (house, plan) in HOUSES {
        let mut sources = vec![];
        for file in &files {
            let Ok(below) = file.strip_prefix(house) else {
                continue;
            };
            if below.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(root.join(file))
                    .with_context(|| format!("cannot read {}", file.display()))?;
                sources.push((below.to_string_lossy().into_owned(), text));
            }
        }
        ensure!(!sources.is_empty(), "there is no source in {house}");
        let faults = faults(plan, &sources);
        if !faults.is_empty() {
            bail!(
                "imports point the wrong way in {house}:\n{}",
                faults.join("\n")
            );
        }
    }
    Ok(())
}

/// What is wrong in `sources`, each a path below the crate's source folder and a text.
fn faults(plan: &Plan<'_>, sources: &[(String, String)]) -> Vec<String> {
    let mut faults = plan.faults();
    let public = sources
        .iter()
        .find(|(path, _)| module_of(path).is_empty())
        .map(|(path, text)| public_names(path, text, &mut faults))
        .unwrap_or_default();
    let mut arrows = vec![];
    let mut known = BTreeSet::new();
    for (path, text) in sources {
        let module = module_of(path);
        let room = module.first().copied().unwrap_or(ROOT);
        if known.insert(room) && !plan.has(room) {
            faults.push(format!(
                "{path}: {room} has no place in the table of xtask/src/lint/rooms.rs"
            ));
        }
        for Named { first, line } in named_from_root(&module, text) {
            let to = public.get(first).map_or(first, String::as_str);
            arrows.push(Arrow {
                from: room.to_owned(),
                to: if plan.has(to) { to } else { ROOT }.to_owned(),
                place: format!("{path}:{line}"),
                of_tests: is_of_tests(&module),
            });
        }
    }
    let faulty = arrows.iter().filter(|arrow| !plan.allows(arrow));
    faults.extend(faulty.map(|arrow| {
        let Arrow {
            from, to, place, ..
        } = arrow;
        let circle = way(&arrows, to, from).map_or_else(String::new, |way| {
            format!(", and so closes the circle {from} → {}", way.join(" → "))
        });
        format!("{place}: {from} may not use {to}{circle}")
    }));
    for (from, to, _) in plan.exceptions {
        let is_it = |arrow: &Arrow| !arrow.of_tests && arrow.from == *from && arrow.to == *to;
        if !arrows.iter().any(is_it) {
            faults.push(format!(
                "{from} does not use {to} any more: take the exception out of the table"
            ));
        }
    }
    faults
}

impl Plan<'_> {
    /// What is wrong with the table itself.
    fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        for (at, (room, uses)) in self.rooms.iter().enumerate() {
            let below: Vec<_> = self.rooms[at + 1..].iter().map(|(name, _)| *name).collect();
            let not = uses.iter().filter(|used| !below.contains(used));
            faults.extend(
                not.map(|used| format!("the table lets {room} use {used}, which is not below it")),
            );
        }
        faults
    }

    fn has(&self, name: &str) -> bool {
        self.top.contains(&name)
            || self.leaves.contains(&name)
            || self.rooms.iter().any(|(room, _)| *room == name)
    }

    fn allows(
        &self,
        Arrow {
            from, to, of_tests, ..
        }: &Arrow,
    ) -> bool {
        let (from, to) = (from.as_str(), to.as_str());
        let uses = self.rooms.iter().find(|(room, _)| *room == from);
        let except = self
            .exceptions
            .iter()
            .any(|except| (except.0, except.1) == (from, to));
        from == to
            || *of_tests
            || except
            || self.leaves.contains(&to)
            || from == ROOT
            || (self.top.contains(&from) && to != ROOT)
            || uses.is_some_and(|(_, uses)| uses.contains(&to))
    }
}

/// The module of the file at `path`: `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module_of(path: &str) -> Vec<&str> {
    let mut module: Vec<_> = path.trim_end_matches(".rs").split('/').collect();
    if module.last().is_some_and(|last| *last == "mod") || module == [ROOT] {
        module.pop();
    }
    module
}

/// Whether a module below `module`'s room is compiled for tests alone, by its name.
fn is_of_tests(module: &[&str]) -> bool {
    module.iter().skip(1).any(|part| *part == "tests")
}

/// The names that the root brings in, and the room that each is from.
fn public_names(path: &str, text: &str, faults: &mut Vec<String>) -> BTreeMap<String, String> {
    let words = words(text);
    let mut names = BTreeMap::new();
    let mut at = 0;
    while at < words.len() {
        if words[at].text != "use" {
            at += 1;
            continue;
        }
        let end = words[at..]
            .iter()
            .position(|word| word.text == ";")
            .map_or(words.len(), |length| at + length);
        let mut parts = words[at + 1..end]
            .iter()
            .map(|word| word.text)
            .skip_while(|word| ["crate", "self", "::"].contains(word));
        let room = parts.next().unwrap_or_default();
        if room == "{" {
            faults.push(format!(
                "{path}:{}: a `use` for each room, so that one sees what is whose",
                words[at].line
            ));
        }
        let parts: Vec<_> = parts.collect();
        if parts.contains(&"*") {
            faults.push(format!(
                "{path}:{}: names are brought in one by one, not with `*`",
                words[at].line
            ));
        }
        // A name is what stands before the end of a member; so is the one after `as`.
        for (here, part) in parts.iter().enumerate() {
            let ends = parts
                .get(here + 1)
                .is_none_or(|next| [",", "}"].contains(next));
            if ends && ![",", "}", "{", "*"].contains(part) {
                names.insert((*part).to_owned(), room.to_owned());
            }
        }
        at = end;
    }
    names
}

/// A shortest way from one room to another along `arrows`, both included.
fn way<'a>(arrows: &'a [Arrow], from: &'a str, to: &'a str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    let mut at = 0;
    while let Some(way) = ways.get(at).cloned() {
        let here = way.last().copied()?;
        if here == to {
            return Some(way);
        }
        for arrow in arrows
            .iter()
            .filter(|arrow| !arrow.of_tests && arrow.from == here)
        {
            if seen.insert(&arrow.to) {
                let mut longer = way.clone();
                longer.push(&arrow.to);
                ways.push(longer);
            }
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUSE: Plan<'_> = Plan {
        top: &[ROOT, "error"],
        rooms: &[
            ("attic", &["hall", "cellar"]),
            ("hall", &["cellar"]),
            ("cellar", &[]),
        ],
        leaves: &["stairs"],
        exceptions: &[("hall", "error", "its door is not hung yet")],
    };

    fn found(plan: &Plan<'_>, sources: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = sources
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        faults(plan, &sources)
    }

    #[test]
    fn engine_and_desktop_app_keep_their_rooms() {
        check(&crate::workspace::root().unwrap()).unwrap();
    }

    #[test]
    fn what_points_down_passes() {
        let sources = [
            (
                "lib.rs",
                "mod attic; pub use attic::Roof; pub use hall::{Door as Gate, rugs::Rug}; pub use record;",
            ),
            ("error.rs", "use crate::hall::Door; use crate::attic;"),
            (
                "attic/mod.rs",
                "use crate::{hall::Door, cellar::{self, Wine}, stairs}; use super::Gate;",
            ),
            (
                "attic/roof.rs",
                "use super::super::cellar; use crate::attic; // crate::nothing",
            ),
            ("hall/mod.rs", "use crate::error::Fault; use crate::Gate;"),
            ("cellar/tests/wine.rs", "use crate::attic; use crate::Roof;"),
            (
                "cellar.rs",
                "mod inner { use super::super::stairs; } use crate::cellar as here;",
            ),
            ("stairs.rs", ""),
        ];
        assert_eq!(found(&HOUSE, &sources), [""; 0]);
    }

    #[test]
    fn each_fault_is_named() {
        let good = ("hall/mod.rs", "use crate::error;");
        for (path, text, fault) in [
            (
                "cellar/wine.rs",
                "\nuse crate::hall::Door;",
                "cellar/wine.rs:2: cellar may not use hall",
            ),
            (
                "cellar/wine.rs",
                "use super::super::{attic, cellar};",
                "cellar/wine.rs:1: cellar may not use attic",
            ),
            (
                "cellar.rs",
                "mod tests { use crate::hall; }",
                "cellar.rs:1: cellar may not use hall",
            ),
            (
                "cellar.rs",
                "use crate::error::Fault;",
                "cellar.rs:1: cellar may not use error",
            ),
            (
                "cellar.rs",
                "use crate::*;",
                "cellar.rs:1: cellar may not use lib",
            ),
            (
                "cellar.rs",
                "use super::A_CONSTANT_OF_THE_ROOT;",
                "cellar.rs:1: cellar may not use lib",
            ),
            (
                "stairs.rs",
                "use crate::cellar;",
                "stairs.rs:1: stairs may not use cellar",
            ),
            (
                "error.rs",
                "use crate::A_CONSTANT_OF_THE_ROOT;",
                "error.rs:1: error may not use lib",
            ),
            (
                "shed.rs",
                "",
                "shed.rs: shed has no place in the table of xtask/src/lint/rooms.rs",
            ),
            (
                "lib.rs",
                "pub use hall::*;",
                "lib.rs:1: names are brought in one by one, not with `*`",
            ),
            (
                "lib.rs",
                "use crate::{hall::A};",
                "lib.rs:1: a `use` for each room, so that one sees what is whose",
            ),
        ] {
            assert_eq!(found(&HOUSE, &[good, (path, text)]), [fault], "{text}");
        }
    }

    #[test]
    fn a_name_of_the_root_is_its_room_s() {
        let sources = [
            ("lib.rs", "pub use hall::{Door as Gate, Door};"),
            ("hall/mod.rs", "use crate::error;"),
            ("cellar.rs", "fn f(gate: crate::Gate) {}"),
        ];
        assert_eq!(
            found(&HOUSE, &sources),
            ["cellar.rs:1: cellar may not use hall"]
        );
    }

    #[test]
    fn a_circle_is_shown() {
        let sources = [
            ("attic.rs", "use crate::hall;"),
            ("hall.rs", "use crate::{error, cellar};"),
            ("cellar.rs", "use crate::attic;"),
        ];
        assert_eq!(
            found(&HOUSE, &sources),
            [
                "cellar.rs:1: cellar may not use attic, and so closes the circle cellar → attic → hall → cellar"
            ]
        );
    }

    #[test]
    fn a_table_may_allow_no_circle_and_nothing_that_is_not_there() {
        let plan = Plan {
            rooms: &[("hall", &["cellar"]), ("cellar", &["hall", "cellar"])],
            ..HOUSE
        };
        assert_eq!(
            found(&plan, &[]),
            [
                "the table lets cellar use hall, which is not below it",
                "the table lets cellar use cellar, which is not below it",
                "hall does not use error any more: take the exception out of the table",
            ]
        );
    }
}
