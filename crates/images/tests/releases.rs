//! Which releases are found, how many questions that takes, and where a moved repository leads.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{World, repo, tag};
use images::github::{GitHub, Options};
use images::source::{Arch, Source, resolve};
use progress::Silent;
use release_server::Release;

fn release(tag: &str) -> Release {
    Release {
        tag: tag.into(),
        published_at: "2026-02-01T00:00:00Z".into(),
        ..Release::default()
    }
}

#[tokio::test]
async fn releases_of_the_emulator_are_found_by_their_tags() {
    let world = World::new();
    let mut scenario = world.scenario();
    for n in 0..5 {
        scenario.releases.push(Release {
            published_at: format!("2025-02-0{}T00:00:00Z", n + 1),
            ..release(&format!("emulator-main-2025020{n}-abc"))
        });
        scenario.releases.push(release(&format!("v{n}")));
    }
    scenario.releases.push(Release {
        draft: true,
        ..release("emulator-draft")
    });
    world.server.set_scenario(scenario);
    let releases = world.github().emulator_releases(&repo()).await.unwrap();
    let tags: Vec<_> = releases.iter().map(|release| &release.tag[..]).collect();
    assert_eq!(tags.len(), 6);
    assert_eq!(
        tags[..2],
        ["emulator-dev-latest", "emulator-main-20250204-abc"]
    );
    assert!(releases[0].prerelease && !releases[0].latest);
    assert_eq!(
        releases[0].asset(common::DISK).unwrap().digest,
        Some(world.digest())
    );
    let latest: Vec<_> = releases.iter().filter(|release| release.latest).collect();
    assert_eq!(latest.len(), 1);
    assert_eq!(latest[0].tag, "emulator-main-20250200-abc");
    assert!(
        serde_json::to_string(&releases)
            .unwrap()
            .contains("\"prerelease\":true")
    );
    let asked: Vec<_> = world
        .server
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(
        asked[0],
        "/repos/owner/name/git/matching-refs/tags/emulator-"
    );
    assert_eq!(
        asked.len(),
        8,
        "one for the tags, one for each, and which is the latest: {asked:?}"
    );
}

/// Without a token there are 60 questions an hour.
#[tokio::test]
async fn an_anonymous_list_ends_at_the_newest() {
    let world = World::new();
    let mut scenario = world.scenario();
    for n in 0..40 {
        scenario.releases.push(Release {
            prerelease: true,
            ..release(&format!("emulator-main-202501{:02}-abc", n + 10))
        });
    }
    world.server.set_scenario(scenario);
    let github = GitHub::new(Options {
        token: None,
        ..world.options()
    })
    .unwrap();
    let releases = github.emulator_releases(&repo()).await.unwrap();
    assert_eq!(releases.len(), 25);
    assert!(
        releases
            .iter()
            .any(|release| release.tag == "emulator-dev-latest")
    );
    assert!(
        releases
            .iter()
            .any(|release| release.tag == "emulator-main-20250149-abc")
    );
    assert!(
        !releases
            .iter()
            .any(|release| release.tag == "emulator-main-20250110-abc")
    );
    let all = world.github().emulator_releases(&repo()).await.unwrap();
    assert_eq!(all.len(), 41);
}

#[tokio::test]
async fn releases_with_other_tags_are_listed_over_pages() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.page_size = 2;
    scenario.releases[0].tag = "my-emulator".into();
    for n in 0..5 {
        scenario.releases.push(release(&format!("v{n}")));
    }
    scenario.releases.push(Release {
        name: "The Emulator".into(),
        draft: true,
        ..release("misc")
    });
    world.server.set_scenario(scenario);
    let releases = world.github().emulator_releases(&repo()).await.unwrap();
    assert_eq!(releases.len(), 2);
    assert_eq!(releases[0].tag, "my-emulator");
    assert!(releases[1].draft && releases[1].published_at.is_none());
}

/// GitHub answers for a repository that was renamed, or went to another owner, with 301 and its number.
#[tokio::test]
async fn a_repository_that_moved_is_followed_and_the_token_goes_nowhere_else() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.former_name = Some(repo().to_string());
    scenario.repository = "new-owner/new-name".into();
    world.server.set_scenario(scenario);
    assert_eq!(
        world
            .github()
            .emulator_releases(&repo())
            .await
            .unwrap()
            .len(),
        1
    );
    let rolling = Source::Rolling {
        branch: "dev".into(),
    };
    let fetched = world.pull(&rolling).await.unwrap();
    world.is_whole(&fetched);
    let requests = world.server.requests();
    assert!(requests.iter().any(|request| request.status == 301));
    for request in &requests {
        let of_api =
            request.path.starts_with("/repos/") || request.path.starts_with("/repositories/");
        assert_eq!(request.has_token(), of_api, "{}", request.path);
    }
}

#[tokio::test]
async fn the_age_of_an_old_newest_image_is_said() {
    let world = World::new();
    let rolling = Source::Rolling {
        branch: "dev".into(),
    };
    let said = async |updated_at: &str, source: &Source| {
        let mut scenario = world.scenario();
        scenario.releases[0].assets[0].updated_at = updated_at.into();
        world.server.set_scenario(scenario);
        let resolved = resolve(&world.github(), &repo(), source, Arch::Amd64, &Silent).await;
        resolved.unwrap().warnings
    };
    let old = said("2020-01-01T00:00:00Z", &rolling).await;
    assert!(
        old[0].starts_with("The newest image of the branch dev is "),
        "{old:?}"
    );
    assert_eq!(said("9000-01-01T00:00:00Z", &rolling).await, [""; 0]);
    // Who asks for a certain one knows how old it is.
    assert_eq!(said("2020-01-01T00:00:00Z", &tag()).await, [""; 0]);
}
