//! `GET /auth/oauth/authorize/{provider}`: sends a browser to a provider.

use std::sync::Arc;

use axum::{
    extract::{OriginalUri, Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value, json};

use super::{
    BASE_SCOPE, errors,
    flows::{self, Flow},
    scopes_of,
};
use crate::{
    backend::{
        Shared, access, access::Project, call::Answer, clock, config_watch, error::ApiError,
        fields::Fields, wire,
    },
    mock_oauth::{Callback, is_client_id},
    pkce, query, random,
};

/// Longest address or state that an app may give, in bytes.
const MAX_VALUE: usize = 2048;
/// The one scope of apps.
const APP_SCOPE: &str = "legacy";

/// The project of an app that shows its ID, perhaps with a branch behind a hash, and its publishable key.
///
/// # Errors
/// The real backend's for the first that is wrong; `INVALID_OAUTH_CLIENT_ID_OR_SECRET` where it is the ID, or
/// either cannot be one.
pub(in crate::backend) async fn client(
    shared: &Arc<Shared>,
    client_id: Option<&str>,
    secret: Option<&str>,
) -> Result<Project, ApiError> {
    let project_id = client_id.and_then(|id| id.split('#').next());
    let mut headers = HeaderMap::new();
    headers.insert("x-stack-access-type", HeaderValue::from_static("client"));
    for (name, value) in [
        ("x-stack-project-id", project_id),
        ("x-stack-publishable-client-key", secret),
    ] {
        let value = value.and_then(|value| HeaderValue::from_str(value).ok());
        let value = value.ok_or_else(|| ApiError::invalid_oauth_client(client_id))?;
        headers.insert(name, value);
    }
    config_watch::look(shared, &headers).await;
    match access::check(&headers, &shared.database).await {
        Ok(caller) => Ok(caller.project),
        Err(ApiError::Known {
            code: "CURRENT_PROJECT_NOT_FOUND",
            ..
        }) => Err(ApiError::invalid_oauth_client(client_id)),
        Err(error) => Err(error),
    }
}

/// What an app asks for.
#[derive(Debug)]
struct Asked {
    client_id: String,
    client_secret: String,
    is_link: bool,
    token: Option<String>,
    wants_json: bool,
    provider_scope: String,
    redirect_uri: String,
    state: String,
    challenge: String,
    error_redirect_url: Option<String>,
    after_callback_redirect_url: Option<String>,
}

impl Asked {
    fn read(endpoint: &str, entries: &Map<String, Value>) -> Result<Self, ApiError> {
        let fields = Fields::new(endpoint, "query", entries);
        let one_of = |name: &'static str, allowed: &[&str]| {
            let given = fields.text(name)?;
            if allowed.contains(&given) {
                return Ok(given);
            }
            Err(ApiError::schema(
                endpoint,
                &format!(
                    "query.{name} must be one of the following values: {}",
                    allowed.join(", ")
                ),
            ))
        };
        let bounded = |name: &'static str| {
            let given = fields.optional_text(name)?.filter(|text| !text.is_empty());
            match given {
                Some(text) if text.len() > MAX_VALUE => Err(ApiError::schema(
                    endpoint,
                    &format!("query.{name} must have at most {MAX_VALUE} bytes"),
                )),
                given => Ok(given.map(str::to_owned)),
            }
        };
        let is_link = match fields.optional_text("type")? {
            None => false,
            Some(_) => one_of("type", &["authenticate", "link"])? == "link",
        };
        let mut wants_json = false;
        // An SDK sends both of its names.
        for name in [
            "stack_response_mode",
            "hexclave_response_mode",
            "response_mode",
        ] {
            if fields.optional_text(name)?.is_some() {
                wants_json |= one_of(name, &["json", "redirect"])? == "json";
            }
        }
        one_of("grant_type", &["authorization_code"])?;
        one_of("response_type", &["code"])?;
        one_of("code_challenge_method", &[pkce::METHOD])?;
        let challenge = fields.text("code_challenge")?;
        if !pkce::is_challenge(challenge) {
            return Err(ApiError::schema(
                endpoint,
                "query.code_challenge must be a SHA-256 digest in base64url, 43 characters",
            ));
        }
        let scope = fields.text("scope")?;
        if scope != APP_SCOPE {
            return Err(errors::invalid_scope(scope));
        }
        // The older name counts where there are both, as in the real backend.
        let error_uri = bounded("error_redirect_uri")?;
        let error_url = bounded("error_redirect_url")?;
        let redirect_uri = fields.text("redirect_uri")?;
        let asked = Self {
            client_id: fields.text("client_id")?.to_owned(),
            client_secret: fields.text("client_secret")?.to_owned(),
            is_link,
            token: fields
                .optional_text("token")?
                .filter(|token| !token.is_empty())
                .map(str::to_owned),
            wants_json,
            provider_scope: bounded("provider_scope")?.unwrap_or_default(),
            redirect_uri: redirect_uri
                .split_once('#')
                .map_or(redirect_uri, |(uri, _)| uri)
                .to_owned(),
            state: fields.text("state")?.to_owned(),
            challenge: challenge.to_owned(),
            error_redirect_url: error_uri.or(error_url),
            after_callback_redirect_url: bounded("after_callback_redirect_url")?,
        };
        for name in [
            "bot_challenge_token",
            "bot_challenge_phase",
            "bot_challenge_unavailable",
        ] {
            fields.ignore(name);
        }
        fields.finish()?;
        if asked.state.len() > MAX_VALUE || asked.redirect_uri.len() > MAX_VALUE {
            return Err(ApiError::schema(
                endpoint,
                &format!("query.state and query.redirect_uri must have at most {MAX_VALUE} bytes"),
            ));
        }
        Ok(asked)
    }
}

