//! `GET /health`, and with `?db=1` also whether the database answers.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::Shared;
use crate::report;

pub(super) async fn health(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let asks_database = query.is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.split_once('=').map_or(pair, |(name, _)| name) == "db")
    });
    if asks_database {
        let sql = r#"SELECT "publishableClientKey" IS NOT NULL FROM "ApiKeySet" WHERE "projectId" = 'internal'"#;
        let fault = match shared
            .database
            .query_opt("look up the internal keys", sql, &[])
            .await
        {
            Ok(Some(_)) => None,
            Ok(None) => Some("the internal project has no keys"),
            Err(error) => {
                report::log("not healthy", &error);
                Some("the database does not answer")
            }
        };
        if let Some(fault) = fault {
            let body = Json(json!({ "status": "error", "error": fault }));
            return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
        }
    }
    Json(json!({ "status": "ok" })).into_response()
}
