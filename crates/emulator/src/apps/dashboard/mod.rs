//! The dashboard, signed in: a link to it from the backend, and a way to give that to the browser alone.
//!
//! The starter's backend makes such links for the server key of the emulator's own project. Other images have none,
//! and their dashboard is opened as it is.

mod doorway;

use std::fmt;

use failure::{Code, Remedy};
use reqwest::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::credentials::{CredentialsError, Said, client};
use super::error::AppsError as Error;
use crate::instance::Emulator;
use crate::instance::error::InstanceError;
use crate::machine::guest::presentable;
use crate::machine::headers::BothNames as _;
use crate::machine::readiness::Endpoint;
use crate::machine::run_record::Purpose;
use progress::Reporter;
use secrets::Secret;

pub use self::doorway::Doorway;

/// Where one signs in with a link's code. The code is in the fragment, which no server is sent.
const SIGN_IN: &str = "/handler/sign-in#code=";

/// Why the dashboard cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The backend did not answer as it should.
    #[error(transparent)]
    Backend(#[from] CredentialsError),
    /// The image has none.
    #[error("the image has no service called `dashboard`")]
    Missing,
    /// The page that leads the browser there cannot be offered.
    #[error("cannot lead the browser to the dashboard")]
    Doorway(#[source] std::io::Error),
    /// No path for that page can be made up.
    #[error("the operating system's random source failed")]
    Random(#[source] getrandom::Error),
    /// Nobody asked for that page in time.
    #[error("no browser asked for the dashboard within {seconds} s")]
    NobodyCame {
        /// How long it was offered.
        seconds: u64,
    },
}

impl DashboardError {
    /// A stable code for programs.
    pub const fn code(&self) -> Code {
        match self {
            Self::Backend(error) => error.code(),
            Self::Missing | Self::NobodyCame { .. } => Code::Link,
            Self::Doorway(_) => Code::System,
            Self::Random(_) => Code::Random,
        }
    }

    /// What to do about it, if anything helps.
    pub const fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Backend(error) => error.remedy(),
            Self::Missing | Self::Doorway(_) | Self::Random(_) | Self::NobodyCame { .. } => None,
        }
    }
}

/// An address of the dashboard. If it [`signs_in`](Self::signs_in), whoever opens it first gets to see and change
/// everything, within a minute: it is for one browser, and for no argument, file or log.
pub struct DashboardLink {
    /// Where the dashboard is.
    base: String,
    /// What signs in, once.
    code: Option<Zeroizing<String>>,
}

impl fmt::Debug for DashboardLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.as_ref().map(|_| "[redacted]");
        let mut shown = f.debug_struct("DashboardLink");
        shown.field("base", &self.base).field("code", &code);
        shown.finish()
    }
}

impl DashboardLink {
    /// Whether it signs in. Those of other images do not, and are not secret.
    pub const fn signs_in(&self) -> bool {
        self.code.is_some()
    }

    /// Where the dashboard is, for anybody to know.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The whole address. Say where it goes at each call.
    pub fn expose(&self) -> Zeroizing<String> {
        match &self.code {
            Some(code) => Zeroizing::new(format!("{}{SIGN_IN}{}", self.base, code.as_str())),
            None => Zeroizing::new(self.base.clone()),
        }
    }
}

impl Emulator {
    /// A link to the running emulator's dashboard.
    ///
    /// # Errors
    ///
    /// [`InstanceError::NotRunning`]; [`DashboardError`].
    pub async fn dashboard_link(&self, reporter: &dyn Reporter) -> Result<DashboardLink, Error> {
        let held = self.hold("dashboard", reporter).await?;
        let Some((record, vm)) = &held.running else {
            return Err(InstanceError::NotRunning {
                request: "open the dashboard",
            }
            .into());
        };
        let rotating = matches!(record.purpose, Purpose::Rotating(_));
        held.settle_rotation(reporter).await?;
        let url_of = |id: &str| {
            let mut endpoints = vm.endpoints.iter();
            endpoints
                .find(|endpoint| endpoint.id == id)
                .map(Endpoint::url)
        };
        let base = url_of("dashboard").ok_or(DashboardError::Missing)?;
        let Some(backend) = url_of("backend") else {
            return Ok(DashboardLink { base, code: None });
        };
        let key = held.own_keys(vm.rotated || rotating).await?.server;
        let asked =
            async { Ok::<_, Error>(ask(&backend, &key).await.map_err(DashboardError::from)?) };
        let code = held.while_it_runs(record, asked).await?;
        Ok(DashboardLink { base, code })
    }
}

