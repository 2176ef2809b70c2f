//! Honest archives, damaged ones and hostile ones.

use std::io::Write as _;

use proptest::prelude::*;
use rawzip::ZipArchiveWriter;

use super::*;

/// An entry to be zipped.
struct Given<'a> {
    name: &'a str,
    content: &'a [u8],
    method: CompressionMethod,
    mode: u32,
}

fn plain<'a>(name: &'a str, content: &'a [u8]) -> Given<'a> {
    Given {
        name,
        content,
        method: CompressionMethod::DEFLATE,
        mode: 0o100_644,
    }
}

fn zip(entries: &[Given<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut bytes);
    for entry in entries {
        let (mut out, config) = archive
            .new_file(rawzip::path::EntryPath::verbatim(entry.name.as_bytes()))
            .compression_method(entry.method)
            .unix_permissions(entry.mode)
            .start()
            .unwrap();
        let descriptor = if entry.method == CompressionMethod::DEFLATE {
            let encoder = flate2::write::DeflateEncoder::new(&mut out, flate2::Compression::fast());
            let mut writer = config.wrap(encoder);
            writer.write_all(entry.content).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            descriptor
        } else {
            let mut writer = config.wrap(&mut out);
            writer.write_all(entry.content).unwrap();
            writer.finish().unwrap().1
        };
        out.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    bytes
}

fn expected() -> Vec<Expected> {
    vec![
        Expected {
            name: "disk.qcow2".into(),
            limit: 1 << 30,
        },
        Expected {
            name: "disk.json".into(),
            limit: 100,
        },
    ]
}

fn unpack_into(folder: &Path, bytes: &[u8]) -> Result<Vec<Unpacked>, ArtifactError> {
    let path = folder.join("a.zip");
    std::fs::write(&path, bytes).unwrap();
    unpack(
        &path,
        folder,
        &expected(),
        &AtomicBool::new(false),
        &mut |_, _| {},
    )
}

fn refusal(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let error = unpack_into(dir.path(), bytes).unwrap_err();
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".unpacking"))
        .collect();
    assert_eq!(left, ["a.zip"], "nothing has come out");
    format!("{error} {}", error.code())
}

#[test]
fn only_what_is_expected_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    let disk = vec![7; 300_000];
    for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
        let bytes = zip(&[
            plain("README", b"no"),
            Given {
                method,
                ..plain("some/folder/disk.qcow2", &disk)
            },
        ]);
        let out = unpack_into(dir.path(), &bytes).unwrap();
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].sha256, Sha256Digest::of(&disk));
        assert_eq!(std::fs::read(dir.path().join("disk.qcow2")).unwrap(), disk);
        assert!(!dir.path().join("README").exists());
        assert!(!dir.path().join("some").exists());
    }
}

#[test]
fn what_another_tool_makes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let script = "import sys, zipfile\n\
                  z = zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED)\n\
                  z.writestr('disk.qcow2', bytes(n % 251 for n in range(200000)))\n\
                  z.close()";
    let path = dir.path().join("python.zip");
    let status = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .status()
        .expect("install python3");
    assert!(status.success());
    let out = unpack_into(dir.path(), &std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(out[0].sha256, Sha256Digest::of(&disk));
}

#[test]
fn a_name_that_leads_elsewhere_refuses_the_archive() {
    for name in [
        "../disk.qcow2",
        "a/../../disk.qcow2",
        "/disk.qcow2",
        "..\\disk.qcow2",
        "C:disk.qcow2",
    ] {
        let text = refusal(&zip(&[plain("disk.json", b"{}"), plain(name, b"x")]));
        assert!(
            text.contains("leads elsewhere") && text.ends_with("artifact_refused"),
            "{text}"
        );
    }
}

#[test]
fn a_link_or_a_second_file_of_the_name_refuses_the_archive() {
    let link = Given {
        mode: 0o120_777,
        ..plain("disk.qcow2", b"/etc/passwd")
    };
    assert!(refusal(&zip(&[link])).contains("symbolic link"));
    let twice = zip(&[plain("disk.qcow2", b"1"), plain("a/disk.qcow2", b"2")]);
    assert!(refusal(&twice).contains("twice"));
}

#[test]
fn a_bomb_is_refused_before_it_is_inflated() {
    let zeros = vec![0; 80 << 20];
    assert!(refusal(&zip(&[plain("disk.qcow2", &zeros)])).contains("too well"));
    assert!(refusal(&zip(&[plain("disk.json", &[b' '; 101])])).contains("larger"));
}

#[test]
fn content_that_is_not_as_announced_is_refused() {
    let content: Vec<u8> = (0..2000u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    let store = Given {
        method: CompressionMethod::STORE,
        ..plain("disk.qcow2", &content)
    };
    let good = zip(&[store]);
    let mut damaged = good.clone();
    damaged[500] ^= 1;
    assert!(refusal(&damaged).ends_with("artifact_damaged"));
    // The length in the central directory: 24 bytes into the entry `PK\1\2`.
    let central = good
        .windows(4)
        .rposition(|four| four == b"PK\x01\x02")
        .unwrap();
    for by in [-1i32, 1] {
        let mut lying = good.clone();
        let length = i32::try_from(content.len()).unwrap() + by;
        lying[central + 24..central + 28].copy_from_slice(&length.to_le_bytes());
        assert!(refusal(&lying).ends_with("artifact_damaged"), "{by}");
    }
    assert!(refusal(&good[..good.len() / 2]).ends_with("artifact_damaged"));
    assert!(refusal(b"not a zip").ends_with("artifact_damaged"));
}

#[test]
fn unpacking_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zip");
    std::fs::write(&path, zip(&[plain("disk.qcow2", &vec![1; 1 << 20])])).unwrap();
    let error = unpack(
        &path,
        dir.path(),
        &expected(),
        &AtomicBool::new(true),
        &mut |_, _| {},
    )
    .unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert!(!dir.path().join("disk.qcow2").exists());
}

proptest! {
    #[test]
    fn a_damaged_archive_is_unpacked_or_refused(at in 0usize..400, byte: u8, cut in 0usize..400) {
        let mut bytes = zip(&[plain("disk.qcow2", b"some content, some content"), plain("disk.json", b"{}")]);
        if let Some(target) = bytes.get_mut(at) {
            *target = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut / 10));
        let _ = unpack_bytes(&bytes, &expected());
    }
}
