//! The mails that the backend would have sent: magic links, codes, invitations.
//!
//! The starter's backend keeps them and lists them for the server key of the emulator's own project. Other
//! images have no such list; some have an inbox of their own, to which the error points.

use failure::{Code, Remedy};
use progress::Reporter;
use reqwest::{StatusCode, Url};
use secrets::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::credentials::{CredentialsError, Said, client};
use super::error::AppsError as Error;
use crate::instance::Emulator;
use crate::instance::error::InstanceError;
use crate::machine::guest::presentable;
use crate::machine::headers::BothNames as _;
use crate::machine::run_record::Purpose;

/// Between two looks for a new mail.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two looks at a list that a window shows.
const LOOK: Duration = Duration::from_secs(1);
/// The service that shows the mails to people.
const INBOX: &str = "inbucket";

/// A mail, without what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct MailSummary {
    /// Its ID.
    pub id: String,
    /// The project that sent it.
    pub project_id: String,
    /// The recipient's address.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// Where its button leads, if the backend wrote it.
    pub link: Option<String>,
    /// What the recipient types, or else the code in the link.
    pub code: Option<String>,
    /// When it was sent, by the guest's clock.
    #[cfg_attr(feature = "specta", specta(type = specta_typescript::Number))]
    pub created_at_ms: u64,
}

/// A mail with what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct Mail {
    /// What a list tells.
    #[serde(flatten)]
    pub summary: MailSummary,
    /// As plain text.
    pub text: String,
    /// As HTML.
    pub html: String,
}

/// A mail as the backend tells of it: in a list, or by itself with its two forms.
#[derive(Deserialize)]
struct Told<Forms> {
    id: String,
    project_id: String,
    to: String,
    subject: String,
    link: Option<String>,
    code: Option<String>,
    created_at_millis: u64,
    #[serde(flatten)]
    forms: Forms,
}

/// What a list leaves out.
#[derive(Deserialize)]
struct NoForms {}

#[derive(Deserialize)]
struct Forms {
    text: String,
    html: String,
}

impl<Forms> Told<Forms> {
    fn split(self) -> (MailSummary, Forms) {
        let summary = MailSummary {
            id: self.id,
            project_id: self.project_id,
            to: self.to,
            subject: self.subject,
            link: self.link,
            code: self.code,
            created_at_ms: self.created_at_millis,
        };
        (summary, self.forms)
    }
}

/// Which mails a list has.
#[derive(Clone, Copy, Debug, Default)]
pub struct MailQuery<'a> {
    /// Those to this address.
    pub to: Option<&'a str>,
    /// Those that came after the mail with this ID.
    pub after: Option<&'a str>,
    /// The newest of them, as many.
    pub limit: u16,
}

/// Why there is no mail.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The backend did not answer as it should.
    #[error(transparent)]
    Backend(#[from] CredentialsError),
    /// The image's backend has no list of mails.
    #[error("the `mail` command does not work with this image{}", other_place(.inbox.as_deref()))]
    Unsupported {
        /// The address of the image's own inbox.
        inbox: Option<String>,
    },
    /// There is no such mail.
    #[error("there is no mail with the ID {id}")]
    Missing {
        /// What was asked for.
        id: String,
    },
}

fn other_place(inbox: Option<&str>) -> String {
    inbox.map_or_else(
        || ": its backend does not show the mails that it sends".to_owned(),
        |inbox| format!(": it shows its mails at {inbox}"),
    )
}

impl MailError {
    /// A stable code for programs.
    pub const fn code(&self) -> Code {
        match self {
            Self::Backend(error) => error.code(),
            Self::Unsupported { .. } => Code::MailUnsupported,
            Self::Missing { .. } => Code::MailMissing,
        }
    }

    /// What to do about it, if anything helps.
    pub const fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Backend(error) => error.remedy(),
            Self::Missing { .. } => Some(Remedy::ListMails),
            Self::Unsupported { .. } => None,
        }
    }
}

