//! `doctor`: can this host run the emulator, and if not, what to do.
//!
//! Facts are gathered here, one after the other, from the same functions that
//! a start uses; what they mean is decided by the pure functions of [`checks`].

mod checks;

use std::fmt::Write as _;
use std::path::Path;

use emulator::paths::Home;
use emulator::{Emulator, Error, State, Status};
use qemu::QemuBinary;
use serde::Serialize;

use self::checks::{Check, Verdict};
use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::ProbeWish;
use crate::output::{Detail, Render};
use crate::render::style::{BAD, CAUTION, FAINT, GOOD};
use crate::render::text::{pad, paint, printable, widest};

/// What `doctor` reports.
#[derive(Debug, Serialize)]
struct Examination {
    /// False if a check failed.
    fit: bool,
    checks: Vec<Check>,
}

pub(super) async fn examine(context: &Context<'_>, probe: ProbeWish) -> Result<Exit, Failure> {
    // Nothing is changed but caches, so there is nothing to clean up; the work
    // is dropped so that no probe outlives it.
    let look = Box::pin(async { Ok(look(context.emulator, probe).await) });
    let checks = context.abandonable(look).await?;
    let fit = !checks.iter().any(|check| check.verdict == Verdict::Failed);
    context.output.report(&Examination { fit, checks })?;
    Ok(if fit { Exit::Success } else { Exit::HostUnfit })
}

async fn look(emulator: &Emulator, probe: ProbeWish) -> Vec<Check> {
    let settings = emulator.settings();
    let cache = Home::new(settings.home.clone()).cache();
    let mut found = Vec::new();

    let binary = QemuBinary::find_cached(settings.arch, settings.qemu.as_deref(), &cache).await;
    found.push(checks::qemu(&binary));
    if let Ok(binary) = &binary {
        let force = match probe {
            ProbeWish::Cached => false,
            ProbeWish::Again => true,
        };
        let probed = qemu::accel::probe(binary, &cache, force).await;
        found.push(checks::accelerator(&probed, settings.accelerator));
    }

    let status = emulator.status().await;
    found.push(checks::instance(&status));
    let known = status.as_ref().ok();
    let snapshot_bytes = known
        .and_then(|status| status.snapshot.as_ref())
        .map(|snapshot| snapshot.bytes_on_disk);
    let free = free_bytes(&settings.home);
    found.push(checks::disk(
        &settings.home,
        &free,
        settings.ram_mib,
        snapshot_bytes,
    ));

    let image = emulator.image_path().and_then(|path| open_image(&path));
    found.push(checks::image(&image, settings));
    if image.is_ok() {
        let ours = known.is_some_and(has_machine);
        found.push(checks::ports(&emulator.taken_ports(), ours));
    }
    found.push(checks::secrets(&emulator.examine_secret_places().await));
    if let Ok(Some(place)) = emulator.secret_place()
        && known.is_some_and(has_machine)
    {
        found.extend(checks::secrets_in_force(&place));
    }
    if let (Ok(_), Ok(_), Some(status)) = (&binary, &image, known) {
        let mismatches = emulator.snapshot_mismatches().await;
        found.push(checks::snapshot(status, &mismatches));
    }
    found
}

/// Whether the ports may well be taken by the emulator itself.
const fn has_machine(status: &Status) -> bool {
    match status.state {
        State::Running | State::Starting | State::Paused | State::Stopping | State::Interrupted => {
            true
        }
        State::Stopped | State::Capturing | State::Died => false,
    }
}

fn open_image(path: &Path) -> Result<images::Image, Error> {
    if !path.exists() {
        return Err(Error::NoImage {
            path: path.to_owned(),
        });
    }
    Ok(images::Image::open(path)?)
}

/// The bytes that this user may still write where `folder` is, or will be.
fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let there = folder
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(folder);
    let system = rustix::fs::statvfs(there)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

impl Render for Examination {
    fn render(&self, _: Detail) -> String {
        let title_width = widest(self.checks.iter().map(|check| check.title));
        let word_width =
            widest([Verdict::Ok, Verdict::Warning, Verdict::Failed].map(Verdict::word));
        let mut text = String::new();
        for check in &self.checks {
            let style = match check.verdict {
                Verdict::Ok => GOOD,
                Verdict::Warning => CAUTION,
                Verdict::Failed => BAD,
            };
            let word = paint(style, &pad(check.verdict.word(), word_width));
            let title = pad(check.title, title_width);
            let margin = " ".repeat(word_width + title_width + 6);
            let detail = printable(&check.detail);
            let mut lines = detail.lines();
            let first = lines.next().unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {word}  {title}  {first}");
            for line in lines {
                let _ = writeln!(text, "{margin}{line}");
            }
            if let Some(remedy) = &check.remedy {
                let _ = writeln!(text, "{margin}{} {}", paint(FAINT, "→"), printable(remedy));
            }
        }
        let count = |verdict| {
            self.checks
                .iter()
                .filter(|check| check.verdict == verdict)
                .count()
        };
        let verdict = match (count(Verdict::Failed), count(Verdict::Warning)) {
            (0, 0) => "Everything is as it should be.".to_owned(),
            (0, 1) => "The emulator can run; one thing could be better.".to_owned(),
            (0, warnings) => format!("The emulator can run; {warnings} things could be better."),
            (1, _) => "The emulator cannot run here until the failure is seen to.".to_owned(),
            (failures, _) => {
                format!("The emulator cannot run here until the {failures} failures are seen to.")
            }
        };
        format!("{text}\n{verdict}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::text::plain;

    fn check(verdict: Verdict, remedy: Option<&str>) -> Check {
        Check {
            id: "x",
            title: "QEMU",
            verdict,
            detail: "something".into(),
            remedy: remedy.map(Into::into),
        }
    }

    #[test]
    fn remedies_stand_under_what_they_remedy() {
        let checks = vec![
            check(Verdict::Ok, None),
            check(Verdict::Failed, Some("Do this.")),
        ];
        assert_eq!(
            plain(&Examination { fit: false, checks }.render(Detail::Brief)),
            "  ok       QEMU  something\n  failed   QEMU  something\n                 → Do this.\n\n\
             The emulator cannot run here until the failure is seen to.\n"
        );
    }

    #[test]
    fn what_a_program_said_in_lines_stays_in_its_column() {
        let check = Check {
            detail: "one\ntwo".into(),
            ..check(Verdict::Ok, None)
        };
        let text = plain(
            &Examination {
                fit: true,
                checks: vec![check],
            }
            .render(Detail::Brief),
        );
        assert!(
            text.starts_with("  ok       QEMU  one\n                 two\n\n"),
            "{text}"
        );
    }

    #[test]
    fn free_space_is_found_for_a_folder_that_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(&dir.path().join("not/yet")).unwrap() > 0);
    }
}
