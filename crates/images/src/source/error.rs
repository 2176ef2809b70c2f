//! Why it cannot be told which file is meant.

use std::path::PathBuf;

use super::WORKFLOW;
use crate::github::{ApiError, Repo};

/// It cannot be told which file is meant, or there is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// GitHub did not tell.
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
        "no build of pull request {number} was found: {WORKFLOW} has not run for {commit} or its branch {branch}"
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
    #[error("the build of {of} ended with {conclusion}: {url}")]
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
    /// GitHub gives artifacts to nobody it does not know.
    #[error("artifacts of workflow runs need a GitHub token, also those of public repositories")]
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
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Api(error) => error.code(),
            Self::NoAsset { .. } => "no-asset",
            Self::Uploading { .. } => "asset-uploading",
            Self::NoBuild { .. } => "no-build",
            Self::BuildRunning { .. } => "build-running",
            Self::BuildFailed { .. } => "build-failed",
            Self::NoArtifact { .. } => "no-artifact",
            Self::Expired { .. } => "artifact-expired",
            Self::TokenNeeded => "token-needed",
            Self::File { .. } => "file",
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Api(error) => error.hint(),
            Self::NoAsset { .. } => Some("Take another release, or another --arch."),
            Self::Uploading { .. } => Some("Run the command again in a few minutes."),
            Self::NoBuild { .. } => Some(
                "The workflow may not run for this pull request; start it by hand and use --run.",
            ),
            Self::BuildRunning { .. } => Some("Wait until it has finished, then try again."),
            Self::BuildFailed { .. } => {
                Some("Look at the run's page; then re-run it or take another run.")
            }
            Self::NoArtifact { .. } => Some(
                "Check that this is a run of the workflow that builds images, or take another --arch.",
            ),
            Self::Expired { .. } => Some("Re-run the workflow to build it again."),
            Self::TokenNeeded => Some("Set GITHUB_TOKEN, or log in with `gh auth login`."),
            Self::File { .. } => None,
        }
    }
}
