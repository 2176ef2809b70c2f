//! The releases of a repository that are the emulator's.
//!
//! They share the list of releases with dozens of others a month, so that is not read: one question gives the
//! tags that begin like ours, and each release is asked for by its tag.

use tokio::task::JoinSet;

use super::wire::{ReferenceWire, ReleaseWire};
use super::{ApiError, GitHub, Release, Repo};

/// What all of the emulator's tags begin with.
const PREFIX: &str = "emulator-";
/// What all tags begin with where references are named in full.
const TAGS: &str = "refs/tags/";
/// Releases that are asked for: without a token, GitHub answers 60 questions an hour.
const MOST_ANONYMOUS: usize = 25;
/// The same with a token, which has 5000 of them, or 1000 in a workflow.
const MOST: usize = 100;
/// Questions at the same time.
const AT_ONCE: usize = 6;

impl GitHub {
    /// The releases that have to do with the emulator, newest first: all that move along with a branch, and
    /// the newest of the others (25 in all without a token, 100 with one).
    pub async fn emulator_releases(&self, repo: &Repo) -> Result<Vec<Release>, ApiError> {
        let mut tags = self.emulator_tags(repo).await?;
        let mut releases = if tags.is_empty() {
            self.releases_by_list(repo).await?
        } else {
            tags.sort_by(|one, two| rank(one).cmp(&rank(two)));
            let most = if self.is_authenticated() {
                MOST
            } else {
                MOST_ANONYMOUS
            };
            tags.truncate(most);
            self.releases_by_tags(repo, &tags).await?
        };
        // Only a full release can be the latest. To ask in vain would cost a
        // request each time, for a 404 has no `ETag`.
        let may_be_latest = |release: &Release| !release.draft && !release.prerelease;
        if releases.iter().any(may_be_latest) {
            let latest = self.latest_release(repo).await?.map(|release| release.id);
            for release in &mut releases {
                release.latest = latest == Some(release.id);
            }
        }
        Ok(releases)
    }

    /// The tags of the repository that begin as the emulator's do. None as well where nobody answers that
    /// question: a mirror need not.
    async fn emulator_tags(&self, repo: &Repo) -> Result<Vec<String>, ApiError> {
        let prefix = format!("tags/{PREFIX}");
        let mut parts = vec!["git", "matching-refs"];
        parts.extend(prefix.split('/'));
        let url = self.url(repo, &parts);
        let what = format!("tags {PREFIX}… of {repo}");
        let found: Result<Vec<ReferenceWire>, _> =
            self.pages(&url, &what, |page: Vec<_>| page).await;
        match found {
            Ok(references) => {
                let names = references.into_iter().map(|reference| reference.name);
                Ok(names
                    .filter_map(|name| Some(name.strip_prefix(TAGS)?.to_owned()))
                    .collect())
            }
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The releases with these tags, newest first. A tag need not have one.
    async fn releases_by_tags(
        &self,
        repo: &Repo,
        tags: &[String],
    ) -> Result<Vec<Release>, ApiError> {
        let mut releases = Vec::new();
        for some in tags.chunks(AT_ONCE) {
            let mut asked = JoinSet::new();
            for tag in some {
                let (github, repo, tag) = (self.clone(), repo.clone(), tag.clone());
                asked.spawn(async move { github.release_by_tag(&repo, &tag).await });
            }
            while let Some(joined) = asked.join_next().await {
                match joined {
                    Ok(Ok(release)) => releases.push(release),
                    Ok(Err(error)) if error.is_not_found() => {}
                    Ok(Err(error)) => return Err(error),
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                }
            }
        }
        releases.sort_by(|one: &Release, two| {
            (two.changed_at(), &two.tag).cmp(&(one.changed_at(), &one.tag))
        });
        Ok(releases)
    }

    /// The same by the list of all releases, of a repository that names its tags otherwise.
    async fn releases_by_list(&self, repo: &Repo) -> Result<Vec<Release>, ApiError> {
        let what = format!("releases of {repo}");
        let url = self.url(repo, &["releases"]);
        let releases: Vec<ReleaseWire> = self.pages(&url, &what, |page: Vec<_>| page).await?;
        let releases = releases.into_iter().map(Release::from);
        Ok(releases
            .filter(|release| {
                release.tag.contains("emulator") || release.name.to_lowercase().contains("emulator")
            })
            .collect())
    }

    /// The release that GitHub shows as the latest, if there is one: neither a draft nor a pre-release.
    pub async fn latest_release(&self, repo: &Repo) -> Result<Option<Release>, ApiError> {
        let url = self.url(repo, &["releases", "latest"]);
        let what = format!("latest release of {repo}");
        match self.json::<ReleaseWire>(&url, &what).await {
            Ok((wire, _)) => Ok(Some(wire.into())),
            // It may have been removed since the list was made.
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The release with the tag `tag`.
    pub async fn release_by_tag(&self, repo: &Repo, tag: &str) -> Result<Release, ApiError> {
        let url = self.url(repo, &["releases", "tags", tag]);
        let what = format!("release {tag} of {repo}");
        let (wire, _) = self.json::<ReleaseWire>(&url, &what).await?;
        Ok(wire.into())
    }
}

/// Orders tags: those that move along with a branch, those of another form, then those with a date, newest
/// first.
fn rank(tag: &str) -> (u8, std::cmp::Reverse<&str>) {
    let date = tag.rsplit('-').nth(1);
    let date = date.filter(|part| part.len() == 8 && part.bytes().all(|b| b.is_ascii_digit()));
    let group = match date {
        _ if tag.ends_with("-latest") => 0,
        None => 1,
        Some(_) => 2,
    };
    (group, std::cmp::Reverse(date.unwrap_or(tag)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_that_move_come_first_and_dated_ones_by_their_date() {
        let mut tags = [
            "emulator-dev-20260516-d0202eee",
            "emulator-a-b-20260517-d0202eee",
            "emulator-v2",
            "emulator-dev-latest",
            "emulator-main-20260513-3385d6e2",
        ];
        tags.sort_by(|one, two| rank(one).cmp(&rank(two)));
        let expected = [
            "emulator-dev-latest",
            "emulator-v2",
            "emulator-a-b-20260517-d0202eee",
            "emulator-dev-20260516-d0202eee",
            "emulator-main-20260513-3385d6e2",
        ];
        assert_eq!(tags, expected);
    }

    proptest! {
        #[test]
        fn any_tag_has_a_place(tags in proptest::collection::vec("emulator-\\PC{0,30}", 0..20)) {
            let mut sorted = tags.clone();
            sorted.sort_by(|one, two| rank(one).cmp(&rank(two)));
            let moving = sorted.iter().position(|tag| !tag.ends_with("-latest"));
            let rest = moving.map_or(&[][..], |at| &sorted[at..]);
            prop_assert!(rest.iter().all(|tag| !tag.ends_with("-latest")));
        }
    }
}
