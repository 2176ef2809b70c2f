//! The users of an app's project: test data that one makes, looks at and removes at a terminal.
//!
//! They are reached through the server API of the project, which the published backends and the starter
//! offer alike, by the path of the app's config file as everything of an app is.

use std::path::Path;

use failure::{Code, Remedy};
use progress::Reporter;
use reqwest::{Method, StatusCode, Url};
use secrets::{Secret, SecretText};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::credentials::{CredentialsError, ProjectCredentials, Said, client};
use super::error::AppsError as Error;
use crate::instance::Emulator;
use crate::machine::guest::presentable;
use crate::machine::headers::BothNames as _;

/// Length of a password that is made here: hexadecimal digits of 4 random bits each.
const PASSWORD_DIGITS: usize = 16;
/// How many users are looked through for an address.
const SEARCHED: u16 = 100;

/// A user, as far as it is of interest at a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its ID.
    pub id: String,
    /// The address to sign in with, if there is one.
    pub primary_email: Option<String>,
    /// Whether that address is verified.
    #[serde(default)]
    pub primary_email_verified: bool,
    /// What the user is called, if there is a name.
    pub display_name: Option<String>,
    /// Whether the user signs in with a password.
    #[serde(default)]
    pub has_password: bool,
    /// When the account was made, by the guest's clock.
    #[serde(rename(deserialize = "signed_up_at_millis"))]
    pub signed_up_at_ms: u64,
}

/// A password: shown to who asked for it, and to nobody else.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// One that a person has chosen.
    pub const fn chosen(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// A random one of 64 bits.
    ///
    /// # Errors
    ///
    /// What the operating system's random source says.
    pub fn generate() -> Result<Self, UsersError> {
        let random = Secret::generate().map_err(UsersError::Random)?;
        let digits = random.expose().chars().take(PASSWORD_DIGITS).collect();
        Ok(Self(Zeroizing::new(digits)))
    }

    /// The password itself. Say where it goes at each call.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The account to make.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    /// The address to sign in with.
    pub email: &'a str,
    /// Whether it counts as verified.
    pub is_verified: bool,
    /// What the user is called.
    pub display_name: Option<&'a str>,
    /// What to sign in with; without one, the user has mailed codes alone.
    pub password: Option<&'a Password>,
}

/// Why something was not done with a user.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The backend did not answer as it should.
    #[error(transparent)]
    Backend(#[from] CredentialsError),
    /// There is no such user.
    #[error("the project has no user {user}")]
    Missing {
        /// The address or ID that was asked for.
        user: String,
    },
    /// The backend says why not.
    #[error("the backend refuses: {said}")]
    Refused {
        /// Its words.
        said: String,
    },
    /// There is no randomness for a password.
    #[error("cannot make a password")]
    Random(#[source] getrandom::Error),
}

impl UsersError {
    /// A stable code for programs.
    pub const fn code(&self) -> Code {
        match self {
            Self::Backend(error) => error.code(),
            Self::Missing { .. } => Code::UserMissing,
            Self::Refused { .. } => Code::UserRefused,
            Self::Random(_) => Code::Random,
        }
    }

    /// What to do about it, if anything helps.
    pub const fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Backend(error) => error.remedy(),
            Self::Missing { .. } | Self::Refused { .. } => Some(Remedy::ListUsers),
            Self::Random(_) => None,
        }
    }
}

/// The users of a project of a running emulator.
#[derive(Debug)]
pub struct Users {
    client: reqwest::Client,
    api_url: String,
    project_id: String,
    key: SecretText,
}

impl Emulator {
    /// The users of the project that belongs to `config_file`.
    ///
    /// # Errors
    ///
    /// As [`Emulator::credentials`].
    pub async fn users(&self, config_file: &Path, reporter: &dyn Reporter) -> Result<Users, Error> {
        let project = self.credentials(config_file, reporter).await?;
        Ok(Users::of(project, client()?))
    }
}

impl Users {
    fn of(project: ProjectCredentials, client: reqwest::Client) -> Self {
        Self {
            client,
            api_url: project.api_url,
            project_id: project.project_id,
            key: project.secret_server_key,
        }
    }

