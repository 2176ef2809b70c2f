//! The backend's answers beyond those that were recorded.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Four, Stack, http::Response};

const CONFIG: &str = "/home/dev/app/stack.config.ts";

fn call(stack: &Stack, path: &str) -> Response {
    stack.project_call(
        &Four::placeholders().ssk,
        &json!({ "absolute_file_path": path }).to_string(),
    )
}

#[test]
fn one_path_is_one_project_however_it_is_spelt() {
    let stack = Stack::start();
    stack.write_host_file(CONFIG, "export const config = { teams: {} };");
    stack.write_host_file("/other/stack.config.ts", "export const config = {};");
    let first = call(&stack, CONFIG);
    assert_eq!(first.status, 200);
    assert_eq!(call(&stack, CONFIG).body, first.body);
    assert_eq!(
        call(&stack, "/home//dev/./x/../app/stack.config.ts").body,
        first.body
    );
    let other = call(&stack, "/other/stack.config.ts").json();
    for field in [
        "project_id",
        "publishable_client_key",
        "secret_server_key",
        "super_secret_admin_key",
    ] {
        assert_ne!(other[field], first.json()[field], "{field}");
    }
}

#[test]
fn first_calls_at_once_make_one_project() {
    let stack = Stack::start();
    stack.write_host_file(CONFIG, "export const config = {};");
    let bodies: BTreeSet<String> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| call(&stack, CONFIG)))
            .collect();
        calls
            .into_iter()
            .map(|call| call.join().unwrap())
            .map(|response| {
                assert_eq!(response.status, 200);
                response.body
            })
            .collect()
    });
    assert_eq!(bodies.len(), 1);
}

#[test]
fn a_project_is_usable_with_its_keys_and_shows_its_settings() {
    let stack = Stack::start();
    let shown = |credentials: &serde_json::Value, access: &str, header: &str, key: &str| {
        stack
            .request("GET", "/api/v1/projects/current")
            .header(
                "x-stack-project-id",
                credentials["project_id"].as_str().unwrap(),
            )
            .header("x-stack-access-type", access)
            .header(header, key)
            .send()
    };
    stack.write_host_file(CONFIG, "export const config = {};");
    let credentials = call(&stack, CONFIG).json();
    let keys = [
        (
            "client",
            "x-stack-publishable-client-key",
            "publishable_client_key",
        ),
        ("server", "x-stack-secret-server-key", "secret_server_key"),
        (
            "admin",
            "x-stack-super-secret-admin-key",
            "super_secret_admin_key",
        ),
    ];
    for (access, header, field) in keys {
        let response = shown(
            &credentials,
            access,
            header,
            credentials[field].as_str().unwrap(),
        );
        assert_eq!(response.status, 200);
        let body = response.json();
        assert_eq!(body["display_name"], "Local Emulator: stack.config.ts");
        assert_eq!(body["config"]["credential_enabled"], false);
        // Keys of one level are no keys of another, nor of another project.
        for (_, _, other) in keys.iter().filter(|(_, _, other)| *other != field) {
            let key = credentials[*other].as_str().unwrap();
            assert_eq!(shown(&credentials, access, header, key).status, 401);
        }
        let internal = json!({ "project_id": "internal" });
        let key = credentials[field].as_str().unwrap();
        assert_eq!(shown(&internal, access, header, key).status, 401);
    }

    stack.write_host_file(
        CONFIG,
        "export const config = { auth: { password: { allowSignIn: true } } };",
    );
    call(&stack, CONFIG);
    let key = credentials["publishable_client_key"].as_str().unwrap();
    let body = shown(
        &credentials,
        "client",
        "x-stack-publishable-client-key",
        key,
    )
    .json();
    assert_eq!(body["config"]["credential_enabled"], true);

    // Its keys are good for itself, not for asking about other projects.
    let response = stack
        .request("POST", "/api/v1/internal/local-emulator/project")
        .header("content-type", "application/json")
        .header(
            "x-stack-project-id",
            credentials["project_id"].as_str().unwrap(),
        )
        .header("x-stack-access-type", "client")
        .header("x-stack-publishable-client-key", key)
        .body(&json!({ "absolute_file_path": CONFIG }).to_string())
        .send();
    assert_eq!(response.status, 400);
    assert_eq!(response.header("x-stack-known-error"), Some("SCHEMA_ERROR"));
}

