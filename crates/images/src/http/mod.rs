//! HTTP as fetching needs it: one client, a token that stays with its host, and
//! patience with servers that stumble.
//!
//! Redirects are followed here and not by the client library, because what may
//! travel along is our decision: the token goes to the origin (scheme, host and
//! port) of the API and nowhere else, once it was left behind it stays behind,
//! and nothing follows a redirect from HTTPS to HTTP.
//!
//! TLS is rustls with the *ring* provider and the operating system's trust
//! store. The provider is given to each client by hand ([`no_tls`] for those
//! that never speak TLS), since a process-wide default would be a side effect
//! of a library.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Response, StatusCode};
use rustls_platform_verifier::BuilderVerifierExt;
use url::{Host, Url};

use crate::token::Token;

mod error;
mod retry;

pub use error::HttpError;
pub use retry::Retry;
/// What is wrong with a TLS configuration, or a certificate.
pub use rustls::Error as TlsError;

/// Redirects followed for one request; GitHub needs one, storage may add one.
const MAX_REDIRECTS: usize = 5;
/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// Window of HTTP/2 in bytes, of a stream and of its connection: as much can be
/// under way, thus one of these comes each round trip. It takes 12.5 MB for
/// 1 Gbit/s at 100 ms; hyper's defaults are 2 MiB and 5 MiB. What nobody has
/// read yet counts too, so this is also the most that a slow disk lets pile up.
const WINDOW: u32 = 16 << 20;
/// Bytes of an error's body that are looked at for its message.
const MESSAGE_BYTES: usize = 16 << 10;

/// The client with its token.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    /// For requests to an API on this machine that hold the token in clear.
    direct: Option<reqwest::Client>,
    api: Url,
    token: Option<Token>,
    pub(crate) retry: Retry,
}

impl Http {
    /// A client for `api`, whose connections are given up when nothing
    /// arrives for `idle`.
    pub(crate) fn new(
        api: Url,
        token: Option<Token>,
        retry: Retry,
        idle: Duration,
    ) -> Result<Self, HttpError> {
        if token.is_some() && api.scheme() != "https" && !is_loopback(&api) {
            return Err(HttpError::TokenInClear {
                host: host_of(&api),
            });
        }
        let builder = |tls| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .user_agent(concat!("stack-emulator/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_LIMIT)
                .read_timeout(idle)
                .http2_initial_stream_window_size(WINDOW)
                .http2_initial_connection_window_size(WINDOW)
        };
        let client = builder(tls()?).build().map_err(HttpError::Client)?;
        // A proxy need not be on this machine, and would be handed the token.
        let direct = (token.is_some() && api.scheme() == "http")
            .then(|| {
                let tls = no_tls().map_err(HttpError::Tls)?;
                builder(tls).no_proxy().build().map_err(HttpError::Client)
            })
            .transpose()?;
        Ok(Self {
            client,
            direct,
            api,
            token,
            retry,
        })
    }

    pub(crate) fn api(&self) -> &Url {
        &self.api
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        self.token.is_some()
    }

    /// `GET`, once, redirects followed. Any status but a redirect is an answer.
    pub(crate) async fn get(&self, url: &Url, headers: &HeaderMap) -> Result<Response, HttpError> {
        let mut url = url.clone();
        let mut trusted = true;
        for _ in 0..=MAX_REDIRECTS {
            trusted = trusted && url.origin() == self.api.origin();
            let client = self.direct.as_ref().filter(|_| trusted);
            let mut request = client
                .unwrap_or(&self.client)
                .get(url.clone())
                .headers(headers.clone())
                // Lengths and digests are of the file, not of a compressed form.
                .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(token) = self.token.as_ref().filter(|_| trusted) {
                request = request.header(AUTHORIZATION, token.bearer());
            }
            let response = request
                .send()
                .await
                .map_err(|error| connection(&url, error))?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            url = follow(&url, response.headers())?;
        }
        Err(HttpError::RedirectLoop {
            host: host_of(&url),
        })
    }

    /// What an answer that is no success means.
    pub(crate) async fn refusal(&self, mut response: Response, what: &str) -> HttpError {
        let (url, status) = (response.url().clone(), response.status());
        let host = host_of(&url);
        let authenticated = self.token.is_some() && url.origin() == self.api.origin();
        if let Some(limited) = rate_limit(&host, status, response.headers(), authenticated) {
            return limited;
        }
        let what = what.to_owned();
        match status {
            StatusCode::UNAUTHORIZED if authenticated => HttpError::Unauthorized { host },
            StatusCode::NOT_FOUND => HttpError::NotFound {
                host,
                what,
                authenticated,
            },
            StatusCode::GONE => HttpError::Gone { host, what },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => HttpError::Forbidden {
                host,
                what,
                message: message(&mut response).await,
            },
            _ => HttpError::Status {
                host,
                what,
                status: status.as_u16(),
                message: message(&mut response).await,
            },
        }
    }
}

/// A failed connection or body, without the address.
pub(crate) fn connection(url: &Url, error: reqwest::Error) -> HttpError {
    let host = host_of(url);
    match tls_error(&error) {
        Some(source @ TlsError::InvalidCertificate(_)) => HttpError::Certificate {
            host,
            source: source.clone(),
        },
        _ => HttpError::Connection {
            host,
            source: error.without_url(),
        },
    }
}

/// What TLS has said, if it was that. It comes in I/O errors, in two of them
/// without a proxy, and the source of such an error is not what it holds but
/// the source of that.
fn tls_error(error: &reqwest::Error) -> Option<&TlsError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        next = match error.downcast_ref().and_then(std::io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

pub(crate) fn host_of(url: &Url) -> String {
    url.host_str()
        .unwrap_or("an address without a host")
        .to_owned()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn follow(url: &Url, headers: &HeaderMap) -> Result<Url, HttpError> {
    let next = headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|location| url.join(location).ok())
        .filter(|next| matches!(next.scheme(), "http" | "https") && next.has_host())
        .ok_or_else(|| HttpError::RedirectAddress { host: host_of(url) })?;
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(HttpError::RedirectDowngrade {
            from: host_of(url),
            to: host_of(&next),
        });
    }
    Ok(next)
}

/// A 403 or 429 that means "later"; GitHub uses both.
fn rate_limit(
    host: &str,
    status: StatusCode,
    headers: &HeaderMap,
    authenticated: bool,
) -> Option<HttpError> {
    let number =
        |name: &str| -> Option<u64> { headers.get(name)?.to_str().ok()?.trim().parse().ok() };
    let remaining = number("x-ratelimit-remaining");
    let retry_after = number("retry-after");
    let refused = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => remaining == Some(0) || retry_after.is_some(),
        _ => false,
    };
    let reset_at = number("x-ratelimit-reset");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    refused.then(|| HttpError::RateLimited {
        host: host.to_owned(),
        limit: number("x-ratelimit-limit"),
        remaining,
        reset_at: reset_at.or_else(|| Some(now.saturating_add(retry_after?))),
        wait: retry_after
            .or_else(|| reset_at.map(|at| at.saturating_sub(now)))
            .map(Duration::from_secs),
        authenticated,
    })
}

