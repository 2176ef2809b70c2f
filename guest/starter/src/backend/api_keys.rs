//! API keys of users and teams, with which their own programs prove who they are to the app's server:
//! `/user-api-keys` and `/team-api-keys`.
//!
//! A key is a secret, the ID of its row, whom it is for, marks by which scanners find leaked ones, and a
//! check sum of all that. The database keeps its digest.

use axum::extract::Path;
use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::{
    call::{Answer, Call},
    clock,
    codes::digest,
    error::ApiError,
    store, teams, users, wire,
};
use crate::random;

/// By this scanners know a key.
const MARK: &str = "574ck4u7h";

/// Whom a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Team,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Team => "team",
        }
    }

    /// The entry of bodies and queries that names the owner.
    fn owner_field(self) -> &'static str {
        match self {
            Self::User => "user_id",
            Self::Team => "team_id",
        }
    }

    /// Refuses where the config file allows no such keys.
    fn need_enabled(self, call: &Call) -> Result<(), ApiError> {
        let is_enabled = match self {
            Self::User => call.config().user_api_keys(),
            Self::Team => call.config().team_api_keys(),
        };
        if is_enabled {
            return Ok(());
        }
        let name = match self {
            Self::User => "User",
            Self::Team => "Team",
        };
        Err(ApiError::bad_request(format!(
            "{name} API keys are not enabled for this project."
        )))
    }

    /// The owner that is named, if the call may see to their keys.
    async fn owner(
        self,
        call: &Call,
        db: &impl GenericClient,
        given: &str,
    ) -> Result<String, ApiError> {
        match self {
            Self::User => {
                let id = call.own_user_id(Some(given), "manage API keys of")?;
                if users::find(db, &call.project.id, &id).await?.is_none() {
                    return Err(ApiError::user_not_found());
                }
                Ok(id)
            }
            Self::Team => {
                let team = teams::need_permission(call, db, given, "$manage_api_keys").await?;
                Ok(team.id)
            }
        }
    }
}

struct ApiKey {
    id: String,
    kind: Kind,
    owner: String,
    description: String,
    last_four: String,
    is_public: bool,
    created_at_millis: i64,
    expires_at_millis: Option<i64>,
    revoked_at_millis: Option<i64>,
}

const COLUMNS_AND_TABLE: &str = r#"SELECT "id", "userId", "teamId", "description", "lastFour", "isPublic",
    "createdAtMillis", "expiresAtMillis", "revokedAtMillis" FROM "OwnedApiKey" WHERE "projectId" = $1"#;

impl ApiKey {
    fn of(row: &Row) -> Self {
        let (user, team): (Option<String>, Option<String>) = (row.get(1), row.get(2));
        let kind = if user.is_some() {
            Kind::User
        } else {
            Kind::Team
        };
        Self {
            id: row.get(0),
            kind,
            // The table sees to it that one of the two is there.
            owner: user.or(team).unwrap_or_default(),
            description: row.get(3),
            last_four: row.get(4),
            is_public: row.get(5),
            created_at_millis: row.get(6),
            expires_at_millis: row.get(7),
            revoked_at_millis: row.get(8),
        }
    }

    /// The view, with the whole key or the end of it as its value.
    fn view(&self, value: &Value) -> Value {
        let mut view = json!({
            "id": self.id,
            "type": self.kind.name(),
            "description": self.description,
            "is_public": self.is_public,
            "created_at_millis": self.created_at_millis,
            "value": value,
        });
        view[self.kind.owner_field()] = json!(self.owner);
        if let Some(time) = self.expires_at_millis {
            view["expires_at_millis"] = json!(time);
        }
        if let Some(time) = self.revoked_at_millis {
            view["manually_revoked_at_millis"] = json!(time);
        }
        view
    }

    fn hidden_view(&self) -> Value {
        self.view(&json!({ "last_four": self.last_four }))
    }
}

/// Makes the text of a key.
fn key_text(secret: &str, id: &str, kind: Kind, is_public: bool) -> String {
    let prefix = if is_public { "pk" } else { "sk" };
    // Bit 0: from an installation of one's own; bit 1: public.
    let flags = 1 + 2 * u8::from(is_public);
    let id = id.replace('-', "");
    let text = format!("{prefix}_{secret}{id}{}{flags}{MARK}", kind.name());
    let sum = crc32fast::hash(text.as_bytes());
    format!("{text}{sum:08x}")
}

async fn list(call: Call, kind: Kind) -> Answer {
    kind.need_enabled(&call)?;
    let query = call.query();
    let given = query.text(kind.owner_field())?;
    query.finish()?;
    let db = call.connection().await?;
    let owner = kind.owner(&call, &db, given).await?;
    let sql = format!(
        r#"{COLUMNS_AND_TABLE} AND coalesce("userId", "teamId") = $2 AND ("userId" IS NULL) = $3
           ORDER BY "createdAtMillis", "id""#
    );
    let rows = store::rows(
        &db,
        "list API keys",
        &sql,
        &[&call.project.id, &owner, &(kind == Kind::Team)],
    )
    .await?;
    let items: Vec<Value> = rows
        .iter()
        .map(|row| ApiKey::of(row).hidden_view())
        .collect();
    Ok(wire::list(&items))
}

