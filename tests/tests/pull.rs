//! Pulls over real HTTP: from a release, a pull request and a run to a started
//! emulator; cut short anywhere; two at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use e2e::{PLACEHOLDER_PCK, World, image, try_client_key};
use release_server::{
    Artifact, Asset, Content, Fault, FaultKind, Pull, Recorded, Release, Run, Scenario, Server,
};
use rustix::process::{Pid, Signal, kill_process};

const TOKEN: &str = "ghp_end_to_end";
const COMMIT: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
/// Where the disk image of the release is downloaded from.
const DISK: &str = "/storage/asset/1";

/// The starter image as a release, a pull request's build and a run's.
fn scenario() -> Scenario {
    let (disk, manifest) = (image(), image().with_extension("json"));
    let asset = |id, file: &Path| Asset {
        id,
        name: file.file_name().unwrap().to_str().unwrap().to_owned(),
        file: file.to_owned(),
        // Not old, whenever this is run: the age of an old one is said.
        updated_at: "9000-01-01T00:00:00Z".into(),
        ..Asset::default()
    };
    let release = |tag: &str, first: u64| Release {
        tag: tag.to_owned(),
        name: format!("Emulator {tag}"),
        prerelease: true,
        published_at: "2026-11-20T08:00:00Z".to_owned(),
        target: COMMIT.to_owned(),
        commit: COMMIT.to_owned(),
        assets: vec![asset(first, &disk), asset(first + 1, &manifest)],
        ..Release::default()
    };
    let run = |id: u64, branch: &str| Run {
        id,
        head_sha: COMMIT.to_owned(),
        head_branch: branch.to_owned(),
        created_at: "2026-11-21T08:00:00Z".to_owned(),
        artifacts: vec![Artifact {
            id: id + 1000,
            name: "qemu-emulator-amd64".to_owned(),
            files: vec![disk.clone(), manifest.clone()],
            ..Artifact::default()
        }],
        ..Run::default()
    };
    Scenario {
        repository: "stack-auth/stack-auth".to_owned(),
        tokens: vec![TOKEN.to_owned()],
        releases: vec![
            release("emulator-dev-latest", 1),
            release("emulator-dev-20261120-4b825dc", 11),
        ],
        pulls: vec![Pull {
            number: 12,
            title: "Faster sign-in".to_owned(),
            head_sha: COMMIT.to_owned(),
            head_branch: "faster".to_owned(),
            head_repository: "stack-auth/stack-auth".to_owned(),
        }],
        runs: vec![run(99, "faster"), run(98, "dev")],
        contents: vec![
            Content {
                path: "apps/backend/.env.development".to_owned(),
                text: "FROM_BACKEND=1\n".to_owned(),
                ..Content::default()
            },
            Content {
                path: "apps/dashboard/.env.development".to_owned(),
                text: "FROM_DASHBOARD=1\n".to_owned(),
                ..Content::default()
            },
        ],
        ..Scenario::default()
    }
}

/// A home without an image, and a server that has some.
fn world() -> (World, Server) {
    let server = Server::start(scenario()).unwrap();
    let mut world = World::without_image();
    world.set("STACK_EMULATOR_GITHUB_API", server.api());
    world.set("GITHUB_TOKEN", TOKEN);
    (world, server)
}

/// That there is room is asked before anything is received: for a release its length,
/// for a build that and as much again for what is in it.
#[test]
fn what_does_not_fit_on_the_disk_is_not_begun() {
    let server = Server::start(scenario()).unwrap();
    let mib = fs::metadata(image()).unwrap().len() >> 20;
    let cases: [(&[&str], u64); 2] = [(&[], mib / 2), (&["--run", "98"], mib + mib / 2 + 64)];
    for (arguments, free) in cases {
        let mut world = World::without_image().copy_to_small_disk(free);
        world.set("STACK_EMULATOR_GITHUB_API", server.api());
        world.set("GITHUB_TOKEN", TOKEN);
        server.forget_requests();
        let pull = [&["pull", "--skip-snapshot", "--json"], arguments].concat();
        let refused = world.run(&pull).fails_with(1);
        assert_eq!(refused.error_code(), "disk_full", "{}", refused.stdout);
        assert!(
            world.disk().used() < 8 << 20,
            "as good as nothing was written"
        );
        // What that was for fits, then, and goes in.
        world.disk().resize(3 * mib + 128);
        world.run(&pull).ok();
    }
}

