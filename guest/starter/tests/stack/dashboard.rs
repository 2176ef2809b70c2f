//! The dashboard's server.

use crate::support::{Four, Stack, http::Request};

#[test]
fn the_page_loads_a_bundle_with_the_key_of_the_moment() {
    let mut stack = Stack::start();
    stack.start_dashboard();
    let get = |path: &str| Request::new(stack.dashboard_port(), "GET", path).send();
    let page = get("/handler/sign-in");
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.body
            .contains(&format!("content=\"{}\"", stack.backend_port()))
    );
    assert!(!page.body.contains("{{"));
    assert!(page.body.contains("/assets/dashboard.js"));

    let bundle = get("/assets/dashboard.js");
    assert_eq!(bundle.status, 200);
    assert!(bundle.body.contains(&Four::placeholders().pck));
    for four in [Four::numbered(1), Four::numbered(2)] {
        assert!(stack.rotate(&four).status.success());
        let bundle = get("/assets/dashboard.js");
        assert!(bundle.body.contains(&four.pck));
        assert!(!bundle.body.contains(&Four::placeholders().pck));
        assert_eq!(bundle.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn headers_keep_the_key_on_this_page() {
    let mut stack = Stack::installed();
    stack.start_dashboard();
    let port = stack.backend_port();
    for path in [
        "/handler/sign-in",
        "/assets/dashboard.js",
        "/assets/none.js",
    ] {
        let response = Request::new(stack.dashboard_port(), "GET", path).send();
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'"));
        assert!(policy.contains(&format!(
            "connect-src 'self' http://127.0.0.1:{port} http://localhost:{port};"
        )));
        // Attributes of a mail's elements alone; neither scripts nor style sheets.
        let rest = policy.replace("style-src-attr 'unsafe-inline'", "");
        assert!(!rest.contains("unsafe"), "{policy}");
        assert_eq!(
            response.header("cross-origin-resource-policy"),
            Some("same-origin")
        );
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
}

#[test]
fn names_of_other_sites_are_refused() {
    let mut stack = Stack::installed();
    stack.start_dashboard();
    let status = |host: &str| {
        Request::new(stack.dashboard_port(), "GET", "/assets/dashboard.js")
            .header("host", host)
            .send()
            .status
    };
    assert_eq!(status("localhost:26700"), 200);
    assert_eq!(status("rebound.example:26700"), 421);
}

#[test]
fn only_files_of_the_dashboard_are_served() {
    let mut stack = Stack::installed();
    stack.start_dashboard();
    std::fs::write(stack.path("dashboard/assets/dashboard.js.rotating"), "x").unwrap();
    std::fs::write(stack.path("dashboard/assets/.hidden"), "x").unwrap();
    for path in [
        "/assets/none.js",
        "/assets/dashboard.js.rotating",
        "/assets/.hidden",
        "/assets/.js",
        "/assets/..%2f..%2fetc%2fsecrets.env",
        "/assets/..%2findex.js",
        "/assets/../../etc/secrets.env",
        "/assets/",
        "/index.html",
        "/other",
    ] {
        let status = Request::new(stack.dashboard_port(), "GET", path)
            .send()
            .status;
        assert_eq!(status, 404, "{path}");
    }
    for (path, kind) in [
        ("/assets/dashboard.css", "text/css; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
        ("/assets/dashboard.js", "text/javascript; charset=utf-8"),
    ] {
        let response = Request::new(stack.dashboard_port(), "GET", path).send();
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some(kind))
        );
    }
    let page = |path: &str| Request::new(stack.dashboard_port(), "GET", path).send();
    let (root, sign_in) = (page("/"), page("/handler/sign-in"));
    assert_eq!((root.status, root.body), (200, sign_in.body));
}
