//! What the format cannot hold is refused, by the error that says so, and the
//! volume stays as it was.

#![allow(clippy::unwrap_used)]

mod reader;

use std::error::Error as _;
use std::fs;
use std::io::{self, Read};

use iso9660::{
    Error, HostFile, LabelFault, MAX_FILE_BYTES, MAX_FOLDERS, MAX_NAME_BYTES, MAX_NAME_UNITS,
    NameFault, Source, Timestamp, Volume,
};

fn volume() -> Volume {
    Volume::new("LIMITS", Timestamp::UNIX_EPOCH).unwrap()
}

/// Announces one length and yields another.
struct Liar {
    announced: u64,
    yielded: u64,
}

impl Source for Liar {
    fn size(&self) -> u64 {
        self.announced
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(io::repeat(b'x').take(self.yielded)))
    }
}

fn of_size(announced: u64) -> Liar {
    Liar {
        announced,
        yielded: announced,
    }
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    for (label, expected) in [
        ("", LabelFault::Empty),
        ("lower", LabelFault::Character { found: 'l' }),
        ("SEVENTEEN_LETTERS", LabelFault::TooLong { chars: 17 }),
    ] {
        let error = Volume::new(label, Timestamp::UNIX_EPOCH).unwrap_err();
        let Error::InvalidLabel {
            label: named,
            fault,
        } = &error
        else {
            panic!("{label:?}: {error:?}");
        };
        assert_eq!((named.as_str(), *fault), (label, expected));
        assert!(error.source().is_some(), "the reason is in the chain");
    }
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let long = "x".repeat(MAX_NAME_UNITS + 1);
    let wide = "あ".repeat(MAX_NAME_BYTES / 3 + 1);
    for (path, at_fault, expected) in [
        ("", "", NameFault::Empty),
        ("/a", "", NameFault::Empty),
        ("a/", "", NameFault::Empty),
        ("a//b", "", NameFault::Empty),
        ("a/./b", ".", NameFault::Relative),
        ("../b", "..", NameFault::Relative),
        ("a\0", "a\0", NameFault::Character { found: '\0' }),
        ("a/b\\c", "b\\c", NameFault::Character { found: '\\' }),
        ("🚀", "🚀", NameFault::NotUcs2 { found: '🚀' }),
        ("a./b", "a.", NameFault::TrailingDot),
        (
            &long,
            &long,
            NameFault::TooManyUnits {
                units: MAX_NAME_UNITS + 1,
            },
        ),
        (&wide, &wide, NameFault::TooManyBytes { bytes: 255 }),
    ] {
        let mut volume = volume();
        for error in [
            volume.add_bytes(path, "x").unwrap_err(),
            volume.add_folder(path).unwrap_err(),
        ] {
            let Error::InvalidName { name, fault, .. } = &error else {
                panic!("{path:?}: {error:?}");
            };
            assert_eq!((name.as_str(), *fault), (at_fault, expected));
        }
        assert!(read(&volume).joliet.is_empty(), "{path:?} left a trace");
    }
}

#[test]
fn paths_in_use_are_refused() {
    let mut volume = volume();
    volume.add_bytes("conf/runtime.env", "1").unwrap();
    let before = read(&volume).joliet;
    for path in ["conf/runtime.env", "conf"] {
        let error = volume.add_bytes(path, "2").unwrap_err();
        assert!(matches!(error, Error::Duplicate { path: p } if p == path));
    }
    for (path, clash) in [
        ("conf/Runtime.ENV", "conf/runtime.env"),
        ("CONF", "conf"),
        ("Conf/new", "conf"),
        ("Conf/new/er", "conf"),
    ] {
        let error = volume.add_bytes(path, "2").unwrap_err();
        assert!(
            matches!(&error, Error::CaseClash { existing, .. } if existing == clash),
            "{path}: {error:?}"
        );
    }
    let error = volume.add_bytes("conf/runtime.env/x", "2").unwrap_err();
    assert!(matches!(error, Error::NotAFolder { file, .. } if file == "conf/runtime.env"));
    let error = volume.add_folder("conf/runtime.env").unwrap_err();
    assert!(matches!(error, Error::Duplicate { .. }));
    let error = volume.add_folder("CONF").unwrap_err();
    assert!(matches!(error, Error::CaseClash { .. }));
    assert_eq!(read(&volume).joliet, before);
}

#[test]
fn a_file_has_one_extent_of_32_bits() {
    let mut volume = volume();
    let error = volume
        .add_file("new/big", of_size(MAX_FILE_BYTES + 1))
        .unwrap_err();
    assert!(matches!(error, Error::FileTooLarge { bytes, .. } if bytes == MAX_FILE_BYTES + 1));
    assert!(read(&volume).joliet.is_empty(), "no folder is left behind");
    volume.add_file("big", of_size(MAX_FILE_BYTES)).unwrap();
    assert!(volume.image_len().unwrap() > MAX_FILE_BYTES);
}

