//! Looking for secrets where they must not be.

use std::path::Path;

/// Fails the test if any of `values` is in a file below `home` or in a runtime
/// folder, or in the arguments or the environment of any process. The guest's
/// own disk and memory, which hold what the guest holds, are passed over.
#[track_caller]
pub fn nowhere(home: &Path, values: &[String]) {
    let mut found = Vec::new();
    for value in values {
        assert_eq!(value.len(), 64, "{value:?} is no value");
        for root in [home, Path::new("/dev/shm")] {
            search(root, value.as_bytes(), &mut found);
        }
        search_runtime_folders(value.as_bytes(), &mut found);
        search_processes(value.as_bytes(), &mut found);
    }
    assert!(found.is_empty(), "a secret is in {found:?}");
}

fn search_runtime_folders(needle: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir("/tmp").expect("a folder").flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("stack-emulator-")
        {
            search(&entry.path(), needle, found);
        }
    }
}

fn search(root: &Path, needle: &[u8], found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(root) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // Files come and go while others work.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            search(&path, needle, found);
        } else if kind.is_file() && !is_the_guest_s(&path) && holds(&path, needle) {
            found.push(path.display().to_string());
        }
    }
}

fn holds(path: &Path, needle: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|part| part == needle))
}

/// The guest's own disk and memory hold what the guest holds.
fn is_the_guest_s(path: &Path) -> bool {
    ["session/disk.qcow2", "session/ram.mapped", "ram.raw"]
        .iter()
        .any(|end| path.ends_with(end))
}

fn search_processes(needle: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir("/proc").expect("this is Linux").flatten() {
        for file in ["cmdline", "environ"] {
            let path = entry.path().join(file);
            if holds(&path, needle) {
                found.push(path.display().to_string());
            }
        }
    }
}
