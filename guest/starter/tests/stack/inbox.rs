//! The mail inbox: Inbucket's REST interface, the page, and who may use them.

use serde_json::{Value, json};

use crate::support::{
    Stack,
    app::{App, EVERYTHING},
    http::{Request, Response},
};

fn request(stack: &Stack, method: &str, path: &str) -> Request {
    Request::new(stack.inbox_port(), method, path)
}

fn get(stack: &Stack, path: &str) -> Response {
    request(stack, "GET", path).send()
}

/// The JSON at a path of the inbox, which answers 200.
#[track_caller]
fn read(stack: &Stack, path: &str) -> Value {
    let response = get(stack, path);
    assert_eq!(response.status, 200, "{response:?}");
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/json; charset=utf-8"));
    response.json()
}

/// The IDs in a mailbox, in the order of the answer.
#[track_caller]
fn ids(stack: &Stack, mailbox: &str) -> Vec<String> {
    let list = read(stack, &format!("/api/v1/mailbox/{mailbox}"));
    let mails = list.as_array().unwrap().iter();
    mails
        .map(|mail| mail["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Has a magic link mailed.
#[track_caller]
fn ask_for_link(app: &App<'_>, email: &str) {
    let body = json!({ "email": email, "callback_url": "http://localhost:3000/callback" });
    let sent = app.client(None, "POST", "/auth/otp/send-sign-in-code", &body);
    assert_eq!(sent.status, 200, "{sent:?}");
}

fn app(stack: &Stack) -> App<'_> {
    App::new(stack, "/app/stack.config.ts", EVERYTHING)
}

#[test]
fn a_mailbox_answers_as_inbucket_does() {
    let stack = Stack::start();
    let app = app(&stack);
    assert_eq!(read(&stack, "/api/v1/mailbox/ada"), json!([]));
    ask_for_link(&app, "ada+one@example.com");
    ask_for_link(&app, "ada@example.com");
    ask_for_link(&app, "bob@example.com");

    let list = read(&stack, "/api/v1/mailbox/ada");
    let [first, second] = list.as_array().unwrap().as_slice() else {
        panic!("{list}");
    };
    // The oldest is the first one.
    assert_eq!(first["to"], json!(["<ada+one@example.com>"]));
    assert_eq!(second["to"], json!(["<ada@example.com>"]));
    let keys: Vec<&str> = first
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = [
        "mailbox",
        "id",
        "from",
        "to",
        "subject",
        "date",
        "posix-millis",
        "size",
        "seen",
    ];
    expected.sort_unstable();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(
        (&first["mailbox"], &first["seen"]),
        (&json!("ada"), &json!(false))
    );
    let from = first["from"].as_str().unwrap();
    assert!(from.ends_with(" <noreply@example.com>"), "{from}");
    let millis = first["posix-millis"].as_i64().unwrap();
    let date = first["date"].as_str().unwrap();
    let sql = format!("SELECT (extract(epoch FROM '{date}'::timestamptz) * 1000)::bigint::text");
    assert_eq!(
        stack.database.run(&sql)[0][0].as_deref(),
        Some(&*millis.to_string())
    );

    // Names and addresses of the same mailbox, as the ones who ask may have them.
    for name in [
        "Ada",
        "ada+other",
        "ada@example.com",
        "ADA%2Bx%40elsewhere.test",
    ] {
        assert_eq!(
            read(&stack, &format!("/api/v1/mailbox/{name}")),
            list,
            "{name}"
        );
    }
    let id = second["id"].as_str().unwrap();
    let mail = read(&stack, &format!("/api/v1/mailbox/ada/{id}"));
    for (key, value) in second.as_object().unwrap() {
        assert_eq!(&mail[key], value, "{key}");
    }
    assert_eq!(mail["attachments"], json!([]));
    let subject = mail["subject"].as_str().unwrap();
    assert_eq!(mail["header"]["Subject"], json!([subject]));
    assert_eq!(mail["header"]["To"], json!(["<ada@example.com>"]));
    let text = mail["body"]["text"].as_str().unwrap();
    let typed = subject.rsplit(' ').next().unwrap();
    assert!(text.contains(&format!("this code: {typed}")), "{text}");
    assert!(mail["body"]["html"].as_str().unwrap().contains("<a href="));
    assert_eq!(read(&stack, "/api/v1/mailbox/ada/latest"), mail);

    let source = get(&stack, &format!("/api/v1/mailbox/ada/{id}/source"));
    assert_eq!(
        source.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(mail["size"].as_u64(), Some(source.body.len() as u64));
    assert!(source.body.contains(&format!("\r\nSubject: {subject}\r\n")));
    assert!(source.body.contains(typed) && source.body.contains("text/html"));
}

#[test]
fn mails_are_marked_and_deleted() {
    let stack = Stack::start();
    let app = app(&stack);
    for email in [
        "ada@example.com",
        "ada@example.com",
        "ada@example.com",
        "bob@example.com",
    ] {
        ask_for_link(&app, email);
    }
    let before = ids(&stack, "ada");
    let path = format!("/api/v1/mailbox/ada/{}", before[1]);
    let ok = |response: Response| {
        assert_eq!((response.status, response.body.as_str()), (200, "\"OK\""));
    };
    let patch = |body: &str| request(&stack, "PATCH", &path).body(body).send();
    ok(patch("{\"seen\":true}"));
    let seen = |index: usize| read(&stack, "/api/v1/mailbox/ada")[index]["seen"].clone();
    assert_eq!(
        [seen(0), seen(1), seen(2)],
        [json!(false), json!(true), json!(false)]
    );
    ok(patch("{\"seen\":false}"));
    assert_eq!(seen(1), json!(true));
    for wrong in ["", "{", "{\"seen\":\"yes\"}", "[1]"] {
        assert_eq!(patch(wrong).status, 400, "{wrong}");
    }
    let long = format!("{{\"seen\":true,\"x\":\"{}\"}}", "x".repeat(10_000));
    assert_eq!(patch(&long).status, 413);

    ok(request(&stack, "DELETE", &path).send());
    assert_eq!(ids(&stack, "ada"), [before[0].clone(), before[2].clone()]);
    for method in ["GET", "DELETE"] {
        assert_eq!(request(&stack, method, &path).send().status, 404);
    }
    assert_eq!(patch("{\"seen\":true}").status, 404);
    assert_eq!(get(&stack, &format!("{path}/source")).status, 404);
    // A mail is in its own mailbox only.
    let elsewhere = format!("/api/v1/mailbox/bob/{}", before[0]);
    assert_eq!(get(&stack, &elsewhere).status, 404);
    assert_eq!(request(&stack, "DELETE", &elsewhere).send().status, 404);

    ok(request(&stack, "DELETE", "/api/v1/mailbox/ada@example.com").send());
    ok(request(&stack, "DELETE", "/api/v1/mailbox/ada").send());
    assert!(ids(&stack, "ada").is_empty());
    assert_eq!(ids(&stack, "bob").len(), 1);
    ok(request(&stack, "DELETE", "/page/mails").send());
    assert!(ids(&stack, "bob").is_empty());
    assert_eq!(get(&stack, "/api/v1/mailbox/ada/latest").status, 404);
}

#[test]
fn the_page_lists_the_mails_of_all() {
    let stack = Stack::start();
    let app = app(&stack);
    for email in ["ada@example.com", "bob@example.com"] {
        ask_for_link(&app, email);
    }
    let list = read(&stack, "/page/mails");
    let to = |list: &Value| -> Vec<String> {
        let mails = list["mails"].as_array().unwrap().iter();
        mails
            .map(|mail| mail["to"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(to(&list), ["bob@example.com", "ada@example.com"]);
    assert_eq!(list["more"], false);
    let mail = &list["mails"][0];
    assert!(
        mail["subject"]
            .as_str()
            .unwrap()
            .contains(mail["code"].as_str().unwrap())
    );
    assert!(
        mail["link"]
            .as_str()
            .unwrap()
            .starts_with("http://localhost:3000/callback?code=")
    );
    assert_eq!(mail["seen"], false);

    assert_eq!(
        to(&read(&stack, "/page/mails?search=ADA")),
        ["ada@example.com"]
    );
    assert_eq!(to(&read(&stack, "/page/mails?search=sign%20in")).len(), 2);
    assert!(to(&read(&stack, "/page/mails?search=a_a%25")).is_empty());
    let one = read(&stack, "/page/mails?limit=1");
    assert_eq!((to(&one).len(), &one["more"]), (1, &json!(true)));
    let long = format!("search={}", "x".repeat(400));
    for wrong in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "other=1",
        "search=%00",
        &long,
    ] {
        let response = get(&stack, &format!("/page/mails?{wrong}"));
        assert_eq!(response.status, 400, "{wrong}: {response:?}");
    }
}

#[test]
fn the_page_is_served_with_its_policy() {
    let stack = Stack::start();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/assets/inbox.css", "text/css; charset=utf-8"),
        ("/assets/inbox.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let response = get(&stack, path);
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some(kind))
        );
        let policy = response.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    for path in [
        "/assets/",
        "/assets/none.js",
        "/assets/..%2f..%2fetc%2fsecrets.env",
        "/index.html",
        "/api/v1/",
    ] {
        assert_eq!(get(&stack, path).status, 404, "{path}");
    }
}

#[test]
fn the_html_of_a_mail_can_do_nothing() {
    let stack = Stack::start();
    let app = app(&stack);
    let user = app.user("ada@example.com");
    let evil = "<!doctype html><script>alert(1)</script><img src=http://evil.test/>";
    let body =
        json!({ "user_ids": [user.user_id], "html": evil, "subject": "Grüße\r\nBcc: x@y.z" });
    assert_eq!(app.server("POST", "/emails/send-email", &body).status, 200);
    let mail = read(&stack, "/api/v1/mailbox/ada/latest");
    assert_eq!(mail["header"].as_object().unwrap().len(), 7);
    let subject = mail["header"]["Subject"][0].as_str().unwrap();
    assert!(subject.starts_with("=?utf-8?b?"), "{subject}");

    let response = get(&stack, "/page/mails/ada/latest/html");
    assert_eq!(response.status, 200);
    assert!(response.body.ends_with(evil), "{}", response.body);
    let policy = response.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with(
            "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none';"
        )
    );
    for never in [
        "allow-scripts",
        "allow-same-origin",
        "script-src",
        "http:",
        "https:",
        "*",
    ] {
        assert!(!policy.contains(never), "{policy}");
    }
    assert_eq!(get(&stack, "/page/mails/ada/nope/html").status, 404);
}

#[test]
fn pages_of_other_sites_neither_read_nor_delete() {
    let stack = Stack::start();
    let app = app(&stack);
    ask_for_link(&app, "ada@example.com");
    let id = ids(&stack, "ada")[0].clone();
    for (header, value, status) in [
        ("host", "rebound.example:26703", 421),
        ("origin", "https://evil.test", 403),
        ("origin", "http://localhost:3000", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
    ] {
        for (method, path) in [
            ("GET", "/api/v1/mailbox/ada".to_owned()),
            ("GET", format!("/api/v1/mailbox/ada/{id}")),
            ("GET", format!("/api/v1/mailbox/ada/{id}/source")),
            ("DELETE", format!("/api/v1/mailbox/ada/{id}")),
            ("DELETE", "/api/v1/mailbox/ada".to_owned()),
            ("OPTIONS", "/api/v1/mailbox/ada".to_owned()),
            ("GET", "/page/mails".to_owned()),
            ("DELETE", "/page/mails".to_owned()),
            ("GET", format!("/page/mails/ada/{id}/html")),
        ] {
            let response = request(&stack, method, &path).header(header, value).send();
            assert_eq!(response.status, status, "{method} {path} of {value}");
            assert!(!response.body.contains("ada@"), "{response:?}");
            assert_eq!(response.header("access-control-allow-origin"), None);
        }
    }
    assert_eq!(ids(&stack, "ada"), [id]);
    let own = format!("http://127.0.0.1:{}", stack.inbox_port());
    let patch = request(&stack, "PATCH", "/api/v1/mailbox/ada/nope")
        .header("origin", &own)
        .header("sec-fetch-site", "same-origin")
        .body("{\"seen\":true}")
        .send();
    assert_eq!(patch.status, 404, "the inbox's own page is let in");
}

#[test]
fn a_database_that_is_away_is_said() {
    let stack = Stack::start();
    stack
        .database
        .run("ALTER TABLE \"Mail\" RENAME TO \"Away\"");
    for path in ["/api/v1/mailbox/ada", "/page/mails"] {
        let response = get(&stack, path);
        assert_eq!(response.status, 503, "{response:?}");
        assert!(response.body.contains("stack-postgres"), "{response:?}");
    }
    assert_eq!(get(&stack, "/").status, 200);
}
