//! Rotations with a fault at each step: the old values stay in force everywhere.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

use crate::support::{Four, Stack, stderr};

/// Rotates to new values, which has to fail, and checks that nothing has changed.
#[track_caller]
fn fails_without_a_trace(stack: &Stack, before: &Four, expected: &str) {
    let bundle = stack.bundle();
    let four = Four::numbered(9);
    let output = stack.rotate(&four);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains(expected), "{message}");
    assert!(message.contains("old values stay in force"), "{message}");
    for secret in [
        &four.pck,
        &four.ssk,
        &four.sak,
        &four.cron,
        &before.pck,
        &before.cron,
    ] {
        assert!(!message.contains(secret.as_str()), "{message}");
    }
    assert_eq!(stack.bundle(), bundle);
    assert!(stack.leftovers().is_empty(), "{:?}", stack.leftovers());
}

fn rotated() -> (Stack, Four) {
    let stack = Stack::start();
    let four = Four::numbered(1);
    assert!(stack.rotate(&four).status.success());
    (stack, four)
}

#[test]
fn database_refuses() {
    let (stack, four) = rotated();
    stack.database.refuse();
    fails_without_a_trace(&stack, &four, "the database did not take the new values");
    stack.database.accept();
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
}

#[test]
fn row_is_missing() {
    let (stack, four) = rotated();
    stack
        .database
        .run(r#"UPDATE "ApiKeySet" SET "id" = '00000000-0000-4000-8000-000000000000'"#);
    fails_without_a_trace(
        &stack,
        &four,
        "0 rows hold the secrets of the internal project",
    );
    stack
        .database
        .run(r#"UPDATE "ApiKeySet" SET "id" = '3142e763-b230-44b5-8636-aa62f7489c26'"#);
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
}

#[test]
fn key_is_taken_by_another_project() {
    let (stack, four) = rotated();
    let taken = Four::numbered(9).ssk;
    stack.database.run(&format!(
        r#"INSERT INTO "Project" ("id", "displayName") VALUES ('other', 'Other');
           INSERT INTO "ApiKeySet" ("projectId", "id", "description", "expiresAt", "secretServerKey")
           VALUES ('other', '00000000-0000-4000-8000-000000000000', '', now() + interval '1 day', '{taken}')"#
    ));
    // The database's own message would name the key; ours must not.
    fails_without_a_trace(&stack, &four, "update the secrets");
    stack.assert_only_in_force(&four, &[]);
}

#[test]
fn row_is_locked_by_somebody_else() {
    let (stack, four) = rotated();
    let held = stack.database.hold_row_lock();
    fails_without_a_trace(&stack, &four, "the database did not take the new values");
    drop(held);
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
    assert!(stack.rotate(&Four::numbered(2)).status.success());
}

#[test]
fn backend_is_not_running() {
    let (mut stack, four) = rotated();
    stack.kill_backend();
    fails_without_a_trace(&stack, &four, "is stack-backend running?");
    stack.start_backend();
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
}

#[test]
fn dashboard_folder_is_not_writable() {
    let (stack, four) = rotated();
    // A folder in the place of the new file stops root as well, whom no file mode stops.
    let obstacle = stack.path("dashboard/assets/dashboard.js.rotating");
    fs::create_dir(&obstacle).unwrap();
    let output = stack.rotate(&Four::numbered(9));
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("dashboard.js.rotating"), "{message}");
    fs::remove_dir(&obstacle).unwrap();
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
    assert!(stack.leftovers().is_empty());
}

#[test]
fn configuration_folder_is_not_writable() {
    let (stack, four) = rotated();
    let obstacle = stack.path("etc/secrets.env.rotating/x");
    fs::create_dir_all(&obstacle).unwrap();
    let output = stack.rotate(&Four::numbered(9));
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    fs::remove_dir_all(obstacle.parent().unwrap()).unwrap();
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
}

#[test]
fn cron_row_is_missing() {
    let (stack, four) = rotated();
    stack
        .database
        .run(r#"UPDATE "EmulatorSecret" SET "name" = 'other'"#);
    fails_without_a_trace(
        &stack,
        &four,
        "0 rows hold the secrets of the internal project",
    );
    stack
        .database
        .run(r#"UPDATE "EmulatorSecret" SET "name" = 'CRON_SECRET'"#);
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
}

#[test]
fn built_dashboard_has_no_placeholder() {
    let (stack, four) = rotated();
    fs::write(stack.path("built/assets/dashboard.js"), "").unwrap();
    fails_without_a_trace(
        &stack,
        &four,
        "holds the placeholder of the publishable client key",
    );
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
}

#[test]
fn secrets_file_is_missing() {
    let (stack, four) = rotated();
    let path = stack.path("etc/secrets.env");
    let good = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fails_without_a_trace(&stack, &four, "cannot look at");
    fs::write(&path, good).unwrap();
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
}

#[test]
fn files_that_a_power_cut_emptied_are_made_again() {
    let (stack, four) = rotated();
    for path in ["etc/secrets.env", "dashboard/assets/dashboard.js"] {
        fs::write(stack.path(path), "").unwrap();
    }
    // The database alone says what is in force; the cron endpoint does not need the file.
    assert_eq!(stack.cron_status(&four.cron), 200);
    let output = stack.recover();
    assert!(output.status.success(), "{}", stderr(&output));
    stack.assert_only_in_force(&four, &[&Four::placeholders()]);
}

/// A backend that answers from a script, in place of the real one.
fn scripted_backend(stack: &Stack, script: impl FnOnce(UnixStream) + Send + 'static) {
    let path = stack.path("run/control.sock");
    fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || script(listener.accept().unwrap().0));
}

fn read_line(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn backend_hangs_up_or_talks_nonsense() {
    for answer in [
        "",
        "WHAT\n",
        "COMMITTED\n",
        "VALUES 12\n",
        "FAILED because\n",
        &"x".repeat(600),
    ] {
        let (stack, four) = rotated();
        let answer = answer.to_owned();
        scripted_backend(&stack, move |mut stream| {
            read_line(&stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        fails_without_a_trace(&stack, &four, "the database did not take the new values");
        stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
    }
}

#[test]
fn backend_refuses_the_commit() {
    let (stack, four) = rotated();
    scripted_backend(&stack, move |mut stream| {
        read_line(&stream);
        stream.write_all(b"PREPARED\n").unwrap();
        assert_eq!(read_line(&stream), "COMMIT\n");
        stream.write_all(b"FAILED no room\n").unwrap();
    });
    fails_without_a_trace(&stack, &four, "the backend reports: no room");
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
}

#[test]
fn backend_never_answers() {
    let (stack, four) = rotated();
    let (sender, ended) = std::sync::mpsc::channel::<()>();
    scripted_backend(&stack, move |stream| {
        let _ = ended.recv();
        drop(stream);
    });
    let started = std::time::Instant::now();
    fails_without_a_trace(&stack, &four, "no answer from the backend");
    assert!(started.elapsed().as_secs() < 20);
    drop(sender);
    stack.assert_only_in_force(&four, &[&Four::numbered(9)]);
}

#[test]
fn database_connection_is_replaced_when_it_was_cut() {
    let (stack, four) = rotated();
    stack.database.terminate_all();
    let next = Four::numbered(2);
    let output = stack.rotate(&next);
    assert!(output.status.success(), "{}", stderr(&output));
    stack.assert_only_in_force(&next, &[&four]);
}

#[test]
fn only_root_and_the_backend_may_use_the_control_socket() {
    use std::os::unix::fs::PermissionsExt as _;

    let stack = Stack::start();
    let mode = fs::metadata(stack.path("run/control.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // A mode can be changed by mistake, so the backend also looks at who is calling.
    if rustix::process::geteuid().is_root() {
        let program = stack.path("trigger-fast-rotate");
        fs::copy(env!("CARGO_BIN_EXE_trigger-fast-rotate"), &program).unwrap();
        for (path, mode) in [
            (stack.dir.path().to_owned(), 0o755),
            (stack.path("run/control.sock"), 0o666),
        ] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut command = stack.command("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .arg("--recover");
        let output = command.output().unwrap();
        assert!(
            stderr(&output).contains("no answer from the backend"),
            "{}",
            stderr(&output)
        );
        assert!(stack.recover().status.success());
    }
}
