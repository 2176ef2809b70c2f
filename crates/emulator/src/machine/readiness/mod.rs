//! Readiness is proved, not guessed: requests over the ports that users use.
//!
//! A service is healthy when its health path answers 200. The rotation is
//! proved when a request with the new key is answered and one with the old key
//! refused: the guest's own word for it is not enough, since a process that
//! still holds the old key may go on answering while its successor starts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use secrets::Secret;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::headers::BothNames as _;

/// How long one request may take. Under software emulation the real backend
/// has been seen to take 5 s for its first answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Pause after a failed try. There is no event for "the guest listens now": the
/// host's end of a forwarded port accepts connections all the time.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Requests to one port at the same time. QEMU's user network has its listening sockets hold two
/// connections that it has not taken yet; the kernel drops a third, and tries it again after a
/// second.
const AT_ONCE: usize = 2;

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
    /// [`AT_ONCE`] permits for each port that was asked.
    turns: Arc<Mutex<BTreeMap<u16, Arc<Semaphore>>>>,
}

/// What the backend makes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyVerdict {
    Accepted,
    Refused,
    Unclear(String),
}

/// When a backend has refused old keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Refused {
    /// The first time that it was asked.
    AtOnce,
    /// Not the first time: somebody else answered, or nobody.
    Later,
}

/// Whether keys were proved before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// They were replaced just now, which may restart the backend. The new key comes first: only a
    /// backend that has it is asked for its health, so that the answers of its predecessor do not count.
    First,
    /// They were proved before the guest was saved, and nothing has restarted since: everything is asked
    /// at the same time.
    Again,
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
        Ok(Self {
            client,
            turns: Arc::default(),
        })
    }

    /// Asks once.
    pub(crate) async fn is_healthy(&self, endpoint: &Endpoint, limit: Duration) -> bool {
        match &endpoint.path {
            None => true,
            Some(path) => {
                let answer = tokio::time::timeout(limit, self.status(endpoint, path)).await;
                matches!(answer, Ok(Ok(StatusCode::OK)))
            }
        }
    }

    /// Waits until `port` can be asked, for as long as what is returned is kept.
    async fn turn(&self, port: u16) -> Option<OwnedSemaphorePermit> {
        let turns = {
            // A map of semaphores is whole at any moment.
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(AT_ONCE));
            all.entry(port).or_insert_with(new).clone()
        };
        // It is never closed.
        turns.acquire_owned().await.ok()
    }

    async fn status(&self, endpoint: &Endpoint, path: &str) -> Result<StatusCode, reqwest::Error> {
        let _turn = self.turn(endpoint.port).await;
        let url = format!("{}{path}", endpoint.url());
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
            if let Some(path) = endpoint.path.clone() {
                let (prober, endpoint) = (self.clone(), endpoint.clone());
                waiting.spawn(
                    async move { prober.healthy_by(&endpoint, &path, deadline, limit).await },
                );
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
        endpoint: &Endpoint,
        path: &str,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), NotReady> {
        let mut last = "no answer".to_owned();
        loop {
            match tokio::time::timeout_at(deadline, self.status(endpoint, path)).await {
                Ok(Ok(StatusCode::OK)) => return Ok(()),
                Ok(Ok(status)) => last = format!("HTTP {status}"),
                Ok(Err(error)) => last = describe(&error),
                Err(_) => {}
            }
            if Instant::now() + RETRY_PAUSE >= deadline {
                return Err(NotReady::Service {
                    service: endpoint.name.clone(),
                    limit,
                    last,
                });
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Waits until the backend at `port` accepts `new` and refuses `old`, all publishable client
    /// keys, and every endpoint is healthy.
    ///
    /// Where an old key was not refused at once, the backend's predecessor may still have been there,
    /// and the health is asked again.
    pub(crate) async fn rotated_and_healthy(
        &self,
        proof: Proof,
        port: u16,
        new: &Secret,
        old: &[&Secret],
        endpoints: &[Endpoint],
        limit: Duration,
    ) -> Result<(), NotReady> {
        let deadline = Instant::now() + limit;
        let accepted = self.accepted_by(port, new, deadline, limit);
        let rest = async {
            let (refused, healthy) = tokio::join!(
                self.all_refused_by(port, old, deadline, limit),
                self.all_healthy(endpoints, limit)
            );
            match refused? {
                Refused::AtOnce => healthy,
                Refused::Later => self.all_healthy(endpoints, limit).await,
            }
        };
        match proof {
            Proof::First => {
                accepted.await?;
                rest.await
            }
            Proof::Again => {
                let (accepted, rest) = tokio::join!(accepted, rest);
                accepted?;
                rest
            }
        }
    }

    /// Waits until the backend accepts `key`.
    async fn accepted_by(
        &self,
        port: u16,
        key: &Secret,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), NotReady> {
        loop {
            let verdict = self.key_verdict(port, key, deadline).await;
            tracing::debug!(?verdict, "the new key");
            let last = match verdict {
                KeyVerdict::Accepted => return Ok(()),
                KeyVerdict::Refused => "the key is refused".into(),
                KeyVerdict::Unclear(last) => last,
            };
            if Instant::now() + RETRY_PAUSE >= deadline {
                return Err(NotReady::NewKeyRefused { limit, last });
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Waits until the backend refuses all of `keys`.
    async fn all_refused_by(
        &self,
        port: u16,
        keys: &[&Secret],
        deadline: Instant,
        limit: Duration,
    ) -> Result<Refused, NotReady> {
        let mut asked = tokio::task::JoinSet::new();
        for key in keys {
            let (prober, key) = (self.clone(), (*key).clone());
            asked.spawn(async move { prober.refused_by(port, &key, deadline, limit).await });
        }
        let mut all = Refused::AtOnce;
        while let Some(joined) = asked.join_next().await {
            match joined {
                Ok(result) => all = all.max(result?),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        Ok(all)
    }

    /// Waits until the backend refuses `key`.
    async fn refused_by(
        &self,
        port: u16,
        key: &Secret,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Refused, NotReady> {
        let mut refused = Refused::AtOnce;
        loop {
            if self.key_verdict(port, key, deadline).await == KeyVerdict::Refused {
                return Ok(refused);
            }
            refused = Refused::Later;
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
            .backend_header("project-id", "internal")
            .backend_header("access-type", "client")
            .backend_header("publishable-client-key", key.expose());
        let answered = async {
            let _turn = self.turn(port).await;
            request.send().await
        };
        match tokio::time::timeout_at(deadline, answered).await {
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
mod tests;
