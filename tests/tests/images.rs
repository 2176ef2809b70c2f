//! Several images side by side: listed, chosen, removed, and kept within limits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use e2e::{PLACEHOLDER_PCK, Run, World, image, slow_image, try_client_key};
use serde_json::Value;

/// A home with the starter image, called `starter.qcow2`, and the slow one,
/// called `slow.qcow2`; the one pulled last is chosen.
fn two_images() -> World {
    let world = World::without_image();
    for (from, name) in [(image(), "starter"), (slow_image(), "slow")] {
        let folder = world.user_home().join(name);
        fs::create_dir_all(&folder).unwrap();
        let to = folder.join(format!("{name}.qcow2"));
        fs::copy(&from, &to).unwrap();
        fs::copy(from.with_extension("json"), to.with_extension("json")).unwrap();
        pull(&world, &to);
    }
    world
}

fn pull(world: &World, file: &std::path::Path) {
    world
        .run(["pull", "--skip-snapshot", "--file", file.to_str().unwrap()])
        .ok();
}

fn list(world: &World) -> Value {
    world.run(["images", "--json"]).ok().json()
}

/// The entry of the image that is called `name`.
fn entry(world: &World, name: &str) -> Value {
    let list = list(world);
    let images = list["images"].as_array().unwrap().clone();
    let called = |image: &&Value| image["references"][0]["name"] == name;
    images
        .iter()
        .find(called)
        .unwrap_or_else(|| panic!("no {name} in {list}"))
        .clone()
}

fn use_image(world: &World, name: &str) -> Run {
    world.run(["images", "use", name, "--json"])
}

#[test]
fn one_of_several_is_in_use_and_cannot_be_removed() {
    let world = two_images();
    assert_eq!(entry(&world, "slow.qcow2")["chosen"], true);
    assert_eq!(entry(&world, "starter.qcow2")["chosen"], false);
    use_image(&world, "starter.qcow2").ok();
    assert_eq!(entry(&world, "starter.qcow2")["uses"][0]["tie"], "chosen");
    // Another instance goes its own way, and its choice counts as well.
    let digest = entry(&world, "slow.qcow2")["digest"].as_str().unwrap()[..12].to_owned();
    world
        .run(["images", "use", &digest, "--instance", "ci"])
        .ok();
    assert_eq!(entry(&world, "starter.qcow2")["chosen"], true);

    let remove = |name: &str| world.run(["images", "remove", name, "--json"]);
    let refused = remove("slow.qcow2").fails_with(1);
    assert_eq!(refused.error_code(), "image_in_use");
    let error = refused.json()["error"].clone();
    assert!(
        error["message"].as_str().unwrap().contains("instance ci"),
        "{error}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("--instance ci"),
        "{error}"
    );
    // The way out that it names.
    world
        .run(["images", "use", "--none", "--instance", "ci"])
        .ok();
    let removed = remove("slow.qcow2").ok().json();
    assert!(
        removed["freed_bytes"].as_u64() >= Some(50_000_000),
        "{removed}"
    );
    assert_eq!(
        remove("slow.qcow2").fails_with(1).error_code(),
        "image_unknown"
    );
    assert_eq!(list(&world)["images"].as_array().unwrap().len(), 1);
}

#[test]
fn sizes_are_what_is_taken_on_disk() {
    let world = two_images();
    let list = list(&world);
    let mut total = 0;
    for image in list["images"].as_array().unwrap() {
        let path = PathBuf::from(image["path"].as_str().unwrap());
        let files = fs::read_dir(path.parent().unwrap()).unwrap().flatten();
        let blocks: u64 = files
            .map(|file| file.metadata().unwrap().blocks() * 512)
            .sum();
        let told = image["bytes_on_disk"].as_u64().unwrap();
        let folder = fs::metadata(path.parent().unwrap()).unwrap().blocks() * 512;
        assert_eq!(told, blocks + folder, "{image}");
        total += told;
    }
    assert_eq!(list["bytes_on_disk"].as_u64(), Some(total), "{list}");
}

