//! Why a request got no usable answer, and what to do about it.

use std::time::Duration;

use rustls::CertificateError;

use super::MAX_REDIRECTS;

/// A request that got no usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The client could not be made.
    #[error("cannot set up HTTPS")]
    Client(#[source] reqwest::Error),
    /// TLS could not be set up, for instance without any trusted certificate.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// A token would travel unencrypted.
    #[error(
        "the GitHub token would travel unencrypted to {host}; use an https address for the API, or no token"
    )]
    TokenInClear {
        /// The API's host.
        host: String,
    },
    /// No connection, or it broke.
    #[error("the connection to {host} failed")]
    Connection {
        /// The host.
        host: String,
        /// What happened. The address is left out of it: it may hold a signature.
        #[source]
        source: reqwest::Error,
    },
    /// The host shows a certificate that is not to be trusted.
    #[error("the certificate that {host} shows is not accepted")]
    Certificate {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Redirects that lead nowhere.
    #[error("{host} redirected more than {MAX_REDIRECTS} times")]
    RedirectLoop {
        /// The last host.
        host: String,
    },
    /// A redirect without a usable address.
    #[error("{host} redirected to an address that cannot be used")]
    RedirectAddress {
        /// The host.
        host: String,
    },
    /// A redirect from HTTPS to HTTP.
    #[error("{from} redirected from https to http, at {to}: refused")]
    RedirectDowngrade {
        /// The host that redirected.
        from: String,
        /// Where to.
        to: String,
    },
    /// The host answers no more requests for a while.
    #[error("{host} allows no more requests for now{}", describe_limit(*limit, *wait))]
    RateLimited {
        /// The host.
        host: String,
        /// Requests allowed an hour, where told.
        limit: Option<u64>,
        /// Requests left, where told.
        remaining: Option<u64>,
        /// When it will allow more, in seconds since the Unix epoch, where told.
        reset_at: Option<u64>,
        /// How long that was away when it was told.
        wait: Option<Duration>,
        /// Whether a token was sent.
        authenticated: bool,
    },
    /// 401: the token is not accepted.
    #[error("{host} does not accept the GitHub token")]
    Unauthorized {
        /// The host.
        host: String,
    },
    /// 403 that is no rate limit.
    #[error("{host} refuses {what}: {message}")]
    Forbidden {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// What it said.
        message: String,
    },
    /// 404.
    #[error("there is no {what} at {host}")]
    NotFound {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// Whether a token was sent; private repositories look absent without.
        authenticated: bool,
    },
    /// 410: it was there and has expired.
    #[error("{what} has expired and is gone from {host}")]
    Gone {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// Another status.
    #[error("{host} answered {status} when asked for {what}{}", if message.is_empty() { String::new() } else { format!(": {message}") })]
    Status {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
}

fn describe_limit(limit: Option<u64>, wait: Option<Duration>) -> String {
    let limit = limit.map_or(String::new(), |limit| format!(" ({limit} an hour)"));
    let wait = match wait.map(|wait| wait.as_secs()) {
        None => String::new(),
        Some(seconds @ 0..=90) => format!("; again in {seconds} s"),
        Some(seconds) => format!("; again in {} min", seconds.div_ceil(60)),
    };
    limit + &wait
}

/// What to do about a certificate that is not accepted for this reason.
fn certificate_hint(reason: &rustls::Error) -> &'static str {
    use rustls::Error::InvalidCertificate;
    match reason {
        InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "Check the clock of this computer. If it is right, tell whoever runs that host.",
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "Something else answers in its place; check the network, HTTPS_PROXY and STACK_EMULATOR_GITHUB_API."
        }
        // macOS asks its keychain and no variable.
        _ if cfg!(target_vendor = "apple") => {
            "If a proxy or mirror has certificates of your company's own authority, add that authority to the keychain and trust it there."
        }
        _ => {
            "If a proxy or mirror has certificates of your company's own authority, add that authority to the system's (update-ca-certificates), or set SSL_CERT_FILE to a PEM file of all authorities to trust."
        }
    }
}

impl HttpError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Client(_) | Self::Tls(_) => "tls-setup",
            Self::TokenInClear { .. } => "token-in-clear",
            Self::Connection { .. } => "network",
            Self::Certificate { .. } => "tls-certificate",
            Self::RedirectLoop { .. }
            | Self::RedirectAddress { .. }
            | Self::RedirectDowngrade { .. } => "redirect",
            Self::RateLimited { .. } => "rate-limited",
            Self::Unauthorized { .. } => "github-token-refused",
            Self::Forbidden { .. } => "github-forbidden",
            Self::NotFound { .. } => "github-not-found",
            Self::Gone { .. } => "github-expired",
            Self::Status { .. } => "github-status",
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Client(_) | Self::Tls(_) => Some(
                "Check that the system's certificates are installed (package ca-certificates), and that SSL_CERT_FILE and SSL_CERT_DIR, where they are set, name some.",
            ),
            Self::Certificate { source, .. } => Some(certificate_hint(source)),
            Self::TokenInClear { .. } => {
                Some("Give STACK_EMULATOR_GITHUB_API an https address, or unset the token.")
            }
            Self::Connection { .. } => Some(
                "Check the network and the proxy (HTTPS_PROXY, NO_PROXY), then try again: it continues where it stopped.",
            ),
            Self::RedirectLoop { .. }
            | Self::RedirectAddress { .. }
            | Self::RedirectDowngrade { .. } => Some(
                "A proxy or mirror may be in the way; check HTTPS_PROXY and STACK_EMULATOR_GITHUB_API.",
            ),
            Self::RateLimited {
                authenticated: false,
                ..
            } => Some(
                "Set GITHUB_TOKEN, or log in with `gh auth login`: with a token the limit is 5000 an hour.",
            ),
            Self::RateLimited { .. } => Some("Wait, then try again."),
            Self::Unauthorized { .. } => Some(
                "Replace the token: it may have expired. Without any, public releases can still be had.",
            ),
            Self::Forbidden { .. } => {
                Some("The token needs to read this repository's contents and actions.")
            }
            Self::NotFound {
                authenticated: false,
                ..
            } => Some("Check the name. If the repository is private, set GITHUB_TOKEN."),
            Self::NotFound { .. } => {
                Some("Check the name, and that the token may read this repository.")
            }
            Self::Gone { .. } => Some("Build it again, or take another release."),
            Self::Status { .. } => Some("Run the command again later."),
        }
    }

    /// Whether the same request may well succeed in a moment.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } => true,
            Self::Status { status, .. } => (500..600).contains(status),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_a_certificate_depends_on_what_is_wrong() {
        let hint = |reason| {
            let error = HttpError::Certificate {
                host: "a".into(),
                source: rustls::Error::InvalidCertificate(reason),
            };
            assert!(!error.is_transient());
            error.hint().unwrap()
        };
        assert!(hint(CertificateError::Expired).contains("clock"));
        assert!(hint(CertificateError::NotValidForName).contains("HTTPS_PROXY"));
        let unknown = hint(CertificateError::UnknownIssuer);
        assert!(unknown.contains("authority"));
        assert_eq!(hint(CertificateError::BadSignature), unknown);
    }
}
