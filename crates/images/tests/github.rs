//! What is asked of the REST API, how often, and what is made of its answers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{COMMIT, Notes, TOKEN, World, repo, tag};
use failure::{Code, Remedy};
use images::Token;
use images::github::{ApiError, GitHub, Options, Repo};
use images::http::HttpError;
use images::source::{Origin, Source};
use release_server::{Asset, Fault, FaultKind, Pull, Release, Run};

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";

fn release(tag: &str) -> Release {
    Release {
        tag: tag.into(),
        published_at: "2026-02-01T00:00:00Z".into(),
        ..Release::default()
    }
}

#[tokio::test]
async fn listing_again_costs_no_rate_limit() {
    let world = World::new();
    let github = GitHub::new(Options {
        cache: Some(world.dir.path().join("cache")),
        ..world.options()
    })
    .unwrap();
    let first = github.emulator_releases(&repo()).await.unwrap();
    world.server.forget_requests();
    assert_eq!(github.emulator_releases(&repo()).await.unwrap(), first);
    let statuses: Vec<_> = world
        .server
        .requests()
        .iter()
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [304, 304]);
    // What has changed is seen.
    let mut scenario = world.scenario();
    scenario.releases.push(release("emulator-new"));
    world.server.set_scenario(scenario);
    assert_eq!(github.emulator_releases(&repo()).await.unwrap().len(), 2);
    world.server.forget_requests();
    let releases = github.emulator_releases(&repo()).await.unwrap();
    assert!(releases.iter().any(|release| release.latest));
    let statuses = world
        .server
        .requests()
        .into_iter()
        .map(|request| request.status);
    assert_eq!(statuses.collect::<Vec<_>>(), [304; 4]);
}

#[tokio::test]
async fn a_used_up_rate_limit_is_told_with_its_end_and_not_tried_again() {
    let world = World::new();
    world.server.set_faults(vec![Fault::always(
        "/releases",
        FaultKind::RateLimited { reset_in: 600 },
    )]);
    for (token, authenticated) in [(None, false), (Token::new(TOKEN.into()), true)] {
        world.server.forget_requests();
        let github = GitHub::new(Options {
            token,
            ..world.options()
        })
        .unwrap();
        assert_eq!(github.rate_limit(), None);
        let error = github.emulator_releases(&repo()).await.unwrap_err();
        let told = github.rate_limit().unwrap();
        assert_eq!((told.limit, told.remaining), (60, 0));
        assert_eq!(error.code(), "rate_limited");
        assert!(error.to_string().contains("more in 10 min"), "{error}");
        let remedy = if authenticated {
            Remedy::RetryLater
        } else {
            Remedy::SetTokenForMore
        };
        assert_eq!(error.remedy(), Some(remedy));
        let ApiError::Http(HttpError::RateLimited {
            limit,
            remaining,
            reset_at,
            authenticated: sent,
            ..
        }) = error
        else {
            panic!("{error}")
        };
        assert_eq!((limit, remaining, sent), (Some(60), Some(0), authenticated));
        assert!(reset_at.is_some());
        // That of the tags was answered.
        assert_eq!(world.server.requests().len(), 2);
    }
    let headers = vec![("retry-after".into(), "30".into())];
    world.server.set_faults(vec![Fault::always(
        "/releases",
        FaultKind::Status {
            status: 429,
            headers,
        },
    )]);
    let error = world.github().emulator_releases(&repo()).await.unwrap_err();
    assert_eq!(error.code(), "rate_limited");
    assert!(error.to_string().contains("more in 30 s"), "{error}");
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again_and_one_that_refuses_is_not() {
    let world = World::new();
    let status = |status| FaultKind::Status {
        status,
        headers: vec![],
    };
    for kind in [status(500), status(503), FaultKind::Cut { after: 10 }] {
        world
            .server
            .set_faults(vec![Fault::times(2, "/releases/tags", kind)]);
        let (github, notes) = (world.github(), Notes::default());
        let repo = repo();
        let work = github.release_by_tag(&repo, "emulator-dev-latest");
        github.telling(&notes, work).await.unwrap();
        let told = notes.text();
        assert!(
            told.contains("(attempt 2)") && told.contains("(attempt 3)"),
            "{told}"
        );
    }
    // A pull tells of it as well.
    world
        .server
        .set_faults(vec![Fault::times(1, "/releases/tags", status(503))]);
    let notes = Notes::default();
    let pulled = world.pull_with(&world.github(), &tag(), &notes).await;
    pulled.unwrap();
    assert!(notes.text().contains("(attempt 2)"), "{}", notes.text());
    world
        .server
        .set_faults(vec![Fault::always("/releases/tags", status(500))]);
    world.server.forget_requests();
    let error = world
        .github()
        .release_by_tag(&repo(), "x")
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), world.server.requests().len()),
        (Code::GithubStatus, 4)
    );
    for code in [400, 401, 403, 404, 410, 422] {
        world
            .server
            .set_faults(vec![Fault::always("/releases/tags", status(code))]);
        world.server.forget_requests();
        world
            .github()
            .release_by_tag(&repo(), "x")
            .await
            .unwrap_err();
        assert_eq!(world.server.requests().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_wrong_token_and_a_wrong_name_are_told_apart() {
    let world = World::new();
    let github = |token: Option<&str>| {
        let token = token.and_then(|token| Token::new(token.into()));
        GitHub::new(Options {
            token,
            ..world.options()
        })
        .unwrap()
    };
    let error = github(Some("ghp_old"))
        .release_by_tag(&repo(), "x")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "github_token_refused");
    assert!(!format!("{error:?}").contains("ghp_old"));
    let other: Repo = "owner/other".parse().unwrap();
    for (token, authenticated) in [(None, false), (Some(TOKEN), true)] {
        let error = github(token).release_by_tag(&other, "x").await.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
        assert_eq!(error.remedy(), Some(Remedy::CheckName { authenticated }));
    }
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    let world = World::new();
    let status = FaultKind::Status {
        status: 200,
        headers: vec![],
    };
    world
        .server
        .set_faults(vec![Fault::always("/releases", status)]);
    let error = world.github().emulator_releases(&repo()).await.unwrap_err();
    assert_eq!(error.code(), "github_answer");
}

#[tokio::test]
async fn a_release_without_the_image_names_what_it_has() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.releases[0].assets[0].name = "stack-emulator-arm64.qcow2".into();
    world.server.set_scenario(scenario.clone());
    let error = world.pull(&tag()).await.unwrap_err();
    assert_eq!(error.code(), "no_asset");
    assert!(
        error.text().contains("it has stack-emulator-arm64.qcow2"),
        "{}",
        error.text()
    );
    scenario.releases[0].assets = vec![Asset {
        uploading: true,
        ..world.scenario().releases[0].assets[0].clone()
    }];
    world.server.set_scenario(scenario);
    assert_eq!(
        world.pull(&tag()).await.unwrap_err().code(),
        "asset_uploading"
    );
    let missing = Source::Rolling {
        branch: "none".into(),
    };
    assert_eq!(
        world.pull(&missing).await.unwrap_err().code(),
        "github_not_found"
    );
}

