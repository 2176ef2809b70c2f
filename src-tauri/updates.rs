//! Newer releases of this program: looked for while the window is shown, and told there until the user dismisses one.
//!
//! The engine decides when GitHub is asked, once a day at most for app and command line together, and keeps the answer. Where the
//! app can replace itself, which [`updater`] knows, it does so when it is told to:
//!
//! ```text
//!              install              signed               put in place
//!  offered ───────────► downloading ──────► installing ──────────────► ready ── restart ──► the newer release
//!     ▲                  │       │              │
//!     └───── cancel ─────┘       └──► failed ◄──┘
//!                                       │ install: downloading again
//! ```
//!
//! What is under way or ready is shown until it is over, whatever is found or switched off meanwhile. The emulator is no part of
//! the app, and goes on through all of it.

use std::sync::Arc;
use std::time::Duration;

use emulator::Code;
use emulator::updates::ProgramRelease;

use crate::activity::describe;
use crate::app_state::AppState;
use crate::updater::{self, Place};
use crate::wire::app::{InstallState, NewerRelease};
use crate::wire::failure::{Answer, Failure};

/// The version of this program.
const OWN: &str = env!("CARGO_PKG_VERSION");
/// How often to look whether it is time for a question, or whether another process has had an answer.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// Keeps what is told of newer releases current while the window is shown, for as long as the app runs.
pub(crate) async fn watch(state: Arc<AppState>) {
    let mut shown = state.shown.subscribe();
    let mut settings = state.published.settings.subscribe();
    // The senders belong to the app's state, which this task keeps.
    while shown.wait_for(|shown| *shown).await.is_ok() {
        look(&state).await;
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            // Whether to look at all is one of them.
            Ok(()) = settings.changed() => {}
        }
    }
}

/// Has a release not told of again. One that is being installed is told of until that is over.
pub(crate) fn dismiss(state: &AppState, version: &str) {
    if let Some(lookout) = state.emulator().lookout() {
        lookout.dismiss(version);
    }
    state.published.newer.send_if_modified(|shown| {
        let ready = |release: &mut NewerRelease| release.install == InstallState::Ready;
        shown.take_if(ready).is_some()
    });
    show(state);
}

/// Puts the release `version` in the app's place. The app goes on as it is until it is restarted. To cancel it is no failure.
///
/// # Errors
///
/// That release is not offered, or is being installed; those of [`updater`]. The app is what it was.
pub(crate) async fn install(state: &AppState, version: &str) -> Answer {
    let refused = |why: &str| {
        Failure::new(
            Code::Update,
            format!("version {version} is not installed: {why}"),
        )
    };
    let Place::Own(own) = updater::of_this_app(state.app()) else {
        return Err(refused("the app cannot replace itself")
            .with_hint("Install the release from its page."));
    };
    // From here on a wish to cancel is heard.
    let cancelled = state.update_cancelled.notified();
    let begun = advance(
        state,
        InstallState::Downloading { percent: None },
        |shown| shown.version == version && may_begin(shown.install),
    );
    if !begun {
        return Err(refused("it is not offered any more, or is being installed"));
    }
    let told = |percent| {
        advance(state, InstallState::Downloading { percent }, is_downloading);
    };
    let emulator = state.emulator();
    let download = updater::download(state.app(), &emulator, own, version, told);
    let installed = tokio::select! {
        download = download => match download {
            Ok(download) => {
                advance(state, InstallState::Installing, is_downloading);
                download.put_in_place().await
            }
            Err(failure) => Err(failure),
        },
        () = cancelled => {
            advance(state, InstallState::Offered, is_downloading);
            show(state);
            return Ok(());
        }
    };
    if let Err(failure) = &installed {
        tracing::warn!(error = failure.message, "the app was not updated");
    }
    let end = match installed {
        Ok(()) => InstallState::Ready,
        Err(_) => InstallState::Failed,
    };
    advance(state, end, |shown| is_under_way(shown.install));
    installed
}

/// Has the download end.
pub(crate) fn cancel(state: &AppState) {
    state.update_cancelled.notify_waiters();
}

/// Restarts the app with what was put in its place.
///
/// # Errors
///
/// An operation of this app is under way, which would end.
pub(crate) fn restart(state: &AppState) -> Answer {
    if let Some(task) = state.activities.running() {
        let message = format!("the app is busy: {}", describe(task));
        return Err(Failure::new(Code::Busy, message)
            .with_hint("Restart it when that has finished, or cancel it."));
    }
    state.restart();
    Ok(())
}

