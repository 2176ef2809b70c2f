//! GitHub's answers as they come over the wire, and what of them is kept.
//!
//! Unknown fields are ignored, for GitHub adds some every month. Missing ones
//! that are not needed for what we do are `None`.

use serde::Deserialize;

use super::{Artifact, Asset, PullRequest, Release, Run, RunState};
use crate::Sha256Digest;

#[derive(Deserialize)]
pub(super) struct ReleaseWire {
    id: u64,
    tag_name: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    html_url: String,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    published_at: Option<String>,
    #[serde(default)]
    target_commitish: String,
    #[serde(default)]
    assets: Vec<AssetWire>,
}

/// A branch or a tag.
#[derive(Deserialize)]
pub(super) struct ReferenceWire {
    /// In full: `refs/tags/…`.
    #[serde(rename = "ref")]
    pub(super) name: String,
}

#[derive(Deserialize)]
struct AssetWire {
    id: u64,
    name: String,
    size: u64,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    updated_at: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PullRequestWire {
    number: u64,
    #[serde(default)]
    title: String,
    head: HeadWire,
}

#[derive(Deserialize)]
struct HeadWire {
    sha: String,
    #[serde(rename = "ref")]
    branch: String,
    /// `null` once a fork was deleted.
    #[serde(default)]
    repo: Option<RepositoryWire>,
}

#[derive(Deserialize)]
struct RepositoryWire {
    full_name: String,
}

#[derive(Deserialize)]
pub(super) struct RunsWire {
    pub(super) workflow_runs: Vec<RunWire>,
}

#[derive(Deserialize)]
pub(super) struct RunWire {
    id: u64,
    status: String,
    #[serde(default)]
    conclusion: Option<String>,
    #[serde(default)]
    head_branch: Option<String>,
    head_sha: String,
    #[serde(default)]
    head_repository: Option<RepositoryWire>,
    #[serde(default)]
    html_url: String,
    #[serde(default)]
    created_at: String,
}

#[derive(Deserialize)]
pub(super) struct ArtifactsWire {
    pub(super) artifacts: Vec<ArtifactWire>,
}

#[derive(Deserialize)]
pub(super) struct ArtifactWire {
    id: u64,
    name: String,
    size_in_bytes: u64,
    #[serde(default)]
    expired: bool,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
}

/// Titles and branches are shown in terminals and in the page, and anybody can
/// name a branch.
fn plain(text: String) -> String {
    if text.chars().all(printable::is_harmless) {
        text
    } else {
        text.replace(|c| !printable::is_harmless(c), "")
    }
}

/// `sha256:…`; another algorithm is as good as none.
fn digest(text: Option<&str>) -> Option<Sha256Digest> {
    text?
        .strip_prefix("sha256:")?
        .to_ascii_lowercase()
        .parse()
        .ok()
}

impl From<ReleaseWire> for Release {
    fn from(wire: ReleaseWire) -> Self {
        Self {
            id: wire.id,
            name: plain(
                wire.name
                    .filter(|name| !name.trim().is_empty())
                    .unwrap_or_else(|| wire.tag_name.clone()),
            ),
            tag: plain(wire.tag_name),
            url: plain(wire.html_url),
            draft: wire.draft,
            prerelease: wire.prerelease,
            latest: false,
            created_at: wire.created_at.map(plain),
            published_at: wire.published_at.map(plain),
            target: plain(wire.target_commitish),
            assets: wire.assets.into_iter().map(Asset::from).collect(),
        }
    }
}

impl From<AssetWire> for Asset {
    fn from(wire: AssetWire) -> Self {
        Self {
            id: wire.id,
            name: plain(wire.name),
            bytes: wire.size,
            digest: digest(wire.digest.as_deref()),
            // Older servers do not say.
            uploaded: wire.state.is_none_or(|state| state == "uploaded"),
            updated_at: wire.updated_at.map(plain),
        }
    }
}

impl From<PullRequestWire> for PullRequest {
    fn from(wire: PullRequestWire) -> Self {
        Self {
            number: wire.number,
            title: plain(wire.title),
            head_sha: plain(wire.head.sha),
            head_branch: plain(wire.head.branch),
            head_repository: wire.head.repo.map(|repo| repo.full_name),
        }
    }
}

impl From<RunWire> for Run {
    fn from(wire: RunWire) -> Self {
        Self {
            id: wire.id,
            state: match (wire.status.as_str(), wire.conclusion) {
                ("completed", Some(conclusion)) if conclusion == "success" => RunState::Succeeded,
                ("completed", conclusion) => RunState::Failed {
                    conclusion: plain(conclusion.unwrap_or_else(|| "unknown".into())),
                },
                _ => RunState::Running {
                    status: plain(wire.status),
                },
            },
            head_branch: plain(wire.head_branch.unwrap_or_default()),
            head_sha: plain(wire.head_sha),
            head_repository: wire.head_repository.map(|repo| repo.full_name),
            url: plain(wire.html_url),
            created_at: wire.created_at,
        }
    }
}

impl From<ArtifactWire> for Artifact {
    fn from(wire: ArtifactWire) -> Self {
        Self {
            id: wire.id,
            name: plain(wire.name),
            bytes: wire.size_in_bytes,
            expired: wire.expired,
            digest: digest(wire.digest.as_deref()),
            created_at: wire.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_cannot_steer_a_terminal() {
        let wire: PullRequestWire = serde_json::from_str(
            r#"{"number": 1, "title": "\u001b[2Jgone\u0007", "head": {"sha": "0", "ref": "a\rb"}}"#,
        )
        .unwrap();
        let pull = PullRequest::from(wire);
        assert_eq!(
            (pull.title.as_str(), pull.head_branch.as_str()),
            ("[2Jgone", "ab")
        );
        assert_eq!(pull.head_repository, None);
    }

    #[test]
    fn a_digest_of_another_kind_is_none() {
        let right = format!("sha256:{}", "AB".repeat(32));
        assert_eq!(digest(Some(&right)).unwrap().to_string(), "ab".repeat(32));
        for text in ["sha256:ab", "sha512:ab", &"ab".repeat(32)] {
            assert_eq!(digest(Some(text)), None, "{text}");
        }
    }
}
