//! What becomes of an archive on a bad disk or a bad network.

use proptest::prelude::*;

use super::*;
use crate::instance::archive::Damage;

#[test]
fn cut_off_anywhere_it_is_refused_and_the_place_named() {
    let (_dir, path) = sample_archive();
    let whole = std::fs::read(path).unwrap();
    let boundaries = boundaries(&whole);
    assert!(boundaries.len() > 5, "{boundaries:?}");
    for &boundary in &boundaries {
        for cut in [
            boundary.saturating_sub(1),
            boundary,
            boundary + 1,
            boundary + 30,
        ] {
            if cut >= whole.len() {
                continue;
            }
            let error = outcome(&whole[..cut]).unwrap_err();
            let named = match &error {
                ArchiveError::Truncated { offset, .. } => *offset == cut as u64,
                // What is shorter than a mark does not say what it is.
                ArchiveError::Foreign { .. } => cut < super::super::format::MARK,
                _ => false,
            };
            assert!(named, "cut at {cut}: {error:?}");
        }
    }
}

#[test]
fn swapped_doubled_or_missing_frames_are_refused() {
    let (_dir, path) = sample_archive();
    let whole = std::fs::read(path).unwrap();
    let boundaries = boundaries(&whole);
    let frames: Vec<&[u8]> = boundaries
        .windows(2)
        .map(|ends| &whole[ends[0]..ends[1]])
        .collect();
    let (first, second) = (1, 2);
    let arrange = |change: &dyn Fn(&mut Vec<&[u8]>)| {
        let mut frames = frames.clone();
        change(&mut frames);
        outcome(&frames.concat()).unwrap_err()
    };
    let errors = [
        arrange(&|frames| frames.swap(first, second)),
        arrange(&|frames| frames.insert(first, frames[first])),
        arrange(&|frames| _ = frames.remove(first)),
        arrange(&|frames| frames.push(frames[first])),
    ];
    for error in errors {
        let order = matches!(
            error,
            ArchiveError::Damaged {
                damage: Damage::Order { .. },
                ..
            }
        );
        assert!(order, "{error:?}");
    }
}

#[test]
fn frames_of_another_archive_are_refused_even_under_the_right_number() {
    let (_dir, path) = sample_archive();
    let mut whole = std::fs::read(path).unwrap();
    let boundaries = boundaries(&whole);
    // Both are full frames of noise, so their lengths are nearly equal; the
    // second is put in place of the first and numbered like it.
    let first = boundaries[1]..boundaries[2];
    let mut second = whole[boundaries[2]..boundaries[3]].to_vec();
    second[12..16].copy_from_slice(&1_u32.to_le_bytes());
    whole.splice(first, second);
    let error = outcome(&whole).unwrap_err();
    let sum = matches!(
        error,
        ArchiveError::Damaged {
            damage: Damage::Sum,
            ..
        }
    );
    assert!(sum, "{error:?}");
}

#[test]
fn every_bit_of_every_mark_counts() {
    let (_dir, path) = sample_archive();
    let whole = std::fs::read(&path).unwrap();
    let starts = boundaries(&whole);
    let file = File::options().write(true).open(&path).unwrap();
    for &start in &starts[..starts.len() - 1] {
        for bit in 0..8 * super::super::format::MARK {
            let place = start + bit / 8;
            let put = |byte: u8| file.write_all_at(&[byte], place as u64).unwrap();
            put(whole[place] ^ 1 << (bit % 8));
            let opened = Archive::open(File::open(&path).unwrap(), &path);
            assert!(opened.is_err(), "bit {bit} of the mark at {start}");
            put(whole[place]);
        }
    }
    assert!(Archive::open(File::open(&path).unwrap(), &path).is_ok());
}

#[test]
fn an_error_names_the_place_and_the_remedy() {
    let (_dir, path) = sample_archive();
    let mut whole = std::fs::read(path).unwrap();
    let place = boundaries(&whole)[2];
    whole[place + 5000] ^= 1;
    let error = outcome(&whole).unwrap_err();
    let expected = format!("damaged at byte {place}: a frame cannot be decompressed");
    assert!(error.to_string().contains(&expected), "{error}");
    assert_eq!(error.remedy(), Some(failure::Remedy::CopyArchiveAgain));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_flipped_bit_never_changes_what_comes_out(place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive");
        let contents = [
            (400_000, vec![(4096, noise(60_000, 4)), (300_000, vec![9; 70_000])]),
            (5000, vec![(0, b"device state ".repeat(300))]),
            (100_000, vec![(50_000, noise(20, 5))]),
            (0, Vec::new()),
        ];
        let packed = pack_to(&path, &sources(dir.path(), &contents)).unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        // A zstd frame has a bit that means nothing, so it need not be an error.
        if let Ok(digests) = outcome(&bytes) {
            prop_assert_eq!(digests, packed.digests);
        }
    }
}