/// GitHub's `message`, or the beginning of the text; one printable line of it.
async fn message(response: &mut Response) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        message: String,
    }
    let mut body = Vec::new();
    // A body that breaks off is still better than none.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MESSAGE_BYTES {
            break;
        }
    }
    let text = match serde_json::from_slice::<Said>(&body) {
        Ok(said) => said.message,
        Err(_) => String::from_utf8_lossy(&body).into_owned(),
    };
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| printable::is_harmless(*c))
        .take(200)
        .collect()
}

/// A TLS configuration that trusts whom the system trusts, for clients that are made elsewhere.
///
/// # Errors
///
/// The system has no certificates, or none that can be read.
pub fn tls() -> Result<rustls::ClientConfig, HttpError> {
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .and_then(BuilderVerifierExt::with_platform_verifier)
    .map_err(HttpError::Tls)?
    .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A TLS configuration that trusts nobody, for clients that speak plain HTTP to
/// 127.0.0.1 only.
///
/// Cargo gives every user of `reqwest` in a build the TLS that this crate asks
/// for, and a client that is not told its provider then panics. With this it
/// is told, and spares reading the system's certificates (5 to 20 ms).
pub fn no_tls() -> Result<rustls::ClientConfig, TlsError> {
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_root_certificates(rustls::RootCertStore::empty())
    .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderName;

    fn redirected(from: &str, to: &str) -> Result<String, &'static str> {
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(to).unwrap())]);
        match follow(&Url::parse(from).unwrap(), &headers) {
            Ok(url) => Ok(url.to_string()),
            Err(HttpError::RedirectDowngrade { .. }) => Err("downgrade"),
            Err(HttpError::RedirectAddress { .. }) => Err("address"),
            Err(_) => Err("other"),
        }
    }

    #[test]
    fn a_redirect_never_leaves_https_and_never_http() {
        assert_eq!(redirected("https://a/b/c", "d"), Ok("https://a/b/d".into()));
        assert_eq!(redirected("https://a/", "//b/"), Ok("https://b/".into()));
        assert_eq!(
            redirected("http://a/", "https://b/"),
            Ok("https://b/".into())
        );
        assert_eq!(redirected("https://a/", "http://a/"), Err("downgrade"));
        for to in ["ftp://a/", "file:///etc/passwd", "javascript:1", "http://"] {
            assert_eq!(redirected("http://a/", to), Err("address"), "{to}");
        }
    }

    #[test]
    fn only_what_says_later_is_a_rate_limit() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect::<HeaderMap>()
        };
        let limited =
            |status, pairs: &[_]| rate_limit("a", status, &headers(pairs), true).is_some();
        let (left, none) = (
            ("x-ratelimit-remaining", "9"),
            ("x-ratelimit-remaining", "0"),
        );
        assert!(limited(StatusCode::FORBIDDEN, &[none]));
        assert!(limited(
            StatusCode::FORBIDDEN,
            &[left, ("retry-after", "60")]
        ));
        assert!(limited(StatusCode::TOO_MANY_REQUESTS, &[]));
        assert!(!limited(StatusCode::FORBIDDEN, &[left]));
        assert!(!limited(StatusCode::NOT_FOUND, &[none]));
    }
}
