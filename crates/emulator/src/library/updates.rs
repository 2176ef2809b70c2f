//! Newer releases of this program.
//!
//! Asked for once a day, beside what a command does and without a token: nothing of the user
//! goes along. What the answer was is kept, so that it does not matter which command it comes in time for, and told at most once a
//! day at a terminal. The app shows it until the user dismisses that release. Nothing here fails: without a question or a kept
//! answer, nothing is told.

use std::time::Duration;

use failure::chain;
use images::github::{GitHub, Options, Repo};
use images::http::Retry;
use record::{Durability, Record};
use serde::{Deserialize, Serialize};

use crate::config::paths::Home;
use crate::instance::Emulator;

/// Between two questions, and between telling twice, in milliseconds.
const DAY_MS: u64 = 24 * HOUR_MS;
/// Until a question is asked again whose command ended before the answer came, in milliseconds. Questions without a token are
/// counted by GitHub, 60 an hour, and pulls need them.
const HOUR_MS: u64 = 60 * 60 * 1000;
/// A server that has not answered by then is not waited for.
const LIMIT: Duration = Duration::from_secs(5);

/// A release of this program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRelease {
    /// Its version, such as `1.2.3`.
    pub version: String,
    /// Its page.
    pub url: String,
}

/// What is known so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// When somebody began to ask last, in milliseconds since 1970.
    asked_ms: u64,
    /// When a question was over last, whatever came of it.
    answered_ms: u64,
    /// When somebody was told last.
    told_ms: u64,
    latest: Option<ProgramRelease>,
    /// The version that the user does not want to see in the app any more.
    #[serde(default)]
    dismissed: Option<String>,
}

impl Record for Known {
    const FORMAT: &'static str = "stack-emulator-updates";
    const VERSION: u32 = 1;
}

/// Where to ask, and where the answer is kept.
#[derive(Clone, Debug)]
pub struct Lookout {
    home: Home,
    api: Option<images::Url>,
    repository: Repo,
}

impl Emulator {
    /// What looks for newer releases; `None` if nobody is to look, or nobody knows where.
    pub fn lookout(&self) -> Option<Lookout> {
        Some(Lookout {
            repository: self.settings.updates.repository()?,
            home: self.home.clone(),
            api: self.settings.github_api.clone(),
        })
    }
}

impl Lookout {
    /// Asks, if the last question is a day old. Does not create the home folder.
    pub async fn ask(self) {
        let now = host::now_ms();
        if !self.home.path().is_dir() || !self.known().is_due(now) {
            return;
        }
        // Noted first: commands of the same moment do not all ask, nor does each that is over too soon.
        self.note(|known| known.asked_ms = now);
        let answer = tokio::time::timeout(LIMIT, self.latest()).await;
        self.note(|known| known.answered_ms = now);
        match answer {
            Ok(Ok(latest)) => self.note(|known| known.latest = latest),
            Ok(Err(error)) => {
                tracing::debug!("no newer release was found: {}", chain(&error));
            }
            Err(_) => {
                tracing::debug!("the question for newer releases was not answered in time");
            }
        }
    }

    async fn latest(&self) -> Result<Option<ProgramRelease>, images::github::ApiError> {
        let github = GitHub::new(Options {
            api: self.api.clone(),
            // By `ETag`, so that the same answer costs GitHub nothing.
            cache: Some(self.home.cache().join("github")),
            retry: Retry {
                attempts: 0,
                ..Retry::default()
            },
            idle: LIMIT,
            token: None,
        })?;
        let release = github.latest_release(&self.repository).await?;
        Ok(release.and_then(|release| {
            Some(ProgramRelease {
                version: release.tag.strip_prefix('v')?.to_owned(),
                url: release.url,
            })
        }))
    }

    /// The latest release, if it is newer than the version `own` and nobody was told today.
    pub fn to_tell(&self, own: &str) -> Option<ProgramRelease> {
        let (known, now) = (self.known(), host::now_ms());
        let latest = known
            .latest
            .filter(|latest| is_newer(&latest.version, own))?;
        has_passed(DAY_MS, known.told_ms, now).then(|| {
            self.note(|known| known.told_ms = now);
            latest
        })
    }

    /// The latest release, if it is newer than the version `own` and was not dismissed.
    pub fn to_show(&self, own: &str) -> Option<ProgramRelease> {
        let known = self.known();
        let latest = known.latest?;
        let dismissed = known.dismissed.as_ref() == Some(&latest.version);
        (is_newer(&latest.version, own) && !dismissed).then_some(latest)
    }

    /// Has the release `version` not shown again; a later one is.
    pub fn dismiss(&self, version: &str) {
        self.note(|known| known.dismissed = Some(version.to_owned()));
    }

