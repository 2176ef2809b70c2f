//! What a kill or a power cut can leave, built by hand.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Secrets made of one hex digit.
fn secrets(digit: char) -> Secrets {
    let key = || Key::parse(digit.to_string().repeat(64).as_bytes()).unwrap();
    Secrets {
        pck: key(),
        ssk: key(),
        sak: key(),
        cron: key(),
    }
}

/// A configuration folder, and a dashboard of two bundles with the key and one without.
struct Place {
    dir: TempDir,
    settings: Settings,
}

impl Place {
    /// With everything as secrets of `digit` have it.
    fn new(digit: char) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::paths_only();
        settings.config_dir = dir.path().join("etc");
        settings.dashboard_dir = dir.path().join("dashboard");
        settings.dashboard_built_dir = dir.path().join("built");
        let placeholder = Key::placeholder_pck();
        for folder in [&settings.dashboard_dir, &settings.dashboard_built_dir] {
            fs::create_dir_all(folder.join("nested")).unwrap();
            for name in ["a.js", "nested/b.js"] {
                fs::write(
                    folder.join(name),
                    format!("const KEY = {:?};\n", placeholder.expose()),
                )
                .unwrap();
            }
            fs::write(folder.join("other.js"), "// nothing\n").unwrap();
            fs::write(folder.join("page.html"), placeholder.expose()).unwrap();
        }
        fs::create_dir(&settings.config_dir).unwrap();
        fs::write(secrets::path(&settings.config_dir), "").unwrap();
        let place = Self { dir, settings };
        place.settle(digit);
        place
    }

    fn all(&self, digit: char) -> Vec<Derived> {
        Derived::all(&self.settings, &secrets(digit)).unwrap()
    }

    fn settle(&self, digit: char) {
        settle(&self.all(digit)).unwrap();
    }

    fn staged(&self, digit: char) -> Replacements {
        let mut replacements = Replacements::default();
        for file in self.all(digit) {
            replacements.stage(&file).unwrap();
        }
        replacements
    }

    #[track_caller]
    fn assert_settled(&self, digit: char) {
        let all = self.all(digit);
        assert_eq!(all.len(), 3);
        for file in all {
            let found = fs::read(&file.path).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&found),
                String::from_utf8_lossy(&file.content)
            );
            assert!(!file.rotating().exists(), "{:?}", file.path);
        }
        assert!(!is_unfinished(&self.settings));
    }
}

#[test]
fn every_state_of_a_killed_rotation_is_settled_both_ways() {
    // How many files were staged, exchanged and cleaned up when the kill came.
    let states = (0..=3)
        .map(|staged| (staged, 0, 0))
        .chain((1..=3).map(|exchanged| (3, exchanged, 0)))
        .chain((1..=3).map(|finished| (3, 3, finished)));
    for (staged, exchanged, finished) in states {
        for in_force in ['1', '2'] {
            let place = Place::new('1');
            let all = place.all('2');
            for file in &all[..staged] {
                file.write_rotating().unwrap();
            }
            for file in &all[..exchanged] {
                exchange(&(file.path.clone(), file.rotating())).unwrap();
            }
            for file in all.iter().rev().take(finished) {
                fs::remove_file(file.rotating()).unwrap();
            }
            let unfinished = (1..3).contains(&staged) || (staged == 3 && finished < 3);
            assert_eq!(is_unfinished(&place.settings), unfinished);
            place.settle(in_force);
            place.assert_settled(in_force);
            // Once more: nothing to do.
            place.settle(in_force);
            place.assert_settled(in_force);
        }
    }
}

#[test]
fn whatever_a_power_cut_leaves_is_made_again() {
    for damage in ["", "const KEY = \"11", "\0\0\0\0"] {
        let place = Place::new('1');
        for file in place.all('1') {
            fs::write(&file.path, damage).unwrap();
            fs::write(file.rotating(), damage).unwrap();
        }
        place.settle('2');
        place.assert_settled('2');
    }
    let place = Place::new('1');
    fs::remove_file(place.settings.dashboard_dir.join("a.js")).unwrap();
    place.settle('1');
    place.assert_settled('1');
}

