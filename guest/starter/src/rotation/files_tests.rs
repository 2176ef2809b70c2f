//! States that a kill or a power cut can leave between any two system calls, built by hand.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::secrets::{CRON, PCK};

fn key(digit: char) -> Key {
    Key::parse(digit.to_string().repeat(64).as_bytes()).unwrap()
}

fn secrets_text(digit: char) -> String {
    let value = digit.to_string().repeat(64);
    format!("{PCK}={value}\n{CRON}={value}\n")
}

fn bundle_text(digit: char) -> String {
    format!("const KEY = \"{}\";\n", digit.to_string().repeat(64))
}

/// A configuration folder and a dashboard of two bundles.
struct Place(TempDir);

/// Which content a file and its other half have; `None` for no file.
type Halves = (char, Option<char>);

impl Place {
    fn new(secrets: Halves, first: Halves, second: Halves) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.dashboard().join("nested")).unwrap();
        for (path, halves, text) in [
            (place.secrets(), secrets, secrets_text as fn(char) -> String),
            (place.first(), first, bundle_text),
            (place.second(), second, bundle_text),
        ] {
            fs::write(&path, text(halves.0)).unwrap();
            if let Some(other) = halves.1 {
                fs::write(Pair::new(&path).rotating, text(other)).unwrap();
            }
        }
        place
    }

    fn dashboard(&self) -> PathBuf {
        self.0.path().join("dashboard")
    }

    fn secrets(&self) -> PathBuf {
        self.0.path().join("secrets.env")
    }

    fn first(&self) -> PathBuf {
        self.dashboard().join("a.js")
    }

    fn second(&self) -> PathBuf {
        self.dashboard().join("nested/b.js")
    }

    fn settle(&self, in_force: char) -> Result<(), FilesError> {
        settle(self.0.path(), &self.dashboard(), &key(in_force))
    }

    fn assert_settled(&self, in_force: char) {
        assert_eq!(
            fs::read_to_string(self.secrets()).unwrap(),
            secrets_text(in_force)
        );
        for path in [self.first(), self.second()] {
            assert_eq!(fs::read_to_string(path).unwrap(), bundle_text(in_force));
        }
        for path in [self.secrets(), self.first(), self.second()] {
            assert!(!Pair::new(&path).rotating.exists(), "{path:?}");
        }
    }
}

#[test]
fn every_state_of_a_killed_rotation_is_settled_both_ways() {
    // 1 is old, 2 is new; in the order in which a rotation goes through them.
    let before_commit: [[Halves; 3]; 7] = [
        [('1', None), ('1', None), ('1', None)],
        [('1', Some('2')), ('1', None), ('1', None)],
        [('1', Some('2')), ('1', Some('2')), ('1', None)],
        [('1', Some('2')), ('1', Some('2')), ('1', Some('2'))],
        [('2', Some('1')), ('1', Some('2')), ('1', Some('2'))],
        [('2', Some('1')), ('2', Some('1')), ('1', Some('2'))],
        [('2', Some('1')), ('2', Some('1')), ('2', Some('1'))],
    ];
    for [secrets, first, second] in before_commit {
        let place = Place::new(secrets, first, second);
        place.settle('1').unwrap();
        place.assert_settled('1');
    }
    // After the commit; the exchanges may not have reached the disk before a power cut.
    let after_commit: [[Halves; 3]; 6] = [
        [('2', Some('1')), ('2', Some('1')), ('2', Some('1'))],
        [('1', Some('2')), ('1', Some('2')), ('1', Some('2'))],
        [('2', Some('1')), ('1', Some('2')), ('2', Some('1'))],
        [('2', Some('1')), ('2', Some('1')), ('2', None)],
        [('2', Some('1')), ('2', None), ('2', None)],
        [('2', None), ('2', None), ('2', None)],
    ];
    for [secrets, first, second] in after_commit {
        let place = Place::new(secrets, first, second);
        place.settle('2').unwrap();
        place.assert_settled('2');
        // Once more: nothing to do.
        place.settle('2').unwrap();
        place.assert_settled('2');
    }
}

#[test]
fn a_half_written_other_half_is_removed() {
    let place = Place::new(('1', Some('2')), ('1', None), ('1', None));
    fs::write(Pair::new(&place.first()).rotating, "const KEY = \"22").unwrap();
    place.settle('1').unwrap();
    place.assert_settled('1');

    let place = Place::new(('1', None), ('1', None), ('1', None));
    fs::write(Pair::new(&place.secrets()).rotating, "STACK_SEED").unwrap();
    place.settle('1').unwrap();
    place.assert_settled('1');
}

#[test]
fn a_key_that_no_half_holds_is_reported_and_nothing_lost() {
    let place = Place::new(('1', Some('2')), ('1', None), ('1', None));
    assert!(
        matches!(place.settle('3'), Err(FilesError::Stranded(path)) if path == place.secrets())
    );
    assert!(Pair::new(&place.secrets()).rotating.exists());

    let place = Place::new(('3', None), ('1', Some('2')), ('3', None));
    assert!(matches!(place.settle('3'), Err(FilesError::Stranded(path)) if path == place.first()));
}

