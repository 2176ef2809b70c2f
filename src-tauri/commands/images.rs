//! Images: what there is elsewhere, getting it, and what is here.

use emulator::Code;
use std::sync::Arc;

use emulator::Emulator;
use emulator::preferences::Preferences;
use emulator::prune::PruneRequest;
use emulator::pull::{PullReport, PullRequest};
use images::source::DEFAULT_BRANCH;
use progress::{Event, Reporter as _, Silent};
use tauri::State;
use tauri_plugin_dialog::DialogExt as _;

use super::desktop::chosen;
use crate::activity::{Plan, Reports};
use crate::app_state::AppState;
use crate::operations::{Ports, perform};
use crate::wire::activity::{Stage, Task};
use crate::wire::failure::{Answer, Failure};
use crate::wire::images::{
    Freed, ImageSource, Release, ReleaseList, ResolvedImage, UpdateCheck, name_of, name_of_image,
};

/// Asks the repository for its releases.
#[tauri::command]
#[specta::specta]
pub(crate) async fn list_releases(state: State<'_, Arc<AppState>>) -> Answer<ReleaseList> {
    let emulator = state.emulator();
    let list = emulator.releases(None, &Silent).await?;
    let branch = branch(&emulator)?;
    Ok(ReleaseList::new(&list, emulator.image_arch(), &branch))
}

/// Finds what a source stands for, without downloading it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn resolve_image(
    state: State<'_, Arc<AppState>>,
    source: ImageSource,
) -> Answer<ResolvedImage> {
    let request = request(source);
    Ok(state.emulator().offer(&request, &Silent).await?.into())
}

/// Asks whether a newer image than the one in use was released.
#[tauri::command]
#[specta::specta]
pub(crate) async fn check_for_update(state: State<'_, Arc<AppState>>) -> Answer<UpdateCheck> {
    let emulator = state.emulator();
    let newer = emulator.newer(&Silent).await?;
    let branch = branch(&emulator)?;
    let arch = emulator.image_arch();
    Ok(UpdateCheck {
        available: newer.and_then(|release| Release::new(&release, arch, &branch)),
    })
}

/// Downloads and installs an image, and takes its snapshot if asked to.
#[tauri::command]
#[specta::specta]
pub(crate) async fn pull(
    state: State<'_, Arc<AppState>>,
    source: ImageSource,
    capture: bool,
) -> Answer {
    let mut plan = Plan::of(Task::Pull, Stage::Pull);
    if capture {
        plan.stages.push(Stage::Capture);
    }
    plan.subject = subject(&source);
    plan.source = Some(source.clone());
    perform(&state, plan, move |emulator, reports| async move {
        let report = get(&emulator, source, &reports).await?;
        if let Some(reason) = &report.not_chosen_because {
            reports.report(Event::Warning(&format!(
                "The image is installed, but the next start does not use it: {reason}."
            )));
        } else if capture {
            reports.enter(Stage::Capture);
            emulator.capture_if_missing(&reports).await?;
        }
        Ok(())
    })
    .await
}

/// Pulls an image, takes its snapshot and starts it, going on where an earlier try ended. With `other_ports`, the
/// emulator has the next free ports from then on if another program has its own.
#[tauri::command]
#[specta::specta]
pub(crate) async fn set_up(
    state: State<'_, Arc<AppState>>,
    source: ImageSource,
    other_ports: bool,
) -> Answer {
    let plan = Plan {
        subject: subject(&source),
        source: Some(source.clone()),
        stages: vec![Stage::Pull, Stage::Capture, Stage::Start],
        ..Plan::of(Task::SetUp, Stage::Pull)
    };
    perform(&state, plan, move |emulator, reports| async move {
        // Before the download, so that a kill at any moment leaves something to go on with.
        emulator.begin_set_up(source.clone().wanted().as_ref())?;
        let report = get(&emulator, source, &reports).await?;
        if let Some(reason) = report.not_chosen_because {
            let message = format!("the image is installed, but cannot be started: {reason}");
            return Err(Failure::new(Code::OtherImage, message));
        }
        let emulator = Ports::of(other_ports).apply(&emulator);
        reports.enter(Stage::Capture);
        emulator.capture_if_missing(&reports).await?;
        reports.enter(Stage::Start);
        emulator.start(&reports).await?;
        emulator.finish_set_up()?;
        Ok(())
    })
    .await
}

/// Makes an installed image the one that the next start uses.
#[tauri::command]
#[specta::specta]
pub(crate) async fn use_image(state: State<'_, Arc<AppState>>, digest: String) -> Answer {
    state.emulator().use_image(&digest, &Silent).await?;
    Ok(())
}

/// Removes an image and its snapshots.
#[tauri::command]
#[specta::specta]
pub(crate) async fn remove_image(state: State<'_, Arc<AppState>>, digest: String) -> Answer<Freed> {
    let report = state.emulator().remove_image(&digest, &Silent).await?;
    Ok(Freed {
        freed_bytes: report.freed_bytes,
    })
}

/// Removes what no instance uses: images, their snapshots and unfinished downloads.
#[tauri::command]
#[specta::specta]
pub(crate) async fn prune_images(state: State<'_, Arc<AppState>>) -> Answer<Freed> {
    let request = PruneRequest {
        all: true,
        ..PruneRequest::default()
    };
    let report = state.emulator().prune(request, &Silent).await?;
    Ok(Freed {
        freed_bytes: report.freed_bytes,
    })
}

/// Lets the user choose a disk image in the desktop's own dialog. Null if they did not.
#[tauri::command]
#[specta::specta]
pub(crate) async fn choose_image_file(state: State<'_, Arc<AppState>>) -> Answer<Option<String>> {
    let dialog = state
        .app()
        .dialog()
        .file()
        .set_title("Choose an image file")
        .add_filter("Disk images and builds", &["qcow2", "zip"])
        .add_filter("All files", &["*"]);
    chosen(state.app(), dialog).await
}

/// Gets an image, and says its name as soon as it is known.
async fn get(
    emulator: &Emulator,
    source: ImageSource,
    reports: &Reports,
) -> Result<PullReport, Failure> {
    let report = emulator.pull(&request(source), reports).await?;
    reports.about(&name_of_image(&report.image));
    Ok(report)
}

fn request(source: ImageSource) -> PullRequest {
    PullRequest {
        source: source.wanted(),
        // It is a stage of its own here.
        skip_snapshot: true,
        ..PullRequest::default()
    }
}

/// What is being got, as far as it is known from the start.
fn subject(source: &ImageSource) -> Option<String> {
    source.clone().wanted().as_ref().map(name_of)
}

/// The branch that is pulled from by default.
fn branch(emulator: &Emulator) -> Result<String, emulator::Error> {
    let preferences = Preferences::read(emulator.home())?;
    Ok(preferences
        .branch
        .unwrap_or_else(|| DEFAULT_BRANCH.to_owned()))
}
