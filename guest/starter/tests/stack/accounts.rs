//! Accounts beyond what was recorded: many requests at once, guesses, and what the config file or the access
//! type does not allow.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    Four, Stack,
    app::{App, EVERYTHING, PASSWORD, SignedIn, code},
    http::Response,
};

const PATH: &str = "/home/dev/app/stack.config.ts";

/// Sends the same request from several threads at once.
fn at_once(count: usize, call: impl Fn(usize) -> Response + Sync) -> Vec<Response> {
    let barrier = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..count)
            .map(|index| {
                let (barrier, call) = (&barrier, &call);
                scope.spawn(move || {
                    barrier.wait();
                    call(index)
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

#[track_caller]
fn assert_one_wins(responses: &[Response], others: &str) {
    let won = responses
        .iter()
        .filter(|response| response.status == 200)
        .count();
    assert_eq!(won, 1, "{responses:?}");
    for response in responses.iter().filter(|response| response.status != 200) {
        assert_eq!(code(response), others);
    }
}

#[test]
fn of_sign_ups_with_one_address_at_once_exactly_one_succeeds() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let spellings = ["ada@example.com", "ADA@example.com", " ada@Example.com"];
    let responses = at_once(9, |index| app.sign_up(spellings[index % 3]));
    assert_one_wins(&responses, "USER_EMAIL_ALREADY_EXISTS");
    let users = app.server("GET", "/users", &Value::Null).json();
    assert_eq!(users["items"].as_array().unwrap().len(), 1);
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).status, 200);
}

#[test]
fn of_requests_with_one_code_at_once_exactly_one_succeeds() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let body = json!({ "email": "ada@example.com", "callback_url": "http://localhost:3000/m" });
    let sent = app.client(None, "POST", "/auth/otp/send-sign-in-code", &body);
    assert_eq!(sent.status, 200);
    let mailed = app.mailed_code("ada@example.com");
    let body = json!({ "code": mailed });
    let responses = at_once(8, |_| app.client(None, "POST", "/auth/otp/sign-in", &body));
    assert_one_wins(&responses, "VERIFICATION_CODE_ALREADY_USED");
    let sessions = stack.database.run(r#"SELECT count(*) FROM "Session""#);
    assert_eq!(sessions[0][0].as_deref(), Some("1"));

    // The same for a password: one new one, not two.
    let body = json!({ "email": "ada@example.com", "callback_url": "http://localhost:3000/r" });
    app.client(None, "POST", "/auth/password/send-reset-code", &body);
    let mailed = app.mailed_code("ada@example.com");
    let responses = at_once(4, |index| {
        let body = json!({ "code": mailed, "password": format!("Correct-horse-{index}") });
        app.client(None, "POST", "/auth/password/reset", &body)
    });
    assert_one_wins(&responses, "VERIFICATION_CODE_ALREADY_USED");
    let right = (0..4).filter(|index| {
        app.sign_in("ada@example.com", &format!("Correct-horse-{index}"))
            .status
            == 200
    });
    assert_eq!(right.count(), 1);
}

#[test]
fn of_two_hundred_sign_ins_at_once_none_is_lost() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    app.user("ada@example.com");
    let responses = at_once(200, |_| app.sign_in("ada@example.com", PASSWORD));
    let tokens: BTreeSet<String> = responses
        .iter()
        .map(|response| SignedIn::of(response).refresh_token)
        .collect();
    assert_eq!(tokens.len(), 200);
    for token in tokens.iter().take(5) {
        assert_eq!(app.refresh(token).status, 200);
    }
}

#[test]
fn a_code_is_dead_after_twenty_guesses() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let body = json!({ "email": "ada@example.com", "callback_url": "http://localhost:3000/m" });
    let nonce = app
        .client(None, "POST", "/auth/otp/send-sign-in-code", &body)
        .json()["nonce"]
        .as_str()
        .unwrap()
        .to_owned();
    let guess = |typed: &str| {
        let body = json!({ "code": format!("{typed}{nonce}") });
        app.client(None, "POST", "/auth/otp/sign-in", &body)
    };
    for index in 0..20 {
        // Letters that no code has.
        assert_eq!(
            code(&guess(&format!("{index:03}uuu"))),
            "VERIFICATION_CODE_NOT_FOUND"
        );
    }
    let right = app.mailed_code("ada@example.com");
    assert_eq!(
        code(&guess(&right[..6])),
        "VERIFICATION_CODE_MAX_ATTEMPTS_REACHED"
    );
}