/// The code of a new link; `None` if the backend makes no links.
async fn ask(backend: &str, key: &Secret) -> Result<Option<Zeroizing<String>>, CredentialsError> {
    #[derive(Deserialize)]
    struct Made<'a> {
        code: &'a str,
    }
    let path = "/api/v1/internal/local-emulator/dashboard-links";
    let answer = client()?
        .post(format!("{backend}{path}"))
        .backend_header("project-id", "internal")
        .backend_header("access-type", "server")
        .backend_header("secret-server-key", key.expose())
        .send()
        .await
        .map_err(CredentialsError::Unreachable)?;
    let Said { status, body } = Said::read(answer).await?;
    match status {
        StatusCode::OK => {
            let invalid = CredentialsError::Invalid {
                problem: "it has no code of a link",
            };
            // It becomes a part of an address, so it has no character that means something there.
            let plain = |code: &str| {
                (1..=256).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric())
            };
            match serde_json::from_slice::<Made<'_>>(&body) {
                Ok(made) if plain(made.code) => Ok(Some(Zeroizing::new(made.code.to_owned()))),
                Ok(_) | Err(_) => Err(invalid),
            }
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            Ok(None)
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(CredentialsError::KeyRefused {
            status: status.as_u16(),
        }),
        status => {
            let said = String::from_utf8_lossy(&body).replace(key.expose(), "[redacted]");
            Err(CredentialsError::Failed {
                status: status.as_u16(),
                said: presentable(said.as_bytes(), None),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::backend_double::backend_of;

    /// What a backend's answer comes to, and what it was asked.
    async fn asked(
        status: &'static str,
        body: &str,
    ) -> (Result<Option<Zeroizing<String>>, CredentialsError>, String) {
        let (backend, requests) = backend_of(vec![(status, body.to_owned())]).await;
        let key = Secret::from_text("ab".repeat(32)).unwrap();
        let result = ask(&backend, &key).await;
        (result, requests.await.unwrap().remove(0))
    }

    #[tokio::test]
    async fn a_link_is_asked_for_with_the_server_key_and_kept_to_oneself() {
        let body = r#"{"code": "abc123", "expires_at_millis": 5}"#;
        let (code, request) = asked("200 OK", body).await;
        let path = "POST /api/v1/internal/local-emulator/dashboard-links HTTP/1.1";
        assert_eq!(request.lines().next(), Some(path));
        assert!(request.contains(&format!("x-stack-secret-server-key: {}", "ab".repeat(32))));
        let link = DashboardLink {
            base: "http://127.0.0.1:26700".to_owned(),
            code: code.unwrap(),
        };
        assert!(link.signs_in() && !format!("{link:?}").contains("abc123"));
        assert_eq!(
            link.expose().as_str(),
            "http://127.0.0.1:26700/handler/sign-in#code=abc123"
        );
    }

    #[tokio::test]
    async fn an_image_without_links_has_its_dashboard_opened_as_it_is() {
        for status in [
            "404 Not Found",
            "405 Method Not Allowed",
            "501 Not Implemented",
        ] {
            assert!(asked(status, "").await.0.unwrap().is_none(), "{status}");
        }
        let link = DashboardLink {
            base: "http://127.0.0.1:26700".to_owned(),
            code: None,
        };
        assert!(!link.signs_in());
        assert_eq!(link.expose().as_str(), link.base());
    }

    #[tokio::test]
    async fn other_answers_are_errors_without_a_secret() {
        let key = "ab".repeat(32);
        for (status, body, code) in [
            ("401 Unauthorized", "", "key_refused"),
            ("500 Internal Server Error", key.as_str(), "backend_failed"),
            ("200 OK", "{}", "backend_failed"),
            ("200 OK", r#"{"code": ""}"#, "backend_failed"),
            ("200 OK", r#"{"code": "a&b#c"}"#, "backend_failed"),
            ("200 OK", r#"{"code": "a\r\nb: c"}"#, "backend_failed"),
        ] {
            let error = asked(status, body).await.0.unwrap_err();
            assert_eq!(error.code(), code, "{status} {body}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&key) && !shown.contains("a&b"), "{shown}");
        }
    }
}
