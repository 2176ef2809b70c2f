//! Cron endpoints and the cron runner.

use std::process::Stdio;

use serde_json::json;

use crate::support::{
    Four, Stack,
    app::{App, EVERYTHING},
    read_all,
};

#[test]
fn the_prune_step_removes_what_can_never_be_used() {
    let stack = Stack::start();
    stack.write_host_file("/a.ts", "");
    stack.write_host_file("/b.ts", "");
    let call = |path: &str| {
        let body = format!(r#"{{"absolute_file_path":"{path}"}}"#);
        stack.project_call(&Four::placeholders().ssk, &body).json()
    };
    let (a, b) = (call("/a.ts"), call("/b.ts"));
    stack.database.run(&format!(
        r#"UPDATE "ApiKeySet" SET "expiresAt" = now() WHERE "projectId" IN ('{}', 'internal')"#,
        a["project_id"].as_str().unwrap()
    ));
    let prune = || {
        stack
            .request("GET", "/api/latest/internal/local-emulator/prune-step")
            .header(
                "authorization",
                &format!("Bearer {}", Four::placeholders().cron),
            )
            .send()
            .json()
    };
    assert_eq!(prune()["pruned"], 1);
    assert_eq!(prune()["pruned"], 0);
    stack
        .database
        .run(r#"UPDATE "ApiKeySet" SET "expiresAt" = now() + interval '1 day'"#);
    // The same project again, with other keys.
    let again = call("/a.ts");
    assert_eq!(again["project_id"], a["project_id"]);
    assert_ne!(again["secret_server_key"], a["secret_server_key"]);
    assert_eq!(call("/b.ts"), b);
}

#[test]
fn cron_endpoints_take_nothing_but_the_secret() {
    let stack = Stack::start();
    let cron = Four::placeholders().cron;
    for path in ["email-queue-step", "local-emulator/prune-step"] {
        let status = |value: &str| {
            stack
                .request("GET", &format!("/api/v1/internal/{path}"))
                .header("authorization", value)
                .send()
                .status
        };
        assert_eq!(status(&format!("Bearer {cron}")), 200);
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            &cron,
            &format!("Basic {cron}"),
            &format!("Bearer {cron}0"),
            &format!("Bearer {}", &cron[1..]),
            &format!("Bearer {}", Four::placeholders().pck),
        ] {
            assert_eq!(status(wrong), 401, "{wrong}");
        }
    }
}

#[test]
fn without_a_secret_in_the_database_nobody_gets_in() {
    let stack = Stack::start();
    for sql in [
        r#"UPDATE "EmulatorSecret" SET "value" = ''"#,
        r#"DELETE FROM "EmulatorSecret""#,
    ] {
        stack.database.run(sql);
        assert_eq!(stack.cron_status(&Four::placeholders().cron), 401);
        assert_eq!(stack.cron_status(""), 401);
    }
}

#[test]
fn the_runner_uses_the_secret_of_the_moment() {
    let stack = Stack::start();
    assert!(stack.rotate(&Four::numbered(1)).status.success());
    stack.database.run(
        r#"INSERT INTO "Project" ("id", "displayName") VALUES ('other', 'Other');
           INSERT INTO "ApiKeySet" ("projectId", "id", "description", "expiresAt")
           VALUES ('other', '00000000-0000-4000-8000-000000000000', '', now())"#,
    );
    let mut runner = stack
        .command(env!("CARGO_BIN_EXE_stack-cron"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its first round prunes the expired keys.
    let sql = r#"SELECT count(*) FROM "ApiKeySet" WHERE "projectId" = 'other'"#;
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while stack.database.run(sql)[0][0].as_deref() != Some("0") {
        assert!(
            std::time::Instant::now() < deadline,
            "the runner did not call"
        );
        std::thread::yield_now();
    }
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert_eq!(read_all(runner.stderr.take().unwrap()), "");
}

#[test]
fn the_runner_reports_trouble_without_the_secret() {
    let stack = Stack::installed();
    let mut runner = stack
        .command(env!("CARGO_BIN_EXE_stack-cron"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(runner.stderr.take().unwrap()));
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("is stack-backend running?"), "{line}");
    assert!(!line.contains(&Four::placeholders().cron), "{line}");
    runner.kill().unwrap();
    runner.wait().unwrap();
}

#[test]
fn sessions_and_codes_that_are_over_are_pruned() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", EVERYTHING);
    let (ada, _bob) = (app.user("ada@example.com"), app.user("bob@example.com"));
    for email in ["ada@example.com", "bob@example.com"] {
        let body = json!({ "email": email, "callback_url": "http://localhost:3000/" });
        let sent = app.client(None, "POST", "/auth/password/send-reset-code", &body);
        assert_eq!(sent.status, 200);
    }
    let left = || {
        let sql =
            r#"SELECT (SELECT count(*) FROM "Session"), (SELECT count(*) FROM "VerificationCode")"#;
        stack.database.run(sql)[0].clone()
    };
    let two = Some("2".to_owned());
    let prune = || {
        stack
            .request("GET", "/api/latest/internal/local-emulator/prune-step")
            .header(
                "authorization",
                &format!("Bearer {}", Four::placeholders().cron),
            )
            .send()
            .status
    };
    assert_eq!((prune(), left()), (200, vec![two.clone(), two]));
    stack.database.run(&format!(
        r#"UPDATE "Session" SET "expiresAtMillis" = 1 WHERE "userId" = '{0}';
           UPDATE "VerificationCode" SET "expiresAtMillis" = 1 WHERE "userId" = '{0}'"#,
        ada.user_id
    ));
    let one = Some("1".to_owned());
    assert_eq!((prune(), left()), (200, vec![one.clone(), one]));
}