/// Answers with a redirect and a cookie, or, for apps that want it, with the address as JSON: there PKCE alone
/// ties the code to the app, as in the real backend.
pub(in crate::backend) async fn authorize(
    State(shared): State<Arc<Shared>>,
    Path(provider_id): Path<String>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let endpoint = format!("{method} {}", uri.path());
    let entries: Map<String, Value> = form_urlencoded::parse(text.unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    let asked = Asked::read(&endpoint, &entries)?;
    let project = client(&shared, Some(&asked.client_id), Some(&asked.client_secret)).await?;
    let provider = project
        .config
        .oauth_provider(&provider_id)
        .filter(|_| is_client_id(&provider_id))
        .filter(|provider| {
            if asked.is_link {
                provider.allows_connecting
            } else {
                provider.allows_sign_in
            }
        });
    if provider.is_none() {
        return Err(errors::provider_not_enabled());
    }
    // The real backend says so only when the provider has sent the browser back, and lets the app go anywhere from
    // there: the SDK would follow a `javascript:` address.
    let after = asked.after_callback_redirect_url.as_deref();
    let addresses = [Some(asked.redirect_uri.as_str()), after];
    let is_app = |url: &str| is_address(url) && project.config.is_trusted(url);
    if !addresses.into_iter().flatten().all(is_app) {
        return Err(ApiError::redirect_url_not_whitelisted());
    }
    let user_id = match &asked.token {
        Some(token) => Some(shared.verified.check(token, &project)?.sub),
        None if asked.is_link => {
            return Err(ApiError::bad_request(
                "?token= query parameter is required for link type",
            ));
        }
        None => None,
    };
    let callback = Callback::at(
        access::text(&headers, header::HOST.as_str()),
        shared.places.backend_port(),
    );
    let scope = scopes_of(&format!("{BASE_SCOPE} {}", asked.provider_scope)).join(" ");
    let (state, verifier) = (random::token("")?, pkce::verifier()?);
    let location = provider_address(&shared, &callback, &provider_id, &state, &verifier, &scope);
    let flow = Flow {
        project_id: project.id,
        provider_callback: callback.uri(&provider_id),
        provider_id,
        provider_verifier: verifier,
        provider_scope: scope,
        has_cookie: !asked.wants_json,
        is_link: asked.is_link,
        user_id,
        redirect_uri: asked.redirect_uri,
        app_state: asked.state,
        challenge: asked.challenge,
        error_redirect_url: asked.error_redirect_url,
        after_callback_redirect_url: asked.after_callback_redirect_url,
    };
    let db = shared.database.connection().await?;
    flows::begin(&db, &state, &flow, clock::now_millis()).await?;
    if asked.wants_json {
        return Ok(wire::json(&json!({ "location": location })));
    }
    lead_to(&location, Some(&flows::cookie(&state)))
}

/// The provider's page.
fn provider_address(
    shared: &Shared,
    callback: &Callback,
    provider_id: &str,
    state: &str,
    verifier: &str,
    scope: &str,
) -> String {
    let page = format!(
        "http://{}:{}/authorize",
        callback.host(),
        shared.places.own_port()
    );
    query::with_entries(
        &page,
        &[
            ("client_id", provider_id),
            ("redirect_uri", &callback.uri(provider_id)),
            ("response_type", "code"),
            ("scope", scope),
            ("state", state),
            ("code_challenge", &pkce::challenge_of(verifier)),
            ("code_challenge_method", pkce::METHOD),
        ],
    )
}

/// Whether an address can be in a header as it is.
pub(super) fn is_address(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Leads a browser on, with a cookie if there is one to set.
pub(super) fn lead_to(address: &str, cookie: Option<&str>) -> Result<Response, ApiError> {
    let line = |text: &str| {
        HeaderValue::try_from(text)
            .map_err(|_| ApiError::bad_request("An address of the sign-in is not usable."))
    };
    let mut response = (
        StatusCode::SEE_OTHER,
        [
            (header::LOCATION, line(address)?),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ],
    )
        .into_response();
    if let Some(cookie) = cookie {
        response
            .headers_mut()
            .insert(header::SET_COOKIE, line(cookie)?);
    }
    Ok(response)
}
