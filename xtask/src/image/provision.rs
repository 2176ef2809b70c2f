//! The provisioning boot: the image installs its payload by itself, in QEMU.
//!
//! The guest speaks through its serial console; lines that begin with
//! `STACK-PROVISION:` are meant for us (see `guest/image/provision`):
//!
//! ```text
//! STACK-PROVISION: step NAME      it begins with something
//! STACK-PROVISION: LOG-BEGIN      between the two: the end of what the steps have printed, `install` most of all
//! STACK-PROVISION: LOG-END
//! STACK-PROVISION: DONE           all is installed; the machine powers off now
//! STACK-PROVISION: FAILED: WHY    it powers off, too
//! ```

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::recipe::Platform;
use crate::command::{OnOurDeath, tail, tied};

/// Longest wait between the last word and the end of QEMU.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(60);
/// Console lines that an error shows when the guest said nothing of its own.
const EXCERPT_LINES: usize = 40;
/// Longest console line that is kept; the rest of it is dropped.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// One provisioning boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Boot<'a> {
    pub(crate) platform: &'a Platform,
    /// The qcow2 that the payload is installed into.
    pub(crate) disk: &'a Path,
    pub(crate) seed: &'a Path,
    pub(crate) bundle: &'a Path,
    pub(crate) ram_mib: u32,
    /// Where the console's text goes.
    pub(crate) console_log: &'a Path,
    pub(crate) limit: Duration,
}

/// How it went, by the guest's own account.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done { log: String },
    Failed { reason: String, log: String },
}

impl Boot<'_> {
    /// Boots, waits for the guest's verdict and for the power-off; returns what the steps have printed in the guest.
    pub(crate) fn run(self) -> Result<String> {
        let mut child = Running(
            self.command()
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| {
                    format!(
                        "cannot run {}; `cargo xtask setup` installs it",
                        self.platform.qemu
                    )
                })?,
        );
        let verdict = self.watch(&mut child.0);
        match verdict? {
            Verdict::Done { log } => child.wait_for_power_off().map(|()| log),
            Verdict::Failed { reason, log } => {
                bail!(
                    "the payload could not be installed: {reason}\n{log}\n(whole console: {})",
                    self.console_log.display()
                )
            }
        }
    }

    fn command(self) -> std::process::Command {
        let mut command = tied(&self.platform.qemu, OnOurDeath::Kill);
        command
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
            ])
            .args([
                "-machine",
                &self.platform.machine,
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                &self.platform.cpu,
            ])
            .args(["-m", &self.ram_mib.to_string(), "-smp", "2"])
            // No network: what an image holds must not depend on what a server says that day.
            .args(["-nic", "none", "-serial", "stdio", "-monitor", "none"])
            .args(["-device", "virtio-rng-pci"]);
        if let Some(firmware) = &self.platform.firmware {
            command.arg("-bios").arg(firmware);
        }
        let disk = json!({
            "driver": "qcow2", "node-name": "disk", "discard": "unmap", "detect-zeroes": "unmap",
            // A build that is interrupted starts over: nothing need reach the platter.
            "cache": { "no-flush": true },
            "file": { "driver": "file", "filename": self.disk, "discard": "unmap", "cache": { "no-flush": true } },
        });
        command.args([
            "-blockdev",
            &disk.to_string(),
            "-device",
            "virtio-blk-pci,drive=disk,bootindex=0",
        ]);
        for (name, path) in [("seed", self.seed), ("bundle", self.bundle)] {
            let node = json!({ "driver": "raw", "node-name": name, "read-only": true, "file": { "driver": "file", "filename": path } });
            command.args([
                "-blockdev",
                &node.to_string(),
                "-device",
                &format!("virtio-blk-pci,drive={name}"),
            ]);
        }
        command
    }

    fn watch(self, child: &mut Child) -> Result<Verdict> {
        let console = child.stdout.take().context("QEMU has no standard output")?;
        let errors = child.stderr.take().context("QEMU has no standard error")?;
        let mut log = File::create(self.console_log)
            .with_context(|| format!("cannot create {}", self.console_log.display()))?;
        let (lines_out, lines) = mpsc::channel();
        let from_qemu = lines_out.clone();
        std::thread::spawn(move || forward(console, &lines_out));
        std::thread::spawn(move || forward(errors, &from_qemu));

        let deadline = Instant::now() + self.limit;
        let mut dialogue = Dialogue::default();
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    writeln!(log, "{line}").context("cannot write the console's log")?;
                    if let Some(verdict) = dialogue.hear(&line) {
                        return Ok(verdict);
                    }
                }
                Err(reason) => {
                    let why = match reason {
                        RecvTimeoutError::Timeout => format!(
                            "did not end within {} s (--provision-limit sets another limit)",
                            self.limit.as_secs()
                        ),
                        RecvTimeoutError::Disconnected => {
                            "ended before the payload was installed".to_owned()
                        }
                    };
                    let console = std::fs::read(self.console_log).unwrap_or_default();
                    bail!(
                        "the provisioning boot {why}{}; its console's last lines:\n{}\n(whole console: {})",
                        dialogue
                            .step
                            .map_or_else(String::new, |step| format!(", during the step `{step}`")),
                        tail(&String::from_utf8_lossy(&console), EXCERPT_LINES),
                        self.console_log.display()
                    );
                }
            }
        }
    }
}

