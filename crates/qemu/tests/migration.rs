//! Real QEMU, small guest: its state goes to files and comes back, both ways.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use common::{Guarded, LIMIT, Lab, counts, wait_for_counts};
use qemu::migration::{
    MigrationError, cancel, capture_ignore_shared, copy_machine, incoming_ignore_shared,
    load_mapped_ram, save_mapped_ram, wait_ended,
};
use qemu::{Launch, Ram};

const CHANNELS: u8 = 2;

/// Starts a counting guest, captures it, and quits. Returns the last number it wrote.
async fn captured(lab: &Lab, ram: &Path, state: &Path) -> u32 {
    let vm = lab
        .spawn("capture", Ram::SharedFile(ram.to_owned()), Launch::Boot)
        .await;
    wait_for_counts(&lab.serial("capture"), 3).await;
    vm.monitor().stop(LIMIT).await.unwrap();
    let summary = capture_ignore_shared(vm.monitor(), state, LIMIT, |_| {})
        .await
        .unwrap();
    // RAM is not in it.
    assert!(summary.transferred_bytes < 2 << 20, "{summary:?}");
    vm.quit().await;
    *counts(&lab.serial("capture")).last().unwrap()
}

async fn resumed(lab: &Lab, run: &str, ram: &Path, state: &Path) -> Guarded {
    let vm = lab
        .spawn(run, Ram::PrivateFile(ram.to_owned()), Launch::Incoming)
        .await;
    incoming_ignore_shared(vm.monitor(), lab.binary.version, state, LIMIT)
        .await
        .unwrap();
    assert!(!vm.monitor().status(LIMIT).await.unwrap().running);
    vm.monitor().cont(LIMIT).await.unwrap();
    vm
}

/// The guest goes on from `last`, and nothing before it is repeated.
async fn assert_goes_on(lab: &Lab, run: &str, last: u32) -> u32 {
    let found = wait_for_counts(&lab.serial(run), 3).await;
    assert!(
        found[0] > last && found[0] - last <= 2 << 22,
        "{found:x?} after {last:x}"
    );
    assert!(
        found.windows(2).all(|pair| pair[1] - pair[0] == 1 << 22),
        "{found:x?}"
    );
    *found.last().unwrap()
}

