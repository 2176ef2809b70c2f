//! Real QEMU, small guest: spawning, recognising, sharing and stopping a machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::{LIMIT, Lab, token, wait_for_counts};
use qemu::process::find_by_token;
use qemu::stop::{Ending, StopLimits, stop};
use qemu::{
    Forward, ForwardError, Launch, Monitor, ProcessIdentity, QmpError, Ram, SpawnError, Version,
};

#[tokio::test]
async fn a_machine_boots_and_is_known_again() {
    let lab = Lab::new().await;
    assert!(lab.binary.version >= Version::new(9, 0, 0));
    let vm = lab.spawn("boot", Ram::Private, Launch::Boot).await;
    assert_eq!(vm.greeting.version, lab.binary.version);
    assert!(vm.monitor().status(LIMIT).await.unwrap().running);
    wait_for_counts(&lab.serial("boot"), 2).await;

    assert_eq!(
        find_by_token(&token("boot"), None).unwrap(),
        std::slice::from_ref(&vm.identity)
    );
    assert_eq!(
        ProcessIdentity::of(vm.identity.pid).unwrap().as_ref(),
        Some(&vm.identity)
    );
    let written = std::fs::read_to_string(lab.path("boot.pid")).unwrap();
    assert_eq!(written.trim(), vm.identity.pid.to_string());

    vm.kill().await;
    assert_eq!(find_by_token(&token("boot"), None).unwrap(), []);
}

#[tokio::test]
async fn one_program_after_another_may_talk_to_it() {
    let lab = Lab::new().await;
    let mut vm = lab.spawn("turns", Ram::Private, Launch::Paused).await;
    // The first client is still connected: the second one waits, and gives up in time.
    let error = Monitor::connect(&vm.sockets, Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(matches!(error, QmpError::NoGreeting { .. }), "{error}");

    let sockets = vm.sockets.clone();
    let second = tokio::spawn(async move { Monitor::connect(&sockets, LIMIT).await });
    vm.monitor().cont(LIMIT).await.unwrap();
    vm.close_monitor().await;
    let (monitor, _) = second.await.unwrap().unwrap();
    assert!(monitor.status(LIMIT).await.unwrap().running);
    let report = stop(Some(&monitor), &vm.identity, &StopLimits::QUICK)
        .await
        .unwrap();
    assert_eq!(report.ending, Ending::Quit);
}

#[tokio::test]
async fn a_port_leads_into_the_guest_only_while_it_is_forwarded() {
    let lab = Lab::new().await;
    let vm = lab.spawn("forwards", Ram::Private, Launch::Paused).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host_port = free.local_addr().unwrap().port();
    let forward = Forward {
        host_port,
        guest_port: 80,
    };
    let taken = vm.monitor().add_forward(&forward, LIMIT).await;
    assert!(
        matches!(taken, Err(ForwardError::NotAdded { port, .. }) if port == host_port),
        "{taken:?}"
    );
    drop(free);
    let connects = || std::net::TcpStream::connect(("127.0.0.1", host_port)).is_ok();
    assert!(!connects());
    vm.monitor().add_forward(&forward, LIMIT).await.unwrap();
    assert!(connects());
    // A second time, as after a command that was killed: it is no error.
    for _ in 0..2 {
        vm.monitor().remove_forward(&forward, LIMIT).await.unwrap();
        assert!(!connects());
    }
    vm.kill().await;
}

#[tokio::test]
async fn stopping_escalates_as_far_as_needed() {
    let lab = Lab::new().await;
    let limits = StopLimits {
        powerdown: Some(LIMIT),
        quit: Some(LIMIT),
        kill: LIMIT,
    };
    let vm = lab.spawn("graceful", Ram::Private, Launch::Boot).await;
    wait_for_counts(&lab.serial("graceful"), 1).await;
    let report = stop(Some(vm.monitor()), &vm.identity, &limits)
        .await
        .unwrap();
    assert_eq!(report.ending, Ending::PoweredDown);
    let report = stop(Some(vm.monitor()), &vm.identity, &limits)
        .await
        .unwrap();
    assert_eq!(report.ending, Ending::AlreadyGone);
    vm.gone();

    // A stopped guest cannot obey its power button.
    let vm = lab.spawn("deaf", Ram::Private, Launch::Paused).await;
    let short = StopLimits {
        powerdown: Some(Duration::from_millis(100)),
        ..limits
    };
    let report = stop(Some(vm.monitor()), &vm.identity, &short)
        .await
        .unwrap();
    assert_eq!(report.ending, Ending::Quit);
    vm.gone();

    // A stopped QEMU cannot obey anything.
    let vm = lab.spawn("stuck", Ram::Private, Launch::Paused).await;
    let pid = vm.identity.pid.to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-STOP", &pid])
            .status()
            .unwrap()
            .success()
    );
    let short = StopLimits {
        powerdown: Some(Duration::from_millis(100)),
        quit: Some(Duration::from_millis(100)),
        ..limits
    };
    let report = stop(Some(vm.monitor()), &vm.identity, &short)
        .await
        .unwrap();
    assert_eq!(report.ending, Ending::Killed);
    vm.gone();
}

#[tokio::test]
async fn a_second_qemu_on_the_same_disk_is_refused_and_says_why() {
    let lab = Lab::new().await;
    let vm = lab.spawn("first", Ram::Private, Launch::Boot).await;
    let error = lab
        .try_spawn("second", Ram::Private, Launch::Boot)
        .await
        .err()
        .unwrap();
    let SpawnError::Died { said, .. } = &error else {
        panic!("{error}");
    };
    assert!(said.contains("lock"), "{said}");
    assert_eq!(find_by_token(&token("second"), None).unwrap(), []);
    vm.kill().await;
}

#[tokio::test]
async fn a_dropped_start_leaves_no_process() {
    let lab = Lab::new().await;
    let start = lab.try_spawn("dropped", Ram::Private, Launch::Boot);
    // Long enough for the process to exist, and mostly too short for it to answer.
    let outcome = tokio::time::timeout(Duration::from_millis(15), start).await;
    if let Ok(Ok(vm)) = outcome {
        vm.kill().await;
    }
    let gone = async {
        for identity in find_by_token(&token("dropped"), None).unwrap() {
            identity.wait_gone(LIMIT).await.unwrap();
        }
    };
    gone.await;
}

#[tokio::test]
async fn what_a_guest_sees_does_not_depend_on_where_its_files_are() {
    let (one, other) = (Lab::new().await, Lab::new().await);
    let visible = one.machine.guest_visible(&one.binary);
    assert_eq!(visible, other.machine.guest_visible(&other.binary));
    let folder = one.folder.path().to_str().unwrap();
    assert!(visible.iter().all(|argument| !argument.contains(folder)));
}
