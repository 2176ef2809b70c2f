//! `/internal/local-emulator/…`: a project for each config file, and random values to compare.
//!
//! Who asks for a project's keys gets its server and admin key. The publishable key of project `internal` is
//! not enough for that, other than with published images: the dashboard serves it to everybody.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{OriginalUri, State, rejection::BytesRejection},
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Transaction;

use super::{
    Shared,
    access::{self, Access, INTERNAL},
    config_file,
    database::{Database, DatabaseError, limited},
    error::ApiError,
    wire,
};
use crate::random;

/// The keys of a project; the body of the project-credentials call.
#[derive(Debug, Serialize)]
struct Credentials {
    project_id: String,
    publishable_client_key: String,
    secret_server_key: String,
    super_secret_admin_key: String,
    branch_config_override_string: String,
}

/// `POST …/project`: the project of a config file, made when it is asked for the first time.
pub(super) async fn project(
    State(shared): State<Arc<Shared>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let endpoint = format!("{method} {}", uri.path());
    let body = body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::Plain(rejection.status(), rejection.body_text())
        } else {
            ApiError::body_parsing()
        }
    })?;
    let body: Value = serde_json::from_slice(&body).map_err(|_| ApiError::body_parsing())?;
    let access = check_internal(&headers, &shared.database, &endpoint).await?;
    if access == Access::Client {
        return Err(ApiError::insufficient_access_type(access, Access::Server));
    }
    let given = match body.get("absolute_file_path") {
        Some(Value::String(path)) => path,
        None | Some(Value::Null) => {
            return Err(ApiError::schema(
                &endpoint,
                "body.absolute_file_path must be defined",
            ));
        }
        Some(other) => {
            return Err(ApiError::schema(
                &endpoint,
                &format!(
                    "body.absolute_file_path must be a `string` type, but the final value was: `{other}`."
                ),
            ));
        }
    };
    let path = config_file::normalise(given)?;
    let config = config_file::read(&shared.host_root, &path)
        .await?
        .to_string();
    let credentials = credentials_of(&shared.database, &path, config).await?;
    Ok(wire::json(&credentials))
}

/// Random values from each source that the stack draws on, for checking that two machines resumed from
/// one snapshot do not share any.
#[derive(Debug, Serialize)]
struct RandomValues {
    /// Made by this process, as keys and request IDs are.
    key: String,
    /// From `/proc/sys/kernel/random/uuid`.
    kernel_uuid: String,
    /// From `gen_random_uuid()`.
    postgres_uuid: String,
}

/// `GET …/random`, with the publishable client key of project `internal`.
pub(super) async fn random_values(
    State(shared): State<Arc<Shared>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let endpoint = format!("{method} {}", uri.path());
    check_internal(&headers, &shared.database, &endpoint).await?;
    let kernel_uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map_err(|error| ApiError::bad_request(format!("the kernel gives no UUID: {error}")))?;
    Ok(wire::json(&RandomValues {
        key: random::token("")?,
        kernel_uuid: kernel_uuid.trim_end().to_owned(),
        postgres_uuid: shared.database.fresh_uuid().await?,
    }))
}

async fn check_internal(
    headers: &HeaderMap,
    database: &Database,
    endpoint: &str,
) -> Result<Access, ApiError> {
    let caller = access::check(headers, database).await?;
    if caller.project.id == INTERNAL {
        Ok(caller.access)
    } else {
        Err(ApiError::schema(
            endpoint,
            "auth.project.id must be one of the following values: internal",
        ))
    }
}

/// Finds or makes the project of a config file, and notes its settings.
async fn credentials_of(
    database: &Database,
    path: &str,
    config: String,
) -> Result<Credentials, ApiError> {
    // Drawn before the transaction, so that it holds its lock for the database's work alone.
    let fresh = FreshProject {
        id: random::uuid()?,
        key_set_id: random::uuid()?,
        keys: [
            random::token("pck_")?,
            random::token("ssk_")?,
            random::token("sak_")?,
        ],
    };
    let mut connection = database.connection().await?;
    let action = "find or make the project of a config file";
    let (project_id, [pck, ssk, sak]) = limited(action, async {
        let transaction = connection.transaction().await?;
        let found = find_or_make(&transaction, path, &config, fresh).await?;
        transaction.commit().await?;
        Ok(found)
    })
    .await
    .map_err(|error: DatabaseError| error)?;
    Ok(Credentials {
        project_id,
        publishable_client_key: pck,
        secret_server_key: ssk,
        super_secret_admin_key: sak,
        branch_config_override_string: config,
    })
}

struct FreshProject {
    id: String,
    key_set_id: String,
    keys: [String; 3],
}

async fn find_or_make(
    transaction: &Transaction<'_>,
    path: &str,
    config: &str,
    fresh: FreshProject,
) -> Result<(String, [String; 3]), tokio_postgres::Error> {
    // Two calls for one new path: the second waits here, then finds what the first has made.
    transaction
        .execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
            &[&path],
        )
        .await?;
    let known = transaction
        .query_opt(
            r#"SELECT "projectId" FROM "LocalEmulatorProject" WHERE "absoluteFilePath" = $1"#,
            &[&path],
        )
        .await?;
    let project_id = if let Some(row) = known {
        let id: String = row.get(0);
        transaction
            .execute(
                r#"UPDATE "Project" SET "configOverride" = $2, "updatedAt" = now()
                   WHERE "id" = $1 AND "configOverride" <> $2"#,
                &[&id, &config],
            )
            .await?;
        id
    } else {
        let name = path.rsplit('/').next().filter(|name| !name.is_empty());
        let display_name = format!("Local Emulator: {}", name.unwrap_or("Project"));
        transaction
            .execute(
                r#"INSERT INTO "Project" ("id", "displayName", "configOverride") VALUES ($1, $2, $3)"#,
                &[&fresh.id, &display_name, &config],
            )
            .await?;
        transaction
            .execute(
                r#"INSERT INTO "LocalEmulatorProject" ("absoluteFilePath", "projectId") VALUES ($1, $2)"#,
                &[&path, &fresh.id],
            )
            .await?;
        fresh.id
    };
    let known = transaction
        .query_opt(
            r#"SELECT "publishableClientKey", "secretServerKey", "superSecretAdminKey" FROM "ApiKeySet"
               WHERE "projectId" = $1 AND "manuallyRevokedAt" IS NULL AND "expiresAt" > now()
                 AND "publishableClientKey" IS NOT NULL AND "secretServerKey" IS NOT NULL
                 AND "superSecretAdminKey" IS NOT NULL
               ORDER BY "createdAt" DESC LIMIT 1"#,
            &[&project_id],
        )
        .await?;
    if let Some(row) = known {
        return Ok((project_id, [row.get(0), row.get(1), row.get(2)]));
    }
    let [pck, ssk, sak] = fresh.keys;
    let description = format!("Local emulator key set for {project_id}");
    transaction
        .execute(
            r#"INSERT INTO "ApiKeySet" ("projectId", "id", "description", "expiresAt",
                 "publishableClientKey", "secretServerKey", "superSecretAdminKey")
               VALUES ($1, $2::text::uuid, $3, '2099-12-31T23:59:59Z', $4, $5, $6)"#,
            &[
                &project_id,
                &fresh.key_set_id,
                &description,
                &pck,
                &ssk,
                &sak,
            ],
        )
        .await?;
    Ok((project_id, [pck, ssk, sak]))
}
