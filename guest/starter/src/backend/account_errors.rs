//! Errors of accounts: users, sessions, codes, teams and keys, in the real backend's codes and words.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{access::Access, error::ApiError};

/// The list of access types that an endpoint takes, as its error says it.
const fn allowed(needs: Access) -> &'static [&'static str] {
    match needs {
        Access::Client => &["client", "server", "admin"],
        Access::Server => &["server", "admin"],
        Access::Admin => &["admin"],
    }
}

/// Declares errors that have neither particulars nor arguments.
macro_rules! plain_errors {
    ($($(#[$doc:meta])* $name:ident = $status:ident $code:literal $message:literal;)*) => {
        impl ApiError {
            $($(#[$doc])* pub(super) fn $name() -> Self {
                Self::known(StatusCode::$status, $code, $message)
            })*
        }
    };
}

plain_errors! {
    /// Something that is no token of ours.
    unparsable_access_token = UNAUTHORIZED "UNPARSABLE_ACCESS_TOKEN" "Access token is not parsable.";
    /// A session of the dashboard that ended, or none.
    admin_access_token_expired = UNAUTHORIZED "ADMIN_ACCESS_TOKEN_EXPIRED"
        "Admin access token has expired. Please refresh it and try again.";
    /// A session that ended.
    refresh_token_not_found = UNAUTHORIZED "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
        "Refresh token not found for this project, or the session has expired/been revoked.";
    /// Who ends a session by its ID must not end their own.
    cannot_delete_current_session = BAD_REQUEST "CANNOT_DELETE_CURRENT_SESSION" "Cannot delete the current session.";
    /// `me` without a signed-in user.
    cannot_get_own_user = BAD_REQUEST "CANNOT_GET_OWN_USER_WITHOUT_USER"
        "You have specified 'me' as a userId, but did not provide authentication for a user.";
    /// An endpoint that is for signed-in users.
    user_authentication_required = UNAUTHORIZED "USER_AUTHENTICATION_REQUIRED"
        "User authentication required for this endpoint.";
    /// An anonymous user where the app does not say that it knows of them.
    anonymous_not_allowed = UNAUTHORIZED "ANONYMOUS_AUTHENTICATION_NOT_ALLOWED"
        "X-Stack-Access-Token is for an anonymous user, but anonymous users are not enabled. Set the X-Stack-Allow-Anonymous-User header of this request to 'true' to allow anonymous users.";
    /// No such user.
    user_not_found = NOT_FOUND "USER_NOT_FOUND" "User not found.";
    /// No mail with that ID.
    mail_not_found = NOT_FOUND "MAIL_NOT_FOUND" "There is no mail with that ID.";
    /// The config file allows no new accounts.
    sign_up_not_enabled = BAD_REQUEST "SIGN_UP_NOT_ENABLED"
        "Creation of new accounts is not enabled for this project. Please ask the project owner to enable it.";
    /// The config file allows no passwords.
    passwords_not_enabled = BAD_REQUEST "PASSWORD_AUTHENTICATION_NOT_ENABLED"
        "Password authentication is not enabled for this project.";
    /// Sign-in with a wrong address or password.
    email_password_mismatch = BAD_REQUEST "EMAIL_PASSWORD_MISMATCH" "Wrong e-mail or password.";
    /// A link that leads to somebody else.
    redirect_url_not_whitelisted = BAD_REQUEST "REDIRECT_URL_NOT_WHITELISTED"
        "Redirect URL not whitelisted. Did you forget to add this domain to the trusted domains list on the Stack Auth dashboard?";
    /// The old password is another one.
    password_confirmation_mismatch = BAD_REQUEST "PASSWORD_CONFIRMATION_MISMATCH" "Passwords do not match.";
    /// There is no password to change.
    user_does_not_have_password = BAD_REQUEST "USER_DOES_NOT_HAVE_PASSWORD"
        "This user does not have password authentication enabled.";
    /// No such code.
    code_not_found = NOT_FOUND "VERIFICATION_CODE_NOT_FOUND"
        "The verification code does not exist for this project.";
    /// The code came too late.
    code_expired = BAD_REQUEST "VERIFICATION_CODE_EXPIRED" "The verification code has expired.";
    /// The code was used before.
    code_already_used = CONFLICT "VERIFICATION_CODE_ALREADY_USED" "The verification link has already been used.";
    /// Too many guesses.
    code_max_attempts = BAD_REQUEST "VERIFICATION_CODE_MAX_ATTEMPTS_REACHED"
        "The verification code nonce has reached the maximum number of attempts. This code is not valid anymore.";
    /// Nothing to verify.
    email_already_verified = CONFLICT "EMAIL_ALREADY_VERIFIED" "The e-mail is already verified.";
    /// An invitation for somebody else.
    invitation_email_mismatch = FORBIDDEN "TEAM_INVITATION_EMAIL_MISMATCH"
        "This team invitation was sent to a different email address. Sign in with the invited email, or add and verify that email on your account, then try again.";
    /// The user is in the team.
    membership_already_exists = CONFLICT "TEAM_MEMBERSHIP_ALREADY_EXISTS" "Team membership already exists.";
    /// No such API key.
    api_key_not_found = NOT_FOUND "API_KEY_NOT_FOUND" "API key not found.";
    /// The API key's time is over.
    api_key_expired = UNAUTHORIZED "API_KEY_EXPIRED" "API key has expired.";
    /// The API key was revoked.
    api_key_revoked = UNAUTHORIZED "API_KEY_REVOKED" "API key has been revoked.";
}

impl ApiError {
    /// An endpoint that needs more than the request's access type.
    pub(super) fn insufficient_access_type(has: Access, needs: Access) -> Self {
        let allowed = allowed(needs);
        let list: Vec<String> = allowed.iter().map(|name| format!("'{name}'")).collect();
        Self::known(
            StatusCode::UNAUTHORIZED,
            "INSUFFICIENT_ACCESS_TYPE",
            format!(
                "The x-stack-access-type header must be {}, but was '{}'.",
                list.join(" or "),
                has.name()
            ),
        )
        .with_details(json!({ "actual_access_type": has.name(), "allowed_access_types": allowed }))
    }

    /// A token whose time is over.
    pub(super) fn access_token_expired(
        expired_at_seconds: i64,
        project_id: &str,
        user_id: &str,
        session_id: &str,
    ) -> Self {
        Self::known(
            StatusCode::UNAUTHORIZED,
            "ACCESS_TOKEN_EXPIRED",
            format!("Access token has expired. Please refresh it and try again. Project ID: {project_id}. User ID: {user_id}. Refresh token ID: {session_id}."),
        )
        .with_details(json!({
            "expired_at_millis": expired_at_seconds * 1000,
            "project_id": project_id,
            "user_id": user_id,
            "refresh_token_id": session_id,
        }))
    }

    /// A token of another project.
    pub(super) fn invalid_project_for_access_token(expected: &str, actual: &str) -> Self {
        Self::known(
            StatusCode::UNAUTHORIZED,
            "INVALID_PROJECT_FOR_ACCESS_TOKEN",
            format!(
                "Access token not valid for this project. Expected project ID {}, but the token is for project ID {}.",
                Value::from(expected),
                Value::from(actual)
            ),
        )
        .with_details(json!({ "expected_project_id": expected, "actual_project_id": actual }))
    }

    /// The token endpoint was given another project or key than the session's.
    pub(super) fn invalid_oauth_client(id: Option<&str>) -> Self {
        Self::known(
            StatusCode::BAD_REQUEST,
            "INVALID_OAUTH_CLIENT_ID_OR_SECRET",
            "The OAuth client ID or secret is invalid. The client ID must be equal to the project ID (potentially with a hash and a branch ID), and the client secret must be a publishable client key.",
        )
        .with_details(json!({ "client_id": id }))
    }

    /// A user named in a body does not exist.
    pub(super) fn user_id_does_not_exist(id: &str) -> Self {
        Self::known(
            StatusCode::BAD_REQUEST,
            "USER_ID_DOES_NOT_EXIST",
            format!("The given user with the ID {id} does not exist."),
        )
        .with_details(json!({ "user_id": id }))
    }

    /// The address signs in to another account. `verified_would_do`: that account's address is not
    /// verified, and the sign-in would work if it were.
    pub(super) fn user_email_already_exists(email: &str, verified_would_do: bool) -> Self {
        let end = if verified_would_do {
            " but the email is not verified. Please login to your existing account with the method you used to sign up, and then verify your email to sign in with this login method."
        } else {
            "."
        };
        Self::known(
            StatusCode::CONFLICT,
            "USER_EMAIL_ALREADY_EXISTS",
            format!(
                "A user with email {} already exists{end}",
                Value::from(email)
            ),
        )
        .with_details(
            json!({ "email": email, "would_work_if_email_was_verified": verified_would_do }),
        )
    }

    /// A channel cannot be used to sign in, because another account does.
    pub(super) fn channel_used_by_someone_else(value: &str) -> Self {
        Self::known(
            StatusCode::CONFLICT,
            "CONTACT_CHANNEL_ALREADY_USED_FOR_AUTH_BY_SOMEONE_ELSE",
            format!(
                "This email \"({value})\" is already used for authentication by another account."
            ),
        )
        .with_details(json!({
            "type": "email",
            "contact_channel_value": value,
            "would_work_if_email_was_verified": false,
        }))
    }

    /// A password with too few characters.
    pub(super) fn password_too_short(minimum: usize) -> Self {
        Self::known(
            StatusCode::BAD_REQUEST,
            "PASSWORD_TOO_SHORT",
            format!("Password too short. Minimum length is {minimum}."),
        )
        .with_details(json!({ "min_length": minimum }))
    }

    /// A password with too many.
    pub(super) fn password_too_long(maximum: usize) -> Self {
        Self::known(
            StatusCode::BAD_REQUEST,
            "PASSWORD_TOO_LONG",
            format!("Password too long. Maximum length is {maximum}."),
        )
        .with_details(json!({ "maxLength": maximum }))
    }

    /// No such team.
    pub(super) fn team_not_found(id: &str) -> Self {
        Self::known(
            StatusCode::NOT_FOUND,
            "TEAM_NOT_FOUND",
            format!("Team {id} not found."),
        )
        .with_details(json!({ "team_id": id }))
    }

    /// The user is not in the team.
    pub(super) fn membership_not_found(team_id: &str, user_id: &str) -> Self {
        Self::known(
            StatusCode::NOT_FOUND,
            "TEAM_MEMBERSHIP_NOT_FOUND",
            format!("User {user_id} is not found in team {team_id}."),
        )
        .with_details(json!({ "team_id": team_id, "user_id": user_id }))
    }

    /// The user may not do this in the team.
    pub(super) fn team_permission_required(team_id: &str, user_id: &str, permission: &str) -> Self {
        Self::team_permission("TEAM_PERMISSION_REQUIRED", team_id, user_id, permission)
    }

    /// There is no such permission to take away.
    pub(super) fn team_permission_not_found(
        team_id: &str,
        user_id: &str,
        permission: &str,
    ) -> Self {
        Self::team_permission("TEAM_PERMISSION_NOT_FOUND", team_id, user_id, permission)
    }

    fn team_permission(code: &'static str, team_id: &str, user_id: &str, permission: &str) -> Self {
        Self::known(
            StatusCode::UNAUTHORIZED,
            code,
            format!("User {user_id} does not have permission {permission} in team {team_id}."),
        )
        .with_details(
            json!({ "team_id": team_id, "user_id": user_id, "permission_id": permission }),
        )
    }

    /// The config file has no such permission.
    pub(super) fn permission_not_found(id: &str) -> Self {
        Self::known(
            StatusCode::NOT_FOUND,
            "PERMISSION_NOT_FOUND",
            format!("Permission \"{id}\" not found. Make sure you created it on the dashboard."),
        )
        .with_details(json!({ "permission_id": id }))
    }

    /// A key of a user where one of a team is wanted, or the other way round.
    pub(super) fn wrong_api_key_type(expected: &str, actual: &str) -> Self {
        Self::known(
            StatusCode::BAD_REQUEST,
            "WRONG_API_KEY_TYPE",
            format!(
                "This endpoint is for {expected} API keys, but a {actual} API key was provided."
            ),
        )
        .with_details(json!({ "expected_type": expected, "actual_type": actual }))
    }

    /// Something that this access may not do, in plain words.
    pub(super) fn forbidden(text: impl Into<String>) -> Self {
        Self::Plain(StatusCode::FORBIDDEN, text.into())
    }
}
