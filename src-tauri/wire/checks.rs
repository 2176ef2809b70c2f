//! What the look at this host has found.

use serde::Serialize;
use specta::Type;

/// What `doctor` reports.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Examination {
    /// False if a check failed.
    pub(crate) fit: bool,
    pub(crate) checks: Vec<Check>,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// Stable: `qemu`, `accelerator`, `instance`, `disk`, `image`, `ports`, `secrets`, `snapshot`.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) detail: String,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Ok,
    Warning,
    Failed,
}

impl From<emulator::examine::Examination> for Examination {
    fn from(examination: emulator::examine::Examination) -> Self {
        use emulator::examine::Verdict as Theirs;
        let check = |check: emulator::examine::Check| Check {
            id: check.id.to_owned(),
            title: check.title.to_owned(),
            verdict: match check.verdict {
                Theirs::Ok => Verdict::Ok,
                Theirs::Warning => Verdict::Warning,
                Theirs::Failed => Verdict::Failed,
            },
            detail: check.detail,
            remedy: check.remedy,
        };
        Self {
            fit: examination.fit,
            checks: examination.checks.into_iter().map(check).collect(),
        }
    }
}