#[test]
fn undo_restores_and_finish_cleans() {
    let place = Place::new('1');
    let mut replacements = place.staged('2');
    replacements.exchange().unwrap();
    replacements.undo().unwrap();
    place.assert_settled('1');

    let mut replacements = place.staged('2');
    replacements.exchange().unwrap();
    replacements.finish().unwrap();
    place.assert_settled('2');
}

#[test]
fn a_failure_between_two_exchanges_is_undone() {
    let place = Place::new('1');
    let mut replacements = place.staged('2');
    // The last file's new half is taken away, so its exchange cannot work.
    let taken = replacements.pairs[2].1.clone();
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
    place.settle('1');
    place.assert_settled('1');
}

#[test]
fn owner_and_mode_are_kept() {
    let place = Place::new('1');
    let path = secrets::path(&place.settings.config_dir);
    let built = place.settings.dashboard_built_dir.join("a.js");
    fs::set_permissions(&built, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
    }
    let before = fs::metadata(&path).unwrap();
    let mut replacements = place.staged('2');
    replacements.exchange().unwrap();
    replacements.finish().unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_eq!(after.mode() & 0o7777, 0o640);
    let bundle = fs::metadata(place.settings.dashboard_dir.join("a.js")).unwrap();
    assert_eq!(bundle.mode() & 0o7777, 0o644);
}

#[test]
fn a_new_half_is_as_private_as_the_file() {
    let place = Place::new('1');
    let path = secrets::path(&place.settings.config_dir);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let replacements = place.staged('2');
    let mode = fs::metadata(&replacements.pairs[0].1).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn links_are_not_followed() {
    let place = Place::new('1');
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("c.js"), Key::placeholder_pck().expose()).unwrap();
    symlink(&outside, place.settings.dashboard_built_dir.join("link")).unwrap();
    symlink(
        outside.join("c.js"),
        place.settings.dashboard_built_dir.join("c.js"),
    )
    .unwrap();
    assert_eq!(place.all('2').len(), 3);
}

#[test]
fn a_dashboard_without_the_placeholder_is_refused() {
    let place = Place::new('1');
    for name in ["a.js", "nested/b.js"] {
        fs::write(place.settings.dashboard_built_dir.join(name), "").unwrap();
    }
    assert!(matches!(
        Derived::all(&place.settings, &secrets('2')),
        Err(FilesError::NoBundle(_))
    ));
}

#[test]
fn folders_without_end_and_huge_bundles_are_refused() {
    let place = Place::new('1');
    let built = &place.settings.dashboard_built_dir;
    let huge = File::create(built.join("huge.js")).unwrap();
    huge.set_len(MAX_BUNDLE + 1).unwrap();
    let all = Derived::all(&place.settings, &secrets('2'));
    assert!(matches!(all, Err(FilesError::BundleTooLarge(_))));
    fs::create_dir_all(built.join("d/".repeat(MAX_DEPTH + 1))).unwrap();
    let all = Derived::all(&place.settings, &secrets('2'));
    assert!(matches!(all, Err(FilesError::TooDeep(_))));
}

proptest! {
    #[test]
    fn replacing_leaves_no_placeholder(
        parts in proptest::collection::vec(prop_oneof![
            Just(Key::placeholder_pck().expose().to_owned()),
            "[0-9a-f;\\n]{0,70}",
        ], 0..8),
    ) {
        let before = parts.concat();
        let old = Key::placeholder_pck();
        let mut content = before.clone().into_bytes();
        let found = replace_key(&mut content, &old, &secrets('9').pck);
        prop_assert_eq!(content.len(), before.len());
        prop_assert_eq!(found, before.contains(old.expose()));
        prop_assert!(find(&content, &old).is_none());
    }
}
