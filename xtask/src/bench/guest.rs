//! Making the guest use a known amount of memory.

use std::time::Duration;

use anyhow::{Context as _, Result};
use qemu::{Exec, GuestAgent, Sockets};

use super::program::Program;

const LIMIT: Duration = Duration::from_secs(300);

/// Fills the running guest's memory until about `mib` MiB are in use.
pub(super) fn use_memory(program: &Program, mib: u64) -> Result<()> {
    let used = program
        .snapshot_memory_bytes()
        .context("there is no snapshot to measure")?
        >> 20;
    let fill = mib.saturating_sub(used);
    if fill == 0 {
        println!("  the guest uses {used} MiB by itself");
        return Ok(());
    }
    println!("  the guest uses {used} MiB by itself; {fill} MiB are added");
    let record = program.instance().join("run.json");
    let record =
        std::fs::read(&record).with_context(|| format!("cannot read {}", record.display()))?;
    let record: serde_json::Value = serde_json::from_slice(&record)?;
    let folder = record["body"]["runtime_folder"]
        .as_str()
        .context("the run record names no folder")?;
    let sockets = Sockets::in_dir(std::path::Path::new(folder))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut agent = GuestAgent::connect(&sockets.agent(), LIMIT).await?;
        agent.sync(LIMIT).await?;
        // Pages of zeros would not be saved, so they are filled with text.
        let script = format!("yes memory | head -c {fill}M > /dev/shm/fill");
        let exec = Exec {
            path: "/bin/sh",
            args: &["-c", &script],
            input: None,
            capture: false,
            output_limit: 0,
        };
        let result = agent.exec(exec, LIMIT).await?;
        anyhow::ensure!(
            result.success(),
            "the guest could not fill its memory: {:?}",
            result.outcome
        );
        Ok(())
    })
}
