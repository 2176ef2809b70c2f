//! Signing in with a provider: the way from an app to the mock provider and back.

use std::thread;

use serde_json::{Value, json};

use crate::support::{
    Stack,
    app::{App, PASSWORD, SignedIn, code},
    browser::{CALLBACK, VERIFIER, agree, entry, location, to, typed, unverified},
};

/// A config file with providers, and what else it says of `auth`.
pub(crate) fn config(auth: &str) -> String {
    format!(
        "export const config = {{ auth: {{ password: {{ allowSignIn: true }}, otp: {{ allowSignIn: true }},
           oauth: {{ providers: {{
             github: {{ type: 'github' }},
             google: {{ type: 'google', isShared: false, clientId: 'x', clientSecret: 'y' }},
             work: {{ type: 'microsoft', allowSignIn: false }},
             spotify: {{ type: 'spotify', allowConnectedAccounts: false }},
           }} }}, {auth} }} }};"
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn somebody_signs_up_and_comes_back() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let changes = [(
        "after_callback_redirect_url",
        "http://localhost:3000/there?x=1",
    )];
    let end = app.walk("github", &changes, &typed("Ada@example.com", "Ada L"));
    let tokens = app.redeem(&end);
    assert_eq!(tokens["is_new_user"], true);
    assert_eq!(tokens["newUser"], true);
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["after_callback_redirect_url"], changes[0].1);
    assert_eq!(tokens["afterCallbackRedirectUrl"], changes[0].1);
    let user = app.me(text(&tokens["access_token"]));
    assert_eq!(user["primary_email"], "ada@example.com");
    assert_eq!(user["primary_email_verified"], true);
    assert_eq!(user["display_name"], "Ada L");
    assert_eq!(user["has_password"], false);
    let [provider] = user["oauth_providers"].as_array().unwrap().as_slice() else {
        panic!("{user}");
    };
    assert_eq!(provider["id"], "github");
    assert_eq!(provider["email"], "ada@example.com");
    assert!(!text(&provider["account_id"]).is_empty());
    // A session as any other.
    let refreshed = app.refresh(text(&tokens["refresh_token"]));
    assert_eq!(refreshed.status, 200, "{refreshed:?}");

    // The page remembers people; nobody else is made, and the name here is the user's own.
    let page = app.provider_page("github", &[]);
    let shown = to("GET", &page).send();
    let (_, rest) = shown.body.split_once("name=\"person\" value=\"").unwrap();
    let (person, _) = rest.split_once('"').unwrap();
    let end = agree(&page, &format!("person={person}"));
    let again = app.redeem(&location(&to("GET", &end).send()));
    assert_eq!(again["is_new_user"], false);
    assert_eq!(again["after_callback_redirect_url"], Value::Null);
    assert_eq!(app.me(text(&again["access_token"]))["id"], user["id"]);
    let (_, other) = app.sign_in_with("github", &typed("eve@example.com", ""));
    assert_ne!(other["id"], user["id"]);
    assert_eq!(other["display_name"], Value::Null);
}

#[test]
fn a_browser_that_is_redirected_is_tied_to_its_flow_by_a_cookie() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let changes = [("stack_response_mode", ""), ("hexclave_response_mode", "")];
    let began = app.authorize("github", &changes);
    let cookie = began.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("stack-oauth-inner-"), "{cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    let callback = agree(&location(&began), &typed("ada@example.com", ""));

    let elsewhere = to("GET", &callback).send();
    assert_eq!(elsewhere.status, 400, "{elsewhere:?}");
    assert!(elsewhere.body.contains("cookie not found"));
    // In another browser nothing was lost.
    let (pair, _) = cookie.split_once(';').unwrap();
    let back = to("GET", &callback)
        .header("cookie", &format!("a=b; {pair}"))
        .send();
    let removed = back.header("set-cookie").unwrap().to_owned();
    assert!(removed.contains("Max-Age=0"), "{removed}");
    app.redeem(&location(&back));
    // With JSON there is no cookie.
    assert_eq!(app.authorize("github", &[]).header("set-cookie"), None);
}

