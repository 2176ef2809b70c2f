//! An authorization request: what a client asks for, and where the answer goes.

use std::collections::BTreeMap;

use crate::{pkce, query};

/// Longest value in a request, in bytes.
const MAX_VALUE: usize = 2048;
/// Longest name of a client, in bytes.
const MAX_CLIENT_ID: usize = 64;

/// The backend's address for answers, the only one that codes go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Callback {
    host: &'static str,
    port: u16,
}

impl Callback {
    /// The names that this machine has in addresses here.
    const HOSTS: [&'static str; 2] = ["127.0.0.1", "localhost"];

    /// The callback at a backend that is reached as `authority`, a host with or without a port. What is no
    /// name of this machine counts as 127.0.0.1.
    pub(crate) fn at(authority: Option<&str>, port: u16) -> Self {
        let name = authority.map(|authority| {
            let name = authority
                .split_once(':')
                .map_or(authority, |(name, _)| name);
            name.to_ascii_lowercase()
        });
        let host = Self::HOSTS
            .into_iter()
            .find(|host| Some(*host) == name.as_deref());
        Self {
            host: host.unwrap_or(Self::HOSTS[0]),
            port,
        }
    }

    /// The name of this machine in it.
    pub(crate) fn host(&self) -> &'static str {
        self.host
    }

    /// The address for answers to a client.
    pub(crate) fn uri(&self, client_id: &str) -> String {
        format!(
            "http://{}:{}/api/v1/auth/oauth/callback/{client_id}",
            self.host, self.port
        )
    }

    /// Whether an address is the backend's for this client.
    fn is(uri: &str, client_id: &str, port: u16) -> bool {
        Self::HOSTS
            .into_iter()
            .any(|host| Self { host, port }.uri(client_id) == uri)
    }
}

/// Whether a text can name a client: the ID of a provider in a config file.
pub(crate) fn is_client_id(text: &str) -> bool {
    (1..=MAX_CLIENT_ID).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A request that may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client_id: String,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// What the client wants back.
    pub state: String,
    /// What the client has to know the verifier of.
    pub challenge: String,
    /// What is asked for.
    pub scope: String,
}

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not say reliably who asks: the person is told, and nobody else.
    Here(String),
    /// The client is told, at this address.
    Client(String),
}

