//! The starter stack as it runs in the guest: the real binaries against a real Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod backend;
#[cfg(feature = "browser")]
mod browser;
mod conformance;
mod cron;
mod dashboard;
mod dashboard_sessions;
mod database_trouble;
mod inbox;
mod mails;
mod mock_oauth;
mod oauth;
mod oauth_accounts;
mod rotation;
mod rotation_faults;
mod rotation_kills;
#[cfg(feature = "sdk")]
mod sdk;
mod support;
