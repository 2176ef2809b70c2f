//! The official SDK, oldest and newest, against a running emulator: what apps do, and signing in with providers in
//! Chromium. The scripts are those that try the starter's backend by itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::path::Path;
use std::process::Command;

use e2e::World;
use e2e::app::App;

/// Path of a Node that is new enough.
const NODE: &str = "STACK_EMULATOR_TEST_NODE";
/// All that the recorded exchanges need.
const EVERYTHING: &str = include_str!("../../guest/starter/tests/conformance/stack.config.ts");
const PROVIDERS: &str =
    "oauth: { providers: { github: { type: 'github' }, google: { type: 'google' } } }";

#[test]
fn both_versions_find_all_that_they_ask_for() {
    let world = World::captured();
    world.start();
    let config = EVERYTHING.replace("auth: {", &format!("auth: {{ {PROVIDERS},"));
    for sdk in ["sdk-2.8.108", "sdk-2.8.77"] {
        // A project of its own for each: they use the same addresses.
        let file = App::folder(&world, &config).with_file_name(format!("{sdk}.config.ts"));
        std::fs::write(&file, &config).unwrap();
        let app = App::of(&world, &file);
        run(&world, "flow.mjs", sdk, &app);
        run(&world, "oauth.mjs", sdk, &app);
    }
    world.discard();
}

#[track_caller]
fn run(world: &World, script: &str, sdk: &str, app: &App) {
    let node = std::env::var_os(NODE).expect("`cargo xtask test e2e` says where Node is");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/starter/tests/sdk");
    // What prints the newest mail to an address that comes last.
    let mail = world.command(["mail", "latest", "--to"]);
    let variables = mail.get_envs();
    let variables = variables.filter_map(|(name, value)| Some((name, value?)));
    let output = Command::new(node)
        .current_dir(folder)
        .envs(variables)
        .args([script, sdk])
        .args(
            [
                "api_url",
                "project_id",
                "publishable_client_key",
                "secret_server_key",
            ]
            .map(|field| app.text(field)),
        )
        .arg("--")
        .arg(mail.get_program())
        .args(mail.get_args())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
