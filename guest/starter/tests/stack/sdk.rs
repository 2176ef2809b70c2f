//! The official SDK against the backend: `tests/sdk/flow.mjs`, by the newest version and by the oldest that is
//! looked after; and `tests/sdk/oauth.mjs`, the same in Chromium. `cargo xtask test sdk` installs its packages first.

use std::{env, path::Path, process::Command};

use crate::support::{
    Stack,
    app::{App, EVERYTHING},
};

/// Path of a Node that is new enough.
const NODE: &str = "STACK_EMULATOR_TEST_NODE";

/// What the config file says of providers.
const PROVIDERS: &str =
    "oauth: { providers: { github: { type: 'github' }, google: { type: 'google' } } }";

/// Runs a script with the SDK, the addresses of a stack and its app, and more.
fn run(script: &str, sdk: &str, arguments: impl FnOnce(&Stack) -> Vec<String>) {
    let node = env::var_os(NODE).expect("`cargo xtask test sdk` says where Node is");
    let stack = Stack::start();
    let config = EVERYTHING.replace("auth: {", &format!("auth: {{ {PROVIDERS},"));
    let app = App::new(&stack, "/home/dev/app/stack.config.ts", &config);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let output = Command::new(node)
        .current_dir(folder)
        .args([script, sdk])
        .arg(format!("http://127.0.0.1:{}", stack.backend_port()))
        .args([
            &app.project_id,
            &app.publishable_client_key,
            &app.secret_server_key,
        ])
        .args(arguments(&stack))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn flow(sdk: &str) {
    let sql =
        r#"SELECT "text" FROM "Mail" WHERE "recipient" = :'to' ORDER BY "number" DESC LIMIT 1"#;
    let newest_mail = r#"echo "$1" | psql --no-psqlrc -At -v to="$3" "$2""#;
    run("flow.mjs", sdk, |stack| {
        let database = stack.database.connection_string("postgres");
        ["--", "sh", "-c", newest_mail, "newest-mail", sql, &database]
            .map(str::to_owned)
            .to_vec()
    });
}

#[test]
fn the_newest_sdk_finds_all_that_it_asks_for() {
    flow("sdk-2.8.108");
}

#[test]
fn the_oldest_sdk_finds_all_that_it_asks_for() {
    flow("sdk-2.8.77");
}

#[test]
fn the_newest_sdk_signs_in_with_providers() {
    run("oauth.mjs", "sdk-2.8.108", |_| Vec::new());
}

#[test]
fn the_oldest_sdk_signs_in_with_providers() {
    run("oauth.mjs", "sdk-2.8.77", |_| Vec::new());
}
