//! `GET /auth/oauth/callback/{provider}`: a provider sends a browser back.

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderMap, header},
};
use deadpool_postgres::Transaction;

use super::{
    authorize::{is_address, lead_to},
    codes, errors,
    flows::{self, Flow},
    users,
};
use crate::{
    backend::{
        Shared,
        access::{self, Project},
        call::Answer,
        clock,
        error::ApiError,
        store,
    },
    mock_oauth::{self, Grant, Person, Redemption},
    query,
};

/// What the provider says.
struct Said {
    state: String,
    code: String,
    error: Option<String>,
}

impl Said {
    fn read(text: &str) -> Self {
        let entry = |name: &str| {
            form_urlencoded::parse(text.as_bytes())
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.into_owned())
        };
        Self {
            state: entry("state").unwrap_or_default(),
            code: entry("code").unwrap_or_default(),
            error: entry("error"),
        }
    }
}

/// Sends the browser on to the app: with a code, or to its page for errors.
pub(in crate::backend) async fn callback(
    State(shared): State<Arc<Shared>>,
    Path(provider_id): Path<String>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let said = Said::read(&text.unwrap_or_default());
    let now = clock::now_millis();
    let mut connection = shared.database.connection().await?;
    let transaction = store::begin(&mut connection).await?;
    let flow = flows::end(&transaction, &said.state, now).await?;
    let (flow, is_over) = flow.ok_or_else(|| {
        ApiError::bad_request("Invalid OAuth cookie. Please try signing in again.")
    })?;
    if flow.has_cookie && !has_cookie(&headers, &flows::cookie_name(&said.state)) {
        return Err(ApiError::bad_request(
            "Inner OAuth cookie not found. This is likely because you refreshed the page during the OAuth sign in process. Please try signing in again",
        ));
    }
    let cookie = flow.has_cookie.then(|| flows::no_cookie(&said.state));
    // By the same connection: who holds one must not wait for another.
    let project = access::project(&transaction, &flow.project_id)
        .await?
        .ok_or_else(|| ApiError::current_project_not_found(&flow.project_id))?;
    let outcome = if is_over {
        Err(errors::outer_timeout())
    } else if flow.provider_id != provider_id {
        Err(errors::provider_not_enabled())
    } else {
        code_for_app(&transaction, &project, &flow, &said, now).await
    };
    match outcome {
        Ok(code) => {
            store::commit(transaction).await?;
            let entries = [("code", code.as_str()), ("state", &flow.app_state)];
            let address = query::with_entries(&flow.redirect_uri, &entries);
            lead_to(&address, cookie.as_deref())
        }
        Err(error) => {
            // What was done for it is undone, and the flow with it is over all the same.
            drop(transaction);
            flows::end(&connection, &said.state, now).await?;
            let page = flow.error_redirect_url.as_deref();
            let page = page.filter(|url| is_address(url) && project.config.is_trusted(url));
            match (page, errors::for_page(&error)) {
                (Some(page), Some((code, message, details))) => {
                    let entries = [
                        ("errorCode", code),
                        ("message", message),
                        ("details", &details),
                    ];
                    lead_to(&query::with_entries(page, &entries), cookie.as_deref())
                }
                _ => Err(error),
            }
        }
    }
}

/// Redeems the provider's code, finds or makes the user, and makes a code for the app.
async fn code_for_app(
    db: &Transaction<'_>,
    project: &Project,
    flow: &Flow,
    said: &Said,
    now: i64,
) -> Result<String, ApiError> {
    // The file may have changed while the person was at the provider.
    let provider = project.config.oauth_provider(&flow.provider_id);
    let is_on = provider.is_some_and(|provider| {
        if flow.is_link {
            provider.allows_connecting
        } else {
            provider.allows_sign_in
        }
    });
    if !is_on {
        return Err(errors::provider_not_enabled());
    }
    if !project.config.is_trusted(&flow.redirect_uri) {
        return Err(ApiError::redirect_url_not_whitelisted());
    }
    if said.error.is_some() {
        return Err(errors::access_denied());
    }
    let (grant, person) = redeem(db, flow, &said.code, now).await?;
    let entry = users::enter(db, project, flow, &person, &grant, now).await?;
    codes::make(db, flow, &entry.user_id, entry.is_new_user, now).await
}

async fn redeem(
    db: &Transaction<'_>,
    flow: &Flow,
    code: &str,
    now: i64,
) -> Result<(Grant, Person), ApiError> {
    let shown = Redemption {
        code,
        client_id: &flow.provider_id,
        redirect_uri: &flow.provider_callback,
        verifier: &flow.provider_verifier,
    };
    let refused = || {
        ApiError::bad_request(
            "The provider does not accept the authorization code. Please try signing in again.",
        )
    };
    let grant = mock_oauth::redeem(db, &shown, now)
        .await?
        .ok_or_else(refused)?;
    let person = mock_oauth::of_access_token(db, &grant.access_token, now)
        .await?
        .ok_or_else(refused)?;
    Ok((grant, person))
}

fn has_cookie(headers: &HeaderMap, name: &str) -> bool {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .any(|(known, value)| known == name && value == "true")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert!(!has_cookie(&headers, "a"));
        headers.append("cookie", HeaderValue::from_static("b=true; a=true;c=false"));
        headers.append("cookie", HeaderValue::from_static("d=true"));
        for (name, is_there) in [
            ("a", true),
            ("b", true),
            ("c", false),
            ("d", true),
            ("e", false),
        ] {
            assert_eq!(has_cookie(&headers, name), is_there, "{name}");
        }
    }
}
