//! The mock OAuth provider by itself, as standards and attackers see it.

use std::thread;

use serde_json::Value;
use starter::{pkce, query};

use crate::{
    oauth::config,
    support::{
        Four, Stack,
        app::App,
        browser::{VERIFIER, entry, location, to, typed},
        http::{Request, Response},
    },
};

fn at(stack: &Stack, method: &str, path: &str) -> Request {
    Request::new(stack.mock_oauth_port(), method, path)
}

/// A request for a code by who knows [`VERIFIER`], to the backend's callback.
fn page(stack: &Stack) -> String {
    let callback = callback(stack);
    query::with_entries(
        &format!("http://127.0.0.1:{}/authorize", stack.mock_oauth_port()),
        &[
            ("client_id", "github"),
            ("redirect_uri", &callback),
            ("response_type", "code"),
            ("scope", "email repo"),
            ("state", "s"),
            ("code_challenge", &pkce::challenge_of(VERIFIER)),
            ("code_challenge_method", "S256"),
        ],
    )
}

fn callback(stack: &Stack) -> String {
    let port = stack.backend_port();
    format!("http://127.0.0.1:{port}/api/v1/auth/oauth/callback/github")
}

fn agree(page: &str, form: &str) -> Response {
    to("POST", page)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
}

#[track_caller]
fn fresh_code(stack: &Stack) -> String {
    let answer = location(&agree(&page(stack), &typed("ada@example.com", "Ada")));
    assert_eq!(entry(&answer, "state").as_deref(), Some("s"));
    entry(&answer, "code").expect("a code")
}

