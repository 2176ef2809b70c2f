//! The official SDK against the backend: `tests/sdk/flow.mjs`, by the newest version and by the oldest that is
//! looked after. `cargo xtask test sdk` installs its packages first.

use std::{env, path::Path, process::Command};

use crate::support::{
    Stack,
    app::{App, EVERYTHING},
};

/// Path of a Node that is new enough.
const NODE: &str = "STACK_EMULATOR_TEST_NODE";

fn flow(sdk: &str) {
    let node = env::var_os(NODE).expect("`cargo xtask test sdk` says where Node is");
    let stack = Stack::start();
    let app = App::new(&stack, "/home/dev/app/stack.config.ts", EVERYTHING);
    let sql =
        r#"SELECT "text" FROM "Mail" WHERE "recipient" = :'to' ORDER BY "number" DESC LIMIT 1"#;
    let newest_mail = r#"echo "$1" | psql --no-psqlrc -At -v to="$3" "$2""#;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let output = Command::new(node)
        .current_dir(folder)
        .args(["flow.mjs", sdk])
        .arg(format!("http://127.0.0.1:{}", stack.backend_port()))
        .args([
            &app.project_id,
            &app.publishable_client_key,
            &app.secret_server_key,
        ])
        .args(["--", "sh", "-c", newest_mail, "newest-mail", sql])
        .arg(stack.database.connection_string("postgres"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_newest_sdk_finds_all_that_it_asks_for() {
    flow("sdk-2.8.108");
}

#[test]
fn the_oldest_sdk_finds_all_that_it_asks_for() {
    flow("sdk-2.8.77");
}
