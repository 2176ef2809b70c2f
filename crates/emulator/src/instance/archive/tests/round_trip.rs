//! What goes in comes out, and the `zstd` tool agrees.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

/// The `zstd` tool, which the format promises to be readable by.
fn zstd(arguments: &[&str], path: &Path) -> Command {
    let mut command = Command::new("zstd");
    command.args(arguments).arg(path).stdin(Stdio::null());
    command
}

const NEEDS_ZSTD: &str = "this test needs the tool `zstd`: install the package zstd";

#[test]
fn the_sample_comes_back_with_its_holes() {
    let (dir, path) = sample_archive();
    let restored = unpack_to(dir.path(), &path).unwrap();
    for (name, restored) in FILES.iter().zip(&restored) {
        let original = std::fs::read(dir.path().join(name)).unwrap();
        assert!(std::fs::read(restored).unwrap() == original, "{name}");
    }
    // 8 MiB and a few pages hold something; the stored zeros became a hole.
    let ram = std::fs::metadata(&restored[0]).unwrap();
    assert!(ram.blocks() * 512 < 9 << 20, "{} blocks", ram.blocks());
}

#[test]
fn what_is_reported_is_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    let packed = pack_to(&path, &sources(dir.path(), &sample())).unwrap();
    assert_eq!(
        packed.archive_bytes,
        std::fs::metadata(&path).unwrap().len()
    );
    let pages = (5 << 20) + (3 << 20) + 4096 + 70_001 + 2 * 4096;
    assert_eq!(packed.data_bytes, pages);
    let digests = FILES.map(|name| sparse::digest(&dir.path().join(name)).unwrap());
    assert_eq!(packed.digests, digests);
}

#[test]
fn the_same_files_give_the_same_archive() {
    let (_one, one) = sample_archive();
    let (_two, two) = sample_archive();
    // Not `assert_eq!`: megabytes would be printed.
    let same = std::fs::read(one).unwrap() == std::fs::read(two).unwrap();
    assert!(same, "the archives differ");
}

#[test]
fn the_zstd_tool_tests_and_reads_it() {
    let (_dir, path) = sample_archive();
    let tested = zstd(&["--quiet", "--test"], &path)
        .status()
        .expect(NEEDS_ZSTD);
    assert!(tested.success());
    let mut reading = zstd(&["--quiet", "--decompress", "--stdout"], &path)
        .stdout(Stdio::piped())
        .spawn()
        .expect(NEEDS_ZSTD);
    let mut lines = BufReader::new(reading.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert_eq!(first, "stack-emulator-savevm 1\n");
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut lines, &mut rest).unwrap();
    assert!(reading.wait().unwrap().success());
    // What holds nothing is not in there.
    assert!(rest.len() < 9 << 20, "{}", rest.len());
}

/// Only Linux has such a device.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_and_nothing_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let sources = sources(dir.path(), &sample());
    let full = File::options().write(true).open("/dev/full").unwrap();
    let header = Header::new("{}".into(), std::array::from_fn(|i| sources[i].bytes));
    let packed = pack(
        &header,
        &sources,
        &full,
        Path::new("/dev/full"),
        &Job::unwatched(),
    );
    let Err(ArchiveError::Write { source, .. }) = packed else {
        panic!("nothing can be written there");
    };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut sources = sources(dir.path(), &sample());
    // A folder can be opened, and not be read.
    sources[2].file = File::open(dir.path()).unwrap();
    let packed = pack_to(&dir.path().join("archive"), &sources);
    assert!(matches!(packed, Err(ArchiveError::Read { path, .. }) if path.ends_with(FILES[2])));
}

#[test]
fn a_cancelled_job_ends_both_ways() {
    let (dir, path) = sample_archive();
    let job = Job::unwatched();
    job.cancel();
    let archive = Archive::open(File::open(&path).unwrap(), &path).unwrap();
    let targets: [Target; 4] = std::array::from_fn(|index| Target {
        path: PathBuf::new(),
        file: File::create(dir.path().join(format!("{index}"))).unwrap(),
    });
    let unpacked = archive.unpack(&targets, &job);
    assert!(matches!(unpacked, Err(ArchiveError::Cancelled)));
    let header = Header::new("{}".into(), [0; 4]);
    let sources = sources(dir.path(), &sample());
    let packed = pack(
        &header,
        &sources,
        &File::create(&path).unwrap(),
        &path,
        &job,
    );
    assert!(matches!(packed, Err(ArchiveError::Cancelled)));
}

/// A file of some stretches, data or stored zeros, that may end anywhere.
fn any_file() -> impl Strategy<Value = (u64, Writes)> {
    let write =
        (0u64..3_000_000, 0usize..200_000, any::<Option<u64>>()).prop_map(|(at, length, seed)| {
            match seed {
                None => (at, vec![0; length]),
                Some(seed) => (at, noise(length, seed)),
            }
        });
    // Zeros around and inside of blocks that hold something.
    let sparse_write =
        (0u64..3_000_000, 1usize..20_000, any::<u8>()).prop_map(|(at, length, byte)| {
            let mut bytes = vec![0; length];
            bytes[length / 2] = byte;
            (at, bytes)
        });
    let writes = prop::collection::vec(prop_oneof![write, sparse_write], 0..6);
    (0u64..3_000_000, writes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_files_come_back(contents in [any_file(), any_file(), any_file(), any_file()]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive");
        let packed = pack_to(&path, &sources(dir.path(), &contents)).unwrap();
        let restored = unpack_to(dir.path(), &path).unwrap();
        for ((name, restored), digest) in FILES.iter().zip(&restored).zip(&packed.digests) {
            let original = std::fs::read(dir.path().join(name)).unwrap();
            prop_assert!(std::fs::read(restored).unwrap() == original, "{}", name);
            prop_assert_eq!(&sparse::digest(restored).unwrap(), digest);
        }
    }
}
