//! The end of the app: what becomes of a running emulator is the user's to say.
//!
//! QEMU is no child of the app's session, so leaving it running is safe, and what happens at logout, when
//! there is no time to ask.

use std::sync::Arc;

use emulator::State;

use crate::app_state::AppState;
use crate::operations;
use crate::window;
use crate::wire::activity::Task;
use crate::wire::app::QuitChoice;
use crate::wire::failure::Answer;

/// What a wish to quit leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    End,
    Ask,
    /// The answer is being carried out, or is about to be: the window shows how that goes.
    Wait,
    /// A page that has not answered the first time may never do.
    EndUnanswered,
}

/// Ends the app, or asks first if there is something to ask.
///
/// A user who wants to quit a second time, before the question was answered, ends the app and leaves a running
/// emulator as it is.
pub(crate) fn request(state: &Arc<AppState>) {
    let asked = *state.published.quitting.borrow();
    match course(state.activities.running(), runs(state), asked) {
        Course::End => state.app().exit(0),
        Course::Ask => {
            state.published.quitting.send_replace(true);
            window::show(state.app(), None);
        }
        Course::Wait => window::show(state.app(), None),
        Course::EndUnanswered => {
            tracing::warn!("quit without an answer; a running emulator goes on");
            state.app().exit(0);
        }
    }
}

const fn course(activity: Option<Task>, runs: bool, asked: bool) -> Course {
    match (activity, asked) {
        (Some(Task::Stop), true) => Course::Wait,
        (_, true) => Course::EndUnanswered,
        (None, false) if !runs => Course::End,
        (_, false) => Course::Ask,
    }
}

/// Whether there is a machine to ask about. Looked at now: what is shown may be older, or not there yet.
fn runs(state: &AppState) -> bool {
    match state.emulator().glance() {
        Ok(glance) => match glance.state {
            State::Running
            | State::Paused
            | State::Starting
            | State::Stopping
            | State::Capturing => true,
            State::Stopped | State::Interrupted | State::Died => false,
        },
        Err(error) => {
            let error = emulator::chain(&error);
            tracing::warn!(error, "not known whether the emulator runs");
            true
        }
    }
}

/// Does what the user chose, and ends the app.
pub(crate) async fn carry_out(state: &Arc<AppState>, choice: QuitChoice) -> Answer {
    match (choice, state.activities.running()) {
        // What is wanted is under way.
        (QuitChoice::StopEmulator, Some(Task::Stop)) => state.activities.all_ended().await,
        _ => state.activities.cancel_running().await,
    }
    match choice {
        QuitChoice::StopEmulator => operations::stop(state).await?,
        QuitChoice::LeaveRunning => {}
    }
    state.app().exit(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_asked_about_once() {
        for (activity, runs, asked, expected) in [
            (None, false, false, Course::End),
            (None, true, false, Course::Ask),
            (Some(Task::Pull), false, false, Course::Ask),
            (Some(Task::Stop), true, false, Course::Ask),
            (None, true, true, Course::EndUnanswered),
            (Some(Task::Start), true, true, Course::EndUnanswered),
            (Some(Task::Stop), true, true, Course::Wait),
        ] {
            assert_eq!(
                course(activity, runs, asked),
                expected,
                "{activity:?} {runs} {asked}"
            );
        }
    }
}
