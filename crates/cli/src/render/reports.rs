//! What the operations report: start, stop, capture, verify, archive, restore.

use std::fmt::Write as _;

use emulator::archive::{ArchiveReport, RestoreReport};
use emulator::instances::ServicePort;
use emulator::{
    AheadReport, CaptureReport, Health, IdleReport, OtherListener, RotateReport, ServiceStatus,
    SessionFate, StartKind, StartReport, StopReport, VerifyReport,
};
use progress::PhaseTime;

use super::phases::chart;
use super::style::{ADDRESS, BAD, CAUTION, GOOD, STRONG};
use super::text::{pad, paint, printable, widest};
use crate::output::{Detail, Render};
use emulator::quantity::{bytes, seconds};

/// How a start came about, as the end of a sentence.
pub(crate) const fn manner(kind: StartKind) -> &'static str {
    match kind {
        StartKind::Resumed => "resumed from the snapshot",
        StartKind::Continued => "continued from the saved session",
        StartKind::Cold => "booted cold",
        StartKind::Restored => "restored from a checkpoint",
    }
}

/// One line a service, aligned; health is told where it is worth telling.
pub(crate) fn services(services: &[ServiceStatus], detail: Detail) -> Vec<String> {
    let names: Vec<String> = services
        .iter()
        .map(|service| printable(&service.name))
        .collect();
    let name_width = widest(names.iter().map(String::as_str));
    let url_width = widest(services.iter().map(|service| service.url.as_str()));
    let line = |(service, name): (&ServiceStatus, &String)| {
        let health = match (service.health, detail) {
            (Health::Healthy, Detail::Brief) | (Health::Unchecked, _) => String::new(),
            (Health::Healthy, Detail::Full) => format!("  {}", paint(GOOD, "healthy")),
            (Health::Failing, _) => format!("  {}", paint(BAD, "unhealthy")),
        };
        let url = if health.is_empty() {
            service.url.clone()
        } else {
            pad(&service.url, url_width)
        };
        format!(
            "{}  {}{health}",
            pad(name, name_width),
            paint(ADDRESS, &url)
        )
    };
    services.iter().zip(&names).map(line).collect()
}

/// Where links of a guest lead that was told other ports: those of the instance that it was cloned from, or those that
/// were taken since; `None` where that is no other place.
pub(crate) fn told_ports_note(told: &[ServicePort]) -> Option<String> {
    let ports = told.iter();
    let ports: Vec<_> = ports
        .map(|told| format!("{} {}", printable(&told.service), told.port))
        .collect();
    (!ports.is_empty()).then(|| {
        format!(
            "{} those that the emulator itself makes, such as in mails, still lead to other ports: {}.",
            paint(CAUTION, "Links:"),
            ports.join(", ")
        )
    })
}

/// Where `localhost` leads to other programs.
fn localhost_notes(others: &[OtherListener]) -> impl Iterator<Item = String> {
    others.iter().map(|other| {
        format!(
            "{} {}; use http://127.0.0.1:{}.",
            paint(CAUTION, "warning:"),
            printable(&other.to_string()),
            other.port
        )
    })
}

/// The warning about secrets that are public.
pub(crate) fn placeholder_note() -> String {
    format!(
        "{} the image's placeholder secrets are in use, which are public.",
        paint(CAUTION, "Not rotated:")
    )
}

fn with_phases(text: &mut String, phases: &[PhaseTime], detail: Detail) {
    if detail == Detail::Full && !phases.is_empty() {
        text.push('\n');
        text.push_str(&chart(phases));
    }
}

