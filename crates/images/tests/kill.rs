//! `kill -9` at random points of a pull, then another pull: nothing is
//! downloaded again that was there, and the result is the same.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::process::{Child, Command, Stdio};

use common::{DISK_PATH, World, content, repo, tag};
use images::Url;
use images::fetch::{FetchOptions, claim, fetch};
use images::github::{GitHub, Options};
use images::source::{Arch, resolve};
use progress::Silent;
use release_server::{Fault, FaultKind};

const LENGTH: usize = 24 << 20;
const KILLS: usize = 10;

/// Set for a process that is to pull: API, and staging folder.
const CHILD: [&str; 2] = ["IMAGES_TEST_PULL_API", "IMAGES_TEST_PULL_STAGING"];

/// Not a test but the other process of the tests: this very program, told by its
/// environment to pull. Says what came of it in one line of JSON.
#[test]
fn the_process_that_pulls() {
    let [Ok(api), Ok(staging)] = CHILD.map(std::env::var) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let fetched = runtime.block_on(async {
        let github = GitHub::new(Options {
            api: Some(Url::parse(&api).unwrap()),
            ..Options::default()
        })
        .unwrap();
        let resolved = resolve(&github, &repo(), &tag(), Arch::Amd64, &Silent)
            .await
            .unwrap();
        let claim = claim(&resolved, staging.as_ref(), &Silent).await.unwrap();
        let options = FetchOptions::default();
        fetch(&github, &resolved, &claim, options, &Silent)
            .await
            .unwrap()
    });
    let peak = std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        });
    let peak: u64 = peak.unwrap();
    println!(
        "\n{}",
        serde_json::json!({ "digest": fetched.digest, "peak_kib": peak })
    );
}

fn command(api: &str, world: &World) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_process_that_pulls", "--nocapture"])
        .env(CHILD[0], api)
        .env(CHILD[1], world.staging())
        .stdout(Stdio::piped());
    command
}

fn pull(world: &World) -> Child {
    let mut command = command(world.server.api(), world);
    command.env("NO_PROXY", "*").spawn().unwrap()
}

/// What a process that has ended well has said.
fn said(child: Child) -> serde_json::Value {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap()).unwrap()
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
    assert_eq!(said(pull(&world))["digest"], world.digest().to_string());

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
    // Not `assert_eq!`: megabytes would be printed.
    let same = std::fs::read(disk).unwrap() == world.disk;
    assert!(same, "the disk is not what was served");
    // And a pull that has nothing left to do transfers nothing.
    world.server.forget_requests();
    said(pull(&world));
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
    for child in children {
        assert_eq!(said(child)["digest"], world.digest().to_string());
    }
    assert_eq!(world.transfers().len(), 1);
}

#[test]
fn memory_is_flat_at_any_size() {
    let peaks: Vec<u64> = [8, 128]
        .into_iter()
        .map(|mib| {
            let world = World::with(content(mib << 20, 7));
            said(pull(&world))["peak_kib"].as_u64().unwrap()
        })
        .collect();
    // What is under way at most: 12 blocks of 512 KiB, and buffers.
    assert!(
        peaks[1] < peaks[0] + (24 << 10),
        "KiB at 8 and 128 MiB: {peaks:?}"
    );
}

#[test]
fn the_system_s_proxy_is_asked() {
    let world = World::with(content(10_000, 8));
    // As a proxy it gets whole addresses, of which it only looks at the path.
    let child = command("http://api.example.invalid/", &world)
        .env("HTTP_PROXY", world.server.api())
        .env("http_proxy", world.server.api())
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .spawn()
        .unwrap();
    assert_eq!(said(child)["digest"], world.digest().to_string());
    assert!(
        world
            .server
            .requests()
            .iter()
            .any(|request| request.headers["host"].contains("invalid"))
    );
}
