//! Brings the disk image of a release here and prints what came of it, as JSON:
//! `pull API REPOSITORY TAG STAGING`. For tests that kill it and look at its
//! memory; people use `stack-emulator pull`.

use std::error::Error;
use std::path::Path;

use images::github::{GitHub, Options};
use images::source::{Arch, Source, resolve};
use images::{Url, fetch};
use progress::Silent;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, api, repository, tag, staging] = arguments.as_slice() else {
        return Err("usage: pull API REPOSITORY TAG STAGING".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let github = GitHub::new(Options {
            api: Some(Url::parse(api)?),
            ..Options::default()
        })?;
        let source = Source::Tag(tag.clone());
        let resolved =
            resolve(&github, &repository.parse()?, &source, Arch::Amd64, &Silent).await?;
        let claim = fetch::claim(&resolved, Path::new(staging), &Silent).await?;
        let options = fetch::FetchOptions::default();
        let fetched = fetch::fetch(&github, &resolved, &claim, options, &Silent).await?;
        let said = serde_json::json!({
            "disk": fetched.disk,
            "digest": fetched.digest,
            "received": fetched.received,
            "peak_kib": peak_kib(),
        });
        println!("{said}");
        Ok(())
    })
}

/// The most memory that this process had resident, in KiB; 0 where the system
/// does not tell.
fn peak_kib() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
