//! Long operations: one at a time, each told as it goes, and cancelled on demand.
//!
//! ```text
//!            begin                     end of the work
//!   none ───────────► running ──────────────────────────► finished | failed
//!     ▲                  │ cancel                              │
//!     │                  ▼                                     │
//!     │              cancelling ──────────► cancelled          │
//!     └───────────── dismiss, or the next one ◄────────────────┘
//! ```
//!
//! The operation runs in a task of its own: a page that is reloaded, or a window that is closed, neither ends
//! it nor loses sight of it. To cancel is to drop the operation's future, as the command line does on Ctrl-C;
//! the engine then finishes or undoes what was begun, and only after that is the activity called cancelled.

use emulator::Code;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use progress::{Deadline, Event, Phase, Reporter};
use tokio::sync::watch;

use crate::wire::activity::{
    Activity, Notice, Outcome, PhaseProgress, Stage, Task, TimeLimit, Transfer,
};
use crate::wire::failure::Failure;
use crate::wire::images::ImageSource;

/// Transfers are told this often at most; beginnings and ends at once.
const INTERVAL: Duration = Duration::from_millis(100);
/// The stretch of time that a rate is the mean of.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// A rate of a shorter time would only flicker.
const RATE_AFTER: Duration = Duration::from_millis(500);

/// What an activity is going to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) task: Task,
    /// What it works on, for people.
    pub(crate) subject: Option<String>,
    /// Where the image is from that it gets.
    pub(crate) source: Option<ImageSource>,
    /// Its parts, in order; at least one.
    pub(crate) stages: Vec<Stage>,
}

impl Plan {
    /// A task of one part.
    pub(crate) fn of(task: Task, stage: Stage) -> Self {
        Self {
            task,
            subject: None,
            source: None,
            stages: vec![stage],
        }
    }
}

/// The one activity of this app, or none.
#[derive(Clone, Debug)]
pub(crate) struct Activities {
    shown: watch::Sender<Option<Activity>>,
    cancels: Arc<Mutex<Cancels>>,
}

#[derive(Debug, Default)]
struct Cancels {
    last_id: u32,
    /// Of the activity that runs.
    ask: Option<watch::Sender<bool>>,
}

/// An activity that has just begun: where its operation reports to.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    id: u32,
    shown: watch::Sender<Option<Activity>>,
    course: Arc<Mutex<Course>>,
}

/// What is known of an operation's course beside what is shown.
#[derive(Debug)]
struct Course {
    stage: Stage,
    told: Option<Instant>,
    /// Amounts of the present transfer, of the last seconds.
    amounts: VecDeque<(Instant, u64)>,
    /// What phases took that occur again, in milliseconds: a pull downloads more than one file.
    earlier: Vec<(Stage, Phase, f64)>,
}

impl Activities {
    pub(crate) fn new() -> Self {
        Self {
            shown: watch::Sender::new(None),
            cancels: Arc::default(),
        }
    }

