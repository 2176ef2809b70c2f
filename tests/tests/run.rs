//! `run`, with a real program for Node that reads its variables and calls the
//! backend; and `credentials` into a `.env` file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use e2e::{World, port};
use rustix::process::{Pid, Signal, kill_process};

/// Says who the backend takes it for, by each set of names.
const APP: &str = r#"
const prefixes = ["", "NEXT_PUBLIC_", "VITE_", "EXPO_PUBLIC_"];
for (const prefix of prefixes) {
  const get = (name) => process.env[prefix + "STACK_" + name];
  const answer = await fetch(get("API_URL") + "/api/v1/projects/current", { headers: {
    "x-stack-project-id": get("PROJECT_ID"),
    "x-stack-access-type": "client",
    "x-stack-publishable-client-key": get("PUBLISHABLE_CLIENT_KEY"),
  } });
  if (answer.status !== 200) throw new Error(prefix + answer.status);
  if ((await answer.json()).id !== get("PROJECT_ID")) throw new Error("another project");
  if (prefix && get("SECRET_SERVER_KEY")) throw new Error("a public secret");
}
const server = await fetch(process.env.STACK_API_URL + "/api/v1/projects/current", { headers: {
  "x-stack-project-id": process.env.STACK_PROJECT_ID,
  "x-stack-access-type": "server",
  "x-stack-secret-server-key": process.env.STACK_SECRET_SERVER_KEY,
} });
console.log("server", server.status);
if (process.argv[2] === "wait") {
  let count = 0;
  process.on("SIGTERM", () => { console.log("got SIGTERM", ++count); process.exit(23); });
  process.on("SIGUSR1", () => console.log("got SIGUSR1"));
  console.log("waiting");
  setInterval(() => {}, 1000);
} else {
  process.exit(Number(process.argv[2]));
}
"#;

fn app(world: &World) -> PathBuf {
    let folder = world.user_home().canonicalize().unwrap().join("my app");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("stack.config.ts"),
        "export const config = {};\n",
    )
    .unwrap();
    std::fs::write(folder.join("app.mjs"), APP).unwrap();
    folder
}

