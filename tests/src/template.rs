//! Homes that are made once and copied into each further world.
//!
//! A snapshot takes a boot of the guest, half a minute under software emulation, so the test programs of a
//! run share them: [`TEMPLATES`] names the folder, and [`PORTS`](crate::services::PORTS) the ports, since a
//! snapshot's guest has been told them. A test program that runs by itself has templates of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::World;

/// Names the folder of templates that test programs share.
pub const TEMPLATES: &str = "STACK_EMULATOR_TEST_TEMPLATES";
/// Folder of the template `name`, which `make` makes if there is none yet.
///
/// It is there whole or not at all. Others that need it in the meantime wait.
pub(crate) fn ensure(name: &str, make: impl FnOnce() -> World) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // A test that failed to make one says so itself; the next one tries again.
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let place = folder().join(name);
    if !place.exists() {
        let world = make();
        let beside = folder().join(format!(".{name}-{}", std::process::id()));
        copy(&world.emulator_home, &beside);
        std::fs::rename(&beside, &place).expect("a template is put in place");
        std::fs::write(made(&place), "").expect("a mark");
    }
    place
}

/// Written beside a template when it is whole.
fn made(template: &Path) -> PathBuf {
    template.with_extension("made")
}

/// Copies the template at `from`, whose snapshots' memory the copy shares: nobody may write to that, and the product
/// does not. It is most of what there is to copy, and the first start of a copy would read all of it.
pub(crate) fn copy_linked(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args(["-al"])
        .args([from, to])
        .status()
        .expect("cp is there");
    assert!(status.success());
    own(to, &mut |path| {
        if path.file_name().is_some_and(|name| name == "ram.raw") {
            let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified());
            assert!(
                changed(path).expect("a memory file")
                    <= changed(&made(from)).expect("a finished template"),
                "a test has written to the memory that all worlds share; it needs World::captured_alone"
            );
            return;
        }
        let copy = path.with_extension("own");
        std::fs::copy(path, &copy).expect("a copy");
        std::fs::rename(&copy, path).expect("it takes the link's place");
    });
}

/// Calls `each` with every file below `folder`.
fn own(folder: &Path, each: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            own(&entry.path(), each);
        } else if kind.is_file() {
            each(&entry.path());
        }
    }
}

/// Copies a home in which nothing runs; holes stay holes.
pub(crate) fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .args([from, to])
        .status()
        .expect("cp is there");
    assert!(status.success());
}

fn folder() -> &'static Path {
    static OWN: OnceLock<tempfile::TempDir> = OnceLock::new();
    static SHARED: OnceLock<Option<PathBuf>> = OnceLock::new();
    SHARED
        .get_or_init(|| std::env::var_os(TEMPLATES).map(PathBuf::from))
        .as_deref()
        .unwrap_or_else(|| {
            OWN.get_or_init(|| {
                tempfile::Builder::new()
                    .prefix("emulator-templates-")
                    .tempdir()
                    .expect("a temporary folder")
            })
            .path()
        })
}