/// The settings are made from two files of the repository, which may not be had at first.
#[test]
fn settings_that_could_not_be_made_are_made_by_the_next_pull() {
    let (world, server) = world();
    let pull = ["pull", "--skip-snapshot", "--json"];
    server.set_faults(vec![Fault::always(
        "/contents/",
        FaultKind::RateLimited { reset_in: 3600 },
    )]);
    let without = world.run(pull).ok().json();
    assert_eq!(without["outcome"], "installed", "{without}");
    let warnings = without["warnings"].to_string();
    assert!(warnings.contains("could not be made"), "{warnings}");
    let disk = PathBuf::from(without["image"]["path"].as_str().unwrap());
    let settings = disk.with_extension("base.env");
    assert!(!settings.exists());

    server.set_faults(vec![]);
    let with = world.run(pull).ok().json();
    assert_eq!(with["outcome"], "already_installed", "{with}");
    assert_eq!(with["warnings"].as_array().unwrap().len(), 0, "{with}");
    let text = fs::read_to_string(&settings).unwrap();
    assert!(text.contains("FROM_BACKEND=1") && text.contains("FROM_DASHBOARD=1"));
    let before = downloads(&server, "/contents/").len();
    world.run(pull).ok();
    assert_eq!(downloads(&server, "/contents/").len(), before, "once");
}

/// Requests for the content of files.
fn downloads(server: &Server, path: &str) -> Vec<Recorded> {
    let mut requests = server.requests();
    requests.retain(|request| request.path.contains(path) && matches!(request.status, 200 | 206));
    requests
}

#[track_caller]
fn no_token_at_the_storage(server: &Server) {
    let requests = server.requests();
    let at_storage = |request: &&Recorded| request.path.starts_with("/storage");
    assert!(requests.iter().any(|request| at_storage(&request)));
    for request in requests.iter().filter(at_storage) {
        assert!(!request.has_token(), "{request:?}");
    }
    assert!(requests.iter().any(Recorded::has_token));
}

/// Pulls by `arguments`, starts, and looks at what came of it.
fn pull_and_start(arguments: &[&str], name: &str, verified: &str) {
    let (world, server) = world();
    let pull = [&["pull", "--json"], arguments].concat();
    let pulled = world.run(&pull).ok().json();
    assert_eq!(pulled["outcome"], "installed", "{pulled}");
    assert_eq!(pulled["image"]["verified"], verified, "{pulled}");
    assert_eq!(pulled["chosen"], true, "{pulled}");
    assert!(pulled["snapshot"]["snapshot"]["id"].is_string(), "{pulled}");
    assert!(pulled["received_bytes"].as_u64() >= Some(fs::metadata(image()).unwrap().len()));
    no_token_at_the_storage(&server);

    let started = world.start();
    assert_eq!(started["start"]["kind"], "resumed", "{started}");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    assert_eq!(try_client_key(&world.secret("pck")), 200);

    let listed = world.run(["images", "--json"]).ok().json();
    let entry = &listed["images"][0];
    assert_eq!(entry["references"][0]["name"], name, "{listed}");
    assert_eq!(entry["uses"][0]["tie"], "running", "{listed}");
    assert_eq!(entry["snapshots"].as_array().unwrap().len(), 1, "{listed}");
    let refused = world
        .run(["images", "remove", name, "--json"])
        .fails_with(1);
    assert_eq!(refused.error_code(), "image_in_use");
    world.discard();

    // What is here is neither got nor captured again.
    server.forget_requests();
    let again = world.run(&pull).ok().json();
    assert_eq!(again["outcome"], "already_installed", "{again}");
    assert!(again["snapshot"].is_null(), "{again}");
    assert_eq!(downloads(&server, "/storage").len(), 0);
}

#[test]
fn from_a_release_to_a_started_emulator() {
    pull_and_start(&[], "emulator-dev-latest", "release");
}

#[test]
fn from_a_pull_request_to_a_started_emulator() {
    pull_and_start(&["--pr", "12"], "pr-12", "artifact");
}

#[test]
fn from_a_run_to_a_started_emulator() {
    pull_and_start(&["--run", "98"], "run-98", "artifact");
}

#[test]
fn a_start_without_an_image_pulls_one_and_says_so_first() {
    let (world, _server) = world();
    let run = world.run(["start", "--json"]).ok();
    assert_eq!(run.json()["start"]["kind"], "resumed", "{}", run.stdout);
    let first = run.stderr.lines().next().unwrap_or_default();
    assert!(first.contains("There is no image yet"), "{}", run.stderr);
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    world.discard();
}

