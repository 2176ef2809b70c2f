//! Signing in to the dashboard, and what its page may do then.

use serde_json::{Value, json};

use crate::support::{
    Four, Stack,
    app::{App, EVERYTHING, code},
    http::{Request, Response},
};

const OWN: &str = "/api/v1/internal/local-emulator";

/// A stack with both servers.
fn both() -> Stack {
    let mut stack = Stack::start();
    stack.start_dashboard();
    stack
}

/// A request as the dashboard's page makes it.
fn of_page(stack: &Stack, method: &str, path: &str, body: &Value) -> Request {
    let mut request =
        Request::new(stack.dashboard_port(), method, path).header("sec-fetch-site", "same-origin");
    if method != "GET" {
        let origin = format!("http://127.0.0.1:{}", stack.dashboard_port());
        request = request.header("origin", &origin);
    }
    if body.is_null() {
        return request;
    }
    request
        .header("content-type", "application/json")
        .body(&body.to_string())
}

/// What a browser has of a session: the cookie, and the page's part.
#[derive(Clone)]
struct Session {
    cookie: String,
    page_part: String,
}

impl Session {
    #[track_caller]
    fn of(response: &Response) -> Self {
        assert_eq!(response.status, 200, "{response:?}");
        let set = response.header("set-cookie").unwrap();
        let (cookie, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
        let page_part = response.json()["page_part"].as_str().unwrap().to_owned();
        assert!(!cookie.contains(&page_part));
        Self {
            cookie: cookie.to_owned(),
            page_part,
        }
    }

    fn shown_in(&self, request: Request) -> Request {
        request
            .header("cookie", &self.cookie)
            .header("x-dashboard-session", &self.page_part)
    }

    fn call(&self, stack: &Stack, method: &str, path: &str, body: &Value) -> Response {
        self.shown_in(of_page(stack, method, path, body)).send()
    }

    /// Status of a call that needs a session.
    fn status(&self, stack: &Stack) -> u16 {
        let path = format!("{OWN}/projects");
        self.call(stack, "GET", &path, &Value::Null).status
    }
}

fn sign_in_by_key(stack: &Stack, key: &str) -> Response {
    of_page(stack, "POST", "/session", &json!({ "key": key })).send()
}

fn sign_in_by_code(stack: &Stack, code: &str) -> Response {
    of_page(stack, "POST", "/session", &json!({ "code": code })).send()
}

fn signed_in(stack: &Stack) -> Session {
    Session::of(&sign_in_by_key(stack, &Four::placeholders().ssk))
}

/// Asks for a link as the command line does.
fn link(stack: &Stack, access: &str, header: &str, key: &str) -> Request {
    stack
        .request("POST", &format!("{OWN}/dashboard-links"))
        .header("x-stack-project-id", "internal")
        .header("x-stack-access-type", access)
        .header(header, key)
}

fn by_server(stack: &Stack) -> Request {
    let key = Four::placeholders().ssk;
    link(stack, "server", "x-stack-secret-server-key", &key)
}

#[track_caller]
fn code_of(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["code"].as_str().unwrap().to_owned()
}

fn count(stack: &Stack, table: &str) -> String {
    let rows = stack
        .database
        .run(&format!(r#"SELECT count(*) FROM "{table}""#));
    rows[0][0].clone().unwrap()
}

#[test]
fn a_link_signs_in_once() {
    let stack = both();
    let code_of_link = code_of(&by_server(&stack).send());
    let session = Session::of(&sign_in_by_code(&stack, &code_of_link));
    assert_eq!(session.status(&stack), 200);
    let again = sign_in_by_code(&stack, &code_of_link);
    assert_eq!(
        (again.status, code(&again).as_str()),
        (401, "DASHBOARD_LINK_NOT_VALID")
    );
    assert_eq!(again.header("set-cookie"), None);
    let admin = Four::placeholders().sak;
    let admin = link(&stack, "admin", "x-stack-super-secret-admin-key", &admin).send();
    assert_eq!(sign_in_by_code(&stack, &code_of(&admin)).status, 200);
    for wrong in ["", "x", &"0".repeat(45), "a\u{0}b"] {
        let refused = sign_in_by_code(&stack, wrong);
        assert!(matches!(refused.status, 400 | 401), "{refused:?}");
    }
}

#[test]
fn of_many_who_have_a_link_at_once_one_signs_in() {
    let stack = both();
    let code = code_of(&by_server(&stack).send());
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| sign_in_by_code(&stack, &code).status))
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let signed_in = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(signed_in, 1, "{statuses:?}");
    assert_eq!(count(&stack, "DashboardSession"), "1");
}

#[test]
fn links_and_sessions_end_with_their_time() {
    let stack = both();
    let session = signed_in(&stack);
    let code = code_of(&by_server(&stack).send());
    for table in ["DashboardLink", "DashboardSession"] {
        let sql = format!(r#"UPDATE "{table}" SET "expiresAtMillis" = 1"#);
        stack.database.run(&sql);
    }
    assert_eq!(sign_in_by_code(&stack, &code).status, 401);
    let response = session.call(&stack, "GET", &format!("{OWN}/projects"), &Value::Null);
    assert_eq!(response.status, 401);
    assert_eq!(response.json()["code"], "ADMIN_ACCESS_TOKEN_EXPIRED");
    // The next ones take their place.
    signed_in(&stack);
    by_server(&stack).send();
    assert_eq!(count(&stack, "DashboardLink"), "1");
    assert_eq!(count(&stack, "DashboardSession"), "1");
}

#[test]
fn a_rotation_ends_links_and_sessions() {
    let stack = both();
    let session = signed_in(&stack);
    let code = code_of(&by_server(&stack).send());
    let four = Four::numbered(1);
    assert!(stack.rotate(&four).status.success());
    assert_eq!(session.status(&stack), 401);
    assert_eq!(sign_in_by_code(&stack, &code).status, 401);
    assert_eq!(by_server(&stack).send().status, 401);
    assert_eq!(
        sign_in_by_key(&stack, &Four::placeholders().ssk).status,
        401
    );
    let session = Session::of(&sign_in_by_key(&stack, &format!(" {}\n", four.ssk)));
    assert_eq!(session.status(&stack), 200);
}

#[test]
fn other_keys_and_pages_get_no_link() {
    let stack = both();
    let app = App::new(&stack, "/app/stack.config.ts", EVERYTHING);
    let four = Four::placeholders();
    let publishable = "x-stack-publishable-client-key";
    let server = "x-stack-secret-server-key";
    for (access, header, key, status) in [
        ("client", publishable, four.pck.as_str(), 401),
        ("server", server, four.pck.as_str(), 401),
        ("server", server, "", 401),
    ] {
        for below in ["dashboard-links", "dashboard-sessions"] {
            let response = stack
                .request("POST", &format!("{OWN}/{below}"))
                .header("x-stack-project-id", "internal")
                .header("x-stack-access-type", access)
                .header(header, key)
                .send();
            assert_eq!(response.status, status, "{access} {below}: {response:?}");
        }
    }
    let of_app = stack
        .request("POST", &format!("{OWN}/dashboard-links"))
        .header("x-stack-project-id", &app.project_id)
        .header("x-stack-access-type", "server")
        .header(server, &app.secret_server_key);
    assert_eq!(of_app.send().status, 400);
    for (name, value) in [
        ("origin", "https://evil.test"),
        ("host", "evil.test"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let foreign = by_server(&stack).header(name, value).send();
        assert_eq!(foreign.status, 403, "{name}");
    }
    for key in [
        four.pck.as_str(),
        app.secret_server_key.as_str(),
        "x",
        "",
        "é",
    ] {
        let refused = sign_in_by_key(&stack, key);
        assert_eq!(refused.status, 401, "{key}");
        assert_eq!(refused.header("set-cookie"), None);
    }
    // Who has a session cannot make more of it.
    let session = signed_in(&stack);
    for below in ["dashboard-links", "dashboard-sessions"] {
        let more = session.call(&stack, "POST", &format!("{OWN}/{below}"), &Value::Null);
        assert_eq!(more.status, 401, "{below}: {more:?}");
    }
    assert_eq!(count(&stack, "DashboardLink"), "0");
    assert_eq!(count(&stack, "DashboardSession"), "1");
}

#[test]
fn only_the_dashboards_own_page_signs_in_and_calls() {
    let stack = both();
    let port = stack.dashboard_port();
    let session = signed_in(&stack);
    let body = json!({ "key": Four::placeholders().ssk }).to_string();
    let path = format!("{OWN}/projects");
    for (name, value) in [
        ("origin", "https://evil.test".to_owned()),
        ("origin", format!("http://127.0.0.1:{}", port + 1)),
        ("origin", format!("http://localhost:{port}")),
        ("origin", "null".to_owned()),
        ("sec-fetch-site", "same-site".to_owned()),
        ("sec-fetch-site", "cross-site".to_owned()),
    ] {
        let sign_in = Request::new(port, "POST", "/session")
            .header("content-type", "application/json")
            .header(name, &value)
            .body(&body)
            .send();
        assert_eq!(sign_in.status, 403, "{name}: {value}");
        let call = session.shown_in(Request::new(port, "GET", &path).header(name, &value));
        assert_eq!(call.send().status, 403, "{name}: {value}");
    }
    // What changes something needs an origin: a form of HTML would send none.
    let silent = Request::new(port, "POST", "/session")
        .header("content-type", "application/json")
        .body(&body);
    assert_eq!(silent.send().status, 403);
    let silent = session.shown_in(Request::new(port, "DELETE", "/session"));
    assert_eq!(silent.send().status, 403);
    assert_eq!(session.status(&stack), 200);
}

#[test]
fn one_part_of_a_session_is_none() {
    let stack = both();
    let session = signed_in(&stack);
    let other = signed_in(&stack);
    let path = format!("{OWN}/projects");
    let plain = || of_page(&stack, "GET", &path, &Value::Null);
    let part = &session.page_part;
    for request in [
        plain(),
        plain().header("cookie", &session.cookie),
        plain().header("x-dashboard-session", part),
        plain()
            .header(
                "cookie",
                &session.cookie.replace("dashboard-", "dashboard-1"),
            )
            .header("x-dashboard-session", part),
        plain()
            .header("cookie", &other.cookie)
            .header("x-dashboard-session", part),
    ] {
        assert_eq!(request.send().status, 401, "{request:?}");
    }
    // The database does not tell what to show either.
    let digest = stack
        .database
        .run(r#"SELECT encode("tokenDigest", 'hex') FROM "DashboardSession""#);
    let stored = digest[0][0].clone().unwrap();
    let cookie = session.cookie.split_once('=').unwrap().1;
    assert!(!stored.contains(cookie) && !stored.contains(part.as_str()));
}

#[test]
fn signing_out_ends_one_session() {
    let stack = both();
    let (session, other) = (signed_in(&stack), signed_in(&stack));
    let out = session.call(&stack, "DELETE", "/session", &Value::Null);
    assert_eq!(out.status, 200, "{out:?}");
    let cookie = out.header("set-cookie").unwrap();
    assert!(
        cookie.ends_with("=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"),
        "{cookie}"
    );
    assert_eq!(session.status(&stack), 401);
    assert_eq!(other.status(&stack), 200);
    // A page that finds out later signs out all the same.
    let again = session.call(&stack, "DELETE", "/session", &Value::Null);
    assert_eq!(again.status, 200, "{again:?}");
    let nobody = of_page(&stack, "DELETE", "/session", &Value::Null).send();
    assert_eq!(nobody.status, 401);
}

#[test]
fn a_session_is_admin_of_every_project() {
    let stack = both();
    let app = App::new(&stack, "/app/stack.config.ts", EVERYTHING);
    let user = app.user("ada@example.com");
    let session = signed_in(&stack);
    let projects = session.call(&stack, "GET", &format!("{OWN}/projects"), &Value::Null);
    assert_eq!(projects.status, 200, "{projects:?}");
    let projects = projects.json();
    let [first, internal] = projects["items"].as_array().unwrap().as_slice() else {
        panic!("{projects}");
    };
    assert_eq!(first["id"], app.project_id.as_str());
    assert_eq!(first["absolute_file_path"], "/app/stack.config.ts");
    assert_eq!(
        (&first["user_count"], &first["team_count"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(internal["id"], "internal");
    assert_eq!(internal["absolute_file_path"], Value::Null);

    let in_app = |method: &str, path: &str, body: &Value| {
        let request = of_page(&stack, method, &format!("/api/v1{path}"), body)
            .header("x-stack-project-id", &app.project_id);
        session.shown_in(request).send()
    };
    let path = format!("/users/{}", user.user_id);
    let read = in_app("GET", &path, &Value::Null);
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(read.json()["primary_email"], "ada@example.com");
    assert_eq!(read.json()["server_metadata"], Value::Null);
    assert_eq!(read.header("access-control-allow-origin"), None);
    let body = json!({ "display_name": "Ada", "server_metadata": { "a": 1 } });
    let changed = in_app("PATCH", &path, &body);
    assert_eq!(changed.json()["server_metadata"], json!({ "a": 1 }));
    let found = in_app("GET", "/users?query=ADA&limit=1&desc=true", &Value::Null);
    assert_eq!(found.json()["items"][0]["display_name"], "Ada");
    assert_eq!(in_app("DELETE", &path, &Value::Null).status, 200);
    let gone = in_app("GET", &path, &Value::Null);
    assert_eq!((gone.status, code(&gone).as_str()), (404, "USER_NOT_FOUND"));
    let nowhere =
        of_page(&stack, "GET", "/api/v1/users", &Value::Null).header("x-stack-project-id", "nope");
    let nowhere = session.shown_in(nowhere).send();
    assert_eq!(code(&nowhere), "CURRENT_PROJECT_NOT_FOUND");
}

#[test]
fn what_a_page_sends_does_not_take_the_sessions_place() {
    let stack = both();
    let app = App::new(&stack, "/app/stack.config.ts", EVERYTHING);
    let four = Four::placeholders();
    let path = "/api/v1/users";
    // Without a session no key is of use here.
    for (name, value) in [
        ("x-stack-super-secret-admin-key", four.sak.as_str()),
        ("x-stack-admin-access-token", &"0".repeat(90)),
    ] {
        let request = of_page(&stack, "GET", path, &Value::Null)
            .header("x-stack-project-id", "internal")
            .header("x-stack-access-type", "admin")
            .header(name, value);
        assert_eq!(request.send().status, 401, "{name}");
    }
    // With one, keys and the newer headers change nothing.
    let session = signed_in(&stack);
    let request = of_page(&stack, "GET", path, &Value::Null)
        .header("x-stack-project-id", &app.project_id)
        .header("x-hexclave-project-id", "internal")
        .header("x-hexclave-access-type", "client")
        .header("x-stack-override-error-status", "true");
    let response = session.shown_in(request).send();
    assert_eq!(response.status, 200, "{response:?}");
    // The backend takes no other token, and that only for admin access.
    for (access, token) in [("admin", "0".repeat(90)), ("server", "0".repeat(90))] {
        let direct = stack
            .request("GET", path)
            .header("x-stack-project-id", &app.project_id)
            .header("x-stack-access-type", access)
            .header("x-stack-admin-access-token", &token)
            .send();
        assert_eq!(direct.status, 401, "{access}: {direct:?}");
    }
}

#[test]
fn without_a_backend_the_page_is_told_so() {
    let mut stack = both();
    let session = signed_in(&stack);
    stack.kill_backend();
    let call = session.call(&stack, "GET", "/api/v1/users", &Value::Null);
    assert_eq!(call.status, 502, "{call:?}");
    assert_eq!(call.json()["code"], "BACKEND_UNAVAILABLE");
    assert_eq!(
        sign_in_by_key(&stack, &Four::placeholders().ssk).status,
        502
    );
    stack.start_backend();
    assert_eq!(session.status(&stack), 200);
}

#[test]
fn large_bodies_and_other_paths_are_refused() {
    let stack = both();
    let session = signed_in(&stack);
    let large = json!({ "display_name": "x".repeat(70_000) });
    assert_eq!(
        session.call(&stack, "POST", "/api/v1/users", &large).status,
        413
    );
    for path in [
        "/api/v2/users",
        "/api/latest/users",
        "/api",
        "/session/x",
        "/health",
    ] {
        assert_eq!(
            session.call(&stack, "GET", path, &Value::Null).status,
            404,
            "{path}"
        );
    }
}
