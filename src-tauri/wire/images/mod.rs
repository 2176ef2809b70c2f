//! Images: those that can be had, and those that are here.

use std::path::Path;

use emulator::installed::ImageEntry;
use emulator::offers;
use emulator::{Emulator, SnapshotInfo};
use images::fetch::Verification;
use images::source::{Arch, Origin, Source, rolling_tag};
use images::store::Installed;
use serde::{Deserialize, Serialize};
use specta::Type;
use specta_typescript::Number;

use super::status::ImageInUse;
use super::text::unix_ms;

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Type)]
#[serde(tag = "kind", rename_all = "snake_case")]
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
pub(crate) struct InstalledImage {
    /// `sha256:…`
    pub(crate) digest: String,
    /// What it is called, for people: the tag, `PR 1234`, a file's name.
    pub(crate) name: String,
    pub(crate) source: Option<ImageSource>,
    /// The commit that it was built from.
    pub(crate) commit: Option<String>,
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
pub(crate) struct ReleaseList {
    /// `owner/name`
    pub(crate) repository: String,
    pub(crate) releases: Vec<Release>,
}

/// A release that has an image for this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
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

/// What a source stands for right now.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
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
pub(crate) struct UpdateCheck {
    /// Null if the image in use is the newest of its branch.
    pub(crate) available: Option<Release>,
}

/// Room that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
pub(crate) struct Freed {
    #[specta(type = Number)]
    pub(crate) freed_bytes: u64,
}

impl ImageSource {
    /// What to ask the engine for; `None` is what the settings have.
    pub(crate) fn wanted(self) -> Option<Source> {
        Some(match self {
            Self::Rolling { branch } => Source::Rolling { branch: branch? },
            Self::Tag { tag } => Source::Tag(tag),
            Self::PullRequest { number } => Source::PullRequest(number),
            Self::Run { id } => Source::Run(id),
            Self::File { path } => Source::File(path.into()),
        })
    }
}

impl From<Source> for ImageSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Rolling { branch } => Self::Rolling {
                branch: Some(branch),
            },
            Source::Tag(tag) => Self::Tag { tag },
            Source::PullRequest(number) => Self::PullRequest { number },
            Source::Run(id) => Self::Run { id },
            Source::File(path) => Self::File {
                path: path.to_string_lossy().into_owned(),
            },
        }
    }
}

/// What a source is called, for people.
pub(crate) fn name_of(source: &Source) -> String {
    match source {
        Source::Rolling { branch } => rolling_tag(branch),
        Source::Tag(tag) => tag.clone(),
        Source::PullRequest(number) => format!("PR {number}"),
        Source::Run(id) => format!("Run {id}"),
        Source::File(path) => path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned(),
    }
}

/// What an installed image is called: as it was asked for last.
pub(crate) fn name_of_image(image: &Installed) -> String {
    name_of(&newest_origin(image).source())
}

/// Of the names that stand for an image now, the newest; else where it came from at first.
fn newest_origin(image: &Installed) -> &Origin {
    let newest = image
        .references
        .iter()
        .max_by_key(|reference| reference.updated_at_ms);
    newest.map_or(&image.origin, |reference| &reference.origin)
}

/// When an image was published, where its origin tells.
pub(crate) fn published_at_ms(image: &Installed) -> Option<u64> {
    match newest_origin(image) {
        Origin::Release { updated_at, .. } => unix_ms(updated_at.as_deref()?),
        Origin::PullRequest { .. } | Origin::Run { .. } | Origin::File { .. } => None,
    }
}

/// The image at `path`, which the next start uses, for the status.
pub(crate) fn image_in_use(emulator: &Emulator, path: Option<&Path>) -> Option<ImageInUse> {
    let path = path?;
    // One that was put there by hand, or cannot be looked at, still has a name.
    let installed = emulator.image_in_use().ok().flatten();
    Some(match installed.filter(|image| image.path == path) {
        Some(image) => ImageInUse {
            name: name_of_image(&image),
            digest: Some(digest_text(&image.digest)),
            built_at_ms: published_at_ms(&image),
        },
        None => ImageInUse {
            name: path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
            digest: None,
            built_at_ms: None,
        },
    })
}

/// A digest with its algorithm.
pub(crate) fn digest_text(digest: &images::Sha256Digest) -> String {
    format!("sha256:{digest}")
}

