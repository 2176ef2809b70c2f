//! Notifications of the desktop: that the emulator is ready, or why it is not.
//!
//! Only for what this app did, and only while its window does not show the same.

use std::sync::Arc;

use emulator::paths::InstanceName;
#[cfg(target_os = "linux")]
use notify_rust::Hint;
use notify_rust::{Notification, Urgency};
use tauri::Manager as _;

use crate::app_state::AppState;
use crate::window;
use crate::wire::activity::{Outcome, Task};
use crate::wire::app::Page;
use crate::wire::failure::Failure;
use crate::wire::projects::Copied;

/// Said to the desktop, so that it can group and silence what we say.
const APP_NAME: &str = "Stack Emulator";
/// The name of our icon in the theme, and of our desktop file.
const DESKTOP_ENTRY: &str = "stack-emulator";

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    summary: String,
    body: String,
    urgency: Urgency,
    /// What a click leads to.
    page: Page,
}

/// Tells how an activity ended, if that is worth it and not to be seen anyway.
pub(crate) fn tell_outcome(state: &Arc<AppState>, task: Task, outcome: &Outcome) {
    let seen = state
        .app()
        .get_webview_window(window::LABEL)
        .is_some_and(|window| window.is_focused().unwrap_or(false));
    if wanted(state)
        && !seen
        && let Some(message) = message(task, outcome)
    {
        show(state, message);
    }
}

/// Tells how copying credentials from the tray went: there is no window to see it in.
pub(crate) fn tell_copied(state: &Arc<AppState>, copied: &Result<Copied, Failure>) {
    if wanted(state) || copied.is_err() {
        show(state, copied_message(copied));
    }
}

/// Tells why another instance was not started or stopped from the tray: nothing of it is in the window.
pub(crate) fn tell_other_failed(
    state: &Arc<AppState>,
    name: &InstanceName,
    what: &str,
    failure: &Failure,
) {
    let message = Message {
        summary: format!("Instance {name} {what}"),
        body: reason(failure),
        urgency: Urgency::Critical,
        page: Page::Status,
    };
    show(state, message);
}

/// Tells why the dashboard did not open from the tray. The page that shows its address comes as well.
pub(crate) fn tell_not_opened(state: &Arc<AppState>, failure: &Failure) {
    let message = Message {
        summary: "The dashboard could not be opened".to_owned(),
        body: reason(failure),
        urgency: Urgency::Normal,
        page: Page::Status,
    };
    show(state, message);
}

fn wanted(state: &AppState) -> bool {
    state
        .published
        .settings
        .borrow()
        .as_ref()
        .is_none_or(|settings| settings.notifications)
}

fn copied_message(copied: &Result<Copied, Failure>) -> Message {
    let (summary, body, urgency) = match copied {
        Ok(copied) => (
            "Credentials copied",
            format!(
                "The clipboard is cleared in {} seconds.",
                copied.clears_after_seconds
            ),
            Urgency::Low,
        ),
        Err(failure) => (
            "The credentials could not be copied",
            reason(failure),
            Urgency::Normal,
        ),
    };
    Message {
        summary: summary.to_owned(),
        body,
        urgency,
        page: Page::Credentials,
    }
}

fn message(task: Task, outcome: &Outcome) -> Option<Message> {
    let (summary, body, urgency) = match outcome {
        Outcome::Finished => (done(task)?.to_owned(), String::new(), Urgency::Normal),
        Outcome::Failed { failure } => {
            (failed(task).to_owned(), reason(failure), Urgency::Critical)
        }
        Outcome::Running | Outcome::Cancelling | Outcome::Cancelled => return None,
    };
    Some(Message {
        summary,
        body,
        urgency,
        page: Page::Status,
    })
}

/// What is worth a word when it went well: what took long, or was asked for out of sight.
const fn done(task: Task) -> Option<&'static str> {
    match task {
        Task::Start | Task::Restart | Task::SetUp => Some("The emulator is ready"),
        Task::Capture => Some("The snapshot was taken"),
        Task::Pull => Some("The image was installed"),
        Task::Stop | Task::Reset | Task::Rotate | Task::Checkpoint | Task::Restore => None,
    }
}

const fn failed(task: Task) -> &'static str {
    match task {
        Task::Start => "The emulator could not be started",
        Task::Stop => "The emulator could not be stopped",
        Task::Restart => "The emulator could not be restarted",
        Task::Reset => "The emulator could not be reset",
        Task::Capture => "The snapshot could not be taken",
        Task::Pull => "The image could not be installed",
        Task::SetUp => "The emulator could not be set up",
        Task::Rotate => "The secrets could not be rotated",
        Task::Checkpoint => "The checkpoint could not be created",
        Task::Restore => "The checkpoint could not be restored",
    }
}

/// What happened, and what to do about it.
fn reason(failure: &Failure) -> String {
    let mut reason = sentence(&failure.message);
    if let Some(hint) = &failure.hint {
        reason.push('\n');
        reason.push_str(hint);
    }
    reason
}

/// An error's message as a sentence: with a capital and a full stop.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let mut sentence: String = letters
        .next()
        .map(|first| first.to_uppercase().collect())
        .unwrap_or_default();
    sentence.extend(letters);
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// In a thread of its own: the desktop's answer may take its time, and an action is waited for.
fn show(state: &Arc<AppState>, message: Message) {
    let app = state.app().clone();
    let shown = std::thread::Builder::new()
        .name("notification".to_owned())
        .spawn(move || {
            let mut notification = Notification::new();
            notification
                .appname(APP_NAME)
                .summary(&message.summary)
                .body(&message.body)
                .icon(DESKTOP_ENTRY);
            #[cfg(target_os = "linux")]
            {
                notification
                    .hint(Hint::DesktopEntry(DESKTOP_ENTRY.to_owned()))
                    .urgency(message.urgency);
                // Not every desktop shows actions; one that does not would show their names as text.
                let capabilities = notify_rust::get_capabilities().unwrap_or_default();
                if capabilities
                    .iter()
                    .any(|capability| capability == "actions")
                {
                    notification
                        .action("default", "Open")
                        .action("open", "Open Stack Emulator");
                }
            }
            match notification.show() {
                #[cfg(target_os = "linux")]
                Ok(handle) => handle.wait_for_action(|action| {
                    if action == "default" || action == "open" {
                        window::show(&app, Some(message.page));
                    }
                }),
                #[cfg(not(target_os = "linux"))]
                Ok(_) => drop(app),
                // A desktop without notifications is no fault of the operation's.
                Err(error) => tracing::info!(%error, "no notification could be shown"),
            }
        });
    if let Err(error) = shown {
        tracing::warn!(%error, "no notification could be shown");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_why_and_what_to_do() {
        let failure = Failure::new(
            emulator::Code::PortTaken,
            "port 26701 (backend) is in use by node",
        )
        .with_hint("Stop that process.");
        let message = message(Task::Start, &Outcome::Failed { failure }).unwrap();
        assert_eq!(message.summary, "The emulator could not be started");
        assert_eq!(
            message.body,
            "Port 26701 (backend) is in use by node.\nStop that process."
        );
    }

    #[test]
    fn what_was_seen_to_end_needs_no_word() {
        assert_eq!(message(Task::Stop, &Outcome::Finished), None);
        assert_eq!(message(Task::Start, &Outcome::Cancelled), None);
        assert!(message(Task::Start, &Outcome::Finished).is_some());
    }
}
