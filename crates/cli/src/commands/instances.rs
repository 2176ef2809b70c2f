//! `instances`, `clone`, `delete`: the instances of the home, side by side.

use emulator::CloneFrom;
use emulator::instances::{InstanceEntry, KeptSession};
use emulator::paths::InstanceName;
use emulator::quantity::bytes;

use super::{Context, confirm};
use crate::exit::Exit;
use crate::failure::{Destruction, Failure};

pub(super) async fn list(context: &Context<'_>) -> Result<Exit, Failure> {
    let list = context.emulator.instances().await?;
    context.output.report(&list)?;
    Ok(Exit::Success)
}

pub(super) async fn clone(
    context: &Context<'_>,
    name: &InstanceName,
    from: &CloneFrom,
) -> Result<Exit, Failure> {
    let work = context.emulator.clone_to(name, from, &context.progress);
    let report = context.guarded(Box::pin(work)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn delete(
    context: &Context<'_>,
    name: InstanceName,
    yes: bool,
) -> Result<Exit, Failure> {
    let emulator = context.emulator.sibling(name);
    if !yes {
        // First, as before a reset.
        confirm::somebody_to_ask(Destruction::Delete)?;
        emulator.check_deletable()?;
        let list = emulator.instances().await?.instances;
        if let Some(entry) = list.iter().find(|entry| entry.selected) {
            confirm::ask(context, Destruction::Delete, &losses(entry)).await?;
        }
    }
    let work = async { Ok(emulator.delete(&context.progress).await?) };
    let recover = async || emulator.recover_interrupted(&context.progress).await;
    let report = context.guarded_with(Box::pin(work), recover).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

/// What goes with an instance.
fn losses(entry: &InstanceEntry) -> String {
    let own = bytes(entry.bytes_on_disk.saturating_sub(entry.shared_bytes));
    let session = match entry.session {
        None => "",
        Some(KeptSession::Saved | KeptSession::DiskKept) => {
            "\nIts saved session is deleted, too: all users, projects and data created since the snapshot."
        }
    };
    format!(
        "this deletes the instance {} with its snapshots, checkpoints, logs and secrets ({own}).{session}",
        entry.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_lost_is_mentioned() {
        let mut entry = InstanceEntry {
            name: "work".parse().unwrap(),
            folder: None,
            selected: true,
            state: None,
            busy: None,
            session: None,
            ports: vec![],
            image: None,
            image_name: None,
            bytes_on_disk: 500_000_000,
            shared_bytes: 100_000_000,
            problem: None,
        };
        assert_eq!(
            losses(&entry),
            "this deletes the instance work with its snapshots, checkpoints, logs and secrets (400 MB)."
        );
        entry.session = Some(KeptSession::DiskKept);
        assert!(losses(&entry).contains("all users, projects and data"));
    }
}
