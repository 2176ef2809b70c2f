//! What is in memory does not grow with what is archived.

use super::*;
use crate::instance::archive::job::threads;

const CHILD: &str = "STACK_EMULATOR_TEST_MEMORY_CHILD";
const MIB: u64 = 1 << 20;

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib << 10
}

/// Does the work in a process of its own: others' memory is not to be counted.
#[test]
fn memory_is_bounded_by_the_threads_and_not_by_the_data() {
    if std::env::var_os(CHILD).is_some() {
        return measure();
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
}

fn measure() {
    let limit = (24 + 24 * threads() as u64) * MIB;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    let block = noise(1 << 20, 1);
    let before = peak();
    let all = 2 * limit / MIB;
    let mut sources = sources(dir.path(), &std::array::from_fn(|_| (0, Vec::new())));
    // Written piece by piece: it must not be the test that needs the memory.
    let ram = File::options().write(true).open(&sources[0].path).unwrap();
    for at in 0..all {
        ram.write_all_at(&block, at * MIB).unwrap();
    }
    sources[0].bytes = all * MIB;
    pack_to(&path, &sources).unwrap();
    unpack_to(dir.path(), &path).unwrap();
    let grown = peak() - before;
    assert!(
        grown < limit,
        "{} MiB with {} threads",
        grown / MIB,
        threads()
    );
}
