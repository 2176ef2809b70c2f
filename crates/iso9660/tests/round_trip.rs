//! Trees go in, images come out, and an independent reader finds the same
//! trees in them.

#![allow(clippy::unwrap_used)]

mod reader;

use std::collections::BTreeMap;

use iso9660::{Error, Timestamp, Volume};
use proptest::prelude::*;

const TIME: Timestamp = Timestamp::UNIX_EPOCH;

fn image(volume: &Volume) -> Vec<u8> {
    let mut image = Vec::new();
    let written = volume.write_to(&mut image).unwrap();
    assert_eq!(written, image.len() as u64);
    assert_eq!(written, volume.image_len().unwrap());
    image
}

/// Names that make trouble: alike in their first characters or but for their
/// case, with dots and spaces, at the length limits, outside ASCII, forbidden.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-c]{1,2}",
        4 => "[A-Ca-c]{1,3}(\\.[a-b]{0,2})?",
        4 => "node-module-[0-9]{1,3}\\.js",
        2 => "\\.[a-c]{1,2}|[a-b ]{1,3}|\\.{1,3}[a-b]?",
        2 => "[a-zA-Z0-9_.-]{60,110}",
        2 => "[à-ïÀ-Ïぁ-ん一-十]{1,90}",
        1 => "\\PC{1,6}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(name(), 1..5).prop_map(|names| names.join("/"))
}

fn files() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let content = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..10),
        1 => prop::collection::vec(any::<u8>(), 2040..2060),
        1 => (0_usize..10_000).prop_map(|len| vec![7; len]),
    ];
    prop::collection::vec((path(), content), 0..60)
}

/// Whether the volume should take `path`, told in other words than its own.
fn expected(model: &reader::Tree, path: &str) -> Result<(), &'static str> {
    let fold = |s: &str| s.to_lowercase();
    let mut prefix = String::new();
    for part in path.split('/') {
        let ucs2 = part.chars().all(|c| u32::from(c) <= 0xffff);
        let allowed = !part.chars().any(|c| c < ' ' || "*:;?\\".contains(c));
        if part.is_empty() || part.ends_with('.') || !ucs2 || !allowed {
            return Err("name");
        }
        if part.chars().count() > 103 || part.len() > 253 {
            return Err("name");
        }
    }
    for part in path.split('/') {
        if model.get(&prefix).is_some_and(Option::is_some) {
            return Err("not a folder");
        }
        if !prefix.is_empty() {
            prefix.push('/');
        }
        prefix.push_str(part);
        let clash = |key: &String| *key != prefix && fold(key) == fold(&prefix);
        if model.keys().any(clash) {
            return Err("case");
        }
    }
    if model.contains_key(path) {
        return Err("duplicate");
    }
    Ok(())
}

fn insert(model: &mut reader::Tree, path: &str, data: &[u8]) {
    for (at, _) in path.match_indices('/') {
        model.insert(path[..at].to_owned(), None);
    }
    model.insert(path.to_owned(), Some(data.to_vec()));
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(files in files()) {
        let mut volume = Volume::new("PROPERTY", TIME).unwrap();
        let mut model = reader::Tree::new();
        for (path, data) in &files {
            let verdict = volume.add_bytes(path, data.as_slice());
            match expected(&model, path) {
                Ok(()) => {
                    prop_assert!(verdict.is_ok(), "{path:?}: {verdict:?}");
                    insert(&mut model, path, data);
                }
                Err(fault) => prop_assert!(
                    matches!(
                        (&verdict, fault),
                        (Err(Error::InvalidName { .. }), "name")
                            | (Err(Error::NotAFolder { .. }), "not a folder")
                            | (Err(Error::CaseClash { .. }), "case")
                            | (Err(Error::Duplicate { .. }), "duplicate")
                    ),
                    "{path:?}: {verdict:?} instead of {fault}"
                ),
            }
        }
        let read = reader::read(&image(&volume));
        prop_assert_eq!(read.label, "PROPERTY");
        prop_assert_eq!(&read.joliet, &model);
        prop_assert_eq!(read.primary.len(), model.len());
        let contents = |tree: &reader::Tree| {
            let mut contents: Vec<_> = tree.values().cloned().collect();
            contents.sort();
            contents
        };
        prop_assert_eq!(contents(&read.primary), contents(&model));
    }

    #[test]
    fn the_order_of_adding_leaves_no_trace(files in files(), seed in any::<u64>()) {
        let mut volume = Volume::new("ORDER", TIME).unwrap();
        let mut added = BTreeMap::new();
        for (path, data) in files {
            if volume.add_bytes(&path, data.as_slice()).is_ok() {
                added.insert(path, data);
            }
        }
        let mut shuffled: Vec<_> = added.into_iter().collect();
        shuffled.sort_by_key(|(path, _)| {
            path.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
        });
        let mut again = Volume::new("ORDER", TIME).unwrap();
        for (path, data) in shuffled {
            again.add_bytes(&path, data).unwrap();
        }
        prop_assert!(image(&volume) == image(&again));
    }
}