#[test]
fn codes_are_good_for_their_purpose_project_and_time_alone() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let other = App::new(&stack, "/other/stack.config.ts", EVERYTHING);
    app.user("ada@example.com");
    let body = json!({ "email": "ada@example.com", "callback_url": "http://localhost:3000/r" });
    app.client(None, "POST", "/auth/password/send-reset-code", &body);
    let mailed = app.mailed_code("ada@example.com");
    let body = json!({ "code": mailed });
    let check = "/auth/password/reset/check-code";
    for (app, path) in [
        (&app, "/auth/otp/sign-in"),
        (&app, "/contact-channels/verify"),
        (&other, check),
    ] {
        let response = app.client(None, "POST", path, &body);
        assert_eq!(code(&response), "VERIFICATION_CODE_NOT_FOUND", "{path}");
    }
    // As it is typed from the mail, in upper case.
    let typed = json!({ "code": mailed.to_uppercase() });
    assert_eq!(app.client(None, "POST", check, &typed).status, 200);
    stack
        .database
        .run(r#"UPDATE "VerificationCode" SET "expiresAtMillis" = 1"#);
    assert_eq!(
        code(&app.client(None, "POST", check, &body)),
        "VERIFICATION_CODE_EXPIRED"
    );
}

#[test]
fn a_session_ends_when_it_is_ended_and_at_no_other_project() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let other = App::new(&stack, "/other/stack.config.ts", EVERYTHING);
    let ada = app.user("ada@example.com");
    assert_eq!(app.refresh(&ada.refresh_token).status, 200);
    assert_eq!(
        code(&other.refresh(&ada.refresh_token)),
        "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
    );
    let token = Some(ada.access_token.as_str());
    let elsewhere = other.client(token, "GET", "/users/me", &Value::Null);
    assert_eq!(code(&elsewhere), "INVALID_PROJECT_FOR_ACCESS_TOKEN");
    let ended = app.client(token, "DELETE", "/auth/sessions/current", &json!({}));
    assert_eq!(ended.status, 200);
    assert_eq!(
        code(&app.refresh(&ada.refresh_token)),
        "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
    );

    let body = json!({ "user_id": ada.user_id, "expires_in_millis": 60_000 });
    let made = app.server("POST", "/auth/sessions", &body).json();
    let refresh = made["refresh_token"].as_str().unwrap();
    assert_eq!(app.refresh(refresh).status, 200);
    stack
        .database
        .run(r#"UPDATE "Session" SET "expiresAtMillis" = 1"#);
    assert_eq!(
        code(&app.refresh(refresh)),
        "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
    );
}