#[test]
fn the_callback_is_reached_by_the_name_that_the_app_uses() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let page = app.provider_page("github", &[]);
    let port = stack.mock_oauth_port();
    assert!(
        page.starts_with(&format!("http://127.0.0.1:{port}/authorize?")),
        "{page}"
    );
    for (host, name) in [("localhost:1", "localhost"), ("evil.test", "127.0.0.1")] {
        let query = app_query(&app);
        let path = format!("/api/v1/auth/oauth/authorize/github?{query}");
        let answer = stack.request("GET", &path).header("host", host).send();
        let page = answer.json()["location"].as_str().unwrap().to_owned();
        assert!(
            page.starts_with(&format!("http://{name}:{port}/")),
            "{page}"
        );
        let callback = entry(&page, "redirect_uri").unwrap();
        let expected = format!("http://{name}:{}/", stack.backend_port());
        assert!(callback.starts_with(&expected), "{callback}");
    }
}

fn app_query(app: &App<'_>) -> String {
    starter::query::encoded(&[
        ("client_id", &app.project_id),
        ("client_secret", &app.publishable_client_key),
        ("redirect_uri", CALLBACK),
        ("scope", "legacy"),
        ("state", "s"),
        ("grant_type", "authorization_code"),
        ("code_challenge", &starter::pkce::challenge_of(VERIFIER)),
        ("code_challenge_method", "S256"),
        ("response_type", "code"),
        ("response_mode", "json"),
    ])
}

#[test]
fn a_code_is_redeemed_once_by_who_asked_for_it() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let other = App::new(&stack, "/other/stack.config.ts", &config(""));
    let fresh = || {
        entry(
            &app.walk("github", &[], &typed("ada@example.com", "")),
            "code",
        )
        .unwrap()
    };
    let invalid = |response: &crate::support::http::Response, why: &str| {
        assert_eq!(response.status, 400, "{why}: {response:?}");
        assert_eq!(code(response), "INVALID_AUTHORIZATION_CODE", "{why}");
    };
    let first = fresh();
    assert_eq!(app.redeem_with(&first, VERIFIER, CALLBACK).status, 200);
    invalid(&app.redeem_with(&first, VERIFIER, CALLBACK), "used");

    let wrong = VERIFIER.replace("verifier", "Verifier");
    let second = fresh();
    invalid(
        &app.redeem_with(&second, &wrong, CALLBACK),
        "a wrong verifier",
    );
    invalid(
        &app.redeem_with(&second, VERIFIER, CALLBACK),
        "used up by it",
    );
    invalid(&app.redeem_with(&fresh(), "short", CALLBACK), "no verifier");
    invalid(&app.redeem_with("nope", VERIFIER, CALLBACK), "no code");

    let third = fresh();
    invalid(
        &other.redeem_with(&third, VERIFIER, CALLBACK),
        "another app",
    );
    assert_eq!(app.redeem_with(&third, VERIFIER, CALLBACK).status, 200);
    let elsewhere = app.redeem_with(&fresh(), VERIFIER, "http://localhost:3000/");
    assert_eq!(elsewhere.status, 400);
    assert!(
        elsewhere.body.starts_with("Invalid redirect URI."),
        "{elsewhere:?}"
    );

    let late = fresh();
    stack
        .database
        .run(r#"UPDATE "OAuthCode" SET "expiresAtMillis" = 1"#);
    invalid(&app.redeem_with(&late, VERIFIER, CALLBACK), "too late");
}

#[test]
fn of_many_who_show_one_code_at_once_one_gets_a_session() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    for _ in 0..3 {
        let page = app.provider_page("github", &[]);
        let callback = agree(&page, &typed("ada@example.com", ""));
        let at_once = |count: usize, ask: &(dyn Fn() -> crate::support::http::Response + Sync)| {
            thread::scope(|scope| {
                let threads: Vec<_> = (0..count).map(|_| scope.spawn(ask)).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect::<Vec<_>>()
            })
        };
        let backs = at_once(6, &|| to("GET", &callback).send());
        let ends: Vec<_> = backs.iter().filter(|back| back.status == 303).collect();
        assert_eq!(ends.len(), 1, "{backs:?}");
        let app_code = entry(&location(ends[0]), "code").unwrap();
        let answers = at_once(6, &|| app.redeem_with(&app_code, VERIFIER, CALLBACK));
        let right = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(right, 1, "{answers:?}");
    }
    let users = stack.database.run(r#"SELECT count(*) FROM "User""#);
    assert_eq!(users[0][0].as_deref(), Some("1"));
}

#[test]
fn two_who_come_as_one_new_person_at_once_are_one_user() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let callbacks: Vec<String> = (0..4)
        .map(|_| {
            agree(
                &app.provider_page("github", &[]),
                &typed("ada@example.com", "Ada"),
            )
        })
        .collect();
    let ends: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = callbacks
            .iter()
            .map(|callback| scope.spawn(|| location(&to("GET", callback).send())))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let new: Vec<bool> = ends
        .iter()
        .map(|end| app.redeem(end)["is_new_user"].as_bool().unwrap())
        .collect();
    assert_eq!(new.iter().filter(|is_new| **is_new).count(), 1, "{new:?}");
}

