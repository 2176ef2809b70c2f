//! Which file is meant: from a user's words to an asset or an artifact.
//!
//! ```text
//! Rolling, Tag ──> release ──> asset stack-emulator-<arch>.qcow2
//! PullRequest ───> head SHA ─> newest successful run of that SHA,
//!                              else of its branch (a warning) ──┐
//! Run ──────────────────────────────────────────────────────────┴─> artifact qemu-emulator-<arch>
//! File ──────────────────────────────────────────────────────────> itself
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Sha256Digest;
use crate::github::{Artifact, Asset, Repo};

mod error;
mod resolve;

pub use error::ResolveError;
pub use host::Arch;
pub use resolve::{resolve, rolling_tag};

/// The workflow that builds images.
pub const WORKFLOW: &str = "qemu-emulator-build.yaml";
/// The branch whose rolling release is the default.
pub const DEFAULT_BRANCH: &str = "dev";

/// The names of an image's files.
pub mod names {
    use host::Arch;

    /// The disk image.
    pub fn disk(arch: Arch) -> String {
        format!("stack-emulator-{arch}.qcow2")
    }

    /// The manifest.
    pub fn manifest(arch: Arch) -> String {
        format!("stack-emulator-{arch}.json")
    }

    /// The settings for the guest.
    pub fn base_env(arch: Arch) -> String {
        format!("stack-emulator-{arch}.base.env")
    }

    /// The snapshot archive.
    pub fn snapshot(arch: Arch) -> String {
        format!("stack-emulator-{arch}.savevm.zst")
    }

    /// A workflow run's artifact.
    pub fn artifact(arch: Arch) -> String {
        format!("qemu-emulator-{arch}")
    }
}

/// What a user asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Source {
    /// The newest release of a branch, by its rolling tag.
    Rolling {
        /// The branch.
        branch: String,
    },
    /// The release with this tag.
    Tag(String),
    /// The build of a pull request.
    PullRequest(u64),
    /// What a workflow run has left.
    Run(u64),
    /// A file on this computer: a qcow2, or an artifact's zip saved by hand.
    File(PathBuf),
}

impl Default for Source {
    fn default() -> Self {
        Self::Rolling {
            branch: DEFAULT_BRANCH.into(),
        }
    }
}

/// Where an image came from; kept with it.
///
/// Equal origins of the kinds from GitHub have equal content, for numbers of
/// assets and artifacts are never used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// A release's asset.
    Release {
        /// The repository.
        repository: Repo,
        /// The release's tag.
        tag: String,
        /// The branch, if it was asked for by its rolling tag.
        #[serde(default)]
        branch: Option<String>,
        /// GitHub's number for the asset.
        asset: u64,
        /// When the asset was uploaded, RFC 3339.
        #[serde(default)]
        updated_at: Option<String>,
        /// The commit it was built from, where that is known.
        #[serde(default)]
        commit: Option<String>,
    },
    /// A pull request's build.
    PullRequest {
        /// The repository.
        repository: Repo,
        /// The pull request's number.
        number: u64,
        /// Its title.
        title: String,
        /// The workflow run.
        run: u64,
        /// Its branch.
        branch: String,
        /// The commit it was built from.
        commit: String,
        /// GitHub's number for the artifact.
        artifact: u64,
    },
    /// A workflow run's build.
    Run {
        /// The repository.
        repository: Repo,
        /// The workflow run.
        run: u64,
        /// Its branch.
        branch: String,
        /// The commit it was built from.
        commit: String,
        /// GitHub's number for the artifact.
        artifact: u64,
    },
    /// A file.
    File {
        /// Its absolute path.
        path: PathBuf,
    },
}

impl Origin {
    /// A short name: `emulator-dev-latest`, `pr-12`, `run-99`, a file's name.
    pub fn label(&self) -> String {
        match self {
            Self::Release { tag, .. } => tag.clone(),
            Self::PullRequest { number, .. } => format!("pr-{number}"),
            Self::Run { run, .. } => format!("run-{run}"),
            Self::File { path } => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// The commit it was built from, where that is known.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Self::Release { commit, .. } => commit.as_deref(),
            Self::PullRequest { commit, .. } | Self::Run { commit, .. } => Some(commit),
            Self::File { .. } => None,
        }
    }

    /// What to ask for to get this again, or what has come after it.
    pub fn source(&self) -> Source {
        match self {
            Self::Release {
                branch: Some(branch),
                ..
            } => Source::Rolling {
                branch: branch.clone(),
            },
            Self::Release { tag, .. } => Source::Tag(tag.clone()),
            Self::PullRequest { number, .. } => Source::PullRequest(*number),
            Self::Run { run, .. } => Source::Run(*run),
            Self::File { path } => Source::File(path.clone()),
        }
    }

    /// The repository it came from.
    pub fn repository(&self) -> Option<&Repo> {
        match self {
            Self::Release { repository, .. }
            | Self::PullRequest { repository, .. }
            | Self::Run { repository, .. } => Some(repository),
            Self::File { .. } => None,
        }
    }
}

/// The one file that is meant.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Where it comes from.
    pub origin: Origin,
    /// The guest's processor.
    pub arch: Arch,
    /// The name of the file that will be transferred.
    pub name: String,
    /// Its length in bytes, where known beforehand.
    pub bytes: Option<u64>,
    /// The digest of the disk image, where the release states it.
    pub digest: Option<Sha256Digest>,
    /// When it was uploaded, RFC 3339, where GitHub says so.
    pub published_at: Option<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Tells this file from every other one; a claim is named by it.
    pub(crate) key: String,
    pub(crate) files: Files,
}

impl Resolved {
    /// The commit it was built from, where that is known.
    pub fn commit(&self) -> Option<&str> {
        self.origin.commit()
    }

    /// The repository whose sources the image's settings are made from: `None` if
    /// ready ones come with it, or it comes from no repository.
    pub(crate) fn sources(&self) -> Option<&Repo> {
        match &self.files {
            Files::Release(files) if files.base_env.is_none() => Some(&files.repository),
            Files::Artifact { repository, .. } => Some(repository),
            Files::Release(_) | Files::Local { .. } => None,
        }
    }
}

/// What there is to transfer.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    Release(Box<ReleaseFiles>),
    Artifact {
        repository: Repo,
        artifact: Artifact,
    },
    Local {
        path: PathBuf,
    },
}

/// The files of a release that matter here.
#[derive(Clone, Debug)]
pub(crate) struct ReleaseFiles {
    pub(crate) repository: Repo,
    pub(crate) disk: Asset,
    pub(crate) manifest: Option<Asset>,
    pub(crate) base_env: Option<Asset>,
    pub(crate) snapshot: Option<Asset>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_contract_s() {
        let arch = Arch::Arm64;
        assert_eq!(names::disk(arch), "stack-emulator-arm64.qcow2");
        assert_eq!(names::snapshot(arch), "stack-emulator-arm64.savevm.zst");
        assert_eq!(names::artifact(arch), "qemu-emulator-arm64");
        assert_eq!(rolling_tag("dev"), "emulator-dev-latest");
    }

    #[test]
    fn an_origin_survives_its_json() {
        let origin = Origin::Release {
            repository: Repo::default(),
            tag: "emulator-dev-latest".into(),
            branch: Some("dev".into()),
            asset: 7,
            updated_at: None,
            commit: None,
        };
        let json = serde_json::to_value(&origin).unwrap();
        assert_eq!(json["kind"], "release");
        assert_eq!(json["repository"], "stack-auth/stack-auth");
        assert_eq!(serde_json::from_value::<Origin>(json).unwrap(), origin);
    }
}
