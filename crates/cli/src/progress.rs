//! Progress on standard error: a line for what takes long, and nothing else.
//!
//! Most phases of a start are over before an eye could read their name, so a
//! phase is drawn only once it has lasted for [`PATIENCE`], and only on a
//! terminal. Notices and warnings are always written.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use progress::{Deadline, Event, Phase, Reporter};
use tokio::runtime::Handle;

use crate::output::tell;
use crate::render::style::{CAUTION, FAINT, Style};
use crate::render::text::{paint, printable};

/// How long a phase may last without being drawn.
const PATIENCE: Duration = Duration::from_millis(300);
/// How much of its time an operation may have taken before that is shown.
const LONG: Duration = Duration::from_secs(10);
/// Between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(100);
/// Between two pictures of the time that is left.
const SECOND: Duration = Duration::from_secs(1);

/// Whether a line may be drawn and erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drawing {
    On,
    Off,
}

impl Drawing {
    /// On if standard error is a terminal that can erase a line. With
    /// `verbose`, log lines would tear the drawing.
    pub(crate) fn wanted(verbose: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if std::io::stderr().is_terminal() && !dumb && !verbose {
            Self::On
        } else {
            Self::Off
        }
    }
}

/// Draws what the engine reports.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    drawing: Drawing,
    runtime: Handle,
    shared: Arc<Mutex<Picture>>,
}

/// What is on the terminal.
#[derive(Debug, Default)]
struct Picture {
    /// Counts phases, so that a phase that is over is not drawn late.
    generation: u64,
    /// The present phase, drawn or not.
    phase: Option<Phase>,
    /// What the present phase is a part of, for instance `run 3 of 10`.
    step: Option<String>,
    bar: Option<ProgressBar>,
    /// The phase whose bytes the bar shows.
    counted: Option<Phase>,
    /// Until when the present phases have to be done.
    deadline: Option<Deadline>,
}

impl Progress {
    /// Must be called within the runtime.
    pub(crate) fn new(drawing: Drawing) -> Self {
        Self {
            drawing,
            runtime: Handle::current(),
            shared: Arc::default(),
        }
    }

    /// Says what the phases from now on are a part of; keeps the line there
    /// between them.
    pub(crate) fn step(&self, step: Option<String>) {
        if self.drawing == Drawing::Off {
            return;
        }
        let mut picture = self.picture();
        picture.step = step;
        if picture.step.is_some() {
            let message = picture.message();
            picture.show(message, Duration::ZERO);
        } else {
            picture.clear();
        }
    }

    /// Takes away what is drawn.
    pub(crate) fn clear(&self) {
        let mut picture = self.picture();
        picture.generation += 1;
        picture.step = None;
        picture.phase = None;
        picture.deadline = None;
        picture.clear();
    }

    fn picture(&self) -> MutexGuard<'_, Picture> {
        // A panic while drawing leaves nothing that could not be drawn over.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another command is waited for.
    fn waits(&self) -> bool {
        self.picture().phase == Some(Phase::Lock)
    }

    fn begin(&self, phase: Phase) {
        let mut picture = self.picture();
        picture.generation += 1;
        picture.phase = Some(phase);
        let generation = picture.generation;
        drop(picture);
        let shared = self.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            while shared.redraw(generation) {
                tokio::time::sleep(SECOND).await;
            }
        });
    }

    /// Draws the line of the phase with that number; false once there is another.
    fn redraw(&self, generation: u64) -> bool {
        let mut picture = self.picture();
        if picture.generation != generation {
            return false;
        }
        let message = picture.message();
        picture.show(message, PATIENCE);
        // What is left of its time runs down.
        picture.deadline.is_some()
    }

    fn end(&self) {
        let mut picture = self.picture();
        picture.generation += 1;
        picture.phase = None;
        if picture.step.is_some() {
            let message = picture.message();
            picture.show(message, Duration::ZERO);
        } else {
            picture.clear();
        }
    }

    fn write(&self, label: &str, style: Style, text: &str) {
        let line = format!("{} {}\n", paint(style, label), printable(text));
        match &self.picture().bar {
            Some(bar) => bar.suspend(|| tell(&line)),
            None => tell(&line),
        }
    }
}

/// What the line holds: for what the network brings, also how fast, and how
/// long it will take.
const fn template(phase: Phase, total: u64) -> &'static str {
    match (phase, total) {
        (Phase::Download, 0) => "{spinner} {msg} {decimal_bytes}, {decimal_bytes_per_sec}",
        (_, 0) => "{spinner} {msg} {decimal_bytes} ({elapsed})",
        (Phase::Download, _) => {
            "{spinner} {msg} {bar:24} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left"
        }
        _ => "{spinner} {msg} {bar:24} {decimal_bytes} of {decimal_total_bytes} ({elapsed})",
    }
}

/// What is going on; of what takes longest, also how long.
const fn describe(phase: Phase) -> &'static str {
    match phase {
        Phase::Boot => "Booting the virtual machine, which can take a minute or two",
        phase => phase.describe(),
    }
}

/// How much of its time a long operation has taken: `, 42 s of 300 s`.
fn of_its_time(deadline: Option<Deadline>) -> String {
    match deadline {
        Some(deadline) if deadline.taken() >= LONG => format!(
            ", {} s of {} s",
            deadline.taken().as_secs(),
            deadline.limit().as_secs()
        ),
        Some(_) | None => String::new(),
    }
}

impl Picture {
    fn message(&self) -> String {
        let time = of_its_time(self.deadline);
        match (&self.step, self.phase) {
            (None, None) => String::new(),
            (None, Some(phase)) => format!("{}{time}", describe(phase)),
            (Some(step), None) => step.clone(),
            (Some(step), Some(phase)) => format!("{step}: {}{time}", describe(phase)),
        }
    }

