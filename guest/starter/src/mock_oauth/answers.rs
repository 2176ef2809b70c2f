//! What each path answers.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Form, Json,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use serde_json::json;

use super::{
    Provider,
    grants::{self, ACCESS_LIFETIME, Grant, Redemption},
    page::{self, Typed},
    people,
    request::{AuthorizationRequest, Refusal},
};
use crate::{
    backend::{clock, error::ApiError, fields::normalise_email, store},
    pkce,
};

/// Most characters in a name.
const MAX_NAME: usize = 100;

/// `GET /`.
pub(super) async fn about() -> Html<String> {
    Html(page::about())
}

/// `GET /style.css`.
pub(super) async fn style() -> Response {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], page::STYLE).into_response()
}

/// Any other path.
pub(super) async fn nowhere() -> Response {
    let text = page::refusal("There is no such page at the mock OAuth provider.");
    (StatusCode::NOT_FOUND, Html(text)).into_response()
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414).
pub(super) async fn discovery(State(provider): State<Arc<Provider>>) -> Response {
    let issuer = format!("http://127.0.0.1:{}", provider.places.own_port());
    let at = |path: &str| format!("{issuer}{path}");
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "userinfo_endpoint": at("/userinfo"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": [pkce::METHOD],
        "token_endpoint_auth_methods_supported": ["none"],
    }))
    .into_response()
}

fn read_request(
    provider: &Provider,
    query: Option<String>,
) -> Result<AuthorizationRequest, Refusal> {
    let text = query.unwrap_or_default();
    AuthorizationRequest::parse(&text, provider.places.backend_port())
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Here(text) => {
            (StatusCode::BAD_REQUEST, Html(page::refusal(&text))).into_response()
        }
        Refusal::Client(address) => lead_to(&address),
    }
}

/// Leads a browser on. By `GET`, also after a form.
fn lead_to(address: &str) -> Response {
    match HeaderValue::try_from(address) {
        Ok(address) => (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response(),
        // An address that was encoded is ASCII.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `GET /authorize`: asks whom to be.
pub(super) async fn ask(
    State(provider): State<Arc<Provider>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let request = match read_request(&provider, query) {
        Ok(request) => request,
        Err(refusal) => return Ok(refused(refusal)),
    };
    asked(&provider, &request, StatusCode::OK, &Typed::default()).await
}

async fn asked(
    provider: &Provider,
    request: &AuthorizationRequest,
    status: StatusCode,
    typed: &Typed<'_>,
) -> Result<Response, ApiError> {
    let db = provider.database.connection().await?;
    let people = people::latest(&db).await?;
    Ok((status, Html(page::ask(request, &people, typed))).into_response())
}

/// `POST /authorize`: somebody was chosen or typed in, or access denied.
pub(super) async fn decide(
    State(provider): State<Arc<Provider>>,
    RawQuery(query): RawQuery,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let request = match read_request(&provider, query) {
        Ok(request) => request,
        Err(refusal) => return Ok(refused(refusal)),
    };
    let entry = |name: &str| form.get(name).map_or("", |value| value.trim());
    if entry("decision") == "deny" {
        let answer = request.answer(&[
            ("error", "access_denied"),
            ("error_description", "The person has denied access."),
        ]);
        return Ok(lead_to(&answer));
    }
    let mut typed = Typed {
        email: entry("email"),
        name: entry("name"),
        is_unverified: !entry("unverified").is_empty(),
        fault: None,
    };
    match chosen(&provider, &request, entry("person"), &typed).await? {
        Ok(code) => Ok(lead_to(&request.answer(&[("code", &code)]))),
        Err(fault) => {
            typed.fault = Some(fault);
            asked(
                &provider,
                &request,
                StatusCode::UNPROCESSABLE_ENTITY,
                &typed,
            )
            .await
        }
    }
}

/// The code for a person of the list or of the form, or what is wrong with the form.
async fn chosen(
    provider: &Provider,
    request: &AuthorizationRequest,
    person_id: &str,
    typed: &Typed<'_>,
) -> Result<Result<String, &'static str>, ApiError> {
    let now = clock::now_millis();
    let mut connection = provider.database.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let person_id = if person_id.is_empty() {
        let Some(email) = normalise_email(typed.email) else {
            return Ok(Err("Enter an email address, such as ada@example.com."));
        };
        if typed.name.chars().count() > MAX_NAME || typed.name.contains(char::is_control) {
            return Ok(Err(
                "The display name must be one line of at most 100 characters.",
            ));
        }
        let name = Some(typed.name).filter(|name| !name.is_empty());
        people::put(&transaction, &email, !typed.is_unverified, name, now).await?
    } else if !person_id.contains('\0') && people::touch(&transaction, person_id, now).await? {
        person_id.to_owned()
    } else {
        return Ok(Err(
            "That person is no longer known. Enter the address again.",
        ));
    };
    let code = grants::make_code(&transaction, request, &person_id, now).await?;
    store::commit(transaction).await?;
    Ok(Ok(code))
}

/// `POST /token`.
pub(super) async fn token(
    State(provider): State<Arc<Provider>>,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let entry = |name: &str| form.get(name).map_or("", String::as_str);
    let now = clock::now_millis();
    let mut connection = provider.database.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let granted = match entry("grant_type") {
        "authorization_code" => {
            let shown = Redemption {
                code: entry("code"),
                client_id: entry("client_id"),
                redirect_uri: entry("redirect_uri"),
                verifier: entry("code_verifier"),
            };
            grants::redeem(&transaction, &shown, now).await?
        }
        "refresh_token" => {
            let (client_id, token) = (entry("client_id"), entry("refresh_token"));
            if client_id.contains('\0') {
                return Ok(oauth_error("invalid_request", "client_id is not usable"));
            }
            grants::refresh(&transaction, client_id, token, now).await?
        }
        _ => {
            let text = "grant_type must be authorization_code or refresh_token";
            return Ok(oauth_error("unsupported_grant_type", text));
        }
    };
    // Also where nothing was granted: a code that was shown is used up.
    store::commit(transaction).await?;
    Ok(granted.map_or_else(
        || {
            let text = "the code or token is not valid, or was used, or is another client's";
            oauth_error("invalid_grant", text)
        },
        |grant| Json(view(&grant)).into_response(),
    ))
}

fn view(grant: &Grant) -> serde_json::Value {
    json!({
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "expires_in": ACCESS_LIFETIME / 1000,
        "refresh_token": grant.refresh_token,
        "scope": grant.scope,
    })
}

fn oauth_error(code: &str, description: &str) -> Response {
    let body = json!({ "error": code, "error_description": description });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// `GET /userinfo`, with an access token.
pub(super) async fn userinfo(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let person = match token {
        Some((_, token)) => {
            let db = provider.database.connection().await?;
            people::of_access_token(&db, token.trim(), clock::now_millis()).await?
        }
        None => None,
    };
    let Some(person) = person else {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        let body = Json(json!({ "error": "invalid_token" }));
        let challenge = [(header::WWW_AUTHENTICATE, challenge)];
        return Ok((StatusCode::UNAUTHORIZED, challenge, body).into_response());
    };
    Ok(Json(json!({
        "sub": person.id,
        "email": person.email,
        "email_verified": person.email_verified,
        "name": person.display_name,
    }))
    .into_response())
}
