//! Rotations killed between any two steps, and what the next one makes of it.
//!
//! Between the rotation and the backend stands a relay that stops at a line of the test's choice. The
//! rotation then waits at a known place, and is killed there.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use crate::support::{Four, PATIENCE, Stack, stderr};

/// The line that the relay keeps back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The answer to `ROTATE`: the update is made but not committed; new files are written or being
    /// written, none exchanged.
    Prepared,
    /// The request to commit: all files are exchanged, the database still has the old keys.
    Commit,
    /// The answer to that: everything is new, the old files are still there.
    Committed,
}

struct Relay {
    real: PathBuf,
    reached: Receiver<()>,
}

impl Relay {
    fn before(stack: &Stack, stop: Stop) -> Self {
        let path = stack.path("run/control.sock");
        let real = stack.path("run/real.sock");
        fs::rename(&path, &real).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let (sender, reached) = channel();
        let target = real.clone();
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let backend = UnixStream::connect(target).unwrap();
            let mut from_client = BufReader::new(client.try_clone().unwrap());
            let mut from_backend = BufReader::new(backend.try_clone().unwrap());
            let mut gone = client.try_clone().unwrap();
            let (mut client, mut backend) = (client, backend);
            let mut line = String::new();
            for (asks, answers) in [
                (None, Some(Stop::Prepared)),
                (Some(Stop::Commit), Some(Stop::Committed)),
            ] {
                for (reader, writer, here) in [
                    (&mut from_client, &mut backend, asks),
                    (&mut from_backend, &mut client, answers),
                ] {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                    if here == Some(stop) {
                        sender.send(()).unwrap();
                        // Until the rotation is gone.
                        let _ = gone.read_to_end(&mut Vec::new());
                        return;
                    }
                    writer.write_all(line.as_bytes()).unwrap();
                }
            }
        });
        Self { real, reached }
    }

    fn remove(self, stack: &Stack) {
        fs::rename(self.real, stack.path("run/control.sock")).unwrap();
    }
}

/// A stack whose rotation from 1 to 2 was killed at a place.
fn killed_at(stop: Stop) -> Stack {
    let stack = Stack::start();
    assert!(stack.rotate(&Four::numbered(1)).status.success());
    let relay = Relay::before(&stack, stop);
    let mut child = Stack::spawn_rotation(stack.rotate_command(), &Four::numbered(2).input());
    relay.reached.recv_timeout(PATIENCE).unwrap();
    if stop == Stop::Prepared {
        wait_until_staged(&stack);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    relay.remove(&stack);
    assert!(
        !stack.leftovers().is_empty(),
        "killed too early or too late"
    );
    stack
}

/// Waits for the first of the new files. The rotation writes them while the database works, so the
/// answer says nothing about them, and nothing else tells; hence the polling.
fn wait_until_staged(stack: &Stack) {
    let patience = Instant::now() + PATIENCE;
    while stack.leftovers().is_empty() {
        assert!(Instant::now() < patience, "no file was ever staged");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What API and cron endpoint take; files may be in between.
#[track_caller]
fn assert_served(stack: &Stack, yes: &Four, no: &Four) {
    assert_eq!(stack.in_force(yes)[..4], [true; 4]);
    assert_eq!(stack.in_force(no)[..4], [false; 4]);
}

#[test]
fn before_the_commit_the_old_values_stay_and_are_restored() {
    for stop in [Stop::Prepared, Stop::Commit] {
        let stack = killed_at(stop);
        let (old, new) = (Four::numbered(1), Four::numbered(2));
        // At once, before anything was recovered: the database decides for the cron secret as well.
        assert_served(&stack, &old, &new);
        let output = stack.recover();
        assert!(output.status.success(), "{stop:?}: {}", stderr(&output));
        stack.assert_only_in_force(&old, &[&new]);
        assert!(stack.leftovers().is_empty());
    }
}

#[test]
fn after_the_commit_the_new_values_are_in_force_and_completed() {
    let stack = killed_at(Stop::Committed);
    let (old, new) = (Four::numbered(1), Four::numbered(2));
    assert_served(&stack, &new, &old);
    let output = stack.recover();
    assert!(output.status.success(), "{}", stderr(&output));
    stack.assert_only_in_force(&new, &[&old]);
    assert!(stack.leftovers().is_empty());
}

#[test]
fn the_next_rotation_recovers_by_itself() {
    for stop in [Stop::Prepared, Stop::Commit, Stop::Committed] {
        let stack = killed_at(stop);
        let next = Four::numbered(3);
        let output = stack.rotate(&next);
        assert!(output.status.success(), "{stop:?}: {}", stderr(&output));
        stack.assert_only_in_force(&next, &[&Four::numbered(1), &Four::numbered(2)]);
        assert!(stack.leftovers().is_empty());
    }
}

#[test]
fn a_machine_that_lost_power_comes_back_with_one_set() {
    for stop in [Stop::Commit, Stop::Committed] {
        let mut stack = killed_at(stop);
        stack.kill_backend();
        stack.start_backend();
        let (yes, no) = match stop {
            Stop::Committed => (Four::numbered(2), Four::numbered(1)),
            Stop::Commit | Stop::Prepared => (Four::numbered(1), Four::numbered(2)),
        };
        assert_served(&stack, &yes, &no);
        assert!(stack.recover().status.success());
        stack.assert_only_in_force(&yes, &[&no]);
    }
}

#[test]
fn a_commit_without_an_answer_is_looked_up() {
    // The relay closes instead of answering, and whoever asks again reaches the real backend.
    let stack = Stack::start();
    assert!(stack.rotate(&Four::numbered(1)).status.success());
    for (stop, in_force, refused, code) in [(Stop::Committed, 2, 1, 0), (Stop::Commit, 2, 3, 3)] {
        let relay = Relay::before(&stack, stop);
        let path = stack.path("run/control.sock");
        let next = if stop == Stop::Commit { 3 } else { 2 };
        let child = Stack::spawn_rotation(stack.rotate_command(), &Four::numbered(next).input());
        relay.reached.recv_timeout(PATIENCE).unwrap();
        fs::remove_file(&path).unwrap();
        relay.remove(&stack);
        // The relay holds its line until the rotation gives up waiting, after ten seconds.
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        stack.assert_only_in_force(&Four::numbered(in_force), &[&Four::numbered(refused)]);
        assert!(stack.leftovers().is_empty());
    }
}

#[test]
fn a_commit_that_nobody_can_tell_about_is_left_to_the_next_run() {
    let mut stack = Stack::start();
    assert!(stack.rotate(&Four::numbered(1)).status.success());
    let relay = Relay::before(&stack, Stop::Committed);
    let child = Stack::spawn_rotation(stack.rotate_command(), &Four::numbered(2).input());
    relay.reached.recv_timeout(PATIENCE).unwrap();
    fs::remove_file(stack.path("run/control.sock")).unwrap();
    stack.kill_backend();
    let output = child.wait_with_output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(
        message.contains("the next rotation or boot settles"),
        "{message}"
    );
    stack.start_backend();
    let output = stack.recover();
    assert!(output.status.success(), "{}", stderr(&output));
    stack.assert_only_in_force(&Four::numbered(2), &[&Four::numbered(1)]);
}
