//! Processes of this test, known again or not.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// A process that waits for its standard input to close.
fn sleeper() -> Child {
    Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn this() -> ProcessIdentity {
    ProcessIdentity::of(std::process::id()).unwrap().unwrap()
}

#[test]
fn this_process_is_alive_and_its_namesake_is_not() {
    let me = this();
    assert!(me.is_alive().unwrap());
    assert!(me.user.is_some() && me.executable.is_some(), "{me:?}");
    let namesakes: [fn(&mut ProcessIdentity); 5] = [
        |other| other.start_ticks += 1,
        |other| other.boot_id = "another".to_owned(),
        |other| other.user = other.user.map(|user| user + 1),
        |other| other.executable = Some("/usr/bin/another".into()),
        #[cfg(target_os = "linux")]
        |other| other.pid_namespace = Some(1),
        #[cfg(not(target_os = "linux"))]
        |other| other.pid += 1,
    ];
    for change in namesakes {
        let mut other = me.clone();
        change(&mut other);
        assert!(!other.is_alive().unwrap(), "{other:?}");
    }
}

#[test]
fn what_an_ended_process_had_open_is_not_known() {
    let (file, mut child) = (tempfile::NamedTempFile::new().unwrap(), sleeper());
    let process = ProcessIdentity::of(child.id()).unwrap().unwrap();
    let open = || process.has_open(file.path()).unwrap();
    assert_eq!(open(), Some(false));
    child.kill().unwrap();
    // Its exit code is left for others to ask for, so its name is still there.
    let id = WaitId::Pid(Pid::from_child(&child));
    waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    assert_eq!(open(), None);
    child.wait().unwrap();
    assert_eq!(open(), None);
}

#[test]
fn a_process_that_a_signal_stops_is_alive_and_goes_on() {
    let mut child = sleeper();
    let process = ProcessIdentity::of(child.id()).unwrap().unwrap();
    assert!(!process.is_stopped().unwrap());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let becomes = |stopped| {
        for _ in 0..1000 {
            if process.is_stopped().unwrap() == stopped {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    };
    assert!(becomes(true));
    assert!(process.is_alive().unwrap());
    process.resume().unwrap();
    assert!(becomes(false));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    process.resume().unwrap();
}

#[test]
fn what_is_not_known_of_a_process_contradicts_nothing() {
    let me = this();
    let stored = format!(
        r#"{{"pid":{},"start_ticks":{},"boot_id":"{}"}}"#,
        me.pid, me.start_ticks, me.boot_id
    );
    let earlier: ProcessIdentity = serde_json::from_str(&stored).unwrap();
    assert_eq!(earlier.user, None);
    assert!(earlier.is_alive().unwrap());
    assert_eq!(serde_json::to_string(&earlier).unwrap(), stored);
    let json = serde_json::to_string(&me).unwrap();
    assert_eq!(serde_json::from_str::<ProcessIdentity>(&json).unwrap(), me);
}

#[test]
fn a_program_that_was_moved_is_known_by_its_name() {
    let mut me = this();
    let name = me.executable.as_ref().unwrap().file_name().unwrap();
    me.executable = Some(Path::new("/elsewhere").join(name));
    assert!(me.is_alive().unwrap());
}

#[tokio::test]
async fn the_wrong_process_is_neither_killed_nor_waited_for() {
    let mut child = sleeper();
    let identity = ProcessIdentity::of(child.id()).unwrap().unwrap();
    let stale = ProcessIdentity {
        start_ticks: identity.start_ticks - 1,
        ..identity.clone()
    };
    stale.kill(LIMIT).await.unwrap();
    stale.wait_gone(LIMIT).await.unwrap();
    assert!(identity.is_alive().unwrap());
    let error = identity
        .wait_gone(Duration::from_millis(20))
        .await
        .unwrap_err();
    assert!(matches!(error, IdentityError::StillThere { .. }));

    identity.kill(LIMIT).await.unwrap();
    // Not reaped yet, and dead all the same.
    assert!(!identity.is_alive().unwrap());
    identity.kill(LIMIT).await.unwrap();
    child.wait().unwrap();
    assert_eq!(ProcessIdentity::of(identity.pid).unwrap(), None);
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_noticed() {
    let mut child = sleeper();
    let identity = ProcessIdentity::of(child.id()).unwrap().unwrap();
    let wait = tokio::spawn({
        let identity = identity.clone();
        async move { identity.wait_gone(LIMIT).await }
    });
    drop(child.stdin.take());
    wait.await.unwrap().unwrap();
    child.wait().unwrap();
}

/// Giving back much memory takes the kernel long enough to be seen at it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_whose_memory_is_gone_is_dead_before_it_has_ended() {
    let mut child = Command::new("dd")
        .args(["if=/dev/zero", "bs=256M"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its buffer is full once it writes.
    let mut first = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let identity = ProcessIdentity::of(child.id()).unwrap().unwrap();
    child.kill().unwrap();
    loop {
        // The kernel shows no arguments of a process without memory.
        let arguments = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
        if arguments.is_empty() {
            assert!(!identity.is_alive().unwrap());
        }
        if !identity.is_alive().unwrap() {
            break;
        }
    }
    // Its end is waited for nevertheless, since it may still hold files.
    identity.wait_gone(LIMIT).await.unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    assert!(stat.contains(") Z "), "{stat}");
    child.wait().unwrap();
}

#[test]
fn an_argument_is_found_by_its_end_only_and_with_the_right_program_only() {
    let mark = format!("#argument-of-{}", std::process::id());
    let start = |argument: String| {
        let mut child = Command::new("sh")
            .args(["-c", "echo up; read line", &argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The kernel shows a program's arguments a moment after it was started.
        let mut up = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        child
    };
    let mut ours = start(format!("guest=name{mark}"));
    let mut other = start(format!("guest=name{mark}0"));
    let pids = |executable: Option<&Path>| -> Vec<u32> {
        let found = find_by_argument(&mark, executable).unwrap();
        found.iter().map(|identity| identity.pid).collect()
    };
    assert_eq!(pids(None), [ours.id()]);
    // That of macOS starts another shell in its place.
    let shell = if cfg!(target_os = "macos") {
        "/bin/bash"
    } else {
        "/bin/sh"
    };
    assert_eq!(pids(Some(Path::new(shell))), [ours.id()]);
    assert_eq!(pids(Some(Path::new("/bin/cat"))), [0; 0]);
    for child in [&mut ours, &mut other] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(pids(None), [0; 0]);
}

#[test]
fn what_another_user_or_another_namespace_runs_is_not_ours() {
    let us = ProcessIdentity {
        pid: 1,
        start_ticks: 1,
        boot_id: String::new(),
        user: Some(1000),
        executable: None,
        pid_namespace: Some(7),
        mount_namespace: Some(8),
    };
    let process = |change: fn(&mut ProcessIdentity)| {
        let mut process = us.clone();
        change(&mut process);
        process.is_one_of(&us)
    };
    assert!(process(|_| ()));
    assert!(!process(|process| process.user = Some(1001)));
    assert!(!process(|process| process.user = None));
    assert!(!process(|process| process.pid_namespace = Some(9)));
    assert!(!process(|process| process.mount_namespace = Some(9)));
    // The system keeps them from its own user where the process is not dumpable.
    assert!(process(|process| {
        process.pid_namespace = None;
        process.mount_namespace = None;
    }));
}

#[test]
fn the_cpu_time_of_this_process_grows() {
    let me = this();
    let before = me.cpu_time().unwrap();
    let begun = std::time::Instant::now();
    while me.cpu_time().unwrap() == before {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no CPU time in a minute of work"
        );
    }
}

#[test]
fn this_process_has_memory() {
    let memory = this().memory().unwrap();
    assert!(memory.resident > 0 && memory.anonymous > 0, "{memory:?}");
}