    /// The present one, and each change of it.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Activity>> {
        self.shown.subscribe()
    }

    /// Whether one runs now, and which.
    pub(crate) fn running(&self) -> Option<Task> {
        let shown = self.shown.borrow();
        let activity = shown.as_ref()?;
        is_open(&activity.outcome).then_some(activity.task)
    }

    /// Begins one; the receiver becomes true when the user cancels it.
    ///
    /// # Errors
    ///
    /// Another one is under way.
    pub(crate) fn begin(&self, plan: Plan) -> Result<(Reports, watch::Receiver<bool>), Failure> {
        let mut cancels = lock(&self.cancels);
        if let Some(task) = self.running() {
            return Err(
                Failure::new(Code::Busy, format!("the app is busy: {}", describe(task)))
                    .with_hint("Try again when it has finished, or cancel it."),
            );
        }
        cancels.last_id += 1;
        let (ask, asked) = watch::channel(false);
        cancels.ask = Some(ask);
        let stage = plan.stages.first().copied().unwrap_or(Stage::Start);
        let id = cancels.last_id;
        self.shown.send_replace(Some(Activity {
            id,
            task: plan.task,
            subject: plan.subject,
            source: plan.source,
            stages: plan.stages,
            phases: Vec::new(),
            notices: Vec::new(),
            began_at_ms: host::now_ms(),
            limit: None,
            outcome: Outcome::Running,
        }));
        let course = Course {
            stage,
            told: None,
            amounts: VecDeque::new(),
            earlier: Vec::new(),
        };
        let reports = Reports {
            id,
            shown: self.shown.clone(),
            course: Arc::new(Mutex::new(course)),
        };
        Ok((reports, asked))
    }

    /// Asks the activity to end; says whether it still runs.
    pub(crate) fn cancel(&self, id: u32) -> bool {
        let cancels = lock(&self.cancels);
        let accepted = self.shown.send_if_modified(|shown| match shown {
            Some(activity) if activity.id == id => {
                let open = matches!(activity.outcome, Outcome::Running);
                if open {
                    activity.outcome = Outcome::Cancelling;
                }
                open
            }
            Some(_) | None => false,
        });
        if accepted && let Some(ask) = &cancels.ask {
            ask.send_replace(true);
        }
        accepted
    }

    /// Ends when the activity `id` has ended, or has given way to another.
    pub(crate) async fn ended(&self, id: u32) {
        let over = |shown: &Option<Activity>| {
            shown
                .as_ref()
                .is_none_or(|activity| activity.id != id || !is_open(&activity.outcome))
        };
        // The sender is ours, so waiting cannot fail.
        drop(self.shown.subscribe().wait_for(over).await);
    }

    /// Ends when no activity is under way.
    pub(crate) async fn all_ended(&self) {
        let over = |shown: &Option<Activity>| {
            shown
                .as_ref()
                .is_none_or(|activity| !is_open(&activity.outcome))
        };
        drop(self.shown.subscribe().wait_for(over).await);
    }

    /// Cancels what runs, and waits for its end.
    pub(crate) async fn cancel_running(&self) {
        let running = self.shown.borrow().as_ref().map(|activity| activity.id);
        if let Some(id) = running {
            self.cancel(id);
            self.ended(id).await;
        }
    }

    /// Takes an activity that has ended from sight.
    pub(crate) fn dismiss(&self, id: u32) {
        self.shown.send_if_modified(|shown| {
            let over = shown
                .as_ref()
                .is_some_and(|activity| activity.id == id && !is_open(&activity.outcome));
            if over {
                *shown = None;
            }
            over
        });
    }
}

impl Reports {
    /// Goes on to the next part of the task.
    pub(crate) fn enter(&self, stage: Stage) {
        let mut course = lock(&self.course);
        course.stage = stage;
        course.amounts.clear();
    }

    /// What it works on, once that is known.
    pub(crate) fn about(&self, subject: &str) {
        self.change(|activity| activity.subject = Some(subject.to_owned()));
    }

    /// The end, of whichever kind.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.change(|activity| activity.outcome = outcome);
    }

    fn change(&self, change: impl FnOnce(&mut Activity)) {
        self.shown.send_if_modified(|shown| match shown {
            Some(activity) if activity.id == self.id => {
                change(activity);
                true
            }
            Some(_) | None => false,
        });
    }
}

impl Reporter for Reports {
    fn report(&self, event: Event<'_>) {
        let mut course = lock(&self.course);
        let stage = course.stage;
        match event {
            Event::Begin(phase) => {
                course.amounts.clear();
                self.change(|activity| {
                    let progress = entry(activity, stage, phase);
                    progress.bytes = None;
                    if let Some(ms) = progress.ms.take() {
                        course.earlier.push((stage, progress.phase, ms));
                    }
                });
            }
            Event::Bytes { phase, done, total } => {
                let now = Instant::now();
                let transfer = course.transfer(now, done, total);
                let due = course.told.is_none_or(|told| now - told >= INTERVAL);
                if due {
                    course.told = Some(now);
                }
                self.shown.send_if_modified(|shown| match shown {
                    Some(activity) if activity.id == self.id => {
                        entry(activity, stage, phase).bytes = Some(transfer);
                        due
                    }
                    Some(_) | None => false,
                });
            }
            Event::End(phase, took) => self.change(|activity| {
                let progress = entry(activity, stage, phase);
                let again =
                    |known: &(Stage, Phase, f64)| (known.0, known.1) == (stage, progress.phase);
                let index = course.earlier.iter().position(again);
                let before = index.map_or(0.0, |index| course.earlier.swap_remove(index).2);
                progress.ms = Some(before + took.as_secs_f64() * 1e3);
            }),
            Event::Limit(deadline) => self.change(|activity| activity.limit = deadline.map(limit)),
            Event::Notice(text) => self.change(|activity| note(activity, false, text)),
            Event::Warning(text) => self.change(|activity| note(activity, true, text)),
        }
    }
}