#[test]
fn two_tags_of_one_image_take_the_space_once() {
    let (world, server) = world();
    world.run(["pull", "--skip-snapshot"]).ok();
    let before = world.run(["images", "--json"]).ok().json();
    server.forget_requests();
    let tag = "emulator-dev-20261120-4b825dc";
    let again = world
        .run(["pull", "--tag", tag, "--skip-snapshot", "--json"])
        .ok()
        .json();
    assert_eq!(again["outcome"], "already_installed", "{again}");
    assert_eq!(
        downloads(&server, "/storage").len(),
        0,
        "the release states the digest"
    );
    let after = world.run(["images", "--json"]).ok().json();
    assert_eq!(after["images"].as_array().unwrap().len(), 1, "{after}");
    assert_eq!(
        after["images"][0]["references"].as_array().unwrap().len(),
        2,
        "{after}"
    );
    assert_eq!(after["bytes_on_disk"], before["bytes_on_disk"]);
    // The settings were made from the commit's files, and lie beside the image.
    let path = PathBuf::from(after["images"][0]["path"].as_str().unwrap());
    let disk = fs::read(&path).unwrap();
    assert!(
        disk == fs::read(image()).unwrap(),
        "it is the image, byte for byte"
    );
    let releases = world.run(["releases", "--json"]).ok().json();
    assert_eq!(
        releases["releases"][0]["tag"], "emulator-dev-latest",
        "{releases}"
    );
}

/// What is there of a download that was cut short, in bytes.
fn partial(world: &World) -> Option<u64> {
    let folders = fs::read_dir(world.emulator_home.join("images/incoming")).ok()?;
    let files = folders
        .flatten()
        .filter_map(|folder| fs::read_dir(folder.path()).ok());
    let mut parts = files.flatten().flatten().filter(|file| {
        file.file_name()
            .to_str()
            .is_some_and(|name| name.ends_with(".qcow2.part"))
    });
    Some(parts.next()?.metadata().ok()?.len())
}

