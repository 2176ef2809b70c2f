//! The built program, run as a user or a script runs it: what it prints where,
//! and what it ends with. Nothing here needs an image; where QEMU is needed,
//! it is only looked at.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::{Command, Stdio};

use common::{Cli, ended};
use serde_json::Value;

#[test]
fn the_help_tells_of_commands_variables_and_exit_codes() {
    let help = Cli::new().run(&["--help"]);
    assert_eq!(help.code, 0);
    assert_eq!(help.stderr, "");
    for told in [
        "start",
        "doctor",
        "completions",
        "EMULATOR_RAM",
        "STACK_EMULATOR_HOME",
        "[default: the image's, else 4096]",
        "Exit codes:",
        "130",
    ] {
        assert!(help.stdout.contains(told), "{told} in {}", help.stdout);
    }
}

#[test]
fn no_command_shows_the_help_as_an_error() {
    let ended = Cli::new().run(&[]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("Usage:"), "{}", ended.stderr);
}

#[test]
fn a_mistake_on_the_command_line_ends_with_2() {
    let cli = Cli::new();
    for arguments in [
        &["fly"][..],
        &["start", "--fast"],
        &["status", "--instance", "A/b"],
    ] {
        let ended = cli.run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    }
}

#[test]
fn a_mistake_with_json_is_json() {
    let ended = Cli::new().run(&["fly", "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (2, ""));
    let (code, message, hint) = ended.error();
    assert_eq!(code, "usage");
    assert!(message.contains("fly") && hint.is_some(), "{message}");
}

#[test]
fn an_invalid_variable_is_named_with_its_value() {
    let cli = Cli::new();
    for (name, value) in [
        ("EMULATOR_RAM", "lots"),
        ("EMULATOR_BACKEND_PORT", "80"),
        ("EMULATOR_NO_ROTATION", "maybe"),
        ("STACK_EMULATOR_HOME", "relative"),
    ] {
        // What only looks says so and goes on, if it knows where to look.
        let ended = cli.run_with(&["status"], name, value);
        let code = if name == "STACK_EMULATOR_HOME" { 2 } else { 3 };
        assert_eq!(ended.code, code, "{name}");
        assert!(
            ended.stderr.contains(name) && ended.stderr.contains(value),
            "{}",
            ended.stderr
        );

        let ended = cli.run_with(&["start", "--json"], name, value);
        assert_eq!(ended.code, 2, "{name}");
        let (code, message, hint) = ended.error();
        assert_eq!(code, "environment");
        assert!(
            message.contains(name) && message.contains(value) && hint.is_some(),
            "{message}"
        );
    }
}

#[test]
fn an_empty_home_is_a_stopped_emulator() {
    let cli = Cli::new();
    let ended = cli.run(&["status", "--json"]);
    assert_eq!(ended.code, 3);
    let status = ended.json();
    assert_eq!(status["state"], "stopped");
    assert_eq!(status["instance"], "default");
    assert_eq!(status["snapshot"], Value::Null);
    assert_eq!(status["session_kept"], false);
    let text = cli.run(&["status"]);
    assert_eq!(text.code, 3);
    assert!(text.stdout.starts_with("Stopped\n"), "{}", text.stdout);
    let left: Vec<_> = std::fs::read_dir(cli.home()).unwrap().collect();
    assert!(left.is_empty(), "a look leaves nothing behind: {left:?}");
}

#[test]
fn stopping_what_is_stopped_succeeds_and_says_so() {
    let cli = Cli::new();
    let ended = cli.run(&["stop"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "Already stopped.\n")
    );
    let json = cli.run(&["stop", "--discard", "--json"]);
    assert_eq!(json.code, 0);
    assert_eq!(json.json()["already_stopped"], true);
}

#[test]
fn a_missing_image_is_an_error_with_a_remedy() {
    let cli = Cli::new();
    let ended = cli.run(&["start", "--image", "/no/such.qcow2", "--json"]);
    assert_eq!(ended.code, 1);
    let (code, message, hint) = ended.error();
    assert_eq!(code, "image_missing");
    assert!(message.contains("/no/such.qcow2"), "{message}");
    assert!(hint.unwrap().contains("--image"));

    // Without `--image`, `start` pulls one.
    let ended = cli.run_with(&["start"], "STACK_EMULATOR_GITHUB_API", &nothing_there());
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        lines[0].starts_with("note: There is no image yet: "),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("error: "), "{lines:?}");
}

/// Base of an API that answers each request with 404.
fn nothing_there() -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let answer =
                "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            // A client that has gone is the test's business, not the server's.
            stream.get_mut().write_all(answer.as_bytes()).ok();
        }
    });
    format!("http://{address}/")
}

