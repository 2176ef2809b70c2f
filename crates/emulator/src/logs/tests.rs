//! Following real files that grow, are cut, are replaced and come late.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// For what takes milliseconds unless the machine is swapping.
const LIMIT: Duration = Duration::from_secs(30);

async fn chunk(follower: &mut Follower) -> Chunk {
    tokio::time::timeout(LIMIT, follower.next_lines())
        .await
        .unwrap()
        .unwrap()
}

fn append(path: &Path, text: &str) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn lines_are_numbered_through_growth_and_a_new_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("serial.log");
    std::fs::write(&path, "zero\none\ntwo\nhalf").unwrap();
    let mut follower = Follower::new(path.clone(), 3).unwrap();
    let first = chunk(&mut follower).await;
    assert_eq!(first.lines, ["one", "two"]);
    assert_eq!((first.first_line, first.restarted), (0, false));

    append(&path, " of it\n");
    let more = chunk(&mut follower).await;
    assert_eq!(more.lines, ["half of it"]);
    assert_eq!((more.first_line, more.restarted), (2, false));

    append(&path, "lost half");
    std::fs::write(dir.path().join("new"), "\x1b[2Jbooted\n").unwrap();
    std::fs::rename(dir.path().join("new"), &path).unwrap();
    let anew = chunk(&mut follower).await;
    assert_eq!(anew.lines, ["booted"]);
    assert_eq!((anew.first_line, anew.restarted), (3, true));

    std::fs::write(&path, "cut\n").unwrap();
    let cut = chunk(&mut follower).await;
    assert_eq!(cut.lines, ["cut"]);
    assert!(cut.restarted);
}

#[tokio::test]
async fn a_log_and_its_folders_may_come_late() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home/instances/default/logs/serial.log");
    let mut follower = Follower::new(path.clone(), 10).unwrap();
    let early = tokio::time::timeout(Duration::from_millis(20), follower.next()).await;
    assert!(early.is_err(), "there is nothing yet");
    let write = async {
        for folder in ["home", "home/instances", "home/instances/default/logs"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            tokio::task::yield_now().await;
        }
        std::fs::write(&path, "hello\n").unwrap();
    };
    let (chunk, ()) = tokio::join!(chunk(&mut follower), write);
    assert_eq!(chunk.lines, ["hello"]);
    assert!(!chunk.restarted);
}

#[tokio::test]
async fn a_call_that_was_dropped_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("serial.log");
    std::fs::write(&path, "").unwrap();
    let mut follower = Follower::new(path.clone(), 0).unwrap();
    let mut lines = Vec::new();
    for n in 0..30 {
        let given_up = tokio::time::timeout(Duration::from_millis(1), follower.next_lines());
        if let Ok(chunk) = given_up.await {
            lines.extend(chunk.unwrap().lines);
        }
        append(&path, &format!("{n}\n"));
    }
    while lines.len() < 30 {
        lines.extend(chunk(&mut follower).await.lines);
    }
    let all: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    assert_eq!(lines, all);
}

proptest! {
    #[test]
    fn lines_are_the_same_however_they_come(
        text in "([a-zäß]{0,20}\n){0,9}[a-z]{0,5}",
        cut in 0usize..100,
    ) {
        let mut cut = cut.min(text.len());
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let (first, second) = text.split_at(cut);
        let mut partial = String::new();
        let mut lines = split(&mut partial, first);
        lines.extend(split(&mut partial, second));
        let mut whole: Vec<_> = text.split('\n').map(ToOwned::to_owned).collect();
        let rest = whole.pop().unwrap_or_default();
        prop_assert_eq!(lines, whole);
        prop_assert_eq!(partial, rest);
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory(length in 0usize..50_000) {
        let mut partial = String::new();
        let lines = split(&mut partial, &"x".repeat(length));
        prop_assert!(partial.len() < MAX_LINE_BYTES);
        prop_assert_eq!(lines.concat().len() + partial.len(), length);
    }
}
