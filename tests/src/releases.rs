//! Releases of the command line for tests: the one under test, and such whose program is a script.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use release_server::{Asset, Release};

/// Names the folder of the release under test.
pub const RELEASE: &str = "STACK_EMULATOR_TEST_RELEASE";

/// The folder of the release under test.
pub fn release() -> PathBuf {
    let path = std::env::var_os(RELEASE);
    path.unwrap_or_else(|| panic!("{RELEASE} is not set: run this by `cargo xtask test`"))
        .into()
}

/// Makes a program of a script for `sh`, and the folders that it is in.
pub fn script_at(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("a writable folder");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
}

/// What was printed to both outputs.
pub fn text(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// What it prints to both outputs; it has to succeed.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    fails(command, 0)
}

/// What it prints to both outputs; it has to end with `code`.
#[track_caller]
pub fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("the program is there");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    said
}

/// The tarball among the files of `folder`.
pub fn tarball(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder)
        .expect("a readable folder")
        .map(|file| file.expect("a readable folder").path());
    files
        .find(|file| file.to_string_lossy().ends_with(".tar.gz"))
        .expect("a tarball")
}

/// The last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned()
}

/// The version of the release under test, as its tarball states it.
pub fn version() -> String {
    let name = file_name(&tarball(&release()));
    name.split('-').nth(2).expect("a version").to_owned()
}

/// The files of `folder` as a release with the tag `tag`; their numbers begin at `first`.
pub fn released(folder: &Path, tag: &str, first: u64) -> Release {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a readable folder")
        .map(|file| file.expect("a readable folder").path())
        .collect();
    files.sort();
    let asset = |(id, file): (u64, PathBuf)| Asset {
        id,
        name: file_name(&file),
        file,
        ..Asset::default()
    };
    Release {
        tag: tag.to_owned(),
        assets: (first..).zip(files).map(asset).collect(),
        ..Release::default()
    }
}

/// A release whose program is a script.
#[derive(Debug)]
pub struct Scripted {
    folder: tempfile::TempDir,
    version: String,
}

impl Scripted {
    /// Of version `version`; it has a manual page that the one under test has not. Its program tells its version, after it
    /// has done `script`.
    pub fn new(version: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = file_name(&tarball(&release()));
        let name = name.replacen(&self::version(), version, 1);
        let stem = name.strip_suffix(".tar.gz").expect("a tarball");
        let tree = tempfile::tempdir().expect("a temporary folder");
        let root = tree.path().join(stem);
        // No emulator runs by it.
        let script =
            format!("{script}\n[ \"$1\" = status ] && exit 3; echo 'stack-emulator {version}'");
        script_at(&root.join("bin/stack-emulator"), &script);
        for file in [
            "man/man1/stack-emulator.1",
            "man/man1/stack-emulator-novelty.1",
            "bash-completion/completions/stack-emulator",
            "zsh/site-functions/_stack-emulator",
            "fish/vendor_completions.d/stack-emulator.fish",
        ] {
            script_at(&root.join("share").join(file), version);
        }
        let packed = folder.path().join(&name);
        succeeds(
            Command::new("tar")
                .arg("-czf")
                .arg(&packed)
                .arg("-C")
                .arg(tree.path())
                .arg(stem),
        );
        let sums = succeeds(
            Command::new("sha256sum")
                .arg(&name)
                .current_dir(folder.path()),
        );
        fs::write(folder.path().join("SHA256SUMS"), sums).expect("a writable folder");
        Self {
            folder,
            version: version.to_owned(),
        }
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// It, to be served; numbers of its files begin at `first`.
    pub fn released(&self, first: u64) -> Release {
        released(self.folder(), &format!("v{}", self.version), first)
    }
}
