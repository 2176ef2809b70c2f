//! The guest's clock.
//!
//! The agent's own `guest-set-time` sets the clock at once, but then has `hwclock` write it back to
//! the hardware clock, for which that waits for a certain moment of a second: 0.6 to 2 s seen. There
//! is no use in it, since QEMU's hardware clock follows the host. So the guest's `date` moves the
//! clock, by how far it is off rather than to a time: how long a program takes to start, which is
//! hundreds of milliseconds on a busy host, then makes no difference.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{AgentError, Deadline, Exec, GuestAgent, exec};

/// Less than the way to the guest's clock and back is worth.
const CLOSE_ENOUGH_NS: i128 = 1_000_000;

impl GuestAgent {
    /// Sets the guest's clock so that it shows `time` for the moment of this call.
    ///
    /// `guest-set-time` is the second choice, for guests without a GNU `date`, and always with a
    /// time: without one it asks the hardware clock, which can hang.
    ///
    /// # Errors
    ///
    /// [`AgentError::TimeOutOfRange`] before 1970 and after 2262; see [`AgentError`].
    pub async fn set_time(&mut self, time: SystemTime, limit: Duration) -> Result<(), AgentError> {
        let (called, deadline) = (Instant::now(), Deadline::after(limit));
        let wanted = nanos(time)?;

        let asked = called.elapsed();
        let shown = self.call(qapi_qga::guest_get_time {}, deadline).await?;
        // The guest read its clock somewhere between question and answer.
        let read = (asked + called.elapsed()) / 2;
        let behind = i128::from(wanted) + nanoseconds(read) - i128::from(shown);
        if behind.abs() < CLOSE_ENOUGH_NS {
            return Ok(());
        }
        let sign = if behind < 0 { '-' } else { '+' };
        let (seconds, rest) = (behind.abs() / 1_000_000_000, behind.abs() % 1_000_000_000);
        let move_by = format!("now {sign}{seconds}.{rest:09} seconds");
        let date = Exec {
            path: "date",
            args: &["-s", &move_by],
            input: None,
            capture: false,
            output_limit: 0,
        };
        match exec::run(self, date, deadline).await {
            Ok(result) if result.success() => return Ok(()),
            Ok(_) | Err(AgentError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let now = i128::from(wanted) + nanoseconds(called.elapsed());
        let now = i64::try_from(now).map_err(|_| AgentError::TimeOutOfRange)?;
        let command = qapi_qga::guest_set_time { time: Some(now) };
        self.call(command, deadline).await.map(drop)
    }

    /// The guest's clock.
    ///
    /// # Errors
    ///
    /// See [`AgentError`].
    pub async fn get_time(&mut self, limit: Duration) -> Result<SystemTime, AgentError> {
        let nanos = self
            .call(qapi_qga::guest_get_time {}, Deadline::after(limit))
            .await?;
        u64::try_from(nanos)
            .ok()
            .and_then(|nanos| SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos)))
            .ok_or(AgentError::TimeOutOfRange)
    }
}

/// As the agent counts time.
fn nanos(time: SystemTime) -> Result<i64, AgentError> {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .ok_or(AgentError::TimeOutOfRange)
}

fn nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}