#[test]
fn undo_restores_and_finish_cleans() {
    for undo in [true, false] {
        let place = Place::new(('1', None), ('1', None), ('1', None));
        let mut replacements = Replacements::default();
        replacements
            .stage(&place.secrets(), secrets_text('2').as_bytes())
            .unwrap();
        stage_bundles(
            &place.dashboard(),
            &[key('1')],
            &key('2'),
            &mut replacements,
        )
        .unwrap();
        replacements.exchange().unwrap();
        if undo {
            replacements.undo().unwrap();
            place.assert_settled('1');
        } else {
            replacements.finish().unwrap();
            place.assert_settled('2');
        }
    }
}

#[test]
fn a_failure_between_two_exchanges_is_undone() {
    let place = Place::new(('1', None), ('1', None), ('1', None));
    let mut replacements = Replacements::default();
    replacements
        .stage(&place.secrets(), secrets_text('2').as_bytes())
        .unwrap();
    stage_bundles(
        &place.dashboard(),
        &[key('1')],
        &key('2'),
        &mut replacements,
    )
    .unwrap();
    // The second bundle's new half is taken away, so its exchange cannot work.
    let taken = Pair::new(&place.second()).rotating;
    fs::remove_file(&taken).unwrap();
    assert!(matches!(
        replacements.exchange(),
        Err(FilesError::Io {
            action: "exchange",
            ..
        })
    ));
    assert_eq!(replacements.exchanged, 2);
    // Undoing cannot remove what is not there; it says so, and settling does the rest.
    assert!(replacements.undo().is_err());
    place.settle('1').unwrap();
    place.assert_settled('1');
}

#[test]
fn owner_and_mode_are_kept() {
    let place = Place::new(('1', None), ('1', None), ('1', None));
    fs::set_permissions(place.first(), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(place.secrets(), fs::Permissions::from_mode(0o640)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(place.secrets(), Some(12), Some(34)).unwrap();
    }
    let before = fs::metadata(place.secrets()).unwrap();
    let mut replacements = Replacements::default();
    replacements.stage(&place.secrets(), b"x").unwrap();
    replacements.stage(&place.first(), b"x").unwrap();
    replacements.exchange().unwrap();
    replacements.finish().unwrap();
    let after = fs::metadata(place.secrets()).unwrap();
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_eq!(after.mode() & 0o7777, 0o640);
    assert_eq!(fs::metadata(place.first()).unwrap().mode() & 0o7777, 0o644);
}

#[test]
fn a_new_half_is_never_readable_by_others() {
    let place = Place::new(('1', None), ('1', None), ('1', None));
    fs::set_permissions(place.secrets(), fs::Permissions::from_mode(0o600)).unwrap();
    let mut replacements = Replacements::default();
    replacements.stage(&place.secrets(), b"x").unwrap();
    let mode = fs::metadata(Pair::new(&place.secrets()).rotating)
        .unwrap()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn links_are_not_followed() {
    let place = Place::new(('1', None), ('1', None), ('1', None));
    let outside = place.0.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("c.js"), bundle_text('1')).unwrap();
    symlink(&outside, place.dashboard().join("link")).unwrap();
    symlink(outside.join("c.js"), place.dashboard().join("c.js")).unwrap();
    let mut replacements = Replacements::default();
    stage_bundles(
        &place.dashboard(),
        &[key('1')],
        &key('2'),
        &mut replacements,
    )
    .unwrap();
    let paths: Vec<_> = replacements
        .pairs
        .iter()
        .map(|pair| pair.path.clone())
        .collect();
    assert_eq!(paths, [place.first(), place.second()]);
}

#[test]
fn a_dashboard_without_the_key_is_refused() {
    let place = Place::new(('1', None), ('1', None), ('1', None));
    let mut replacements = Replacements::default();
    let result = stage_bundles(
        &place.dashboard(),
        &[key('3')],
        &key('2'),
        &mut replacements,
    );
    assert!(matches!(result, Err(FilesError::NoBundle(_))));
}

proptest! {
    #[test]
    fn replacing_leaves_no_known_key(
        parts in proptest::collection::vec(prop_oneof![
            Just("1".repeat(64)),
            Just("2".repeat(64)),
            "[0-9a-f;\\n]{0,70}",
        ], 0..8),
    ) {
        let before = parts.concat();
        let known = [key('1'), key('2')];
        let new = key('9');
        let mut content = before.clone().into_bytes();
        let found = replace_keys(&mut content, &known, &new);
        prop_assert_eq!(content.len(), before.len());
        prop_assert_eq!(found, known.iter().any(|key| before.contains(key.expose())));
        for key in &known {
            prop_assert!(find(&content, key).is_none());
        }
    }
}
