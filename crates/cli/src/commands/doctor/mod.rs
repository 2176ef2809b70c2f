//! `doctor`: checks this host, with a fix for each problem.

mod fix;
mod packages;

use std::fmt::Write as _;

use emulator::examine::{Examination, Verdict};
use serde::{Serialize, Serializer};

pub(crate) use self::fix::FixError;
use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render};
use crate::remedy::words;
use crate::render::style::{BAD, CAUTION, FAINT, GOOD};
use crate::render::text::{pad, paint, printable, widest};

pub(super) async fn run(
    context: &Context<'_>,
    probe_again: bool,
    fix: bool,
) -> Result<Exit, Failure> {
    if fix {
        return fix::run(context, probe_again).await;
    }
    let findings = Findings(look(context, probe_again).await?);
    context.output.report(&findings)?;
    Ok(findings.exit())
}

async fn look(context: &Context<'_>, probe_again: bool) -> Result<Examination, Failure> {
    // Nothing is changed but caches, so there is nothing to clean up; the work
    // is dropped so that no probe outlives it.
    let look = Box::pin(async { Ok(context.emulator.examine(probe_again).await) });
    context.abandonable(look).await
}

/// What was found, with the remedies in words, for people and programs alike.
struct Findings(Examination);

impl Findings {
    const fn exit(&self) -> Exit {
        if self.0.fit {
            Exit::Success
        } else {
            Exit::HostUnfit
        }
    }
}

impl Serialize for Findings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            fit: bool,
            checks: Vec<ToldCheck<'a>>,
        }
        #[derive(Serialize)]
        struct ToldCheck<'a> {
            id: &'a str,
            title: &'a str,
            verdict: Verdict,
            detail: &'a str,
            evidence: Option<&'a str>,
            remedy: Option<String>,
        }
        let checks = self.0.checks.iter().map(|check| ToldCheck {
            id: check.id,
            title: check.title,
            verdict: check.verdict,
            detail: &check.detail,
            evidence: check.evidence.as_deref(),
            remedy: check.remedy.as_ref().map(words),
        });
        let told = Told {
            fit: self.0.fit,
            checks: checks.collect(),
        };
        told.serialize(serializer)
    }
}

impl Render for Findings {
    fn render(&self, detail: Detail) -> String {
        let title_width = widest(self.0.checks.iter().map(|check| check.title));
        let word_width =
            widest([Verdict::Ok, Verdict::Warning, Verdict::Failed].map(Verdict::word));
        let mut text = String::new();
        for check in &self.0.checks {
            let style = match check.verdict {
                Verdict::Ok => GOOD,
                Verdict::Warning => CAUTION,
                Verdict::Failed => BAD,
            };
            let word = paint(style, &pad(check.verdict.word(), word_width));
            let title = pad(check.title, title_width);
            let margin = " ".repeat(word_width + title_width + 6);
            let found = match (&check.evidence, detail) {
                (Some(evidence), Detail::Full) => format!("{}\n{evidence}", check.detail),
                (Some(_), Detail::Brief) | (None, _) => check.detail.clone(),
            };
            let found = printable(&found);
            let mut lines = found.lines();
            let first = lines.next().unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {word}  {title}  {first}");
            for line in lines {
                let _ = writeln!(text, "{margin}{line}");
            }
            if let Some(remedy) = check.remedy.as_ref().map(words) {
                let _ = writeln!(text, "{margin}{} {}", paint(FAINT, "→"), printable(&remedy));
            }
        }
        let count = |verdict| {
            self.0
                .checks
                .iter()
                .filter(|check| check.verdict == verdict)
                .count()
        };
        let verdict = match (count(Verdict::Failed), count(Verdict::Warning)) {
            (0, 0) => "All checks passed.".to_owned(),
            (0, 1) => "The emulator can run. 1 warning.".to_owned(),
            (0, warnings) => format!("The emulator can run. {warnings} warnings."),
            (1, _) => "1 check failed.".to_owned(),
            (failures, _) => format!("{failures} checks failed."),
        };
        format!("{text}\n{verdict}\n")
    }
}

#[cfg(test)]
mod tests {
    use emulator::Remedy;
    use emulator::examine::Check;

    use super::*;
    use crate::render::text::plain;

    fn check(verdict: Verdict, remedy: Option<Remedy>) -> Check {
        Check {
            id: "x",
            title: "QEMU",
            verdict,
            detail: "something".into(),
            evidence: None,
            remedy,
        }
    }

    #[test]
    fn remedies_stand_under_what_they_remedy() {
        let checks = vec![
            check(Verdict::Ok, None),
            check(Verdict::Failed, Some(Remedy::Retry)),
        ];
        assert_eq!(
            plain(&Findings(Examination { fit: false, checks }).render(Detail::Brief)),
            "  ok       QEMU  something\n  failed   QEMU  something\n                 → Try again.\n\n\
             1 check failed.\n"
        );
    }

    #[test]
    fn what_a_program_said_in_lines_stays_in_its_column() {
        let check = Check {
            detail: "one\ntwo".into(),
            evidence: Some("three".into()),
            ..check(Verdict::Ok, None)
        };
        let examination = Findings(Examination {
            fit: true,
            checks: vec![check],
        });
        let text = |detail| plain(&examination.render(detail));
        let brief = "  ok       QEMU  one\n                 two\n";
        assert_eq!(
            text(Detail::Brief),
            format!("{brief}\nAll checks passed.\n")
        );
        assert_eq!(
            text(Detail::Full),
            format!("{brief}                 three\n\nAll checks passed.\n")
        );
    }
}
