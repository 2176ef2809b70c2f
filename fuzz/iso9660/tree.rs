//! Builds a tree from arbitrary bytes, writes it and reads it back with the
//! tests' own reader, which panics at anything the standards forbid.

#![no_main]

#[path = "../../crates/iso9660/tests/reader/mod.rs"]
mod reader;

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use iso9660::{Timestamp, Volume};
use libfuzzer_sys::fuzz_target;

/// Random strings seldom clash or come near a limit, so these parts do.
#[derive(Arbitrary, Debug)]
enum Part {
    Text(String),
    /// One of few short names, in either case.
    Few(bool, u8),
    /// Alike in more than their first eight characters.
    Alike(u16),
    /// One character, many times.
    Long(char, u8),
}

#[derive(Arbitrary, Debug)]
enum Step {
    File {
        parts: Vec<Part>,
        length: u16,
        byte: u8,
    },
    Folder {
        parts: Vec<Part>,
    },
    /// Many files with names of one length, for folders of many sectors.
    Series {
        parts: Vec<Part>,
        count: u8,
        length: u8,
    },
}

#[derive(Arbitrary, Debug)]
struct Input {
    label: String,
    seconds: u64,
    steps: Vec<Step>,
}

fn path(parts: &[Part]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Few(upper, n) => char::from(if *upper { b'A' } else { b'a' } + n % 4).to_string(),
            Part::Alike(n) => format!("chunk-of-code-{n}.js"),
            Part::Long(c, times) => c.to_string().repeat((*times).into()),
        })
        .collect();
    parts.join("/")
}

fuzz_target!(|input: Input| {
    let time = Timestamp::from_unix_seconds(input.seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let (mut volume, label) = match Volume::new(&input.label, time) {
        Ok(volume) => (volume, input.label.as_str()),
        Err(_) => (Volume::new("FUZZ", time).expect("a good label"), "FUZZ"),
    };
    let mut model = BTreeMap::new();
    for step in &input.steps {
        let mut add = |path: String, content: Option<Vec<u8>>| {
            let added = match &content {
                Some(content) => volume.add_bytes(&path, content.as_slice()),
                None => volume.add_folder(&path),
            };
            if added.is_ok() {
                for (at, _) in path.match_indices('/') {
                    model.insert(path[..at].to_owned(), None);
                }
                model.insert(path, content);
            }
        };
        match step {
            Step::File {
                parts,
                length,
                byte,
            } => add(path(parts), Some(vec![*byte; (*length).into()])),
            Step::Folder { parts } => add(path(parts), None),
            Step::Series {
                parts,
                count,
                length,
            } => {
                let folder = path(parts);
                let width = usize::from(*length);
                for n in 0..*count {
                    add(format!("{folder}/{n:0width$}"), Some(Vec::new()));
                }
            }
        }
    }

    let mut image = Vec::new();
    let written = volume.write_to(&mut image).expect("a Vec takes everything");
    assert_eq!(written, image.len() as u64);
    assert_eq!(written, volume.image_len().expect("the volume was written"));
    let read = reader::read(&image);
    assert_eq!(read.label, label);
    assert_eq!(read.joliet, model);
    assert_eq!(read.primary.len(), model.len());
});