/// A QEMU that does not survive an early return.
struct Running(Child);

impl Running {
    fn wait_for_power_off(mut self) -> Result<()> {
        let deadline = Instant::now() + POWER_OFF_LIMIT;
        // The standard library has no wait with a time limit; this one ends once in a build.
        while self.0.try_wait().context("cannot wait for QEMU")?.is_none() {
            if Instant::now() > deadline {
                bail!(
                    "the guest installed the payload but did not power off within {} s",
                    POWER_OFF_LIMIT.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let status = self.0.wait().context("cannot wait for QEMU")?;
        if !status.success() {
            bail!("QEMU ended with {status} after the payload was installed");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which both calls then say.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends each line of `stream` on, until it ends or nobody listens.
fn forward(stream: impl std::io::Read, lines: &mpsc::Sender<String>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match std::io::Read::take(&mut stream, MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                if lines
                    .send(text.trim_end_matches(['\r', '\n']).to_owned())
                    .is_err()
                {
                    return;
                }
            }
        }
    }
}

/// Picks the protocol out of the console's text.
#[derive(Debug, Default)]
struct Dialogue {
    step: Option<String>,
    in_log: bool,
    log: String,
}

impl Dialogue {
    fn hear(&mut self, line: &str) -> Option<Verdict> {
        // Other programs write to the console as well, so the mark may stand inside a line.
        let Some((_, word)) = line.split_once("STACK-PROVISION: ") else {
            if self.in_log {
                self.log.push_str(line);
                self.log.push('\n');
            }
            return None;
        };
        match word {
            "LOG-BEGIN" => self.in_log = true,
            "LOG-END" => self.in_log = false,
            "DONE" => {
                let log = std::mem::take(&mut self.log);
                return Some(Verdict::Done { log });
            }
            _ => {
                if let Some(step) = word.strip_prefix("step ") {
                    self.step = Some(step.to_owned());
                } else if let Some(reason) = word.strip_prefix("FAILED: ") {
                    let log = std::mem::take(&mut self.log);
                    return Some(Verdict::Failed {
                        reason: reason.to_owned(),
                        log,
                    });
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(console: &[&str]) -> (Option<Verdict>, Dialogue) {
        let mut dialogue = Dialogue::default();
        let verdict = console.iter().find_map(|line| dialogue.hear(line));
        (verdict, dialogue)
    }

    #[test]
    fn success_is_one_line_wherever_it_stands() {
        let (said, dialogue) = verdict(&[
            "boot",
            "STACK-PROVISION: step files",
            "[ 12.3] x STACK-PROVISION: DONE",
        ]);
        let log = String::new();
        assert_eq!(said, Some(Verdict::Done { log }));
        assert_eq!(dialogue.step.as_deref(), Some("files"));
    }

    #[test]
    fn a_success_carries_what_install_printed() {
        let (said, _) = verdict(&[
            "STACK-PROVISION: LOG-BEGIN",
            "loaded 179 migrations",
            "STACK-PROVISION: LOG-END",
            "[ OK ] noise",
            "STACK-PROVISION: DONE",
        ]);
        let log = "loaded 179 migrations\n".into();
        assert_eq!(said, Some(Verdict::Done { log }));
    }

    #[test]
    fn a_failure_carries_the_guests_log_and_nothing_else() {
        let (said, _) = verdict(&[
            "noise",
            "STACK-PROVISION: step install",
            "STACK-PROVISION: LOG-BEGIN",
            "initdb: cannot",
            "STACK-PROVISION: LOG-END",
            "noise",
            "STACK-PROVISION: FAILED: install ended with status 3",
        ]);
        let (reason, log) = (
            "install ended with status 3".into(),
            "initdb: cannot\n".into(),
        );
        assert_eq!(said, Some(Verdict::Failed { reason, log }));
    }

    #[test]
    fn a_guest_that_only_mentions_the_words_has_said_nothing() {
        assert_eq!(
            verdict(&[
                "DONE",
                "STACK-PROVISION: done",
                "STACK-PROVISION: almost DONE"
            ])
            .0,
            None
        );
    }

    #[test]
    fn an_endless_line_is_cut() {
        let (out, lines) = mpsc::channel();
        forward(&vec![b'x'; 200_000][..], &out);
        drop(out);
        let lengths: Vec<_> = lines.iter().map(|line: String| line.len()).collect();
        assert_eq!(lengths, [65536, 65536, 65536, 3392]);
    }
}
