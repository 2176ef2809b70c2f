//! Downloads from a server that does everything wrong that servers do.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{COMMIT, DISK_PATH, Notes, TOKEN, World, ZIP_PATH, content, repo, tag};
use images::fetch::{FetchOptions, Verification, claim, fetch};
use images::github::GitHub;
use images::http::Retry;
use images::source::{Arch, Source, resolve};
use progress::{Phase, Silent};
use release_server::{Fault, FaultKind};

#[tokio::test]
async fn a_release_comes_verified_with_its_settings_and_the_token_stays_with_the_api() {
    let world = World::new();
    let notes = Notes::default();
    let fetched = world
        .pull_with(&world.github(), &tag(), &notes)
        .await
        .unwrap();
    world.is_whole(&fetched);
    assert_eq!(fetched.verified, Verification::Release);
    assert_eq!(fetched.warnings, [""; 0]);
    assert_eq!(fetched.origin.commit(), Some(COMMIT));
    let settings = std::fs::read_to_string(fetched.base_env.unwrap()).unwrap();
    assert!(settings.contains("FROM_BACKEND=1\n") && settings.contains("FROM_DASHBOARD=1\n"));
    assert!(settings.contains("STACK_EMAIL_PORT=2500\n"));

    let requests = world.server.requests();
    let (storage, api): (Vec<_>, Vec<_>) = requests
        .iter()
        .partition(|request| request.path.starts_with("/storage/"));
    assert!(!storage.is_empty() && storage.iter().all(|request| !request.has_token()));
    assert!(
        api.iter()
            .all(|request| request.headers["authorization"] == format!("Bearer {TOKEN}"))
    );
    let bytes = notes.bytes.lock().unwrap();
    let last = bytes.last().unwrap();
    assert_eq!(*last, (Phase::Download, fetched.bytes, fetched.bytes));
}

#[tokio::test]
async fn cut_at_any_byte_it_goes_on_from_there() {
    let world = World::new();
    let length = world.disk.len() as u64;
    for after in [0, 1, 65_535, 65_536, length / 2, length - 1] {
        world.server.forget_requests();
        world
            .server
            .set_faults(vec![Fault::times(1, DISK_PATH, FaultKind::Cut { after })]);
        let fetched = world.pull(&tag()).await.unwrap();
        world.is_whole(&fetched);
        let transfers = world.transfers();
        assert_eq!(transfers.len(), 2, "{transfers:?}");
        assert_eq!(transfers[1].0, after, "no byte twice: {transfers:?}");
        assert_eq!(fetched.received, length);
        std::fs::remove_dir_all(world.staging()).unwrap();
    }
}

#[tokio::test]
async fn a_later_pull_continues_an_earlier_one() {
    let world = World::new();
    world.server.set_faults(vec![Fault::always(
        DISK_PATH,
        FaultKind::Cut { after: 400_000 },
    )]);
    let github = GitHub::new(images::github::Options {
        retry: Retry {
            attempts: 0,
            ..world.options().retry
        },
        ..world.options()
    })
    .unwrap();
    let error = world.pull_with(&github, &tag(), &Silent).await.unwrap_err();
    assert_eq!(error.code(), "network");
    world.server.set_faults(vec![]);
    world.server.forget_requests();
    let notes = Notes::default();
    let fetched = world.pull_with(&github, &tag(), &notes).await.unwrap();
    world.is_whole(&fetched);
    assert_eq!(world.transfers()[0].0, 400_000);
    assert_eq!(fetched.received, fetched.bytes - 400_000);
    assert!(notes.text().contains("begin reread"), "{}", notes.text());
    let bytes = notes.bytes.lock().unwrap();
    let mut downloaded = bytes.iter().filter(|(phase, ..)| *phase == Phase::Download);
    assert_eq!(
        downloaded.next().map(|(_, done, _)| *done),
        Some(400_000),
        "a rate counts from what was there already"
    );
}

#[tokio::test]
async fn what_was_finished_and_not_brought_home_is_not_downloaded_again() {
    let world = World::new();
    world.pull(&tag()).await.unwrap();
    world.server.forget_requests();
    let fetched = world.pull(&tag()).await.unwrap();
    world.is_whole(&fetched);
    assert_eq!((world.transfers(), fetched.received), (vec![], 0));
    // Unless it is not what it was.
    std::fs::write(&fetched.disk, b"something else").unwrap();
    let fetched = world.pull(&tag()).await.unwrap();
    world.is_whole(&fetched);
    assert_eq!(world.transfers().len(), 1);
}

