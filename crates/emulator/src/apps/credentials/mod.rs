//! An app's project: its keys, by the path of its config file.
//!
//! The backend in the guest reads the file through `/host`, finds or makes the
//! project that belongs to that path, and answers with its keys. So the file's
//! folder is shared first, and the answer is checked before anybody gets to see
//! a part of it.

mod format;
mod variables;

use std::path::Path;
use std::time::Duration;

use failure::{Code, Remedy};
use reqwest::StatusCode;
use secrets::{Secret, SecretName, SecretText, Slot};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::apps::error::AppsError as Error;
use crate::instance::error::InstanceError;
use crate::instance::{Emulator, LockedInstance};
use crate::machine::folders::ConfigFile;
use crate::machine::guest::presentable;
use crate::machine::headers::BothNames as _;
use crate::machine::run_record::{Purpose, RunningVm};
use progress::Reporter;

pub use format::{Format, JSON_FIELDS};
pub(super) use variables::twin;
pub use variables::{AppKind, AppVariable, Names};

/// How long the backend may take. The published one compiles on first use, and
/// under software emulation takes its time over it.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// Longest answer taken, in bytes: a config file may have 1 MiB, and JSON may
/// make six bytes of one.
const LONGEST_ANSWER: usize = 8 << 20;

/// The keys of an app's project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectCredentials {
    /// The project; public.
    pub project_id: String,
    /// What the app's pages identify themselves with; public by nature, but not
    /// for logs.
    pub publishable_client_key: SecretText,
    /// What the app's server identifies itself with.
    pub secret_server_key: SecretText,
    /// What may do everything with the project.
    pub super_secret_admin_key: SecretText,
    /// The config file's settings, as JSON.
    pub branch_config_override_string: String,
    /// Where the backend is.
    pub api_url: String,
}

/// Why there are no project keys.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The image has no backend.
    #[error("the image has no service called `backend`")]
    NoBackend,
    /// The key for the request is missing.
    #[error("the emulator's own key is missing from the secret store")]
    NoKey,
    /// The request could not be made.
    #[error("cannot make an HTTP request")]
    Client(#[source] reqwest::Error),
    /// The HTTP client cannot be set up.
    #[error("cannot make an HTTP client")]
    Tls(#[source] images::http::TlsError),
    /// The backend cannot be reached.
    #[error("the backend does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// The backend refuses the emulator's key.
    #[error("the backend does not accept the emulator's own key (HTTP {status})")]
    KeyRefused {
        /// 401 or 403.
        status: u16,
    },
    /// The guest cannot see or cannot use the config file.
    #[error("the emulator cannot use the config file {path}: {said}")]
    ConfigFile {
        /// The path that it was told.
        path: String,
        /// The backend's words.
        said: String,
    },
    /// The backend failed.
    #[error("the backend failed (HTTP {status}): {said}")]
    Failed {
        /// What it answered.
        status: u16,
        /// Its words.
        said: String,
    },
    /// The answer has another form than it should.
    #[error("the backend's answer is not valid: {problem}")]
    Invalid {
        /// What is wrong, without any value.
        problem: &'static str,
    },
}

impl CredentialsError {
    /// A stable code for programs.
    pub const fn code(&self) -> Code {
        match self {
            Self::NoBackend => Code::NoBackend,
            Self::NoKey => Code::SecretsMissing,
            Self::Client(_) | Self::Tls(_) | Self::Unreachable(_) => Code::BackendUnreachable,
            Self::KeyRefused { .. } => Code::KeyRefused,
            Self::ConfigFile { .. } => Code::ConfigFile,
            Self::Failed { .. } | Self::Invalid { .. } => Code::BackendFailed,
        }
    }

    /// What to do about it, if anything helps.
    pub const fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::NoKey | Self::KeyRefused { .. } => Some(Remedy::RotateSecrets),
            Self::Unreachable(_) | Self::Failed { .. } => Some(Remedy::ReadStatus),
            Self::ConfigFile { .. } => Some(Remedy::CorrectConfigFile),
            Self::NoBackend | Self::Client(_) | Self::Tls(_) | Self::Invalid { .. } => None,
        }
    }
}