    /// Makes an account.
    ///
    /// # Errors
    ///
    /// [`UsersError::Refused`] if there is one with that address, or the address is malformed.
    pub async fn add(&self, new: &NewUser<'_>) -> Result<User, UsersError> {
        let mut body = json!({
            "primary_email": new.email,
            "primary_email_verified": new.is_verified,
            "primary_email_auth_enabled": true,
            "otp_auth_enabled": true,
        });
        if let Some(name) = new.display_name {
            body["display_name"] = name.into();
        }
        if let Some(password) = new.password {
            body["password"] = password.expose().into();
        }
        let body = Zeroizing::new(body.to_string());
        let said = self.ask(Method::POST, self.url(None)?, Some(&body)).await?;
        understood(&said)
    }

    /// Users, the newest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`UsersError`] for what the backend says.
    pub async fn list(&self, query: Option<&str>, limit: u16) -> Result<Vec<User>, UsersError> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<User>,
        }
        let mut url = self.url(None)?;
        url.query_pairs_mut()
            .append_pair("limit", &limit.to_string())
            .append_pair("order_by", "signed_up_at")
            .append_pair("desc", "true");
        if let Some(query) = query {
            url.query_pairs_mut().append_pair("query", query);
        }
        let list: List = understood(&self.ask(Method::GET, url, None).await?)?;
        Ok(list.items)
    }

    /// Deletes the user with an address or ID, and says who it was.
    ///
    /// # Errors
    ///
    /// [`UsersError::Missing`] if the project has no such user.
    pub async fn delete(&self, user: &str) -> Result<User, UsersError> {
        let missing = || UsersError::Missing {
            user: user.to_owned(),
        };
        // A search finds parts of addresses and names, too.
        let found = self.list(Some(user), SEARCHED).await?;
        let is_meant = |found: &User| {
            let email = found.primary_email.as_deref();
            found.id == user || email.is_some_and(|email| email.eq_ignore_ascii_case(user))
        };
        let found = found.into_iter().find(is_meant).ok_or_else(missing)?;
        let url = self.url(Some(&found.id))?;
        match self.ask(Method::DELETE, url, None).await? {
            Said { status, .. } if status == StatusCode::NOT_FOUND => Err(missing()),
            said => {
                refusal(&said)?;
                Ok(found)
            }
        }
    }

    fn url(&self, id: Option<&str>) -> Result<Url, UsersError> {
        let invalid = || CredentialsError::Invalid {
            problem: "its address is malformed",
        };
        let mut url =
            Url::parse(&format!("{}/api/v1/users", self.api_url)).map_err(|_| invalid())?;
        if let Some(id) = id {
            let mut segments = url.path_segments_mut().map_err(|()| invalid())?;
            segments.push(id);
        }
        Ok(url)
    }

    async fn ask(&self, method: Method, url: Url, body: Option<&str>) -> Result<Said, UsersError> {
        let mut request = self
            .client
            .request(method, url)
            .backend_header("project-id", &self.project_id)
            .backend_header("access-type", "server")
            .backend_header("secret-server-key", self.key.expose());
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        let answer = request
            .send()
            .await
            .map_err(CredentialsError::Unreachable)?;
        Ok(Said::read(answer).await?)
    }
}

/// What an answer that is no refusal says.
fn understood<T: serde::de::DeserializeOwned>(said: &Said) -> Result<T, UsersError> {
    refusal(said)?;
    // What serde says quotes values.
    serde_json::from_slice(&said.body).map_err(|_| {
        UsersError::Backend(CredentialsError::Invalid {
            problem: "it is not about users",
        })
    })
}

