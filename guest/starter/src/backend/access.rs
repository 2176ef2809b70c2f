//! Who may ask: project, access type and key of a request, checked against the database each time.
//! Names of headers are the older ones, `x-stack-…`; `wire` gives those to requests with the newer ones.
//!
//! Nothing is remembered between requests, so a rotated or revoked key is refused from the moment the
//! database says so.

use axum::http::HeaderMap;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use super::{
    config::Config,
    dashboard,
    database::{Database, DatabaseError},
    error::ApiError,
    store,
};

/// The project that belongs to the emulator itself and whose keys are rotated.
pub const INTERNAL: &str = "internal";

/// How much a request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// What a browser may: with the publishable client key.
    Client,
    /// What the app's own server may: with the secret server key.
    Server,
    /// Everything: with the super secret admin key, or the token of a session of the dashboard.
    Admin,
}

impl Access {
    /// The word in `x-stack-access-type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Admin => "admin",
        }
    }

    /// What its key is called.
    pub fn key_name(self) -> &'static str {
        match self {
            Self::Client => "publishable client key",
            Self::Server => "secret server key",
            Self::Admin => "super secret admin key",
        }
    }

    fn key_header(self) -> &'static str {
        match self {
            Self::Client => "x-stack-publishable-client-key",
            Self::Server => "x-stack-secret-server-key",
            Self::Admin => "x-stack-super-secret-admin-key",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Client, Self::Server, Self::Admin]
            .into_iter()
            .find(|access| access.name() == text)
    }
}

/// A project whose key the request has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Its ID: a UUID, or [`INTERNAL`].
    pub id: String,
    /// Its name for people.
    pub display_name: String,
    /// Its settings, as last read from the config file.
    pub config: Config,
    /// The public half of its signing key, once there is one.
    pub public_key: Option<PublicKey>,
}

impl Project {
    /// From a row of [`lookup_sql`].
    fn of(id: &str, row: &Row) -> Self {
        Self {
            id: id.to_owned(),
            display_name: row.get(0),
            config: Config::parse(row.get(1)),
            public_key: row.get::<_, Option<String>>(3).map(|kid| PublicKey {
                kid,
                x: row.get(4),
                y: row.get(5),
            }),
        }
    }
}

/// The public half of a signing key, as a JWK has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The key's ID.
    pub kid: String,
    /// Coordinate, in base 64.
    pub x: String,
    /// Coordinate, in base 64.
    pub y: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// The project.
    pub project: Project,
    /// The access type, whose key the request has shown.
    pub access: Access,
}

/// Checks a request's headers.
///
/// # Errors
/// The known error for the first thing that is missing or wrong, in the real backend's order: access
/// type, project ID, project, key.
pub async fn check(headers: &HeaderMap, database: &Database) -> Result<Caller, ApiError> {
    let type_name =
        text(headers, "x-stack-access-type").ok_or_else(ApiError::access_type_required)?;
    let access =
        Access::parse(type_name).ok_or_else(|| ApiError::invalid_access_type(type_name))?;
    let project_id = text(headers, "x-stack-project-id")
        .ok_or_else(|| ApiError::access_type_without_project_id(access))?;
    let key = key(headers, access);
    let token = admin_token(headers).filter(|_| access == Access::Admin && key.is_none());
    let (project, key_is_valid) = find(database, access, project_id, key.unwrap_or_default())
        .await?
        .ok_or_else(|| ApiError::current_project_not_found(project_id))?;
    if let Some(token) = token {
        if !dashboard::is_open(database, token).await? {
            return Err(ApiError::admin_access_token_expired());
        }
        return Ok(Caller { project, access });
    }
    match (key, key_is_valid) {
        (None, _) => Err(ApiError::key_required(access)),
        (Some(_), false) => Err(ApiError::invalid_key(access, project_id)),
        (Some(_), true) => Ok(Caller { project, access }),
    }
}

/// The key that a request shows for an access type.
pub(super) fn key(headers: &HeaderMap, access: Access) -> Option<&str> {
    text(headers, access.key_header())
}

/// What a request shows in place of an admin key: the token of a session of the dashboard.
pub(super) fn admin_token(headers: &HeaderMap) -> Option<&str> {
    text(headers, "x-stack-admin-access-token")
}

/// A header's value; one that is empty or not ASCII counts as absent.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
}

/// Looks up a project, and whether `key` is a valid key of it, in one query.
async fn find(
    database: &Database,
    access: Access,
    project_id: &str,
    key: &str,
) -> Result<Option<(Project, bool)>, DatabaseError> {
    let sql = lookup_sql(access);
    let row = database
        .query_opt("look up a project and its key", sql, &[&project_id, &key])
        .await?;
    Ok(row.map(|row| (Project::of(project_id, &row), row.get(2))))
}

/// Looks up a project for which no key is shown, such as when a browser comes back from a provider.
pub(super) async fn project(
    db: &impl GenericClient,
    project_id: &str,
) -> Result<Option<Project>, DatabaseError> {
    let sql = lookup_sql(Access::Client);
    let row = store::row(db, "look up a project", sql, &[&project_id, &""]).await?;
    Ok(row.map(|row| Project::of(project_id, &row)))
}

/// The statement for [`find`]. Column names cannot be parameters, hence one text for each type.
pub(super) fn lookup_sql(access: Access) -> &'static str {
    macro_rules! lookup {
        ($column:literal) => {
            concat!(
                r#"SELECT p."displayName", p."configOverride", EXISTS (
                    SELECT 1 FROM "ApiKeySet" k
                    WHERE k."projectId" = p."id" AND k.""#,
                $column,
                r#"" = $2
                      AND k."manuallyRevokedAt" IS NULL AND k."expiresAt" > now()
                ), s."kid", s."x", s."y"
                FROM "Project" p
                LEFT JOIN "SigningKey" s ON s."projectId" = p."id" AND s."position" = 0
                WHERE p."id" = $1"#
            )
        };
    }
    match access {
        Access::Client => lookup!("publishableClientKey"),
        Access::Server => lookup!("secretServerKey"),
        Access::Admin => lookup!("superSecretAdminKey"),
    }
}
