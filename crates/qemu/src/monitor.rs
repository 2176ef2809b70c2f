//! A machine's two monitors: one for commands, one for events.
//!
//! QEMU handles the commands of a monitor one after another. Events come over a connection of
//! their own, so that a command that takes its time hides none. Each monitor serves one client at
//! a time and lets the next one wait, so close a [`Monitor`] as soon as it is not needed.

use std::path::Path;
use std::time::Duration;

use qapi_spec::Command;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::process::Sockets;
use crate::qmp::{Event, EventStream, Greeting, Qmp, QmpError};

/// Connections to both monitors of a machine.
#[derive(Debug)]
pub struct Monitor {
    control: Qmp,
    events: Qmp,
}

/// Whether the vCPUs run, and QEMU's word for the state the machine is in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RunStatus {
    /// The vCPUs run.
    pub running: bool,
    /// QEMU's word, such as `paused`, `inmigrate` or `postmigrate`; new ones may come.
    #[serde(rename = "status")]
    pub state: String,
}

/// `query-status` with a tolerant answer: the generated type refuses states it does not know.
#[derive(Debug, Serialize)]
struct QueryStatus {}

impl Command for QueryStatus {
    type Ok = RunStatus;
    const NAME: &'static str = "query-status";
    const ALLOW_OOB: bool = false;
}

impl Monitor {
    /// Connects to both monitors and waits at most `limit` for each.
    ///
    /// # Errors
    ///
    /// [`QmpError::Connect`] if nobody listens, [`QmpError::NoGreeting`] if another program holds
    /// a monitor for longer than `limit`.
    pub async fn connect(sockets: &Sockets, limit: Duration) -> Result<(Self, Greeting), QmpError> {
        let (control_path, events_path) = (sockets.control(), sockets.events());
        // One after the other: two clients that each hold one and wait for the other would be stuck.
        let (control, greeting) = dial(&control_path, limit).await?;
        let (events, _) = dial(&events_path, limit).await?;
        Ok((Self { control, events }, greeting))
    }

    /// Runs a command. See [`Qmp::execute`].
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`].
    pub async fn execute<C: Command>(
        &self,
        command: C,
        limit: Duration,
    ) -> Result<C::Ok, QmpError> {
        self.control.execute(command, limit).await
    }

    /// Events from now on.
    pub fn subscribe(&self) -> EventStream {
        self.events.subscribe()
    }

    /// What the machine is doing.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`].
    pub async fn status(&self, limit: Duration) -> Result<RunStatus, QmpError> {
        self.execute(QueryStatus {}, limit).await
    }

    /// The bytes that the guest has read from its disks and written to them.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`].
    pub async fn disk_bytes(&self, limit: Duration) -> Result<u64, QmpError> {
        let command = qapi_qmp::query_blockstats { query_nodes: None };
        let disks = self.execute(command, limit).await?;
        let moved = |disk: &qapi_qmp::BlockStats| {
            let (read, written) = (disk.stats.rd_bytes, disk.stats.wr_bytes);
            u64::try_from(read).unwrap_or(0) + u64::try_from(written).unwrap_or(0)
        };
        Ok(disks.iter().map(moved).sum())
    }

    /// Returns once the accelerator cannot go on: QEMU has then stopped the machine for good. Does
    /// not return otherwise, not even when QEMU has ended.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`], if QEMU stops the machine and does not say why within `limit`.
    pub async fn accelerator_failed(&self, limit: Duration) -> Result<(), QmpError> {
        const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
        let mut events = self.subscribe();
        // It may have happened before anybody listened.
        while self.status(limit).await?.state != "internal-error" {
            if events.wait_for("STOP", FOREVER, |_| true).await.is_err() {
                // The end of the events is the end of QEMU, for others to see.
                std::future::pending::<()>().await;
            }
        }
        Ok(())
    }

    /// Stops the vCPUs. When it returns they have stopped, and disks are flushed.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`].
    pub async fn stop(&self, limit: Duration) -> Result<(), QmpError> {
        self.execute(qapi_qmp::stop {}, limit).await.map(drop)
    }

    /// Lets the vCPUs run.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`].
    pub async fn cont(&self, limit: Duration) -> Result<(), QmpError> {
        self.execute(qapi_qmp::cont {}, limit).await.map(drop)
    }

    /// Presses the reset button: the guest boots anew, whatever it was doing.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`].
    pub async fn reset(&self, limit: Duration) -> Result<(), QmpError> {
        self.execute(qapi_qmp::system_reset {}, limit)
            .await
            .map(drop)
    }

    /// Presses the power button. The guest decides what to do about it.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`].
    pub async fn powerdown(&self, limit: Duration) -> Result<(), QmpError> {
        self.execute(qapi_qmp::system_powerdown {}, limit)
            .await
            .map(drop)
    }

    /// Tells QEMU to end. It flushes and closes its images, then exits; wait for the process.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`]. That QEMU hung up before its answer arrived is not one.
    pub async fn quit(&self, limit: Duration) -> Result<(), QmpError> {
        match self.execute(qapi_qmp::quit {}, limit).await {
            Ok(_) | Err(QmpError::Disconnected { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a device of that id.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`].
    pub async fn has_device(&self, device: &str, limit: Duration) -> Result<bool, QmpError> {
        let path = "/machine/peripheral".to_owned();
        let devices = self.execute(qapi_qmp::qom_list { path }, limit).await?;
        Ok(devices.iter().any(|entry| entry.name == device))
    }

    /// Unplugs a device and waits until the guest has let go of it and it is gone.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`]; [`QmpError::NoEvent`] if the guest does not within `limit`.
    pub async fn unplug(&self, device: &str, limit: Duration) -> Result<(), QmpError> {
        let mut events = self.subscribe();
        let id = device.to_owned();
        self.execute(qapi_qmp::device_del { id }, limit).await?;
        // Its inner devices are reported too, by path and without an id.
        let gone = |event: &Event| event.name == "DEVICE_DELETED" && event.data["device"] == device;
        events
            .wait_for("DEVICE_DELETED", limit, gone)
            .await
            .map(drop)
    }

    /// Closes both connections and waits until they are closed.
    pub async fn close(self) {
        self.events.close().await;
        self.control.close().await;
    }
}

async fn dial(path: &Path, limit: Duration) -> Result<(Qmp, Greeting), QmpError> {
    let failed = |source| QmpError::Connect {
        path: path.to_owned(),
        source,
    };
    match tokio::time::timeout(limit, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => Qmp::connect(stream, limit).await,
        Ok(Err(source)) => Err(failed(source)),
        // The queue of waiting clients is full.
        Err(_) => Err(QmpError::NoGreeting { limit }),
    }
}
