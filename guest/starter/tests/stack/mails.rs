//! The mails that the backend would have sent, as the developer of an app reads them.

use serde_json::json;

use crate::support::{
    Four, Stack,
    app::{App, EVERYTHING, SignedIn, code},
    http::{Request, Response},
};

const PATH: &str = "/api/v1/internal/local-emulator/mails";
const CALLBACK: &str = "http://localhost:3000/handler/magic-link-callback";

fn asked(stack: &Stack, below: &str) -> Request {
    stack
        .request("GET", &format!("{PATH}{below}"))
        .header("x-stack-project-id", "internal")
        .header("x-stack-access-type", "server")
        .header("x-stack-secret-server-key", &Four::placeholders().ssk)
}

/// Whom the mails of a list are to and what their IDs are, newest first.
#[track_caller]
fn listed(stack: &Stack, query: &str) -> Vec<(String, String)> {
    let response = asked(stack, query).send();
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    let items = body["items"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let pair = |item: &serde_json::Value| (text(&item["to"]), text(&item["id"]));
    items.iter().map(pair).collect()
}

fn addresses(mails: &[(String, String)]) -> Vec<&str> {
    mails.iter().map(|(to, _)| to.as_str()).collect()
}

/// Has a magic link mailed, and gives the answer's nonce.
#[track_caller]
fn ask_for_link(app: &App<'_>, email: &str) -> String {
    let body = json!({ "email": email, "callback_url": CALLBACK });
    let sent = app.client(None, "POST", "/auth/otp/send-sign-in-code", &body);
    assert_eq!(sent.status, 200, "{sent:?}");
    sent.json()["nonce"].as_str().unwrap().to_owned()
}

#[test]
fn a_magic_link_is_read_and_signs_in() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", EVERYTHING);
    assert!(listed(&stack, "").is_empty());
    let nonce = ask_for_link(&app, "ada@example.com");
    let mails = listed(&stack, "?to=ADA@example.com");
    let mail = asked(&stack, &format!("/{}", mails[0].1)).send();
    assert_eq!(mail.status, 200, "{mail:?}");
    let mail = mail.json();
    assert_eq!(mail["to"], "ada@example.com");
    assert_eq!(mail["project_id"], app.project_id.as_str());
    assert!(mail["created_at_millis"].as_i64().unwrap() > 0);
    let typed = mail["code"].as_str().unwrap();
    assert!(mail["subject"].as_str().unwrap().contains(typed));
    let link = mail["link"].as_str().unwrap();
    assert!(link.starts_with(CALLBACK), "{link}");
    assert!(mail["text"].as_str().unwrap().contains(link));
    assert!(mail["html"].as_str().unwrap().contains("<a href="));
    let body = json!({ "code": format!("{typed}{nonce}") });
    let signed_in = app.client(None, "POST", "/auth/otp/sign-in", &body);
    SignedIn::of(&signed_in);
}

#[test]
fn other_mails_have_the_code_of_their_link_or_none() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", EVERYTHING);
    let user = app.user("ada@example.com");
    let body = json!({ "email": "ada@example.com", "callback_url": "http://localhost:3000/reset" });
    let sent = app.client(None, "POST", "/auth/password/send-reset-code", &body);
    assert_eq!(sent.status, 200, "{sent:?}");
    let newest = asked(&stack, "?limit=1").send().json()["items"][0].clone();
    assert_eq!(newest["code"], app.mailed_code("ada@example.com").as_str());
    assert!(newest["text"].is_null(), "a list has no texts: {newest}");

    let body = json!({ "user_ids": [user.user_id], "html": "<p>Hi</p>", "subject": "Hi" });
    assert_eq!(app.server("POST", "/emails/send-email", &body).status, 200);
    let newest = asked(&stack, "?limit=1").send().json()["items"][0].clone();
    assert_eq!(newest["subject"], "Hi");
    assert!(
        newest["code"].is_null() && newest["link"].is_null(),
        "{newest}"
    );
}

