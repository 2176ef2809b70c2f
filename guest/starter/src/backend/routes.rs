//! Which path leads where.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, OriginalUri, State},
    handler::Handler,
    http::{Method, Uri},
    middleware,
    routing::{self, MethodRouter},
};

use super::{
    Shared, api_keys, auth, channels, cron_jobs, dashboard, emails, error::ApiError, health,
    local_emulator, mailbox, oauth, permissions, projects, signing_keys, teams, users, wire,
};

/// First words of the real API's routes, so that a call that only the full backend can answer is told
/// from a wrong address.
const KNOWN_ROUTES: [&str; 30] = [
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
    "project-permission-definitions",
    "project-permissions",
    "projects",
    "sessions",
    "team-api-keys",
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

/// A path's endpoints as they are added, and the list of them for people.
#[derive(Default)]
struct Api {
    router: Router<Arc<Shared>>,
    endpoints: Vec<String>,
}

impl Api {
    fn on(mut self, method: &Method, path: &str, handler: MethodRouter<Arc<Shared>>) -> Self {
        self.endpoints.push(format!("{method} /api/v1{path}"));
        self.router = self.router.route(path, handler);
        self
    }

    fn get<H: Handler<T, Arc<Shared>>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.on(&Method::GET, path, routing::get(handler))
    }

    fn post<H: Handler<T, Arc<Shared>>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.on(&Method::POST, path, routing::post(handler))
    }

    fn patch<H: Handler<T, Arc<Shared>>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.on(&Method::PATCH, path, routing::patch(handler))
    }

    fn delete<H: Handler<T, Arc<Shared>>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.on(&Method::DELETE, path, routing::delete(handler))
    }
}

fn api() -> Api {
    let api = Api::default()
        .get("/projects/current", projects::current)
        .get(
            "/projects/{project_id}/.well-known/jwks.json",
            signing_keys::jwks,
        )
        .post("/internal/local-emulator/project", local_emulator::project)
        .get(
            "/internal/local-emulator/random",
            local_emulator::random_values,
        )
        .get("/internal/local-emulator/projects", dashboard::list)
        .post(
            "/internal/local-emulator/dashboard-links",
            dashboard::make_link,
        )
        .post(
            "/internal/local-emulator/dashboard-links/redeem",
            dashboard::redeem_link,
        )
        .post(
            "/internal/local-emulator/dashboard-sessions",
            dashboard::sign_in,
        )
        .delete(
            "/internal/local-emulator/dashboard-sessions/current",
            dashboard::sign_out,
        )
        .get("/internal/local-emulator/mails", mailbox::list)
        .get("/internal/local-emulator/mails/{id}", mailbox::read)
        .get("/internal/local-emulator/prune-step", cron_jobs::prune_step)
        .get("/internal/email-queue-step", cron_jobs::email_queue_step);
    api_keys_api(teams_api(users_api(oauth_api(auth_api(api)))))
}

fn auth_api(api: Api) -> Api {
    api.post("/auth/anonymous/sign-up", auth::anonymous_sign_up)
        .post("/auth/password/sign-up", auth::password_sign_up)
        .post("/auth/password/sign-in", auth::password_sign_in)
        .post("/auth/password/set", auth::set_password)
        .post("/auth/password/update", auth::update_password)
        .post("/auth/password/send-reset-code", auth::send_reset_code)
        .post("/auth/password/reset", auth::reset_password)
        .post("/auth/password/reset/check-code", auth::check_reset_code)
        .post("/auth/otp/send-sign-in-code", auth::otp_send_code)
        .post("/auth/otp/sign-in", auth::otp_sign_in)
        .post("/auth/otp/sign-in/check-code", auth::otp_check_code)
        .post("/auth/oauth/token", auth::token)
        .get("/auth/sessions", auth::list_sessions)
        .post("/auth/sessions", auth::create_session)
        .delete("/auth/sessions/current", auth::sign_out)
        .post("/auth/sessions/current/refresh", auth::refresh_current)
        .delete("/auth/sessions/{id}", auth::delete_session)
}

fn oauth_api(api: Api) -> Api {
    api.get("/auth/oauth/authorize/{provider}", oauth::authorize)
        .get("/auth/oauth/callback/{provider}", oauth::callback)
        .get("/oauth-providers", oauth::list_accounts)
        .post("/oauth-providers", oauth::create_account)
        .get("/oauth-providers/{user_id}/{id}", oauth::read_account)
        .patch("/oauth-providers/{user_id}/{id}", oauth::update_account)
        .delete("/oauth-providers/{user_id}/{id}", oauth::delete_account)
        .get("/connected-accounts/{user_id}", oauth::list_connected)
        .post(
            "/connected-accounts/{user_id}/{provider}/access-token",
            oauth::access_token_of_provider,
        )
        .post(
            "/connected-accounts/{user_id}/{provider}/{account_id}/access-token",
            oauth::access_token_of_account,
        )
}

