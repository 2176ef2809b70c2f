//! Signing in to the dashboard and out of it, and who is signed in.
//!
//! The token of a session comes from the backend and has two parts. The browser has one as a cookie that no script
//! can read. It would send that to any server on this host, since cookies know of no ports; so the other part is the
//! page's, which keeps it in the storage of its origin and shows it in a header. Neither is of use alone.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequestParts, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Site, backend::BackendError};

/// Header in which the page shows its part.
static PAGE_PART: HeaderName = HeaderName::from_static("x-dashboard-session");
/// Length of each part.
const PART: usize = 45;

/// A request of the dashboard's own page. Any other is refused.
#[derive(Debug)]
pub(super) struct OwnPage {
    /// The name and port that the browser has for the dashboard.
    host: String,
}

/// Why a request is not let through.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another site's page sent it.
    Foreign,
    /// It shows no session.
    NotSignedIn,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, error) = match self {
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "FOREIGN_ORIGIN",
                "Only the dashboard's own page may ask this.",
            ),
            Self::NotSignedIn => (
                StatusCode::UNAUTHORIZED,
                "NOT_SIGNED_IN",
                "Nobody is signed in to the dashboard here. Run `stack-emulator dashboard`.",
            ),
        };
        (status, Json(json!({ "code": code, "error": error }))).into_response()
    }
}

impl OwnPage {
    /// Judges a request by what browsers say of its origin. They say it of all that changes anything.
    fn of(method: &Method, headers: &HeaderMap) -> Result<Self, Refusal> {
        let value = |name: &HeaderName| headers.get(name).map(|value| value.to_str().ok());
        let Some(Some(host)) = value(&HOST) else {
            return Err(Refusal::Foreign);
        };
        let own = format!("http://{host}");
        let is_own = match value(&ORIGIN) {
            Some(origin) => origin.is_some_and(|origin| origin.eq_ignore_ascii_case(&own)),
            None => *method == Method::GET,
        };
        let is_near = match value(&HeaderName::from_static("sec-fetch-site")) {
            Some(site) => site == Some("same-origin"),
            None => true,
        };
        if !is_own || !is_near {
            return Err(Refusal::Foreign);
        }
        Ok(Self {
            host: host.to_owned(),
        })
    }

    /// Of dashboards on different ports of this host each has a cookie of its own.
    fn cookie_name(&self) -> String {
        let port = match self.host.rsplit_once(':') {
            Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => port,
            _ => "80",
        };
        format!("stack-dashboard-{port}")
    }

    fn cookie(&self, value: &str, more: &str) -> Option<HeaderValue> {
        let name = self.cookie_name();
        HeaderValue::try_from(format!(
            "{name}={value}; Path=/; HttpOnly; SameSite=Strict{more}"
        ))
        .ok()
    }
}

impl<S: Sync> FromRequestParts<S> for OwnPage {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::of(&parts.method, &parts.headers)
    }
}

/// The token that a request of the dashboard's page shows. The backend knows whether it is one.
pub(super) struct Token {
    page: OwnPage,
    value: HeaderValue,
}

impl Token {
    fn of(method: &Method, headers: &HeaderMap) -> Result<Self, Refusal> {
        let page = OwnPage::of(method, headers)?;
        let cookie = cookie(headers, &page.cookie_name());
        let shown = headers
            .get(&PAGE_PART)
            .and_then(|value| value.to_str().ok());
        let (Some(cookie), Some(shown)) = (cookie, shown) else {
            return Err(Refusal::NotSignedIn);
        };
        if !is_part(cookie) || !is_part(shown) {
            return Err(Refusal::NotSignedIn);
        }
        let mut value =
            HeaderValue::try_from(format!("{cookie}{shown}")).map_err(|_| Refusal::NotSignedIn)?;
        value.set_sensitive(true);
        Ok(Self { page, value })
    }

    /// The headers that give a call admin access to a project.
    pub(super) fn access_to(&self, project: HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-stack-project-id", project);
        headers.insert("x-stack-access-type", HeaderValue::from_static("admin"));
        headers.insert("x-stack-admin-access-token", self.value.clone());
        headers
    }
}

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::of(&parts.method, &parts.headers)
    }
}

fn is_part(text: &str) -> bool {
    text.len() == PART && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A cookie's value.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(|value| cookie_in(value, name))
}

/// A cookie's value in one `Cookie` header.
pub fn cookie_in<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .split(';')
        .filter_map(|entry| entry.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// What one signs in with: the code of a link, or the server key of project `internal`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Proof {
    Code(String),
    Key(String),
}

