//! Upper-case 8.3 names for the primary tree, unique in their folder.

use std::collections::{HashMap, HashSet};

use crate::label::is_d_character;

/// ECMA-119 10.1: level 1 allows eight characters, a dot and three more.
const STEM_CHARS: usize = 8;
const EXTENSION_CHARS: usize = 3;

/// A level 1 name. Its order is that of ECMA-119 9.3: by stem, then extension,
/// the shorter one filled up with spaces, which sort below every d-character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ShortName {
    stem: String,
    extension: String,
}

impl ShortName {
    /// ECMA-119 7.6: a folder's identifier is the bare stem.
    pub(crate) fn folder_identifier(&self) -> Vec<u8> {
        self.stem.clone().into_bytes()
    }

    /// ECMA-119 7.5: a file's identifier always has the dot and a version.
    pub(crate) fn file_identifier(&self) -> Vec<u8> {
        format!("{}.{};1", self.stem, self.extension).into_bytes()
    }
}

/// All 8.3 names of a kind are taken; `index` is the entry left without one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) index: usize,
}

/// Gives each entry of a folder a short name no other entry has, files and
/// folders alike, in the order given.
///
/// An entry whose name is a short name but for its case keeps it, whatever comes
/// before it. The rest depends on the order alone, so sorted entries make it
/// independent of how the folder was filled.
pub(crate) fn assign<'a>(
    entries: impl Iterator<Item = (&'a str, bool)> + Clone,
) -> Result<Vec<ShortName>, Exhausted> {
    // No two fitting names are equal: the tree keeps names that differ in case
    // alone apart.
    let mut taken: HashSet<ShortName> = entries
        .clone()
        .filter(|(name, is_folder)| fits(name, *is_folder))
        .map(|(name, is_folder)| shorten(name, is_folder))
        .collect();
    let mut numbers = Numbers::default();
    let mut assigned = Vec::new();
    for (index, (name, is_folder)) in entries.enumerate() {
        let short = shorten(name, is_folder);
        if fits(name, is_folder) || taken.insert(short.clone()) {
            assigned.push(short);
            continue;
        }
        let numbered = numbers
            .next_free(&short, &taken)
            .ok_or(Exhausted { index })?;
        taken.insert(numbered.clone());
        assigned.push(numbered);
    }
    Ok(assigned)
}

/// Whether nothing but case is lost in the short name.
fn fits(name: &str, is_folder: bool) -> bool {
    let (stem, extension) = split(name, is_folder);
    let plain = |part: &str| part.chars().all(|c| is_d_character(c.to_ascii_uppercase()));
    plain(stem)
        && plain(extension)
        && stem.len() <= STEM_CHARS
        && extension.len() <= EXTENSION_CHARS
}

fn shorten(name: &str, is_folder: bool) -> ShortName {
    let (stem, extension) = split(name, is_folder);
    let d_characters = |part: &str, most: usize| {
        part.chars()
            .map(|c| c.to_ascii_uppercase())
            .map(|c| if is_d_character(c) { c } else { '_' })
            .take(most)
            .collect()
    };
    ShortName {
        stem: d_characters(stem, STEM_CHARS),
        extension: d_characters(extension, EXTENSION_CHARS),
    }
}

/// Stem and extension: a folder has no extension, and neither has a name whose
/// only dot is its first character, such as `.env`.
fn split(name: &str, is_folder: bool) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !is_folder && !stem.is_empty() => (stem, extension),
        _ => (name, ""),
    }
}

/// Counters for numbered names, one for each shortened stem, extension and
/// count of digits, so that a folder of many alike names takes linear time.
#[derive(Default)]
struct Numbers(HashMap<(String, String, usize), u32>);

impl Numbers {
    /// `STEM_1` to `STEM_9`, then with a shorter stem `STE_10` and so on.
    fn next_free(&mut self, short: &ShortName, taken: &HashSet<ShortName>) -> Option<ShortName> {
        let mut first = 1;
        for digits in 1..STEM_CHARS {
            let kept = STEM_CHARS - 1 - digits;
            let stem: String = short.stem.chars().take(kept).collect();
            let next = self
                .0
                .entry((stem.clone(), short.extension.clone(), digits))
                .or_insert(first);
            while *next < first * 10 {
                let candidate = ShortName {
                    stem: format!("{stem}_{next}"),
                    extension: short.extension.clone(),
                };
                *next += 1;
                if !taken.contains(&candidate) {
                    return Some(candidate);
                }
            }
            first *= 10;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(names: &[&str]) -> Vec<String> {
        assign(names.iter().map(|name| (*name, false)))
            .unwrap()
            .iter()
            .map(|short| String::from_utf8(short.file_identifier()).unwrap())
            .collect()
    }

    #[test]
    fn names_are_cut_to_eight_and_three_d_characters() {
        assert_eq!(
            files(&[
                ".env",
                "README",
                "a.tar.gz",
                "café.jpeg",
                "runtime.env",
                "user-data"
            ]),
            [
                "_ENV.;1",
                "README.;1",
                "A_TAR.GZ;1",
                "CAF_.JPE;1",
                "RUNTIME.ENV;1",
                "USER_DAT.;1"
            ]
        );
    }

    #[test]
    fn folders_have_no_extension() {
        let short = assign([("node.modules", true)].into_iter()).unwrap();
        assert_eq!(short[0].folder_identifier(), b"NODE_MOD");
    }

    #[test]
    fn a_name_that_fits_keeps_its_place() {
        assert_eq!(
            files(&["user-data1", "user-data2", "user_dat", "user_d_1"]),
            ["USER_D_2.;1", "USER_D_3.;1", "USER_DAT.;1", "USER_D_1.;1"]
        );
    }

    #[test]
    fn a_file_and_a_folder_do_not_share_a_name() {
        let short = assign([("user-data", false), ("user-dat", true)].into_iter()).unwrap();
        assert_eq!(short[0].file_identifier(), b"USER_DAT.;1");
        assert_eq!(short[1].folder_identifier(), b"USER_D_1");
    }

    #[test]
    fn running_out_of_numbers_names_the_entry() {
        // As if ten million names had gone before.
        let short = shorten("user-data", false);
        let mut numbers = Numbers::default();
        for digits in 1..8_usize {
            let stem = short.stem[..7 - digits].to_owned();
            let spent = 10_u32.pow(u32::try_from(digits).unwrap());
            numbers.0.insert((stem, String::new(), digits), spent);
        }
        assert_eq!(numbers.next_free(&short, &HashSet::new()), None);
    }

    #[test]
    fn many_alike_names_stay_unique_and_short() {
        let names: Vec<String> = (0..50_000).map(|n| format!("chunk-{n:06}.js")).collect();
        let short = assign(names.iter().map(|name| (name.as_str(), false))).unwrap();
        let unique: HashSet<&ShortName> = short.iter().collect();
        assert_eq!(unique.len(), names.len());
        assert!(
            short
                .iter()
                .all(|s| s.stem.len() <= 8 && s.extension == "JS")
        );
    }
}
