//! What the tray shows: a pure function of the state.

use emulator::credentials::Format;
use emulator::paths::InstanceName;
use emulator::{EndedBy, PausedBy, State};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::icons::Icon;
use crate::wire::activity::{Activity, Outcome, Task};
use crate::wire::app::Page;
use crate::wire::others::Other;
use crate::wire::projects::Project;
use crate::wire::status::ShownStatus;

/// Projects that the menu lists; the page has all of them.
const MOST_PROJECTS: usize = 6;
/// Instances that the menu lists; `stack-emulator instances` has all of them.
const MOST_INSTANCES: usize = 12;
/// Longer reasons end in the page.
const MOST_LETTERS: usize = 72;

/// All that the tray shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) icon: Icon,
    pub(super) tooltip: String,
    pub(super) entries: Vec<Entry>,
}

/// A line of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// To be read only.
    Text(String),
    Item {
        action: Action,
        text: String,
        enabled: bool,
    },
    Submenu {
        text: String,
        entries: Vec<Entry>,
    },
    Separator,
}

/// What an item does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    Stop,
    StartOther(InstanceName),
    StopOther(InstanceName),
    Cancel(u32),
    OpenDashboard,
    Copy { config_file: String, format: Format },
    Show(Option<Page>),
    Quit,
}

impl Action {
    /// Says all that there is to the action, so that a menu drawn since changes nothing about an item.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Start => "start".to_owned(),
            Self::Stop => "stop".to_owned(),
            Self::StartOther(name) => format!("start-other/{name}"),
            Self::StopOther(name) => format!("stop-other/{name}"),
            Self::Cancel(activity) => format!("cancel/{activity}"),
            Self::OpenDashboard => "dashboard".to_owned(),
            Self::Copy {
                config_file,
                format,
            } => format!("copy/{}/{config_file}", format_id(*format)),
            Self::Show(None) => "window".to_owned(),
            Self::Show(Some(page)) => format!("window/{}", page_id(*page)),
            Self::Quit => "quit".to_owned(),
        }
    }

    /// The action of an item.
    pub(super) fn of(id: &str) -> Option<Self> {
        let (name, rest) = match id.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (id, None),
        };
        Some(match (name, rest) {
            ("start", None) => Self::Start,
            ("stop", None) => Self::Stop,
            ("start-other", Some(name)) => Self::StartOther(name.parse().ok()?),
            ("stop-other", Some(name)) => Self::StopOther(name.parse().ok()?),
            ("cancel", Some(activity)) => Self::Cancel(activity.parse().ok()?),
            ("dashboard", None) => Self::OpenDashboard,
            ("copy", Some(what)) => {
                let (format, config_file) = what.split_once('/')?;
                Self::Copy {
                    config_file: config_file.to_owned(),
                    format: Format::ALL
                        .into_iter()
                        .find(|known| format_id(*known) == format)?,
                }
            }
            ("window", None) => Self::Show(None),
            ("window", Some(page)) => Self::Show(Some(
                PAGES.into_iter().find(|known| page_id(*known) == page)?,
            )),
            ("quit", None) => Self::Quit,
            _ => return None,
        })
    }
}

const fn format_id(format: Format) -> &'static str {
    match format {
        Format::Env => "env",
        Format::Dotenv => "dotenv",
        Format::Next => "next",
        Format::Vite => "vite",
        Format::Expo => "expo",
        Format::Json => "json",
    }
}

/// For people.
const fn format_name(format: Format) -> &'static str {
    match format {
        Format::Env => "Shell",
        Format::Dotenv => ".env",
        Format::Next => "Next.js",
        Format::Vite => "Vite",
        Format::Expo => "Expo",
        Format::Json => "JSON",
    }
}

const PAGES: [Page; 7] = [
    Page::Status,
    Page::Images,
    Page::Credentials,
    Page::Mail,
    Page::Logs,
    Page::Settings,
    Page::Welcome,
];

const fn page_id(page: Page) -> &'static str {
    match page {
        Page::Status => "status",
        Page::Images => "images",
        Page::Credentials => "credentials",
        Page::Mail => "mail",
        Page::Logs => "logs",
        Page::Settings => "settings",
        Page::Welcome => "welcome",
    }
}

