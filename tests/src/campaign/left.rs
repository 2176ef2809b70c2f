//! What may be in a home, and what has been left there by somebody who was killed.

use std::fs;
use std::path::Path;

/// What there may be below the user's home after a start; `*` stands for any one name, `**` for all below.
const EXPECTED: [&str; 60] = [
    "app/stack.config.ts",
    "app/.env",
    "home/settings.json",
    "home/settings.lock",
    "home/set-up.json",
    "home/cache/**",
    "home/images/**",
    "home/instances/.lock",
    "home/instances/*/instance.json",
    // What was not what it has to be, moved aside with a word.
    "home/instances/*/instance.json.damaged",
    "home/instances/*/session.damaged",
    "home/instances/*/snapshots.damaged",
    "home/instances/*/checkpoints.damaged",
    "home/instances/*/ahead.damaged",
    "home/instances/*/ahead/session.damaged",
    "home/instances/*/logs.damaged",
    "home/instances/*/secrets.json",
    "home/instances/*/lock",
    "home/instances/*/idle",
    "home/instances/*/run.json",
    "home/instances/*/ahead.json",
    "home/instances/*/projects.json",
    "home/instances/*/projects.lock",
    "home/instances/*/users",
    "home/instances/*/.stack-emulator-reserve",
    "home/instances/*/runtime",
    "home/instances/*/ahead/runtime",
    "home/instances/*/logs/serial.log",
    "home/instances/*/logs/qemu.log",
    "home/instances/*/logs/ahead.log",
    "home/instances/*/logs/idle.log",
    "home/instances/*/shares/*",
    "home/instances/*/sockets/*",
    "home/instances/*/config.iso",
    "home/instances/*/snapshots/current",
    "home/instances/*/snapshots/*/ram.raw",
    "home/instances/*/snapshots/*/device.state",
    "home/instances/*/snapshots/*/disk.qcow2",
    "home/instances/*/snapshots/*/config.iso",
    "home/instances/*/snapshots/*/snapshot.json",
    "home/instances/*/snapshots/*/pages.json",
    "home/instances/*/snapshots/*/used.json",
    "home/instances/*/snapshots/*/damage.json",
    "home/instances/*/session/disk.qcow2",
    "home/instances/*/session/session.json",
    // A clone of a session that nobody has started yet; the others' went with the start.
    "home/instances/extra/session/saved.json",
    "home/instances/*/session/folders.json",
    "home/instances/*/session/ram.mapped",
    "home/instances/*/session/pages.json",
    "home/instances/*/checkpoints/*/ram.raw",
    "home/instances/*/checkpoints/*/device.state",
    "home/instances/*/checkpoints/*/disk.qcow2",
    "home/instances/*/checkpoints/*/checkpoint.json",
    "home/instances/*/checkpoints/*/damage.json",
    "home/instances/*/ahead/lock",
    "home/instances/*/ahead/logs/*",
    "home/instances/*/ahead/sockets/*",
    "home/instances/*/ahead/used/**",
    "kept.savevm.zst",
    "diagnostics.zip",
];

/// Sockets of machines.
const SOCKETS: &str = "run/stack-emulator/*/*";

/// Whether a path fits a pattern.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) | (Some("**"), Some(_)) => return true,
            (Some("*"), Some(name)) if !name.starts_with('.') => {}
            (Some(wanted), Some(name)) if wanted == name => {}
            _ => return false,
        }
    }
}

/// What is below `root` and not expected there, except for what `is_known`.
pub(super) fn strays(root: &Path, is_known: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    list(root, root, &mut found);
    found.retain(|path| {
        !is_known(path)
            && !fits(SOCKETS, path)
            && !EXPECTED.iter().any(|pattern| fits(pattern, path))
    });
    found.sort_unstable();
    found
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(root, &path, found);
        } else {
            let path = path.strip_prefix(root).expect("it is below");
            found.push(path.display().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_expected_by_its_place_and_hidden_ones_are_not() {
        assert!(fits("a/*/c", "a/b/c") && fits("a/**", "a/b/c"));
        for path in ["a/b", "a/b/d", "a/b/c/d", "a/.b/c", "b/b/c"] {
            assert!(!fits("a/*/c", path), "{path}");
        }
        assert!(!fits("a/**", "a"));
    }

    #[test]
    fn what_a_killed_command_left_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        let put = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, "").expect("a file");
        };
        put("home/instances/default/run.json");
        put("home/instances/default/.run.json.new");
        put("home/instances/.new-extra/instance.json");
        put("tmp/anything");
        assert_eq!(
            strays(root.path(), |path| path.starts_with("tmp/")),
            [
                "home/instances/.new-extra/instance.json",
                "home/instances/default/.run.json.new"
            ]
        );
    }
}