#[test]
fn a_list_is_newest_first_and_can_be_narrowed() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", EVERYTHING);
    for name in ["ada", "bob", "ada", "cyd"] {
        ask_for_link(&app, &format!("{name}@example.com"));
    }
    let all = listed(&stack, "");
    let [cyd, ada, bob] = ["cyd", "ada", "bob"].map(|name| format!("{name}@example.com"));
    assert_eq!(addresses(&all), [&cyd, &ada, &bob, &ada]);
    assert_eq!(listed(&stack, "?limit=2"), all[..2]);
    assert_eq!(listed(&stack, &format!("?after={}", all[2].1)), all[..2]);
    assert_eq!(listed(&stack, &format!("?after={}", all[0].1)), []);
    let of_ada = listed(&stack, "?to=ada%40example.com");
    assert_eq!(of_ada, [all[1].clone(), all[3].clone()]);
    assert_eq!(
        listed(&stack, &format!("?to=ada@example.com&after={}", all[3].1)),
        [all[1].clone()]
    );
    assert_eq!(listed(&stack, "?to=nobody@example.com"), []);
    let of_app = format!("?project_id={}", app.project_id);
    assert_eq!(listed(&stack, &of_app), all);
    assert_eq!(listed(&stack, "?project_id=internal"), []);
    // Who waits for the next one is not misled when somebody clears the inbox meanwhile.
    let delete = Request::new(stack.inbox_port(), "DELETE", "/api/v1/mailbox/bob").send();
    assert_eq!(delete.status, 200, "{delete:?}");
    assert_eq!(listed(&stack, &format!("?after={}", all[2].1)), all[..2]);

    for limit in ["0", "-1", "1001", "x", "99999999999999999999"] {
        let response = asked(&stack, &format!("?limit={limit}")).send();
        assert_eq!(response.status, 400, "{limit}: {response:?}");
    }
    for unknown in ["?after=nope", "/nope", "/%27%3B"] {
        let response = asked(&stack, unknown).send();
        assert_eq!(response.status, 404, "{unknown}: {response:?}");
        assert_eq!(code(&response), "MAIL_NOT_FOUND");
    }
}

#[test]
fn only_programs_with_the_internal_server_key_read_mails() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", EVERYTHING);
    ask_for_link(&app, "ada@example.com");
    let id = listed(&stack, "")[0].1.clone();
    let refused = |response: &Response, why: &str| {
        assert!(!response.body.contains("ada@example.com"), "{why}");
        assert_eq!(
            response.header("access-control-allow-origin"),
            None,
            "{why}"
        );
        response.status
    };
    for below in [String::new(), format!("/{id}")] {
        let path = format!("{PATH}{below}");
        let with = |project: &str, access: &str, header: &str, key: &str| {
            stack
                .request("GET", &path)
                .header("x-stack-project-id", project)
                .header("x-stack-access-type", access)
                .header(header, key)
                .send()
        };
        let server = "x-stack-secret-server-key";
        let publishable = "x-stack-publishable-client-key";
        let four = Four::placeholders();
        let client = with("internal", "client", publishable, &four.pck);
        assert_eq!(refused(&client, "the publishable key"), 401);
        let wrong = with("internal", "server", server, "wrong");
        assert_eq!(refused(&wrong, "a wrong key"), 401);
        let app_s = with(&app.project_id, "server", server, &app.secret_server_key);
        assert_eq!(refused(&app_s, "an app's server"), 400);
        assert_eq!(refused(&stack.get(&path), "no key"), 400);
        for foreign in [
            ("origin", "https://evil.test"),
            ("host", "evil.test"),
            ("sec-fetch-site", "cross-site"),
        ] {
            let response = asked(&stack, &below).header(foreign.0, foreign.1).send();
            assert_eq!(refused(&response, foreign.1), 403);
        }
        let own = asked(&stack, &below).send();
        assert_eq!(
            (own.status, own.header("access-control-allow-origin")),
            (200, None)
        );
    }
}