// Writing to a string cannot fail, so the results of `writeln!` are dropped.
impl Render for StartReport<String> {
    fn render(&self, detail: Detail) -> String {
        let mut text = String::new();
        let state = if self.already_running {
            "Already running"
        } else {
            "Running"
        };
        let ahead = match (self.start.standby, self.start.prepared) {
            (true, _) => ", from standby,",
            (false, true) => ", prepared ahead,",
            (false, false) => "",
        };
        let how = format!(
            "{}{ahead} in {} ({})",
            manner(self.start.kind),
            seconds(self.start.total_ms),
            printable(&self.accelerator)
        );
        let _ = writeln!(text, "{}, {how}.", paint(GOOD, state));
        if let Some(reason) = &self.start.fallback_reason {
            let _ = writeln!(text, "{}", sentence("Reason: ", reason));
        }
        if let Some(remedy) = &self.start.remedy {
            let _ = writeln!(text, "{}", printable(remedy));
        }
        if !self.start.rotated {
            let _ = writeln!(text, "{}", placeholder_note());
        }
        if let Some(note) = told_ports_note(&self.told_ports) {
            let _ = writeln!(text, "{note}");
        }
        for note in localhost_notes(&self.localhost) {
            let _ = writeln!(text, "{note}");
        }
        text.push('\n');
        for line in services(&self.services, detail) {
            let _ = writeln!(text, "  {line}");
        }
        with_phases(&mut text, &self.start.phases, detail);
        text
    }
}

impl Render for StopReport {
    fn render(&self, detail: Detail) -> String {
        let mut text = String::new();
        let state = if self.already_stopped {
            paint(STRONG, "Already stopped")
        } else {
            format!("{} in {}", paint(STRONG, "Stopped"), seconds(self.total_ms))
        };
        let fate = match self.session {
            None => "",
            Some(SessionFate::Saved) => "; the next start continues this session",
            Some(SessionFate::Saving) => {
                "; the session is being saved in the background, and the next start continues it"
            }
            Some(SessionFate::DiskKept) => {
                "; the session's disk is kept, and the next start boots from it"
            }
            Some(SessionFate::Discarded) => "; the session was discarded",
        };
        let _ = writeln!(text, "{state}{fate}.");
        if let Some(reason) = &self.reason {
            let _ = writeln!(
                text,
                "{}",
                sentence("The session's memory could not be saved: ", reason)
            );
        }
        with_phases(&mut text, &self.phases, detail);
        text
    }
}

impl Render for AheadReport {
    fn render(&self, detail: Detail) -> String {
        let mut text = match &self.reason {
            None => format!(
                "The next start is prepared, in {}.\n",
                seconds(self.total_ms)
            ),
            Some(reason) => {
                let line = sentence("The next start is not prepared: ", reason);
                format!("{line}\n")
            }
        };
        with_phases(&mut text, &self.phases, detail);
        text
    }
}

impl Render for IdleReport {
    fn render(&self, detail: Detail) -> String {
        match (&self.stop, self.reason) {
            (Some(stop), _) => format!("Nothing used the emulator. {}", stop.render(detail)),
            (None, reason) => format!("Not watched any more: {}.\n", reason.unwrap_or("no reason")),
        }
    }
}

impl Render for RotateReport {
    fn render(&self, detail: Detail) -> String {
        let mut text = format!(
            "{} in {}; the new secrets are in {}.\n",
            paint(STRONG, "Rotated"),
            seconds(self.total_ms),
            self.store.describe()
        );
        with_phases(&mut text, &self.phases, detail);
        text
    }
}

impl Render for CaptureReport {
    fn render(&self, detail: Detail) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} in {}: {} on disk, after a cold boot of {}.",
            paint(GOOD, "Snapshot taken"),
            seconds(self.total_ms),
            bytes(self.snapshot.bytes_on_disk),
            seconds(self.snapshot.cold_boot_ms),
        );
        if detail == Detail::Full {
            let _ = writeln!(
                text,
                "Snapshot {}, committed {} after the virtual machine was stopped.",
                self.snapshot.id,
                seconds(self.stop_to_committed_ms)
            );
        }
        with_phases(&mut text, &self.phases, detail);
        text
    }
}

