//! Other people's readers agree: `isoinfo`, `xorriso`, `bsdtar` and `blkid`.
//! A tool that is missing fails its tests; it never skips them.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use iso9660::{Timestamp, Volume};

/// Path and content of each file, sorted by path.
type Files = Vec<(String, Vec<u8>)>;

struct Image {
    path: PathBuf,
    files: Files,
    folder: tempfile::TempDir,
}

/// An image of all that is hard for readers.
fn image(label: &str) -> Image {
    let mut files: Files = vec![
        (
            "runtime.env".into(),
            b"STACK_EMULATOR_PORT_PREFIX=81\n".into(),
        ),
        ("base.env".into(), b"A=1\n".into()),
        ("user-data".into(), b"#cloud-config\n".into()),
        ("meta-data".into(), b"instance-id: i-1\n".into()),
        ("empty".into(), Vec::new()),
        ("Mixed Case, with spaces (1).txt".into(), b"spaces".into()),
        (".env".into(), b"hidden".into()),
        ("grüße/名前.txt".into(), b"unicode".into()),
        (format!("long/{}", "n".repeat(103)), b"long".into()),
        (format!("long/{}x", "名".repeat(84)), b"wide".into()),
        ("1/2/3/4/5/6/7/8/9/10/11/12/deep".into(), b"deep".into()),
        ("sizes/2047".into(), vec![1; 2047]),
        ("sizes/2048".into(), vec![2; 2048]),
        ("sizes/2049".into(), vec![3; 2049]),
        (
            "sizes/1000000".into(),
            (0..=249).cycle().take(1_000_000).collect(),
        ),
    ];
    for n in 0..400 {
        files.push((format!("many/module-file-{n}.js"), format!("{n}").into()));
    }
    files.sort();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume.iso");
    let time = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
    let mut volume = Volume::new(label, time).unwrap();
    for (path, content) in &files {
        volume.add_bytes(path, content.as_slice()).unwrap();
    }
    volume.write_to(&mut File::create(&path).unwrap()).unwrap();
    Image {
        path,
        files,
        folder,
    }
}

/// Runs a tool of the Debian package `package` and returns what it printed.
fn run(package: &str, command: &mut Command) -> Vec<u8> {
    let tool = command.get_program().to_string_lossy().into_owned();
    // Names outside ASCII come out as they are only in a UTF-8 locale.
    let output = match command.env("LC_ALL", "C.UTF-8").output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("`{tool}` is missing; install it with `apt-get install {package}`")
        }
        Err(error) => panic!("`{tool}` does not start: {error}"),
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool}: {complaints}");
    output.stdout
}

/// Every file below `folder`, as `Image` lists them.
fn files_below(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                files.push((name.to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn assert_same(found: &Files, expected: &Files) {
    let names = |files: &Files| -> Vec<String> { files.iter().map(|f| f.0.clone()).collect() };
    assert_eq!(names(found), names(expected));
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.1 == expected.1, "content of {}", expected.0);
    }
}

/// Contents alone, for a tree whose names are not the ones that went in.
fn contents(files: &Files) -> Vec<&[u8]> {
    let mut contents: Vec<&[u8]> = files.iter().map(|f| f.1.as_slice()).collect();
    contents.sort_unstable();
    contents
}

#[test]
fn blkid_shows_the_label() {
    for label in ["STACKCFG", "CIDATA", "STACKBUNDLE", "SIXTEEN_LETTERS_"] {
        let image = image(label);
        let shown = run(
            "util-linux",
            Command::new("/usr/sbin/blkid")
                .args(["-p", "-o", "export"])
                .arg(&image.path),
        );
        let shown = String::from_utf8(shown).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines.contains(&&*format!("LABEL={label}")), "{shown}");
        assert!(lines.contains(&"TYPE=iso9660"), "{shown}");
        assert!(lines.contains(&"VERSION=Joliet\\ Extension"), "{shown}");
        assert!(lines.contains(&"UUID=2023-11-14-22-13-20-00"), "{shown}");
    }
}