/// The body of an answer; missing fields are found by hand, so that no message
/// quotes a key.
#[derive(Deserialize)]
struct Answer {
    project_id: Option<String>,
    publishable_client_key: Option<String>,
    secret_server_key: Option<String>,
    super_secret_admin_key: Option<String>,
    branch_config_override_string: Option<String>,
}

fn validate(body: &[u8], api_url: String) -> Result<ProjectCredentials, CredentialsError> {
    let invalid = |problem| CredentialsError::Invalid { problem };
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| invalid("it is not a JSON object of texts"))?;
    let secret = |field: Option<String>, problem| {
        field
            .and_then(SecretText::from_text)
            .ok_or(invalid(problem))
    };
    // It goes into `.env` files and environments like the keys.
    let project_id = secret(answer.project_id, "project_id is missing or malformed")?;
    Ok(ProjectCredentials {
        project_id: project_id.expose().to_owned(),
        publishable_client_key: secret(
            answer.publishable_client_key,
            "publishable_client_key is missing or malformed",
        )?,
        secret_server_key: secret(
            answer.secret_server_key,
            "secret_server_key is missing or malformed",
        )?,
        super_secret_admin_key: secret(
            answer.super_secret_admin_key,
            "super_secret_admin_key is missing or malformed",
        )?,
        branch_config_override_string: answer
            .branch_config_override_string
            .filter(|text| !text.is_empty())
            .ok_or(invalid("branch_config_override_string is missing"))?,
        api_url,
    })
}

impl Emulator {
    /// The keys of the project that belongs to `config_file`.
    ///
    /// Shares the file's folder with the guest, if it does not see it yet.
    ///
    /// # Errors
    ///
    /// [`InstanceError::NotRunning`]; [`ShareError`](crate::folders::ShareError) if the file is not there or its
    /// folder is not for sharing; [`CredentialsError`] for what the backend says.
    pub async fn credentials(
        &self,
        config_file: &Path,
        reporter: &dyn Reporter,
    ) -> Result<ProjectCredentials, Error> {
        // Named before anything is waited for: this is the file that is meant.
        let file = ConfigFile::name(config_file, &self.settings)?;
        let held = self.hold("credentials", reporter).await?;
        let Some((record, vm)) = &held.running else {
            return Err(InstanceError::NotRunning {
                request: "get credentials",
            }
            .into());
        };
        let rotating = matches!(record.purpose, Purpose::Rotating(_));
        held.settle_rotation(reporter).await?;
        let asked = async {
            held.share(record, file.folder()).await?;
            let keys = held.own_keys(vm.rotated || rotating).await?;
            Ok::<_, Error>(ask(vm, &keys, file.path()).await?)
        };
        let credentials = held.while_it_runs(record, asked).await?;
        self.remember_project(&file)?;
        Ok(credentials)
    }
}

/// The keys of the emulator's own project that open the call.
pub(super) struct OwnKeys {
    /// What published backends ask for.
    publishable: Secret,
    /// What a backend may ask for besides, and the starter does: the dashboard serves the other to everybody.
    pub(super) server: Secret,
}

impl LockedInstance<'_> {
    pub(super) async fn own_keys(&self, rotated: bool) -> Result<OwnKeys, Error> {
        if !rotated {
            return Ok(OwnKeys {
                publishable: SecretName::Pck.placeholder(),
                server: SecretName::Ssk.placeholder(),
            });
        }
        let set = match self.emulator.recorded_vault()? {
            Some(vault) => vault.load(Slot::Current).await?,
            None => None,
        };
        let set = set.ok_or(CredentialsError::NoKey)?;
        Ok(OwnKeys {
            publishable: set.get(SecretName::Pck).clone(),
            server: set.get(SecretName::Ssk).clone(),
        })
    }
}

