//! What the store writes down.

use std::path::Path;

use record::Record;
use serde::{Deserialize, Serialize};

use crate::fetch::Verification;
use crate::source::{Arch, Origin};
use crate::{FileStamp, Sha256Digest};

/// `image.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    pub arch: Arch,
    /// The disk image's, under which its digest was taken.
    pub stamp: FileStamp,
    pub origin: Origin,
    pub verified: Verification,
    /// Milliseconds since the Unix epoch.
    pub added_at_ms: u64,
}

impl Record for ImageRecord {
    const FORMAT: &'static str = "stack-emulator-stored-image";
    const VERSION: u32 = 1;
}

/// When the image at `path` was published, RFC 3339, if it is in a store and its release says so. What
/// workflow runs leave does not say it, and is kept by GitHub for 90 days at most.
pub(crate) fn published_at(path: &Path) -> Option<String> {
    let beside = path.with_file_name("image.json");
    // Where an image is of no store, there may be anything of that name.
    match record::read_optional::<ImageRecord>(&beside).ok()??.origin {
        Origin::Release { updated_at, .. } => updated_at,
        Origin::PullRequest { .. } | Origin::Run { .. } | Origin::File { .. } => None,
    }
}

/// `used.json`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct UseRecord {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Record for UseRecord {
    const FORMAT: &'static str = "stack-emulator-image-use";
    const VERSION: u32 = 1;
}

/// A name and the image that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// What a user calls it: a tag, `pr-12`, `run-99`, a file's name.
    pub name: String,
    /// Architecture of the guest.
    pub arch: Arch,
    /// The image.
    pub digest: Sha256Digest,
    /// Where it came from.
    pub origin: Origin,
    /// What its digest was compared with.
    pub verified: Verification,
    /// When the name was last found to stand for this image, in milliseconds
    /// since the Unix epoch.
    pub updated_at_ms: u64,
}

impl Record for Reference {
    const FORMAT: &'static str = "stack-emulator-image-reference";
    const VERSION: u32 = 1;
}

impl Reference {
    /// Equal for what replaces each other: one name of one repository, for one
    /// architecture. Tags may hold slashes, so it is a digest: 16 hex characters.
    pub(super) fn key(&self) -> String {
        let repository = self
            .origin
            .repository()
            .map(ToString::to_string)
            .unwrap_or_default();
        let text = format!("{repository}\0{}\0{}", self.name, self.arch);
        let mut key = Sha256Digest::of(text.as_bytes()).to_string();
        key.truncate(16);
        key
    }
}