async fn create(call: Call, kind: Kind) -> Answer {
    kind.need_enabled(&call)?;
    let body = call.body();
    let given = body.text(kind.owner_field())?;
    let description = body.text("description")?;
    let expires_at = body.number("expires_at_millis")?;
    let is_public = body.flag("is_public")?.unwrap_or(false);
    body.finish()?;
    let db = call.connection().await?;
    let owner = kind.owner(&call, &db, given).await?;
    let id = random::uuid()?;
    let key = key_text(&random::token("")?, &id, kind, is_public);
    let (user, team) = match kind {
        Kind::User => (Some(&owner), None),
        Kind::Team => (None, Some(&owner)),
    };
    let last_four = &key[key.len() - 4..];
    store::execute(
        &db,
        "make an API key",
        r#"INSERT INTO "OwnedApiKey" ("projectId", "id", "userId", "teamId", "description", "keyDigest",
             "lastFour", "isPublic", "createdAtMillis", "expiresAtMillis")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
        &[
            &call.project.id,
            &id,
            &user,
            &team,
            &description,
            &digest(&key),
            &last_four,
            &is_public,
            &clock::now_millis(),
            &expires_at,
        ],
    )
    .await?;
    let made = find(&db, &call.project.id, kind, &owner, &id).await?;
    Ok(wire::json(&made.view(&json!(key))))
}

async fn find(
    db: &impl GenericClient,
    project_id: &str,
    kind: Kind,
    owner: &str,
    id: &str,
) -> Result<ApiKey, ApiError> {
    let sql = format!(r#"{COLUMNS_AND_TABLE} AND "id" = $2"#);
    store::row(db, "look up an API key", &sql, &[&project_id, &id])
        .await?
        .as_ref()
        .map(ApiKey::of)
        .filter(|key| key.kind == kind && key.owner == owner)
        .ok_or_else(ApiError::api_key_not_found)
}

async fn read(id: String, call: Call, kind: Kind) -> Answer {
    kind.need_enabled(&call)?;
    let query = call.query();
    let given = query.text(kind.owner_field())?;
    query.finish()?;
    let db = call.connection().await?;
    let owner = kind.owner(&call, &db, given).await?;
    let key = find(&db, &call.project.id, kind, &owner, &id).await?;
    Ok(wire::json(&key.hidden_view()))
}

async fn update(id: String, call: Call, kind: Kind) -> Answer {
    kind.need_enabled(&call)?;
    let query = call.query();
    let given = query.text(kind.owner_field())?;
    query.finish()?;
    let body = call.body();
    let description = body.optional_text("description")?;
    let revoked = body.flag("revoked")?.unwrap_or(false);
    body.finish()?;
    let db = call.connection().await?;
    let owner = kind.owner(&call, &db, given).await?;
    find(&db, &call.project.id, kind, &owner, &id).await?;
    store::execute(
        &db,
        "change an API key",
        r#"UPDATE "OwnedApiKey" SET "description" = coalesce($3, "description"),
             "revokedAtMillis" = CASE WHEN $4 THEN coalesce("revokedAtMillis", $5) ELSE "revokedAtMillis" END
           WHERE "projectId" = $1 AND "id" = $2"#,
        &[
            &call.project.id,
            &id,
            &description,
            &revoked,
            &clock::now_millis(),
        ],
    )
    .await?;
    let key = find(&db, &call.project.id, kind, &owner, &id).await?;
    Ok(wire::json(&key.hidden_view()))
}

/// A server asks whose key it was shown.
async fn check(call: Call, kind: Kind) -> Answer {
    call.need_server()?;
    kind.need_enabled(&call)?;
    let body = call.body();
    let given = body.text("api_key")?;
    body.finish()?;
    let db = call.connection().await?;
    let sql = format!(r#"{COLUMNS_AND_TABLE} AND "keyDigest" = $2"#);
    let row = store::row(
        &db,
        "look up an API key",
        &sql,
        &[&call.project.id, &digest(given)],
    )
    .await?;
    let key = row.as_ref().map(ApiKey::of);
    let key = key.ok_or_else(ApiError::api_key_not_found)?;
    if key.kind != kind {
        return Err(ApiError::wrong_api_key_type(kind.name(), key.kind.name()));
    }
    if key.revoked_at_millis.is_some() {
        return Err(ApiError::api_key_revoked());
    }
    if key
        .expires_at_millis
        .is_some_and(|time| time <= clock::now_millis())
    {
        return Err(ApiError::api_key_expired());
    }
    Ok(wire::json(&key.hidden_view()))
}

/// The endpoints of each kind.
macro_rules! endpoints {
    ($kind:expr, $list:ident, $create:ident, $read:ident, $update:ident, $check:ident) => {
        pub(super) async fn $list(call: Call) -> Answer {
            list(call, $kind).await
        }
        pub(super) async fn $create(call: Call) -> Answer {
            create(call, $kind).await
        }
        pub(super) async fn $read(Path(id): Path<String>, call: Call) -> Answer {
            read(id, call, $kind).await
        }
        pub(super) async fn $update(Path(id): Path<String>, call: Call) -> Answer {
            update(id, call, $kind).await
        }
        pub(super) async fn $check(call: Call) -> Answer {
            check(call, $kind).await
        }
    };
}
endpoints!(
    Kind::User,
    list_of_user,
    create_of_user,
    read_of_user,
    update_of_user,
    check_of_user
);
endpoints!(
    Kind::Team,
    list_of_team,
    create_of_team,
    read_of_team,
    update_of_team,
    check_of_team
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_parts_and_their_sum() {
        // As recorded of the real backend.
        let key = key_text(
            "jk96g40qvezkgmgswwfv1v1q0s08hhrsfkeqt1ccy7v2g",
            "78fdb7fb-45a9-4834-bf04-c53403b9bc5f",
            Kind::User,
            false,
        );
        assert_eq!(
            key,
            "sk_jk96g40qvezkgmgswwfv1v1q0s08hhrsfkeqt1ccy7v2g78fdb7fb45a94834bf04c53403b9bc5fuser1574ck4u7h1b1e23ba"
        );
        assert!(key_text("s", "i", Kind::Team, true).starts_with("pk_siteam3"));
    }
}