/// The call of the contract.
async fn ask(
    vm: &RunningVm,
    keys: &OwnKeys,
    path: &str,
) -> Result<ProjectCredentials, CredentialsError> {
    let backend = vm
        .endpoints
        .iter()
        .find(|endpoint| endpoint.id == "backend")
        .ok_or(CredentialsError::NoBackend)?;
    ask_at(&backend.url(), keys, path).await
}

/// What a backend said.
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Said {
    /// Reads an answer, which may not be too long.
    pub(super) async fn read(mut answer: reqwest::Response) -> Result<Self, CredentialsError> {
        let status = answer.status();
        let mut body = Zeroizing::new(Vec::with_capacity(16 << 10));
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(CredentialsError::Unreachable)?
        {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(CredentialsError::Invalid {
                    problem: "it is too long",
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self { status, body })
    }

    /// Whether it knows the key, and wants one that is worth more.
    fn wants_more(&self) -> bool {
        #[derive(Deserialize)]
        struct Refusal {
            code: String,
        }
        self.status == StatusCode::UNAUTHORIZED
            && serde_json::from_slice::<Refusal>(&self.body)
                .is_ok_and(|refusal| refusal.code == "INSUFFICIENT_ACCESS_TYPE")
    }
}

/// A client for a backend on this host.
pub(super) fn client() -> Result<reqwest::Client, CredentialsError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(images::http::no_tls().map_err(CredentialsError::Tls)?)
        // A proxy has no business between the host and its own loopback.
        .no_proxy()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST_LIMIT)
        .build()
        .map_err(CredentialsError::Client)
}