#[test]
fn a_snapshot_waits_for_its_image_and_goes_with_it() {
    let world = two_images();
    world.run(["capture", "--json"]).ok();
    let slow = world.snapshot();
    use_image(&world, "starter.qcow2").ok();
    world.run(["capture", "--json"]).ok();
    let starter = world.snapshot();
    assert_ne!(slow, starter);
    assert!(slow.exists(), "the snapshot of the other image is kept");
    let used = use_image(&world, "slow.qcow2").ok().json();
    assert_eq!(used["has_snapshot"], true, "{used}");
    assert_eq!(world.snapshot(), slow);
    use_image(&world, "starter.qcow2").ok();
    assert_eq!(world.start()["start"]["kind"], "resumed");
    assert_eq!(world.snapshot(), starter);

    // A session holds its image fast, running and stopped.
    assert_eq!(
        use_image(&world, "slow.qcow2").fails_with(1).error_code(),
        "running"
    );
    let refused = |name: &str| {
        world
            .run(["images", "remove", name, "--json"])
            .fails_with(1)
    };
    assert_eq!(refused("starter.qcow2").error_code(), "image_in_use");
    assert_eq!(entry(&world, "starter.qcow2")["uses"][0]["tie"], "running");
    world.stop();
    assert_eq!(entry(&world, "starter.qcow2")["uses"][0]["tie"], "session");
    assert_eq!(
        use_image(&world, "slow.qcow2").fails_with(1).error_code(),
        "session_kept"
    );
    assert_eq!(refused("starter.qcow2").error_code(), "image_in_use");
    world
        .run([
            "images",
            "prune",
            "--all",
            "--limit",
            "0B",
            "--archive-after",
            "0",
        ])
        .ok();
    assert!(
        !slow.exists() && starter.exists(),
        "what nobody uses is gone, with its snapshot"
    );
    assert_eq!(world.start()["start"]["kind"], "continued");
    world.discard();

    // Not used for long, it is compressed; the next start unpacks it.
    let before = entry(&world, "starter.qcow2")["snapshots"][0]["bytes_on_disk"]
        .as_u64()
        .unwrap();
    let pruned = world
        .run(["images", "prune", "--archive-after", "0", "--json"])
        .ok()
        .json();
    let archived = &pruned["archived"][0];
    assert!(
        archived["after_bytes"].as_u64().unwrap() * 2 < before,
        "{pruned}"
    );
    assert!(!starter.exists());
    assert_eq!(
        entry(&world, "starter.qcow2")["snapshots"][0]["archived"],
        true
    );
    let run = world.run(["start", "--json"]).ok();
    assert!(run.stderr.contains("compressed"), "{}", run.stderr);
    assert_eq!(run.json()["start"]["kind"], "resumed", "{}", run.stdout);
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    assert_eq!(
        entry(&world, "starter.qcow2")["snapshots"][0]["archived"],
        false
    );
    world.discard();

    use_image(&world, "--none").ok();
    let snapshot = world.snapshot();
    world.run(["images", "remove", "starter.qcow2"]).ok();
    assert!(!snapshot.exists(), "a snapshot goes with its image");
}

#[test]
fn a_limit_takes_what_was_not_used_for_longest() {
    let world = two_images();
    world.run(["images", "use", "--none"]).ok();
    let total = list(&world)["bytes_on_disk"].as_u64().unwrap();
    let prune = |limit: u64| {
        let limit = format!("{limit}B");
        world
            .run(["images", "prune", "--limit", &limit, "--json"])
            .ok()
            .json()
    };
    assert_eq!(prune(total)["removed"].as_array().unwrap().len(), 0);
    let pruned = prune(total - 1);
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 1, "{pruned}");
    let left = list(&world);
    assert_eq!(
        left["images"][0]["references"][0]["name"], "slow.qcow2",
        "{left}"
    );

    // What is chosen stays, whatever the limit, and that is said.
    use_image(&world, "slow.qcow2").ok();
    let pruned = prune(0);
    assert!(pruned["over_limit_bytes"].as_u64() > Some(0), "{pruned}");

    // As a setting, a pull looks after it; not while another instance is busy, which
    // may be about to choose what nobody seems to use.
    world.run(["settings", "set", "cache-limit", "1MB"]).ok();
    let settings = world.run(["settings", "--json"]).ok().json();
    assert_eq!(settings["settings"][0]["value"], "1MB", "{settings}");
    let other = ["images", "use", "--none", "--instance", "ci"];
    world.run(other).ok();
    let lock = world.emulator_home.join("instances/ci/lock");
    let busy = fs::File::open(lock).unwrap();
    busy.lock().unwrap();
    pull(&world, &world.user_home().join("starter/starter.qcow2"));
    assert_eq!(list(&world)["images"].as_array().unwrap().len(), 2);
    busy.unlock().unwrap();
    pull(&world, &world.user_home().join("starter/starter.qcow2"));
    let left = list(&world);
    assert_eq!(left["images"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!(
        left["images"][0]["references"][0]["name"], "starter.qcow2",
        "{left}"
    );
}

#[test]
fn a_damaged_image_is_noticed_and_replaced_by_pulling_it_again() {
    let world = two_images();
    let path = PathBuf::from(entry(&world, "slow.qcow2")["path"].as_str().unwrap());
    // Its manifest would tell as well; without one, its name in the store does.
    fs::remove_file(path.with_extension("json")).unwrap();
    let bytes = fs::metadata(&path).unwrap().len();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(bytes + 65536).unwrap();
    let run = world.run(["start", "--json"]).fails_with(1);
    assert_eq!(run.error_code(), "image_damaged", "{}", run.stdout);
    pull(&world, &world.user_home().join("slow/slow.qcow2"));
    assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
    assert!(path.with_extension("json").exists());
}

#[test]
fn a_home_can_be_moved() {
    let world = two_images();
    let moved = world.copy();
    fs::rename(&world.emulator_home, world.user_home().join("away")).unwrap();
    let list = list(&moved);
    assert_eq!(list["images"].as_array().unwrap().len(), 2, "{list}");
    assert_eq!(entry(&moved, "slow.qcow2")["chosen"], true, "{list}");
    let image = moved.run(["status", "--json"]).json()["image"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(std::path::Path::new(&image).exists(), "{image}");
}
