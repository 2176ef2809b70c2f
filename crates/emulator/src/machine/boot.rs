//! Waiting for a guest that boots, which is started again once if its kernel has
//! lost its timer.
//!
//! Emulated, on a host with other things to do, a kernel can lose the timer of
//! one processor early in its boot. Of some six hundred boots, two at a time on
//! two processors, three did not come up, and the one whose console was kept had
//! lost it. Such a guest idles, and RCU's stall detector says on the console,
//! every 21 s, that a timer woke nobody. Services have not begun by then, and a
//! reset is another boot.
//!
//! Both signs are asked for, since either has other causes: after the host slept,
//! the kernel says so and goes on; and a guest that waits for its network idles.

use std::pin::pin;
use std::time::{Duration, Instant};

use host::ProcessIdentity;
use qemu::{GuestAgent, Running};

use crate::logs::{Follower, LogError};
use crate::machine::MONITOR_LIMIT;
use crate::machine::error::MachineError as Error;
use crate::machine::guest;
use progress::{Event, Reporter};

/// What `rcu_check_gp_kthread_expired_fqs_timer` says, in Linux since 5.12.
const TIMER_LOST: &str = "kthread timer wakeup didn't happen for";
/// How long the processor time is watched.
const SAMPLE: Duration = Duration::from_secs(3);
/// A boot that gets on keeps a processor busy; one whose timer is lost uses a
/// few hundredths of it.
const IDLE_SHARE: f64 = 0.3;

/// Waits at most `limit` until the agent of a guest that boots answers.
///
/// `console` follows the guest's serial log.
pub(super) async fn answered(
    running: &Running,
    console: Result<Follower, LogError>,
    limit: Duration,
    reporter: &dyn Reporter,
) -> Result<GuestAgent, Error> {
    let socket = running.sockets.agent();
    let mut connected = pin!(guest::connect(&socket, limit));
    tokio::select! {
        biased;
        agent = &mut connected => return Ok(agent?),
        () = stands_still(&running.identity, console) => {}
    }
    reporter.report(Event::Warning(
        "The guest's kernel lost its timer (software emulation on a busy host can cause this). \
         Booting again.",
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
async fn stands_still(process: &ProcessIdentity, console: Result<Follower, LogError>) {
    let watch = async {
        let mut console = console?;
        loop {
            let said = console.next_lines().await?.lines;
            // Said again and again, so one that is not idle yet is looked at once more.
            if said.iter().any(|line| line.contains(TIMER_LOST)) && is_idle(process).await {
                return Ok::<_, LogError>(());
            }
        }
    };
    if let Err(error) = watch.await {
        // The guest may well come up, and if not that is told.
        tracing::debug!(%error, "the console of a guest that boots cannot be followed");
        std::future::pending::<()>().await;
    }
}

/// Whether the process has next to nothing to do; `false` where the system does not tell.
async fn is_idle(process: &ProcessIdentity) -> bool {
    let (before, begun) = (process.cpu_time(), Instant::now());
    tokio::time::sleep(SAMPLE).await;
    before
        .zip(process.cpu_time())
        .is_some_and(|(before, after)| {
            let used = after.saturating_sub(before);
            used.as_secs_f64() < IDLE_SHARE * begun.elapsed().as_secs_f64()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(pid: u32) -> ProcessIdentity {
        ProcessIdentity::of(pid).unwrap().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_process_that_sleeps_is_idle_and_one_that_works_is_not() {
        let mut sleeper = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let idle = is_idle(&identity(sleeper.id())).await;
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert!(idle);

        // Several threads: on a busy host one alone may get less than a working boot does.
        let ended = std::sync::atomic::AtomicBool::new(false);
        let idle = std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let idle = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(is_idle(&identity(std::process::id())))
            });
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            idle
        });
        assert!(!idle);
    }
}
