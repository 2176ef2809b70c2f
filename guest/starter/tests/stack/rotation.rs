//! Rotations that work, and input that is refused.

use std::time::Instant;

use crate::support::{CRON, Four, PCK, SAK, SSK, Stack, stderr};

#[test]
fn all_four_change_everywhere_and_the_old_are_refused() {
    let stack = Stack::start();
    let (placeholders, first, second) =
        (Four::placeholders(), Four::numbered(1), Four::numbered(2));
    stack.assert_only_in_force(&placeholders, &[&first, &second]);

    let output = stack.rotate(&first);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    stack.assert_only_in_force(&first, &[&placeholders, &second]);

    let output = stack.rotate(&second);
    assert!(output.status.success(), "{}", stderr(&output));
    stack.assert_only_in_force(&second, &[&placeholders, &first]);
    assert!(stack.leftovers().is_empty());
}

#[test]
fn the_row_says_when_it_was_changed() {
    let stack = Stack::start();
    let sql = r#"SELECT "updatedAt" > "createdAt", "description" FROM "ApiKeySet""#;
    assert_eq!(stack.database.run(sql)[0][0].as_deref(), Some("f"));
    assert!(stack.rotate(&Four::numbered(1)).status.success());
    let rows = stack.database.run(sql);
    assert_eq!(rows[0][0].as_deref(), Some("t"));
    assert_eq!(rows[0][1].as_deref(), Some("Internal API key set"));
}

#[test]
fn the_same_values_again_succeed() {
    let stack = Stack::start();
    let four = Four::numbered(1);
    for _ in 0..3 {
        let output = stack.rotate(&four);
        assert!(output.status.success(), "{}", stderr(&output));
        stack.assert_only_in_force(&four, &[&Four::placeholders()]);
    }
    assert!(stack.leftovers().is_empty());
}

#[test]
fn many_at_once_leave_the_values_of_one() {
    let stack = Stack::start();
    let all: Vec<Four> = (1..=8).map(Four::numbered).collect();
    let children: Vec<_> = all
        .iter()
        .map(|four| Stack::spawn_rotation(stack.rotate_command(), &four.input()))
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let winners: Vec<_> = all
        .iter()
        .filter(|four| stack.in_force(four) == [true; 6])
        .collect();
    assert_eq!(winners.len(), 1);
    let losers: Vec<_> = all.iter().filter(|four| *four != winners[0]).collect();
    stack.assert_only_in_force(winners[0], &losers);
    assert!(stack.leftovers().is_empty());
}

#[test]
fn keys_of_other_projects_are_left_alone() {
    let stack = Stack::start();
    stack.write_host_file("/app/stack.config.ts", "export const config = {};");
    let body = r#"{"absolute_file_path":"/app/stack.config.ts"}"#;
    let before = stack.project_call(&Four::placeholders().ssk, body);
    assert_eq!(before.status, 200);
    let four = Four::numbered(1);
    assert!(stack.rotate(&four).status.success());
    assert_eq!(
        stack.project_call(&Four::placeholders().ssk, body).status,
        401
    );
    assert_eq!(stack.project_call(&four.ssk, body).body, before.body);
}

#[test]
fn a_bundle_that_was_tampered_with_is_made_again() {
    let stack = Stack::start();
    let placeholder_bundle = stack.bundle();
    assert!(stack.rotate(&Four::numbered(1)).status.success());
    // As an upgrade of the dashboard would leave it.
    std::fs::write(
        stack.path("dashboard/assets/dashboard.js"),
        placeholder_bundle,
    )
    .unwrap();
    let second = Four::numbered(2);
    let output = stack.rotate(&second);
    assert!(output.status.success(), "{}", stderr(&output));
    stack.assert_only_in_force(&second, &[&Four::placeholders(), &Four::numbered(1)]);
}

