//! Errors on standard error, whole chain on one line, as journals and operators like them.

use std::{error::Error, process::ExitCode};

/// An error and all its causes, joined by colons.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += ": ";
        text += &cause.to_string();
        source = cause.source();
    }
    text
}

/// Writes an error to the journal. Error types here hold no secret, so neither does the line.
pub fn log(what: &str, error: &(dyn Error + 'static)) {
    // `<3>` is syslog's priority "error", which journald understands.
    eprintln!("<3>{what}: {}", chain(error));
}

/// Says why a program cannot go on.
pub fn fatal(program: &str, error: &(dyn Error + 'static)) -> ExitCode {
    eprintln!("<3>{program}: {}", chain(error));
    ExitCode::FAILURE
}
