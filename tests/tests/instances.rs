//! Several instances of one home: listed, cloned, stopped and deleted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use e2e::{PLACEHOLDER_PCK, Run, World, backend_says, dashboard_page, leave_a_note, port};
use serde_json::Value;

/// A home with a snapshot, whose instances have ports of their own.
fn world() -> World {
    let mut world = World::captured();
    world.ports_from_settings();
    world
}

fn instances(world: &World) -> Vec<Value> {
    let list = world.run(["instances", "--json"]).ok().json();
    list["instances"].as_array().unwrap().clone()
}

fn names(world: &World) -> Vec<String> {
    let names = instances(world).into_iter();
    names
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect()
}

fn port_of(entry: &Value, service: &str) -> u16 {
    let ports = entry["ports"].as_array().unwrap();
    let found = ports.iter().find(|port| port["service"] == service);
    u16::try_from(found.unwrap()["port"].as_u64().unwrap()).unwrap()
}

fn pck(world: &World, instance: &str) -> String {
    let shown = world.run(["--instance", instance, "secrets", "show", "pck"]);
    shown.ok().stdout.trim().to_owned()
}

fn folder(world: &World, instance: &str) -> PathBuf {
    world.emulator_home.join("instances").join(instance)
}

fn finish(child: Child) -> Run {
    Run::new(&child.wait_with_output().unwrap(), Duration::ZERO)
}

#[test]
fn clones_run_side_by_side_with_ports_and_secrets_of_their_own() {
    let world = world();
    // Of a running instance, all at once.
    world.start();
    let clones = ["one", "two"];
    let children = clones.map(|name| world.spawn(["clone", name, "--json"]));
    for child in children {
        finish(child).ok();
    }
    let children = clones.map(|name| world.spawn(["--instance", name, "start", "--json"]));
    for child in children {
        let started = finish(child).ok().json();
        assert_eq!(started["start"]["kind"], "resumed", "{started}");
        // The guest was told the ports of its source by the snapshot, and then its own.
        assert_eq!(started["told_ports"], serde_json::json!([]), "{started}");
    }
    let listed = instances(&world);
    assert_eq!(names(&world), ["default", "one", "two"]);
    let mut keys = vec![PLACEHOLDER_PCK.to_owned()];
    let mut taken = Vec::new();
    for entry in &listed {
        assert_eq!(entry["state"], "running", "{entry}");
        assert!(entry["shared_bytes"].as_u64() > Some(50 << 20), "{entry}");
        let port = port_of(entry, "backend");
        assert!(!taken.contains(&port), "{listed:?}");
        taken.push(port);
        let page = dashboard_page(port_of(entry, "dashboard"));
        assert!(page.contains(&format!("content=\"{port}\"")), "{page}");
        let key = pck(&world, entry["name"].as_str().unwrap());
        assert_eq!(backend_says(port, &key), 200, "{entry}");
        for other in &keys {
            assert_eq!(backend_says(port, other), 401, "{entry}");
        }
        keys.push(key);
    }
    assert_eq!(taken[0], port("backend"));

    // What runs is neither deleted nor is its session cloned.
    let refused = world
        .run(["delete", "one", "--yes", "--json"])
        .fails_with(1);
    assert_eq!(refused.error_code(), "running");
    let refused = world.run([
        "--instance",
        "one",
        "clone",
        "three",
        "--from",
        "session",
        "--json",
    ]);
    assert_eq!(refused.fails_with(1).error_code(), "running");
    let refused = world.run(["clone", "two", "--json"]).fails_with(1);
    assert_eq!(refused.error_code(), "instance_exists");

    let stopped = world.run(["stop", "--all", "--json"]).ok().json();
    let stopped = stopped["instances"].as_array().unwrap();
    assert_eq!(stopped.len(), 3);
    for outcome in stopped {
        assert_eq!(outcome["stop"]["session"], "saved", "{outcome}");
    }
    assert!(world.qemu_processes().is_empty());

    // The source goes, and the clones have all that they need.
    world.run(["delete", "default", "--yes"]).ok();
    assert_eq!(names(&world), ["one", "two"]);
    let continued = world
        .run(["--instance", "one", "start", "--json"])
        .ok()
        .json();
    assert_eq!(continued["start"]["kind"], "continued", "{continued}");
    world.run(["--instance", "two", "verify"]).ok();
    world.run(["stop", "--all", "--discard"]).ok();
    assert!(!folder(&world, "one").join("session").exists());
    assert!(folder(&world, "two").join("session/saved.json").exists());
}

