//! A mock OAuth provider on `<P>14`: it stands in for Google, GitHub and all others, and asks whom to be.
//!
//! It is an authorization server as the standards have it (RFC 6749, 7636, 8414) with the authorization code
//! grant alone, PKCE always, for one client: the backend of this emulator. Codes go nowhere but to the
//! backend's own callback on this machine. There are no passwords: whoever uses this browser is whoever they
//! say they are, and can say no.
//!
//! | path | what it is |
//! |---|---|
//! | `/authorize` | the page that asks, and where its form goes |
//! | `/token` | codes and refresh tokens for access tokens |
//! | `/userinfo` | whom an access token is for |
//! | `/.well-known/oauth-authorization-server` | the addresses of the others |
//!
//! What it grants is in the database, of codes and tokens the digests. All of them come from the kernel when
//! they are made, and none is kept in memory.

mod answers;
mod grants;
mod guard;
mod page;
mod people;
mod request;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

pub use self::request::{AuthorizationRequest, Refusal};
pub(crate) use self::{
    grants::{Grant, Redemption, prune, redeem, refresh},
    people::{Person, of_access_token},
    request::{Callback, is_client_id},
};
use crate::{
    backend::database::Database,
    settings::{MovedPorts, Ports, Settings},
};

/// Largest request body in bytes.
const MAX_BODY: usize = 16 * 1024;

/// The name of the service, as the host has it.
const SERVICE: &str = "mock-oauth";

/// Where browsers find the backend and this provider. Asked for each answer: a machine that is resumed can
/// have been given other ports.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    ports: Ports,
    moved_ports: MovedPorts,
}

impl Places {
    /// Those of the settings.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            ports: settings.ports,
            moved_ports: settings.moved_ports.clone(),
        }
    }

    /// The backend's port on the host.
    pub(crate) fn backend_port(&self) -> u16 {
        let moved = self.moved_ports.of("backend");
        moved.unwrap_or(self.ports.backend_on_host)
    }

    /// This provider's port on the host.
    pub(crate) fn own_port(&self) -> u16 {
        let moved = self.moved_ports.of(SERVICE);
        moved.unwrap_or(self.ports.mock_oauth_on_host)
    }
}

/// What the handlers share.
#[derive(Debug)]
struct Provider {
    database: Database,
    places: Places,
}

/// Answers on the provider's port.
pub(crate) fn router(settings: &Settings, database: Database) -> Router {
    let places = Places::new(settings);
    Router::new()
        .route("/", get(answers::about))
        .route("/style.css", get(answers::style))
        .route(
            "/.well-known/oauth-authorization-server",
            get(answers::discovery),
        )
        .route("/authorize", get(answers::ask).post(answers::decide))
        .route("/token", post(answers::token))
        .route("/userinfo", get(answers::userinfo))
        .fallback(answers::nowhere)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(guard::guard))
        .with_state(Arc::new(Provider { database, places }))
}