fn users_api(api: Api) -> Api {
    api.post("/emails/send-email", emails::send)
        .get("/users", users::list)
        .post("/users", users::create)
        .get("/users/{user_id}", users::read)
        .patch("/users/{user_id}", users::update)
        .delete("/users/{user_id}", users::delete)
        .get("/contact-channels", channels::list)
        .post("/contact-channels", channels::create)
        .post(
            "/contact-channels/send-verification-code",
            channels::send_code_to_own,
        )
        .post("/contact-channels/verify", channels::verify)
        .post("/contact-channels/verify/check-code", channels::check_code)
        .get("/contact-channels/{user_id}/{id}", channels::read)
        .patch("/contact-channels/{user_id}/{id}", channels::update)
        .delete("/contact-channels/{user_id}/{id}", channels::delete)
        .post(
            "/contact-channels/{user_id}/{id}/send-verification-code",
            channels::send_code,
        )
}

fn teams_api(api: Api) -> Api {
    api.get("/teams", teams::list)
        .post("/teams", teams::create)
        .get("/teams/{team_id}", teams::read)
        .patch("/teams/{team_id}", teams::update)
        .delete("/teams/{team_id}", teams::delete)
        .post("/team-memberships/{team_id}/{user_id}", teams::add_member)
        .delete(
            "/team-memberships/{team_id}/{user_id}",
            teams::remove_member,
        )
        .get("/team-member-profiles", teams::list_profiles)
        .get(
            "/team-member-profiles/{team_id}/{user_id}",
            teams::read_profile,
        )
        .patch(
            "/team-member-profiles/{team_id}/{user_id}",
            teams::update_profile,
        )
        .get("/team-invitations", teams::list_invitations)
        .post("/team-invitations/send-code", teams::invite)
        .post("/team-invitations/accept", teams::accept)
        .post(
            "/team-invitations/accept/check-code",
            teams::check_invitation_code,
        )
        .post("/team-invitations/accept/details", teams::accept_details)
        .delete("/team-invitations/{id}", teams::revoke_invitation)
        .post("/team-invitations/{id}/accept", teams::accept_by_id)
        .get("/team-permissions", permissions::list_in_teams)
        .post(
            "/team-permissions/{team_id}/{user_id}/{permission_id}",
            permissions::grant_team,
        )
        .delete(
            "/team-permissions/{team_id}/{user_id}/{permission_id}",
            permissions::revoke_team,
        )
        .get("/project-permissions", permissions::list_in_project)
        .post(
            "/project-permissions/{user_id}/{permission_id}",
            permissions::grant_project,
        )
        .delete(
            "/project-permissions/{user_id}/{permission_id}",
            permissions::revoke_project,
        )
        .get(
            "/team-permission-definitions",
            permissions::team_definitions,
        )
        .get(
            "/project-permission-definitions",
            permissions::project_definitions,
        )
}

fn api_keys_api(api: Api) -> Api {
    api.get("/user-api-keys", api_keys::list_of_user)
        .post("/user-api-keys", api_keys::create_of_user)
        .post("/user-api-keys/check", api_keys::check_of_user)
        .get("/user-api-keys/{id}", api_keys::read_of_user)
        .patch("/user-api-keys/{id}", api_keys::update_of_user)
        .get("/team-api-keys", api_keys::list_of_team)
        .post("/team-api-keys", api_keys::create_of_team)
        .post("/team-api-keys/check", api_keys::check_of_team)
        .get("/team-api-keys/{id}", api_keys::read_of_team)
        .patch("/team-api-keys/{id}", api_keys::update_of_team)
}

/// The endpoints that there are, as `METHOD PATH`.
pub(super) fn endpoints() -> Vec<String> {
    api().endpoints
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let api = api().router;
    let mut router = Router::new();
    for version in VERSIONS {
        router = router.nest(version, api.clone());
    }
    router
        .fallback(elsewhere)
        .method_not_allowed_fallback(elsewhere)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(wire::dress))
        // Outside the layer: the real backend's health page bears no request ID either.
        .route("/health", routing::get(health::health))
        .with_state(shared)
}

async fn elsewhere(
    State(shared): State<Arc<Shared>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
) -> ApiError {
    if is_known(&uri) {
        ApiError::not_in_starter(&format!("{method} {}", uri.path()), &shared.endpoints)
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