#[test]
fn wrong_input_is_refused_without_repeating_it() {
    let stack = Stack::start();
    let placeholders = Four::placeholders();
    let four = Four::numbered(1);
    let good = four.input();
    let short = Four {
        ssk: "b".repeat(63),
        ..four.clone()
    };
    let upper = Four {
        sak: "C".repeat(64),
        ..four.clone()
    };
    let not_hex = Four {
        cron: "secretsecretsecret".repeat(4)[..64].to_owned(),
        ..four.clone()
    };
    let without = |name: &str| -> String {
        good.lines()
            .filter(|line| !line.starts_with(name))
            .flat_map(|line| [line, "\n"])
            .collect()
    };
    for (input, expected) in [
        (String::new(), format!("{PCK} is missing")),
        (without(PCK), format!("{PCK} is missing")),
        (without(SSK), format!("{SSK} is missing")),
        (without(SAK), format!("{SAK} is missing")),
        (without(CRON), format!("{CRON} is missing")),
        (
            short.input(),
            format!("the value of {SSK} is no secret: must be 64 characters long, but has 63"),
        ),
        (
            upper.input(),
            format!(
                "the value of {SAK} is no secret: must be lower-case hex, but character 1 is not"
            ),
        ),
        (
            not_hex.input(),
            format!("the value of {CRON} is no secret: must be lower-case hex"),
        ),
        (
            format!("{good}EXTRA=secret\n"),
            "entry 5 has a name that is not one of".to_owned(),
        ),
        (
            format!("{good}{PCK}={}\n", four.pck),
            "line 5 repeats a name".to_owned(),
        ),
        (
            format!("{good}secret"),
            "line 5 is not NAME=value".to_owned(),
        ),
        (good.repeat(20), "larger than 4096 bytes".to_owned()),
    ] {
        let output = stack.rotate_with(&input);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(&expected), "{message}");
        for secret in [&four.pck, &four.ssk, &four.sak, &four.cron, &not_hex.cron] {
            assert!(!message.contains(secret.as_str()), "{message}");
        }
        assert!(
            !message.contains("secretsecret") && !message.contains("EXTRA"),
            "{message}"
        );
    }
    let mut command = stack.rotate_command();
    command.arg("--force");
    let output = Stack::spawn_rotation(command, &good)
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    stack.assert_only_in_force(&placeholders, &[&four]);
}

#[test]
fn requests_during_rotations_see_one_set_or_the_next() {
    let stack = Stack::start();
    let all: Vec<Four> = (1..=5).map(Four::numbered).collect();
    std::thread::scope(|scope| {
        let (sender, stop) = std::sync::mpsc::channel::<()>();
        let stack = &stack;
        let all = &all;
        let watcher = scope.spawn(move || {
            let mut asked = 0;
            while matches!(stop.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                // A key is either in force or refused, whatever moment it is.
                let status = stack.status_with("client", &all[asked % all.len()].pck);
                assert!(matches!(status, 200 | 401), "{status}");
                let status = stack.cron_status(&all[asked % all.len()].cron);
                assert!(matches!(status, 200 | 401), "{status}");
                asked += 1;
            }
            asked
        });
        for four in all {
            assert!(stack.rotate(four).status.success());
            stack.assert_only_in_force(four, &[&Four::placeholders()]);
        }
        drop(sender);
        assert!(watcher.join().unwrap() > 0);
    });
}

#[test]
fn recover_has_nothing_to_do_after_a_rotation() {
    let stack = Stack::start();
    let four = Four::numbered(1);
    assert!(stack.rotate(&four).status.success());
    let output = stack.recover();
    assert!(output.status.success(), "{}", stderr(&output));
    stack.assert_only_in_force(&four, &[&Four::placeholders()]);
}

#[test]
fn a_rotation_is_quick() {
    let stack = Stack::start();
    let mut durations: Vec<_> = (1..=11)
        .map(|number| {
            let started = Instant::now();
            assert!(stack.rotate(&Four::numbered(number)).status.success());
            started.elapsed()
        })
        .collect();
    durations.sort();
    // Natively a few milliseconds. The bound leaves room for a loaded machine, and would still catch
    // a database connection, a child process or a sleep that has crept in.
    assert!(durations[5].as_millis() < 100, "{durations:?}");
}