impl Render for VerifyReport {
    fn render(&self, _: Detail) -> String {
        let mut parts = vec!["the snapshot".to_owned()];
        if self.session {
            parts.push("the saved session".to_owned());
        }
        match self.checkpoints.len() {
            0 => {}
            1 => parts.push("the checkpoint".to_owned()),
            many => parts.push(format!("{many} checkpoints")),
        }
        let last = parts.pop().unwrap_or_default();
        let what = if parts.is_empty() {
            format!("{last} is")
        } else {
            format!("{} and {last} are", parts.join(", "))
        };
        let what = format!("T{}", &what[1..]);
        let intact = paint(GOOD, "intact");
        format!(
            "{what} {intact} (every byte checked in {}).\n",
            seconds(self.total_ms)
        )
    }
}

impl Render for ArchiveReport {
    fn render(&self, _: Detail) -> String {
        format!(
            "{} in {}: {} ({}, compressed to {}).\n",
            paint(GOOD, "Archive written"),
            seconds(self.total_ms),
            printable(&self.path.display().to_string()),
            bytes(self.data_bytes),
            bytes(self.archive_bytes)
        )
    }
}

impl Render for RestoreReport {
    fn render(&self, _: Detail) -> String {
        format!(
            "{} in {} ({}). The next start without a saved session resumes the snapshot.\n",
            paint(GOOD, "Snapshot restored"),
            seconds(self.total_ms),
            bytes(self.data_bytes)
        )
    }
}

/// A reason from the engine as a sentence of its own.
fn sentence(opening: &str, reason: &str) -> String {
    let reason = printable(reason);
    let reason = reason.trim_end_matches('.');
    format!("{opening}{reason}.")
}

#[cfg(test)]
mod tests {
    use emulator::{SnapshotInfo, StartDetails};

    use super::super::text::plain;
    use super::*;

    fn service(name: &str, port: u16, healthy: bool) -> ServiceStatus {
        ServiceStatus {
            id: name.to_lowercase(),
            name: name.into(),
            url: format!("http://127.0.0.1:{port}"),
            healthy,
            health: if healthy {
                Health::Healthy
            } else {
                Health::Failing
            },
            answer_ms: None,
            browsable: true,
        }
    }

    fn started(kind: StartKind, reason: Option<&str>) -> StartReport<String> {
        StartReport {
            state: "running",
            already_running: false,
            start: StartDetails {
                kind,
                fallback_reason: reason.map(Into::into),
                remedy: None,
                clock_off_ms: None,
                total_ms: 712.4,
                phases: vec![PhaseTime {
                    name: "qemu".into(),
                    ms: 41.0,
                }],
                rotated: true,
                prepared: false,
                standby: false,
                secrets_kept: false,
            },
            services: vec![
                service("Dashboard", 26700, true),
                service("Backend", 26701, true),
            ],
            told_ports: vec![],
            localhost: vec![],
            accelerator: "tcg".into(),
            snapshot: None,
        }
    }

    fn stopped(session: Option<SessionFate>) -> StopReport {
        StopReport {
            state: "stopped",
            already_stopped: false,
            session,
            reason: None,
            total_ms: 1840.0,
            phases: vec![],
        }
    }

    #[test]
    fn a_start_is_a_line_and_the_addresses() {
        assert_eq!(
            plain(&started(StartKind::Resumed, None).render(Detail::Brief)),
            "Running, resumed from the snapshot in 0.71 s (tcg).\n\n  \
             Dashboard  http://127.0.0.1:26700\n  Backend    http://127.0.0.1:26701\n"
        );
    }

    #[test]
    fn detail_adds_health_and_phases() {
        let text = plain(&started(StartKind::Resumed, None).render(Detail::Full));
        assert!(text.contains("http://127.0.0.1:26700  healthy\n"), "{text}");
        assert!(text.contains("  qemu  0.04 s  █"), "{text}");
    }

    #[test]
    fn a_fallback_says_why() {
        let report = started(
            StartKind::Cold,
            Some("the snapshot cannot be used: ram.raw is short."),
        );
        let text = plain(&report.render(Detail::Brief));
        assert!(
            text.starts_with("Running, booted cold in 0.71 s (tcg).\n"),
            "{text}"
        );
        assert!(
            text.contains("Reason: the snapshot cannot be used: ram.raw is short.\n"),
            "{text}"
        );
        let mut report = report;
        report.start.remedy = Some("`stack-emulator capture` takes a new one.".into());
        let text = plain(&report.render(Detail::Brief));
        assert!(
            text.contains("is short.\n`stack-emulator capture` takes a new one.\n\n"),
            "{text}"
        );
    }