#[test]
fn who_says_no_is_led_to_the_page_for_errors() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let end = app.walk("github", &[], "decision=deny");
    assert_eq!(
        entry(&end, "errorCode").as_deref(),
        Some("OAUTH_PROVIDER_ACCESS_DENIED")
    );
    assert_eq!(
        entry(&end, "message").as_deref(),
        Some("The OAuth provider denied access to the user.")
    );
    assert_eq!(entry(&end, "details").as_deref(), Some("{}"));
    // Without such a page, or with one that is not the app's, the browser shows the error.
    for page in ["", "https://evil.test/", "javascript:alert(1)"] {
        let provider = app.provider_page("github", &[("error_redirect_url", page)]);
        let callback = agree(&provider, "decision=deny");
        let answer = to("GET", &callback).send();
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(code(&answer), "OAUTH_PROVIDER_ACCESS_DENIED");
        assert_eq!(answer.header("location"), None);
        // The flow is over.
        let again = to("GET", &callback).send();
        assert!(
            again.body.contains("Please try signing in again"),
            "{again:?}"
        );
    }
    let users = stack.database.run(r#"SELECT count(*) FROM "User""#);
    assert_eq!(users[0][0].as_deref(), Some("0"));
}

#[test]
fn the_config_file_decides_which_providers_work() {
    let stack = Stack::start();
    let path = "/app/stack.config.ts";
    let app = App::new(&stack, path, &config(""));
    let project = app
        .client(None, "GET", "/projects/current", &Value::Null)
        .json();
    let listed = &project["config"]["enabled_oauth_providers"];
    assert_eq!(
        *listed,
        json!([{ "id": "github" }, { "id": "google" }, { "id": "spotify" }])
    );
    let off = "OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED";
    for provider in ["work", "discord", "constructor", "%2e%2e"] {
        let refused = app.authorize(provider, &[]);
        assert_eq!(
            (refused.status, code(&refused).as_str()),
            (400, off),
            "{provider}"
        );
    }
    // Switched off while somebody is at the provider.
    let page = app.provider_page("github", &[]);
    let callback = agree(&page, &typed("ada@example.com", ""));
    stack.write_host_file(
        path,
        "export const config = { auth: { oauth: { providers: {} } } };",
    );
    App::until("the provider is off", || {
        app.authorize("github", &[]).status == 400
    });
    let end = location(&to("GET", &callback).send());
    assert_eq!(entry(&end, "errorCode").as_deref(), Some(off));
}

#[test]
fn codes_are_sent_to_this_machine_and_trusted_domains_alone() {
    let stack = Stack::start();
    let strict = "export const config = { domains: { allowLocalhost: false, trustedDomains: {
        a: { baseUrl: 'https://app.example.com', handlerPath: '/handler' } } },
        auth: { oauth: { providers: { github: { type: 'github' } } } } };";
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let strict = App::new(&stack, "/strict/stack.config.ts", strict);
    for foreign in [
        "https://evil.test/",
        "http://localhost.evil.test/",
        "http://localhost@evil.test/",
        "javascript:alert(1)",
        "//localhost/",
        "http://localhost:3000/\r\nx: y",
        "http://localhost:3000/é",
        "https://app.example.com/",
    ] {
        for name in ["redirect_uri", "after_callback_redirect_url"] {
            let refused = app.authorize("github", &[(name, foreign)]);
            assert_eq!(refused.status, 400, "{name}={foreign}");
            let expected = "REDIRECT_URL_NOT_WHITELISTED";
            assert_eq!(code(&refused), expected, "{name}={foreign}");
        }
    }
    for own in [
        "http://127.0.0.1:1/x?y=z#hash",
        "https://app.localhost/",
        CALLBACK,
    ] {
        assert_eq!(
            app.authorize("github", &[("redirect_uri", own)]).status,
            200,
            "{own}"
        );
    }
    let trusted = "https://app.example.com/handler/oauth-callback";
    assert_eq!(
        strict
            .authorize("github", &[("redirect_uri", CALLBACK)])
            .status,
        400
    );
    let end = strict.walk("github", &[("redirect_uri", trusted)], &typed("a@b.c", ""));
    assert!(end.starts_with(&format!("{trusted}?code=")), "{end}");
    // A query of the app's own is kept.
    let own = "http://localhost:3000/cb?x=1&code=old#hash";
    let end = app.walk("github", &[("redirect_uri", own)], &typed("a@b.c", ""));
    assert!(
        end.starts_with("http://localhost:3000/cb?x=1&code="),
        "{end}"
    );
    assert!(!end.contains("old") && !end.contains('#'), "{end}");
}

