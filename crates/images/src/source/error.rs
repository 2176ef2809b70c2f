//! Why a source does not lead to a file.

use std::path::PathBuf;

use failure::{Code, Remedy};

use super::WORKFLOW;
use crate::github::{ApiError, Repo};

/// A source that does not lead to a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// GitHub could not be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The release has no image for this processor.
    #[error(
        "the release {tag} of {repository} has no {name}; it has {}",
        list(present)
    )]
    NoAsset {
        /// The repository.
        repository: Repo,
        /// The release's tag.
        tag: String,
        /// The file looked for.
        name: String,
        /// The files it has.
        present: Vec<String>,
    },
    /// The release is being made right now.
    #[error("{name} is still being uploaded to the release {tag}")]
    Uploading {
        /// The release's tag.
        tag: String,
        /// The file.
        name: String,
    },
    /// There is no run of the workflow for the pull request.
    #[error(
        "found no build of pull request {number}: {WORKFLOW} has not run for {commit} or its branch {branch}"
    )]
    NoBuild {
        /// The pull request.
        number: u64,
        /// Its newest commit.
        commit: String,
        /// Its branch.
        branch: String,
    },
    /// The build has not finished.
    #[error("the build of {of} is still running ({status}): {url}")]
    BuildRunning {
        /// The pull request or run.
        of: String,
        /// What GitHub calls it.
        status: String,
        /// The run's page.
        url: String,
    },
    /// The build has failed.
    #[error("the build of {of} did not succeed ({conclusion}): {url}")]
    BuildFailed {
        /// The pull request or run.
        of: String,
        /// What GitHub calls it.
        conclusion: String,
        /// The run's page.
        url: String,
    },
    /// The run has left no image for this processor.
    #[error(
        "the workflow run {run} has no artifact {name}; it has {}",
        list(present)
    )]
    NoArtifact {
        /// The run.
        run: u64,
        /// The artifact looked for.
        name: String,
        /// The artifacts it has.
        present: Vec<String>,
    },
    /// The artifact is gone.
    #[error("the artifact {name} of the workflow run {run} has expired")]
    Expired {
        /// The run.
        run: u64,
        /// The artifact.
        name: String,
    },
    /// GitHub gives artifacts to signed-in users only.
    #[error(
        "downloading a workflow run's artifact needs a GitHub token, even for a public repository"
    )]
    TokenNeeded,
    /// The file is not there.
    #[error("cannot open {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

impl ResolveError {
    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Api(error) => error.code(),
            Self::NoAsset { .. } => Code::NoAsset,
            Self::Uploading { .. } => Code::AssetUploading,
            Self::NoBuild { .. } => Code::NoBuild,
            Self::BuildRunning { .. } => Code::BuildRunning,
            Self::BuildFailed { .. } => Code::BuildFailed,
            Self::NoArtifact { .. } => Code::NoArtifact,
            Self::Expired { .. } => Code::ArtifactExpired,
            Self::TokenNeeded => Code::TokenNeeded,
            Self::File { .. } => Code::File,
        }
    }

    /// Whether the repository has no such image, and nothing else is wrong.
    pub fn is_without_image(&self) -> bool {
        match self {
            Self::Api(error) => error.is_not_found(),
            Self::NoAsset { .. } => true,
            Self::Uploading { .. }
            | Self::NoBuild { .. }
            | Self::BuildRunning { .. }
            | Self::BuildFailed { .. }
            | Self::NoArtifact { .. }
            | Self::Expired { .. }
            | Self::TokenNeeded
            | Self::File { .. } => false,
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Api(error) => error.remedy(),
            Self::NoAsset { .. } => Some(Remedy::OtherRelease),
            Self::Uploading { .. } => Some(Remedy::WaitForPublication),
            Self::NoBuild { .. } => Some(Remedy::StartBuild),
            Self::BuildRunning { .. } => Some(Remedy::WaitForBuild),
            Self::BuildFailed { .. } => Some(Remedy::SeeBuild),
            Self::NoArtifact { .. } => Some(Remedy::CheckRun),
            Self::Expired { .. } => Some(Remedy::RerunBuild),
            Self::TokenNeeded => Some(Remedy::SetToken),
            Self::File { .. } => None,
        }
    }
}
