//! What the server has: repositories with releases, pull requests, workflow
//! runs and files. Data only, so that a test writes it in Rust and another
//! program in JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that is served.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Full name of the repository; another one is answered with 404.
    pub repository: String,
    /// A name that the repository had before: a request by it is redirected, permanently, to the repository's
    /// number.
    pub former_name: Option<String>,
    /// Tokens that are accepted. A request with another one is answered with
    /// 401, one without any as an anonymous one.
    pub tokens: Vec<String>,
    /// Newest first.
    pub releases: Vec<Release>,
    /// Pull requests.
    pub pulls: Vec<Pull>,
    /// Runs of the workflow that builds images, newest first.
    pub runs: Vec<Run>,
    /// Files of the repository.
    pub contents: Vec<Content>,
    /// Items on a page of a list, at most what was asked for; 0 means 100.
    pub page_size: usize,
    /// Assets come from [`Server::bulk`](crate::Server::bulk): fast, and without faults.
    pub bulk: bool,
}

impl Scenario {
    pub(crate) fn asset(&self, id: &str) -> Option<&Asset> {
        let id: u64 = id.parse().ok()?;
        self.releases
            .iter()
            .flat_map(|release| &release.assets)
            .find(|asset| asset.id == id)
    }
}

/// A release.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Release {
    /// Its tag.
    pub tag: String,
    /// Its title.
    pub name: String,
    /// Not published.
    pub draft: bool,
    /// A pre-release.
    pub prerelease: bool,
    /// RFC 3339.
    pub published_at: String,
    /// A commit or a branch.
    pub target: String,
    /// The commit that the tag is at, if `target` is a branch.
    pub commit: String,
    /// Its files.
    pub assets: Vec<Asset>,
}

/// A file of a release.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asset {
    /// Its number, unique among all assets.
    pub id: u64,
    /// File name.
    pub name: String,
    /// Where its content is.
    pub file: PathBuf,
    /// States no digest, as old releases.
    pub without_digest: bool,
    /// States this instead of the right digest.
    pub digest: Option<String>,
    /// States this instead of the right length.
    pub size: Option<u64>,
    /// Still being uploaded.
    pub uploading: bool,
    /// RFC 3339; empty means the beginning of 2026.
    pub updated_at: String,
}

/// A pull request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its newest commit.
    pub head_sha: String,
    /// Its branch.
    pub head_branch: String,
    /// Where the branch is; empty means a deleted fork.
    pub head_repository: String,
}

/// A run of the workflow.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Run {
    /// Its number.
    pub id: u64,
    /// `completed`, `in_progress`, `queued`; empty means `completed`.
    pub status: String,
    /// `success`, `failure`; empty means `success` of a completed one.
    pub conclusion: String,
    /// Its commit.
    pub head_sha: String,
    /// Its branch.
    pub head_branch: String,
    /// Where the branch is; empty means the repository itself.
    pub head_repository: String,
    /// RFC 3339.
    pub created_at: String,
    /// What it has left.
    pub artifacts: Vec<Artifact>,
}

/// A zip that a run has left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Artifact {
    /// Its number, unique among all artifacts.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The files in it, by their names without folders.
    pub files: Vec<PathBuf>,
    /// A ready zip, instead of `files`.
    pub zip: Option<PathBuf>,
    /// No longer to be had: 410.
    pub expired: bool,
    /// States no digest.
    pub without_digest: bool,
}

/// A file of the repository.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Content {
    /// Its path there.
    pub path: String,
    /// Only at this commit; empty means at each.
    pub commit: String,
    /// Its text.
    pub text: String,
}