#[tokio::test]
async fn a_capture_is_resumed_many_times_and_never_changed() {
    let lab = Lab::new().await;
    let (ram, state) = (lab.path("ram, raw"), lab.path("device,offset=1.state"));
    let last = captured(&lab, &ram, &state).await;
    assert_eq!(
        std::fs::metadata(&state).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let before = std::fs::read(&ram).unwrap();
    for run in ["resume-1", "resume-2"] {
        let vm = resumed(&lab, run, &ram, &state).await;
        assert_goes_on(&lab, run, last).await;
        vm.kill().await;
    }
    assert!(
        std::fs::read(&ram).unwrap() == before,
        "the RAM file changed"
    );
}

#[tokio::test]
async fn a_resumed_machine_is_saved_and_continued() {
    let lab = Lab::new().await;
    let (ram, state, session) = (lab.path("ram"), lab.path("state"), lab.path("session"));
    let last = captured(&lab, &ram, &state).await;
    let vm = resumed(&lab, "resume", &ram, &state).await;
    let last = assert_goes_on(&lab, "resume", last).await;

    vm.monitor().stop(LIMIT).await.unwrap();
    let mut seen = Vec::new();
    let summary = save_mapped_ram(vm.monitor(), &session, CHANNELS, LIMIT, |now| {
        seen.push(now);
    })
    .await
    .unwrap();
    assert!(summary.transferred_bytes > 0);
    let end = seen.last().unwrap();
    assert_eq!(end.done_bytes, end.total_bytes);
    assert!(end.total_bytes >= u64::from(common::RAM_MIB) << 20);
    // Sparse: untouched memory takes no room.
    let meta = std::fs::metadata(&session).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert!(
        meta.blocks() * 512 < u64::from(common::RAM_MIB) << 19,
        "{}",
        meta.blocks()
    );
    vm.quit().await;
    let last = (*counts(&lab.serial("resume")).last().unwrap()).max(last);

    let vm = lab.spawn("continue", Ram::Private, Launch::Incoming).await;
    load_mapped_ram(vm.monitor(), lab.binary.version, &session, CHANNELS, LIMIT)
        .await
        .unwrap();
    vm.monitor().cont(LIMIT).await.unwrap();
    assert_goes_on(&lab, "continue", last).await;
    vm.kill().await;
}

#[tokio::test]
async fn a_saved_machine_may_go_on_and_be_saved_again() {
    let lab = Lab::new().await;
    let vm = lab.spawn("go-on", Ram::Private, Launch::Boot).await;
    wait_for_counts(&lab.serial("go-on"), 1).await;
    for turn in 1..=3 {
        vm.monitor().stop(LIMIT).await.unwrap();
        save_mapped_ram(vm.monitor(), &lab.path("saved"), CHANNELS, LIMIT, |_| {})
            .await
            .unwrap();
        let before = counts(&lab.serial("go-on")).len();
        vm.monitor().cont(LIMIT).await.unwrap();
        assert!(
            vm.monitor().status(LIMIT).await.unwrap().running,
            "turn {turn}"
        );
        wait_for_counts(&lab.serial("go-on"), before + 1).await;
    }
    vm.kill().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named_and_the_guest_goes_on() {
    let lab = Lab::new().await;
    let vm = lab.spawn("full", Ram::Private, Launch::Boot).await;
    wait_for_counts(&lab.serial("full"), 1).await;
    vm.monitor().stop(LIMIT).await.unwrap();
    let error = save_mapped_ram(
        vm.monitor(),
        Path::new("/dev/full"),
        CHANNELS,
        LIMIT,
        |_| {},
    )
    .await
    .unwrap_err();
    assert!(matches!(error, MigrationError::Failed { .. }), "{error:?}");
    let error = capture_ignore_shared(vm.monitor(), &lab.path("no/such"), LIMIT, |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, MigrationError::File { .. }), "{error:?}");

    let before = counts(&lab.serial("full")).len();
    vm.monitor().cont(LIMIT).await.unwrap();
    wait_for_counts(&lab.serial("full"), before + 2).await;
    vm.kill().await;
}

#[tokio::test]
async fn a_damaged_state_is_refused() {
    let lab = Lab::new().await;
    let (ram, state, session) = (lab.path("ram"), lab.path("state"), lab.path("session"));
    captured(&lab, &ram, &state).await;
    let whole = std::fs::read(&state).unwrap();
    let damaged = lab.path("damaged");

    for (run, bytes) in [
        ("cut", &whole[..whole.len() / 2]),
        ("empty", &[][..]),
        (
            "foreign",
            &b"no state of a machine at all, but long enough to be read"[..],
        ),
    ] {
        std::fs::write(&damaged, bytes).unwrap();
        let vm = lab
            .spawn(run, Ram::PrivateFile(ram.clone()), Launch::Incoming)
            .await;
        let error = incoming_ignore_shared(vm.monitor(), lab.binary.version, &damaged, LIMIT)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                MigrationError::Failed { .. } | MigrationError::QemuGone { .. }
            ),
            "{run}: {error:?}"
        );
        vm.kill().await;
    }

    // What one way saved, the other does not load.
    let vm = lab.spawn("mixed", Ram::Private, Launch::Boot).await;
    vm.monitor().stop(LIMIT).await.unwrap();
    save_mapped_ram(vm.monitor(), &session, CHANNELS, LIMIT, |_| {})
        .await
        .unwrap();
    vm.quit().await;
    let vm = lab
        .spawn("mixed-in", Ram::PrivateFile(ram), Launch::Incoming)
        .await;
    let error = incoming_ignore_shared(vm.monitor(), lab.binary.version, &session, LIMIT)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            MigrationError::Failed { .. } | MigrationError::QemuGone { .. }
        ),
        "{error:?}"
    );
    vm.kill().await;
}

#[tokio::test]
async fn another_shape_of_machine_is_refused() {
    let mut lab = Lab::new().await;
    let (ram, state) = (lab.path("ram"), lab.path("state"));
    captured(&lab, &ram, &state).await;
    lab.machine.vcpus = 2;
    let vm = lab
        .spawn("other", Ram::PrivateFile(ram), Launch::Incoming)
        .await;
    let error = incoming_ignore_shared(vm.monitor(), lab.binary.version, &state, LIMIT)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            MigrationError::Failed { .. } | MigrationError::QemuGone { .. }
        ),
        "{error:?}"
    );
    vm.kill().await;
}