    fn known(&self) -> Known {
        record::read_optional(&self.home.updates())
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    fn note(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        change(&mut known);
        let path = self.home.updates();
        let written = std::fs::create_dir_all(self.home.cache())
            .map_err(|error| error.to_string())
            .and_then(|()| {
                record::write(&path, &known, Durability::ThisBoot).map_err(|error| chain(&error))
            });
        if let Err(error) = written {
            tracing::debug!("what is known of newer releases is not kept: {error}");
        }
    }
}

impl Known {
    const fn is_due(&self, now_ms: u64) -> bool {
        has_passed(DAY_MS, self.answered_ms, now_ms) && has_passed(HOUR_MS, self.asked_ms, now_ms)
    }
}

/// Whether so long has passed between two times. A clock that was set back does not count as one that stands.
const fn has_passed(period_ms: u64, last_ms: u64, now_ms: u64) -> bool {
    now_ms < last_ms || now_ms - last_ms >= period_ms
}

/// Whether the version `one` comes after `other`. What is not three numbers comes after nothing.
fn is_newer(one: &str, other: &str) -> bool {
    match (numbers(one), numbers(other)) {
        (Some(one), Some(other)) => one > other,
        _ => false,
    }
}

fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| {
        let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten()
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookout(home: &std::path::Path) -> Lookout {
        Lookout {
            home: Home::new(home.to_owned()),
            api: None,
            repository: "owner/name".parse().unwrap(),
        }
    }

    #[test]
    fn a_release_is_told_once_a_day_and_only_if_it_is_newer() {
        let dir = tempfile::tempdir().unwrap();
        let lookout = lookout(dir.path());
        assert_eq!(lookout.to_tell("0.1.0"), None, "nobody has asked yet");
        let latest = ProgramRelease {
            version: "0.2.0".into(),
            url: "https://host.example/v0.2.0".into(),
        };
        lookout.note(|known| known.latest = Some(latest.clone()));
        assert_eq!(lookout.to_tell("0.2.0"), None);
        assert_eq!(lookout.to_tell("0.1.0"), Some(latest.clone()));
        assert_eq!(lookout.to_tell("0.1.0"), None, "it was told");
        lookout.note(|known| known.told_ms -= DAY_MS);
        assert_eq!(lookout.to_tell("0.1.0"), Some(latest));
    }

    #[test]
    fn a_release_is_shown_until_it_is_dismissed_and_the_next_one_again() {
        let dir = tempfile::tempdir().unwrap();
        let lookout = lookout(dir.path());
        assert_eq!(lookout.to_show("0.1.0"), None);
        let release = |version: &str| ProgramRelease {
            version: version.into(),
            url: format!("https://host.example/v{version}"),
        };
        let found = |version| lookout.note(|known| known.latest = Some(release(version)));
        found("0.2.0");
        assert_eq!(lookout.to_show("0.2.0"), None);
        for _ in 0..2 {
            assert_eq!(lookout.to_show("0.1.0"), Some(release("0.2.0")));
        }
        lookout.dismiss("0.2.0");
        assert_eq!(lookout.to_show("0.1.0"), None);
        assert_eq!(
            lookout.to_tell("0.1.0"),
            Some(release("0.2.0")),
            "the command line has a rule of its own"
        );
        found("0.3.0");
        assert_eq!(lookout.to_show("0.1.0"), Some(release("0.3.0")));
    }

    #[test]
    fn a_question_without_an_answer_is_asked_again_sooner() {
        let now = 1_000 * DAY_MS;
        let of = |asked_ms, answered_ms| Known {
            asked_ms,
            answered_ms,
            ..Known::default()
        };
        assert!(!of(now, now - 2 * DAY_MS).is_due(now + HOUR_MS - 1));
        assert!(of(now, now - 2 * DAY_MS).is_due(now + HOUR_MS));
        assert!(!of(now, now).is_due(now + DAY_MS - 1));
        assert!(of(now, now).is_due(now + DAY_MS));
    }

    #[tokio::test]
    async fn no_home_is_made_to_ask_from() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        lookout(&home).ask().await;
        assert!(!home.exists());
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (one, other, newer) in [
            ("0.10.0", "0.9.9", true),
            ("1.0.0", "1.0.0", false),
            ("0.9.0", "1.0.0", false),
            ("1.0.0-rc.1", "0.1.0", false),
            ("1.0", "0.1.0", false),
            ("+1.0.0", "0.1.0", false),
            ("", "0.1.0", false),
        ] {
            assert_eq!(is_newer(one, other), newer, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn versions_are_ordered_as_their_numbers(one: [u64; 3], other: [u64; 3]) {
            let text = |[a, b, c]: [u64; 3]| format!("{a}.{b}.{c}");
            prop_assert_eq!(is_newer(&text(one), &text(other)), one > other);
        }

        #[test]
        fn no_text_makes_it_panic(one: String, other: String) {
            let both = is_newer(&one, &other) && is_newer(&other, &one);
            prop_assert!(!both);
        }

        /// Whatever the clock does, the next question comes: at once, or within a day of the clock.
        #[test]
        fn a_question_is_due_in_the_end(last: u64, now: u64) {
            let known = Known { asked_ms: last, answered_ms: last, ..Known::default() };
            prop_assert!(known.is_due(now) || known.is_due(now.saturating_add(DAY_MS)) || now > u64::MAX - DAY_MS);
        }
    }
}
