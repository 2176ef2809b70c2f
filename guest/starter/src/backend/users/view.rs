//! How a user looks to an app, and how to its server.

use serde_json::{Value, json};

use super::User;

/// What the user's own app sees.
pub(in crate::backend) fn client_view(user: &User) -> Value {
    json!({
        "id": user.id,
        "display_name": user.display_name,
        "primary_email": user.primary_email,
        "primary_email_verified": user.primary_email_verified,
        "profile_image_url": user.profile_image_url,
        "signed_up_at_millis": user.signed_up_at_millis,
        "client_metadata": user.client_metadata,
        "client_read_only_metadata": user.client_read_only_metadata,
        "has_password": user.password_hash.is_some(),
        "otp_auth_enabled": user.otp_auth_enabled,
        "auth_with_email": user.password_hash.is_some() || user.otp_auth_enabled,
        "passkey_auth_enabled": false,
        "requires_totp_mfa": false,
        "oauth_providers": user.oauth_providers,
        "selected_team_id": user.selected_team.as_ref().map(|team| &team.id),
        "selected_team": user.selected_team.as_ref().map(super::super::teams::client_view),
        "is_anonymous": user.is_anonymous,
        "is_restricted": user.is_anonymous,
        "restricted_reason": user.is_anonymous.then(|| json!({ "type": "anonymous" })),
        "restricted_by_admin": false,
        "restricted_by_admin_reason": null,
    })
}

/// What the app's server sees: more.
pub(in crate::backend) fn server_view(user: &User) -> Value {
    let mut view = client_view(user);
    let server_only = json!({
        "primary_email_auth_enabled": user.primary_email_auth_enabled,
        "server_metadata": user.server_metadata,
        "last_active_at_millis": user.last_active_at_millis,
        "selected_team": user.selected_team.as_ref().map(super::super::teams::server_view),
        "restricted_by_admin_private_details": null,
        "country_code": null,
        "risk_scores": { "sign_up": { "bot": 0, "free_trial_abuse": 0 } },
    });
    if let (Value::Object(view), Value::Object(more)) = (&mut view, server_only) {
        view.extend(more);
    }
    view
}
