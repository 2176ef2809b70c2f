//! QMP, the QEMU Machine Protocol, over one Unix socket.
//!
//! The command and answer types come from `qapi-qmp`; the transport is our own, because a client
//! that outlives QEMU versions and user patience needs these properties:
//!
//! - an event or field it has never heard of is passed through or ignored, never fatal;
//! - answers are matched to commands by id, so a command that timed out or whose future was
//!   dropped leaves nothing behind that could be taken for the next answer;
//! - requests are written by one task, so a dropped future never leaves half a request on the wire;
//! - the length of a line is bounded.
//!
//! This module depends on nothing else in the crate but the version number's type.

mod connection;
mod error;
pub mod framer;
mod message;

pub use connection::{EventStream, Qmp};
pub use error::{Disconnect, QmpError};
pub use message::{Event, Greeting};

/// Longest line accepted from QEMU, in bytes.
///
/// The longest answer of QEMU 10.0 is that of `query-qmp-schema`, some 250 KiB.
pub const MAX_LINE: usize = 4 * 1024 * 1024;
