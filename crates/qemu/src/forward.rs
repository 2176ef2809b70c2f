//! Ports of the host that lead into a running guest, added and removed while it runs.
//!
//! A forward is the host's alone: the guest does not see it, and saved state does not hold it. QEMU
//! has no QMP command for it, only two of the monitor for people, whose answers are text. What that
//! text says is QEMU's business, except that there is none when a forward was added.

use std::time::Duration;

use crate::machine::Forward;
use crate::monitor::Monitor;
use crate::qmp::QmpError;

/// The id of the network that [`Machine`](crate::Machine) gives its guest.
const NETWORK: &str = "net0";

/// A port of the host cannot be made to lead into the guest.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The command failed.
    #[error(transparent)]
    Monitor(#[from] QmpError),
    /// QEMU did not get the port, mostly because another process has it.
    #[error("QEMU did not get port {port}: {said}")]
    NotAdded {
        /// The port on 127.0.0.1.
        port: u16,
        /// QEMU's own text.
        said: String,
    },
}

impl Monitor {
    /// Has `forward` lead into the guest, from 127.0.0.1 alone.
    ///
    /// # Errors
    ///
    /// [`ForwardError::NotAdded`] if QEMU does not get the port.
    pub async fn add_forward(
        &self,
        forward: &Forward,
        limit: Duration,
    ) -> Result<(), ForwardError> {
        let Forward {
            host_port,
            guest_port,
        } = forward;
        let line = format!("hostfwd_add {NETWORK} tcp:127.0.0.1:{host_port}-:{guest_port}");
        let said = self.as_a_person(line, limit).await?;
        match said.trim() {
            "" => Ok(()),
            said => Err(ForwardError::NotAdded {
                port: *host_port,
                said: said.to_owned(),
            }),
        }
    }

    /// Closes `forward`: its port is refused from now on. Connections that are open stay so. One that
    /// is not there is no error.
    ///
    /// # Errors
    ///
    /// Those of [`Qmp::execute`](crate::Qmp::execute).
    pub async fn remove_forward(&self, forward: &Forward, limit: Duration) -> Result<(), QmpError> {
        let host_port = forward.host_port;
        let line = format!("hostfwd_remove {NETWORK} tcp:127.0.0.1:{host_port}");
        let said = self.as_a_person(line, limit).await?;
        tracing::debug!(host_port, said = said.trim(), "a forward is closed");
        Ok(())
    }

    /// Runs a command of the monitor for people, and returns what it prints.
    async fn as_a_person(&self, line: String, limit: Duration) -> Result<String, QmpError> {
        let command = qapi_qmp::human_monitor_command {
            command_line: line,
            cpu_index: None,
        };
        self.execute(command, limit).await
    }
}
