//! Stack Emulator for the desktop: a tray icon and a window over the emulator engine.
//!
//! A thin shell. Everything it does to an emulator is one call of the engine that the command line makes too,
//! and both may act on one instance at the same time.
//!
//! | module | what it is about |
//! |---|---|
//! | [`desk`] | the instance, what is shown of it, what is under way |
//! | [`activity`] | long operations: told as they go, cancelled on demand |
//! | [`live`], [`look`] | the state, published whole, and what keeps it true |
//! | [`wire`], [`bridge`], [`commands`] | what the page sees, and may ask for |
//! | [`launch`], [`quit`] | the beginning and the end |
//! | [`tray`], [`window`], [`appearance`], [`notification`], [`clipboard`], [`sleep`] | the desktop |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod activity;
mod appearance;
mod bridge;
mod clipboard;
mod commands;
mod desk;
mod launch;
mod live;
mod look;
mod notification;
mod quit;
mod sleep;
mod tray;
mod window;
mod wire;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the app with the arguments of its process, the program's name first, until it is quit.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    launch::launch(arguments)
}
