//! The QMP commands of a migration, with answers that later versions may add to.

use qapi_spec::Command;
use serde::{Deserialize, Serialize};

/// `migrate-set-parameters` with those we set.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SetParameters {
    pub(super) max_bandwidth: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) multifd_channels: Option<u8>,
}

impl Command for SetParameters {
    type Ok = qapi_spec::Empty;
    const NAME: &'static str = "migrate-set-parameters";
    const ALLOW_OOB: bool = false;
}

/// `query-migrate` with a tolerant answer: the generated type demands fields that come and go.
#[derive(Debug, Serialize)]
pub(super) struct QueryMigrate {}

impl Command for QueryMigrate {
    type Ok = Info;
    const NAME: &'static str = "query-migrate";
    const ALLOW_OOB: bool = false;
}

/// `query-yank`: what holds connections or files that could be cut. A migration is among them from
/// its start until everything it used is put away.
#[derive(Debug, Serialize)]
pub(super) struct QueryYank {}

impl Command for QueryYank {
    type Ok = Vec<YankInstance>;
    const NAME: &'static str = "query-yank";
    const ALLOW_OOB: bool = true;
}

#[derive(Debug, Deserialize)]
pub(super) struct YankInstance {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Info {
    pub(super) status: Option<String>,
    pub(super) error_desc: Option<String>,
    pub(super) ram: Option<RamInfo>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RamInfo {
    #[serde(default)]
    pub(super) total: u64,
    #[serde(default)]
    pub(super) remaining: u64,
    #[serde(default)]
    pub(super) transferred: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    UnderWay,
    Completed,
    Failed,
    Cancelled,
    /// No migration has been asked for.
    Idle,
}

impl Info {
    pub(super) fn phase(&self) -> Phase {
        match self.status.as_deref() {
            None | Some("none") => Phase::Idle,
            Some("completed") => Phase::Completed,
            Some("failed") => Phase::Failed,
            Some("cancelled") => Phase::Cancelled,
            // `setup`, `active`, `device`, `cancelling`, and whatever later versions add between.
            Some(_) => Phase::UnderWay,
        }
    }
}