#[test]
fn an_empty_volume_is_a_volume() {
    let volume = Volume::new("EMPTY", TIME).unwrap();
    let read = reader::read(&image(&volume));
    assert!(read.primary.is_empty() && read.joliet.is_empty());
}

#[test]
fn only_the_time_given_is_in_the_image() {
    let at = |seconds| {
        let time = Timestamp::from_unix_seconds(seconds).unwrap();
        let mut volume = Volume::new("TIME", time).unwrap();
        volume.add_bytes("a", "1").unwrap();
        image(&volume)
    };
    assert_eq!(at(1_700_000_000), at(1_700_000_000));
    assert_ne!(at(1_700_000_000), at(1_700_000_001));
}

#[test]
fn a_volume_can_be_written_twice() {
    let mut volume = Volume::new("TWICE", TIME).unwrap();
    volume.add_bytes("a", "1").unwrap();
    assert_eq!(image(&volume), image(&volume));
}

#[test]
fn empty_folders_and_files_are_kept() {
    let mut volume = Volume::new("EMPTY", TIME).unwrap();
    volume.add_folder("a/b").unwrap();
    volume.add_folder("a/b").unwrap();
    volume.add_folder("a").unwrap();
    volume.add_bytes("a/none", Vec::new()).unwrap();
    let read = reader::read(&image(&volume));
    let expected = [("a", None), ("a/b", None), ("a/none", Some(Vec::new()))]
        .map(|(path, data)| (path.to_owned(), data));
    assert_eq!(read.joliet, reader::Tree::from(expected));
}

#[test]
fn folders_of_many_sectors_keep_their_records_whole() {
    // Names of all lengths make records end everywhere in their sectors, the
    // last byte among them.
    let mut volume = Volume::new("SECTORS", TIME).unwrap();
    let mut model = reader::Tree::new();
    for n in 0..2000_usize {
        let path = format!("many/{n:04}{}", "x".repeat(n % 100));
        volume.add_bytes(&path, path.as_bytes()).unwrap();
        insert(&mut model, &path, path.as_bytes());
    }
    assert_eq!(reader::read(&image(&volume)).joliet, model);
}

#[test]
fn records_may_fill_a_sector_to_its_last_byte() {
    // Joliet: 2 records of 34 bytes, then 55 of 36 bytes make 2048.
    for count in 54..57 {
        let mut volume = Volume::new("BRIM", TIME).unwrap();
        for n in 0..count {
            let name = char::from_u32('一' as u32 + n).unwrap().to_string();
            volume.add_folder(&name).unwrap();
        }
        let image = image(&volume);
        assert_eq!(reader::read(&image).joliet.len(), count as usize);
        let root_bytes = u32::from_le_bytes(image[17 * 2048 + 166..][..4].try_into().unwrap());
        assert_eq!(root_bytes, if count <= 55 { 2048 } else { 4096 });
    }
}

#[test]
fn deep_folders_stay_where_they_are() {
    let mut volume = Volume::new("DEEP", TIME).unwrap();
    let path = format!("{}/file", ["folder"; 60].join("/"));
    volume.add_bytes(&path, "deep").unwrap();
    let read = reader::read(&image(&volume));
    assert_eq!(read.joliet[&path], Some(b"deep".to_vec()));
    assert_eq!(read.primary[&path.to_uppercase()], Some(b"deep".to_vec()));
}