#[test]
fn bsdtar_reads_every_file() {
    let image = image("BSDTAR");
    let listed = run(
        "libarchive-tools",
        Command::new("bsdtar").arg("-tf").arg(&image.path),
    );
    let listed = String::from_utf8(listed).unwrap();
    for (path, _) in &image.files {
        assert!(listed.lines().any(|line| line == path), "{path}\n{listed}");
    }
    let out = image.folder.path().join("out");
    fs::create_dir(&out).unwrap();
    run(
        "libarchive-tools",
        Command::new("bsdtar")
            .arg("-xf")
            .arg(&image.path)
            .arg("-C")
            .arg(&out),
    );
    assert_same(&files_below(&out), &image.files);
}

#[test]
fn bsdtar_reads_the_primary_tree() {
    let image = image("BSDTAR");
    let out = image.folder.path().join("out");
    fs::create_dir(&out).unwrap();
    run(
        "libarchive-tools",
        Command::new("bsdtar")
            .args(["--options", "!joliet", "-xf"])
            .arg(&image.path)
            .arg("-C")
            .arg(&out),
    );
    let found = files_below(&out);
    assert_eq!(contents(&found), contents(&image.files));
    let names: Vec<&str> = found.iter().map(|f| f.0.as_str()).collect();
    assert!(names.contains(&"RUNTIME.ENV"), "{names:?}");
}

/// `read_fs` is xorriso's word for which tree to load.
fn extract_with_xorriso(image: &Image, read_fs: &str) -> Files {
    let out = image.folder.path().join(read_fs);
    run(
        "xorriso",
        Command::new("xorriso")
            .args(["-abort_on", "WARNING", "-read_fs", read_fs])
            .args(["-osirrox", "on:auto_chmod_on", "-indev"])
            .arg(&image.path)
            .args(["-extract", "/"])
            .arg(&out),
    );
    files_below(&out)
}

#[test]
fn xorriso_reads_every_file() {
    let image = image("XORRISO");
    let found = run(
        "xorriso",
        Command::new("xorriso")
            .args(["-abort_on", "WARNING", "-indev"])
            .arg(&image.path)
            .args(["-find", "/", "-type", "f"]),
    );
    let found = String::from_utf8(found).unwrap();
    for (path, _) in &image.files {
        let line = format!("'/{path}'");
        assert!(found.lines().any(|l| l == line), "{line}\n{found}");
    }
    assert_same(&extract_with_xorriso(&image, "norock"), &image.files);
}

#[test]
fn xorriso_reads_the_primary_tree() {
    let image = image("XORRISO");
    let found = extract_with_xorriso(&image, "ecma119");
    assert_eq!(contents(&found), contents(&image.files));
}

#[test]
fn isoinfo_reads_both_trees() {
    let image = image("ISOINFO");
    let isoinfo = |args: &[&str]| {
        run(
            "genisoimage",
            Command::new("isoinfo")
                .arg("-i")
                .arg(&image.path)
                .args(args),
        )
    };
    let described = String::from_utf8(isoinfo(&["-d"])).unwrap();
    assert!(described.contains("Volume id: ISOINFO"), "{described}");
    assert!(
        described.contains("Joliet with UCS level 3 found"),
        "{described}"
    );

    // -f lists paths. isoinfo shows names as recorded, versions included; it
    // knows no UTF-8, so of other names only the number is compared.
    let joliet = isoinfo(&["-J", "-f"]);
    let joliet: Vec<_> = joliet.split(|&b| b == b'\n').collect();
    for (path, _) in image.files.iter().filter(|f| f.0.is_ascii()) {
        let line = format!("/{path};1");
        assert!(joliet.contains(&line.as_bytes()), "{line}");
    }
    let files = joliet.iter().filter(|line| line.ends_with(b";1"));
    assert_eq!(files.count(), image.files.len());
    assert!(!isoinfo(&["-J", "-l"]).is_empty());
    for (path, content) in &image.files {
        if path.is_ascii() && !content.is_empty() {
            let found = isoinfo(&["-J", "-x", &format!("/{path};1")]);
            assert!(found == *content, "content of {path}");
        }
    }
    assert_eq!(
        isoinfo(&["-x", "/RUNTIME.ENV;1"]),
        b"STACK_EMULATOR_PORT_PREFIX=81\n"
    );
    // The path table of the primary tree: the root and 16 folders.
    let table = String::from_utf8(isoinfo(&["-p"])).unwrap();
    let numbered = |line: &&str| line.contains(": ");
    assert_eq!(table.lines().filter(numbered).count(), 17, "{table}");
}
