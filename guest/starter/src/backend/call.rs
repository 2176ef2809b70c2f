//! One request of an app: who asks, as whom, and with what.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, OriginalUri, Request, rejection::BytesRejection},
    http::{Method, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use deadpool_postgres::{GenericClient, Object};
use serde_json::{Map, Value};

use super::{
    Shared,
    access::{self, Access, INTERNAL, Project},
    config::Config,
    config_watch,
    database::DatabaseError,
    error::ApiError,
    fields::Fields,
    tokens::Claims,
    users::{self, User},
};

/// What a handler gives.
pub(super) type Answer = Result<Response, ApiError>;

/// A request whose keys and token are right.
#[derive(Debug)]
pub(super) struct Call {
    shared: Arc<Shared>,
    /// The project that it is about.
    pub(super) project: Project,
    /// How much it may do.
    pub(super) access: Access,
    /// The token of the user that it is made for.
    claims: Option<Claims>,
    endpoint: String,
    query: Map<String, Value>,
    body: Map<String, Value>,
}

impl FromRequest<Arc<Shared>> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let uri = request
            .extensions()
            .get::<OriginalUri>()
            .map_or_else(|| request.uri().clone(), |original| original.0.clone());
        let endpoint = format!("{} {}", request.method(), uri.path());
        let headers = request.headers().clone();
        let body = read_body(request, &endpoint).await?;
        config_watch::look(shared, &headers).await;
        let caller = access::check(&headers, &shared.database).await?;
        let claims = match access::text(&headers, "x-stack-access-token") {
            Some(token) => Some(shared.verified.check(token, &caller.project)?),
            None => None,
        };
        let allows_anonymous =
            access::text(&headers, "x-stack-allow-anonymous-user") == Some("true");
        if !allows_anonymous && claims.as_ref().is_some_and(|claims| claims.is_anonymous) {
            return Err(ApiError::anonymous_not_allowed());
        }
        Ok(Self {
            shared: shared.clone(),
            project: caller.project,
            access: caller.access,
            claims,
            endpoint,
            query: form_entries(uri.query().unwrap_or_default().as_bytes()),
            body,
        })
    }
}

impl Call {
    /// The project's settings.
    pub(super) fn config(&self) -> &Config {
        &self.project.config
    }

    /// What the handlers share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Method and path, as errors name them.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The entries of the body.
    pub(super) fn body(&self) -> Fields<'_> {
        Fields::new(&self.endpoint, "body", &self.body)
    }

    /// The entries of the query.
    pub(super) fn query(&self) -> Fields<'_> {
        Fields::new(&self.endpoint, "query", &self.query)
    }

    /// A database connection.
    pub(super) async fn connection(&self) -> Result<Object, DatabaseError> {
        self.shared.database.connection().await
    }

    /// Whether it comes from an app in the hands of its users.
    pub(super) fn is_client(&self) -> bool {
        self.access == Access::Client
    }

    /// Refuses less than server access.
    pub(super) fn need_server(&self) -> Result<(), ApiError> {
        if self.is_client() {
            return Err(ApiError::insufficient_access_type(
                self.access,
                Access::Server,
            ));
        }
        Ok(())
    }

    /// Refuses other projects than the emulator's own, and less than server access to that.
    pub(super) fn need_internal(&self) -> Result<(), ApiError> {
        if self.project.id != INTERNAL {
            return Err(ApiError::schema(
                &self.endpoint,
                "auth.project.id must be one of the following values: internal",
            ));
        }
        self.need_server()
    }

    /// The token of the user that is signed in.
    pub(super) fn claims(&self) -> Result<&Claims, ApiError> {
        self.claims
            .as_ref()
            .ok_or_else(ApiError::user_authentication_required)
    }

    /// The anonymous user that signs up with this call, if it is made for one.
    pub(super) async fn anonymous(
        &self,
        db: &impl GenericClient,
    ) -> Result<Option<String>, ApiError> {
        let Some(claims) = self.claims.as_ref().filter(|claims| claims.is_anonymous) else {
            return Ok(None);
        };
        let user = users::find(db, &self.project.id, &claims.sub).await?;
        // They may have signed up with another call since the token was made.
        Ok(user.filter(|user| user.is_anonymous).map(|user| user.id))
    }

    /// The user that is signed in and has not been deleted since.
    pub(super) async fn signed_in(&self, db: &impl GenericClient) -> Result<User, ApiError> {
        let claims = self.claims()?;
        users::find(db, &self.project.id, &claims.sub)
            .await?
            .ok_or_else(ApiError::user_authentication_required)
    }

    /// The ID that is meant where the API takes a user's ID or `me`.
    pub(super) fn user_id(&self, given: &str) -> Result<String, ApiError> {
        if given != "me" {
            return Ok(given.to_owned());
        }
        let claims = self.claims.as_ref();
        claims
            .map(|claims| claims.sub.clone())
            .ok_or_else(ApiError::cannot_get_own_user)
    }

    /// The same where an app may only mean the user that is signed in; `deed` says what for.
    pub(super) fn own_user_id(&self, given: Option<&str>, deed: &str) -> Result<String, ApiError> {
        let id = given.map(|given| self.user_id(given)).transpose()?;
        if self.is_client() {
            let own = &self.claims()?.sub;
            if id.as_ref() != Some(own) {
                return Err(ApiError::forbidden(format!(
                    "Client can only {deed} their own user. user_id must be either \"me\" or the ID of the current user"
                )));
            }
        }
        id.ok_or_else(|| ApiError::schema(&self.endpoint, "query.user_id must be defined"))
    }
}

/// The body of a request as entries: a JSON object or a form. Without a content type there is none.
async fn read_body(request: Request, endpoint: &str) -> Result<Map<String, Value>, ApiError> {
    let has_body = request.method() != Method::GET;
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .map(|kind| kind.trim().to_ascii_lowercase())
        .unwrap_or_default();
    let bytes = Bytes::from_request(request, &())
        .await
        .map_err(|rejection: BytesRejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::Plain(rejection.status(), rejection.body_text())
            } else {
                ApiError::body_parsing()
            }
        })?;
    match kind.as_str() {
        "" => Ok(Map::new()),
        _ if !has_body => Ok(Map::new()),
        "application/json" => match serde_json::from_slice(&bytes) {
            Ok(Value::Object(entries)) => Ok(entries),
            Ok(other) => Err(ApiError::schema(
                endpoint,
                &format!("body must be a `object` type, but the final value was: `{other}`."),
            )),
            Err(_) => Err(ApiError::body_parsing()),
        },
        "application/x-www-form-urlencoded" => Ok(form_entries(&bytes)),
        other => Err(ApiError::known(
            StatusCode::BAD_REQUEST,
            "BODY_PARSING_ERROR",
            format!("Unknown content type in request body: {other}"),
        )),
    }
}

/// The entries of a query or form. Of a name that comes twice the last counts.
fn form_entries(text: &[u8]) -> Map<String, Value> {
    form_urlencoded::parse(text)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}