#[test]
fn settings_come_back_as_the_file_has_them() {
    let stack = Stack::start();
    stack.write_host_file(CONFIG, "import x from 'y';\nexport const config: X = {\n  // c\n  'auth.otp': { allowSignIn: true, }, teams: null,\n};\n");
    let config = call(&stack, CONFIG).json()["branch_config_override_string"]
        .as_str()
        .unwrap()
        .to_owned();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(
        config,
        json!({ "auth.otp": { "allowSignIn": true }, "teams": null })
    );
}

#[test]
fn a_file_that_is_not_understood_says_where() {
    let stack = Stack::start();
    for (content, expected) in [
        (
            "export const config = {\n  key: process.env.KEY,\n};",
            "line 2",
        ),
        ("export const config = make();", "must be an object literal"),
        ("const config = {};", "there is no `export const config"),
        ("export const config = {", "never closed"),
        (
            "export const config = {\n  auth: {\n    pasword: { allowSignIn: true },\n  },\n};",
            "line 3, column 5: `auth.pasword` is not a setting: there is no `pasword`; did you mean `password`?",
        ),
    ] {
        stack.write_host_file(CONFIG, content);
        let response = call(&stack, CONFIG);
        assert_eq!(response.status, 400);
        assert_eq!(
            response.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert!(response.body.contains(expected), "{}", response.body);
        assert!(response.body.contains(CONFIG), "{}", response.body);
    }
}

#[test]
fn paths_that_are_no_config_file_are_refused() {
    let stack = Stack::start();
    std::fs::write(stack.path("outside.ts"), "export const config = {};").unwrap();
    stack.write_host_file("/app/x", "");
    for path in [
        "/app",
        "/app/x/y",
        "/",
        "/../outside.ts",
        "/app/../../outside.ts",
        "relative",
        "",
        "C:\\app",
        "/app\0/x",
    ] {
        let response = call(&stack, path);
        assert_eq!(response.status, 400, "{path}: {}", response.body);
    }
}

#[test]
fn bodies_are_checked() {
    let stack = Stack::start();
    let ssk = Four::placeholders().ssk;
    for (body, code) in [
        ("", "BODY_PARSING_ERROR"),
        ("{", "BODY_PARSING_ERROR"),
        ("[]", "SCHEMA_ERROR"),
        ("null", "SCHEMA_ERROR"),
        (r#"{"absolute_file_path":5}"#, "SCHEMA_ERROR"),
        (r#"{"absolute_file_path":null}"#, "SCHEMA_ERROR"),
    ] {
        let response = stack.project_call(&ssk, body);
        assert_eq!(response.status, 400, "{body}");
        assert_eq!(response.header("x-stack-known-error"), Some(code), "{body}");
    }
    let large = json!({ "absolute_file_path": "/".repeat(100_000) }).to_string();
    assert_eq!(stack.project_call(&ssk, &large).status, 413);
    assert_eq!(stack.project_call(&ssk, "{}").status, 400);
}

#[test]
fn access_errors_have_their_codes() {
    let stack = Stack::start();
    let code = |headers: &[(&str, &str)]| {
        let mut request = stack.request("GET", "/api/v1/projects/current");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send();
        (
            response.status,
            response.header("x-stack-known-error").unwrap().to_owned(),
        )
    };
    let kind = "x-stack-access-type";
    let id = ("x-stack-project-id", "internal");
    for (headers, status, expected) in [
        (&[(kind, "root"), id][..], 400, "INVALID_ACCESS_TYPE"),
        (&[(kind, "client")], 400, "ACCESS_TYPE_WITHOUT_PROJECT_ID"),
        (
            &[(kind, "client"), id],
            401,
            "CLIENT_AUTHENTICATION_REQUIRED",
        ),
        (&[(kind, "admin"), id], 401, "ADMIN_AUTHENTICATION_REQUIRED"),
        (
            &[
                (kind, "client"),
                id,
                ("x-stack-publishable-client-key", "' OR 1=1 --"),
            ],
            401,
            "INVALID_PUBLISHABLE_CLIENT_KEY",
        ),
        (
            &[(kind, "admin"), id, ("x-stack-super-secret-admin-key", "x")],
            401,
            "INVALID_SUPER_SECRET_ADMIN_KEY",
        ),
        (
            &[(kind, "client"), ("x-stack-project-id", "a'\"b")],
            400,
            "CURRENT_PROJECT_NOT_FOUND",
        ),
        (&[(kind, "\u{e9}")], 400, "ACCESS_TYPE_REQUIRED"),
    ] {
        assert_eq!(code(headers), (status, expected.to_owned()));
    }
}

#[test]
fn revoked_and_expired_keys_are_refused_at_once() {
    let stack = Stack::start();
    let pck = Four::placeholders().pck;
    assert_eq!(stack.status_with("client", &pck), 200);
    stack
        .database
        .run(r#"UPDATE "ApiKeySet" SET "manuallyRevokedAt" = now()"#);
    assert_eq!(stack.status_with("client", &pck), 401);
    stack
        .database
        .run(r#"UPDATE "ApiKeySet" SET "manuallyRevokedAt" = NULL, "expiresAt" = now()"#);
    assert_eq!(stack.status_with("client", &pck), 401);
}

#[test]
fn routes_of_the_full_backend_are_named_as_missing() {
    let stack = Stack::start();
    for path in [
        "/api/v1/users/me",
        "/api/latest/auth/passkey/sign-in",
        "/api/v1/payments/purchases/create-purchase-url",
    ] {
        let response = stack.request("POST", path).send();
        assert_eq!(response.status, 501);
        assert_eq!(response.json()["code"], "NOT_IN_STARTER");
        // Whoever reads it sees what there is instead.
        let available = response.json()["details"]["available"].clone();
        let available = available.as_array().unwrap();
        assert!(available.contains(&json!("POST /api/v1/auth/password/sign-up")));
        assert!(
            response.json()["error"]
                .as_str()
                .unwrap()
                .contains("--payload")
        );
    }
    // To clients that cannot see statuses, as success.
    let response = stack
        .request("GET", "/api/v1/webhooks/svix-token")
        .header("x-stack-override-error-status", "true")
        .send();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("x-stack-actual-status"), Some("501"));
}

#[test]
fn browsers_of_any_origin_may_call() {
    let stack = Stack::start();
    let preflight = stack
        .request("OPTIONS", "/api/v1/projects/current")
        .header("origin", "http://localhost:26700")
        .header("access-control-request-method", "GET")
        .header(
            "access-control-request-headers",
            "x-stack-publishable-client-key",
        )
        .send();
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    let allowed = preflight.header("access-control-allow-headers").unwrap();
    // All that the recorded requests sent.
    let fixture = include_str!("../conformance/exchanges.jsonl");
    for line in fixture.lines() {
        let exchange: serde_json::Value = serde_json::from_str(line).unwrap();
        for name in exchange["request_headers"].as_object().unwrap().keys() {
            assert!(allowed.split(", ").any(|allowed| allowed == name), "{name}");
        }
    }
    let answer = stack.get("/api/v1/projects/current");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("x-stack-known-error") && exposed.contains("x-stack-actual-status"));
}

/// As a page of another site would try, which may have the publishable key from the dashboard.
#[test]
fn keys_of_a_project_are_for_who_has_the_server_key_and_for_no_page() {
    let stack = Stack::start();
    stack.write_host_file(CONFIG, "export const config = {};");
    let path = "/api/v1/internal/local-emulator/project";
    let body = json!({ "absolute_file_path": CONFIG }).to_string();
    let (four, kind) = (Four::placeholders(), "x-stack-access-type");
    let call = |access: &str, header: &str, key: &str, more: &[(&str, &str)]| {
        let mut request = stack
            .request("POST", path)
            .header("content-type", "application/json")
            .header("x-stack-project-id", "internal")
            .header(kind, access)
            .header(header, key)
            .body(&body);
        for (name, value) in more {
            request = request.header(name, value);
        }
        request.send()
    };
    let publishable = call("client", "x-stack-publishable-client-key", &four.pck, &[]);
    assert_eq!(publishable.status, 401);
    assert_eq!(publishable.json()["code"], "INSUFFICIENT_ACCESS_TYPE");
    let server = ("server", "x-stack-secret-server-key", four.ssk.as_str());
    let admin = ("admin", "x-stack-super-secret-admin-key", four.sak.as_str());
    for (access, header, key) in [server, admin] {
        let response = call(access, header, key, &[]);
        assert_eq!(response.status, 200, "{access}");
        assert_eq!(response.header("access-control-allow-origin"), None);
        for foreign in [
            ("origin", "https://evil.test"),
            ("origin", "null"),
            ("host", "evil.test"),
            ("sec-fetch-site", "cross-site"),
        ] {
            let response = call(access, header, key, &[foreign]);
            assert_eq!(response.status, 403, "{foreign:?}");
            assert!(!response.body.contains("ssk_"), "{foreign:?}");
        }
    }
    let preflight = stack
        .request("OPTIONS", path)
        .header("origin", "https://evil.test")
        .send();
    assert_eq!(preflight.header("access-control-allow-headers"), None);
}

#[test]
fn random_values_differ_and_need_the_key() {
    let stack = Stack::start();
    let values = |pck: &str| {
        stack
            .request("GET", "/api/v1/internal/local-emulator/random")
            .header("x-stack-project-id", "internal")
            .header("x-stack-access-type", "client")
            .header("x-stack-publishable-client-key", pck)
            .send()
    };
    let pck = Four::placeholders().pck;
    let (first, second) = (values(&pck).json(), values(&pck).json());
    for field in ["key", "kernel_uuid", "postgres_uuid"] {
        let (first, second) = (
            first[field].as_str().unwrap(),
            second[field].as_str().unwrap(),
        );
        assert!(
            first.len() >= 36 && first != second,
            "{field}: {first} {second}"
        );
    }
    assert_eq!(values("wrong").status, 401);
    let ids: BTreeSet<_> = (0..20)
        .map(|_| {
            stack
                .get("/api/v1/nope")
                .header("x-stack-request-id")
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 20);
}

#[test]
fn signing_keys_stay_and_differ_between_projects() {
    let stack = Stack::start();
    stack.write_host_file(CONFIG, "");
    let id = call(&stack, CONFIG).json()["project_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let keys = |id: &str| stack.get(&format!("/api/v1/projects/{id}/.well-known/jwks.json"));
    let first = keys(&id);
    assert_eq!(first.status, 200);
    assert_eq!(keys(&id).body, first.body);
    let internal = keys("internal");
    assert_ne!(
        internal.json()["keys"][0]["x"],
        first.json()["keys"][0]["x"]
    );
    assert_eq!(keys("nope").status, 404);
    // Nothing is made for a project that is not there; of each other one there are two.
    let count = stack.database.run(r#"SELECT count(*) FROM "SigningKey""#);
    assert_eq!(count[0][0].as_deref(), Some("4"));
}

#[test]
fn the_backend_stops_when_asked_even_with_a_connection_open() {
    use std::io::Write as _;

    let mut stack = Stack::start();
    let mut idle = std::net::TcpStream::connect(("127.0.0.1", stack.backend_port())).unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
    let started = std::time::Instant::now();
    let pid = stack.backend().id().to_string();
    let kill = std::process::Command::new("kill")
        .arg(pid)
        .status()
        .unwrap();
    assert!(kill.success());
    let status = crate::support::wait(stack.backend());
    assert!(status.success(), "{status}");
    assert!(started.elapsed().as_secs() < 5);
}
