//! How the instance stands.

use std::path::PathBuf;

use emulator::{Glance, State};
use serde::Serialize;
use specta::Type;
use specta_typescript::Number;

use super::failure::Failure;

/// What `status` reports, and what the page shows beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct ShownStatus {
    #[serde(flatten)]
    pub(crate) report: emulator::Status,
    /// The image that the next start uses; null if there is none.
    pub(crate) image_in_use: Option<ImageInUse>,
    /// Why the last look failed; the rest is then as it was before.
    pub(crate) failure: Option<Failure>,
}

/// The image that the next start uses.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct ImageInUse {
    /// For people.
    pub(crate) name: String,
    pub(crate) digest: Option<String>,
    /// When it was built or published, in milliseconds since the Unix epoch.
    #[specta(type = Option<Number>)]
    pub(crate) built_at_ms: Option<u64>,
}

impl ShownStatus {
    /// Before the first look that has succeeded.
    pub(crate) fn unknown(instance: &str) -> Self {
        Self {
            report: emulator::Status {
                instance: instance.to_owned(),
                folder: None,
                state: State::Stopped,
                paused_by: None,
                ended_by: None,
                unreachable: false,
                busy: None,
                start: None,
                other_settings: Vec::new(),
                services: Vec::new(),
                told_ports: Vec::new(),
                accelerator: None,
                network: None,
                snapshot: None,
                snapshot_damage: None,
                session_kept: false,
                session_saved: false,
                image: None,
                secret_store: None,
                secret_warning: None,
                memory: None,
                stops_when_idle_min: None,
                next_start: None,
            },
            image_in_use: None,
            failure: None,
        }
    }

    /// A status that was just reported.
    pub(crate) fn new(mut report: emulator::Status, image_in_use: Option<ImageInUse>) -> Self {
        // JSON has no other text than Unicode, and no path may keep the rest from the page.
        report.image = report
            .image
            .map(|path| PathBuf::from(path.to_string_lossy().into_owned()));
        Self {
            report,
            image_in_use,
            failure: None,
        }
    }

    /// Takes what a glance has found in place of what was known of it; whether that is news.
    pub(crate) fn glanced(&mut self, glance: Glance) -> bool {
        let report = &mut self.report;
        // How long it has been running is no news.
        let began = |start: &Option<emulator::StartSummary>| {
            start
                .as_ref()
                .map(|start| (start.started_at_ms, start.rotated))
        };
        let changed = report.state != glance.state
            || report.busy != glance.busy
            || began(&report.start) != began(&glance.start);
        report.state = glance.state;
        report.busy = glance.busy;
        report.start = glance.start;
        changed
    }
}