/// The mails of a running emulator.
#[derive(Debug)]
pub struct Mailbox {
    client: reqwest::Client,
    api_url: String,
    key: Secret,
    inbox: Option<String>,
}

impl Emulator {
    /// The mails of the running emulator. The instance is not held while they are read.
    ///
    /// # Errors
    ///
    /// [`InstanceError::NotRunning`]; [`CredentialsError`] if there is no backend or no key for it.
    pub async fn mailbox(&self, reporter: &dyn Reporter) -> Result<Mailbox, Error> {
        let held = self.hold("mail", reporter).await?;
        let Some((record, vm)) = &held.running else {
            return Err(InstanceError::NotRunning {
                request: "read mails",
            }
            .into());
        };
        let rotating = matches!(record.purpose, Purpose::Rotating(_));
        held.settle_rotation(reporter).await?;
        let url_of = |id: &str| {
            let mut endpoints = vm.endpoints.iter();
            endpoints
                .find(|endpoint| endpoint.id == id)
                .map(crate::machine::readiness::Endpoint::url)
        };
        Ok(Mailbox {
            client: client()?,
            api_url: url_of("backend").ok_or(CredentialsError::NoBackend)?,
            key: held.own_keys(vm.rotated || rotating).await?.server,
            inbox: url_of(INBOX),
        })
    }
}

impl Mailbox {
    /// Mails, newest first.
    ///
    /// # Errors
    ///
    /// [`MailError::Unsupported`] with other images; [`MailError::Missing`] if there is no mail `after`.
    pub async fn list(&self, query: &MailQuery<'_>) -> Result<Vec<MailSummary>, MailError> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Told<NoForms>>,
        }
        let mut url = self.url(None)?;
        let limit = query.limit.to_string();
        let entries = [
            ("to", query.to),
            ("after", query.after),
            ("limit", Some(&*limit)),
        ];
        for (name, value) in entries {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let list: List = self.ask(url, query.after).await?;
        let mails = list.items.into_iter().map(|told| told.split().0);
        Ok(mails.collect())
    }

    /// One mail.
    ///
    /// # Errors
    ///
    /// [`MailError::Unsupported`] with other images; [`MailError::Missing`] if no mail has that ID.
    pub async fn read(&self, id: &str) -> Result<Mail, MailError> {
        // An empty one would ask for the list.
        if id.is_empty() {
            return Err(MailError::Missing { id: id.to_owned() });
        }
        let told: Told<Forms> = self.ask(self.url(Some(id))?, Some(id)).await?;
        let (summary, Forms { text, html }) = told.split();
        Ok(Mail {
            summary,
            text,
            html,
        })
    }

