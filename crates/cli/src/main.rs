//! `stack-emulator`: the emulator engine at a terminal and in CI.
//!
//! A shell over the engine: it reads arguments, calls, and presents. What an
//! operation does is the `emulator` crate's business.
//!
//! | module | what it is about |
//! |---|---|
//! | [`arguments`], [`invocation`] | the command line, and one run by it |
//! | [`commands`] | one function a command: call the engine, hand over its report |
//! | [`render`] | reports for people; their JSON is the engine's own |
//! | [`output`], [`progress`] | the only writers to standard output and standard error |
//! | [`interrupt`] | Ctrl-C and SIGTERM leave no virtual machine behind |
//! | [`failure`], [`exit`] | every error's code, remedy and exit code |
//! | [`mod@panic`] | threads that the system does not allow are an error like others |
//! | [`manual`] | what `--help` and the manual page say of variables and exit codes |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod arguments;
mod commands;
mod exit;
mod failure;
mod interrupt;
mod invocation;
mod manual;
mod output;
mod panic;
mod progress;
mod remedy;
mod render;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(kept) = emulator::keep_logs_if_asked(std::env::args_os()) {
        return kept;
    }
    let invocation = match invocation::read(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(refused) => return refused.print().into(),
    };
    let output = invocation.output();
    panic::tell_of_threads(output);
    match commands::run(invocation, output) {
        Ok(exit) => exit.into(),
        Err(failure) => output.fail(&failure).into(),
    }
}
