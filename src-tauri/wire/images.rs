//! Images: those that can be had, and those that are here.

use serde::{Deserialize, Serialize};
use specta::Type;
use specta_typescript::Number;

use super::status::SnapshotInfo;

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Type)]
#[serde(
    tag = "kind",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub(crate) enum ImageSource {
    /// The newest release of a branch; the default branch if null.
    Rolling {
        branch: Option<String>,
    },
    Tag {
        tag: String,
    },
    PullRequest {
        #[specta(type = Number)]
        number: u64,
    },
    Run {
        #[specta(type = Number)]
        id: u64,
    },
    File {
        path: String,
    },
}

/// What is installed, and what it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstalledImages {
    pub(crate) images: Vec<InstalledImage>,
    /// Downloads that ended early, and can go on.
    pub(crate) unfinished: Vec<UnfinishedPull>,
    /// All that the cache takes on disk, in bytes.
    #[specta(type = Number)]
    pub(crate) bytes_on_disk: u64,
    /// The limit on that, if one is set.
    #[specta(type = Option<Number>)]
    pub(crate) limit_bytes: Option<u64>,
    /// What is free on that disk.
    #[specta(type = Number)]
    pub(crate) free_bytes: u64,
}

/// An image on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstalledImage {
    /// `sha256:…`
    pub(crate) digest: String,
    /// What it is called, for people: the tag, `PR 1234`, a file's name.
    pub(crate) name: String,
    pub(crate) source: Option<ImageSource>,
    pub(crate) arch: String,
    /// The commit that it was built from.
    pub(crate) commit: Option<String>,
    /// When it was installed, in milliseconds since the Unix epoch.
    #[specta(type = Number)]
    pub(crate) installed_at_ms: u64,
    /// When it was last started, in milliseconds since the Unix epoch.
    #[specta(type = Option<Number>)]
    pub(crate) last_used_at_ms: Option<u64>,
    /// Blocks on disk, in bytes, without the snapshot.
    #[specta(type = Number)]
    pub(crate) bytes_on_disk: u64,
    /// Whether its digest was compared with a published one.
    pub(crate) verified: bool,
    /// Whether the next start uses it.
    pub(crate) in_use: bool,
    /// Names of instances that keep it from being removed.
    pub(crate) used_by: Vec<String>,
    pub(crate) snapshot: Option<SnapshotInfo>,
    /// Whether the snapshot was compressed because it was not used for a while.
    pub(crate) snapshot_archived: bool,
}

/// A download that ended early.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnfinishedPull {
    pub(crate) source: ImageSource,
    pub(crate) name: String,
    #[specta(type = Number)]
    pub(crate) done: u64,
    #[specta(type = Number)]
    pub(crate) total: u64,
    /// Whether the first-run wizard began it.
    pub(crate) set_up: bool,
}

/// Releases, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReleaseList {
    /// `owner/name`
    pub(crate) repository: String,
    pub(crate) releases: Vec<Release>,
    pub(crate) rate_limit: Option<RateLimit>,
}

/// A release that has an image for this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Release {
    pub(crate) tag: String,
    /// For people.
    pub(crate) name: String,
    /// Milliseconds since the Unix epoch.
    #[specta(type = Number)]
    pub(crate) published_at_ms: u64,
    pub(crate) prerelease: bool,
    /// Whether it is the rolling release of its branch, whose image changes.
    pub(crate) rolling: bool,
    /// The default branch's newest.
    pub(crate) latest: bool,
    /// The image's size in bytes.
    #[specta(type = Number)]
    pub(crate) bytes: u64,
    /// The digest that GitHub gives for it.
    pub(crate) digest: Option<String>,
    pub(crate) commit: Option<String>,
    /// Its page.
    pub(crate) url: String,
}

/// How much may still be asked of GitHub.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RateLimit {
    #[specta(type = Number)]
    pub(crate) remaining: u64,
    #[specta(type = Number)]
    pub(crate) limit: u64,
    /// Milliseconds since the Unix epoch.
    #[specta(type = Number)]
    pub(crate) resets_at_ms: u64,
}

/// What a source stands for right now.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResolvedImage {
    pub(crate) source: ImageSource,
    /// For people.
    pub(crate) name: String,
    /// Download size in bytes.
    #[specta(type = Number)]
    pub(crate) bytes: u64,
    /// What of it is here already, from an earlier try.
    #[specta(type = Number)]
    pub(crate) bytes_here: u64,
    pub(crate) commit: Option<String>,
    /// When it was built or published, in milliseconds since the Unix epoch.
    #[specta(type = Option<Number>)]
    pub(crate) built_at_ms: Option<u64>,
    /// The digest, if it is installed already.
    pub(crate) installed: Option<String>,
    pub(crate) warnings: Vec<String>,
    /// What image and snapshot will take on disk in bytes, as far as can be told.
    #[specta(type = Number)]
    pub(crate) disk_bytes: u64,
}

/// Whether there is something newer.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateCheck {
    /// Null if the image in use is the newest of its branch.
    pub(crate) available: Option<Release>,
}

/// Room that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Freed {
    #[specta(type = Number)]
    pub(crate) bytes: u64,
}