#[test]
fn requests_that_are_not_the_sdks_are_refused_by_name() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let other = App::new(&stack, "/other/stack.config.ts", &config(""));
    let user = app.user("ada@example.com");
    for (change, status, expected) in [
        (
            ("client_id", "nope"),
            400,
            "INVALID_OAUTH_CLIENT_ID_OR_SECRET",
        ),
        (
            ("client_secret", "nope"),
            401,
            "INVALID_PUBLISHABLE_CLIENT_KEY",
        ),
        (
            ("client_secret", &other.publishable_client_key),
            401,
            "INVALID_PUBLISHABLE_CLIENT_KEY",
        ),
        (("scope", "admin"), 400, "INVALID_SCOPE"),
        (("code_challenge", "short"), 400, "SCHEMA_ERROR"),
        (("code_challenge_method", "plain"), 400, "SCHEMA_ERROR"),
        (("response_type", "token"), 400, "SCHEMA_ERROR"),
        (("grant_type", "password"), 400, "SCHEMA_ERROR"),
        (("type", "other"), 400, "SCHEMA_ERROR"),
        (("state", ""), 400, "SCHEMA_ERROR"),
        (("unknown", "x"), 400, "SCHEMA_ERROR"),
        (("token", "nope"), 401, "UNPARSABLE_ACCESS_TOKEN"),
    ] {
        let (name, value): (&str, &str) = change;
        let refused = app.authorize("github", &[(name, value)]);
        assert_eq!(
            (refused.status, code(&refused).as_str()),
            (status, expected),
            "{name}={value}"
        );
    }
    let long = "x".repeat(3000);
    assert_eq!(
        code(&app.authorize("github", &[("state", &long)])),
        "SCHEMA_ERROR"
    );
    let foreign = other.authorize("github", &[("token", &user.access_token)]);
    assert_eq!(code(&foreign), "INVALID_PROJECT_FOR_ACCESS_TOKEN");
    let nobody = app.authorize("github", &[("type", "link")]);
    assert_eq!(nobody.status, 400);
    assert!(nobody.body.contains("?token="), "{nobody:?}");
    // A state that is none, and a provider that is another.
    let none = stack.get("/api/v1/auth/oauth/callback/github?state=nope&code=x");
    assert_eq!(none.status, 400, "{none:?}");
    let page = app.provider_page("github", &[]);
    let callback = agree(&page, &typed("ada@example.com", ""));
    let swapped = callback.replace("/github?", "/google?");
    let end = location(&to("GET", &swapped).send());
    let off = "OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED";
    assert_eq!(entry(&end, "errorCode").as_deref(), Some(off));
}

