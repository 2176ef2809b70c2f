//! Stack Emulator for the desktop: a tray icon and a window over the emulator engine.
//!
//! A thin shell. Everything it does to an emulator is one call of the engine that the command line makes too,
//! and both may act on one instance at the same time.
//!
//! Each row may use those below it, and none above:
//!
//! | module | what it is about |
//! |---|---|
//! | [`launch`] | from the process's arguments to a running app |
//! | [`bridge`], [`commands`], [`tray`] | what the page and the tray may ask for |
//! | [`quit`] | the end |
//! | [`operations`], [`dashboard`], [`refresh`], [`updates`] | what they do, and what keeps the published state current |
//! | [`settings`], [`sleep`], [`appearance`], [`notification`] | the settings in force, and the desktop |
//! | [`window`] | the only window |
//! | [`browser`] | what opens addresses |
//! | [`app_state`] | the instance, what is shown of it, what is under way |
//! | [`published`], [`activity`], [`followers`], [`clipboard`] | the parts of that |
//! | [`environment`] | what is in it for this program alone |
//! | [`updater`] | a newer release in the app's place |
//! | [`wire`] | what the page sees |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod activity;
mod app_state;
mod appearance;
mod bridge;
mod browser;
mod clipboard;
mod commands;
mod dashboard;
mod environment;
mod followers;
mod launch;
mod notification;
mod operations;
mod published;
mod quit;
mod refresh;
mod settings;
mod sleep;
mod tray;
mod updater;
mod updates;
mod window;
mod wire;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the app with the arguments of its process, the program's name first, until it is quit.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    launch::launch(arguments)
}
