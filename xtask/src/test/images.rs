//! The images that the end-to-end tests start, built beside everything that comes before those tests.
//!
//! Building one is to wait for a guest most of the time, and the compiler has a moment for it now and then; by the time
//! that the tests need them, they are there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::command::{OnOurDeath, tied};
use crate::workspace;

/// The payload whose rotation is a restart of some seconds.
const SLOW_PAYLOAD: &str = "tests/payloads/slow-restart";
/// The payload on Node, whose rotation is a reload.
const NODE_PAYLOAD: &str = "tests/payloads/node-reload";

/// Images that are being built.
pub(super) struct Images {
    builder: JoinHandle<Result<[PathBuf; 3]>>,
    /// What the builds have printed.
    log: PathBuf,
}

/// Begins to build the images of the starter and of the tests' two payloads, as far as they are not in the cache.
pub(super) fn begin(root: &Path) -> Result<Images> {
    let xtask = std::env::current_exe().context("cannot tell which program this is")?;
    let folder = workspace::target_dir(root);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let log = folder.join("test-images.log");
    let file = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let root = root.to_owned();
    let builder = std::thread::spawn(move || {
        Ok([
            build(image(&xtask, &root), &file)?,
            build(
                image(&xtask, &root).args(["--payload", SLOW_PAYLOAD]),
                &file,
            )?,
            build(
                image(&xtask, &root).args(["--payload", NODE_PAYLOAD]),
                &file,
            )?,
        ])
    });
    Ok(Images { builder, log })
}

impl Images {
    /// Waits for the paths of all three; prints what was printed while they were built.
    pub(super) fn wait(self) -> Result<[PathBuf; 3]> {
        let built = self.builder.join();
        let mut log =
            File::open(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        std::io::copy(&mut log, &mut std::io::stderr())?;
        built.map_err(|_| anyhow!("the thread that builds the images panicked"))?
    }
}

/// `cargo xtask image`, for which everything else goes first.
fn image(xtask: &Path, root: &Path) -> Command {
    let mut command = tied("nice", OnOurDeath::Terminate);
    command.arg(xtask).arg("image").current_dir(root);
    command
}

/// Runs the build of an image with its output in `log`; returns the path that it prints.
fn build(mut command: impl std::borrow::BorrowMut<Command>, log: &File) -> Result<PathBuf> {
    let mut child = command
        .borrow_mut()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.try_clone().context("cannot share the log file")?)
        .spawn()
        .context("cannot build an image")?;
    let mut path = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut path)
            .context("an image's path is no text")?;
    }
    let status = child
        .wait()
        .context("cannot wait for the build of an image")?;
    let mut log = log;
    writeln!(log, "image: {status}")?;
    ensure!(status.success(), "building an image ended with {status}");
    Ok(path.trim_end().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_gives_its_path_and_keeps_what_it_says_for_later() {
        let mut log = tempfile::tempfile().unwrap();
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let path = build(shell("echo said >&2; echo /the/image"), &log).unwrap();
        assert_eq!(path, Path::new("/the/image"));
        let error = build(shell("echo broken >&2; exit 3"), &log).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        let mut text = String::new();
        std::io::Seek::rewind(&mut log).unwrap();
        log.read_to_string(&mut text).unwrap();
        assert!(
            text.starts_with("said\n") && text.contains("broken"),
            "{text}"
        );
    }
}