#[tokio::test]
async fn a_wrong_digest_is_an_error_and_nothing_is_kept() {
    let world = World::new();
    world.server.set_faults(vec![Fault::always(
        DISK_PATH,
        FaultKind::Corrupt { at: 77_777 },
    )]);
    let error = world.pull(&tag()).await.unwrap_err();
    assert_eq!(error.code(), "download_digest");
    assert!(
        error.text().contains(&world.digest().to_string()),
        "{}",
        error.text()
    );
    assert_eq!(
        world.transfers().len(),
        1,
        "what came in one piece is not tried again"
    );
    assert!(world.parts().is_empty());
    world.server.set_faults(vec![]);
    world.is_whole(&world.pull(&tag()).await.unwrap());
}

#[tokio::test]
async fn a_damaged_first_half_is_found_and_all_of_it_fetched_again() {
    let world = World::new();
    world.server.set_faults(vec![
        Fault::times(1, DISK_PATH, FaultKind::Corrupt { at: 5 }),
        Fault::times(1, DISK_PATH, FaultKind::Cut { after: 100_000 }),
    ]);
    let notes = Notes::default();
    let fetched = world
        .pull_with(&world.github(), &tag(), &notes)
        .await
        .unwrap();
    world.is_whole(&fetched);
    let starts: Vec<_> = world.transfers().iter().map(|(from, _)| *from).collect();
    assert_eq!(starts, [0, 100_000, 0]);
    assert!(notes.text().contains("mixture"), "{}", notes.text());
}

#[tokio::test]
async fn a_wrong_length_is_an_error() {
    for (kind, found) in [
        (FaultKind::Shorter { by: 10 }, (3 << 20) - 10),
        (FaultKind::Longer { by: 10 }, (3 << 20) + 10),
    ] {
        let world = World::new();
        world
            .server
            .set_faults(vec![Fault::always(DISK_PATH, kind.clone())]);
        let error = world.pull(&tag()).await.unwrap_err();
        assert_eq!(error.code(), "download_length", "{kind:?}");
        assert!(
            error.text().contains(&found.to_string()),
            "{}",
            error.text()
        );
        // Nor when no length is told beforehand.
        world.server.set_faults(vec![
            Fault::always(DISK_PATH, kind.clone()),
            Fault::always(DISK_PATH, FaultKind::Chunked),
        ]);
        let error = world.pull(&tag()).await.unwrap_err();
        assert_eq!(error.code(), "download_length", "{kind:?} {}", error.text());
    }
}

#[tokio::test]
async fn without_a_length_all_of_it_still_comes() {
    let world = World::new();
    world
        .server
        .set_faults(vec![Fault::always(DISK_PATH, FaultKind::Chunked)]);
    world.is_whole(&world.pull(&tag()).await.unwrap());
}

#[tokio::test]
async fn a_file_that_changes_between_two_ranges_is_fetched_whole() {
    for ignoring in [false, true] {
        let mut world = World::new();
        let mut scenario = world.scenario();
        // With the digest of what it will be: as when a release is replaced.
        let other = content(3 << 20, 2);
        let digest = images::Sha256Digest::of(&other).to_string();
        scenario.releases[0].assets[0].digest = Some(digest);
        world.server.set_scenario(scenario);
        let mut faults = vec![Fault::times(
            1,
            DISK_PATH,
            FaultKind::Cut { after: 1_000_000 },
        )];
        if ignoring {
            faults.push(Fault::always(DISK_PATH, FaultKind::IgnoreIfRange));
        }
        world.server.set_faults(faults);
        let github = GitHub::new(images::github::Options {
            retry: Retry {
                attempts: 0,
                ..world.options().retry
            },
            ..world.options()
        })
        .unwrap();
        let error = world.pull_with(&github, &tag(), &Silent).await.unwrap_err();
        assert_eq!(error.code(), "network");
        std::fs::write(world.file(), &other).unwrap();
        world.disk = other;
        world.server.forget_requests();
        let fetched = world.pull_with(&github, &tag(), &Silent).await.unwrap();
        world.is_whole(&fetched);
        let starts: Vec<_> = world.transfers().iter().map(|(from, _)| *from).collect();
        // A server that knows If-Range answers the first request with all of it.
        assert_eq!(
            starts,
            if ignoring {
                vec![1_000_000, 0]
            } else {
                vec![1_000_000]
            }
        );
    }
}

