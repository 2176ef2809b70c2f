//! The operations that more than one part of the app offers: the page's commands, the tray, the launch, the end.
//!
//! Each of those calls what is here, and nothing here knows any of them.

use emulator::Code;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use emulator::changes::Changed;
use emulator::credentials::{Format, JSON_FIELDS, Names, ProjectCredentials};
use emulator::paths::InstanceName;
use emulator::{Emulator, Worker};
use progress::Silent;
use zeroize::Zeroizing;

use crate::activity::{Plan, Reports};
use crate::app_state::AppState;
use crate::clipboard::KEPT_FOR;
use crate::notification;
use crate::wire::activity::{Outcome, Stage, Task};
use crate::wire::failure::{Answer, Failure};
use crate::wire::projects::Copied;

/// Does `work` as this app's activity, to its end, even if nobody waits for that any more.
///
/// # Errors
///
/// Another activity is under way; the work fails, which the activity then says as well; it is cancelled.
pub(crate) async fn perform<F>(
    state: &Arc<AppState>,
    plan: Plan,
    work: impl FnOnce(Arc<Emulator>, Reports) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = Answer> + Send + 'static,
{
    let task = plan.task;
    let (reports, mut asked) = state.activities.begin(plan)?;
    let state = state.clone();
    let running = tauri::async_runtime::spawn(async move {
        // The refresh that follows a change of the settings may not have come that far.
        state.reload_preferences();
        let emulator = state.emulator();
        let result = tokio::select! {
            result = work(emulator.clone(), reports.clone()) => result.inspect(|()| watch_idle(&emulator)),
            // The other end lives as long as the activity.
            Ok(_) = asked.wait_for(|asked| *asked) => Err(Failure::cancelled()),
        };
        let outcome = match &result {
            Ok(()) => Outcome::Finished,
            // The future was dropped in its middle.
            Err(failure) if *asked.borrow() => match emulator.recover_interrupted(&reports).await {
                Ok(()) if failure.code == Code::Cancelled => Outcome::Cancelled,
                Ok(()) => Outcome::Failed {
                    failure: failure.clone(),
                },
                Err(error) => Outcome::Failed {
                    failure: error.into(),
                },
            },
            Err(failure) => Outcome::Failed {
                failure: failure.clone(),
            },
        };
        reports.end(outcome.clone());
        state.invalidate(Changed::EVERYTHING);
        notification::tell_outcome(&state, task, &outcome);
        result
    });
    match running.await {
        Ok(result) => result,
        Err(error) => Err(Failure::of(
            Code::Internal,
            "the operation broke off",
            &error,
        )),
    }
}

/// Has this program work ahead of the next start of the instance that follows, and end, in place of being the app.
pub(crate) const WORK_AHEAD: &str = "--work-ahead";

/// Has this program watch the instance that follows, and stop it once it is idle, in place of being the app.
pub(crate) const WATCH_IDLE: &str = "--watch-idle";

/// Has a process watch the machine that may have been started, if the setting says so.
pub(crate) fn watch_idle(emulator: &Emulator) {
    let watcher = Worker::this_program(vec![WATCH_IDLE.into(), emulator.name().as_str().into()]);
    let begun = watcher.map_or(Ok(()), |watcher| emulator.begin_idle_watch(&watcher));
    if let Err(error) = begun {
        let error = emulator::chain(&error);
        tracing::warn!(error, "the emulator is not stopped when it is idle");
    }
}

/// The process that works ahead.
pub(crate) fn worker() -> Option<Worker> {
    worker_of(&InstanceName::default())
}

/// The process that works ahead for the instance called `name`.
pub(crate) fn worker_of(name: &InstanceName) -> Option<Worker> {
    Worker::this_program(vec![WORK_AHEAD.into(), name.as_str().into()])
}

/// Which ports a start may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    /// Those of the instance; the start fails where another program has one of them.
    Own,
    /// The next free ones, for good, where another program has one of the instance's.
    OrOthers,
}

