//! An app's project on a stack, and calls as its pages and its server make them.

use serde_json::{Value, json};

use super::{
    Four, Stack,
    http::{Request, Response},
};

/// A config file that allows everything.
pub const EVERYTHING: &str = include_str!("../../conformance/stack.config.ts");
/// A password that may be one.
pub const PASSWORD: &str = "Correct-horse-9";

/// A project with its keys.
pub struct App<'a> {
    pub stack: &'a Stack,
    pub project_id: String,
    pub publishable_client_key: String,
    pub secret_server_key: String,
}

/// What signing in gives.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub access_token: String,
    pub refresh_token: String,
    pub user_id: String,
}

impl<'a> App<'a> {
    /// The project of a config file with this content.
    pub fn new(stack: &'a Stack, path: &str, config: &str) -> Self {
        stack.write_host_file(path, config);
        let body = json!({ "absolute_file_path": path }).to_string();
        let keys = stack.project_call(&Four::placeholders().ssk, &body).json();
        let text = |name: &str| keys[name].as_str().unwrap().to_owned();
        Self {
            stack,
            project_id: text("project_id"),
            publishable_client_key: text("publishable_client_key"),
            secret_server_key: text("secret_server_key"),
        }
    }

    pub fn request(&self, access: &str, method: &str, path: &str, body: &Value) -> Request {
        let mut request = self
            .stack
            .request(method, &format!("/api/v1{path}"))
            .header("x-stack-project-id", &self.project_id)
            .header("x-stack-access-type", access)
            .header(
                "x-stack-publishable-client-key",
                &self.publishable_client_key,
            );
        if access == "server" {
            request = request.header("x-stack-secret-server-key", &self.secret_server_key);
        }
        if !body.is_null() {
            request = request
                .header("content-type", "application/json")
                .body(&body.to_string());
        }
        request
    }

    /// A call of a page; for the user of a token, if there is one.
    pub fn client(&self, token: Option<&str>, method: &str, path: &str, body: &Value) -> Response {
        let mut request = self.request("client", method, path, body);
        if let Some(token) = token {
            request = request.header("x-stack-access-token", token);
        }
        request.send()
    }

    /// A call of the app's server.
    pub fn server(&self, method: &str, path: &str, body: &Value) -> Response {
        self.request("server", method, path, body).send()
    }

    pub fn sign_up(&self, email: &str) -> Response {
        let body = json!({ "email": email, "password": PASSWORD });
        self.client(None, "POST", "/auth/password/sign-up", &body)
    }

    pub fn sign_in(&self, email: &str, password: &str) -> Response {
        let body = json!({ "email": email, "password": password });
        self.client(None, "POST", "/auth/password/sign-in", &body)
    }

    /// A new user that is signed in.
    #[track_caller]
    pub fn user(&self, email: &str) -> SignedIn {
        SignedIn::of(&self.sign_up(email))
    }

    /// A call to the token endpoint.
    pub fn refresh(&self, refresh_token: &str) -> Response {
        let form = format!(
            "grant_type=refresh_token&refresh_token={refresh_token}&client_id={}&client_secret={}",
            self.project_id, self.publishable_client_key
        );
        self.stack
            .request("POST", "/api/v1/auth/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(&form)
            .send()
    }

    /// Asks again until something has come true, as an app whose developer has just saved a file does.
    #[track_caller]
    pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let started = std::time::Instant::now();
        while !is_so() {
            assert!(started.elapsed() < super::PATIENCE, "never: {what}");
            // There is no event to wait for: the backend looks when it is asked.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// The code in the newest mail to an address.
    #[track_caller]
    pub fn mailed_code(&self, email: &str) -> String {
        let mails = self.stack.database.run(&format!(
            r#"SELECT "text" FROM "Mail" WHERE "recipient" = '{email}' ORDER BY "number" DESC LIMIT 1"#
        ));
        let text = mails[0][0].clone().unwrap();
        let (_, rest) = text.split_once("code=").expect("a mail with a link");
        rest.chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect()
    }
}

impl SignedIn {
    #[track_caller]
    pub fn of(response: &Response) -> Self {
        assert_eq!(response.status, 200, "{response:?}");
        let body = response.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self {
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
            user_id: text("user_id"),
        }
    }
}

/// The code of a known error.
#[track_caller]
pub fn code(response: &Response) -> String {
    let code = response.json()["code"]
        .as_str()
        .expect("a known error")
        .to_owned();
    assert_eq!(response.header("x-stack-known-error"), Some(code.as_str()));
    code
}