#[test]
fn a_missing_qemu_makes_the_host_unfit() {
    let cli = Cli::new();
    let ended = cli.run_with(&["start", "--json"], "STACK_EMULATOR_QEMU", "/nonexistent");
    assert_eq!(ended.code, 5);
    let (code, message, hint) = ended.error();
    assert_eq!(code, "qemu_missing");
    assert!(message.contains("/nonexistent"), "{message}");
    assert!(hint.unwrap().contains("STACK_EMULATOR_QEMU"));
}

#[test]
fn the_doctor_lists_every_check_and_what_to_do() {
    let cli = Cli::new();
    let ended = cli.run_with(&["doctor", "--json"], "STACK_EMULATOR_QEMU", "/nonexistent");
    assert_eq!(ended.code, 5);
    let report = ended.json();
    assert_eq!(report["fit"], false);
    let checks = report["checks"].as_array().unwrap();
    let check = |id: &str| {
        checks
            .iter()
            .find(|check| check["id"] == id)
            .unwrap_or(&Value::Null)
    };
    assert_eq!(check("qemu")["verdict"], "failed", "{report}");
    assert!(check("qemu")["remedy"].is_string(), "{report}");
    // A start would pull one.
    assert_eq!(check("image")["verdict"], "ok", "{report}");
    for id in ["disk", "instance", "secrets"] {
        assert!(check(id)["detail"].is_string(), "{id} in {report}");
    }
    let text = cli.run_with(&["doctor"], "STACK_EMULATOR_QEMU", "/nonexistent");
    assert_eq!(text.code, 5);
    assert!(text.stdout.contains("  failed   QEMU "), "{}", text.stdout);
    assert!(
        text.stdout.contains("\n1 check failed.\n"),
        "{}",
        text.stdout
    );

    let named = ["doctor", "--image", "/no/such.qcow2"];
    let text = cli.run_with(&named, "STACK_EMULATOR_QEMU", "/nonexistent");
    assert!(text.stdout.contains("  failed   Image "), "{}", text.stdout);
}

#[test]
fn a_reset_is_never_done_unasked() {
    let cli = Cli::new();
    let ended = cli.run(&["reset", "--json"]);
    assert_eq!(ended.code, 2);
    let (code, _, hint) = ended.error();
    assert_eq!(code, "confirmation");
    assert!(hint.unwrap().contains("--yes"));
    assert_eq!(cli.run(&["reset", "--yes"]).code, 0);
}

#[test]
fn what_needs_a_snapshot_says_that_there_is_none() {
    let cli = Cli::new();
    for command in ["verify", "archive"] {
        let ended = cli.run(&[command, "--json"]);
        assert_eq!(ended.code, 1);
        assert_eq!(ended.error().0, "no_snapshot");
    }
}

#[test]
fn an_archive_that_is_none_is_named_and_changes_nothing() {
    let cli = Cli::new();
    let ended = cli.run(&["restore", "/no/such.savevm.zst", "--json"]);
    assert_eq!(ended.code, 1);
    let (code, message, _) = ended.error();
    assert_eq!(code, "archive");
    assert!(message.contains("/no/such.savevm.zst"), "{message}");
}