fn run(world: &World, folder: &PathBuf, words: &[&str]) -> Command {
    let mut command = world.command(["run", "--"].iter().chain(words));
    command
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn state(world: &World) -> String {
    let status = world.run(["status", "--json"]).json();
    status["state"].as_str().unwrap().to_owned()
}

/// Reads lines until `wanted` is among them.
fn read_until(reader: &mut impl BufRead, wanted: &str) {
    let mut line = String::new();
    while !line.contains(wanted) {
        line.clear();
        let length = reader.read_line(&mut line).unwrap();
        assert!(length > 0, "it ended before {wanted:?}");
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.unwrap(), signal).unwrap();
}

#[test]
fn a_program_gets_its_keys_and_its_exit_code_is_the_code() {
    let world = World::captured();
    let folder = app(&world);
    let output = run(&world, &folder, &["node", "app.mjs", "7"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        stdout, "server 200\n",
        "standard output is the program's alone"
    );
    assert_eq!(state(&world), "stopped", "it stops what it started");

    world.start();
    let output = run(&world, &folder, &["node", "app.mjs", "0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(state(&world), "running", "and nothing else");
    let output = run(&world, &folder, &["no-such-program"]).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    let killed = ["sh", "-c", "kill -9 $$"];
    let output = run(&world, &folder, &killed).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 9));

    // From elsewhere, the file is named.
    let file = folder.join("stack.config.ts");
    let app = folder.join("app.mjs");
    let words = ["run".as_ref(), "--config-file".as_ref(), file.as_os_str()];
    let program = [
        "--".as_ref(),
        "node".as_ref(),
        app.as_os_str(),
        "3".as_ref(),
    ];
    world.run(words.into_iter().chain(program)).fails_with(3);
    world.discard();
}

#[test]
fn without_its_config_file_nothing_is_started() {
    let world = World::captured();
    let folder = app(&world);
    std::fs::remove_file(folder.join("stack.config.ts")).unwrap();
    let output = run(&world, &folder, &["true"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no config file"), "{stderr}");
    assert_eq!(state(&world), "stopped");
    assert!(!world.instance().join("session").exists(), "{stderr}");
}

#[test]
fn files_with_credentials_are_written_again_after_a_reset() {
    let world = World::captured();
    let folder = app(&world);
    world.start();
    let here = |words: &[&str]| {
        let output = world.command(words).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    here(&["credentials", "--write", ".env", "--json"]);
    let write = [
        "credentials",
        "--format",
        "vite",
        "--names",
        "old",
        "--write",
        ".env.local",
        "--json",
    ];
    here(&write);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let before = [read(".env"), read(".env.local")];
    let report = here(&["credentials", "--refresh", "--json"]);
    let outcomes = |report: &serde_json::Value| -> Vec<String> {
        let files = report["files"].as_array().unwrap().iter();
        files
            .map(|file| file["outcome"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(outcomes(&report), ["unchanged", "unchanged"], "{report}");

    world.run(["reset", "--yes"]).ok();
    let stopped = world.run(["credentials", "--refresh"]);
    stopped.fails_with(3);
    world.start();
    let report = here(&["credentials", "--refresh", "--json"]);
    assert_eq!(outcomes(&report), ["updated", "updated"], "{report}");
    let after = [read(".env"), read(".env.local")];
    assert!(before[0] != after[0] && before[1] != after[1]);
    let names = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split('=').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        before.each_ref().map(|text| names(text)),
        after.each_ref().map(|text| names(text))
    );
    let keys = here(&["credentials", "--json"]);
    assert!(after[0].contains(keys["secret_server_key"].as_str().unwrap()));

    // What somebody has changed since is theirs.
    std::fs::write(folder.join(".env"), "STACK_PROJECT_ID=cloud\n").unwrap();
    let report = here(&["credentials", "--refresh", "--json"]);
    assert_eq!(outcomes(&report), ["unchanged", "skipped"], "{report}");
    assert_eq!(read(".env"), "STACK_PROJECT_ID=cloud\n");
    world.discard();
}

#[test]
fn a_change_of_the_config_file_is_told_with_what_came_of_it() {
    let world = World::captured();
    let folder = app(&world);
    let file = folder.join("stack.config.ts");
    let mut child = world
        .command(["run", "--watch", "--", "node", "app.mjs", "wait"])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = BufReader::new(child.stderr.take().unwrap());
    read_until(
        &mut said,
        &format!("Dashboard: http://127.0.0.1:{}", port("dashboard")),
    );
    read_until(&mut out, "waiting");
    std::fs::write(
        &file,
        "export const config = { teams: { allowClientTeamCreation: true } };\n",
    )
    .unwrap();
    read_until(&mut said, "stack.config.ts is in force");
    std::fs::write(&file, "export const config = { taems: {} };\n").unwrap();
    read_until(&mut said, "stack.config.ts has changed");
    std::fs::write(&file, "export const config = {};\n").unwrap();
    read_until(&mut said, "stack.config.ts is in force");
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(23));
    assert_eq!(state(&world), "stopped");
    world.discard();
}

/// Here the keys are waited for, because the guest cannot mount the folder.
#[test]
fn a_signal_before_the_program_runs_stops_what_was_started() {
    let world = World::captured();
    let folder = app(&world);
    world.start();
    let read_only = ["-t", "tmpfs", "-o", "ro", "nothing", "/host"];
    assert_eq!(world.in_guest("/bin/mount", &read_only).0, 0);
    world.stop();
    for (sent, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut child = run(&world, &folder, &["touch", "ran"]).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        read_until(&mut said, "Emulator continued");
        signal(&child, sent);
        read_until(&mut said, "cleaning up");
        std::io::copy(&mut said, &mut std::io::sink()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(state(&world), "stopped");
        assert!(world.qemu_processes().is_empty());
    }
    assert!(!folder.join("ran").exists(), "the program never ran");
    world.discard();
}

#[test]
fn signals_are_passed_on_and_the_last_one_stops_the_emulator() {
    let world = World::captured();
    let folder = app(&world);
    let mut first = run(&world, &folder, &["node", "app.mjs", "wait"])
        .spawn()
        .unwrap();
    let mut out = BufReader::new(first.stdout.take().unwrap());
    read_until(&mut out, "waiting");
    let mut second = run(&world, &folder, &["node", "app.mjs", "wait"])
        .spawn()
        .unwrap();
    let mut second_out = BufReader::new(second.stdout.take().unwrap());
    read_until(&mut second_out, "waiting");

    signal(&first, Signal::USR1);
    read_until(&mut out, "got SIGUSR1");
    signal(&first, Signal::TERM);
    read_until(&mut out, "got SIGTERM 1");
    assert_eq!(first.wait().unwrap().code(), Some(23));
    assert_eq!(state(&world), "running", "the other one uses it");
    signal(&second, Signal::TERM);
    assert_eq!(second.wait().unwrap().code(), Some(23));
    assert_eq!(state(&world), "stopped");
    world.discard();
}

#[test]
fn keys_are_set_in_a_file_and_the_rest_of_it_stays() {
    let world = World::captured();
    let folder = app(&world);
    world.start();
    let file = folder.join(".env.local");
    let before = "# mine\r\nA=\"1\r\nSTACK_PROJECT_ID=no\"\r\nexport NEXT_PUBLIC_STACK_PROJECT_ID='old' # why\r\nB=2";
    std::fs::write(&file, before).unwrap();
    let write = [
        "credentials",
        "--format",
        "next",
        "--write",
        ".env.local",
        "--json",
    ];
    let output = world.command(write).current_dir(&folder).output().unwrap();
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["file"], ".env.local");
    let json = world
        .command(["credentials", "--json"])
        .current_dir(&folder)
        .output()
        .unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let key = |name: &str| keys[name].as_str().unwrap().to_owned();
    let [id, client, server] =
        ["project_id", "publishable_client_key", "secret_server_key"].map(key);
    let url = format!("http://127.0.0.1:{}", port("backend"));
    let expected = format!(
        "# mine\r\nA=\"1\r\nSTACK_PROJECT_ID=no\"\r\nexport NEXT_PUBLIC_STACK_PROJECT_ID='{id}' # why\r\nB=2\r\n\
         NEXT_PUBLIC_HEXCLAVE_PROJECT_ID={id}\r\n\
         NEXT_PUBLIC_HEXCLAVE_PUBLISHABLE_CLIENT_KEY={client}\r\n\
         NEXT_PUBLIC_HEXCLAVE_API_URL={url}\r\nHEXCLAVE_SECRET_SERVER_KEY={server}\r\n\
         NEXT_PUBLIC_STACK_PUBLISHABLE_CLIENT_KEY={client}\r\n\
         NEXT_PUBLIC_STACK_API_URL={url}\r\nSTACK_SECRET_SERVER_KEY={server}\r\n"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains(&server));

    // Another file that goes before the written one, and says something else.
    std::fs::write(&file, "STACK_PROJECT_ID=cloud\n").unwrap();
    let write = ["credentials", "--names", "new", "--write", ".env", "--json"];
    let output = world.command(write).current_dir(&folder).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let clash = serde_json::json!([{ "file": ".env.local", "names": ["STACK_PROJECT_ID"] }]);
    assert_eq!(report["clashes"], clash, "{report}");
    let written = std::fs::read_to_string(folder.join(".env")).unwrap();
    assert!(!written.contains("STACK_"), "{written}");
    world.discard();
}
