//! Rules about files that no compiler knows: how Rust files open and how long
//! they grow, and that nothing names a package mirror or a path of one machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::output_of;

/// A file near this length is asking to be split.
const MOST_LINES: usize = 600;

/// Hosts that packages come from. A machine's own configuration says where it
/// gets them; the checkout must not. Split, or this file would break its rule.
const MIRRORS: [&str; 9] = [
    concat!("deb.", "debian.org"),
    concat!("security.", "debian.org"),
    concat!("snapshot.", "debian.org"),
    concat!("archive.", "ubuntu.com"),
    concat!("ports.", "ubuntu.com"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("pypi", ".org"),
];

/// Folders whose absolute paths are the guest's, which is the same everywhere.
const GUEST: [&str; 2] = ["guest", "cloud-init"];

/// A path that exists on one machine alone.
struct OwnPath {
    path: String,
    /// Whether the guest has such a path as well.
    also_in_guest: bool,
}

/// Checks all files of the checkout at `root`.
pub(super) fn check(root: &Path) -> Result<()> {
    let own = own_paths(root);
    let mut faults = vec![];
    for file in tracked_files(root)? {
        let path = root.join(&file);
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Pictures and the like have no lines.
        if let Ok(text) = str::from_utf8(&bytes) {
            faults.extend(faults_in(&file, text, &own));
        }
    }
    if !faults.is_empty() {
        bail!("rules of this checkout are broken:\n{}", faults.join("\n"));
    }
    Ok(())
}

/// Files that are or would be committed, by their path in the checkout.
pub(crate) fn tracked_files(root: &Path) -> Result<Vec<PathBuf>> {
    let list = output_of(
        Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .arg("--deduplicate")
            .current_dir(root),
        "listing the files of the checkout",
    )?;
    let mut files: Vec<_> = list
        .split_terminator('\0')
        .map(PathBuf::from)
        // A file that was removed without telling git, and links.
        .filter(|file| std::fs::symlink_metadata(root.join(file)).is_ok_and(|meta| meta.is_file()))
        .collect();
    files.sort();
    Ok(files)
}

/// Where this checkout and its user live.
fn own_paths(root: &Path) -> Vec<OwnPath> {
    let home = std::env::home_dir();
    [Some(root), home.as_deref(), Some(Path::new("/root"))]
        .into_iter()
        .flatten()
        .filter(|path| path.parent().is_some())
        .map(|path| OwnPath {
            path: path.to_string_lossy().into_owned(),
            also_in_guest: path == Path::new("/root"),
        })
        .collect()
}

fn faults_in(file: &Path, text: &str, own: &[OwnPath]) -> Vec<String> {
    let shown = file.display();
    let mut faults = vec![];
    if file.extension().is_some_and(|extension| extension == "rs") {
        if !text.starts_with("//!") {
            faults.push(format!(
                "{shown}: opens without `//!` saying what it is for"
            ));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            faults.push(format!(
                "{shown}: {lines} lines; split it, {MOST_LINES} is the most"
            ));
        }
        if text.contains(concat!("#[", "ignore")) {
            faults.push(format!(
                "{shown}: a test that is never run; run it or remove it"
            ));
        }
    }
    let of_guest = GUEST.iter().any(|folder| file.starts_with(folder));
    for (line, number) in text.lines().zip(1..) {
        if let Some(host) = MIRRORS.iter().find(|host| line.contains(*host)) {
            faults.push(format!(
                "{shown}:{number}: names {host}; take it from the machine's own configuration"
            ));
        }
        let own = own.iter().filter(|own| !(of_guest && own.also_in_guest));
        if let Some(own) = own.into_iter().find(|own| has_path(line, &own.path)) {
            faults.push(format!(
                "{shown}:{number}: names {}, a path of one machine",
                own.path
            ));
        }
    }
    faults
}

/// Whether `line` has `path` as a whole: `/rooted` and `x/root` are not `/root`.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let joined = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '}' | ')');
        !before.is_some_and(|c| joined(c) || c == '/') && after == Some('/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(file: &str, text: &str) -> Vec<String> {
        let own = [("/srv/ada/checkout", false), ("/var/me", true)].map(|(path, also_in_guest)| {
            OwnPath {
                path: path.to_owned(),
                also_in_guest,
            }
        });
        faults_in(Path::new(file), text, &own)
    }

    #[test]
    fn good_files_pass() {
        assert_eq!(faults("a.rs", "//! Good.\n"), [""; 0]);
        assert_eq!(
            faults(
                "a.md",
                "srv/var/me/x, ${x}/var/me/y, the user /var/meed/x, /var/me\n"
            ),
            [""; 0]
        );
        assert_eq!(
            faults("guest/image/hook", "rm -rf /var/me/.cache\n"),
            [""; 0]
        );
    }

    #[test]
    fn each_rule_finds_its_fault() {
        let long = format!("//! Long.\n{}", "\n".repeat(MOST_LINES));
        let never_run = concat!("//! x\n#[", "ignore = \"slow\"]");
        for (file, text, fault) in [
            ("a.rs", "\n//! Late.", "a.rs: opens without"),
            ("a.rs", long.as_str(), "a.rs: 601 lines"),
            ("a.rs", never_run, "a.rs: a test that is never run"),
            (
                "a.md",
                "one\nhttps://pypi.\u{6f}rg/simple",
                "a.md:2: names pypi",
            ),
            ("a.sh", "cd /var/me/x", "a.sh:1: names /var/me,"),
            (
                "guest/x",
                "'/srv/ada/checkout/y'",
                "guest/x:1: names /srv/ada/checkout,",
            ),
        ] {
            let found = faults(file, text);
            assert!(
                found.len() == 1 && found[0].starts_with(fault),
                "{text:?}: {found:?}"
            );
        }
    }
}
