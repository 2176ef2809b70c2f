//! The keys that sign a project's access tokens, and `GET /projects/{id}/.well-known/jwks.json`.
//!
//! They are made when first asked for, and not while the image is built or a snapshot taken: otherwise
//! every copy of the machine would share the private halves. There are two, as the real backend shows two:
//! one signs, the other stands by, so that who keeps a copy of the list knows it beforehand.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use deadpool_postgres::GenericClient;
use p256::{SecretKey, elliptic_curve::sec1::ToSec1Point as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Shared, access::PublicKey, database::DatabaseError, error::ApiError, store, wire};
use crate::random::{self, RandomError};

/// A whole key, just made.
struct FreshKey {
    private: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

/// The key that signs.
pub(super) struct SigningKey {
    /// Its ID.
    pub(super) kid: String,
    /// The number that is the private half.
    pub(super) private: Zeroizing<Vec<u8>>,
}

/// `GET /projects/{id}/.well-known/jwks.json`.
pub(super) async fn jwks(
    State(shared): State<Arc<Shared>>,
    Path(project_id): Path<String>,
) -> Result<Response, ApiError> {
    let db = shared.database.connection().await?;
    let mut keys = public_halves(&db, &project_id).await?;
    if keys.is_empty() {
        make(&db, &project_id).await?;
        keys = public_halves(&db, &project_id).await?;
    }
    if keys.is_empty() {
        return Err(ApiError::Plain(
            StatusCode::NOT_FOUND,
            format!("Project not found: {project_id}"),
        ));
    }
    let keys: Vec<Value> = keys
        .into_iter()
        .map(|PublicKey { kid, x, y }| {
            json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": kid, "x": x, "y": y })
        })
        .collect();
    Ok(wire::json(&json!({ "keys": keys })))
}

/// The key that signs for a project, made if there is none yet.
pub(super) async fn signing_key(
    db: &impl GenericClient,
    project_id: &str,
) -> Result<SigningKey, ApiError> {
    if let Some(key) = find(db, project_id).await? {
        return Ok(key);
    }
    make(db, project_id).await?;
    find(db, project_id)
        .await?
        .ok_or_else(|| ApiError::current_project_not_found(project_id))
}

async fn find(
    db: &impl GenericClient,
    project_id: &str,
) -> Result<Option<SigningKey>, DatabaseError> {
    let row = store::row(
        db,
        "look up a signing key",
        r#"SELECT "kid", "privateKey" FROM "SigningKey" WHERE "projectId" = $1 AND "position" = 0"#,
        &[&project_id],
    )
    .await?;
    Ok(row.map(|row| SigningKey {
        kid: row.get(0),
        private: Zeroizing::new(row.get(1)),
    }))
}

async fn public_halves(
    db: &impl GenericClient,
    project_id: &str,
) -> Result<Vec<PublicKey>, DatabaseError> {
    let rows = store::rows(
        db,
        "list signing keys",
        r#"SELECT "kid", "x", "y" FROM "SigningKey" WHERE "projectId" = $1 ORDER BY "position""#,
        &[&project_id],
    )
    .await?;
    Ok(rows
        .iter()
        .map(|row| PublicKey {
            kid: row.get(0),
            x: row.get(1),
            y: row.get(2),
        })
        .collect())
}

/// Makes a project's keys; nothing when there is no such project. Two first calls at once: one pair wins,
/// since both are in one statement, and both calls then find it.
async fn make(db: &impl GenericClient, project_id: &str) -> Result<(), ApiError> {
    let (first, second) = (FreshKey::generate()?, FreshKey::generate()?);
    store::execute(
        db,
        "store signing keys",
        r#"INSERT INTO "SigningKey" ("projectId", "position", "kid", "privateKey", "x", "y")
           SELECT p."id", k.* FROM "Project" p,
             (VALUES (0::smallint, $2, $3::bytea, $4, $5), (1::smallint, $6, $7::bytea, $8, $9)) k
           WHERE p."id" = $1
           ON CONFLICT ("projectId", "position") DO NOTHING"#,
        &[
            &project_id,
            &first.public.kid,
            &&first.private[..],
            &first.public.x,
            &first.public.y,
            &second.public.kid,
            &&second.private[..],
            &second.public.x,
            &second.public.y,
        ],
    )
    .await?;
    Ok(())
}

impl FreshKey {
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
            private,
            public: PublicKey {
                kid: Base64UrlUnpadded::encode_string(&random::bytes::<9>()?),
                x: coordinate(point.x().map(AsRef::as_ref)),
                y: coordinate(point.y().map(AsRef::as_ref)),
            },
        })
    }
}

/// A pair of halves for the tests of what uses them.
#[cfg(test)]
pub(super) fn fresh_for_tests() -> (SigningKey, PublicKey) {
    let FreshKey { private, public } = FreshKey::generate().unwrap();
    let signing = SigningKey {
        kid: public.kid.clone(),
        private: Zeroizing::new(private.to_vec()),
    };
    (signing, public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_shape_of_a_jwk() {
        let PublicKey { kid, x, y } = FreshKey::generate().unwrap().public;
        assert_eq!((kid.len(), x.len(), y.len()), (12, 43, 43));
        assert_ne!(x, FreshKey::generate().unwrap().public.x);
    }
}
