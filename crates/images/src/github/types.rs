//! What GitHub knows of a repository, as far as it matters here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Sha256Digest;

/// A repository's full name, `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repo {
    owner: String,
    name: String,
}

impl Repo {
    /// Who it belongs to.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its name without the owner.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Default for Repo {
    /// The repository that publishes the images.
    fn default() -> Self {
        Self {
            owner: "stack-auth".into(),
            name: "stack-auth".into(),
        }
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// The text was no repository name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a repository is written owner/name, as in stack-auth/stack-auth; this is {0:?}")]
pub struct ParseRepoError(String);

impl FromStr for Repo {
    type Err = ParseRepoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // GitHub's alphabet, which also keeps a name from being a path of its own.
        let valid = |part: &str| {
            (1..=100).contains(&part.len())
                && part != "."
                && part != ".."
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        match text.split_once('/') {
            Some((owner, name)) if valid(owner) && valid(name) => Ok(Self {
                owner: owner.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(ParseRepoError(text.chars().take(80).collect())),
        }
    }
}

impl Serialize for Repo {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Repo {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// How many more requests are allowed for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// Requests that are left.
    pub remaining: u64,
    /// Requests that there are in all.
    pub limit: u64,
    /// When there are all of them again, in seconds since the Unix epoch.
    pub resets_at: u64,
}

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// GitHub's number for it.
    pub id: u64,
    /// Its tag.
    pub tag: String,
    /// Its title, or the tag.
    pub name: String,
    /// Its page.
    pub url: String,
    /// Not published yet.
    pub draft: bool,
    /// Marked as a pre-release.
    pub prerelease: bool,
    /// The one that GitHub shows as the latest.
    pub latest: bool,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// RFC 3339; a draft has none.
    pub published_at: Option<String>,
    /// The commit or branch that it was made from.
    pub target: String,
    /// Its files.
    pub assets: Vec<Asset>,
}

impl Release {
    /// When it was published or a file of it was uploaded last, RFC 3339: what moves along with a branch is
    /// published once, and its files are replaced ever after.
    pub fn changed_at(&self) -> Option<&str> {
        let uploads = self.assets.iter().map(|asset| asset.updated_at.as_deref());
        uploads
            .chain([self.published_at.as_deref()])
            .flatten()
            .max()
    }

    /// The file called `name`.
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.name == name)
    }
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asset {
    /// GitHub's number for it; a file that is replaced gets another.
    pub id: u64,
    /// File name.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Its digest; releases of before mid-2025 have none.
    pub digest: Option<Sha256Digest>,
    /// `false` while it is still being uploaded.
    pub uploaded: bool,
    /// RFC 3339.
    pub updated_at: Option<String>,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// The newest commit.
    pub head_sha: String,
    /// The branch, in `head_repository`.
    pub head_branch: String,
    /// Full name of the repository it comes from; `None` once a fork is deleted.
    pub head_repository: Option<String>,
}

/// A run of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// GitHub's number for it, the one in its address.
    pub id: u64,
    /// How far it is.
    pub state: RunState,
    /// The branch, in `head_repository`.
    pub head_branch: String,
    /// The commit.
    pub head_sha: String,
    /// Full name of the repository whose branch was built.
    pub head_repository: Option<String>,
    /// Its page.
    pub url: String,
    /// RFC 3339.
    pub created_at: String,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Not at its end.
    Running {
        /// `queued`, `in_progress`, `waiting`, …
        status: String,
    },
    /// At its end, and well.
    Succeeded,
    /// At its end, and not well.
    Failed {
        /// `failure`, `cancelled`, `timed_out`, …
        conclusion: String,
    },
}

/// A zip that a run has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// GitHub's number for it.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Length in bytes; of the zip, or of what is in it: GitHub has said both.
    pub bytes: u64,
    /// No longer to be had.
    pub expired: bool,
    /// The digest of the zip; older ones have none.
    pub digest: Option<Sha256Digest>,
    /// RFC 3339.
    pub created_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_repository_is_two_plain_names() {
        assert_eq!(
            "hexclave/hexclave".parse::<Repo>().unwrap().to_string(),
            "hexclave/hexclave"
        );
        for text in [
            "", "a", "a/", "/b", "a/b/c", "a/..", "../b", "a/b?x", "a b/c", "ä/b",
        ] {
            assert!(text.parse::<Repo>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "\\PC{0,40}") {
            if let Ok(repo) = text.parse::<Repo>() {
                prop_assert_eq!(repo.to_string(), text);
            }
        }
    }
}
