//! Starting QEMU and knowing it again later.
//!
//! The listening sockets are made by us, before QEMU exists, and handed over as descriptors. So
//! there is nothing to poll for: a client can connect at once and simply waits for the greeting,
//! and later programs of ours connect to the same sockets by path. QEMU runs in a process group of
//! its own and outlives us and our terminal's Ctrl-C.

use std::path::Path;

pub(crate) mod bare;
mod keeper;
mod sockets;
mod spawn;

pub use bare::BareError;
pub use host::{IdentityError, ProcessIdentity};
pub use keeper::keep_logs_if_asked;
pub use sockets::{MAX_SOCKET_PATH, Sockets};
pub use spawn::{Running, Spawn, SpawnError};

/// What of our environment QEMU gets: enough to run, and none of the tokens that may be in it.
const INHERITED: [&str; 9] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "XDG_RUNTIME_DIR",
    // Relocated installations need these to find their libraries.
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
];

/// Live processes of ours started by [`Spawn`] with this token, running `executable` where that is
/// given: for finding a QEMU whose starter was killed before it could write down what it had
/// started.
///
/// Give no executable that may be a script around the real program.
///
/// # Errors
///
/// [`IdentityError::List`] if processes cannot be listed.
pub fn find_by_token(
    token: &str,
    executable: Option<&Path>,
) -> Result<Vec<ProcessIdentity>, IdentityError> {
    host::process::find_by_argument(&token_mark(token), executable)
}

/// The same by how the token ends: for a QEMU whose token was lost.
///
/// # Errors
///
/// [`IdentityError::List`] if processes cannot be listed.
pub fn find_by_token_end(end: &str) -> Result<Vec<ProcessIdentity>, IdentityError> {
    host::process::find_by_argument(end, None)
}

/// Whether the process was started with this token.
pub fn carries_token(process: &ProcessIdentity, token: &str) -> bool {
    process.has_argument_ending(&token_mark(token))
}

/// How a token appears at the end of the argument that carries the machine's name.
pub(crate) fn token_mark(token: &str) -> String {
    format!("#{token}")
}

fn inherit_little(command: &mut std::process::Command) {
    command.env_clear();
    command.envs(
        INHERITED
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?))),
    );
}