#[tokio::test]
async fn a_save_that_takes_too_long_is_cancelled() {
    let lab = Lab::new().await;
    let vm = lab.spawn("slow", Ram::Private, Launch::Boot).await;
    wait_for_counts(&lab.serial("slow"), 1).await;
    // Nothing under way: cancelling is harmless.
    cancel(vm.monitor(), LIMIT).await.unwrap();
    vm.monitor().stop(LIMIT).await.unwrap();
    let error = save_mapped_ram(
        vm.monitor(),
        &lab.path("slow.ram"),
        CHANNELS,
        Duration::ZERO,
        |_| {},
    )
    .await
    .unwrap_err();
    assert!(matches!(error, MigrationError::Timeout { .. }), "{error:?}");
    // And the same again, this time with patience.
    save_mapped_ram(vm.monitor(), &lab.path("slow.ram"), CHANNELS, LIMIT, |_| {})
        .await
        .unwrap();
    vm.kill().await;
}

#[tokio::test]
async fn a_copy_is_saved_and_resumed_while_the_original_goes_on() {
    let lab = Lab::new().await;
    let (ram, state, socket) = (lab.path("ram"), lab.path("state"), lab.path("copy.sock"));
    let original = lab.spawn("original", Ram::Private, Launch::Boot).await;
    wait_for_counts(&lab.serial("original"), 2).await;
    let file = std::fs::File::create(&ram).unwrap();
    file.set_len(u64::from(common::RAM_MIB) << 20).unwrap();
    let copy = lab
        .spawn("copy", Ram::SharedFile(ram.clone()), Launch::Incoming)
        .await;
    let begun = tokio::time::Instant::now();
    let copied = copy_machine(
        original.monitor(),
        copy.monitor(),
        lab.binary.version,
        &socket,
        CHANNELS,
        LIMIT,
        |_| {},
    )
    .await
    .unwrap();
    assert!(copied.summary.transferred_bytes > 0, "{copied:?}");
    assert!(copied.stopped > begun, "it ran meanwhile");
    assert!(!original.monitor().status(LIMIT).await.unwrap().running);
    let last = *counts(&lab.serial("original")).last().unwrap();
    original.monitor().cont(LIMIT).await.unwrap();
    let before = counts(&lab.serial("original")).len();
    wait_for_counts(&lab.serial("original"), before + 2).await;

    assert!(!copy.monitor().status(LIMIT).await.unwrap().running);
    let summary = capture_ignore_shared(copy.monitor(), &state, LIMIT, |_| {})
        .await
        .unwrap();
    assert!(summary.transferred_bytes < 2 << 20, "{summary:?}");
    copy.quit().await;
    assert!(!socket.exists());
    // Both would have the same disk.
    original.kill().await;
    let vm = resumed(&lab, "resume", &ram, &state).await;
    assert_goes_on(&lab, "resume", last).await;
    vm.kill().await;
}

#[tokio::test]
async fn a_copy_that_nobody_receives_leaves_the_original_as_it_was() {
    let mut lab = Lab::new().await;
    let original = lab.spawn("original", Ram::Private, Launch::Boot).await;
    wait_for_counts(&lab.serial("original"), 1).await;
    lab.machine.vcpus = 2;
    let other = lab.spawn("other", Ram::Private, Launch::Incoming).await;
    let (version, far) = (lab.binary.version, lab.path("no/such.sock"));
    for (what, socket) in [("no socket", far), ("another shape", lab.path("s"))] {
        let error = copy_machine(
            original.monitor(),
            other.monitor(),
            version,
            &socket,
            CHANNELS,
            LIMIT,
            |_| {},
        )
        .await
        .unwrap_err();
        assert!(
            matches!(
                error,
                MigrationError::Failed { .. } | MigrationError::QemuGone { .. }
            ),
            "{what}: {error:?}"
        );
    }
    other.kill().await;
    wait_ended(original.monitor(), LIMIT).await.unwrap();
    original.monitor().cont(LIMIT).await.unwrap();
    let before = counts(&lab.serial("original")).len();
    wait_for_counts(&lab.serial("original"), before + 2).await;
    original.kill().await;
}