#[test]
fn each_folder_has_an_instance_of_its_own() {
    let world = world();
    let folders = ["one/shop", "two/shop"].map(|name| world.user_home().join(name));
    let here = |folder: &PathBuf, arguments: &[&str]| {
        let mut command = world.command(arguments);
        let output = command.current_dir(folder).output().unwrap();
        Run::new(&output, Duration::ZERO)
    };
    for folder in &folders {
        std::fs::create_dir_all(folder.join("src")).unwrap();
        std::fs::write(folder.join("stack.config.ts"), "export const config = {};").unwrap();
    }
    // A look makes nothing.
    here(&folders[0], &["status", "--here"]).fails_with(3);
    assert_eq!(names(&world), ["default"]);
    for folder in &folders {
        let started = here(&folder.join("src"), &["start", "--here", "--json"])
            .ok()
            .json();
        assert_eq!(
            started["start"]["kind"], "resumed",
            "by another's snapshot: {started}"
        );
        let again = here(folder, &["start", "--here", "--json"]).ok().json();
        assert_eq!(again["already_running"], true, "{again}");
    }
    let listed = instances(&world);
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert_eq!(
        (&listed[0]["folder"], &listed[1]["name"]),
        (&Value::Null, &"shop".into())
    );
    assert_ne!(
        port_of(&listed[1], "backend"),
        port_of(&listed[2], "backend")
    );
    for (entry, folder) in listed[1..].iter().zip(&folders) {
        assert_eq!(entry["folder"]["path"], folder.to_str().unwrap(), "{entry}");
        assert_eq!(entry["folder"]["exists"], true);
    }
    // The setting does the same.
    world
        .run(["settings", "set", "instance-per", "folder"])
        .ok();
    let status = here(&folders[0], &["status", "--json"]).ok().json();
    assert_eq!(status["instance"], "shop");
    world.run(["settings", "unset", "instance-per"]).ok();
    world.run(["stop", "--all", "--discard"]).ok();
    std::fs::remove_dir_all(&folders[1]).unwrap();
    let gone = instances(&world).remove(2);
    assert_eq!(gone["folder"]["exists"], false, "{gone}");
    world
        .run(["delete", gone["name"].as_str().unwrap(), "--yes"])
        .ok();
    assert_eq!(names(&world), ["default", "shop"]);
}

#[test]
fn a_start_takes_other_ports_for_good_where_its_own_are_taken() {
    let world = world();
    world.start();
    leave_a_note(&world);
    world.run(["stop"]).ok();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port("dashboard"))).unwrap();
    let refused = world.run(["start", "--json"]).fails_with(1);
    assert_eq!(refused.error_code(), "port_taken");
    assert!(
        refused.stdout.contains("--ports auto"),
        "{}",
        refused.stdout
    );
    let run = world.run(["start", "--ports", "auto", "--json"]).ok();
    assert_eq!(run.json()["start"]["kind"], "continued", "{}", run.stdout);
    let pid = format!("(pid {})", std::process::id());
    assert!(run.stderr.contains(&pid), "{}", run.stderr);
    let moved = port_of(&instances(&world)[0], "backend");
    assert_ne!(moved, port("backend"));
    assert_eq!(backend_says(moved, &world.secret("pck")), 200);
    assert_eq!(e2e::read_the_note(&world), "kept\n");
    // From now on these are its own, and nothing has to be taken anew for them.
    drop(taken);
    world.run(["stop"]).ok();
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(port_of(&instances(&world)[0], "backend"), moved);
    world.discard();
    assert_eq!(world.start()["start"]["kind"], "resumed");
    world.discard();
}

#[test]
fn a_session_is_cloned_with_its_data_and_new_secrets() {
    let world = world();
    world.start();
    leave_a_note(&world);
    let key = world.secret("pck");
    world.stop();
    world.run(["clone", "copy", "--from", "session"]).ok();
    let started = world
        .run(["--instance", "copy", "start", "--json"])
        .ok()
        .json();
    assert_eq!(started["start"]["kind"], "continued", "{started}");
    let listed = instances(&world);
    let port = port_of(&listed[0], "backend");
    assert_eq!(listed[0]["name"], "copy");
    assert_eq!(backend_says(port, &pck(&world, "copy")), 200);
    assert_eq!(backend_says(port, &key), 401, "the source's");
    // Each has the data, and goes on by itself.
    assert_eq!(world.start()["start"]["kind"], "continued");
    for name in ["copy", "default"] {
        let agent = world.runtime_folder_of(name).join("agent.sock");
        let (_, note) = e2e::guest::exec(&agent, "/bin/cat", &["/var/tmp/note"]);
        assert_eq!(note, "kept\n", "{name}");
    }
    world.run(["stop", "--all", "--discard"]).ok();
}

#[test]
fn a_clone_or_a_deletion_that_is_killed_leaves_an_instance_or_none() {
    let world = world();
    let took = Instant::now();
    world.run(["clone", "whole"]).ok();
    let took = took.elapsed();
    let steps = 6;
    for step in 0..steps {
        let name = format!("killed-{step}");
        let mut child = world.spawn(["clone", &name]);
        // Somewhere on its way; which part that hits does not matter.
        std::thread::sleep(took * step / steps);
        child.kill().unwrap();
        child.wait().unwrap();
        if folder(&world, &name).exists() {
            world.run(["--instance", &name, "verify"]).ok();
        }
        let mut child = world.spawn(["delete", &name, "--yes"]);
        std::thread::sleep(took * step / steps);
        child.kill().unwrap();
        child.wait().unwrap();
        if folder(&world, &name).exists() {
            world.run(["--instance", &name, "verify"]).ok();
            world.run(["delete", &name, "--yes"]).ok();
        }
    }
    world.run(["verify"]).ok();
    let left = std::fs::read_dir(world.emulator_home.join("instances")).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".lock", "default", "whole"]);
}