#[tokio::test]
async fn a_changed_file_without_validator_is_found_by_its_digest() {
    let world = World::new();
    world.server.set_faults(vec![
        Fault::always(DISK_PATH, FaultKind::NoValidator),
        Fault::times(1, DISK_PATH, FaultKind::Cut { after: 1_000_000 }),
    ]);
    let fetched = world.pull(&tag()).await.unwrap();
    world.is_whole(&fetched);
    let starts: Vec<_> = world.transfers().iter().map(|(from, _)| *from).collect();
    assert_eq!(
        starts,
        [0, 0],
        "what cannot be told to be the same is not continued"
    );
}

#[tokio::test]
async fn a_server_without_ranges_is_good_enough() {
    let world = World::new();
    world.server.set_faults(vec![
        Fault::always(DISK_PATH, FaultKind::IgnoreRange),
        Fault::times(1, DISK_PATH, FaultKind::Cut { after: 1_000_000 }),
    ]);
    world.is_whole(&world.pull(&tag()).await.unwrap());
}

#[tokio::test]
async fn a_range_beyond_the_end_means_that_it_is_all_here_or_another_file() {
    let mut world = World::new();
    world.server.set_faults(vec![
        Fault::always(DISK_PATH, FaultKind::Chunked),
        Fault::times(1, DISK_PATH, FaultKind::Cut { after: 1_000_000 }),
        Fault::always(DISK_PATH, FaultKind::IgnoreIfRange),
    ]);
    let github = GitHub::new(images::github::Options {
        retry: Retry {
            attempts: 0,
            ..world.options().retry
        },
        ..world.options()
    })
    .unwrap();
    assert_eq!(
        world
            .pull_with(&github, &tag(), &Silent)
            .await
            .unwrap_err()
            .code(),
        "network"
    );
    // By now the asset is a shorter one, which only a server would do that
    // breaks the rules, for another file has another number.
    world.disk = content(500_000, 3);
    std::fs::write(world.file(), &world.disk).unwrap();
    world.server.forget_requests();
    let fetched = world.pull_with(&github, &tag(), &Silent).await.unwrap();
    world.is_whole(&fetched);
    let requests = world.server.requests();
    let statuses: Vec<_> = requests
        .iter()
        .filter(|request| request.path == DISK_PATH)
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [416, 200]);
}

#[tokio::test]
async fn errors_of_the_server_are_waited_out_and_errors_of_ours_are_not() {
    let world = World::new();
    let status = |status| FaultKind::Status {
        status,
        headers: vec![],
    };
    world
        .server
        .set_faults(vec![Fault::times(3, DISK_PATH, status(502))]);
    let notes = Notes::default();
    world.is_whole(
        &world
            .pull_with(&world.github(), &tag(), &notes)
            .await
            .unwrap(),
    );
    assert!(notes.text().contains("(attempt 4)"), "{}", notes.text());

    for (code, status_code) in [
        ("github_not_found", 404),
        ("github_expired", 410),
        ("github_forbidden", 403),
    ] {
        std::fs::remove_dir_all(world.staging()).unwrap();
        world.server.forget_requests();
        world
            .server
            .set_faults(vec![Fault::always(DISK_PATH, status(status_code))]);
        assert_eq!(world.pull(&tag()).await.unwrap_err().code(), code);
        assert_eq!(world.transfers().len(), 1, "asked once");
    }
}