/// The refusal that an answer is, if it is one. A backend quotes addresses and names in it, and no keys.
fn refusal(said: &Said) -> Result<(), UsersError> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let status = said.status;
    if status.is_success() {
        return Ok(());
    }
    let words = serde_json::from_slice::<Refusal>(&said.body).map_or_else(
        |_| String::from_utf8_lossy(&said.body).into_owned(),
        |refusal| refusal.error,
    );
    let words = presentable(words.as_bytes(), None);
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CredentialsError::KeyRefused {
            status: status.as_u16(),
        }
        .into(),
        status if status.is_client_error() => UsersError::Refused { said: words },
        status => CredentialsError::Failed {
            status: status.as_u16(),
            said: words,
        }
        .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::backend_double::backend_of;

    const ADA: &str = r#"{"id": "u-1", "primary_email": "ada@example.com", "primary_email_verified": true,
        "display_name": null, "has_password": true, "signed_up_at_millis": 5, "more": 1}"#;

    async fn users_of(
        answers: Vec<(&'static str, String)>,
    ) -> (Users, tokio::task::JoinHandle<Vec<String>>) {
        let (api_url, asked) = backend_of(answers).await;
        let users = Users {
            client: client().unwrap(),
            api_url,
            project_id: "p-1".into(),
            key: SecretText::from_text("ssk_1".into()).unwrap(),
        };
        (users, asked)
    }

    fn list_of(items: &str) -> (&'static str, String) {
        ("200 OK", format!("{{\"items\": [{items}]}}"))
    }

    #[tokio::test]
    async fn an_account_is_made_with_the_projects_key() {
        let (users, asked) = users_of(vec![("201 Created", ADA.to_owned())]).await;
        let password = Password::generate().unwrap();
        assert_eq!(password.expose().len(), PASSWORD_DIGITS);
        assert!(!format!("{password:?}").contains(password.expose()));
        let new = NewUser {
            email: "ada@example.com",
            is_verified: true,
            display_name: None,
            password: Some(&password),
        };
        assert_eq!(users.add(&new).await.unwrap().id, "u-1");
        let asked = asked.await.unwrap().remove(0);
        for part in [
            "POST /api/v1/users HTTP/1.1",
            "x-stack-project-id: p-1",
            "x-hexclave-project-id: p-1",
            "x-stack-secret-server-key: ssk_1",
            password.expose(),
        ] {
            assert!(asked.contains(part), "{part}");
        }
        assert!(!asked.contains("display_name"));
        assert!(!format!("{users:?}").contains("ssk_1"));
    }

    #[tokio::test]
    async fn only_the_user_that_is_named_is_deleted() {
        let grace = ADA.replace("u-1", "u-2").replace("ada@", "xada@");
        let both = format!("{grace},{ADA}");
        let answers = vec![
            list_of(&both),
            ("200 OK", r#"{"success": true}"#.to_owned()),
        ];
        let (users, asked) = users_of(answers).await;
        assert_eq!(users.delete("ADA@example.com").await.unwrap().id, "u-1");
        let asked = asked.await.unwrap();
        assert!(asked[0].starts_with("GET /api/v1/users?limit=100&"));
        assert!(asked[0].contains("query=ADA%40example.com"));
        assert!(asked[1].starts_with("DELETE /api/v1/users/u-1 HTTP"));

        let (users, _asked) = users_of(vec![list_of(&both)]).await;
        let missing = users.delete("example.com").await.unwrap_err();
        assert_eq!(missing.code(), "user_missing");
        assert_eq!(missing.remedy(), Some(Remedy::ListUsers));
    }

    #[tokio::test]
    async fn each_refusal_is_told_from_the_others() {
        let refusal = async |status, body: &str| {
            let (users, _asked) = users_of(vec![(status, body.to_owned())]).await;
            users.list(None, 3).await.unwrap_err()
        };
        let exists = r#"{"code": "USER_EMAIL_ALREADY_EXISTS", "error": "A user with email \"a\u001b[2J\" already exists."}"#;
        let refused = refusal("409 Conflict", exists).await;
        assert_eq!(refused.code(), "user_refused");
        assert_eq!(refused.remedy(), Some(Remedy::ListUsers));
        let said = refused.to_string();
        assert!(
            said.contains("already exists") && !said.contains('\u{1b}'),
            "{said}"
        );
        assert_eq!(refusal("401 Unauthorized", "").await.code(), "key_refused");
        let failed = refusal("503 Service Unavailable", "no database").await;
        assert_eq!(failed.code(), "backend_failed");
        let invalid = refusal("200 OK", r#"{"items": [{"id": "S3CRET"}]}"#).await;
        assert_eq!(invalid.code(), "backend_failed");
        assert!(!invalid.to_string().contains("S3CRET"), "{invalid}");
    }
}
