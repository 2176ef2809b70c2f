//! Waiting for a guest that boots, which is started again once if its kernel has
//! lost its timer.
//!
//! Emulated, on a host with other things to do, a kernel can lose the timer of
//! one processor early in its boot: seen in three of some six hundred boots, two
//! at a time on two processors. Such a guest never comes up. It idles, and RCU's
//! stall detector says on the console, every 21 s, that a timer woke nobody.
//! Services have not begun by then, and a reset is another boot.
//!
//! Both signs are asked for, since either has other causes: after the host slept,
//! the kernel says so and goes on; and a guest that waits for its network idles.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use qemu::process::ProcessIdentity;
use qemu::{GuestAgent, Running};

use crate::error::Error;
use crate::guest;
use crate::instance::MONITOR_LIMIT;
use crate::progress::{Event, Reporter};
use crate::settle::cpu_time;

/// What `rcu_check_gp_kthread_expired_fqs_timer` says, in Linux since 5.12.
const TIMER_LOST: &str = "kthread timer wakeup didn't happen for";
/// Between two looks at the console.
const PAUSE: Duration = Duration::from_secs(2);
/// How much of the console's end is looked at, in bytes. A stall is told in one or two KiB.
const TAIL: u64 = 32 << 10;
/// How long the processor time is watched.
const SAMPLE: Duration = Duration::from_secs(3);
/// A boot that gets on keeps a processor busy; one whose timer is lost uses a
/// few hundredths of it.
const IDLE_SHARE: f64 = 0.3;

/// Waits at most `limit` until the agent of a guest that boots answers.
///
/// `console` is the guest's serial log.
pub(super) async fn answered(
    running: &Running,
    console: PathBuf,
    limit: Duration,
    reporter: &dyn Reporter,
) -> Result<GuestAgent, Error> {
    let socket = running.sockets.agent();
    let mut connected = pin!(guest::connect(&socket, limit));
    tokio::select! {
        biased;
        agent = &mut connected => return Ok(agent?),
        () = stands_still(&running.identity, Console::from_now(console)) => {}
    }
    reporter.report(Event::Warning(
        "The guest's kernel lost its timer, which happens to emulated machines on a busy host; \
         it boots once more.",
    ));
    running
        .monitor
        .reset(MONITOR_LIMIT)
        .await
        .map_err(|source| Error::Monitor {
            action: "reset the guest",
            source,
        })?;
    Ok(connected.await?)
}

/// Returns once the kernel has said that its timer is lost and the machine idles.
async fn stands_still(process: &ProcessIdentity, console: Console) {
    loop {
        tokio::time::sleep(PAUSE).await;
        if console.says_that_timer_is_lost() && is_idle(process).await {
            return;
        }
    }
}

/// Whether the process has next to nothing to do; `false` where the system does not tell.
async fn is_idle(process: &ProcessIdentity) -> bool {
    let (before, begun) = (cpu_time(process), Instant::now());
    tokio::time::sleep(SAMPLE).await;
    before
        .zip(cpu_time(process))
        .is_some_and(|(before, after)| {
            let used = after.saturating_sub(before);
            used.as_secs_f64() < IDLE_SHARE * begun.elapsed().as_secs_f64()
        })
}

/// What is added to a serial log.
struct Console {
    path: PathBuf,
    /// Where it began.
    begin: u64,
}

impl Console {
    fn from_now(path: PathBuf) -> Self {
        let begin = path.metadata().map_or(0, |meta| meta.len());
        Self { path, begin }
    }

    /// A log that cannot be read says nothing.
    fn says_that_timer_is_lost(&self) -> bool {
        end_of(&self.path, self.begin).is_ok_and(|end| end.contains(TIMER_LOST))
    }
}

/// The last [`TAIL`] bytes of the file, from `begin` on.
fn end_of(path: &Path, begin: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(begin.max(length.saturating_sub(TAIL))))?;
    let mut end = Vec::new();
    file.take(TAIL).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: &str = "[   22.517002] rcu: rcu_preempt kthread timer wakeup didn't happen for 5252 jiffies! \
                         g-1151 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x402\n";

    #[test]
    fn only_what_this_boot_has_said_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serial.log");
        assert!(!Console::from_now(path.clone()).says_that_timer_is_lost());
        std::fs::write(&path, STALL).unwrap();
        let console = Console::from_now(path.clone());
        assert!(!console.says_that_timer_is_lost());
        let more = "x".repeat(100_000) + STALL;
        std::fs::write(&path, STALL.to_owned() + &more).unwrap();
        assert!(console.says_that_timer_is_lost());
    }

    #[tokio::test]
    async fn a_process_that_works_is_not_idle() {
        let me = ProcessIdentity::of(std::process::id()).unwrap().unwrap();
        let (_end, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(
            move || {
                while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {}
            },
        );
        assert!(!is_idle(&me).await);
    }
}