#[test]
fn logs_that_are_not_there_yet_are_an_error() {
    let cli = Cli::new();
    for arguments in [&["logs"][..], &["logs", "--follow"], &["logs", "--qemu"]] {
        let ended = cli.run(arguments);
        assert_eq!(ended.code, 1, "{arguments:?}");
        assert!(
            ended.stderr.contains("there is no log at"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn logs_show_the_last_lines_without_what_a_terminal_acts_on() {
    let cli = Cli::new();
    let folder = cli.home().join("größe 1/instances/default/logs");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("serial.log"),
        "\x1bc\x1b[2Jone\r\ntwo\r\n\x1b[32mthree\x1b[0m\r\n",
    )
    .unwrap();
    assert_eq!(cli.run(&["logs", "-n", "2"]).stdout, "two\nthree\n");
    assert_eq!(cli.run(&["logs"]).stdout, "one\ntwo\nthree\n");
    std::fs::write(folder.join("qemu.log"), "q\n").unwrap();
    assert_eq!(cli.run(&["logs", "--qemu"]).stdout, "q\n");
}

#[test]
fn following_a_log_shows_what_is_added_until_a_signal_comes() {
    use std::io::{BufRead as _, BufReader, Write as _};

    let cli = Cli::new();
    let folder = cli.home().join("größe 1/instances/default/logs");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("serial.log");
    std::fs::write(&path, "old\n").unwrap();
    let mut child = cli
        .command(&["logs", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "old");
    std::fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"new\n")
        .unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "new");
    std::fs::write(folder.join("next"), "rotated\n").unwrap();
    std::fs::rename(folder.join("next"), &path).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "rotated");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn secrets_are_listed_by_name_and_shown_only_if_there_are_any() {
    let cli = Cli::new();
    let list = cli.run(&["secrets", "list", "--json"]);
    assert_eq!(list.code, 0);
    assert!(list.json()["place"].is_null());
    assert_eq!(list.json()["secrets"][0]["name"], "pck");
    let show = cli.run(&["secrets", "show", "ssk"]);
    assert_eq!((show.code, show.stdout.as_str()), (1, ""));
    assert!(
        show.stderr.contains("there are no secrets"),
        "{}",
        show.stderr
    );
}

#[test]
fn the_dashboard_of_a_stopped_emulator_is_an_error_that_says_to_start_it() {
    let cli = Cli::new();
    for arguments in [
        &["dashboard", "--json"][..],
        &["dashboard", "--print", "--json"],
    ] {
        let ended = cli.run(arguments);
        let (code, message, hint) = ended.error();
        assert_eq!(code, "not_running");
        assert_eq!(
            message,
            "cannot open the dashboard: the emulator is not running"
        );
        assert!(hint.unwrap().contains("stack-emulator start"));
    }
}

#[test]
fn colors_come_only_when_asked_for() {
    let cli = Cli::new();
    assert!(!cli.run(&["status"]).stdout.contains('\x1b'));
    assert!(
        cli.run(&["status", "--color", "always"])
            .stdout
            .contains("\x1b[")
    );
    assert!(
        cli.run(&["start", "--color", "always"])
            .stderr
            .contains("\x1b[")
    );
    assert!(
        !cli.run(&["start", "--color", "never"])
            .stderr
            .contains('\x1b')
    );
    assert!(
        !cli.run(&["status", "--color", "always", "--json"])
            .stdout
            .contains('\x1b')
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let cli = Cli::new();
    let mut child = cli
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Closed unread; the script is longer than a pipe holds on no account.
    drop(child.stdout.take());
    let ended = ended(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn completions_know_commands_and_options() {
    let cli = Cli::new();
    for shell in ["bash", "zsh", "fish"] {
        let ended = cli.run(&["completions", shell]);
        assert_eq!(ended.code, 0, "{shell}");
        assert!(
            ended.stdout.contains("doctor") && ended.stdout.contains("probe-again"),
            "{shell}"
        );
    }
    // No home folder, no variables: it is about the program alone.
    let bare = Command::new(env!("CARGO_BIN_EXE_stack-emulator"))
        .args(["completions", "bash"])
        .env_clear()
        .output()
        .unwrap();
    assert!(bare.status.success());
}

#[test]
fn the_completion_script_is_one_that_bash_accepts() {
    let cli = Cli::new();
    let script = cli.home().join("completions.bash");
    std::fs::write(&script, cli.run(&["completions", "bash"]).stdout).unwrap();
    let bash = Command::new("bash")
        .arg("-n")
        .arg(&script)
        .output()
        .unwrap();
    assert!(
        bash.status.success(),
        "{}",
        String::from_utf8_lossy(&bash.stderr)
    );
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let cli = Cli::new();
    let page = cli.run(&["man"]);
    assert_eq!(page.code, 0);
    assert!(
        page.stdout.contains(".TH stack-emulator 1"),
        "{}",
        page.stdout
    );
    assert!(page.stdout.contains("EMULATOR_RAM"));
    let folder = cli.home().join("man");
    assert_eq!(cli.run(&["man", "--dir", folder.to_str().unwrap()]).code, 0);
    for name in [
        "stack-emulator.1",
        "stack-emulator-start.1",
        "stack-emulator-secrets-show.1",
    ] {
        assert!(folder.join(name).is_file(), "{name}");
    }
}

#[test]
fn a_signal_while_waiting_for_another_command_ends_at_once() {
    use std::os::unix::process::ExitStatusExt as _;

    let cli = Cli::new();
    // This test holds the lock of the instance.
    assert_eq!(cli.run(&["stop"]).code, 0);
    let lock = std::fs::File::options()
        .write(true)
        .open(cli.home().join("größe 1/instances/default/lock"))
        .unwrap();
    lock.lock().unwrap();
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = cli
            .command(&["stop", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Its note says that it waits, and by then it listens.
        let mut note = [0; 1];
        let mut stderr = child.stderr.take().unwrap();
        std::io::Read::read_exact(&mut stderr, &mut note).unwrap();
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), None, "{signal}: it ends by itself");
        let ended = ended(output);
        assert_eq!(ended.code, code);
        assert_eq!(ended.error().0, "interrupted");
    }
}

#[test]
fn an_empty_store_is_listed_pruned_and_has_nothing_to_use() {
    let cli = Cli::new();
    let list = cli.run(&["images", "--json"]);
    assert_eq!(
        (list.code, list.json()["bytes_on_disk"].as_u64()),
        (0, Some(0))
    );
    assert_eq!(cli.run(&["images", "prune", "--all"]).code, 0);
    for command in ["use", "remove"] {
        let (code, message, hint) = cli.run(&["images", command, "t-1", "--json"]).error();
        assert_eq!(code, "image_unknown");
        assert!(message.contains("t-1"), "{message}");
        assert!(hint.unwrap().contains("stack-emulator images"));
    }
}

#[test]
fn what_is_not_there_is_named_and_a_token_is_not() {
    let cli = Cli::new();
    let api = nothing_there();
    for (arguments, named) in [
        (&["releases", "--json"][..], "stack-auth/stack-auth"),
        (&["pull", "--verbose", "--json"], "emulator-dev-latest"),
        (&["pull", "--run", "7", "--json"], "7"),
    ] {
        let mut command = cli.command(arguments);
        let command = command
            .env("STACK_EMULATOR_GITHUB_API", &api)
            .env("GITHUB_TOKEN", "ghp_sesame");
        let ended = ended(command.output().unwrap());
        assert_eq!(ended.code, 1);
        let (_, message, hint) = ended.error();
        let said = format!("{message} {hint:?}");
        assert!(said.contains(named), "{said}");
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("sesame"));
    }
    let refused = cli.run_with(&["pull"], "STACK_EMULATOR_GITHUB_API", "mirror");
    assert_eq!(refused.code, 2);
    let refused = cli.run_with(&["pull"], "GITHUB_TOKEN", "ghp sesame");
    assert_eq!(refused.code, 2);
    assert!(!refused.stderr.contains("sesame"), "{}", refused.stderr);
    let warned = cli.run_with(&["images"], "GITHUB_TOKEN", "ghp sesame");
    assert_eq!(warned.code, 0);
    assert!(warned.stderr.contains("GITHUB_TOKEN") && !warned.stderr.contains("sesame"));
}