/// A deadline by the clock, which a page can count down by.
fn limit(deadline: Deadline) -> TimeLimit {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    TimeLimit {
        began_at_ms: host::now_ms().saturating_sub(ms(deadline.taken())),
        limit_ms: ms(deadline.limit()),
    }
}

impl Course {
    fn transfer(&mut self, now: Instant, done: u64, total: u64) -> Transfer {
        self.amounts.push_back((now, done));
        while self
            .amounts
            .front()
            .is_some_and(|(when, _)| now - *when > RATE_WINDOW)
        {
            self.amounts.pop_front();
        }
        let rate = self.amounts.front().and_then(|(when, amount)| {
            let passed = now - *when;
            (passed >= RATE_AFTER).then(|| {
                let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
                done.saturating_sub(*amount).saturating_mul(1000) / millis.max(1)
            })
        });
        Transfer {
            done,
            total,
            bytes_per_second: rate,
            seconds_left: rate
                .filter(|rate| *rate > 0)
                .map(|rate| total.saturating_sub(done).div_ceil(rate)),
        }
    }
}

/// The entry of a phase, made if there is none. A phase that occurs again goes on in its own.
fn entry(activity: &mut Activity, stage: Stage, phase: Phase) -> &mut PhaseProgress {
    let of_it = |known: &PhaseProgress| known.stage == stage && known.phase == phase;
    let index = activity.phases.iter().position(of_it).unwrap_or_else(|| {
        activity.phases.push(PhaseProgress {
            stage,
            phase,
            ms: None,
            bytes: None,
        });
        activity.phases.len() - 1
    });
    &mut activity.phases[index]
}

fn note(activity: &mut Activity, warning: bool, text: &str) {
    let notice = Notice {
        warning,
        text: text.to_owned(),
    };
    if !activity.notices.contains(&notice) {
        activity.notices.push(notice);
    }
}

const fn is_open(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Running | Outcome::Cancelling => true,
        Outcome::Finished | Outcome::Cancelled | Outcome::Failed { .. } => false,
    }
}

/// What is under way, for people.
pub(crate) const fn describe(task: Task) -> &'static str {
    match task {
        Task::Start => "starting the emulator",
        Task::Stop => "stopping the emulator",
        Task::Restart => "restarting the emulator",
        Task::Reset => "resetting the emulator",
        Task::Capture => "taking a snapshot",
        Task::Pull => "installing an image",
        Task::SetUp => "setting up the emulator",
        Task::Rotate => "rotating the secrets",
        Task::Checkpoint => "creating a checkpoint",
        Task::Restore => "restoring a checkpoint",
    }
}

