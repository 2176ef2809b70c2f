//! Files that a user names, and what a guest or somebody else has put there instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::Path;
use std::process::Command;

use e2e::World;
use e2e::app::App;

const CONFIG: &str = "export const config = {};\n";

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn credentials_go_into_the_file_that_is_meant_or_nowhere() {
    let world = World::captured();
    let config = App::folder(&world, CONFIG);
    let folder = config.parent().unwrap();
    world.start();
    let write = |file: &Path| {
        let words = ["credentials", "--json", "--config-file"].map(Into::into);
        let files = [
            config.clone().into_os_string(),
            "--write".into(),
            file.into(),
        ];
        world.run(words.into_iter().chain(files))
    };
    write(&folder.join(".env")).ok();

    // The guest, which has the app's folder, makes links there.
    let mine = world.user_home().canonicalize().unwrap().join(".profile");
    fs::write(&mine, "mine\n").unwrap();
    let inside = format!("/host{}", folder.display());
    let script =
        "cd \"$1\" && ln -s ../.profile .env.local && ln -s .. up && ln -sf ../.profile .env";
    let (status, said) = world.in_guest("/bin/sh", &["-c", script, "sh", &inside]);
    assert_eq!(status, 0, "{said}");
    for name in [".env.local", ".env", "up/.profile"] {
        let refused = write(&folder.join(name)).fails_with(1);
        assert_eq!(refused.error_code(), "env_file", "{name}");
        assert!(refused.stdout.contains("is a link"), "{}", refused.stdout);
    }
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine\n");

    // Elsewhere the user's own links are followed, and what is no file is left alone.
    let home = mine.parent().unwrap();
    let null = home.join("null");
    symlink("/dev/null", &null).unwrap();
    let pipe = home.join("pipe");
    make_pipe(&pipe);
    let dangling = home.join("dangling");
    symlink("gone", &dangling).unwrap();
    for file in [null.as_path(), &pipe, &dangling, home] {
        let refused = write(file).fails_with(1);
        assert_eq!(refused.error_code(), "env_file", "{}", file.display());
    }
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
    assert!(dangling.is_symlink() && !home.join("gone").exists());
    let own = home.join("own");
    fs::write(home.join("real"), "A=1\n").unwrap();
    symlink("real", &own).unwrap();
    write(&own).ok();
    assert!(own.is_symlink());
    assert!(fs::read_to_string(&own).unwrap().starts_with("A=1\n"));
    world.discard();
}

#[test]
fn no_command_waits_for_a_pipe_or_replaces_a_device() {
    let world = World::captured();
    let home = world.user_home();
    let pipe = home.join("pipe");
    make_pipe(&pipe);
    let null = home.join("null");
    symlink("/dev/null", &null).unwrap();
    for file in [&pipe, &null] {
        let file = file.to_str().unwrap();
        for words in [
            &["archive", file][..],
            &["restore", file],
            &["pull", "--file", file],
            &["diagnostics", file],
        ] {
            let run = world.run([words, &["--json"]].concat());
            let error = run.error_code();
            assert_ne!(error, "", "{words:?}");
        }
    }
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    assert!(null.is_symlink());
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );

    // A record of ours that somebody has put a pipe in place of: an error that names it.
    world.start();
    let record = world.instance().join("run.json");
    let before = fs::read(&record).unwrap();
    fs::remove_file(&record).unwrap();
    make_pipe(&record);
    for words in [&["status"][..], &["stop"], &["start"]] {
        let run = world.run([words, &["--json"]].concat());
        assert!(run.stdout.contains("run.json"), "{words:?}: {}", run.stdout);
    }
    fs::remove_file(&record).unwrap();
    fs::write(&record, before).unwrap();
    world.discard();
}
