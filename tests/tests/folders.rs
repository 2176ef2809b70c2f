//! The folders of config files in the guest: there under any name, for as long
//! as the session lasts, and nothing else of this host with them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use e2e::{Run, World};

const CONFIG: &str = "export const config = { auth: { allowSignUp: true } };\n";

/// A folder with a config file, below the user's home.
fn project(world: &World, name: &str) -> PathBuf {
    let folder = world.user_home().canonicalize().unwrap().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("stack.config.ts"), CONFIG).unwrap();
    folder
}

fn credentials(world: &World, folder: &Path) -> Run {
    let file = folder.join("stack.config.ts");
    let words = ["credentials", "--json", "--config-file"].map(std::ffi::OsString::from);
    world.run(words.into_iter().chain([file.into_os_string()]))
}

fn folders(world: &World) -> Vec<String> {
    let list = world.run(["folders", "list", "--json"]).ok().json();
    let folders = list["folders"].as_array().unwrap().iter();
    folders
        .map(|folder| folder["path"].as_str().unwrap().to_owned())
        .collect()
}

/// What the guest's shell says to `script`, whose `$1` is the folder.
fn sh(world: &World, script: &str, folder: &Path) -> (i64, String) {
    let inside = format!("/host{}", folder.display());
    world.in_guest("/bin/sh", &["-c", script, "sh", &inside])
}

fn mounts(world: &World) -> usize {
    let (_, text) = world.in_guest("/bin/grep", &["-c", " 9p ", "/proc/mounts"]);
    text.trim().parse().unwrap()
}

#[test]
fn names_of_any_kind_are_there_at_once_eight_at_most() {
    let world = World::captured();
    world.start();
    let names = [
        "plain",
        "with space",
        "it's \"quoted\"",
        "new\nline",
        "naïve 日本語",
        "-rf",
        "$(id) `id` $HOME",
        "a,b=c%\\d",
    ];
    let mut projects = Vec::new();
    for name in names {
        let folder = project(&world, name);
        let answer = credentials(&world, &folder).ok().json();
        let id = answer["project_id"].as_str().unwrap().to_owned();
        assert!(!projects.contains(&id), "a project of its own for {name:?}");
        projects.push(id);
    }
    assert_eq!(folders(&world).len(), 8);
    assert_eq!(mounts(&world), 8);
    let ninth = project(&world, "ninth");
    let refused = credentials(&world, &ninth).fails_with(1);
    assert_eq!(refused.error_code(), "too_many_folders");

    // The same file is the same project, however it is spelt.
    let odd = world.user_home().join("plain/../with space/./");
    let again = credentials(&world, &odd).ok().json();
    assert_eq!(again["project_id"], projects[1].as_str());

    let gone = world.user_home().join("new\nline");
    world
        .run([Path::new("folders"), Path::new("remove"), &gone])
        .ok();
    assert_eq!((folders(&world).len(), mounts(&world)), (7, 7));
    let (_, left) = sh(&world, "ls -A \"${1%/*}\"", &gone.canonicalize().unwrap());
    assert!(!left.contains("line"), "{left}");
    credentials(&world, &ninth).ok();
    let twice = world.run([Path::new("folders"), Path::new("remove"), &gone]);
    assert_eq!(twice.code, Some(1));
    world.discard();
}