    /// The newest mail.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn newest(&self, to: Option<&str>) -> Result<Option<MailSummary>, MailError> {
        let query = MailQuery {
            to,
            limit: 1,
            ..MailQuery::default()
        };
        Ok(self.list(&query).await?.pop())
    }

    /// Waits, without a limit, until the list is another one than `known`, and gives it.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list): an error ends the wait.
    pub async fn changed_list(
        &self,
        query: &MailQuery<'_>,
        known: Option<&[MailSummary]>,
    ) -> Result<Vec<MailSummary>, MailError> {
        loop {
            let list = self.list(query).await?;
            if known != Some(&list[..]) {
                return Ok(list);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits, without a limit, for a mail that comes after the one with the ID `after`, or for any if that is `None`.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list): an error ends the wait.
    pub async fn wait(&self, to: Option<&str>, after: Option<&str>) -> Result<Mail, MailError> {
        let query = MailQuery {
            to,
            after,
            limit: 1,
        };
        loop {
            if let Some(mail) = self.list(&query).await?.pop() {
                return self.read(&mail.id).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn url(&self, id: Option<&str>) -> Result<Url, MailError> {
        let invalid = CredentialsError::Invalid {
            problem: "its address is malformed",
        };
        let path = "api/v1/internal/local-emulator/mails";
        let Ok(mut url) = Url::parse(&format!("{}/{path}", self.api_url)) else {
            return Err(invalid.into());
        };
        if let Some(id) = id {
            match url.path_segments_mut() {
                Ok(mut segments) => drop(segments.push(id)),
                Err(()) => return Err(invalid.into()),
            }
        }
        Ok(url)
    }

    /// Asks for `url`, which names the mail `id`.
    async fn ask<T: DeserializeOwned>(&self, url: Url, id: Option<&str>) -> Result<T, MailError> {
        #[derive(Deserialize)]
        struct Refusal {
            code: String,
        }
        let answer = self
            .client
            .get(url)
            .backend_header("project-id", "internal")
            .backend_header("access-type", "server")
            .backend_header("secret-server-key", self.key.expose())
            .send()
            .await
            .map_err(CredentialsError::Unreachable)?;
        let Said { status, body } = Said::read(answer).await?;
        if status == StatusCode::OK {
            // What serde says quotes values.
            return serde_json::from_slice(&body).map_err(|_| {
                MailError::Backend(CredentialsError::Invalid {
                    problem: "it is not about mails",
                })
            });
        }
        let code =
            serde_json::from_slice::<Refusal>(&body).map_or_else(|_| String::new(), |r| r.code);
        Err(match (status, id) {
            (StatusCode::NOT_FOUND, Some(id)) if code == "MAIL_NOT_FOUND" => {
                MailError::Missing { id: id.to_owned() }
            }
            (
                StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_IMPLEMENTED,
                _,
            ) => MailError::Unsupported {
                inbox: self.inbox.clone(),
            },
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => CredentialsError::KeyRefused {
                status: status.as_u16(),
            }
            .into(),
            _ => {
                let said = String::from_utf8_lossy(&body).replace(self.key.expose(), "[redacted]");
                CredentialsError::Failed {
                    status: status.as_u16(),
                    said: presentable(said.as_bytes(), None),
                }
                .into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::backend_double::backend_of;

    const ITEM: &str = r#"{"id": "m-1", "project_id": "p-1", "to": "ada@example.com", "subject": "Hi",
        "link": null, "code": "AB12CD", "created_at_millis": 5, "more": 1}"#;

    async fn mailbox_of(
        answers: Vec<(&'static str, String)>,
    ) -> (Mailbox, tokio::task::JoinHandle<Vec<String>>) {
        let (api_url, asked) = backend_of(answers).await;
        let mailbox = Mailbox {
            client: client().unwrap(),
            api_url,
            key: Secret::generate().unwrap(),
            inbox: None,
        };
        (mailbox, asked)
    }

    fn list_of(items: &str) -> (&'static str, String) {
        ("200 OK", format!("{{\"items\": [{items}]}}"))
    }

    fn whole() -> String {
        let start = ITEM.trim_end_matches('}');
        format!("{start},\"text\":\"t\",\"html\":\"h\"}}")
    }

    #[tokio::test]
    async fn a_list_is_asked_for_with_the_server_key_and_in_no_odd_way() {
        let (mailbox, asked) = mailbox_of(vec![list_of(ITEM)]).await;
        let query = MailQuery {
            to: Some("a&b=c@example.com"),
            after: None,
            limit: 7,
        };
        let mails = mailbox.list(&query).await.unwrap();
        assert_eq!(mails[0].code.as_deref(), Some("AB12CD"));
        assert_eq!(mails[0].created_at_ms, 5);
        let asked = asked.await.unwrap().remove(0);
        let first = asked.lines().next().unwrap();
        assert_eq!(
            first,
            "GET /api/v1/internal/local-emulator/mails?to=a%26b%3Dc%40example.com&limit=7 HTTP/1.1"
        );
        let key = format!("x-stack-secret-server-key: {}", mailbox.key.expose());
        assert!(asked.contains(&key) && asked.contains("x-stack-access-type: server"));
        assert!(!format!("{mailbox:?}").contains(mailbox.key.expose()));
    }

    #[tokio::test]
    async fn an_id_stays_within_its_place_in_the_path() {
        let (mailbox, asked) = mailbox_of(vec![("200 OK", whole())]).await;
        let mail = mailbox.read("../x?y#z").await.unwrap();
        assert_eq!((mail.text.as_str(), mail.html.as_str()), ("t", "h"));
        let json = serde_json::to_value(&mail).unwrap();
        assert_eq!(
            (&json["created_at_ms"], &json["id"]),
            (&5.into(), &"m-1".into())
        );
        let asked = asked.await.unwrap().remove(0);
        assert!(asked.starts_with("GET /api/v1/internal/local-emulator/mails/..%2Fx%3Fy%23z HTTP"));
        assert!(matches!(
            mailbox.read("").await,
            Err(MailError::Missing { .. })
        ));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_first_mail_after_the_one_that_was_there() {
        let answers = vec![list_of(""), list_of(""), list_of(ITEM), ("200 OK", whole())];
        let (mailbox, asked) = mailbox_of(answers).await;
        let mail = mailbox.wait(None, Some("m-0")).await.unwrap();
        assert_eq!(mail.summary.id, "m-1");
        let asked = asked.await.unwrap();
        assert_eq!(asked.len(), 4);
        let asked = &asked[..3];
        assert!(
            asked
                .iter()
                .all(|asked| asked.contains("after=m-0&limit=1"))
        );
    }

    #[tokio::test]
    async fn a_list_that_stays_the_same_is_given_once() {
        let none = || list_of("");
        let answers = vec![none(), none(), none(), list_of(ITEM), none()];
        let (mailbox, asked) = mailbox_of(answers).await;
        let query = MailQuery::default();
        let first = mailbox.changed_list(&query, None).await.unwrap();
        assert_eq!(first, []);
        let second = mailbox.changed_list(&query, Some(&first)).await.unwrap();
        assert_eq!(second[0].id, "m-1");
        // Somebody has deleted it.
        let third = mailbox.changed_list(&query, Some(&second)).await.unwrap();
        assert_eq!(third, []);
        assert_eq!(asked.await.unwrap().len(), 5);
    }

    #[tokio::test]
    async fn each_refusal_is_told_from_the_others() {
        let refusal = async |status, body: &str| {
            let (mut mailbox, _asked) = mailbox_of(vec![(status, body.to_owned())]).await;
            mailbox.inbox = Some("http://127.0.0.1:8105".into());
            mailbox.read("m-1").await.unwrap_err()
        };
        let missing = refusal("404 Not Found", r#"{"code": "MAIL_NOT_FOUND"}"#).await;
        assert_eq!(missing.code(), "mail_missing");
        for (status, body) in [
            ("404 Not Found", "404: this page does not exist"),
            ("405 Method Not Allowed", ""),
            ("501 Not Implemented", r#"{"code": "NOT_IN_STARTER"}"#),
        ] {
            let unsupported = refusal(status, body).await;
            assert_eq!(unsupported.code(), "mail_unsupported");
            assert!(
                unsupported
                    .to_string()
                    .ends_with("at http://127.0.0.1:8105")
            );
        }
        let refused = refusal("401 Unauthorized", "").await;
        assert_eq!(refused.code(), "key_refused");
        let failed = refusal("503 Service Unavailable", "no \u{1b}[2Jdatabase").await;
        assert_eq!(failed.code(), "backend_failed");
        assert!(!failed.to_string().contains('\u{1b}'), "{failed}");
        let invalid = refusal("200 OK", r#"{"code": "AB12CD"}"#).await;
        assert_eq!(invalid.code(), "backend_failed");
        assert!(!invalid.to_string().contains("AB12CD"), "{invalid}");
        let other = MailError::Unsupported { inbox: None };
        assert!(other.to_string().ends_with("the mails that it sends"));
    }
}
