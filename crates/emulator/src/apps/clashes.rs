//! Values in an app's `.env` files that contradict those which it is given.
//!
//! Each variable has two names, `HEXCLAVE_…` and `STACK_…`, and the SDK refuses to go on where both are set
//! and differ. So what counts here is what an app reads in the end: an environment goes before all files,
//! and `.env.local` goes before `.env`. Values are compared and go nowhere.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::credentials::twin;
use super::dotenv::{Variable, assignments};

/// The `.env` files that an app's folder may have, each before those that it goes before.
pub(super) const ENV_FILES: [&str; 2] = [".env.local", ".env"];

/// Where an app finds the variables that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given<'a> {
    /// In its environment. The folder is the app's.
    Environment(&'a Path),
    /// In this file.
    File(&'a Path),
}

/// A file that has other values than an app is given, for variables that it reads from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct Clash {
    /// The file.
    pub file: PathBuf,
    /// The variables' names, in the file's order.
    pub names: Vec<String>,
}

/// The files that contradict `given`. Files that cannot be read contradict nobody.
pub fn clashes(given: &[Variable<'_>], place: Given<'_>) -> Vec<Clash> {
    let files = looked_at(place);
    let clash = |(file, outranked): (PathBuf, bool)| {
        let content = super::projects::read_small(&file)?;
        let names = contradictions(&content, given, outranked);
        (!names.is_empty()).then_some(Clash { file, names })
    };
    files.into_iter().filter_map(clash).collect()
}

/// The files that an app reads beside what it is given, and whether what is given goes before each.
fn looked_at(place: Given<'_>) -> Vec<(PathBuf, bool)> {
    let in_folder = |folder: &Path| ENV_FILES.map(|name| folder.join(name)).into_iter();
    match place {
        Given::Environment(folder) => in_folder(folder).map(|file| (file, true)).collect(),
        Given::File(written) => {
            let name = written.file_name();
            let rank = ENV_FILES
                .iter()
                .position(|known| name == Some(OsStr::new(known)));
            let (Some(rank), Some(folder)) = (rank, written.parent()) else {
                // When an app reads it is not known.
                return vec![(written.to_owned(), true)];
            };
            let ranked = in_folder(folder).enumerate();
            ranked.map(|(other, file)| (file, other >= rank)).collect()
        }
    }
}

/// The names in `text` that stand for another value than in `given`, by either name. Those given
/// themselves do not count where they are `outranked`.
fn contradictions(text: &[u8], given: &[Variable<'_>], outranked: bool) -> Vec<String> {
    let is_given = |name: &str| given.iter().any(|variable| variable.name == name);
    let mut names: Vec<String> = Vec::new();
    for found in assignments(text) {
        let Ok(name) = std::str::from_utf8(&text[found.name]) else {
            continue;
        };
        let expected = given
            .iter()
            .find(|variable| variable.name == name || twin(variable.name).as_deref() == Some(name));
        let other =
            expected.is_some_and(|variable| variable.value.as_bytes() != &text[found.value]);
        let counts = other && !(outranked && is_given(name));
        if counts && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: [Variable<'_>; 2] = [
        Variable {
            name: "NEXT_PUBLIC_HEXCLAVE_PROJECT_ID",
            value: "p-1",
        },
        Variable {
            name: "NEXT_PUBLIC_STACK_PROJECT_ID",
            value: "p-1",
        },
    ];

    #[test]
    fn the_name_that_is_not_given_contradicts() {
        let text =
            b"A=1\nNEXT_PUBLIC_STACK_PROJECT_ID='cloud'\nNEXT_PUBLIC_STACK_PROJECT_ID=again\n";
        let other = ["NEXT_PUBLIC_STACK_PROJECT_ID"];
        assert_eq!(contradictions(text, &BOTH[..1], true), other);
        assert_eq!(contradictions(text, &BOTH, true), [""; 0]);
        assert_eq!(contradictions(text, &BOTH, false), other);
        let equal = b"NEXT_PUBLIC_STACK_PROJECT_ID=\"p-1\"\nVITE_STACK_PROJECT_ID=cloud\n";
        assert_eq!(contradictions(equal, &BOTH, false), [""; 0]);
    }

    fn of(given: &[Variable<'_>], place: Given<'_>) -> Vec<PathBuf> {
        let found = clashes(given, place).into_iter();
        found.map(|clash| clash.file).collect()
    }

    #[test]
    fn a_file_that_goes_before_the_written_one_contradicts() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let cloud = "NEXT_PUBLIC_STACK_PROJECT_ID=cloud\n";
        let none: [PathBuf; 0] = [];
        std::fs::write(path(".env"), cloud).unwrap();
        let local = path(".env.local");
        assert_eq!(of(&BOTH, Given::File(&local)), none, "it goes before .env");
        assert_eq!(of(&BOTH, Given::Environment(dir.path())), none);
        let new = &BOTH[..1];
        assert_eq!(of(new, Given::File(&local)), [path(".env")]);
        assert_eq!(of(new, Given::Environment(dir.path())), [path(".env")]);
        std::fs::rename(path(".env"), &local).unwrap();
        let one = std::slice::from_ref(&local);
        assert_eq!(of(&BOTH, Given::File(&path(".env"))), one);
        assert_eq!(of(new, Given::File(&local)), one);
        // Who reads another file is not known, and neither is what else they read.
        std::fs::write(path("dev.env"), cloud).unwrap();
        assert_eq!(of(&BOTH, Given::File(&path("dev.env"))), none);
        assert_eq!(of(new, Given::File(&path("dev.env"))), [path("dev.env")]);
    }

    proptest! {
        #[test]
        fn what_was_set_in_a_file_does_not_contradict(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let out = crate::apps::dotenv::set(&text, &BOTH);
            prop_assert_eq!(contradictions(&out, &BOTH, false), Vec::<String>::new());
        }
    }
}