#[test]
fn the_guest_writes_as_the_user_and_gets_out_of_nothing() {
    let world = World::captured();
    world.start();
    let folder = project(&world, "app");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let secret = world.user_home().canonicalize().unwrap().join("secret");
    std::fs::write(&secret, "sesame").unwrap();
    symlink("../secret", folder.join("relative")).unwrap();
    symlink(&secret, folder.join("absolute")).unwrap();
    symlink("..", folder.join("up")).unwrap();
    credentials(&world, &folder).ok();

    // As another user of the guest than root.
    let script = "echo hello | setpriv --reuid=1234 --regid=1234 --clear-groups tee \"$1/made\"";
    assert_eq!(sh(&world, script, &folder).0, 0);
    let made = std::fs::metadata(folder.join("made")).unwrap();
    assert_eq!(made.uid(), rustix::process::getuid().as_raw());
    assert_eq!(
        std::fs::read_to_string(folder.join("made")).unwrap(),
        "hello\n"
    );
    std::fs::write(folder.join("made"), "changed here").unwrap();
    assert_eq!(sh(&world, "cat \"$1/made\"", &folder).1, "changed here");

    for way in [
        "relative",
        "absolute",
        "up/secret",
        "../secret",
        "../../../../../../secret",
    ] {
        let (code, text) = sh(&world, &format!("cat \"$1/{way}\""), &folder);
        assert!(code != 0 && !text.contains("sesame"), "{way}: {text}");
    }
    let (_, around) = sh(&world, "ls -A \"$1/..\"", &folder);
    assert_eq!(
        around.trim(),
        "app",
        "nothing but the folder itself is there"
    );
    world.discard();
}

/// As `umask 077` makes them: QEMU may read for its user what the guest's own
/// users, who have other numbers, may not.
#[test]
fn a_config_file_of_its_owner_alone_is_read_and_stays_so() {
    let world = World::captured();
    world.start();
    let folder = project(&world, "private");
    let file = folder.join("stack.config.ts");
    let owner_only = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    owner_only(&file, 0o600);
    owner_only(&folder, 0o700);
    credentials(&world, &folder).ok();
    let as_another = "setpriv --reuid=1234 --regid=1234 --clear-groups cat \"$1/stack.config.ts\"";
    let (code, text) = sh(&world, as_another, &folder);
    assert!(code != 0 && text.is_empty(), "others still may not: {text}");
    // What the backend has in reserve is in force at no other time.
    let in_force = "pid=$(systemctl show -p MainPID --value stack-backend.service); \
        grep -h ^CapEff: /proc/\"$pid\"/task/*/status | sort -u";
    let (_, rights) = sh(&world, in_force, &folder);
    assert_eq!(rights.trim(), "CapEff:\t0000000000000000");
    world.discard();
}

#[test]
fn folders_go_before_a_save_and_are_there_again_when_the_session_goes_on() {
    let world = World::captured();
    world.start();
    let folder = project(&world, "app");
    let project = credentials(&world, &folder).ok().json()["project_id"].clone();
    assert_eq!(world.stop()["session"], "saved");
    assert_eq!(folders(&world).len(), 1);
    let started = world.start();
    assert_eq!(started["start"]["kind"], "continued", "{started}");
    assert_eq!(mounts(&world), 1);
    assert_eq!(sh(&world, "cat \"$1/stack.config.ts\"", &folder).1, CONFIG);
    assert_eq!(
        credentials(&world, &folder).ok().json()["project_id"],
        project
    );

    // One that is gone meanwhile is no failure.
    world.stop();
    std::fs::remove_dir_all(&folder).unwrap();
    let started = world.run(["start"]).ok();
    assert!(
        started.stderr.contains("not shared any more"),
        "{}",
        started.stderr
    );
    assert!(folders(&world).is_empty());

    // A link in its place leads to what nobody named, be that for sharing or not.
    let other = self::project(&world, "other");
    for target in [&*other, world.user_home()] {
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("stack.config.ts"), CONFIG).unwrap();
        credentials(&world, &folder).ok();
        world.stop();
        std::fs::remove_dir_all(&folder).unwrap();
        symlink(target, &folder).unwrap();
        let started = world.run(["start"]).ok();
        let said = "not shared any more: the folder";
        assert!(started.stderr.contains(said), "{}", started.stderr);
        assert!(started.stderr.contains("replaced"), "{}", started.stderr);
        assert_eq!((folders(&world).len(), mounts(&world)), (0, 0));
        std::fs::remove_file(&folder).unwrap();
    }
    world.discard();
}

