//! `GET /api/v1/projects/current`: the project whose key the request shows.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{Shared, access, config_watch, error::ApiError, project_view::ProjectView, wire};

pub(super) async fn current(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    config_watch::look(&shared, &headers).await;
    let caller = access::check(&headers, &shared.database).await?;
    Ok(wire::json(&ProjectView::of(&caller.project)))
}