#[test]
fn nothing_that_opens_an_account_is_in_the_database() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let ada = app.user("ada@example.com");
    let token = Some(ada.access_token.as_str());
    let body = json!({ "user_id": "me", "description": "ci" });
    let key = app.client(token, "POST", "/user-api-keys", &body).json()["value"]
        .as_str()
        .unwrap()
        .to_owned();
    for table in ["Session", "OwnedApiKey", "User"] {
        let rows = stack
            .database
            .run(&format!(r#"SELECT t::text FROM "{table}" t"#));
        let text = format!("{rows:?}");
        assert!(rows.len() == 1 && text.contains(&ada.user_id), "{table}");
        for secret in [&ada.refresh_token, &key, &PASSWORD.to_owned()] {
            assert!(!text.contains(secret.as_str()), "{table}");
        }
    }
}

#[test]
fn each_access_type_sees_and_does_its_own() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let (ada, bob) = (app.user("ada@example.com"), app.user("bob@example.com"));
    let token = Some(ada.access_token.as_str());
    for (method, path) in [
        ("GET", "/users".to_owned()),
        ("GET", format!("/users/{}", bob.user_id)),
        ("DELETE", format!("/users/{}", bob.user_id)),
        ("POST", "/auth/sessions".to_owned()),
        ("POST", "/user-api-keys/check".to_owned()),
    ] {
        let response = app.client(token, method, &path, &json!({}));
        assert_eq!(
            code(&response),
            "INSUFFICIENT_ACCESS_TYPE",
            "{method} {path}"
        );
    }
    for path in [
        format!("/contact-channels?user_id={}", bob.user_id),
        format!("/auth/sessions?user_id={}", bob.user_id),
        format!("/teams?user_id={}", bob.user_id),
        format!("/user-api-keys?user_id={}", bob.user_id),
        format!("/team-permissions?user_id={}", bob.user_id),
    ] {
        let response = app.client(token, "GET", &path, &Value::Null);
        assert_eq!(response.status, 403, "{path}: {}", response.body);
    }
    // What servers alone may set is unknown to pages.
    for field in [
        "server_metadata",
        "client_read_only_metadata",
        "primary_email",
        "password",
    ] {
        let response = app.client(token, "PATCH", "/users/me", &json!({ field: null }));
        assert_eq!(code(&response), "SCHEMA_ERROR", "{field}");
    }
    let me = app.client(None, "GET", "/users/me", &Value::Null);
    assert_eq!(code(&me), "CANNOT_GET_OWN_USER_WITHOUT_USER");
}

#[test]
fn what_the_config_file_does_not_allow_is_refused() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let ada = app.user("ada@example.com");
    let token = Some(ada.access_token.as_str());
    let invited = json!({ "email": "x@y.z", "callback_url": "http://localhost:3000/" });
    let closed = App::new(
        &stack,
        PATH,
        "export const config = { auth: { allowSignUp: false, password: { allowSignIn: true } } };",
    );
    assert_eq!(closed.project_id, app.project_id);
    assert_eq!(code(&app.sign_up("eve@example.com")), "SIGN_UP_NOT_ENABLED");
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).status, 200);
    let sent = app.client(None, "POST", "/auth/otp/send-sign-in-code", &invited);
    assert_eq!(sent.status, 403);
    let team = json!({ "display_name": "T", "creator_user_id": "me" });
    assert_eq!(app.client(token, "POST", "/teams", &team).status, 403);
    assert_eq!(
        app.client(token, "DELETE", "/users/me", &Value::Null)
            .status,
        400
    );
    let key = json!({ "user_id": "me", "description": "ci" });
    assert_eq!(
        app.client(token, "POST", "/user-api-keys", &key).status,
        400
    );

    App::new(&stack, PATH, "");
    assert_eq!(
        code(&app.sign_up("eve@example.com")),
        "PASSWORD_AUTHENTICATION_NOT_ENABLED"
    );

    // Without roles, not even who made a team may do anything in it.
    App::new(
        &stack,
        PATH,
        "export const config = { teams: { allowClientTeamCreation: true } };",
    );
    let made = app.client(token, "POST", "/teams", &team);
    assert_eq!(made.status, 201);
    let path = format!("/teams/{}", made.json()["id"].as_str().unwrap());
    let response = app.client(token, "PATCH", &path, &json!({ "display_name": "U" }));
    assert_eq!(code(&response), "TEAM_PERMISSION_REQUIRED");
}

