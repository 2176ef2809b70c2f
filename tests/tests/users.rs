//! `users`: accounts of an app, made and removed at a terminal, good for signing in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::Stdio;

use e2e::app::App;
use e2e::{World, leaks};
use serde_json::{Value, json};

const CONFIG: &str =
    "export const config = { auth: { allowSignUp: true, password: { allowSignIn: true } } };\n";
const ADA: &str = "ada@example.com";
const GRACE: &str = "grace@example.com";
/// No shell, file or header could have it as it is; of the length that is looked for.
const TYPED: &str = "a pass word of $grace's, as long as the search for leaks wants i";

#[test]
fn a_user_that_is_made_signs_in_until_it_is_deleted() {
    let world = World::captured();
    let config = App::folder(&world, CONFIG);
    let words = |words: &[&'static str]| {
        let config = [
            OsStr::new("users"),
            OsStr::new("--config-file"),
            config.as_os_str(),
        ];
        let words = words.iter().map(OsStr::new);
        config
            .into_iter()
            .chain(words)
            .map(OsStr::to_owned)
            .collect::<Vec<_>>()
    };
    let users = |some: &[&'static str]| world.run(words(some));
    let stopped = users(&["list", "--json"]).fails_with(3);
    assert_eq!(stopped.error_code(), "not_running");
    world.start();
    assert_eq!(users(&["list"]).ok().stdout, "No users.\n");

    let created = users(&["add", ADA, "--name", "Ada", "--json"]).ok().json();
    let password = created["password"].as_str().unwrap();
    assert_eq!(created["user"]["display_name"], "Ada");
    let app = App::of(&world, &config);
    let sign_in = |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        app.call("/auth/password/sign-in", &body).0
    };
    assert_eq!(sign_in(ADA, password), 200);
    assert_eq!(sign_in(ADA, TYPED), 400);

    let again = users(&["add", ADA, "--json"]).fails_with(1);
    assert_eq!(again.error_code(), "user_refused");
    let no_address = users(&["add", "ada", "--json"]).fails_with(1);
    assert_eq!(no_address.error_code(), "user_refused");

    let mut add = world
        .command(words(&["add", GRACE, "--password-stdin", "--json"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(add.stdin.take().unwrap(), "{TYPED}").unwrap();
    let output = add.wait_with_output().unwrap();
    assert!(output.status.success());
    let typed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(typed.get("password"), None);
    assert_eq!(sign_in(GRACE, TYPED), 200);
    let silent = users(&["add", "x@example.com", "--password-stdin", "--json"]).fails_with(1);
    assert_eq!(silent.error_code(), "password");
    leaks::nowhere(&world.emulator_home, &[TYPED.to_owned()]);

    let list = users(&["list", "--json"]).ok().json();
    let list = list["users"].as_array().unwrap();
    let emails: Vec<_> = list.iter().map(|user| &user["primary_email"]).collect();
    assert_eq!(emails, [GRACE, ADA]);
    let found = users(&["list", "grace", "--json"]).ok().json();
    assert_eq!(found["users"].as_array().unwrap().len(), 1);
    assert_eq!(
        users(&["delete", ADA]).ok().stdout,
        format!("Deleted {ADA}.\n")
    );
    assert_eq!(sign_in(ADA, password), 400);
    let gone = users(&["delete", ADA, "--json"]).fails_with(1);
    assert_eq!(gone.error_code(), "user_missing");
    world.discard();
}