async fn look(state: &AppState) {
    // At once what is known; the answer may take seconds.
    show(state);
    if let Some(lookout) = state.emulator().lookout() {
        lookout.ask().await;
        show(state);
    }
}

/// Publishes what is known, by the settings that are in force now.
fn show(state: &AppState) {
    let lookout = state.emulator().lookout();
    let found = lookout.and_then(|lookout| lookout.to_show(OWN));
    let usual = match updater::of_this_app(state.app()) {
        Place::Own(_) => InstallState::Offered,
        Place::Others(by) => InstallState::Elsewhere { by },
    };
    state.published.newer.send_if_modified(|shown| {
        let next = next(shown.as_ref(), found, usual);
        let changed = *shown != next;
        *shown = next;
        changed
    });
}

/// What is to be shown after `shown`, if `found` is the newest release that the user wants to hear of, and `usual` is how one is
/// installed.
fn next(
    shown: Option<&NewerRelease>,
    found: Option<ProgramRelease>,
    usual: InstallState,
) -> Option<NewerRelease> {
    let kept =
        shown.filter(|shown| is_under_way(shown.install) || shown.install == InstallState::Ready);
    if let Some(kept) = kept {
        return Some(kept.clone());
    }
    let ProgramRelease { version, url } = found?;
    let failed =
        shown.filter(|shown| shown.version == version && shown.install == InstallState::Failed);
    Some(NewerRelease {
        install: failed.map_or(usual, |failed| failed.install),
        version,
        url,
    })
}

/// Publishes a new state of what is shown if that is as `from` says; tells whether it was.
fn advance(state: &AppState, to: InstallState, from: impl Fn(&NewerRelease) -> bool) -> bool {
    let mut accepted = false;
    state.published.newer.send_if_modified(|shown| {
        let Some(release) = shown.as_mut().filter(|release| from(release)) else {
            return false;
        };
        accepted = true;
        let changed = release.install != to;
        release.install = to;
        changed
    });
    accepted
}

const fn may_begin(install: InstallState) -> bool {
    match install {
        InstallState::Offered | InstallState::Failed => true,
        InstallState::Elsewhere { .. }
        | InstallState::Downloading { .. }
        | InstallState::Installing
        | InstallState::Ready => false,
    }
}

const fn is_under_way(install: InstallState) -> bool {
    match install {
        InstallState::Downloading { .. } | InstallState::Installing => true,
        InstallState::Elsewhere { .. }
        | InstallState::Offered
        | InstallState::Ready
        | InstallState::Failed => false,
    }
}

const fn is_downloading(shown: &NewerRelease) -> bool {
    matches!(shown.install, InstallState::Downloading { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [InstallState; 6] = [
        InstallState::Elsewhere { by: None },
        InstallState::Offered,
        InstallState::Downloading { percent: Some(7) },
        InstallState::Installing,
        InstallState::Ready,
        InstallState::Failed,
    ];

    fn found(version: &str) -> ProgramRelease {
        ProgramRelease {
            version: version.into(),
            url: format!("https://host.example/v{version}"),
        }
    }

    fn shown(version: &str, install: InstallState) -> NewerRelease {
        let ProgramRelease { version, url } = found(version);
        NewerRelease {
            version,
            url,
            install,
        }
    }

    #[test]
    fn what_is_under_way_or_ready_stays_until_it_is_over() {
        for install in ALL {
            let before = shown("0.2.0", install);
            let stays = is_under_way(install) || install == InstallState::Ready;
            for found in [None, Some(found("0.3.0"))] {
                let usual = InstallState::Offered;
                let after = next(Some(&before), found.clone(), usual);
                let expected = if stays {
                    Some(before.clone())
                } else {
                    found.map(|_| shown("0.3.0", usual))
                };
                assert_eq!(after, expected, "{install:?}");
            }
        }
    }

    #[test]
    fn a_failure_is_told_of_its_own_release_only() {
        let failed = shown("0.2.0", InstallState::Failed);
        let usual = InstallState::Offered;
        let again = next(Some(&failed), Some(found("0.2.0")), usual);
        assert_eq!(again, Some(failed.clone()));
        let newer = next(Some(&failed), Some(found("0.3.0")), usual);
        assert_eq!(newer, Some(shown("0.3.0", usual)));
        assert_eq!(next(Some(&failed), None, usual), None);
    }

    #[test]
    fn what_is_offered_can_begin_and_nothing_that_has_begun() {
        for install in ALL {
            let offered = matches!(install, InstallState::Offered | InstallState::Failed);
            assert_eq!(may_begin(install), offered, "{install:?}");
            assert!(!(offered && is_under_way(install)), "{install:?}");
        }
    }
}