#[tokio::test]
async fn a_release_made_from_a_branch_has_the_commit_of_its_tag() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.releases[0].target = "dev".into();
    scenario.releases[0].commit = COMMIT.into();
    world.server.set_scenario(scenario.clone());
    let rolling = Source::default();
    let fetched = world.pull(&rolling).await.unwrap();
    assert_eq!(fetched.origin.commit(), Some(COMMIT));
    let Origin::Release { branch, .. } = &fetched.origin else {
        panic!("{:?}", fetched.origin)
    };
    assert_eq!(branch.as_deref(), Some("dev"));
    scenario.releases[0].commit.clear();
    world.server.set_scenario(scenario);
    let fetched = world.pull(&rolling).await.unwrap();
    assert_eq!((fetched.origin.commit(), fetched.base_env), (None, None));
    assert!(
        fetched
            .warnings
            .join("\n")
            .contains("not known which commit"),
        "{:?}",
        fetched.warnings
    );
}

/// A pull request whose newest commit is [`NEW`] on `feature` of a fork.
fn with_runs(world: &World, runs: Vec<Run>) {
    with_runs_of(world, "fork/name", runs);
}

fn with_runs_of(world: &World, fork: &str, runs: Vec<Run>) {
    let mut scenario = world.scenario();
    let artifacts = scenario.runs[0].artifacts.clone();
    scenario.pulls = vec![Pull {
        number: 7,
        title: "A feature".into(),
        head_sha: NEW.into(),
        head_branch: "feature".into(),
        head_repository: fork.into(),
    }];
    scenario.runs = runs;
    for run in &mut scenario.runs {
        if run.artifacts.is_empty() {
            run.artifacts.clone_from(&artifacts);
            run.artifacts[0].id = run.id + 100;
        }
    }
    world.server.set_scenario(scenario);
}

fn run(id: u64, sha: &str, repository: &str) -> Run {
    Run {
        id,
        head_sha: sha.into(),
        head_branch: "feature".into(),
        head_repository: repository.into(),
        created_at: format!("2026-01-01T00:00:{:02}Z", id % 60),
        ..Run::default()
    }
}

fn ended(conclusion: &str, run: Run) -> Run {
    Run {
        conclusion: conclusion.into(),
        ..run
    }
}

fn running(run: Run) -> Run {
    Run {
        status: "in_progress".into(),
        ..run
    }
}

async fn pulled_run(world: &World) -> (u64, String) {
    let fetched = world.pull(&Source::PullRequest(7)).await.unwrap();
    let Origin::PullRequest { run, number: 7, .. } = fetched.origin else {
        panic!("{:?}", fetched.origin)
    };
    assert_eq!(fetched.origin.label(), "pr-7");
    (run, fetched.warnings.join("\n"))
}

