//! Standard output and standard error: results as text or as one JSON object,
//! and errors in the same form.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::exit::Exit;
use crate::failure::{Failure, causes};
use crate::render::style::{self, Style};
use crate::render::text::printable;

/// The form of results on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text for people.
    Human,
    /// One JSON object.
    Json,
}

/// How much a report for people contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The result.
    Brief,
    /// The result, and how the emulator got there.
    Full,
}

/// Where results and errors go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub format: Format,
    pub detail: Detail,
}

/// A report that people can read. Its lines may hold styles; those are left
/// out where they are not wanted.
pub(crate) trait Render {
    /// The report as text that ends with a newline.
    fn render(&self, detail: Detail) -> String;
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: ErrorBody<'a>,
}

/// An error in a report on several things, with the same fields.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorReport {
    /// Stable.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// The error that programs get, whatever failed.
#[derive(Serialize)]
struct ErrorBody<'a> {
    /// Stable.
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

impl Output {
    pub(crate) const fn new(format: Format, verbose: bool) -> Self {
        let detail = if verbose { Detail::Full } else { Detail::Brief };
        Self { format, detail }
    }

    /// Writes a result.
    pub(crate) fn report<R: Render + Serialize>(self, report: &R) -> Result<(), Failure> {
        match self.format {
            Format::Human => print(&report.render(self.detail))?,
            Format::Json => print(&json_line(report).map_err(Failure::Encode)?)?,
        };
        Ok(())
    }

    /// Tells people of an error of one of several things; programs get it with the report.
    pub(crate) fn report_error(self, subject: &str, failure: &Failure) -> ErrorReport {
        let hint = failure.hint();
        if self.format == Format::Human {
            let mut told = causes(failure);
            if let Some(what) = told.first_mut() {
                *what = format!("{subject}: {what}");
            }
            complain(&told, hint.as_deref());
        }
        ErrorReport {
            code: failure.code().as_str(),
            message: emulator::chain(failure),
            hint,
        }
    }

    /// Writes an error and returns what the program ends with.
    pub(crate) fn fail(self, failure: &Failure) -> Exit {
        let hint = failure.hint();
        match self.format {
            Format::Human => complain(&causes(failure), hint.as_deref()),
            Format::Json => print_error(
                failure.code().as_str(),
                &emulator::chain(failure),
                hint.as_deref(),
            ),
        }
        failure.exit()
    }
}

/// Whether anybody reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Present,
    /// The reader has seen enough, as in `… | head`.
    Gone,
}

/// Writes to standard output, styled as far as it wants styles.
///
/// Whatever a report quotes, nothing but our own styles reaches a terminal:
/// that holds here and in [`tell`], not in each report.
pub(crate) fn print(text: &str) -> Result<Audience, Failure> {
    let text = printable::styled(text);
    let mut stdout = anstream::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(Audience::Present),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Audience::Gone),
        Err(error) => Err(Failure::Print(error)),
    }
}

/// Writes an error of the command line itself, as JSON.
pub(crate) fn print_usage_error(error: &clap::Error) {
    let text = error.to_string();
    // clap's text is for people: `error: …`, then usage and a pointer to help.
    let first = text.lines().next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    print_error("usage", message, Some("See `stack-emulator --help`."));
}

fn print_error(code: &str, message: &str, hint: Option<&str>) {
    let document = ErrorDocument {
        error: ErrorBody {
            code,
            message,
            hint,
        },
    };
    // The exit code says it as well, should standard output be gone.
    if let Ok(line) = json_line(&document) {
        drop(print(&line));
    }
}

/// `value` and a newline. What a terminal must not get is escaped, which to
/// a program is the same text.
fn json_line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    let mut line = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if printable::is_harmless(c) {
            line.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line.push('\n');
    Ok(line)
}

/// Writes to standard error what failed, why, and what to do.
fn complain(told: &[String], hint: Option<&str>) {
    let mut text = String::new();
    let mut entry = |style: Style, label: &str, said: &str| {
        // Causes may quote QEMU or the guest, who could send anything.
        let said = printable(said);
        let mut lines = said.lines();
        let first = lines.next().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{style}{label}:{style:#} {first}");
        for line in lines {
            let _ = writeln!(text, "{:indent$}{line}", "", indent = label.len() + 2);
        }
    };
    let mut told = told.iter();
    if let Some(what) = told.next() {
        entry(style::BAD, "error", what);
    }
    for cause in told {
        entry(style::FAINT, "cause", cause);
    }
    if let Some(hint) = hint {
        entry(style::GOOD, "hint", hint);
    }
    tell(&text);
}

/// Writes a line or more to standard error. There is nowhere to complain if
/// standard error is gone.
pub(crate) fn tell(text: &str) {
    let text = printable::styled(text);
    drop(anstream::stderr().lock().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_three_fields_and_one_line() {
        let body = ErrorBody {
            code: "busy",
            message: "a\nb",
            hint: None,
        };
        let line = json_line(&ErrorDocument { error: body }).unwrap();
        assert_eq!(
            line,
            "{\"error\":{\"code\":\"busy\",\"message\":\"a\\nb\",\"hint\":null}}\n"
        );
    }

    #[test]
    fn json_steers_no_terminal_and_is_the_same_text() {
        let text = "a\u{9b}31m\u{202e}b\u{e0041}\u{1b}[2J é👩";
        let line = json_line(&text).unwrap();
        assert_eq!(
            line,
            "\"a\\u009b31m\\u202eb\\udb40\\udc41\\u001b[2J é👩\"\n"
        );
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