/// `POST /session`.
pub(super) async fn sign_in(
    State(site): State<Arc<Site>>,
    page: OwnPage,
    Json(proof): Json<Proof>,
) -> Result<Response, BackendError> {
    let mut headers = HeaderMap::new();
    let mut body = Map::new();
    let below = match proof {
        Proof::Code(code) => {
            body.insert("code".to_owned(), Value::String(code));
            "dashboard-links/redeem"
        }
        Proof::Key(key) => {
            let Ok(mut key) = HeaderValue::try_from(key.trim()) else {
                return Ok(not_a_key());
            };
            if key.is_empty() {
                return Ok(not_a_key());
            }
            key.set_sensitive(true);
            headers.insert(
                "x-stack-project-id",
                HeaderValue::from_static(crate::backend::access::INTERNAL),
            );
            headers.insert("x-stack-access-type", HeaderValue::from_static("server"));
            headers.insert("x-stack-secret-server-key", key);
            "dashboard-sessions"
        }
    };
    let answer = site
        .backend
        .own_endpoint("POST", below, headers, &body)
        .await?;
    if answer.status() != StatusCode::OK {
        return Ok(passed_on(answer));
    }
    let body: Begun =
        serde_json::from_slice(answer.body()).map_err(|_| BackendError::Unexpected)?;
    let parts = body.token.split_at_checked(PART);
    let (for_browser, for_page) = parts
        .filter(|(one, other)| is_part(one) && is_part(other))
        .ok_or(BackendError::Unexpected)?;
    let cookie = page
        .cookie(for_browser, "")
        .ok_or(BackendError::Unexpected)?;
    let told = json!({ "page_part": for_page, "expires_at_millis": body.expires_at_millis });
    Ok(([(SET_COOKIE, cookie)], Json(told)).into_response())
}

/// A session as the backend tells of it.
#[derive(Deserialize)]
struct Begun {
    token: String,
    expires_at_millis: i64,
}

fn not_a_key() -> Response {
    let told = json!({ "code": "INVALID_SECRET_SERVER_KEY", "error": "This is not a key." });
    (StatusCode::UNAUTHORIZED, Json(told)).into_response()
}

/// `DELETE /session`. Whatever becomes of it, the browser forgets its part.
pub(super) async fn sign_out(
    State(site): State<Arc<Site>>,
    token: Token,
) -> Result<Response, BackendError> {
    let internal = HeaderValue::from_static(crate::backend::access::INTERNAL);
    let answer = site
        .backend
        .own_endpoint(
            "DELETE",
            "dashboard-sessions/current",
            token.access_to(internal),
            &Map::new(),
        )
        .await?;
    let mut response = if answer.status() == StatusCode::UNAUTHORIZED {
        // It has ended before.
        Json(json!({ "success": true })).into_response()
    } else {
        passed_on(answer)
    };
    if let Some(cookie) = token.page.cookie("", "; Max-Age=0") {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The backend's answer, without the headers that are not for this page.
pub(super) fn passed_on(answer: axum::http::Response<Bytes>) -> Response {
    let (parts, body) = answer.into_parts();
    let mut response = (parts.status, body).into_response();
    for name in [CONTENT_TYPE, HeaderName::from_static("x-stack-known-error")] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: &str = "0123456789abcdefghjkmnpqrstvwxyz0123456789abc";
    const OTHER: &str = "zyxwvtsrqpnmkjhgfedcba98765432100123456789abc";

    fn headers(entries: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_the_own_page_changes_anything() {
        let host = ("host", "127.0.0.1:26700");
        let own = ("origin", "http://127.0.0.1:26700");
        let is_own =
            |method: Method, entries: &[_]| OwnPage::of(&method, &headers(entries)).is_ok();
        assert!(is_own(Method::POST, &[host, own]));
        assert!(is_own(
            Method::POST,
            &[host, own, ("sec-fetch-site", "same-origin")]
        ));
        assert!(is_own(Method::GET, &[host]));
        assert!(!is_own(Method::POST, &[host]));
        assert!(!is_own(Method::GET, &[]));
        for origin in [
            "http://127.0.0.1:26701",
            "http://localhost:26700",
            "https://127.0.0.1:26700",
            "http://127.0.0.1",
            "https://evil.test",
            "null",
            "",
        ] {
            assert!(
                !is_own(Method::POST, &[host, ("origin", origin)]),
                "{origin}"
            );
            assert!(
                !is_own(Method::GET, &[host, ("origin", origin)]),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site", "none", ""] {
            let site = ("sec-fetch-site", site);
            assert!(!is_own(Method::GET, &[host, site]), "{site:?}");
            assert!(!is_own(Method::POST, &[host, own, site]), "{site:?}");
        }
    }

    #[test]
    fn a_session_is_both_parts() {
        let host = ("host", "localhost:26700");
        let cookie = format!("a=b; stack-dashboard-26700={ONE}; c");
        let cookie = ("cookie", cookie.as_str());
        let shown = ("x-dashboard-session", OTHER);
        let token = |entries: &[_]| {
            Token::of(&Method::GET, &headers(entries)).map(|token| token.value.len())
        };
        assert_eq!(token(&[host, cookie, shown]), Ok(2 * PART));
        for missing in [
            vec![host, cookie],
            vec![host, shown],
            vec![host],
            vec![("host", "localhost:26720"), cookie, shown],
            vec![host, cookie, ("x-dashboard-session", &OTHER[1..])],
            vec![host, cookie, ("x-dashboard-session", "")],
            vec![host, ("cookie", "stack-dashboard-26700="), shown],
        ] {
            assert_eq!(token(&missing), Err(Refusal::NotSignedIn), "{missing:?}");
        }
    }

    proptest! {
        #[test]
        fn any_cookie_is_handled(text in "[a-z0-9=; \t\"-]{0,80}") {
            let text = text.trim();
            let found = headers(&[("cookie", text)]);
            if let Some(value) = cookie(&found, "a") {
                let entry = format!("a={value}");
                prop_assert!(text.contains(&entry));
            }
        }
    }
}
