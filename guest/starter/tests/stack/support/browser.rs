//! What a browser does between an app and the mock provider, by the addresses that it is sent to.

use serde_json::Value;
use starter::{pkce, query};

use super::{
    app::App,
    http::{Request, Response},
};

/// An app's page for codes.
pub const CALLBACK: &str = "http://localhost:3000/handler/oauth-callback";
/// What the app knows and its code needs.
pub const VERIFIER: &str = "verifier-verifier-verifier-verifier-verifier";

/// The form of somebody who is typed in.
pub fn typed(email: &str, name: &str) -> String {
    query::encoded(&[("email", email), ("name", name)])
}

/// The same of somebody whose address the provider has not verified.
pub fn unverified(email: &str) -> String {
    query::encoded(&[("email", email), ("unverified", "yes")])
}

/// An entry of an address's query.
pub fn entry(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let found = form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned())
}

/// A request to an address of this machine.
#[track_caller]
pub fn to(method: &str, url: &str) -> Request {
    let rest = url.strip_prefix("http://").expect("an HTTP address");
    let (authority, path) = rest.split_at(rest.find('/').expect("a path"));
    let (_, port) = authority.split_once(':').expect("a port");
    Request::new(port.parse().unwrap(), method, path).header("host", authority)
}

/// Where an answer leads.
#[track_caller]
pub fn location(response: &Response) -> String {
    assert_eq!(response.status, 303, "{response:?}");
    response.header("location").unwrap().to_owned()
}

/// Sends the form of the provider's page; where the browser is sent then.
#[track_caller]
pub fn agree(page: &str, form: &str) -> String {
    let form = to("POST", page)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    location(&form.send())
}

impl App<'_> {
    /// Asks for a provider as the SDK does, with entries of the query changed or, where empty, left out.
    pub fn authorize(&self, provider: &str, changes: &[(&str, &str)]) -> Response {
        let challenge = pkce::challenge_of(VERIFIER);
        let mut entries = vec![
            ("client_id", self.project_id.as_str()),
            ("client_secret", &self.publishable_client_key),
            ("redirect_uri", CALLBACK),
            ("scope", "legacy"),
            ("state", "app state"),
            ("grant_type", "authorization_code"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("response_type", "code"),
            ("type", "authenticate"),
            ("error_redirect_url", "http://localhost:3000/handler/error"),
            ("stack_response_mode", "json"),
            ("hexclave_response_mode", "json"),
        ];
        for (name, value) in changes {
            entries.retain(|(known, _)| known != name);
            if !value.is_empty() {
                entries.push((name, value));
            }
        }
        let path = format!("/api/v1/auth/oauth/authorize/{provider}");
        let path = query::with_entries(&path, &entries);
        self.stack.request("GET", &path).send()
    }

    /// The provider's page for a flow.
    #[track_caller]
    pub fn provider_page(&self, provider: &str, changes: &[(&str, &str)]) -> String {
        let response = self.authorize(provider, changes);
        assert_eq!(response.status, 200, "{response:?}");
        response.json()["location"].as_str().unwrap().to_owned()
    }

    /// The whole way to the app; where the browser ends up.
    #[track_caller]
    pub fn walk(&self, provider: &str, changes: &[(&str, &str)], form: &str) -> String {
        let page = self.provider_page(provider, changes);
        location(&to("GET", &agree(&page, form)).send())
    }

    /// The error that the app's page for errors is told at the end of the way.
    #[track_caller]
    pub fn walk_to_error(&self, provider: &str, changes: &[(&str, &str)], form: &str) -> String {
        let end = self.walk(provider, changes, form);
        assert!(
            end.starts_with("http://localhost:3000/handler/error?"),
            "{end}"
        );
        entry(&end, "errorCode").expect("a known error")
    }

    /// Redeems a code with an app's verifier.
    pub fn redeem_with(&self, code: &str, verifier: &str, redirect_uri: &str) -> Response {
        let form = query::encoded(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", verifier),
            ("redirect_uri", redirect_uri),
            ("client_id", &self.project_id),
            ("client_secret", &self.publishable_client_key),
        ]);
        self.stack
            .request("POST", "/api/v1/auth/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(&form)
            .send()
    }

    /// Redeems the code of an address that the browser was sent to.
    #[track_caller]
    pub fn redeem(&self, end: &str) -> Value {
        assert!(end.starts_with(CALLBACK), "{end}");
        assert_eq!(entry(end, "state").as_deref(), Some("app state"));
        let code = entry(end, "code").expect("a code");
        let response = self.redeem_with(&code, VERIFIER, CALLBACK);
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// Signs in with a provider; what the token endpoint says, and the user.
    #[track_caller]
    pub fn sign_in_with(&self, provider: &str, form: &str) -> (Value, Value) {
        let tokens = self.redeem(&self.walk(provider, &[], form));
        let user = self.me(tokens["access_token"].as_str().unwrap());
        (tokens, user)
    }

    /// The user of an access token.
    #[track_caller]
    pub fn me(&self, token: &str) -> Value {
        let response = self.client(Some(token), "GET", "/users/me", &Value::Null);
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }
}