    /// Draws `message`, which has been true for `since`.
    fn show(&mut self, message: String, since: Duration) {
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            return;
        }
        let bar = ProgressBar::new_spinner()
            .with_message(message)
            .with_elapsed(since);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        self.bar = Some(bar);
    }

    fn advance(&mut self, phase: Phase, done: u64, total: u64) {
        let Some(bar) = &self.bar else { return };
        let begins = self.counted != Some(phase);
        if begins || bar.length() != (total > 0).then_some(total) {
            if let Ok(style) = ProgressStyle::with_template(template(phase, total)) {
                bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            match total {
                0 => bar.unset_length(),
                total => bar.set_length(total),
            }
        }
        bar.set_position(done);
        if begins {
            // What was done before says nothing of how fast it goes now.
            bar.reset_eta();
            self.counted = Some(phase);
        }
    }

    fn clear(&mut self) {
        self.counted = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Reporter for Progress {
    fn report(&self, event: Event<'_>) {
        tracing::debug!(?event, "the engine reports");
        match (event, self.drawing) {
            // Only at a terminal: nothing else has a Ctrl-C.
            (Event::Notice(text), Drawing::On) if self.waits() => {
                self.write("note:", FAINT, &format!("{text} Ctrl-C stops waiting."));
            }
            (Event::Notice(text), _) => self.write("note:", FAINT, text),
            (Event::Warning(text), _) => self.write("warning:", CAUTION, text),
            (Event::Begin(phase), Drawing::On) => self.begin(phase),
            (Event::Bytes { phase, done, total }, Drawing::On) => {
                self.picture().advance(phase, done, total);
            }
            (Event::End(..), Drawing::On) => self.end(),
            (Event::Limit(deadline), _) => self.picture().deadline = deadline,
            (Event::Begin(_) | Event::Bytes { .. } | Event::End(..), Drawing::Off) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(progress: &Progress) -> Option<String> {
        progress.picture().bar.as_ref().map(ProgressBar::message)
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_phase_is_never_drawn_and_a_long_one_after_a_while() {
        let progress = Progress::new(Drawing::On);
        progress.report(Event::Begin(Phase::Qemu));
        tokio::time::sleep(PATIENCE / 2).await;
        progress.report(Event::End(Phase::Qemu, PATIENCE / 2));
        progress.report(Event::Begin(Phase::Boot));
        tokio::time::sleep(PATIENCE / 2 + TICK).await;
        assert_eq!(
            drawn(&progress),
            None,
            "the first phase's time must not count for the second"
        );
        tokio::time::sleep(PATIENCE).await;
        assert_eq!(
            drawn(&progress).as_deref(),
            Some("Booting the virtual machine, which can take a minute or two")
        );
        progress.report(Event::End(Phase::Boot, PATIENCE * 2));
        assert_eq!(drawn(&progress), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_stays_between_its_phases() {
        let progress = Progress::new(Drawing::On);
        progress.step(Some("Run 3 of 10".into()));
        progress.report(Event::Begin(Phase::Load));
        tokio::time::sleep(PATIENCE * 2).await;
        assert_eq!(
            drawn(&progress).as_deref(),
            Some("Run 3 of 10: Loading the saved state")
        );
        progress.report(Event::End(Phase::Load, PATIENCE));
        assert_eq!(drawn(&progress).as_deref(), Some("Run 3 of 10"));
        progress.step(None);
        assert_eq!(drawn(&progress), None);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_turn_the_line_into_a_bar() {
        let progress = Progress::new(Drawing::On);
        progress.report(Event::Begin(Phase::Save));
        tokio::time::sleep(PATIENCE * 2).await;
        progress.report(Event::Bytes {
            phase: Phase::Save,
            done: 5,
            total: 10,
        });
        let bar = progress.picture().bar.clone().unwrap();
        assert_eq!((bar.position(), bar.length()), (5, Some(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_of_unknown_length_has_no_end_and_gets_one() {
        let progress = Progress::new(Drawing::On);
        progress.report(Event::Begin(Phase::Download));
        tokio::time::sleep(PATIENCE * 2).await;
        let at = |done, total| {
            let phase = Phase::Download;
            progress.report(Event::Bytes { phase, done, total });
            let bar = progress.picture().bar.clone().unwrap();
            (bar.position(), bar.length())
        };
        assert_eq!(at(7, 0), (7, None));
        assert_eq!(at(8, 20), (8, Some(20)));
        assert_eq!(at(20, 20), (20, Some(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_another_command_can_be_stopped_at_a_terminal() {
        for (drawing, waits) in [(Drawing::On, true), (Drawing::Off, false)] {
            let progress = Progress::new(drawing);
            progress.report(Event::Begin(Phase::Lock));
            assert_eq!(progress.waits(), waits);
            progress.report(Event::End(Phase::Lock, PATIENCE));
            assert!(!progress.waits());
        }
    }

    #[test]
    fn the_time_of_what_takes_long_is_shown() {
        assert_eq!(of_its_time(None), "");
        assert_eq!(of_its_time(Some(Deadline::within(LONG * 30))), "");
        // What has taken its time: a limit that counts from before now.
        let begun = std::time::Instant::now().checked_sub(LONG * 4).unwrap();
        let shown = of_its_time(Some(Deadline::since(begun, LONG * 30)));
        assert_eq!(shown, ", 40 s of 300 s");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_drawn_where_nobody_watches() {
        let progress = Progress::new(Drawing::Off);
        progress.step(Some("Run 1 of 2".into()));
        progress.report(Event::Begin(Phase::Boot));
        tokio::time::sleep(PATIENCE * 2).await;
        assert_eq!(drawn(&progress), None);
    }
}