#[tokio::test]
async fn a_redirect_loop_ends_and_the_token_does_not_come_back() {
    let world = World::new();
    world.server.set_faults(vec![Fault::always(
        "/releases/assets/1",
        FaultKind::RedirectLoop,
    )]);
    let error = world.pull(&tag()).await.unwrap_err();
    assert_eq!(error.code(), "redirect");

    // From the API to the storage and back: what was left behind stays behind.
    world.server.forget_requests();
    let back = format!("{}repos/owner/name/back", world.server.api());
    world.server.set_faults(vec![Fault::always(
        DISK_PATH,
        FaultKind::Redirect { to: back },
    )]);
    assert_eq!(
        world.pull(&tag()).await.unwrap_err().code(),
        "github_not_found"
    );
    let requests = world.server.requests();
    let back = requests
        .iter()
        .find(|request| request.path.ends_with("/back"))
        .unwrap();
    assert!(!back.has_token());

    for to in ["ftp://[::1]/", "file:///etc/passwd", "http://"] {
        world.server.set_faults(vec![Fault::always(
            DISK_PATH,
            FaultKind::Redirect { to: to.into() },
        )]);
        assert_eq!(
            world.pull(&tag()).await.unwrap_err().code(),
            "redirect",
            "{to}"
        );
    }
}

#[tokio::test]
async fn no_error_shows_the_token_or_a_signed_address() {
    let world = World::new();
    let kinds = [
        FaultKind::Cut { after: 0 },
        FaultKind::Status {
            status: 500,
            headers: vec![],
        },
        FaultKind::Status {
            status: 403,
            headers: vec![],
        },
        FaultKind::RateLimited { reset_in: 60 },
        FaultKind::RedirectLoop,
    ];
    for path in [DISK_PATH, "/releases/tags/", "/releases/assets/1"] {
        // A redirect has no body that could be cut.
        for kind in kinds.iter().skip(usize::from(path != DISK_PATH)) {
            // What a broken download has left would be continued.
            drop(std::fs::remove_dir_all(world.staging()));
            world
                .server
                .set_faults(vec![Fault::always(path, kind.clone())]);
            let Err(error) = world.pull(&tag()).await else {
                panic!("{kind:?} at {path} does no harm");
            };
            let text = format!("{} {error:?}", error.text());
            assert!(
                !text.contains(TOKEN) && !text.contains("signature"),
                "{text}"
            );
        }
    }
    assert!(!format!("{:?}", world.options()).contains(TOKEN));
    assert!(!format!("{:?}", world.github()).contains(TOKEN));
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_given_up_and_continued() {
    let world = World::new();
    world.server.set_faults(vec![Fault::times(
        1,
        DISK_PATH,
        FaultKind::Stall { after: 50_000 },
    )]);
    let github = GitHub::new(images::github::Options {
        idle: Duration::from_millis(300),
        ..world.options()
    })
    .unwrap();
    let fetched = world.pull_with(&github, &tag(), &Silent).await.unwrap();
    world.is_whole(&fetched);
    assert_eq!(world.transfers()[1].0, 50_000);
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let world = World::with(content(300_000, 4));
    world.server.set_faults(vec![Fault::always(
        DISK_PATH,
        FaultKind::Slow { rate: 400_000 },
    )]);
    // Less than it takes in all: what counts is that something comes.
    let github = GitHub::new(images::github::Options {
        idle: Duration::from_millis(500),
        ..world.options()
    })
    .unwrap();
    let fetched = world.pull_with(&github, &tag(), &Silent).await.unwrap();
    world.is_whole(&fetched);
    assert_eq!(world.transfers().len(), 1);
}

/// Tells when the bytes before the stall have arrived.
struct Watch<'a>(&'a tokio::sync::Notify);
impl progress::Reporter for Watch<'_> {
    fn report(&self, event: progress::Event<'_>) {
        if matches!(
            event,
            progress::Event::Bytes {
                done: 2_000_000,
                ..
            }
        ) {
            self.0.notify_one();
        }
    }
}

#[tokio::test]
async fn a_pull_that_is_dropped_can_be_continued() {
    let world = World::new();
    world.server.set_faults(vec![Fault::times(
        1,
        DISK_PATH,
        FaultKind::Stall { after: 2_000_000 },
    )]);
    let arrived = tokio::sync::Notify::new();
    let github = world.github();
    let watch = Watch(&arrived);
    let source = tag();
    tokio::select! {
        ended = world.pull_with(&github, &source, &watch) => panic!("it stalls, yet {ended:?}"),
        () = arrived.notified() => {}
    }
    world.server.forget_requests();
    // The thread that writes may need a moment more; the claim waits for it. What was on its way to it
    // when the pull was dropped, some pieces of the network's, is asked for again.
    let fetched = world.pull(&tag()).await.unwrap();
    world.is_whole(&fetched);
    let continued_at = world.transfers()[0].0;
    assert!(
        (1_000_000..=2_000_000).contains(&continued_at),
        "{continued_at}"
    );
}