#[test]
fn links_lead_to_trusted_places_alone() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    for (path, extra) in [
        ("/auth/otp/send-sign-in-code", "callback_url"),
        ("/auth/password/send-reset-code", "callback_url"),
        ("/auth/password/sign-up", "verification_callback_url"),
    ] {
        let mut body = json!({ "email": "ada@example.com" });
        if path.ends_with("sign-up") {
            body["password"] = json!(PASSWORD);
        }
        body[extra] = json!("https://evil.test/");
        let response = app.client(None, "POST", path, &body);
        assert_eq!(code(&response), "REDIRECT_URL_NOT_WHITELISTED", "{path}");
    }
    assert!(stack.database.run(r#"SELECT 1 FROM "Mail""#).is_empty());
}

#[test]
fn odd_input_is_refused_by_name_and_changes_nothing() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let ada = app.user("ada@example.com");
    let token = Some(ada.access_token.as_str());
    for (body, named) in [
        (json!({ "display_name": "a\0b" }), "body.display_name"),
        (json!({ "display_name": 5 }), "body.display_name"),
        (
            json!({ "client_metadata": { "a": "\0" } }),
            "body.client_metadata",
        ),
        (
            json!({ "displayname": "x" }),
            "unknown properties: displayname",
        ),
    ] {
        let response = app.client(token, "PATCH", "/users/me", &body);
        assert_eq!(code(&response), "SCHEMA_ERROR", "{body}");
        assert!(response.body.contains(named), "{}", response.body);
    }
    let stranger = "00000000-0000-4000-8000-000000000000";
    let response = app.client(
        token,
        "PATCH",
        "/users/me",
        &json!({ "selected_team_id": stranger }),
    );
    assert_eq!(code(&response), "TEAM_MEMBERSHIP_NOT_FOUND");
    for (path, expected) in [
        ("/users?limit=x", "SCHEMA_ERROR"),
        ("/users?order_by=name", "SCHEMA_ERROR"),
        ("/users/' OR 1=1 --", "USER_NOT_FOUND"),
    ] {
        let response = app.server("GET", &path.replace(' ', "%20"), &Value::Null);
        assert_eq!(code(&response), expected, "{path}");
    }
    let nul = app.server("GET", "/teams/%00", &Value::Null);
    assert_eq!(nul.status, 400);
    let me = app.client(token, "GET", "/users/me", &Value::Null).json();
    assert_eq!(
        (&me["display_name"], &me["client_metadata"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn pages_of_users_are_whole_and_in_order() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    for index in 0..7 {
        let body = json!({ "primary_email": format!("u{index}@example.com"), "display_name": format!("100%_{index}") });
        assert_eq!(app.server("POST", "/users", &body).status, 201);
    }
    for order in [
        "",
        "&desc=true",
        "&order_by=last_active_at",
        "&order_by=last_active_at&desc=true",
    ] {
        let all = app.server(
            "GET",
            &format!("/users?{}", order.trim_start_matches('&')),
            &Value::Null,
        );
        let whole: Vec<Value> = ids(&all.json());
        assert_eq!(whole.len(), 7);
        let (mut paged, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let from = cursor
                .map(|cursor| format!("&cursor={cursor}"))
                .unwrap_or_default();
            let page = app
                .server("GET", &format!("/users?limit=3{order}{from}"), &Value::Null)
                .json();
            paged.extend(ids(&page));
            cursor = page["pagination"]["next_cursor"]
                .as_str()
                .map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(paged, whole, "{order}");
    }
    // What a search is given is text, no pattern.
    for (query, expected) in [("100%25_3", 1), ("%25", 7), ("0__", 0), ("U5@", 1)] {
        let found = app
            .server("GET", &format!("/users?query={query}"), &Value::Null)
            .json();
        assert_eq!(ids(&found).len(), expected, "{query}");
    }
}

fn ids(page: &Value) -> Vec<Value> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|user| user["id"].clone()).collect()
}

#[test]
fn an_anonymous_user_keeps_what_is_theirs_when_they_sign_up() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let guest = SignedIn::of(&app.client(None, "POST", "/auth/anonymous/sign-up", &Value::Null));
    let token = Some(guest.access_token.as_str());
    let refused = app.client(token, "GET", "/users/me", &Value::Null);
    assert_eq!(code(&refused), "ANONYMOUS_AUTHENTICATION_NOT_ALLOWED");
    let as_guest = |method: &str, path: &str, body: &Value| {
        app.request("client", method, path, body)
            .header("x-stack-access-token", &guest.access_token)
            .header("x-stack-allow-anonymous-user", "true")
            .send()
    };
    let me = as_guest("GET", "/users/me", &Value::Null).json();
    assert_eq!(me["is_anonymous"], true);
    assert_eq!(me["restricted_reason"], json!({ "type": "anonymous" }));
    as_guest(
        "PATCH",
        "/users/me",
        &json!({ "client_metadata": { "cart": [1] } }),
    );
    let listed = |query: &str| ids(&app.server("GET", query, &Value::Null).json()).len();
    assert_eq!(
        (listed("/users"), listed("/users?include_anonymous=true")),
        (0, 1)
    );

    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let ada = SignedIn::of(&as_guest("POST", "/auth/password/sign-up", &body));
    assert_eq!(ada.user_id, guest.user_id);
    let token = Some(ada.access_token.as_str());
    let me = app.client(token, "GET", "/users/me", &Value::Null).json();
    assert_eq!(
        (&me["is_anonymous"], &me["restricted_reason"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(me["client_metadata"], json!({ "cart": [1] }));
    // The old token is a guest's still, and takes nobody's place a second time.
    let body = json!({ "email": "eve@example.com", "password": PASSWORD });
    let eve = SignedIn::of(&as_guest("POST", "/auth/password/sign-up", &body));
    assert_ne!(eve.user_id, ada.user_id);
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).status, 200);
}

#[test]
fn a_changed_config_file_is_seen_without_being_told() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    assert_eq!(app.sign_up("ada@example.com").status, 200);
    stack.write_host_file(
        PATH,
        "export const config = { auth: { allowSignUp: false, password: { allowSignIn: true } } };",
    );
    let mut tried = 0;
    App::until("new accounts are refused", || {
        tried += 1;
        app.sign_up(&format!("u{tried}@example.com")).status == 400
    });
    assert_eq!(code(&app.sign_up("bob@example.com")), "SIGN_UP_NOT_ENABLED");

    // What is not understood changes nothing, and who asks is told what is wrong.
    stack.write_host_file(PATH, "export const config = {");
    let body = json!({ "absolute_file_path": PATH }).to_string();
    let told = stack.project_call(&Four::placeholders().ssk, &body);
    assert!(
        told.status == 400 && told.body.contains("line 1"),
        "{}",
        told.body
    );
    assert_eq!(code(&app.sign_up("bob@example.com")), "SIGN_UP_NOT_ENABLED");
    stack.write_host_file(PATH, EVERYTHING);
    App::until("new accounts are made", || {
        app.sign_up("bob@example.com").status == 200
    });
}

#[test]
fn a_server_writes_to_its_users() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let (ada, bob) = (app.user("ada@example.com"), app.user("bob@example.com"));
    let mails = || {
        let sql =
            r#"SELECT "recipient", "subject", "text", "html" FROM "Mail" ORDER BY "recipient""#;
        stack.database.run(sql)
    };
    let mut body =
        json!({ "user_ids": [ada.user_id], "subject": "Hi\r\nBcc: x", "html": "<p>Hello</p>" });
    assert_eq!(app.server("POST", "/emails/send-email", &body).status, 200);
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        text("ada@example.com"),
        text("Hi  Bcc: x"),
        text("Hello\n"),
        text("<p>Hello</p>"),
    ];
    assert_eq!(mails(), [expected]);
    // All or none.
    body["user_ids"] = json!([bob.user_id, "nobody"]);
    let refused = app.server("POST", "/emails/send-email", &body);
    assert_eq!(code(&refused), "USER_ID_DOES_NOT_EXIST");
    assert_eq!(mails().len(), 1);
    let all = json!({ "all_users": true, "subject": "S", "html": "x" });
    assert_eq!(app.server("POST", "/emails/send-email", &all).status, 200);
    assert_eq!(mails().len(), 3);
    let token = Some(ada.access_token.as_str());
    let refused = app.client(token, "POST", "/emails/send-email", &all);
    assert_eq!(code(&refused), "INSUFFICIENT_ACCESS_TYPE");
}

#[test]
fn a_server_ends_a_session_by_its_id_alone() {
    let stack = Stack::start();
    let app = App::new(&stack, PATH, EVERYTHING);
    let ada = app.user("ada@example.com");
    let path = format!("/auth/sessions?user_id={}", ada.user_id);
    let sessions = app.server("GET", &path, &Value::Null).json();
    let path = format!(
        "/auth/sessions/{}",
        sessions["items"][0]["id"].as_str().unwrap()
    );
    assert_eq!(app.server("DELETE", &path, &Value::Null).status, 200);
    assert_eq!(
        code(&app.refresh(&ada.refresh_token)),
        "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
    );
}