/// Waits until the download has come so far, or the command has ended.
fn wait_for_bytes(world: &World, child: &mut Child, bytes: u64) {
    let begun = Instant::now();
    while partial(world).is_none_or(|there| there < bytes) {
        if child.try_wait().unwrap().is_some() {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "no {bytes} bytes in two minutes"
        );
        // There is no event for a file's length.
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn killed_anywhere_a_pull_goes_on_where_it_was() {
    let (world, server) = world();
    let bytes = fs::metadata(image()).unwrap().len();
    let pull = ["pull", "--skip-snapshot", "--json"];
    // Slow enough that a kill finds it on the way.
    let slow = FaultKind::Slow { rate: 100_000_000 };
    server.set_faults(vec![Fault::always(DISK, slow)]);
    let mut seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    let mut points: Vec<u64> = (0..10)
        .map(|_| {
            // An LCG's high bits are random enough to choose where to kill.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 16) % bytes
        })
        .collect();
    points.sort_unstable();
    let mut expected = vec![0];
    for point in &points {
        let mut child = world.spawn(pull);
        wait_for_bytes(&world, &mut child, *point);
        child.kill().ok();
        child.wait().unwrap();
        assert!(
            !world
                .emulator_home
                .join("images")
                .read_dir()
                .unwrap()
                .any(|entry| {
                    entry
                        .unwrap()
                        .file_name()
                        .to_string_lossy()
                        .starts_with("sha256-")
                }),
            "killed at {point} of {bytes}: {points:?}"
        );
        expected.extend(partial(&world));
    }
    server.set_faults(vec![]);
    let pulled = world.run(pull).ok().json();
    assert_eq!(pulled["image"]["verified"], "release", "{pulled}");
    let path = pulled["image"]["path"].as_str().unwrap();
    assert!(
        fs::read(path).unwrap() == fs::read(image()).unwrap(),
        "{points:?}"
    );

    // Each request began at the end of what the one before had left on disk: no
    // byte was asked for twice. A kill before the request leaves none behind.
    let mut starts: Vec<_> = downloads(&server, DISK)
        .iter()
        .map(Recorded::range_start)
        .collect();
    starts.dedup();
    for start in &starts {
        assert!(
            expected.contains(start),
            "{start} of {expected:?}, {points:?}"
        );
    }
    assert!(starts.is_sorted(), "{starts:?}");
    assert!(
        starts.len() > 5,
        "the kills found it on the way: {starts:?}"
    );
    let left: Vec<_> = fs::read_dir(world.emulator_home.join("images/incoming"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn ctrl_c_stops_a_pull_that_then_goes_on() {
    let (world, server) = world();
    let slow = FaultKind::Slow { rate: 50_000_000 };
    server.set_faults(vec![Fault::always(DISK, slow)]);
    let mut child = world.spawn(["pull", "--skip-snapshot", "--json"]);
    wait_for_bytes(&world, &mut child, 20_000_000);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let there = partial(&world).unwrap();
    assert!(there >= 20_000_000);
    let listed = world.run(["images", "--json"]).ok().json();
    assert!(
        listed["interrupted_bytes"].as_u64() >= Some(there),
        "{listed}"
    );
    server.set_faults(vec![]);
    server.forget_requests();
    let pulled = world.run(["pull", "--skip-snapshot", "--json"]).ok().json();
    let bytes = fs::metadata(image()).unwrap().len();
    assert_eq!(downloads(&server, DISK)[0].range_start(), there, "{pulled}");
    let sent: u64 = downloads(&server, DISK)
        .iter()
        .map(|request| request.sent)
        .sum();
    assert_eq!(sent, bytes - there);
}

#[test]
fn two_pulls_at_once_share_one_download() {
    let (world, server) = world();
    let slow = FaultKind::Slow { rate: 100_000_000 };
    server.set_faults(vec![Fault::always(DISK, slow)]);
    let pull = ["pull", "--skip-snapshot", "--json"];
    let (one, two) = (world.spawn(pull), world.spawn(pull));
    let mut outcomes = Vec::new();
    for child in [one, two] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        outcomes.push(report["outcome"].as_str().unwrap().to_owned());
    }
    outcomes.sort();
    assert_eq!(outcomes, ["already_installed", "installed"]);
    assert_eq!(downloads(&server, DISK).len(), 1);
}

/// People without a checkout get an image, too: the program's own repository has the starter.
#[test]
fn where_the_default_repository_has_no_image_the_starter_is_one_command_away() {
    let own = Scenario {
        repository: "owner/name".to_owned(),
        ..scenario()
    };
    let server = Server::start(own).unwrap();
    let mut world = World::without_image();
    world.set("STACK_EMULATOR_GITHUB_API", server.api());
    let refused = |world: &World, arguments: &[&str]| {
        let run = world.run([arguments, &["--json"]].concat()).fails_with(1);
        let error = run.json()["error"].clone();
        let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("code"), "github_not_found", "{error}");
        (text("message"), text("hint"))
    };
    let (_, hint) = refused(&world, &["pull"]);
    assert!(hint.contains("pull --repo OWNER/NAME"), "{hint}");
    world.set("STACK_EMULATOR_UPDATES", "owner/name");
    for command in ["pull", "start"] {
        let (message, hint) = refused(&world, &[command]);
        let expected = "the repository stack-auth/stack-auth has no image for";
        assert!(message.starts_with(expected), "{message}");
        assert!(
            hint.contains("`stack-emulator pull --repo owner/name`"),
            "{hint}"
        );
    }
    // Whoever asks for a certain release means that one.
    let (_, hint) = refused(&world, &["pull", "--tag", "emulator-none"]);
    assert!(!hint.contains("--repo"), "{hint}");
    let pull = ["pull", "--repo", "owner/name", "--skip-snapshot", "--json"];
    let pulled = world.run(pull).ok().json();
    assert_eq!(pulled["outcome"], "installed", "{pulled}");

    // A release that is there, and has no image.
    let mut empty = scenario();
    for release in &mut empty.releases {
        release.assets.clear();
    }
    server.set_scenario(empty);
    let run = world.run(["pull", "--json"]).fails_with(1);
    assert_eq!(run.error_code(), "no_asset", "{}", run.stdout);
    assert!(
        run.stdout.contains("pull --repo owner/name"),
        "{}",
        run.stdout
    );
}

#[test]
fn what_cannot_be_had_is_said_with_a_remedy() {
    let (world, server) = world();
    let fails = |arguments: &[&str]| {
        let run = world
            .run([&["pull", "--json"], arguments].concat())
            .fails_with(1);
        let error = run.json()["error"].clone();
        (
            error["code"].as_str().unwrap().to_owned(),
            format!("{} {}", error["message"], error["hint"]),
        )
    };
    for (arguments, said) in [
        (["--tag", "emulator-none"], "emulator-none"),
        (["--pr", "77"], "77"),
        (["--run", "77"], "77"),
        (["--file", "/no/such.qcow2"], "/no/such.qcow2"),
        (["--repo", "nobody/nothing"], "nobody/nothing"),
    ] {
        let (code, text) = fails(&arguments);
        assert!(text.contains(said), "{code}: {text}");
    }
    // A byte of the image is another one: found, and not installed.
    server.set_faults(vec![Fault::always(DISK, FaultKind::Corrupt { at: 70_000 })]);
    let (code, text) = fails(&["--skip-snapshot"]);
    assert!(
        text.contains("SHA-256") || code.contains("digest"),
        "{code}: {text}"
    );
    let listed = world.run(["images", "--json"]).ok().json();
    assert_eq!(listed["images"].as_array().unwrap().len(), 0, "{listed}");
    server.set_faults(vec![Fault::always(
        "/repos",
        FaultKind::RateLimited { reset_in: 600 },
    )]);
    let (code, text) = fails(&[]);
    assert!(code.contains("rate"), "{code}: {text}");
    for text in [text, format!("{:?}", world.run(["pull", "--verbose"]))] {
        assert!(!text.contains(TOKEN), "{text}");
    }
}
