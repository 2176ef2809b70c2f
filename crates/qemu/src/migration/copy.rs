//! Copying a running machine into another QEMU.

use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{COMMAND_LIMIT, Migration, MigrationError, Operation, Progress, Summary, Way};
use crate::monitor::Monitor;
use crate::qmp::{EventStream, QmpError};
use crate::version::Version;

/// A machine that was copied.
#[derive(Debug, Clone, Copy)]
pub struct Copied {
    /// How the copying went.
    pub summary: Summary,
    /// Since when the first machine stands still.
    pub stopped: Instant,
}

/// Copies RAM and device state of the machine behind `from` into the one behind `into`, which waits
/// for an incoming migration, by `channels` connections through a socket at `socket`.
///
/// The first machine runs while its RAM is copied a first time, and is stopped for what it has
/// changed meanwhile: it stands still when this returns.
///
/// `version` is that of the receiving QEMU. The socket's path must be free, and short enough for one.
///
/// # Errors
///
/// See [`MigrationError`]. The first machine may stand still; `cont` lets it run again. The second
/// cannot be used after one.
pub async fn copy_machine(
    from: &Monitor,
    into: &Monitor,
    version: Version,
    socket: &Path,
    channels: u8,
    limit: Duration,
    progress: impl FnMut(Progress),
) -> Result<Copied, MigrationError> {
    let way = Way::Stream { channels };
    let sender = Migration::new(from, Operation::Send, socket, limit)?;
    let receiver = Migration::new(into, Operation::Receive, socket, limit)?;
    // Before it begins: none of its events must be missed.
    let events = from.subscribe();
    let (listening, listens) = oneshot::channel();
    let send = async {
        if listens.await.is_err() {
            return Err(sender.failed(Some("nobody receives it".to_owned())));
        }
        let sent = sender.send(way, progress);
        let mut sent = std::pin::pin!(sent);
        let stopped = tokio::select! {
            biased;
            stopped = sender.stopped_once_copied(events) => stopped?,
            // It stood still already.
            ended = &mut sent => {
                let stopped = sender.started;
                return ended.map(|summary| Copied { summary, stopped });
            }
        };
        let summary = sent.await?;
        Ok(Copied { summary, stopped })
    };
    // Both to their ends: one that fails cuts the connection, by which the other fails as well.
    let (sent, received) = tokio::join!(send, receiver.receive(way, version, listening));
    // The receiver knows better what was wrong.
    received.and(sent)
}

impl Migration<'_> {
    /// Stops a machine that is being copied once all of it was copied, unless QEMU does so before,
    /// because little is left. Says when.
    async fn stopped_once_copied(
        &self,
        mut events: EventStream,
    ) -> Result<Instant, MigrationError> {
        loop {
            match events.next().await {
                Ok(event) if event.name == "STOP" => return Ok(Instant::now()),
                // The second pass begins.
                Ok(event) if event.name == "MIGRATION_PASS" && event.data["pass"] != 1 => break,
                // Any of them may have been that one.
                Err(QmpError::EventsLost { .. }) => break,
                Ok(_) => {}
                Err(error) => return Err(self.qmp_error(error)),
            }
        }
        let stopped = Instant::now();
        let stop = self.monitor.stop(COMMAND_LIMIT).await;
        stop.map_err(|source| self.qmp_error(source))?;
        Ok(stopped)
    }
}