impl AuthorizationRequest {
    /// Reads a request from a query; `backend_port` is where codes may go.
    ///
    /// # Errors
    /// [`Refusal`] says who is told.
    pub fn parse(text: &str, backend_port: u16) -> Result<Self, Refusal> {
        let mut entries: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let name = name.into_owned();
            if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
                return Err(Refusal::Here(format!(
                    "The value of {name:?} is not usable."
                )));
            }
            if entries.insert(name.clone(), value.into_owned()).is_some() {
                return Err(Refusal::Here(format!("{name:?} is there twice.")));
            }
        }
        let mut take = |name: &str| entries.remove(name).unwrap_or_default();
        let request = Self {
            client_id: take("client_id"),
            redirect_uri: take("redirect_uri"),
            state: take("state"),
            challenge: take("code_challenge"),
            scope: take("scope"),
        };
        if !is_client_id(&request.client_id) {
            return Err(Refusal::Here(
                "The client_id is not the ID of a provider.".to_owned(),
            ));
        }
        if !Callback::is(&request.redirect_uri, &request.client_id, backend_port) {
            return Err(Refusal::Here(format!(
                "The redirect_uri is not the address of this emulator's backend, which is {}.",
                Callback::at(None, backend_port).uri(&request.client_id)
            )));
        }
        let (kind, method) = (take("response_type"), take("code_challenge_method"));
        if kind != "code" {
            return Err(request.refusal("unsupported_response_type", "only response_type=code"));
        }
        if method != pkce::METHOD || !pkce::is_challenge(&request.challenge) {
            let text = "code_challenge with code_challenge_method=S256 is required";
            return Err(request.refusal("invalid_request", text));
        }
        Ok(request)
    }

    fn refusal(&self, error: &str, description: &str) -> Refusal {
        Refusal::Client(self.answer(&[("error", error), ("error_description", description)]))
    }

    /// The request as a query, for the form of the page.
    #[must_use]
    pub fn query(&self) -> String {
        query::encoded(&[
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("response_type", "code"),
            ("scope", &self.scope),
            ("state", &self.state),
            ("code_challenge", &self.challenge),
            ("code_challenge_method", pkce::METHOD),
        ])
    }

    /// The address that tells the client something.
    pub(super) fn answer(&self, entries: &[(&str, &str)]) -> String {
        let mut all = entries.to_vec();
        if !self.state.is_empty() {
            all.push(("state", &self.state));
        }
        query::with_entries(&self.redirect_uri, &all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PORT: u16 = 26701;

    fn request(redirect_uri: &str) -> AuthorizationRequest {
        AuthorizationRequest {
            client_id: "github".to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            state: "s&".to_owned(),
            challenge: pkce::challenge_of("x"),
            scope: "a b".to_owned(),
        }
    }

    #[test]
    fn codes_go_to_the_backend_and_to_nobody_else() {
        for host in ["127.0.0.1", "localhost"] {
            let callback = Callback::at(Some(&format!("{host}:1")), PORT).uri("github");
            assert!(callback.contains(host));
            let right = request(&callback);
            assert_eq!(AuthorizationRequest::parse(&right.query(), PORT), Ok(right));
        }
        for foreign in [
            "https://evil.test/",
            "http://127.0.0.1:26702/api/v1/auth/oauth/callback/github",
            "http://127.0.0.1:26701/api/v1/auth/oauth/callback/google",
            "http://127.0.0.1:26701/api/v1/auth/oauth/callback/github?x",
            "http://127.0.0.1:26701/api/v1/auth/oauth/callback/github/../../x",
            "https://127.0.0.1:26701/api/v1/auth/oauth/callback/github",
            "http://127.0.0.1:26701@evil.test/api/v1/auth/oauth/callback/github",
            "",
        ] {
            let refused = AuthorizationRequest::parse(&request(foreign).query(), PORT);
            assert!(matches!(refused, Err(Refusal::Here(_))), "{foreign}");
        }
    }

    #[test]
    fn a_backend_is_reached_by_names_of_this_machine() {
        for (authority, host) in [
            (Some("LOCALHOST:1"), "localhost"),
            (Some("localhost"), "localhost"),
            (Some("127.0.0.1"), "127.0.0.1"),
            (Some("evil.test"), "127.0.0.1"),
            (Some("[::1]:1"), "127.0.0.1"),
            (None, "127.0.0.1"),
        ] {
            assert_eq!(Callback::at(authority, PORT).host(), host);
        }
    }

    #[test]
    fn without_pkce_the_client_is_told() {
        let right = request(&Callback::at(None, PORT).uri("github")).query();
        for (from, to, error) in [
            (
                "response_type=code",
                "response_type=token",
                "unsupported_response_type",
            ),
            ("method=S256", "method=plain", "invalid_request"),
            ("code_challenge=", "code_challenge=x", "invalid_request"),
        ] {
            let refused = AuthorizationRequest::parse(&right.replace(from, to), PORT);
            let Err(Refusal::Client(address)) = refused else {
                panic!("{refused:?}");
            };
            assert!(address.contains(&format!("error={error}&")), "{address}");
            assert!(address.ends_with("state=s%26"), "{address}");
        }
        let twice = AuthorizationRequest::parse(&format!("{right}&state=x"), PORT);
        assert!(matches!(twice, Err(Refusal::Here(_))));
    }

    proptest! {
        #[test]
        fn any_query_is_handled(text in ".{0,200}") {
            prop_assert!(AuthorizationRequest::parse(&text, PORT).is_err());
        }

        #[test]
        fn a_request_survives_the_form(state in "[^\\pC]{0,40}", scope in "[a-z ]{0,20}") {
            let mut asked = request(&Callback::at(None, PORT).uri("github"));
            asked.state = state;
            asked.scope = scope;
            prop_assert_eq!(AuthorizationRequest::parse(&asked.query(), PORT), Ok(asked));
        }

        #[test]
        fn no_other_address_is_told_anything(uri in "(http://(127\\.0\\.0\\.1|localhost|a)(:26701)?)?[/a-z0-9.@?#-]{0,60}") {
            let asked = request(&uri);
            let answer = AuthorizationRequest::parse(&asked.query(), PORT);
            prop_assert!(matches!(answer, Err(Refusal::Here(_))));
        }
    }
}
