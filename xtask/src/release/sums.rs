//! `cargo xtask release sums`: `SHA256SUMS`, which `install.sh`, the formula and people check files by.
//!
//! Its form is that of `sha256sum`: 64 hexadecimal digits, two spaces, a file name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use images::{Sha256Digest, sha256_file};

/// The file's name.
pub(super) const NAME: &str = "SHA256SUMS";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    into: super::Into,
}

/// `cargo xtask release sums`: prints the path of the file.
pub(super) fn run(args: &Args) -> Result<()> {
    println!("{}", make(&args.into.ready()?)?.display());
    Ok(())
}

/// Writes the digests of the release in `folder`.
pub(super) fn make(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(NAME);
    super::write(&path, render(&take(folder)?).as_bytes())?;
    Ok(path)
}

/// Digests by file name.
pub(super) type Sums = BTreeMap<String, Sha256Digest>;

/// Takes the digest of every file in `folder` but this one.
pub(super) fn take(folder: &Path) -> Result<Sums> {
    let mut sums = Sums::new();
    for name in super::files_in(folder)? {
        if name == NAME {
            continue;
        }
        super::plain_name(&name)?;
        let path = folder.join(&name);
        let digest =
            sha256_file(&path).with_context(|| format!("cannot read {}", path.display()))?;
        sums.insert(name, digest);
    }
    ensure!(!sums.is_empty(), "there is no file in {}", folder.display());
    Ok(sums)
}

/// The digests that a release's folder states.
pub(super) fn read(folder: &Path) -> Result<Sums> {
    let path = folder.join(NAME);
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}; `cargo xtask release sums` writes it",
            path.display()
        )
    })?;
    parse(&text).with_context(|| format!("{} is not a list of digests", path.display()))
}

fn render(sums: &Sums) -> String {
    sums.iter().fold(String::new(), |mut text, (name, digest)| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{digest}  {name}");
        text
    })
}

fn parse(text: &str) -> Result<Sums> {
    text.lines()
        .map(|line| {
            let (digest, name) = line
                .split_once("  ")
                .with_context(|| format!("no digest and name in {line:?}"))?;
            super::plain_name(name)?;
            Ok((name.to_owned(), digest.parse()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_file_but_itself_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("b", "2"), ("a", "1"), (NAME, "old")] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let sums = take(folder.path()).unwrap();
        let (one, two) = (Sha256Digest::of(b"1"), Sha256Digest::of(b"2"));
        assert_eq!(render(&sums), format!("{one}  a\n{two}  b\n"));
        let output = crate::command::output_of(
            std::process::Command::new("sh")
                .args(["-c", "sha256sum a b || shasum -a 256 a b"])
                .current_dir(folder.path()),
            "the usual tool",
        );
        assert_eq!(output.unwrap(), render(&sums));
    }

    #[test]
    fn an_empty_folder_and_odd_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        take(folder.path()).unwrap_err();
        fs::write(folder.path().join("a b"), "1").unwrap();
        take(folder.path()).unwrap_err();
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in proptest::collection::btree_set("[a-z0-9._+-]{1,12}", 0..6)) {
            let sums: Sums = names
                .into_iter()
                .map(|name| { let digest = Sha256Digest::of(name.as_bytes()); (name, digest) })
                .collect();
            prop_assert_eq!(parse(&render(&sums)).unwrap(), sums);
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = parse(&text);
        }
    }
}
