//! Which path leads where.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, OriginalUri, State},
    http::{Method, Uri},
    middleware,
    routing::{get, post},
};

use super::{Shared, cron_jobs, error::ApiError, health, jwks, local_emulator, projects, wire};

/// First words of the real API's routes, so that a call that only the full backend can answer is told
/// from a wrong address.
const KNOWN_ROUTES: [&str; 28] = [
    "ai",
    "analytics",
    "api-keys",
    "auth",
    "check-feature-support",
    "check-version",
    "connected-accounts",
    "contact-channels",
    "conversations",
    "data-vault",
    "emails",
    "integrations",
    "internal",
    "notification-preferences",
    "oauth-providers",
    "payments",
    "project-permissions",
    "projects",
    "sessions",
    "team-invitations",
    "team-member-profiles",
    "team-memberships",
    "team-permission-definitions",
    "team-permissions",
    "teams",
    "user-api-keys",
    "users",
    "webhooks",
];

/// Largest request body in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The versions under which the API is offered.
const VERSIONS: [&str; 2] = ["/api/v1", "/api/latest"];

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/projects/current", get(projects::current))
        .route(
            "/projects/{project_id}/.well-known/jwks.json",
            get(jwks::jwks),
        )
        .route(
            "/internal/local-emulator/project",
            post(local_emulator::project),
        )
        .route(
            "/internal/local-emulator/random",
            get(local_emulator::random_values),
        )
        .route(
            "/internal/local-emulator/prune-step",
            get(cron_jobs::prune_step),
        )
        .route(
            "/internal/email-queue-step",
            get(cron_jobs::email_queue_step),
        );
    let mut router = Router::new();
    for version in VERSIONS {
        router = router.nest(version, api.clone());
    }
    router
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(wire::dress))
        // Outside the layer: the real backend's health page bears no request ID either.
        .route("/health", get(health::health))
        .with_state(shared)
}

async fn elsewhere(
    State(shared): State<Arc<Shared>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
) -> ApiError {
    if is_known(&uri) {
        ApiError::not_in_starter(&format!("{method} {}", uri.path()))
    } else {
        ApiError::no_such_page(&format!("http://{}{uri}", shared.listen))
    }
}

fn is_known(uri: &Uri) -> bool {
    VERSIONS.iter().any(|version| {
        uri.path()
            .strip_prefix(version)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.split('/').next())
            .is_some_and(|word| KNOWN_ROUTES.contains(&word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_the_full_backend_are_told_from_wrong_ones() {
        let known = |path| is_known(&Uri::from_static(path));
        assert!(known("/api/v1/users/me"));
        assert!(known("/api/latest/auth/password/sign-up"));
        assert!(known("/api/v1/teams?user_id=me"));
        assert!(!known("/api/v1/nope"));
        assert!(!known("/api/v1/usersx"));
        assert!(!known("/api/v9/users"));
        assert!(!known("/users"));
    }
}
