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