#[test]
fn a_volume_has_sectors_of_32_bits() {
    let mut volume = volume();
    // 2^21 sectors each: 2047 files leave just enough for the directories.
    for n in 0..2047 {
        volume
            .add_file(&n.to_string(), of_size(MAX_FILE_BYTES))
            .unwrap();
    }
    assert!(volume.image_len().unwrap() < 8 << 40);
    volume.add_file("last", of_size(MAX_FILE_BYTES)).unwrap();
    assert!(matches!(volume.image_len(), Err(Error::VolumeTooLarge)));
    let nothing = volume.write_to(&mut Vec::new());
    assert!(matches!(nothing, Err(Error::VolumeTooLarge)));
}

#[test]
fn folders_are_numbered_with_16_bits() {
    let mut volume = volume();
    for n in 1..MAX_FOLDERS {
        volume.add_folder(&format!("{:02}/{n}", n % 50)).ok();
    }
    // The fifty parents took up some of the numbers, so the last ones failed.
    let error = volume.add_bytes("one/more", "x").unwrap_err();
    assert!(matches!(error, Error::TooManyFolders { .. }));
    volume.add_bytes("00/file", "x").unwrap();
    let folders = read(&volume)
        .joliet
        .values()
        .filter(|v| v.is_none())
        .count();
    assert_eq!(folders, MAX_FOLDERS - 1, "the root is one as well");
}

#[test]
fn volumes_may_be_written_on_another_thread() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Volume>();
    check::<Error>();
}

#[test]
fn content_must_keep_its_length() {
    for (yielded, grew) in [(0, false), (9, false), (11, true), (u64::MAX, true)] {
        let mut volume = volume();
        let liar = Liar {
            announced: 10,
            yielded,
        };
        volume.add_file("a/b", liar).unwrap();
        let error = volume.write_to(&mut io::sink()).unwrap_err();
        match error {
            Error::ContentGrew { path, expected: 10 } if grew => assert_eq!(path, "a/b"),
            Error::ContentShrank {
                path,
                expected: 10,
                found,
            } if !grew => assert_eq!((path.as_str(), found), ("a/b", yielded)),
            other => panic!("{yielded}: {other:?}"),
        }
    }
}

#[test]
fn host_files_are_checked_when_added_and_when_written() {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join("data with späces");
    let mut volume = volume();

    let error = volume.add_path("x", &host).unwrap_err();
    assert!(matches!(error, Error::HostFileSize { host: h, .. } if h == host));
    let error = volume.add_path("x", folder.path()).unwrap_err();
    assert!(matches!(error, Error::NotARegularFile { .. }));

    fs::write(&host, "content").unwrap();
    assert_eq!(HostFile::new(&host).unwrap().path(), host);
    volume.add_path("x", &host).unwrap();
    assert_eq!(read(&volume).joliet["x"], Some(b"content".to_vec()));

    fs::write(&host, "content and more").unwrap();
    let error = volume.write_to(&mut io::sink()).unwrap_err();
    assert!(matches!(error, Error::ContentGrew { expected: 7, .. }));
    fs::write(&host, "less").unwrap();
    let error = volume.write_to(&mut io::sink()).unwrap_err();
    assert!(matches!(error, Error::ContentShrank { found: 4, .. }));
    fs::remove_file(&host).unwrap();
    let error = volume.write_to(&mut io::sink()).unwrap_err();
    assert!(matches!(error, Error::OpenContent { path, .. } if path == "x"));
}

/// Fails every other call with an interruption, then for good.
struct Brittle {
    calls: usize,
    good_bytes: usize,
}

impl Read for Brittle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.good_bytes == 0 {
            return Err(io::Error::other("gone"));
        }
        self.good_bytes -= 1;
        buffer[0] = b'x';
        Ok(1)
    }
}

struct BrittleSource;

impl Source for BrittleSource {
    fn size(&self) -> u64 {
        10
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Brittle {
            calls: 0,
            good_bytes: 5,
        }))
    }
}

#[test]
fn a_source_that_fails_is_named() {
    let mut volume = volume();
    volume.add_file("a/b", BrittleSource).unwrap();
    let error = volume.write_to(&mut io::sink()).unwrap_err();
    assert!(matches!(&error, Error::ReadContent { path, .. } if path == "a/b"));
    assert_eq!(error.source().unwrap().to_string(), "gone");
}

/// Takes so many bytes and no more, as a disk that fills up.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_wherever_it_fills_up() {
    let mut volume = volume();
    volume.add_bytes("a", vec![1; 100_000]).unwrap();
    let len = usize::try_from(volume.image_len().unwrap()).unwrap();
    for room in [0, 1, 17 * 2048, 50_000, len - 1] {
        let error = volume.write_to(&mut Full(room)).unwrap_err();
        let Error::WriteImage { source } = error else {
            panic!("{room}: {error:?}");
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }
    volume.write_to(&mut Full(len)).unwrap();
}

fn read(volume: &Volume) -> reader::Volume {
    let mut image = Vec::new();
    volume.write_to(&mut image).unwrap();
    reader::read(&image)
}