/// What the client shows for a code, with entries changed.
fn redeem(stack: &Stack, code: &str, changes: &[(&str, &str)]) -> Response {
    let callback = callback(stack);
    let mut entries = vec![
        ("grant_type", "authorization_code"),
        ("client_id", "github"),
        ("code", code),
        ("redirect_uri", &callback),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in changes {
        entries.retain(|(known, _)| known != name);
        entries.push((name, value));
    }
    token(stack, &query::encoded(&entries))
}

fn token(stack: &Stack, form: &str) -> Response {
    at(stack, "POST", "/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
}

fn userinfo(stack: &Stack, token: &str) -> Response {
    at(stack, "GET", "/userinfo")
        .header("authorization", &format!("Bearer {token}"))
        .send()
}

#[test]
fn a_client_gets_tokens_for_a_code_and_learns_who_it_is() {
    let stack = Stack::start();
    let found = at(&stack, "GET", "/.well-known/oauth-authorization-server").send();
    let found = found.json();
    let issuer = format!("http://127.0.0.1:{}", stack.mock_oauth_port());
    assert_eq!(found["issuer"], issuer.as_str());
    assert_eq!(found["token_endpoint"], format!("{issuer}/token").as_str());
    assert_eq!(
        found["code_challenge_methods_supported"],
        serde_json::json!(["S256"])
    );

    let granted = redeem(&stack, &fresh_code(&stack), &[]);
    assert_eq!(granted.status, 200, "{granted:?}");
    assert_eq!(granted.header("cache-control"), Some("no-store"));
    let granted = granted.json();
    assert_eq!(granted["token_type"], "Bearer");
    assert_eq!(granted["expires_in"], 3600);
    assert_eq!(granted["scope"], "email repo");
    let person = userinfo(&stack, granted["access_token"].as_str().unwrap()).json();
    assert_eq!(person["email"], "ada@example.com");
    assert_eq!(person["name"], "Ada");

    let refresh_token = granted["refresh_token"].as_str().unwrap();
    assert_eq!(
        userinfo(&stack, refresh_token).status,
        401,
        "it is for /token"
    );
    let refresh = |client: &str, token_: &str| {
        let entries = [
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("refresh_token", token_),
        ];
        token(&stack, &query::encoded(&entries))
    };
    let again = refresh("github", refresh_token);
    assert_eq!(again.status, 200, "{again:?}");
    assert_ne!(again.json()["access_token"], granted["access_token"]);
    assert_eq!(
        refresh("google", refresh_token).json()["error"],
        "invalid_grant"
    );
    let access_token = granted["access_token"].as_str().unwrap();
    assert_eq!(
        refresh("github", access_token).json()["error"],
        "invalid_grant"
    );
    assert_eq!(
        token(&stack, "grant_type=password").json()["error"],
        "unsupported_grant_type"
    );
    for wrong in ["", "nope"] {
        assert_eq!(userinfo(&stack, wrong).status, 401);
    }
    // It is over after an hour.
    stack
        .database
        .run(r#"UPDATE "MockOAuthToken" SET "expiresAtMillis" = 1"#);
    assert_eq!(userinfo(&stack, access_token).status, 401);
    assert_eq!(
        refresh("github", refresh_token).json()["error"],
        "invalid_grant"
    );
}

#[test]
fn a_code_is_bound_to_its_client_address_and_verifier_and_good_once() {
    let stack = Stack::start();
    let invalid = |response: &Response, why: &str| {
        assert_eq!(response.status, 400, "{why}: {response:?}");
        assert_eq!(response.json()["error"], "invalid_grant", "{why}");
    };
    let elsewhere = callback(&stack).replace("127.0.0.1", "localhost");
    let wrong = VERIFIER.replace("verifier", "Verifier");
    for change in [
        ("client_id", "google"),
        ("redirect_uri", elsewhere.as_str()),
        ("code_verifier", wrong.as_str()),
        ("code_verifier", ""),
        ("code", "nope"),
        ("code", "a\0b"),
    ] {
        let code = fresh_code(&stack);
        invalid(&redeem(&stack, &code, &[change]), change.0);
        if change.0 != "code" {
            invalid(&redeem(&stack, &code, &[]), "used up");
        }
    }
    let late = fresh_code(&stack);
    stack
        .database
        .run(r#"UPDATE "MockOAuthCode" SET "expiresAtMillis" = 1"#);
    invalid(&redeem(&stack, &late, &[]), "too late");
    let code = fresh_code(&stack);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| redeem(&stack, &code, &[]).status))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let right = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(right, 1, "{statuses:?}");
}

#[test]
fn pages_have_no_script_and_show_what_was_typed_as_text() {
    let stack = Stack::start();
    agree(
        &page(&stack),
        &typed("ada@example.com", "<script>alert(1)</script>"),
    );
    for path in [
        "/",
        "/style.css",
        "/nope",
        "/authorize",
        "/.well-known/oauth-authorization-server",
    ] {
        let answer = at(&stack, "GET", path).send();
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let shown = to("GET", &page(&stack)).send();
    assert_eq!(shown.status, 200);
    assert!(
        shown.body.contains("&lt;script&gt;alert(1)"),
        "{}",
        shown.body
    );
    assert!(!shown.body.contains("<script"), "{}", shown.body);
    // What is wrong is said beside what was typed.
    let again = agree(&page(&stack), &typed("no \"address\"", "Name"));
    assert_eq!(again.status, 422, "{again:?}");
    assert!(
        again.body.contains("Enter an email address"),
        "{}",
        again.body
    );
    assert!(
        again.body.contains("value=\"no &quot;address&quot;\""),
        "{}",
        again.body
    );
    let long = "x".repeat(101);
    assert_eq!(agree(&page(&stack), &typed("a@b.c", &long)).status, 422);
    for unknown in ["person=nope", "person=%00"] {
        assert_eq!(agree(&page(&stack), unknown).status, 422, "{unknown}");
    }
    let large = agree(&page(&stack), &format!("email={}", "x".repeat(20_000)));
    assert_eq!(large.status, 413, "{large:?}");
}

#[test]
fn nobody_else_can_send_the_form_or_be_sent_a_code() {
    let stack = Stack::start();
    let form = typed("ada@example.com", "");
    let own = format!("http://127.0.0.1:{}", stack.mock_oauth_port());
    for (header, value, status) in [
        ("origin", own.as_str(), 303),
        ("sec-fetch-site", "same-origin", 303),
        ("origin", "https://evil.test", 403),
        ("origin", "null", 403),
        ("origin", "http://localhost:3000", 403),
        ("sec-fetch-site", "cross-site", 403),
    ] {
        let answer = to("POST", &page(&stack))
            .header("content-type", "application/x-www-form-urlencoded")
            .header(header, value)
            .body(&form)
            .send();
        assert_eq!(answer.status, status, "{header}: {value}");
    }
    for host in ["evil.test", "127.0.0.1.evil.test", "evil.test:26704"] {
        let answer = at(&stack, "GET", "/").header("host", host).send();
        assert_eq!(answer.status, 421, "{host}");
    }
    for (from, to_) in [
        ("127.0.0.1", "evil.test"),
        ("callback%2Fgithub", "callback%2Fgoogle"),
        ("callback%2Fgithub", "callback%2Fgithub%2F..%2Fx"),
        ("client_id=github", "client_id=a%20b"),
    ] {
        let path = page(&stack);
        let (start, query) = path.split_once('?').unwrap();
        let foreign = format!("{start}?{}", query.replace(from, to_));
        for answer in [to("GET", &foreign).send(), agree(&foreign, &form)] {
            assert_eq!(answer.status, 400, "{foreign}");
            assert_eq!(answer.header("location"), None);
        }
    }
    // Other faults are the client's to know.
    let plain = page(&stack).replace("S256", "plain");
    let told = location(&to("GET", &plain).send());
    assert_eq!(entry(&told, "error").as_deref(), Some("invalid_request"));
}

#[test]
fn people_tokens_and_flows_outlive_the_backend() {
    let mut stack = Stack::start();
    let before = redeem(&stack, &fresh_code(&stack), &[]).json();
    let person = |stack: &Stack, granted: &Value| {
        userinfo(stack, granted["access_token"].as_str().unwrap()).json()["sub"].clone()
    };
    let id = person(&stack, &before);
    let page = {
        let app = App::new(&stack, "/app/stack.config.ts", &config(""));
        app.provider_page("github", &[])
    };
    stack.kill_backend();
    stack.start_backend();
    assert_eq!(person(&stack, &before), id);
    // The same address is the same person, with any client.
    let after = redeem(&stack, &fresh_code(&stack), &[]).json();
    assert_eq!(person(&stack, &after), id);
    let callback = location(&agree(&page, &typed("eve@example.com", "")));
    let end = location(&to("GET", &callback).send());
    assert!(entry(&end, "code").is_some(), "{end}");
}

#[test]
fn what_is_over_is_removed() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    app.walk("github", &[], &typed("ada@example.com", ""));
    app.provider_page("github", &[]);
    fresh_code(&stack);
    let tables = ["OAuthFlow", "OAuthCode", "MockOAuthCode", "MockOAuthToken"];
    let count = |table: &str| {
        let rows = stack
            .database
            .run(&format!(r#"SELECT count(*) FROM "{table}""#));
        rows[0][0].clone().unwrap()
    };
    let prune = || {
        let answer = stack
            .request("GET", "/api/latest/internal/local-emulator/prune-step")
            .header(
                "authorization",
                &format!("Bearer {}", Four::placeholders().cron),
            )
            .send();
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    prune();
    for table in tables {
        assert_ne!(count(table), "0", "{table}");
        stack
            .database
            .run(&format!(r#"UPDATE "{table}" SET "expiresAtMillis" = 1"#));
    }
    prune();
    for table in tables {
        assert_eq!(count(table), "0", "{table}");
    }
}