impl Model {
    pub(super) fn of(
        status: Option<&ShownStatus>,
        activity: Option<&Activity>,
        projects: &[Project],
        others: &[Other],
    ) -> Self {
        let open = activity
            .filter(|activity| matches!(activity.outcome, Outcome::Running | Outcome::Cancelling));
        let failed = activity.and_then(|activity| match &activity.outcome {
            Outcome::Failed { failure } => Some((activity.task, failure)),
            Outcome::Running | Outcome::Cancelling | Outcome::Finished | Outcome::Cancelled => None,
        });
        let state = status.map(|status| status.report.state);
        let mut lines = vec![match (open, status) {
            (Some(activity), _) => doing(activity).to_owned(),
            (None, Some(status)) => state_line(status),
            (None, None) => "Loading…".to_owned(),
        }];
        let icon = if open.is_some() || status.is_some_and(is_busy) {
            Icon::Busy
        } else if failed.is_some() || state.is_some_and(is_broken) {
            Icon::Failed
        } else if state == Some(State::Running) {
            Icon::Running
        } else {
            Icon::Stopped
        };
        if let (None, Some((task, failure))) = (open, failed) {
            lines.push(short(&format!(
                "{}: {}",
                failed_word(task),
                failure.message
            )));
        }
        let tooltip = format!("Stack Emulator: {}", lines[0]);
        let mut entries: Vec<_> = lines.into_iter().map(Entry::Text).collect();
        if open.is_none() && state == Some(State::Paused) {
            let idle = status.is_some_and(|status| !is_busy(status));
            entries.push(item(Action::Start, "Continue", idle));
        }
        entries.push(toggle(status, open));
        entries.push(Entry::Separator);
        entries.push(item(
            Action::OpenDashboard,
            "Open dashboard",
            dashboard(status).is_some(),
        ));
        entries.push(copying(projects, state == Some(State::Running)));
        if !others.is_empty() {
            entries.push(Entry::Separator);
            entries.push(instances(others));
        }
        entries.push(Entry::Separator);
        entries.push(item(Action::Show(None), "Open window", true));
        entries.push(item(Action::Quit, "Quit", true));
        Self {
            icon,
            tooltip,
            entries,
        }
    }
}

/// Where the dashboard is, while it runs.
pub(super) fn dashboard(status: Option<&ShownStatus>) -> Option<&str> {
    let status = status.filter(|status| status.report.state == State::Running)?;
    let service = status
        .report
        .services
        .iter()
        .find(|service| service.id == "dashboard")?;
    Some(&service.url)
}

fn item(action: Action, text: &str, enabled: bool) -> Entry {
    Entry::Item {
        action,
        text: text.to_owned(),
        enabled,
    }
}

/// The item that starts, stops or cancels.
fn toggle(status: Option<&ShownStatus>, open: Option<&Activity>) -> Entry {
    if let Some(activity) = open {
        let cancel = Action::Cancel(activity.id);
        let may = activity.outcome == Outcome::Running;
        return item(cancel, "Cancel", may);
    }
    let Some(status) = status else {
        return item(Action::Start, "Start", false);
    };
    let idle = !is_busy(status);
    match status.report.state {
        State::Running | State::Paused | State::Stopping => item(Action::Stop, "Stop", idle),
        State::Stopped | State::Starting | State::Capturing | State::Interrupted | State::Died => {
            if status.image_in_use.is_none() && status.failure.is_none() {
                item(Action::Show(Some(Page::Welcome)), "Set up…", idle)
            } else {
                item(Action::Start, "Start", idle)
            }
        }
    }
}

/// Copying credentials: the project and format chosen last at one click, others behind one more.
fn copying(projects: &[Project], running: bool) -> Entry {
    let copy = |project: &Project, format, text: String| Entry::Item {
        action: Action::Copy {
            config_file: project.config_file.clone(),
            format,
        },
        text,
        enabled: running && project.exists,
    };
    let mut entries = Vec::new();
    if let Some(last) = projects.first() {
        let text = format!("{} ({})", last.name, format_name(last.format));
        entries.push(copy(last, last.format, text));
        entries.push(Entry::Separator);
    }
    for project in projects.iter().take(MOST_PROJECTS) {
        entries.push(Entry::Submenu {
            text: project.name.clone(),
            entries: Format::ALL
                .into_iter()
                .map(|format| copy(project, format, format_name(format).to_owned()))
                .collect(),
        });
    }
    if !projects.is_empty() {
        entries.push(Entry::Separator);
    }
    entries.push(item(
        Action::Show(Some(Page::Credentials)),
        "Choose a project…",
        true,
    ));
    Entry::Submenu {
        text: "Copy credentials".to_owned(),
        entries,
    }
}

