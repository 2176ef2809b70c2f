//! The Debian package: everything that was promised is in it, and the desktop's own tools find nothing wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the package under test.
const PACKAGE: &str = "STACK_EMULATOR_TEST_PACKAGE";
const DESKTOP_FILE: &str = "usr/share/applications/stack-emulator.desktop";
const METAINFO: &str = "usr/share/metainfo/dev.stack_emulator.desktop.metainfo.xml";

fn package() -> PathBuf {
    let path = std::env::var_os(PACKAGE);
    path.unwrap_or_else(|| panic!("{PACKAGE} is not set: run this by `cargo xtask test`"))
        .into()
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program is there");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn unpacked() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    output(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(package())
            .arg(folder.path()),
    );
    folder
}

fn sizes() -> [u32; 9] {
    [16, 22, 24, 32, 48, 64, 128, 256, 512]
}

#[test]
fn everything_promised_is_in_it() {
    let root = unpacked();
    for program in ["stack-emulator", "stack-emulator-desktop"] {
        let path = root.path().join("usr/bin").join(program);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{program}");
        let version = output(Command::new(&path).arg("--version"));
        assert!(version.starts_with(&format!("{program} ")), "{version}");
    }
    for file in [
        DESKTOP_FILE,
        METAINFO,
        "usr/share/doc/stack-emulator/copyright",
        "usr/share/man/man1/stack-emulator.1.gz",
        "usr/share/man/man1/stack-emulator-start.1.gz",
        "usr/share/bash-completion/completions/stack-emulator",
        "usr/share/zsh/vendor-completions/_stack-emulator",
        "usr/share/fish/vendor_completions.d/stack-emulator.fish",
        "usr/share/icons/hicolor/scalable/apps/stack-emulator.svg",
    ] {
        let path = root.path().join(file);
        let length = std::fs::metadata(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(length.len() > 0, "{file}");
    }
}

#[test]
fn an_icon_of_each_size_has_that_size() {
    let root = unpacked();
    for size in sizes() {
        let file = format!("usr/share/icons/hicolor/{size}x{size}/apps/stack-emulator.png");
        let picture = std::fs::read(root.path().join(&file)).expect(&file);
        // Width and height in the header that every PNG begins with.
        let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
        assert_eq!((number(16), number(20)), (size, size), "{file}");
    }
}

#[test]
fn the_desktop_s_own_tools_find_nothing_wrong() {
    let root = unpacked();
    let there = |file: &str| root.path().join(file);
    output(Command::new("desktop-file-validate").arg(there(DESKTOP_FILE)));
    output(
        Command::new("appstreamcli")
            .args(["validate", "--no-net"])
            .arg(there(METAINFO)),
    );
    let entry = std::fs::read_to_string(there(DESKTOP_FILE)).unwrap();
    let value = |key: &str| {
        let line = entry
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key} in {entry}"))
    };
    assert!(there("usr/bin").join(value("Exec")).is_file());
    assert_eq!(value("Icon"), "stack-emulator");
    let applications = there(DESKTOP_FILE);
    let entries = std::fs::read_dir(applications.parent().unwrap_or(Path::new("/")));
    assert_eq!(entries.unwrap().count(), 1, "one entry in menus");
}

#[test]
fn it_is_named_and_depends_as_it_should() {
    let field = |name: &str| {
        output(
            Command::new("dpkg-deb")
                .arg("--field")
                .arg(package())
                .arg(name),
        )
    };
    assert_eq!(field("Package").trim(), "stack-emulator");
    let depends = field("Depends");
    for library in [
        "libwebkit2gtk-4.1-0",
        "libgtk-3-0",
        "libayatana-appindicator3-1",
    ] {
        assert!(depends.contains(library), "{depends}");
    }
    assert!(field("Recommends").contains("qemu-system-x86"));
}