#[tokio::test]
async fn two_at_once_download_once() {
    let world = World::new();
    world.server.set_faults(vec![Fault::always(
        DISK_PATH,
        FaultKind::Slow { rate: 6_000_000 },
    )]);
    let github = world.github();
    let resolved = resolve(&github, &repo(), &tag(), Arch::Amd64, &Silent)
        .await
        .unwrap();
    let notes = [Notes::default(), Notes::default()];
    let pull = async |notes: &Notes| {
        let claim = claim(&resolved, &world.staging(), notes).await.unwrap();
        fetch(&github, &resolved, &claim, FetchOptions::default(), notes)
            .await
            .unwrap()
    };
    let (one, other) = tokio::join!(pull(&notes[0]), pull(&notes[1]));
    assert_eq!(one.digest, other.digest);
    assert_eq!(world.transfers().len(), 1);
    let waited = notes
        .iter()
        .filter(|notes| notes.text().contains("begin lock"))
        .count();
    assert_eq!(waited, 1);
}

#[tokio::test]
async fn an_artifact_is_resumed_verified_and_unpacked() {
    let world = World::new();
    world.server.set_faults(vec![Fault::times(
        1,
        ZIP_PATH,
        FaultKind::Cut { after: 1_234_567 },
    )]);
    let fetched = world.pull(&Source::Run(10)).await.unwrap();
    world.is_whole(&fetched);
    assert_eq!(fetched.verified, Verification::Artifact);
    assert_eq!(world.transfers()[1].0, 1_234_567);
    assert!(fetched.base_env.is_some());
    let requests = world.server.requests();
    let storage = requests.iter().filter(|request| request.path == ZIP_PATH);
    assert!(storage.clone().count() == 2 && storage.clone().all(|request| !request.has_token()));
    // Each try has asked for a fresh address: they expire.
    let asked = requests
        .iter()
        .filter(|request| request.path.ends_with("/artifacts/11/zip"));
    assert_eq!(asked.count(), 2);
}

#[tokio::test]
async fn an_artifact_without_the_image_says_so() {
    let world = World::new();
    let readme = world.dir.path().join("README");
    std::fs::write(&readme, "no image").unwrap();
    let mut scenario = world.scenario();
    scenario.runs[0].artifacts[0].files = vec![readme];
    world.server.set_scenario(scenario);
    assert_eq!(
        world.pull(&Source::Run(10)).await.unwrap_err().code(),
        "no_disk"
    );
}

#[tokio::test]
async fn nothing_to_compare_with_is_said() {
    let world = World::new();
    let mut scenario = world.scenario();
    scenario.releases[0].assets[0].without_digest = true;
    scenario.contents.clear();
    world.server.set_scenario(scenario);
    let fetched = world.pull(&tag()).await.unwrap();
    world.is_whole(&fetched);
    assert_eq!(fetched.verified, Verification::Unverified);
    assert_eq!(fetched.base_env, None);
    let warnings = fetched.warnings.join("\n");
    assert!(warnings.contains("could not be verified"), "{warnings}");
    assert!(warnings.contains("may not work"), "{warnings}");
}

#[tokio::test]
async fn a_local_file_is_copied_with_what_lies_beside_it() {
    let world = World::new();
    std::fs::write(world.file().with_extension("base.env"), "A=1\n").unwrap();
    let fetched = world.pull(&Source::File(world.file())).await.unwrap();
    world.is_whole(&fetched);
    assert_eq!(
        std::fs::read_to_string(fetched.base_env.unwrap()).unwrap(),
        "A=1\n"
    );
    assert_eq!(fetched.verified, Verification::Unverified);
    assert_eq!(fetched.origin.label(), common::DISK);
    assert!(world.server.requests().is_empty());
    let missing = Source::File(world.dir.path().join("missing"));
    assert_eq!(world.pull(&missing).await.unwrap_err().code(), "file");
}