/// The instances beside that of the app, each with what may be done with it.
fn instances(others: &[Other]) -> Entry {
    let listed = others.iter().take(MOST_INSTANCES).map(|other| {
        let (state, action) = match other.state {
            Some(State::Running) => ("running", Some(true)),
            Some(State::Paused) => ("paused", Some(true)),
            Some(State::Stopped) => ("stopped", Some(false)),
            Some(State::Interrupted) => ("interrupted", Some(false)),
            Some(State::Died) => ("stopped unexpectedly", Some(false)),
            Some(State::Starting) => ("starting…", None),
            Some(State::Stopping) => ("stopping…", None),
            Some(State::Capturing) => ("taking a snapshot…", None),
            None => ("damaged", None),
        };
        let text = format!("{}: {state}", other.name);
        let Some(runs) = action else {
            return Entry::Text(text);
        };
        let name = other.name.clone();
        let toggle = if runs {
            item(Action::StopOther(name), "Stop", !other.busy)
        } else {
            item(Action::StartOther(name), "Start", !other.busy)
        };
        Entry::Submenu {
            text,
            entries: vec![toggle],
        }
    });
    let mut entries: Vec<_> = listed.collect();
    let more = others.len().saturating_sub(MOST_INSTANCES);
    if more > 0 {
        entries.push(Entry::Text(format!("{more} more")));
    }
    Entry::Submenu {
        text: "Other instances".to_owned(),
        entries,
    }
}

const fn is_busy(status: &ShownStatus) -> bool {
    status.report.busy.is_some()
        || match status.report.state {
            State::Starting | State::Stopping | State::Capturing => true,
            State::Stopped | State::Running | State::Paused | State::Interrupted | State::Died => {
                false
            }
        }
}

const fn is_broken(state: State) -> bool {
    match state {
        State::Paused | State::Died => true,
        State::Stopped
        | State::Starting
        | State::Running
        | State::Stopping
        | State::Capturing
        | State::Interrupted => false,
    }
}

fn state_line(status: &ShownStatus) -> String {
    match (status.report.state, &status.report.start) {
        (State::Running, _) if status.report.unreachable => {
            "Running, but QEMU cannot be reached".to_owned()
        }
        (State::Running, Some(start)) => match clock(start.started_at_ms) {
            Some(time) => format!(
                "Running since {time}, started in {}",
                seconds(start.total_ms)
            ),
            None => format!("Running, started in {}", seconds(start.total_ms)),
        },
        (State::Running, None) => "Running".to_owned(),
        (State::Stopped, _) if status.report.session_saved => "Stopped, session saved".to_owned(),
        (State::Stopped, _) => "Stopped".to_owned(),
        (State::Starting, _) => "Starting…".to_owned(),
        (State::Stopping, _) => "Stopping…".to_owned(),
        (State::Capturing, _) => "Taking a snapshot…".to_owned(),
        (State::Paused, _) => match status.report.paused_by {
            Some(PausedBy::Disk) => "Paused: disk not writable",
            Some(PausedBy::Fault) => "Paused: fault in the virtual machine",
            Some(PausedBy::Signal | PausedBy::Request) | None => "Paused by another program",
        }
        .to_owned(),
        (State::Interrupted, _) => "Interrupted".to_owned(),
        (State::Died, _) => match status.report.ended_by {
            Some(EndedBy::Guest) => "Powered off from inside",
            Some(EndedBy::Signal) => "Ended by a signal",
            Some(EndedBy::Reboot) => "Ended with the host’s last session",
            None => "Stopped unexpectedly",
        }
        .to_owned(),
    }
}

const fn doing(activity: &Activity) -> &'static str {
    if matches!(activity.outcome, Outcome::Cancelling) {
        return "Canceling…";
    }
    match activity.task {
        Task::Start => "Starting…",
        Task::Stop => "Stopping…",
        Task::Restart => "Restarting…",
        Task::Reset => "Resetting…",
        Task::Capture => "Taking a snapshot…",
        Task::Pull => "Installing an image…",
        Task::SetUp => "Setting up…",
        Task::Rotate => "Rotating the secrets…",
        Task::Checkpoint => "Creating a checkpoint…",
        Task::Restore => "Restoring a checkpoint…",
    }
}

const fn failed_word(task: Task) -> &'static str {
    match task {
        Task::Start => "Start failed",
        Task::Stop => "Stop failed",
        Task::Restart => "Restart failed",
        Task::Reset => "Reset failed",
        Task::Capture => "Snapshot failed",
        Task::Pull => "Installation failed",
        Task::SetUp => "Setup failed",
        Task::Rotate => "Rotation failed",
        Task::Checkpoint => "Checkpoint failed",
        Task::Restore => "Restore failed",
    }
}

/// The time of day here; `None` for a moment that no calendar has.
fn clock(ms: u64) -> Option<String> {
    let moment = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(
        moment
            .to_zoned(TimeZone::system())
            .strftime("%H:%M")
            .to_string(),
    )
}

/// With the precision that the page has.
fn seconds(ms: f64) -> String {
    if ms < 10_000.0 {
        format!("{:.2} s", ms / 1000.0)
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= MOST_LETTERS {
        return text.to_owned();
    }
    let mut shortened: String = text.chars().take(MOST_LETTERS - 1).collect();
    shortened.push('…');
    shortened
}

#[cfg(test)]
mod tests;