#[test]
fn a_forged_or_late_answer_of_the_provider_signs_nobody_in() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let page = app.provider_page("github", &[]);
    let state = entry(&page, "state").unwrap();
    let forged = format!("/api/v1/auth/oauth/callback/github?state={state}&code=forged");
    assert_eq!(stack.get(&forged).status, 400);
    // The code of another flow: its verifier is another.
    let mine = agree(
        &app.provider_page("github", &[]),
        &typed("ada@example.com", ""),
    );
    let state = entry(&app.provider_page("github", &[]), "state").unwrap();
    let stolen = format!(
        "/api/v1/auth/oauth/callback/github?state={state}&code={}",
        entry(&mine, "code").unwrap()
    );
    let refused = stack.get(&stolen);
    assert_eq!(
        (refused.status, refused.header("location")),
        (400, None),
        "{refused:?}"
    );

    let late = agree(
        &app.provider_page("github", &[]),
        &typed("ada@example.com", ""),
    );
    stack
        .database
        .run(r#"UPDATE "OAuthFlow" SET "expiresAtMillis" = 1"#);
    let end = location(&to("GET", &late).send());
    assert_eq!(
        entry(&end, "errorCode").as_deref(),
        Some("OUTER_OAUTH_TIMEOUT")
    );
    let users = stack.database.run(r#"SELECT count(*) FROM "User""#);
    assert_eq!(users[0][0].as_deref(), Some("0"));
}

#[test]
fn an_address_that_both_sides_have_verified_is_one_account() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let used = "CONTACT_CHANNEL_ALREADY_USED_FOR_AUTH_BY_SOMEONE_ELSE";
    // Signed up here, but the address is not verified.
    let user = app.user("ada@example.com");
    let end = app.walk("github", &[], &typed("ada@example.com", "Eve"));
    assert_eq!(entry(&end, "errorCode").as_deref(), Some(used));
    let details = entry(&end, "details").unwrap();
    assert!(
        details.contains("\"would_work_if_email_was_verified\":true"),
        "{details}"
    );
    let verified = json!({ "primary_email_verified": true });
    let path = format!("/users/{}", user.user_id);
    assert_eq!(app.server("PATCH", &path, &verified).status, 200);
    // Verified here, but not at the provider.
    assert_eq!(
        app.walk_to_error("google", &[], &unverified("ada@example.com")),
        used
    );
    // Both.
    let (tokens, same) = app.sign_in_with("github", &typed("ada@example.com", "Eve"));
    assert_eq!(tokens["is_new_user"], false);
    assert_eq!(same["id"], user.user_id.as_str());
    assert_eq!(same["display_name"], Value::Null);
    assert_eq!(same["has_password"], true);
    let (_, same) = app.sign_in_with("google", &typed("ada@example.com", ""));
    assert_eq!(same["oauth_providers"].as_array().unwrap().len(), 2);
    // Whose account at the provider it is counts, not what became of the address.
    let (_, same) = app.sign_in_with("github", &unverified("ada@example.com"));
    assert_eq!(same["id"], user.user_id.as_str());
}

#[test]
fn the_config_file_may_want_another_strategy() {
    let stack = Stack::start();
    let with = |path: &str, strategy: &str, sign_up: bool| {
        let config = config(&format!("allowSignUp: {sign_up}")).replace(
            "oauth: {",
            &format!("oauth: {{ accountMergeStrategy: '{strategy}',"),
        );
        App::new(&stack, path, &config)
    };
    let sign_up = |app: &App<'_>| {
        let body = json!({ "primary_email": "ada@example.com", "primary_email_verified": true,
            "primary_email_auth_enabled": true, "password": PASSWORD });
        let made = app.server("POST", "/users", &body);
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["id"].clone()
    };
    let refusing = with("/a/stack.config.ts", "raise_error", true);
    sign_up(&refusing);
    assert_eq!(
        refusing.walk_to_error("github", &[], &typed("ada@example.com", "")),
        "CONTACT_CHANNEL_ALREADY_USED_FOR_AUTH_BY_SOMEONE_ELSE"
    );
    let doubling = with("/b/stack.config.ts", "allow_duplicates", true);
    let id = sign_up(&doubling);
    let (tokens, user) = doubling.sign_in_with("github", &typed("ada@example.com", ""));
    assert_eq!(tokens["is_new_user"], true);
    assert_ne!(user["id"], id);
    assert_eq!(user["primary_email"], "ada@example.com");
    let old = SignedIn::of(&doubling.sign_in("ada@example.com", PASSWORD));
    assert_eq!(id, old.user_id.as_str());

    let closed = with("/c/stack.config.ts", "link_method", false);
    let id = sign_up(&closed);
    let (_, user) = closed.sign_in_with("github", &typed("ada@example.com", ""));
    assert_eq!(user["id"], id);
    let refused = closed.walk_to_error("github", &[], &typed("eve@example.com", ""));
    assert_eq!(refused, "SIGN_UP_NOT_ENABLED");
}

#[test]
fn an_anonymous_user_becomes_the_one_who_signs_up() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let guest = SignedIn::of(&app.client(None, "POST", "/auth/anonymous/sign-up", &json!({})));
    let changes = [("token", guest.access_token.as_str())];
    let tokens = app.redeem(&app.walk("github", &changes, &typed("ada@example.com", "Ada")));
    assert_eq!(tokens["is_new_user"], true);
    let user = app.me(text(&tokens["access_token"]));
    assert_eq!(user["id"], guest.user_id.as_str());
    assert_eq!(user["is_anonymous"], false);
    // Somebody else's sign-in with the token of a user who is not anonymous changes nothing for that user.
    let changes = [("token", text(&tokens["access_token"]))];
    let tokens = app.redeem(&app.walk("github", &changes, &typed("eve@example.com", "")));
    assert_ne!(app.me(text(&tokens["access_token"]))["id"], user["id"]);
}