/// What is behind a lock stays whole: no change of it can end in its middle.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(activities: &Activities) -> Activity {
        activities.shown.borrow().clone().unwrap()
    }

    #[test]
    fn one_at_a_time() {
        let activities = Activities::new();
        let (reports, _asked) = activities
            .begin(Plan::of(Task::Start, Stage::Start))
            .unwrap();
        let refused = activities
            .begin(Plan::of(Task::Stop, Stage::Stop))
            .unwrap_err();
        assert_eq!(refused.code, Code::Busy);
        assert_eq!(refused.message, "the app is busy: starting the emulator");
        reports.end(Outcome::Finished);
        assert_eq!(activities.running(), None);
        let (next, _asked) = activities.begin(Plan::of(Task::Stop, Stage::Stop)).unwrap();
        // What an operation that is over still says is not heard.
        reports.report(Event::Notice("late"));
        assert!(shown(&activities).notices.is_empty());
        next.end(Outcome::Finished);
    }

    #[test]
    fn a_limit_counts_from_when_it_began() {
        let activities = Activities::new();
        let plan = Plan::of(Task::Start, Stage::Start);
        let (reports, _asked) = activities.begin(plan).unwrap();
        assert_eq!(shown(&activities).limit, None);
        let minute = Duration::from_secs(60);
        let begun = Instant::now().checked_sub(minute).unwrap();
        let deadline = Deadline::since(begun, 5 * minute);
        reports.report(Event::Limit(Some(deadline)));
        let limit = shown(&activities).limit.unwrap();
        assert_eq!(limit.limit_ms, 300_000);
        let taken = host::now_ms() - limit.began_at_ms;
        assert!((60_000..90_000).contains(&taken), "{taken}");
        reports.report(Event::Limit(None));
        assert_eq!(shown(&activities).limit, None);
    }

    #[test]
    fn only_what_runs_is_cancelled() {
        let activities = Activities::new();
        let (reports, asked) = activities.begin(Plan::of(Task::Pull, Stage::Pull)).unwrap();
        assert!(!activities.cancel(reports.id + 1));
        assert!(activities.cancel(reports.id));
        assert!(*asked.borrow());
        assert_eq!(shown(&activities).outcome, Outcome::Cancelling);
        assert!(
            !activities.cancel(reports.id),
            "it is being cancelled already"
        );
        activities.dismiss(reports.id);
        assert_eq!(shown(&activities).outcome, Outcome::Cancelling);
        reports.end(Outcome::Cancelled);
        activities.dismiss(reports.id);
        assert!(activities.shown.borrow().is_none());
    }

    #[test]
    fn a_phase_that_occurs_again_runs_again() {
        let activities = Activities::new();
        let (reports, _asked) = activities.begin(Plan::of(Task::Pull, Stage::Pull)).unwrap();
        let (phase, second) = (Phase::Download, Duration::from_secs(1));
        let bytes = |done| Event::Bytes {
            phase,
            done,
            total: 10,
        };
        // The manifest, and then the disk.
        reports.report(Event::Begin(phase));
        reports.report(bytes(10));
        reports.report(Event::End(phase, second));
        assert_eq!(shown(&activities).phases[0].ms, Some(1000.0));
        reports.report(Event::Begin(phase));
        let running = &shown(&activities).phases[0];
        assert_eq!((running.ms, &running.bytes), (None, &None));
        reports.report(Event::End(phase, second));
        assert_eq!(shown(&activities).phases[0].ms, Some(2000.0));
    }

    #[test]
    fn phases_are_told_once_each_with_the_stage_they_are_of() {
        let activities = Activities::new();
        let plan = Plan {
            stages: vec![Stage::Capture, Stage::Start],
            ..Plan::of(Task::SetUp, Stage::Capture)
        };
        let (reports, _asked) = activities.begin(plan).unwrap();
        let second = Duration::from_secs(1);
        for phase in [Phase::Prepare, Phase::Boot, Phase::Prepare] {
            reports.report(Event::Begin(phase));
            reports.report(Event::End(phase, second));
        }
        reports.enter(Stage::Start);
        reports.report(Event::Begin(Phase::Prepare));
        let found: Vec<_> = shown(&activities)
            .phases
            .iter()
            .map(|progress| (progress.stage, progress.phase, progress.ms))
            .collect();
        assert_eq!(
            found,
            [
                (Stage::Capture, Phase::Prepare, Some(2000.0)),
                (Stage::Capture, Phase::Boot, Some(1000.0)),
                (Stage::Start, Phase::Prepare, None),
            ]
        );
    }

    #[test]
    fn a_rate_is_the_mean_of_the_last_seconds() {
        let mut course = Course {
            stage: Stage::Pull,
            told: None,
            amounts: VecDeque::new(),
            earlier: Vec::new(),
        };
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        // What an earlier try has left counts for no rate.
        assert_eq!(course.transfer(at(0), 500, 10_000).bytes_per_second, None);
        let transfer = course.transfer(at(2), 700, 10_000);
        assert_eq!(transfer.bytes_per_second, Some(100));
        assert_eq!(transfer.seconds_left, Some(93));
        assert_eq!(course.transfer(at(8), 700, 10_000).bytes_per_second, None);
        assert_eq!(
            course.transfer(at(10), 700, 10_000).seconds_left,
            None,
            "it stands still"
        );
    }
}