impl Ports {
    /// What the page says with `other_ports`.
    pub(crate) const fn of(other_ports: bool) -> Self {
        if other_ports {
            Self::OrOthers
        } else {
            Self::Own
        }
    }

    /// `emulator`, whose starts use these ports.
    pub(crate) fn apply(self, emulator: &Emulator) -> Emulator {
        match self {
            Self::Own => emulator.clone(),
            Self::OrOthers => emulator.clone().taking_free_ports(),
        }
    }
}

/// Starts the emulator on `ports`. Resolves when it is ready or has failed.
pub(crate) async fn start(state: &Arc<AppState>, ports: Ports) -> Answer {
    let plan = Plan::of(Task::Start, Stage::Start);
    perform(state, plan, move |emulator, reports| async move {
        ports.apply(&emulator).start(&reports).await?;
        // Who has a running emulator is not to be asked to go on with the set-up.
        emulator.finish_set_up()?;
        Ok(())
    })
    .await
}

/// Stops the emulator and keeps the session.
pub(crate) async fn stop(state: &Arc<AppState>) -> Answer {
    let plan = Plan::of(Task::Stop, Stage::Stop);
    perform(state, plan, |emulator, reports| async move {
        emulator.stop(worker().as_ref(), &reports).await?;
        Ok(())
    })
    .await
}

/// Starts the instance called `name` from the tray. It is no activity, since all that the app shows is of its own
/// instance: how that goes is seen in the menu, and a failure is notified of.
pub(crate) async fn start_other(state: &Arc<AppState>, name: InstanceName) {
    let emulator = state.emulator().sibling(name.clone());
    match Box::pin(emulator.start(&Silent)).await {
        Ok(_) => watch_idle(&emulator),
        Err(error) => {
            notification::tell_other_failed(state, &name, "could not be started", &error.into());
        }
    }
}

/// Stops the instance called `name` from the tray, and keeps its session.
pub(crate) async fn stop_other(state: &Arc<AppState>, name: InstanceName) {
    let emulator = state.emulator().sibling(name.clone());
    let worker = worker_of(&name);
    if let Err(error) = Box::pin(emulator.stop(worker.as_ref(), &Silent)).await {
        notification::tell_other_failed(state, &name, "could not be stopped", &error.into());
    }
}

/// Copies a project's variables, and says how that went, since a menu cannot.
pub(crate) async fn copy_from_tray(state: &Arc<AppState>, config_file: &str, format: Format) {
    let copied = copy_all(state, config_file, format).await;
    notification::tell_copied(state, &copied);
}

/// Puts all of a project's variables on the clipboard, and remembers the format.
pub(crate) async fn copy_all(
    state: &AppState,
    config_file: &str,
    format: Format,
) -> Answer<Copied> {
    let credentials = credentials(state, config_file).await?;
    let text = credentials.text(format, Names::Both);
    let count = match format.kind() {
        Some(kind) => credentials.variables(kind, Names::Both).len(),
        None => JSON_FIELDS,
    };
    let copied = copy_secret(state, text, count).await?;
    state.emulator().choose_format(config_file, format)?;
    Ok(copied)
}

/// Puts a secret, or a text that holds some, on the clipboard, which is cleared later.
pub(crate) async fn copy_secret(
    state: &AppState,
    text: Zeroizing<String>,
    count: usize,
) -> Answer<Copied> {
    state.clipboard.copy_secret(text).await?;
    Ok(Copied {
        count: u32::try_from(count).unwrap_or(u32::MAX),
        clears_after_seconds: u32::try_from(KEPT_FOR.as_secs()).unwrap_or(u32::MAX),
    })
}

/// Asks the emulator for a project's credentials.
pub(crate) async fn credentials(state: &AppState, config_file: &str) -> Answer<ProjectCredentials> {
    let emulator = state.emulator();
    Ok(emulator
        .credentials(Path::new(config_file), &Silent)
        .await?)
}
