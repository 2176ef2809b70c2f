//! Starting QEMU and knowing it again later.
//!
//! The listening sockets are made by us, before QEMU exists, and handed over as descriptors. So
//! there is nothing to poll for: a client can connect at once and simply waits for the greeting,
//! and later programs of ours connect to the same sockets by path. QEMU runs in a process group of
//! its own and outlives us and our terminal's Ctrl-C.

pub(crate) mod bare;
mod identity;
mod sockets;
mod spawn;

pub use bare::BareError;
pub use identity::{IdentityError, ProcessIdentity, find_by_token};
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

fn inherit_little(command: &mut std::process::Command) {
    command.env_clear();
    command.envs(
        INHERITED
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?))),
    );
}