    #[test]
    fn placeholder_secrets_are_never_passed_over() {
        let mut report = started(StartKind::Resumed, None);
        report.start.rotated = false;
        report.already_running = true;
        let text = plain(&report.render(Detail::Brief));
        assert!(
            text.starts_with("Already running,") && text.contains("placeholder secrets"),
            "{text}"
        );
    }

    #[test]
    fn a_clone_says_where_its_links_lead() {
        let mut report = started(StartKind::Resumed, None);
        report.told_ports = vec![ServicePort {
            service: "backend".into(),
            port: 26701,
        }];
        let text = plain(&report.render(Detail::Brief));
        let note = "Links: those that the emulator itself makes, such as in mails, still lead to other ports: backend 26701.\n\n";
        assert!(text.contains(note), "{text}");
    }

    #[test]
    fn a_service_that_is_unhealthy_is_pointed_out() {
        let lines = services(
            &[service("A", 1, true), service("Long", 26701, false)],
            Detail::Brief,
        );
        assert_eq!(plain(&lines[0]), "A     http://127.0.0.1:1");
        assert_eq!(plain(&lines[1]), "Long  http://127.0.0.1:26701  unhealthy");
    }

    #[test]
    fn a_stop_says_what_became_of_the_session() {
        let text = |session| plain(&stopped(session).render(Detail::Brief));
        assert_eq!(text(None), "Stopped in 1.84 s.\n");
        assert_eq!(
            text(Some(SessionFate::Saved)),
            "Stopped in 1.84 s; the next start continues this session.\n"
        );
        assert_eq!(
            text(Some(SessionFate::Discarded)),
            "Stopped in 1.84 s; the session was discarded.\n"
        );
        let kept = StopReport {
            reason: Some("disk full".into()),
            ..stopped(Some(SessionFate::DiskKept))
        };
        assert!(
            plain(&kept.render(Detail::Brief))
                .ends_with("The session's memory could not be saved: disk full.\n")
        );
        let already = StopReport {
            already_stopped: true,
            ..stopped(None)
        };
        assert_eq!(plain(&already.render(Detail::Brief)), "Already stopped.\n");
    }

    #[test]
    fn captures_archives_and_verifications_are_one_line_each() {
        let snapshot = SnapshotInfo {
            id: "0123456789abcdef".into(),
            captured_at_ms: 0,
            cold_boot_ms: 18_400.0,
            bytes_on_disk: 1_210_000_000,
        };
        let capture = CaptureReport {
            snapshot,
            total_ms: 34_210.0,
            stop_to_committed_ms: 420.0,
            phases: vec![],
        };
        assert_eq!(
            plain(&capture.render(Detail::Brief)),
            "Snapshot taken in 34.2 s: 1.21 GB on disk, after a cold boot of 18.4 s.\n"
        );
        assert!(plain(&capture.render(Detail::Full)).contains("committed 0.42 s after"));
        let archived = ArchiveReport {
            path: "/a.savevm.zst".into(),
            snapshot: "0123456789abcdef".into(),
            data_bytes: 402_000_000,
            archive_bytes: 98_300_000,
            total_ms: 1312.0,
        };
        assert_eq!(
            plain(&archived.render(Detail::Brief)),
            "Archive written in 1.31 s: /a.savevm.zst (402 MB, compressed to 98.3 MB).\n"
        );
        let verified = VerifyReport {
            snapshot: "0123456789abcdef".into(),
            session: false,
            checkpoints: vec![],
            total_ms: 2100.0,
        };
        assert_eq!(
            plain(&verified.render(Detail::Brief)),
            "The snapshot is intact (every byte checked in 2.10 s).\n"
        );
    }
}
