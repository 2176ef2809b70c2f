//! Archives that nobody's disk made: every length and number that cannot be.

use super::*;
use crate::instance::archive::Damage;
use crate::instance::archive::format::{
    CHECKSUM, Chain, End, MAX_FILE, MAX_FRAME, MAX_HEADER, push_extent,
};
use crate::instance::archive::fuzzing::{frame, wrap};

const LENGTHS: [u64; 4] = [10_000, 10, 0, 0];

/// An archive of frames with any contents and numbers in order.
fn archive_of(contents: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (number, content) in (0..).zip(contents) {
        let (mark, compressed) = frame(number, content);
        archive.extend(mark);
        archive.extend(compressed);
    }
    archive
}

fn prelude_with(json: &str) -> Vec<u8> {
    let mut prelude = b"stack-emulator-savevm 1\n".to_vec();
    prelude.extend(u32::try_from(json.len()).unwrap().to_le_bytes());
    prelude.extend(json.as_bytes());
    prelude
}

fn damage(bytes: &[u8]) -> Damage {
    match outcome(bytes) {
        Err(ArchiveError::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    }
}

fn extent(file: u8, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    push_extent(&mut content, file, offset, bytes);
    content
}

#[test]
fn what_the_others_are_measured_by_is_accepted() {
    let contents = [extent(0, 9000, &[1; 1000]), extent(1, 0, &[2; 10])];
    let digests = outcome(&wrap(LENGTHS, &contents, 2, 1010)).unwrap();
    assert_eq!(digests.len(), 4);
}

#[test]
fn pieces_outside_of_their_file_are_refused() {
    let cases = [
        extent(0, 9001, &[1; 1000]),
        extent(0, u64::MAX, &[1]),
        extent(0, u64::MAX - 1, &[1]),
        extent(1, 10, &[1]),
        extent(2, 0, &[1]),
        extent(4, 0, &[1]),
        extent(255, 0, &[1]),
        extent(0, 0, &[]),
        // Announces more than follows.
        extent(0, 0, &[1; 100])[..100].to_vec(),
    ];
    for content in cases {
        let damage = damage(&wrap(LENGTHS, &[content], 1, 1));
        assert!(matches!(damage, Damage::Extent { .. }), "{damage:?}");
    }
}

#[test]
fn other_things_between_the_pieces_are_refused() {
    let good = extent(0, 0, &[1; 10]);
    for rest in [vec![1], vec![0; 20], vec![3; 20], good[..13].to_vec()] {
        let content = [good.clone(), rest].concat();
        let damage = damage(&wrap(LENGTHS, &[content], 1, 10));
        assert!(matches!(damage, Damage::Kind), "{damage:?}");
    }
}

#[test]
fn an_end_that_counts_otherwise_is_refused() {
    let content = [extent(0, 0, &[1; 10])];
    for (extents, bytes) in [(2, 10), (1, 11), (0, 0)] {
        let damage = damage(&wrap(LENGTHS, &content, extents, bytes));
        assert!(matches!(damage, Damage::Sum), "{damage:?}");
    }
}

#[test]
fn another_version_and_other_files_are_told_apart() {
    let other_version = archive_of(&[b"stack-emulator-savevm 2\nwhatever".to_vec()]);
    let error = outcome(&other_version).unwrap_err();
    assert!(
        matches!(error, ArchiveError::Version { found: 2, .. }),
        "{error:?}"
    );
    let zstd = zstd::encode_all(&b"some other file"[..], 1).unwrap();
    let foreign = [
        Vec::new(),
        vec![0; 100],
        zstd,
        archive_of(&[b"stack-emulator-image 1\n".to_vec()]),
        archive_of(&[b"stack-emulator-savevm x\n".to_vec()]),
        archive_of(&[b"stack-emulator-savevm 99999999999\n".to_vec()]),
        archive_of(&[b"stack-emulator-savevm 1".to_vec()]),
    ];
    for bytes in foreign {
        let error = outcome(&bytes).unwrap_err();
        assert!(matches!(error, ArchiveError::Foreign { .. }), "{error:?}");
    }
}

#[test]
fn a_header_of_other_files_is_refused() {
    let entry = |name: &str, bytes: u64| format!(r#"{{"name":"{name}","bytes":{bytes}}}"#);
    let good: Vec<_> = FILES.iter().map(|name| entry(name, 1)).collect();
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut files = good.clone();
        change(&mut files);
        let json = format!(r#"{{"manifest":"","files":[{}]}}"#, files.join(","));
        damage(&archive_of(&[prelude_with(&json)]))
    };
    let refused = [
        changed(&|files| files[0] = entry("../ram.raw", 1)),
        changed(&|files| files[0] = entry("/etc/passwd", 1)),
        changed(&|files| files.swap(0, 1)),
        changed(&|files| drop(files.pop())),
        changed(&|files| files.push(entry("more", 1))),
        changed(&|files| files[1] = entry(FILES[1], MAX_FILE + 1)),
    ];
    for damage in refused {
        assert!(matches!(damage, Damage::Files), "{damage:?}");
    }
    let no_json = damage(&archive_of(&[prelude_with("{")]));
    assert!(matches!(no_json, Damage::Header(_)), "{no_json:?}");
}

#[test]
fn a_header_is_no_larger_than_allowed_and_as_long_as_it_says() {
    let large = prelude_with(&" ".repeat(MAX_HEADER + 100));
    let mut longer = prelude_with("{}");
    longer.push(b' ');
    let short = b"stack-emulator-savevm 1\n\x01".to_vec();
    for prelude in [large, longer, short] {
        let damage = damage(&archive_of(&[prelude]));
        assert!(
            matches!(damage, Damage::Length { what: "header", .. }),
            "{damage:?}"
        );
    }
}

#[test]
fn a_frame_never_grows_beyond_its_mark() {
    // Far more than any frame may hold, in a few kB.
    let bomb = zstd::encode_all(
        std::io::Read::take(std::io::repeat(0), 4 * u64::from(MAX_FRAME)),
        1,
    )
    .unwrap();
    let whole = wrap(LENGTHS, &[vec![0; 10]], 0, 0);
    let starts = boundaries(&whole);
    for announced in [10, MAX_FRAME] {
        let mark = super::super::format::Mark {
            number: 1,
            compressed: u32::try_from(bomb.len()).unwrap(),
            raw: announced,
        };
        let mut chain = Chain::default();
        let mut bytes = Vec::new();
        let mut push = |mark: [u8; super::super::format::MARK], compressed: &[u8]| {
            chain.add(&mark, *compressed.last_chunk::<CHECKSUM>().unwrap());
            bytes.extend(mark);
            bytes.extend(compressed);
        };
        let prelude = &whole[..starts[1]];
        let (first, compressed) = prelude.split_first_chunk().unwrap();
        push(*first, compressed);
        push(mark.encode(), &bomb);
        let end = End {
            frames: 3,
            extents: 0,
            data_bytes: 0,
            sum: chain.sum(),
        };
        let (mark, compressed) = frame(2, &end.encode());
        bytes.extend(mark);
        bytes.extend(compressed);
        let damage = damage(&bytes);
        let refused = matches!(damage, Damage::Frame(_) | Damage::Length { .. });
        assert!(refused, "{damage:?}");
    }
}

#[test]
fn several_frames_under_one_mark_are_refused() {
    let whole = wrap(LENGTHS, &[extent(0, 0, &[1; 10])], 1, 10);
    let starts = boundaries(&whole);
    let mut bytes = whole[..starts[1]].to_vec();
    // The prelude's frame and an empty one after it, both under its mark.
    bytes.extend(zstd::encode_all(&[][..], 1).unwrap());
    let compressed = u32::try_from(bytes.len() - super::super::format::MARK).unwrap();
    bytes[16..20].copy_from_slice(&compressed.to_le_bytes());
    let damage = damage(&bytes);
    assert!(matches!(damage, Damage::Boundary), "{damage:?}");
}
