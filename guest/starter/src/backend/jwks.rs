//! `GET /projects/{id}/.well-known/jwks.json`: the public half of a project's signing key.
//!
//! The key is made when it is first asked for, and not while the image is built or a snapshot taken:
//! otherwise every copy of the machine would share the private half.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use p256::{SecretKey, elliptic_curve::sec1::ToSec1Point as _};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Shared, error::ApiError, wire};
use crate::random::{self, RandomError};

struct SigningKey {
    kid: String,
    private: Zeroizing<[u8; 32]>,
    x: String,
    y: String,
}

pub(super) async fn jwks(
    State(shared): State<Arc<Shared>>,
    Path(project_id): Path<String>,
) -> Result<Response, ApiError> {
    let key = match find(&shared, &project_id).await? {
        Some(key) => Some(key),
        None => make(&shared, &project_id).await?,
    };
    let [kid, x, y] = key.ok_or_else(|| {
        ApiError::Plain(
            StatusCode::NOT_FOUND,
            format!("Project not found: {project_id}"),
        )
    })?;
    Ok(wire::json(&json!({
        "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": kid, "x": x, "y": y }]
    })))
}

/// Makes a key; `None` when there is no such project.
async fn make(shared: &Shared, project_id: &str) -> Result<Option<[String; 3]>, ApiError> {
    let fresh = SigningKey::generate()?;
    // Two first calls at once: one key wins, and both answers show it.
    shared
        .database
        .execute(
            "store a signing key",
            r#"INSERT INTO "SigningKey" ("projectId", "kid", "privateKey", "x", "y")
               SELECT "id", $2, $3, $4, $5 FROM "Project" WHERE "id" = $1
               ON CONFLICT ("projectId") DO NOTHING"#,
            &[
                &project_id,
                &fresh.kid,
                &&fresh.private[..],
                &fresh.x,
                &fresh.y,
            ],
        )
        .await?;
    find(shared, project_id).await
}

async fn find(shared: &Shared, project_id: &str) -> Result<Option<[String; 3]>, ApiError> {
    let row = shared
        .database
        .query_opt(
            "look up a signing key",
            r#"SELECT "kid", "x", "y" FROM "SigningKey" WHERE "projectId" = $1"#,
            &[&project_id],
        )
        .await?;
    Ok(row.map(|row| [row.get(0), row.get(1), row.get(2)]))
}

impl SigningKey {
    fn generate() -> Result<Self, RandomError> {
        // A number outside the curve's range comes up once in 2^32 draws; then another is drawn.
        let (private, key) = loop {
            let bytes = Zeroizing::new(random::bytes::<32>()?);
            if let Ok(key) = SecretKey::from_slice(&bytes[..]) {
                break (bytes, key);
            }
        };
        let point = key.public_key().to_sec1_point(false);
        let coordinate =
            |bytes: Option<&[u8]>| Base64UrlUnpadded::encode_string(bytes.unwrap_or_default());
        Ok(Self {
            kid: Base64UrlUnpadded::encode_string(&random::bytes::<9>()?),
            private,
            x: coordinate(point.x().map(AsRef::as_ref)),
            y: coordinate(point.y().map(AsRef::as_ref)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_shape_of_a_jwk() {
        let key = SigningKey::generate().unwrap();
        assert_eq!((key.kid.len(), key.x.len(), key.y.len()), (12, 43, 43));
        assert_ne!(key.x, SigningKey::generate().unwrap().x);
    }
}
