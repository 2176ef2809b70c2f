//! What a start notes for the first one after a boot of the host: a hint, on which nothing depends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::path::PathBuf;

use e2e::World;
use serde_json::Value;

/// Where the pages are noted that a start uses.
fn note(world: &World) -> PathBuf {
    world.instance().join("snapshots/current/pages.json")
}

/// The noted pages of the file that ends in `name`.
fn pages_of(world: &World, name: &str) -> Vec<(u64, u64)> {
    let note: Value = serde_json::from_slice(&std::fs::read(note(world)).unwrap()).unwrap();
    let files = note["body"]["files"].as_array().unwrap();
    let file = files
        .iter()
        .find(|file| file["path"].as_str().unwrap().ends_with(name))
        .unwrap_or_else(|| panic!("{name}: {note}"));
    serde_json::from_value(file["pages"].clone()).unwrap()
}

#[test]
fn a_start_notes_the_pages_that_it_uses_and_needs_no_note() {
    let world = World::captured();
    let starts = |kind: &str| {
        let started = world.start();
        assert_eq!(started["start"]["kind"], kind, "{started}");
    };
    std::fs::remove_file(note(&world)).ok();
    starts("resumed");
    let pages = pages_of(&world, "ram.raw");
    let memory = std::fs::metadata(world.instance().join("snapshots/current/ram.raw")).unwrap();
    let (_, end) = pages
        .iter()
        .map(|(first, count)| (first, first + count))
        .next_back()
        .unwrap();
    assert!(end * 4096 <= memory.len());
    // A guest of some hundred megabytes needs more than its processors' registers.
    assert!(
        pages.iter().map(|(_, count)| count).sum::<u64>() > 1000,
        "{pages:?}"
    );
    assert!(!pages_of(&world, "qemu-system-x86_64").is_empty());
    world.stop();
    starts("continued");
    world.discard();
    // It was noted once. Damage and nonsense are of no account, and noted anew if they cannot be read.
    let whole = std::fs::read(note(&world)).unwrap();
    for damaged in [&whole[..whole.len() / 2], b"", b"{\"format\": 1}"] {
        std::fs::write(note(&world), damaged).unwrap();
        starts("resumed");
        assert!(!pages_of(&world, "ram.raw").is_empty());
        world.discard();
    }
    let before = std::fs::read(note(&world)).unwrap();
    starts("resumed");
    assert_eq!(std::fs::read(note(&world)).unwrap(), before);
    world.discard();
}
