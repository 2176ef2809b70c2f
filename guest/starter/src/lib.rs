//! The starter stack that runs inside the guest image: a small but real stand-in for the Stack Auth
//! backend, with the same doors (ports, paths, table, secrets) as a published image.
//!
//! | binary | what it does |
//! |---|---|
//! | `stack-backend` | answers the API on `<P>02`, applies rotations over its control socket, shows the mails on 9001, and is a mock OAuth provider on `<P>14` |
//! | `stack-dashboard` | serves the built dashboard on `<P>01` |
//! | `stack-cron` | calls the cron endpoints with the secret of the moment |
//! | `stack-resident` | sets the clock and rotates when the host asks on its port |
//! | `trigger-fast-rotate` | replaces the four secrets, or changes nothing |
//!
//! Two rules hold everywhere in here. **All randomness comes from the kernel at the moment of use**
//! ([`random`]): one snapshot is resumed many times, and a generator seeded in user space would
//! repeat itself in every copy. **No process keeps a rotated secret in memory**: keys are looked up
//! in the database each time they are needed, so nothing has to be restarted when they change.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod backend;
pub mod control;
pub mod cron;
pub mod dashboard;
pub mod env_file;
pub mod inbox;
pub mod key;
mod loopback;
pub mod mock_oauth;
pub mod notify;
pub mod pkce;
pub mod query;
pub mod random;
pub mod report;
pub mod resident;
pub mod rotation;
pub mod secrets;
pub mod server;
pub mod settings;
pub mod stack_config;
