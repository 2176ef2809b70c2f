//! `trigger-fast-rotate`: replaces the four secrets of the stack, or changes nothing.
//!
//! Reads four `NAME=value` lines from standard input. With `--recover` it reads nothing and makes the
//! files follow the database, after a rotation that was cut short.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | all four are in force |
//! | 2 | the input or the arguments are wrong; nothing was touched |
//! | 3 | a step failed; the old values are in force everywhere |
//! | 4 | the new values may be in force; the message says more |

use std::{error::Error, process::ExitCode};

use starter::{report, rotation, settings::Settings};

fn main() -> ExitCode {
    let settings = Settings::paths_only();
    let mut arguments = std::env::args_os().skip(1);
    let result = match (arguments.next(), arguments.next()) {
        (None, _) => match rotation::read_input(std::io::stdin().lock()) {
            Ok(new) => rotation::rotate(&settings, &new),
            Err(error) => return fail(&error, 2),
        },
        (Some(argument), None) if argument == "--recover" => rotation::recover(&settings),
        _ => {
            eprintln!("usage: trigger-fast-rotate [--recover]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

fn fail(error: &(dyn Error + 'static), code: u8) -> ExitCode {
    eprintln!("trigger-fast-rotate: {}", report::chain(error));
    ExitCode::from(code)
}