impl InstalledImages {
    /// What there is.
    pub(crate) fn read(emulator: &Emulator) -> Result<Self, emulator::Error> {
        let list = emulator.images()?;
        Ok(Self {
            images: list
                .images
                .into_iter()
                .map(|entry| InstalledImage::new(entry, emulator))
                .collect(),
            unfinished: emulator
                .unfinished_pulls()?
                .into_iter()
                .map(UnfinishedPull::from)
                .collect(),
            bytes_on_disk: list.bytes_on_disk,
            limit_bytes: list.cache_limit_bytes,
            free_bytes: emulator.free_bytes()?,
        })
    }
}

impl InstalledImage {
    fn new(entry: ImageEntry, emulator: &Emulator) -> Self {
        let image = entry.image;
        let origin = newest_origin(&image);
        let mut ours = entry
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.instance == *emulator.name());
        // One that is ready to be used counts before one that was compressed.
        let snapshot = ours
            .clone()
            .find(|snapshot| !snapshot.archived)
            .or_else(|| ours.next());
        Self {
            digest: digest_text(&image.digest),
            name: name_of_image(&image),
            source: Some(origin.source().into()),
            commit: origin.commit().map(ToOwned::to_owned),
            last_used_at_ms: image.last_used_at_ms,
            bytes_on_disk: image.bytes_on_disk,
            verified: match image.verified {
                Verification::Release | Verification::Artifact => true,
                Verification::Manifest | Verification::Unverified => false,
            },
            in_use: entry.chosen,
            used_by: entry
                .uses
                .iter()
                .map(|of| of.instance.as_str().to_owned())
                .collect(),
            snapshot_archived: snapshot.is_some_and(|snapshot| snapshot.archived),
            snapshot: snapshot.and_then(|snapshot| emulator.snapshot_info(snapshot)),
        }
    }
}

impl From<emulator::offers::UnfinishedPull> for UnfinishedPull {
    fn from(pull: emulator::offers::UnfinishedPull) -> Self {
        Self {
            name: name_of(&pull.source),
            source: pull.source.into(),
            done: pull.done,
            total: pull.total,
            set_up: pull.set_up,
        }
    }
}

impl ReleaseList {
    /// The releases that have an image for `arch`; `branch` is the one pulled from by default.
    pub(crate) fn new(list: &emulator::pull::ReleaseList, arch: Arch, branch: &str) -> Self {
        Self {
            repository: list.repository.to_string(),
            releases: list
                .releases
                .iter()
                .filter_map(|release| Release::new(release, arch, branch))
                .collect(),
        }
    }
}

impl Release {
    /// `None` if it has no image for `arch`, or was not published yet.
    pub(crate) fn new(release: &images::github::Release, arch: Arch, branch: &str) -> Option<Self> {
        let disk = offers::disk_of(release, arch)?;
        let rolling = offers::branch_of_tag(&release.tag);
        // A rolling release is published once and its image replaced ever after.
        let published = match rolling {
            Some(_) => disk
                .updated_at
                .as_deref()
                .or(release.published_at.as_deref()),
            None => release.published_at.as_deref(),
        };
        Some(Self {
            tag: release.tag.clone(),
            name: release.name.clone(),
            published_at_ms: unix_ms(published?)?,
            prerelease: release.prerelease,
            rolling: rolling.is_some(),
            latest: rolling == Some(branch),
            bytes: disk.bytes,
            digest: disk.digest.as_ref().map(digest_text),
            commit: offers::commit_of(release).map(ToOwned::to_owned),
            url: release.url.clone(),
        })
    }
}

impl From<emulator::offers::Offer> for ResolvedImage {
    fn from(offer: emulator::offers::Offer) -> Self {
        let resolved = offer.resolved;
        Self {
            name: name_of(&offer.source),
            source: offer.source.into(),
            bytes: resolved.bytes.unwrap_or_default(),
            bytes_here: offer.bytes_here,
            commit: resolved.commit().map(ToOwned::to_owned),
            built_at_ms: resolved.published_at.as_deref().and_then(unix_ms),
            installed: offer.installed.map(|image| digest_text(&image.digest)),
            warnings: resolved.warnings,
            disk_bytes: offer.disk_bytes,
        }
    }
}

#[cfg(test)]
mod tests;