async fn ask_at(
    api_url: &str,
    keys: &OwnKeys,
    path: &str,
) -> Result<ProjectCredentials, CredentialsError> {
    let client = client()?;
    let key = ("publishable-client-key", &keys.publishable);
    let mut answer = ask_as(&client, api_url, "client", key, path).await?;
    if answer.wants_more() {
        let key = ("secret-server-key", &keys.server);
        answer = ask_as(&client, api_url, "server", key, path).await?;
    }
    let Said { status, body } = answer;
    let said = || {
        let text = String::from_utf8_lossy(&body)
            .replace(keys.publishable.expose(), "[redacted]")
            .replace(keys.server.expose(), "[redacted]");
        presentable(text.as_bytes(), None)
    };
    match status {
        StatusCode::OK => validate(&body, api_url.to_owned()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(CredentialsError::KeyRefused {
            status: status.as_u16(),
        }),
        StatusCode::BAD_REQUEST => Err(CredentialsError::ConfigFile {
            path: path.to_owned(),
            said: said(),
        }),
        status => Err(CredentialsError::Failed {
            status: status.as_u16(),
            said: said(),
        }),
    }
}

async fn ask_as(
    client: &reqwest::Client,
    api_url: &str,
    access: &str,
    (header, key): (&str, &Secret),
    path: &str,
) -> Result<Said, CredentialsError> {
    let body = serde_json::json!({ "absolute_file_path": path }).to_string();
    let answer = client
        .post(format!("{api_url}/api/v1/internal/local-emulator/project"))
        .header("content-type", "application/json")
        .backend_header("project-id", "internal")
        .backend_header("access-type", access)
        .backend_header(header, key.expose())
        .body(body)
        .send()
        .await
        .map_err(CredentialsError::Unreachable)?;
    Said::read(answer).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::backend_double::backend_of;

    const GOOD: &str = r#"{"project_id": "p-1", "publishable_client_key": "pck_1", "secret_server_key": "ssk_1",
        "super_secret_admin_key": "sak_1", "branch_config_override_string": "{}", "more": 1}"#;

    /// Does not compile should one of these become a `Serialize`: then two traits
    /// have what is asked for, and neither is meant.
    #[test]
    fn nothing_serializes_a_value() {
        struct Serializable;
        trait Unclear<Why> {
            const FINE: bool = true;
        }
        impl<T: ?Sized> Unclear<()> for T {}
        impl<T: ?Sized + serde::Serialize> Unclear<Serializable> for T {}
        let fine = [
            <secrets::Secret as Unclear<_>>::FINE,
            <secrets::SecretSet as Unclear<_>>::FINE,
            <secrets::SecretText as Unclear<_>>::FINE,
            <ProjectCredentials as Unclear<_>>::FINE,
        ];
        assert_eq!(fine, [true; 4]);
    }

    #[test]
    fn every_field_is_needed_and_none_is_quoted() {
        assert!(validate(GOOD.as_bytes(), String::new()).is_ok());
        for field in [
            "project_id",
            "publishable_client_key",
            "secret_server_key",
            "super_secret_admin_key",
            "branch_config_override_string",
        ] {
            let whole: serde_json::Value = serde_json::from_str(GOOD).unwrap();
            for bad in [None, Some(""), Some("a\nb=c")] {
                if field == "branch_config_override_string" && bad == Some("a\nb=c") {
                    continue;
                }
                let mut body = whole.clone();
                let fields = body.as_object_mut().unwrap();
                match bad {
                    None => drop(fields.remove(field)),
                    Some(text) => drop(fields.insert(field.into(), text.into())),
                }
                let error = validate(body.to_string().as_bytes(), String::new()).unwrap_err();
                let shown = format!("{error} {error:?}");
                assert!(shown.contains(field) && !shown.contains("ssk_1"), "{shown}");
            }
        }
        for bad in ["", "[]", "{\"project_id\": 7}", "<html>"] {
            assert!(validate(bad.as_bytes(), String::new()).is_err());
        }
    }

    fn own_keys() -> OwnKeys {
        OwnKeys {
            publishable: Secret::generate().unwrap(),
            server: Secret::generate().unwrap(),
        }
    }

    #[tokio::test]
    async fn each_refusal_is_told_from_the_others() {
        let keys = own_keys();
        let ask = async |status, body| {
            let (url, _) = backend_of(vec![(status, body)]).await;
            ask_at(&url, &keys, "/app/stack.config.ts").await
        };
        assert_eq!(ask("200 OK", GOOD).await.unwrap().project_id, "p-1");
        let code = async |status, body| ask(status, body).await.unwrap_err().code();
        assert_eq!(code("401 Unauthorized", "").await, "key_refused");
        assert_eq!(code("403 Forbidden", "").await, "key_refused");
        assert_eq!(code("400 Bad Request", "not found").await, "config_file");
        assert_eq!(code("503 Service Unavailable", "").await, "backend_failed");
        assert_eq!(code("200 OK", "{}").await, "backend_failed");
        let nobody = ask_at("http://127.0.0.1:1", &keys, "/x").await.unwrap_err();
        assert_eq!(nobody.code(), "backend_unreachable");
    }

    /// A published backend takes the publishable key and never sees another; one that wants more is shown the
    /// server key, once.
    #[tokio::test]
    async fn the_server_key_is_shown_to_who_asks_for_it() {
        let keys = own_keys();
        let (url, asked) = backend_of(vec![("200 OK", GOOD)]).await;
        assert!(ask_at(&url, &keys, "/x").await.is_ok());
        let asked = asked.await.unwrap();
        assert!(asked[0].contains(keys.publishable.expose()));
        assert!(!asked[0].contains(keys.server.expose()));

        let more = (
            "401 Unauthorized",
            r#"{"code": "INSUFFICIENT_ACCESS_TYPE"}"#,
        );
        let (url, asked) = backend_of(vec![more, ("200 OK", GOOD)]).await;
        assert!(ask_at(&url, &keys, "/x").await.is_ok());
        let asked = asked.await.unwrap();
        for family in ["x-stack", "x-hexclave"] {
            let line = format!("{family}-access-type: server");
            assert!(asked[1].contains(&line), "{line}");
        }
        assert!(asked[1].contains(keys.server.expose()));

        let (url, asked) = backend_of(vec![more, more]).await;
        let refused = ask_at(&url, &keys, "/x").await.unwrap_err();
        assert_eq!(refused.code(), "key_refused");
        assert_eq!(asked.await.unwrap().len(), 2);
    }
}
