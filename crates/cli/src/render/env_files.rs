//! What `credentials --refresh` shows, and what a reset says of `.env` files.

use std::fmt::Write as _;
use std::path::Path;

use emulator::env_files::{RefreshReport, Refreshed, SkipReason, StaleFile};

use super::style::{BAD, CAUTION, GOOD};
use super::text::{paint, printable};
use crate::output::{Detail, Render};

// Writing to a string cannot fail, so the results of `writeln!` are dropped.
impl Render for RefreshReport {
    fn render(&self, _: Detail) -> String {
        let mut text = String::new();
        if self.files.is_empty() {
            text.push_str("No file was written with `credentials --write` or the app.\n");
        }
        for file in &self.files {
            let name = shown(&file.file);
            let _ = match &file.outcome {
                Refreshed::Updated { added, changed } => writeln!(
                    text,
                    "{} {name} ({added} added, {changed} changed)",
                    paint(GOOD, "Updated:")
                ),
                Refreshed::Unchanged => writeln!(text, "{} {name}", paint(GOOD, "Up to date:")),
                Refreshed::Skipped { reason } => writeln!(
                    text,
                    "{} {name}: {}",
                    paint(CAUTION, "Left as it is:"),
                    why(*reason)
                ),
                Refreshed::Failed { error } => {
                    writeln!(
                        text,
                        "{} {name}: {}",
                        paint(BAD, "Failed:"),
                        printable(error)
                    )
                }
            };
        }
        if !self.not_ours.is_empty() {
            text.push_str(
                "Not written by the emulator; use `credentials --write FILE` for each:\n",
            );
            for file in &self.not_ours {
                let _ = writeln!(text, "  {}", shown(file));
            }
        }
        text
    }
}

const fn why(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Gone => "it is no longer there",
        SkipReason::Link => "its path is a link by now",
        SkipReason::OtherContent => "it has other credentials, or none",
        SkipReason::Copied => "another data folder has written it, of which this one is a copy",
        SkipReason::ConfigFileGone => "the config file of its app is no longer there",
    }
}

/// What a question about a reset says of `.env` files.
pub(crate) fn stale(files: &[StaleFile]) -> String {
    let mut text = "Credentials already in .env files stop working".to_owned();
    let list = |refreshable| {
        let mut lines = String::new();
        for file in files.iter().filter(|file| file.refreshable == refreshable) {
            let _ = write!(lines, "\n  {}", shown(&file.path));
        }
        lines
    };
    let (ours, others) = (list(true), list(false));
    if files.is_empty() {
        text.push_str("; write them again after the next start.");
    }
    if !ours.is_empty() {
        let _ = write!(
            text,
            ". After the next start, `stack-emulator credentials --refresh` writes them again in:{ours}"
        );
    }
    if !others.is_empty() {
        let and = if ours.is_empty() { ". " } else { "\n" };
        let _ = write!(
            text,
            "{and}These the emulator has not written; after the next start, use `credentials --write FILE`:{others}"
        );
    }
    text
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use emulator::env_files::RefreshedFile;

    use super::*;
    use crate::render::text::plain;

    #[test]
    fn each_file_has_its_line() {
        let file = |name: &str, outcome| RefreshedFile {
            file: name.into(),
            config_file: "/app/stack.config.ts".into(),
            outcome,
        };
        let report = RefreshReport {
            files: vec![
                file(
                    "/a/.env",
                    Refreshed::Updated {
                        added: 0,
                        changed: 8,
                    },
                ),
                file("/b/.env", Refreshed::Unchanged),
                file(
                    "/c/.env",
                    Refreshed::Skipped {
                        reason: SkipReason::Gone,
                    },
                ),
                file("/d/.env", Refreshed::Failed { error: "no".into() }),
            ],
            not_ours: vec!["/e/.env".into()],
        };
        assert_eq!(
            plain(&report.render(Detail::Brief)),
            "Updated: /a/.env (0 added, 8 changed)\nUp to date: /b/.env\n\
             Left as it is: /c/.env: it is no longer there\nFailed: /d/.env: no\n\
             Not written by the emulator; use `credentials --write FILE` for each:\n  /e/.env\n"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["files"][0]["outcome"], "updated");
        assert_eq!(json["files"][2]["reason"], "gone");
        let none = RefreshReport::default().render(Detail::Brief);
        assert!(none.starts_with("No file"), "{none}");
    }

    #[test]
    fn a_question_says_which_files_are_written_again() {
        let file = |path: &str, refreshable| StaleFile {
            path: path.into(),
            refreshable,
        };
        assert!(stale(&[]).ends_with("write them again after the next start."));
        let text = stale(&[file("/a/.env", true), file("/b/.env", false)]);
        let (ours, others) = text.split_once("These the emulator").unwrap();
        assert!(
            ours.contains("--refresh` writes them again in:\n  /a/.env\n"),
            "{text}"
        );
        assert!(others.ends_with(":\n  /b/.env"), "{text}");
        assert!(!stale(&[file("/b/.env", false)]).contains("--refresh"));
    }
}
