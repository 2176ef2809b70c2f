//! Real QEMU: which accelerator works, and how its verdict is kept; programs that are no QEMU.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use qemu::accel::{Attempt, Verdict, distrust, probe};
use qemu::{Accelerator, Arch, BinaryError, ProbeError, QemuBinary, Version};

/// A shell script in the place of QEMU.
fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A script that answers on descriptor 3 as far as a QEMU of this version would be asked.
fn impostor(version: &str) -> String {
    format!(
        r#"exec <&3 >&3
echo '{{"QMP": {{"version": {{"qemu": {version}, "package": ""}}, "capabilities": []}}}}'
while read -r line; do
    id=${{line##*\"id\":}}
    case $line in
    *query-*) echo "{{\"return\": [], \"id\": $id" ;;
    *) echo "{{\"return\": {{}}, \"id\": $id" ;;
    esac
    case $line in *quit*) exit ;; esac
done"#
    )
}

#[tokio::test]
async fn the_binary_says_what_it_is_once() {
    let cache = tempfile::tempdir().unwrap();
    let found = QemuBinary::find_cached(Arch::Amd64, None, cache.path())
        .await
        .unwrap();
    assert!(found.path.is_absolute());
    assert!(found.version_text.starts_with(&found.version.to_string()));
    assert!(
        found.machine_type.starts_with("pc-q35-"),
        "{}",
        found.machine_type
    );
    assert_eq!(found.stamp, host::FileStamp::of(&found.path).unwrap());
    assert_eq!(found, QemuBinary::find(Arch::Amd64, None).await.unwrap());

    // The cache is believed, and it is what makes the second call need no process.
    let file = cache.path().join("qemu-amd64.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let marked = text.replace("pc-q35-", "pc-q35-from-the-cache-");
    std::fs::write(&file, marked).unwrap();
    let again = QemuBinary::find_cached(Arch::Amd64, None, cache.path())
        .await
        .unwrap();
    assert!(again.machine_type.contains("from-the-cache"));
    // But not about another file.
    let copy = cache.path().join("copy");
    std::os::unix::fs::symlink(&found.path, &copy).unwrap();
    let other = QemuBinary::find_cached(Arch::Amd64, Some(&copy), cache.path())
        .await
        .unwrap();
    assert_eq!(other.machine_type, found.machine_type);
}

#[tokio::test]
async fn what_is_no_usable_qemu_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = QemuBinary::find(Arch::Amd64, Some(&missing))
        .await
        .unwrap_err();
    assert!(
        matches!(error, BinaryError::NotExecutable { .. }),
        "{error}"
    );

    let old = impostor(r#"{"major": 8, "minor": 2, "micro": 2}"#);
    let old = script(folder.path(), "old", &old);
    let error = QemuBinary::find(Arch::Amd64, Some(&old)).await.unwrap_err();
    let BinaryError::TooOld { found, needed, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (*found, *needed),
        (Version::new(8, 2, 2), Version::new(9, 0, 0))
    );

    let new = impostor(r#"{"major": 12, "minor": 1, "micro": 0, "era": "later"}"#);
    let new = script(folder.path(), "new", &new);
    let found = QemuBinary::find(Arch::Amd64, Some(&new)).await.unwrap();
    assert_eq!(
        (found.machine_type.as_str(), found.sandbox),
        ("pc-q35-12.1", false)
    );

    let broken = script(
        folder.path(),
        "broken",
        "echo cannot open shared object >&2; exit 127",
    );
    let error = QemuBinary::find(Arch::Amd64, Some(&broken))
        .await
        .unwrap_err();
    let BinaryError::Died { status, stderr, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (status.code(), stderr.as_str()),
        (Some(127), "cannot open shared object")
    );

    let lost = folder.path().join("lost");
    std::fs::write(&lost, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&lost, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = QemuBinary::find(Arch::Amd64, Some(&lost))
        .await
        .unwrap_err();
    assert!(
        matches!(error, BinaryError::NotRunnable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_accelerator_that_works_is_found_and_remembered() {
    let cache = tempfile::tempdir().unwrap();
    let binary = QemuBinary::find(Arch::Amd64, None).await.unwrap();
    let found = probe(&binary, cache.path(), false).await.unwrap();
    let Some(Attempt {
        accelerator,
        verdict: Verdict::Works { .. },
    }) = found.tried.last()
    else {
        panic!("{found:?}");
    };
    assert_eq!(*accelerator, found.accelerator);
    assert!(found.tried.len() <= 2);

    // Believed as long as everything is as it was, and not when told to look again.
    let file = cache.path().join("accelerator-amd64.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let marked = text.replace(&binary.version_text, "marked");
    assert_ne!(text, marked);
    // Only the probe's own copy: the circumstances must stay as they are.
    let at = text.rfind(&binary.version_text).unwrap();
    let marked = format!(
        "{}marked{}",
        &text[..at],
        &text[at + binary.version_text.len()..]
    );
    std::fs::write(&file, &marked).unwrap();
    assert_eq!(
        probe(&binary, cache.path(), false)
            .await
            .unwrap()
            .qemu_version,
        "marked"
    );
    let forced = probe(&binary, cache.path(), true).await.unwrap();
    assert_eq!(forced.qemu_version, binary.version_text);

    std::fs::write(&file, &marked).unwrap();
    let mut upgraded = binary.clone();
    upgraded.stamp.modified_ns += 1;
    let again = probe(&upgraded, cache.path(), false).await.unwrap();
    assert_eq!(again.qemu_version, binary.version_text);
}

#[tokio::test]
async fn an_accelerator_that_failed_a_guest_is_passed_over_until_asked_for() {
    let cache = tempfile::tempdir().unwrap();
    let binary = QemuBinary::find(Arch::Amd64, None).await.unwrap();
    let detail = "it failed a real guest";
    let doubted = |found: &qemu::Probe| {
        let hit = |attempt: &Attempt| matches!(&attempt.verdict, Verdict::Misbehaves { detail: said } if said == detail);
        found.tried.iter().any(hit)
    };
    let found = distrust(&binary, cache.path(), Accelerator::Kvm, detail)
        .await
        .unwrap();
    assert_eq!(found.accelerator, Accelerator::Tcg);
    assert_eq!(doubted(&found), cfg!(target_arch = "x86_64"));
    // Every later command knows it, and `doctor` can have it tried again.
    let later = probe(&binary, cache.path(), false).await.unwrap();
    assert_eq!(later, found);
    let again = probe(&binary, cache.path(), true).await.unwrap();
    assert!(!doubted(&again));

    let wrapper = "case \" $* \" in *' kvm '*) echo no >&2; exit 1 ;; esac; exit 9";
    let mut wrapped = binary.clone();
    wrapped.path = script(cache.path(), "qemu", wrapper);
    let error = distrust(&wrapped, cache.path(), Accelerator::Tcg, detail)
        .await
        .unwrap_err();
    assert!(error.to_string().contains(detail), "{error}");
}

#[tokio::test]
async fn a_qemu_that_cannot_run_anything_is_told_apart() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut binary = QemuBinary::find(Arch::Amd64, None).await.unwrap();
    binary.path = script(folder.path(), "qemu", "echo no firmware >&2; exit 1");
    let error = probe(&binary, cache.path(), false).await.unwrap_err();
    let ProbeError::NoneWorks { tried, .. } = &error else {
        panic!("{error:?}");
    };
    let last = tried.last().unwrap();
    assert_eq!(last.accelerator, Accelerator::Tcg);
    assert!(
        matches!(&last.verdict, Verdict::Misbehaves { detail } if detail.contains("no firmware"))
    );
    // A failure is not remembered.
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_hardware_accelerator_that_hangs_is_killed_and_passed_over() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let binary = QemuBinary::find(Arch::Amd64, None).await.unwrap();
    let wrapper = format!(
        "case \" $* \" in *' kvm '*) echo $$ > '{0}/pid'; exec sleep 600 ;; esac\nexec '{1}' \"$@\"",
        folder.path().display(),
        binary.path.display()
    );
    let mut wrapped = binary.clone();
    wrapped.path = script(folder.path(), "qemu", &wrapper);
    let found = probe(&wrapped, cache.path(), false).await.unwrap();
    assert_eq!(found.accelerator, Accelerator::Tcg);
    let first = &found.tried[0];
    assert_eq!(first.accelerator, Accelerator::Kvm);
    match &first.verdict {
        Verdict::Hangs { .. } => {
            let pid: u32 = std::fs::read_to_string(folder.path().join("pid"))
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            let left = qemu::ProcessIdentity::of(pid).unwrap();
            assert_eq!(left, None);
        }
        // This host has no /dev/kvm to try.
        Verdict::Unavailable { .. } => {}
        other => panic!("{other:?}"),
    }
}

/// Set for the process that is killed while it asks a QEMU what it is: the program to ask.
const ASKS: &str = "QEMU_TEST_ASKS";

#[tokio::test]
async fn a_qemu_that_is_being_asked_ends_with_who_asks_it() {
    if let Some(program) = std::env::var_os(ASKS) {
        drop(QemuBinary::find(Arch::Amd64, Some(Path::new(&program))).await);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    // It says nothing, and never ends by itself.
    let body = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600",
        pid.display()
    );
    let silent = script(folder.path(), "silent", &body);
    let mut asking = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_qemu_that_is_being_asked_ends_with_who_asks_it",
        ])
        .env(ASKS, &silent)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let started = async {
        // No event tells when a file is there.
        while !pid.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, started).await.unwrap();
    let pid = std::fs::read_to_string(&pid)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let asked = host::ProcessIdentity::of(pid).unwrap().unwrap();
    asking.kill().unwrap();
    asking.wait().unwrap();
    if cfg!(target_os = "linux") {
        asked.wait_gone(limit).await.unwrap();
    } else {
        asked.kill(limit).await.unwrap();
    }
}
