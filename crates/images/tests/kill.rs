//! `kill -9` at random points of a pull, then another pull: nothing is
//! downloaded again that was there, and the result is the same.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use common::{DISK_PATH, World, content};
use release_server::{Fault, FaultKind};

const LENGTH: usize = 24 << 20;
const KILLS: usize = 10;

/// The example `pull`. Cargo builds it for a test run of the whole package, but
/// not for one of this file alone.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--example",
                "pull",
                "--message-format",
                "json",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        String::from_utf8(built.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|message| message["target"]["name"] == "pull")
            .and_then(|message| Some(message["executable"].as_str()?.into()))
            .unwrap()
    })
}

fn pull(world: &World) -> Child {
    Command::new(program())
        .args([world.server.api(), "owner/name", "emulator-dev-latest"])
        .arg(world.staging())
        .env("NO_PROXY", "*")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn killed_at_ten_random_points_no_byte_comes_twice() {
    let world = World::with(content(LENGTH, 5));
    // Slow enough to be hit in its middle.
    world.server.set_faults(vec![Fault::always(
        DISK_PATH,
        FaultKind::Slow { rate: 30 << 20 },
    )]);
    let mut random = 0x5eed_u64 ^ u64::from(std::process::id());
    let mut left = Vec::new();
    for kill in 0..KILLS {
        let mut child = pull(&world);
        // A length that the file is to pass before the kill: another tenth each time.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let tenth = LENGTH / (KILLS + 1);
        let point = tenth * kill + usize::try_from(random >> 33).unwrap() % tenth;
        // There is no event for a growing file of another process.
        while length(&world) < point as u64 {
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "it ended before byte {point}"
            );
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        left.push(length(&world));
    }
    let mut child = pull(&world);
    assert!(child.wait().unwrap().success());

    let starts: Vec<u64> = world.transfers().iter().map(|(from, _)| *from).collect();
    // One that was killed before it asked has no request; it then has left nothing either.
    let mut expected: Vec<u64> = std::iter::once(0).chain(left.iter().copied()).collect();
    expected.dedup();
    let mut asked = starts.clone();
    asked.dedup();
    assert_eq!(
        asked, expected,
        "each goes on exactly where the one before it was killed"
    );
    let requests = world.server.requests();
    assert!(
        requests
            .iter()
            .all(|request| !request.path.starts_with("/storage/") || request.status < 300)
    );

    let disk = std::fs::read_dir(world.staging())
        .unwrap()
        .map(|folder| folder.unwrap().path().join(common::DISK))
        .find(|disk| disk.exists())
        .unwrap();
    assert!(std::fs::read(disk).unwrap() == world.disk);
    // And a pull that has nothing left to do transfers nothing.
    world.server.forget_requests();
    assert!(pull(&world).wait().unwrap().success());
    assert_eq!(world.transfers(), []);
}

fn length(world: &World) -> u64 {
    world
        .parts()
        .first()
        .map_or(0, |part| part.metadata().map_or(0, |meta| meta.len()))
}

#[test]
fn the_second_process_waits_for_the_first_and_downloads_nothing() {
    let world = World::with(content(4 << 20, 6));
    world.server.set_faults(vec![Fault::always(
        DISK_PATH,
        FaultKind::Slow { rate: 8 << 20 },
    )]);
    let children = [pull(&world), pull(&world), pull(&world)];
    let mut digests = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        digests.push(said["digest"].as_str().unwrap().to_owned());
    }
    assert_eq!(digests, vec![world.digest().to_string(); 3]);
    assert_eq!(world.transfers().len(), 1);
}

#[test]
fn memory_is_flat_at_any_size() {
    let peaks: Vec<u64> = [8, 128]
        .into_iter()
        .map(|mib| {
            let world = World::with(content(mib << 20, 7));
            let output = pull(&world).wait_with_output().unwrap();
            assert!(output.status.success());
            let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            said["peak_kib"].as_u64().unwrap()
        })
        .collect();
    // What is under way at most: 16 chunks of 400 KiB, and buffers.
    assert!(
        peaks[1] < peaks[0] + (24 << 10),
        "KiB at 8 and 128 MiB: {peaks:?}"
    );
}

#[test]
fn the_system_s_proxy_is_asked() {
    let world = World::with(content(10_000, 8));
    // As a proxy it gets whole addresses, of which it only looks at the path.
    let status = Command::new(program())
        .args([
            "http://127.0.0.1.example.invalid/",
            "owner/name",
            "emulator-dev-latest",
        ])
        .arg(world.staging())
        .env("HTTP_PROXY", world.server.api())
        .env("http_proxy", world.server.api())
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .status()
        .unwrap();
    assert!(status.success());
    assert!(
        world
            .server
            .requests()
            .iter()
            .any(|request| request.headers["host"].contains("invalid"))
    );
}
