//! What moving images and snapshots costs, beside the tools that do the like:
//! a pull against `curl`, an archive against `tar` and `zstd`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::program::Program;
use super::{median, megabytes, seconds};
use crate::cargo::cargo;
use crate::stages::run as run_command;

/// Between two looks at a process's memory.
const LOOK: Duration = Duration::from_millis(10);

/// A pull from a server on this machine, with verification, against `curl`
/// writing the same file to the same place.
pub(super) fn pull(root: &Path, program: &Program, image: &Path, runs: usize) -> Result<()> {
    println!("pull");
    let folder = tempfile::tempdir_in(crate::workspace::target_dir(root))?;
    let server = ReleaseServer::start(root, folder.path(), image)?;
    let bytes = std::fs::metadata(image)
        .with_context(|| format!("cannot look at {}", image.display()))?
        .len();
    let (mut curls, mut pulls, mut downloads, mut peaks) = (vec![], vec![], vec![], vec![]);
    for run in 0..runs {
        let file = folder.path().join("curl.qcow2");
        let begun = Instant::now();
        run_command(
            Command::new("curl")
                .args([
                    "--silent",
                    "--show-error",
                    "--fail",
                    "--globoff",
                    "--noproxy",
                    "*",
                ])
                .arg("--output")
                .arg(&file)
                .arg(format!("{}storage/asset/1", server.bulk)),
        )?;
        curls.push(begun.elapsed().as_secs_f64() * 1e3);
        std::fs::remove_file(&file)?;

        let home = folder.path().join(format!("home-{run}"));
        let begun = Instant::now();
        let (report, peak) = watched(
            Command::new(program.path())
                .args(["pull", "--skip-snapshot", "--json"])
                .env("STACK_EMULATOR_HOME", &home)
                .env("STACK_EMULATOR_GITHUB_API", &server.api)
                .env("NO_PROXY", "*"),
        )?;
        pulls.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(
            report["image"]["verified"] == "release",
            "the pull was to be verified: {report}"
        );
        downloads.extend(phase(&report, "download"));
        peaks.extend(peak);
        std::fs::remove_dir_all(&home)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = |ms: f64| format!("{:.0} MB/s", bytes as f64 / ms / 1e3);
    let (curl, download) = (median(curls), median(downloads));
    println!(
        "  curl -o                                      {}",
        rate(curl)
    );
    println!(
        "  pull, bytes received, verified and on disk   {}",
        rate(download)
    );
    println!(
        "    of curl                                    {:.2}",
        curl / download
    );
    println!(
        "  pull, all of it                              {}",
        seconds(median(pulls))
    );
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let peak = median(peaks.into_iter().map(|bytes: u64| bytes as f64));
    println!(
        "  peak memory of a pull                        {}",
        megabytes(peak)
    );
    Ok(())
}

/// An archive of the snapshot and its restoring, against `tar` and `zstd` on
/// the same files with all cores. Takes a snapshot if there is none.
pub(super) fn archive(root: &Path, program: &Program, runs: usize) -> Result<()> {
    println!("archive, restore");
    if !program.snapshot_folder().exists() {
        program.run(&["capture"], &[])?;
    }
    let folder = tempfile::tempdir_in(crate::workspace::target_dir(root))?;
    let (ours, theirs) = (
        folder.path().join("ours.zst"),
        folder.path().join("theirs.zst"),
    );
    let unpacked = folder.path().join("unpacked");
    let (mut archives, mut restores, mut packs, mut unpacks) = (vec![], vec![], vec![], vec![]);
    for _ in 0..runs {
        let name = ours.to_str().context("a path that is text")?;
        archives.push(program.run(&["archive", name], &[])?.wall_ms);
        restores.push(program.run(&["restore", name], &[])?.wall_ms);
        let snapshot = program.snapshot_folder().canonicalize()?;
        let pack = format!(
            "tar --sparse -C {} -cf - . | zstd -T0 -q -f -o {}",
            quoted(&snapshot),
            quoted(&theirs)
        );
        packs.push(shell(&pack)?);
        std::fs::create_dir(&unpacked)?;
        let unpack = format!(
            "zstd -dc {} | tar --sparse -C {} -xf - && sync -f {}",
            quoted(&theirs),
            quoted(&unpacked),
            quoted(&unpacked)
        );
        unpacks.push(shell(&unpack)?);
        std::fs::remove_dir_all(&unpacked)?;
    }
    let size = |path: &Path| -> Result<f64> {
        let bytes = std::fs::metadata(path)?.len();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        Ok(bytes as f64)
    };
    let row = |what: &str, ours: f64, theirs: f64| {
        let ratio = theirs / ours;
        println!(
            "  {what:<8} {:>8}, tools {:>8}, {ratio:.2} x",
            seconds(ours),
            seconds(theirs)
        );
    };
    row("archive", median(archives), median(packs));
    row("restore", median(restores), median(unpacks));
    println!(
        "  size     {}, tools {}",
        megabytes(size(&ours)?),
        megabytes(size(&theirs)?)
    );
    Ok(())
}

/// Milliseconds that a shell takes for `script`.
fn shell(script: &str) -> Result<f64> {
    let begun = Instant::now();
    run_command(Command::new("bash").args(["-o", "pipefail", "-c", script]))?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// `path` as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn phase(report: &Value, name: &str) -> Option<f64> {
    let phases = report["phases"].as_array()?.iter();
    let mut times = phases.filter(|phase| phase["name"] == name);
    times.next()?["ms"].as_f64()
}

/// Runs a command that prints JSON; also the most memory that it had, in bytes.
fn watched(command: &mut Command) -> Result<(Value, Option<u64>)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("cannot run stack-emulator")?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = None;
    // The kernel keeps the peak itself, but tells it only while the process is there.
    while child.try_wait()?.is_none() {
        peak = high_water(&status).or(peak);
        std::thread::sleep(LOOK);
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "stack-emulator failed: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    let report =
        serde_json::from_slice(&output.stdout).context("stack-emulator printed no JSON")?;
    Ok((report, peak))
}

fn high_water(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// The tests' release server, serving one image; ends when it is dropped.
struct ReleaseServer {
    child: Child,
    api: String,
    bulk: String,
}

impl ReleaseServer {
    fn start(root: &Path, folder: &Path, image: &Path) -> Result<Self> {
        run_command(cargo(root, "build").args(["--release", "--package", "release-server"]))?;
        let name = image.file_name().context("an image has a name")?.to_str();
        let scenario = json!({
            // The server has the same processors as whom it serves.
            "bulk": true,
            "repository": "stack-auth/stack-auth",
            "releases": [{
                "tag": "emulator-dev-latest",
                "published_at": "2026-01-01T00:00:00Z",
                "target": "0000000000000000000000000000000000000000",
                "assets": [{"id": 1, "name": name, "file": image}],
            }],
            // What the image's settings are made of; without it a pull warns.
            "contents": [
                {"path": "apps/backend/.env.development", "text": "FROM_BACKEND=1\n"},
                {"path": "apps/dashboard/.env.development", "text": "FROM_DASHBOARD=1\n"},
            ],
        });
        let path = folder.join("scenario.json");
        std::fs::write(&path, scenario.to_string())?;
        let program = crate::workspace::target_dir(root).join("release/release-server");
        let mut child = Command::new(&program)
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("its output was asked for")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let addresses: Value =
            serde_json::from_str(&line).context("the release server told no addresses")?;
        let address = |name: &str| -> Result<String> {
            let text = addresses[name].as_str();
            Ok(text
                .context("the release server told no address")?
                .to_owned())
        };
        Ok(Self {
            api: address("api")?,
            bulk: address("bulk")?,
            child,
        })
    }
}

impl Drop for ReleaseServer {
    fn drop(&mut self) {
        // It ends by itself with its standard input; this is for one that hangs.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(quoted(Path::new("/a b/c'd")), r"'/a b/c'\''d'");
    }

    #[test]
    fn the_peak_of_a_process_is_read() {
        let own = high_water(Path::new("/proc/self/status")).unwrap();
        assert!(own > 100_000, "{own} bytes");
        assert_eq!(high_water(Path::new("/no/such/status")), None);
    }
}
