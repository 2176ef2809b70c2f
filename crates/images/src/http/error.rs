//! Why a request got no usable answer, and what to do about it.

use std::time::Duration;

use failure::{Code, Remedy};
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
    /// The token would be sent unencrypted.
    #[error("the GitHub token would be sent unencrypted to {host}")]
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
    /// The host's certificate is not trusted.
    #[error("the certificate of {host} is not trusted")]
    Certificate {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Too many redirects.
    #[error("{host} redirected more than {MAX_REDIRECTS} times")]
    RedirectLoop {
        /// The last host.
        host: String,
    },
    /// A redirect without a usable address.
    #[error("{host} redirected to an invalid address")]
    RedirectAddress {
        /// The host.
        host: String,
    },
    /// A redirect from HTTPS to HTTP.
    #[error("{from} redirected from https to http at {to}, which is not followed")]
    RedirectDowngrade {
        /// The host that redirected.
        from: String,
        /// Where to.
        to: String,
    },
    /// The host allows no more requests for now.
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
    #[error("{host} denied access to {what}: {message}")]
    Forbidden {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// What it said.
        message: String,
    },
    /// 404.
    #[error("{what} was not found at {host}")]
    NotFound {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// Whether a token was sent; private repositories look absent without.
        authenticated: bool,
    },
    /// 410: it was there and has expired.
    #[error("{what} has expired and was deleted from {host}")]
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
        Some(seconds @ 0..=90) => format!("; more in {seconds} s"),
        Some(seconds) => format!("; more in {} min", seconds.div_ceil(60)),
    };
    limit + &wait
}

/// What to do about a certificate that is not accepted for this reason.
fn certificate_remedy(reason: &rustls::Error) -> Remedy {
    use rustls::Error::InvalidCertificate;
    match reason {
        InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Remedy::CheckClock,
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Remedy::CheckProxy,
        _ => Remedy::TrustAuthority,
    }
}

impl HttpError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Client(_) | Self::Tls(_) => Code::TlsSetup,
            Self::TokenInClear { .. } => Code::TokenInClear,
            Self::Connection { .. } => Code::Network,
            Self::Certificate { .. } => Code::TlsCertificate,
            Self::RedirectLoop { .. }
            | Self::RedirectAddress { .. }
            | Self::RedirectDowngrade { .. } => Code::Redirect,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Unauthorized { .. } => Code::GithubTokenRefused,
            Self::Forbidden { .. } => Code::GithubForbidden,
            Self::NotFound { .. } => Code::GithubNotFound,
            Self::Gone { .. } => Code::GithubExpired,
            Self::Status { .. } => Code::GithubStatus,
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::Client(_) | Self::Tls(_) => Remedy::InstallCertificates,
            Self::Certificate { source, .. } => certificate_remedy(source),
            Self::TokenInClear { .. } => Remedy::SecureApiAddress,
            Self::Connection { .. } => Remedy::CheckNetwork,
            Self::RedirectLoop { .. }
            | Self::RedirectAddress { .. }
            | Self::RedirectDowngrade { .. } => Remedy::CheckProxy,
            Self::RateLimited {
                authenticated: false,
                ..
            } => Remedy::SetTokenForMore,
            Self::RateLimited { .. } | Self::Status { .. } => Remedy::RetryLater,
            Self::Unauthorized { .. } => Remedy::ReplaceToken,
            Self::Forbidden { .. } => Remedy::WidenToken,
            Self::NotFound { authenticated, .. } => Remedy::CheckName {
                authenticated: *authenticated,
            },
            Self::Gone { .. } => Remedy::OtherRelease,
        })
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
        let remedy = |reason| {
            let error = HttpError::Certificate {
                host: "a".into(),
                source: rustls::Error::InvalidCertificate(reason),
            };
            assert!(!error.is_transient());
            error.remedy().unwrap()
        };
        assert_eq!(remedy(CertificateError::Expired), Remedy::CheckClock);
        assert_eq!(
            remedy(CertificateError::NotValidForName),
            Remedy::CheckProxy
        );
        for reason in [
            CertificateError::UnknownIssuer,
            CertificateError::BadSignature,
        ] {
            assert_eq!(remedy(reason), Remedy::TrustAuthority);
        }
    }
}
