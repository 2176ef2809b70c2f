//! Readiness is proved, not guessed: requests over the ports that users use.
//!
//! A service is healthy when its health path answers 200. The rotation is
//! proved when a request with the new key is answered and one with the old key
//! refused: the guest's own word for it is not enough, since a process that
//! still holds the old key may go on answering while its successor starts.

use std::time::Duration;

use reqwest::StatusCode;
use secrets::Secret;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How long one request may take. Under software emulation the real backend
/// has been seen to take 5 s for its first answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Pause after a failed try. There is no event for "the guest listens now": the
/// host's end of a forwarded port accepts connections all the time.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A service, seen from the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The service's identifier.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Health path; `None` is never asked.
    pub path: Option<String>,
    /// Whether there is something there for a person to look at.
    #[serde(default)]
    pub browsable: bool,
}

impl Endpoint {
    /// The address that a user opens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// What kept a guest from being ready in time.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// A service did not answer 200.
    #[error("{service} did not become healthy within {} s: {last}", limit.as_secs())]
    Service {
        /// The service.
        service: String,
        /// How long it was given.
        limit: Duration,
        /// The last answer or failure.
        last: String,
    },
    /// The backend did not accept the new key.
    #[error("the backend did not accept the new keys within {} s: {last}", limit.as_secs())]
    NewKeyRefused {
        /// How long it was given.
        limit: Duration,
        /// The last answer or failure.
        last: String,
    },
    /// The backend still accepts the old key.
    #[error("the rotation said that it had succeeded, but the backend still accepted the old keys after {} s", limit.as_secs())]
    OldKeyAccepted {
        /// How long it was given.
        limit: Duration,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// The cryptography that comes with the HTTP client could not be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] images::http::TlsError),
}

/// Asks services on 127.0.0.1 whether they are ready.
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    client: reqwest::Client,
}

/// What the backend makes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyVerdict {
    Accepted,
    Refused,
    Unclear(String),
}