/// The time between the two is made long by another command that holds the instance.
#[test]
fn a_folder_that_is_replaced_between_naming_and_mounting_is_not_shared() {
    let world = World::captured();
    world.start();
    let (folder, other) = (project(&world, "app"), project(&world, "other"));
    let busy = std::fs::File::open(world.instance().join("lock")).unwrap();
    busy.lock().unwrap();
    let file = folder.join("stack.config.ts");
    let words = ["credentials", "--json", "--config-file"].map(std::ffi::OsString::from);
    let mut child = world.spawn(words.into_iter().chain([file.into_os_string()]));
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("Waiting up to") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it does not wait");
    }
    std::fs::remove_dir_all(&folder).unwrap();
    symlink(&other, &folder).unwrap();
    busy.unlock().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["error"]["code"], "folder_share", "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("replaced"), "{message}");
    assert_eq!((folders(&world).len(), mounts(&world)), (0, 0));

    // By what it leads to, it is that folder; and one that was made anew at the
    // same place is shared as it is now.
    credentials(&world, &folder).ok();
    assert_eq!(folders(&world), [other.to_str().unwrap()]);
    std::fs::rename(&other, world.user_home().join("old")).unwrap();
    let other = project(&world, "other");
    std::fs::write(other.join("new"), "here").unwrap();
    credentials(&world, &other).ok();
    assert_eq!(sh(&world, "cat \"$1/new\"", &other).1, "here");

    // Gone, it is taken back by its name, from where the user is.
    std::fs::remove_dir_all(&other).unwrap();
    let mut remove = world.command(["folders", "remove", "./other/"]);
    let removed = remove.current_dir(world.user_home()).output().unwrap();
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!((folders(&world).len(), mounts(&world)), (0, 0));
    world.discard();
}

/// As published images are: whatever their backend makes of the file, the agent
/// alone is enough for the folder.
#[test]
fn a_folder_is_there_by_the_agent_alone() {
    let world = World::captured_slow();
    world.start();
    let folder = project(&world, "app");
    credentials(&world, &folder);
    assert_eq!(mounts(&world), 1);
    assert_eq!(sh(&world, "cat \"$1/stack.config.ts\"", &folder).1, CONFIG);
    world.discard();
}

#[test]
fn a_folder_that_is_in_use_keeps_no_stop_from_ending() {
    let world = World::captured();
    world.start();
    let folder = project(&world, "app");
    credentials(&world, &folder).ok();
    let hold = "cd \"$1\" && (setsid sleep 1000 >/dev/null 2>&1 </dev/null &)";
    assert_eq!(sh(&world, hold, &folder).0, 0);
    let path = folder.to_str().unwrap();
    let refused = world
        .run(["folders", "remove", path, "--json"])
        .fails_with(1);
    assert_eq!(refused.error_code(), "folder_share");
    let stopped = world.stop();
    assert_eq!(stopped["session"], "disk_kept", "{stopped}");
    world.discard();
}

#[test]
fn what_is_refused_says_why() {
    let world = World::captured();
    let folder = project(&world, "app");
    let stopped = credentials(&world, &folder).fails_with(3);
    assert_eq!(stopped.error_code(), "not_running");
    world.start();
    std::fs::write(world.user_home().join("stack.config.ts"), CONFIG).unwrap();
    let home = credentials(&world, world.user_home()).fails_with(1);
    assert_eq!(home.error_code(), "folder_refused");
    assert!(home.stdout.contains("your home folder"), "{}", home.stdout);
    let missing = credentials(&world, &world.user_home().join("nowhere")).fails_with(1);
    assert_eq!(missing.error_code(), "config_file");

    // Deleted once its folder is shared, then replaced by a link out of it.
    credentials(&world, &folder).ok();
    let file = folder.join("stack.config.ts");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        credentials(&world, &folder).fails_with(1).error_code(),
        "config_file"
    );
    symlink("../stack.config.ts", &file).unwrap();
    let out = credentials(&world, &folder).fails_with(1);
    assert!(
        out.stdout.contains("outside of its folder"),
        "{}",
        out.stdout
    );

    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "export const config = { a: process.exit() };").unwrap();
    let bad = credentials(&world, &folder).fails_with(1);
    assert_eq!(bad.error_code(), "config_file");
    assert!(bad.stdout.contains("emulator cannot use"), "{}", bad.stdout);
    world.discard();
}