#[tokio::test]
async fn a_pull_request_means_the_newest_good_run_of_its_newest_commit() {
    let world = World::new();
    with_runs(
        &world,
        vec![
            ended("failure", run(24, NEW, "fork/name")),
            run(23, NEW, "fork/name"),
            run(22, NEW, "fork/name"),
            run(29, OLD, "fork/name"),
        ],
    );
    let (id, warnings) = pulled_run(&world).await;
    assert_eq!(id, 23);
    assert!(!warnings.contains("earlier"), "{warnings}");
}

#[tokio::test]
async fn else_the_newest_good_run_of_its_branch_and_of_nobody_else_s() {
    let world = World::new();
    for (newest, said) in [
        (running(run(30, NEW, "fork/name")), "still being built"),
        (
            ended("failure", run(30, NEW, "fork/name")),
            "could not be built (failure",
        ),
    ] {
        with_runs(
            &world,
            vec![
                newest,
                run(29, OLD, "stranger/name"),
                run(28, OLD, "owner/name"),
                run(27, OLD, "fork/name"),
            ],
        );
        let (id, warnings) = pulled_run(&world).await;
        assert_eq!(id, 27);
        assert!(
            warnings.contains(said) && warnings.contains("111111111111"),
            "{warnings}"
        );
    }
}

#[tokio::test]
async fn without_a_build_it_is_said_why() {
    let world = World::new();
    for (runs, code) in [
        (vec![], "no_build"),
        (vec![run(20, OLD, "stranger/name")], "no_build"),
        (vec![running(run(20, NEW, "fork/name"))], "build_running"),
        (
            vec![ended("timed_out", run(20, NEW, "fork/name"))],
            "build_failed",
        ),
    ] {
        with_runs(&world, runs);
        let error = world.pull(&Source::PullRequest(7)).await.unwrap_err();
        assert_eq!(error.code(), code, "{}", error.text());
    }
    assert_eq!(
        world
            .pull(&Source::PullRequest(8))
            .await
            .unwrap_err()
            .code(),
        "github_not_found"
    );
}

/// Then nothing but the branch's name is left, which the repository itself may have too.
#[tokio::test]
async fn of_a_deleted_fork_only_the_very_commit_is_taken() {
    let world = World::new();
    let with_deleted_fork = |runs| with_runs_of(&world, "", runs);
    with_deleted_fork(vec![run(29, OLD, "owner/name"), run(28, OLD, "fork/name")]);
    let error = world.pull(&Source::PullRequest(7)).await.unwrap_err();
    assert_eq!(error.code(), "no_build", "{}", error.text());
    with_deleted_fork(vec![run(29, OLD, "owner/name"), run(28, NEW, "fork/name")]);
    assert_eq!(pulled_run(&world).await.0, 28);
}

#[tokio::test]
async fn a_run_says_whether_it_is_running_failed_expired_or_of_another_kind() {
    let world = World::new();
    let source = Source::Run(20);
    let code = async || world.pull(&source).await.unwrap_err().code();
    let mut other = run(20, NEW, "");
    other.artifacts = vec![release_server::Artifact {
        id: 5,
        name: "logs".into(),
        files: vec![world.file()],
        ..release_server::Artifact::default()
    }];
    with_runs(&world, vec![other.clone()]);
    assert_eq!(code().await, "no_artifact");
    with_runs(&world, vec![running(other.clone())]);
    assert_eq!(code().await, "build_running");
    with_runs(&world, vec![ended("failure", other)]);
    assert_eq!(code().await, "build_failed");

    // It has left an image although another job of it has failed.
    with_runs(&world, vec![ended("failure", run(20, NEW, ""))]);
    let fetched = world.pull(&source).await.unwrap();
    assert!(
        fetched.warnings.join("\n").contains("all the same"),
        "{:?}",
        fetched.warnings
    );

    let mut expired = run(20, NEW, "");
    expired.artifacts = world.scenario().runs[0].artifacts.clone();
    expired.artifacts[0].expired = true;
    with_runs(&world, vec![expired]);
    assert_eq!(code().await, "artifact_expired");
    // Or it expires between the question and the download.
    with_runs(&world, vec![run(20, NEW, "")]);
    std::fs::remove_dir_all(world.staging()).unwrap();
    world.server.set_faults(vec![Fault::always(
        "/zip",
        FaultKind::Status {
            status: 410,
            headers: vec![],
        },
    )]);
    assert_eq!(code().await, "github_expired");
}

#[tokio::test]
async fn artifacts_need_a_token_which_is_said_before_anything_is_tried() {
    let world = World::new();
    let github = GitHub::new(Options {
        token: None,
        ..world.options()
    })
    .unwrap();
    let notes = Notes::default();
    let error = world
        .pull_with(&github, &Source::Run(10), &notes)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "token_needed");
    assert!(error.text().contains("SetToken"));
    assert!(
        world
            .server
            .requests()
            .iter()
            .all(|request| !request.path.ends_with("/zip"))
    );
    // Releases do not.
    world.pull_with(&github, &tag(), &notes).await.unwrap();
}