impl Prober {
    pub(crate) fn new() -> Result<Self, NotReady> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(images::http::no_tls().map_err(NotReady::Tls)?)
            // A proxy has no business between the host and its own loopback.
            .no_proxy()
            // An idle connection would be frozen into a snapshot.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_LIMIT)
            .build()
            .map_err(NotReady::Client)?;
        Ok(Self { client })
    }

    /// Asks once.
    pub(crate) async fn is_healthy(&self, endpoint: &Endpoint, limit: Duration) -> bool {
        match &endpoint.path {
            None => true,
            Some(path) => {
                let url = format!("{}{path}", endpoint.url());
                let answer = tokio::time::timeout(limit, self.status(&url)).await;
                matches!(answer, Ok(Ok(StatusCode::OK)))
            }
        }
    }

    async fn status(&self, url: &str) -> Result<StatusCode, reqwest::Error> {
        let mut answer = self.client.get(url).send().await?;
        // Read to the end, so that the service is not cut off in its answer.
        while answer.chunk().await?.is_some() {}
        Ok(answer.status())
    }

    /// Waits until every endpoint is healthy.
    pub(crate) async fn all_healthy(
        &self,
        endpoints: &[Endpoint],
        limit: Duration,
    ) -> Result<(), NotReady> {
        let deadline = Instant::now() + limit;
        let mut waiting = tokio::task::JoinSet::new();
        for endpoint in endpoints {
            if let Some(path) = &endpoint.path {
                let (prober, name) = (self.clone(), endpoint.name.clone());
                let url = format!("{}{path}", endpoint.url());
                waiting.spawn(async move { prober.healthy_by(&name, &url, deadline, limit).await });
            }
        }
        while let Some(joined) = waiting.join_next().await {
            match joined {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        Ok(())
    }

    async fn healthy_by(
        &self,
        name: &str,
        url: &str,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), NotReady> {
        let mut last = "no answer".to_owned();
        loop {
            match tokio::time::timeout_at(deadline, self.status(url)).await {
                Ok(Ok(StatusCode::OK)) => return Ok(()),
                Ok(Ok(status)) => last = format!("HTTP {status}"),
                Ok(Err(error)) => last = describe(&error),
                Err(_) => {}
            }
            if Instant::now() + RETRY_PAUSE >= deadline {
                return Err(NotReady::Service {
                    service: name.to_owned(),
                    limit,
                    last,
                });
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Waits until the backend at `port` accepts `new` and refuses `old`, both
    /// publishable client keys.
    pub(crate) async fn keys_rotated(
        &self,
        port: u16,
        new: &Secret,
        old: &[&Secret],
        limit: Duration,
    ) -> Result<(), NotReady> {
        let deadline = Instant::now() + limit;
        let retry = |verdict: &KeyVerdict| {
            tracing::debug!(?verdict, "keys not rotated yet");
            Instant::now() + RETRY_PAUSE < deadline
        };
        loop {
            match self.key_verdict(port, new, deadline).await {
                KeyVerdict::Accepted => break,
                verdict if retry(&verdict) => tokio::time::sleep(RETRY_PAUSE).await,
                KeyVerdict::Refused => {
                    return Err(NotReady::NewKeyRefused {
                        limit,
                        last: "the key is refused".into(),
                    });
                }
                KeyVerdict::Unclear(last) => return Err(NotReady::NewKeyRefused { limit, last }),
            }
        }
        let mut asked = tokio::task::JoinSet::new();
        for key in old {
            let (prober, key) = (self.clone(), (*key).clone());
            asked.spawn(async move { prober.refused_by(port, &key, deadline, limit).await });
        }
        while let Some(joined) = asked.join_next().await {
            match joined {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        Ok(())
    }

    /// Waits until the backend refuses `key`.
    async fn refused_by(
        &self,
        port: u16,
        key: &Secret,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), NotReady> {
        loop {
            if self.key_verdict(port, key, deadline).await == KeyVerdict::Refused {
                return Ok(());
            }
            if Instant::now() + RETRY_PAUSE >= deadline {
                return Err(NotReady::OldKeyAccepted { limit });
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn key_verdict(&self, port: u16, key: &Secret, deadline: Instant) -> KeyVerdict {
        let request = self
            .client
            .get(format!("http://127.0.0.1:{port}/api/v1/projects/current"))
            .header("x-stack-project-id", "internal")
            .header("x-stack-access-type", "client")
            .header("x-stack-publishable-client-key", key.expose());
        match tokio::time::timeout_at(deadline, request.send()).await {
            Ok(Ok(answer)) => match answer.status() {
                StatusCode::OK => KeyVerdict::Accepted,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => KeyVerdict::Refused,
                status => KeyVerdict::Unclear(format!("HTTP {status}")),
            },
            Ok(Err(error)) => KeyVerdict::Unclear(describe(&error)),
            Err(_) => KeyVerdict::Unclear("no answer".into()),
        }
    }

    /// Whether the backend at `port` accepts `key`, a publishable client key;
    /// `None` if it does not say within `limit`.
    pub(crate) async fn accepts(&self, port: u16, key: &Secret, limit: Duration) -> Option<bool> {
        match self.key_verdict(port, key, Instant::now() + limit).await {
            KeyVerdict::Accepted => Some(true),
            KeyVerdict::Refused => Some(false),
            KeyVerdict::Unclear(_) => None,
        }
    }

    /// How long one round of health requests to all endpoints takes; `None` if
    /// any of them is not healthy.
    pub(crate) async fn round_trip(&self, endpoints: &[Endpoint]) -> Option<Duration> {
        let begun = Instant::now();
        for endpoint in endpoints {
            if !self.is_healthy(endpoint, REQUEST_LIMIT).await {
                return None;
            }
        }
        Some(begun.elapsed())
    }
}

/// The innermost reason, without the address: the address is the caller's to name.
fn describe(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrets::SecretName;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Answers each request with what `answer` says to its text.
    async fn server(answer: impl Fn(&str, usize) -> &'static str + Send + 'static) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for count in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = vec![0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                let status = answer(&String::from_utf8_lossy(&buffer[..length]), count);
                let text =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        });
        port
    }

    fn endpoint(port: u16) -> Endpoint {
        Endpoint {
            id: "b".into(),
            name: "Backend".into(),
            port,
            path: Some("/health".into()),
            browsable: true,
        }
    }

    #[tokio::test]
    async fn waits_until_healthy() {
        let port = server(|_, count| {
            if count < 3 {
                "503 Unavailable"
            } else {
                "200 OK"
            }
        })
        .await;
        Prober::new()
            .unwrap()
            .all_healthy(&[endpoint(port)], Duration::from_secs(20))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn names_the_service_and_its_last_answer() {
        let port = server(|_, _| "503 Unavailable").await;
        let error = Prober::new()
            .unwrap()
            .all_healthy(&[endpoint(port)], Duration::from_millis(200))
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("Backend") && text.contains("503"), "{text}");
    }

    #[tokio::test]
    async fn an_old_key_that_still_works_is_no_rotation() {
        let port = server(|_, _| "200 OK").await;
        let (new, old) = (Secret::generate().unwrap(), SecretName::Pck.placeholder());
        let limit = Duration::from_millis(200);
        let error = Prober::new()
            .unwrap()
            .keys_rotated(port, &new, &[&old], limit)
            .await
            .unwrap_err();
        assert!(matches!(error, NotReady::OldKeyAccepted { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_successor_that_takes_its_time_is_waited_for() {
        let new = Secret::generate().unwrap();
        let text = new.expose().to_owned();
        // The old process answers first, accepting the old key alone.
        let port = server(move |request, count| {
            let has_new = request.contains(&text);
            if (count < 5) == has_new {
                "401 Unauthorized"
            } else {
                "200 OK"
            }
        })
        .await;
        let old = SecretName::Pck.placeholder();
        let limit = Duration::from_secs(20);
        Prober::new()
            .unwrap()
            .keys_rotated(port, &new, &[&old], limit)
            .await
            .unwrap();
    }
}
