//! `cargo xtask fuzz`: every fuzz target, for some time.
//!
//! A target is a program of the `fuzz/` workspace, in a folder named after the
//! crate that it is about; `cargo fuzz` can run it too. That tool wants a nightly
//! compiler for its sanitizers; our targets hold no unsafe code, so coverage is
//! all they need, and any compiler can give it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cargo::{host_triple, tool};
use crate::command::{OnOurDeath, run_logged, tied};
use crate::progress::step;
use crate::stages::run as run_command;
use crate::{setup, workspace};

/// Where the targets are.
pub(crate) const FOLDER: &str = "fuzz";
const MANIFEST: &str = "Cargo.toml";
/// What libFuzzer asks of the compiler: counters a branch, their addresses, and
/// the operands of comparisons, from which it guesses magic numbers.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];
/// An input that takes longer than this is a fault; the slowest honest one takes a tenth of it.
const INPUT_LIMIT_S: u32 = 25;
/// Memory of a target, in MiB; more is a fault.
const MEMORY_LIMIT_MIB: u32 = 2048;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The targets to run, by name or by their crate's; all of them without one
    targets: Vec<String>,
    /// How long each of them runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// A fuzz target.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// The crate that it is about.
    about: String,
    name: String,
}

/// `cargo xtask fuzz`.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(&[setup::Need::Test])?;
    let root = workspace::root()?;
    let mut targets = targets(&root)?;
    for wanted in &args.targets {
        ensure!(
            targets.iter().any(|target| target.is(wanted)),
            "there is no fuzz target {wanted:?}; there are {}",
            targets
                .iter()
                .map(|target| target.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    if !args.targets.is_empty() {
        targets.retain(|target| args.targets.iter().any(|wanted| target.is(wanted)));
    }
    fuzz(&root, &targets, args.seconds, Seed::Random)
}

/// Every target for `seconds`, on the same inputs each time: for a check that
/// must not fail today on what passed yesterday.
pub(crate) fn smoke(root: &Path, seconds: u32) -> Result<()> {
    fuzz(root, &targets(root)?, seconds, Seed::Fixed)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seed {
    Fixed,
    Random,
}

fn fuzz(root: &Path, targets: &[Target], seconds: u32, seed: Seed) -> Result<()> {
    ensure!(!targets.is_empty(), "no fuzz target was found");
    let triple = host_triple()?;
    let output = workspace::target_dir(root).join("fuzz");
    step("fuzz", "building the targets", || {
        build(root, targets, &triple, &output, seed)
    })?;
    // A target keeps one processor busy.
    let lanes = std::thread::available_parallelism().map_or(1, usize::from);
    let queue = Mutex::new(targets.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane = || {
        let mut failed = vec![];
        while let Some(target) = next() {
            let program = output.join(&triple).join("release").join(&target.name);
            let begun = Instant::now();
            let ran = target.run(root, &program, &output, seconds, seed);
            let took = begun.elapsed().as_secs_f64();
            eprintln!("fuzz: {} {}, {took:.1} s", target.about, target.name);
            failed.extend(ran.err().map(|error| format!("{error:#}")));
        }
        failed
    };
    let failed: Vec<_> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        let ended = lanes.into_iter().map(ScopedJoinHandle::join);
        // A lane that panics has said why, and takes us with it.
        ended
            .flat_map(|failed| failed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn build(root: &Path, targets: &[Target], triple: &str, output: &Path, seed: Seed) -> Result<()> {
    let mut command = tool(root, "build");
    for target in targets {
        command.args(["--bin", &target.name]);
    }
    command
        // Not `--locked`: the lock file is of another workspace than the crates under test, and
        // lags behind whenever their dependencies change.
        .args(["--release", "--quiet", "--manifest-path"])
        .arg(root.join(FOLDER).join(MANIFEST))
        // Named, although it is the host: the flags are then not for build scripts, which
        // would be linked without libFuzzer.
        .args(["--target", triple])
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", output);
    if seed == Seed::Fixed {
        // Seconds of fuzzing do not pay for minutes of optimisation.
        command
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .args(["--config", "profile.release.package.'*'.opt-level=0"])
            .args(["--config", "profile.release.package.'*'.debug=false"]);
    }
    run_command(&mut command)
}

impl Target {
    fn is(&self, wanted: &str) -> bool {
        self.name == wanted || self.about == wanted
    }

    fn run(
        &self,
        root: &Path,
        program: &Path,
        output: &Path,
        seconds: u32,
        seed: Seed,
    ) -> Result<()> {
        let folder = &root.join(FOLDER);
        let artifacts = folder.join("artifacts").join(&self.name);
        // A random run carries on from what earlier ones found; a fixed one must not.
        let fresh;
        let corpus = match seed {
            Seed::Random => folder.join("corpus").join(&self.name),
            Seed::Fixed => {
                fresh = tempfile::tempdir_in(output)
                    .with_context(|| format!("cannot create a folder in {}", output.display()))?;
                fresh.path().to_owned()
            }
        };
        for folder in [&artifacts, &corpus] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut command = tied(program, OnOurDeath::Kill);
        command
            .current_dir(folder)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={INPUT_LIMIT_S}"))
            .arg(format!("-rss_limit_mb={MEMORY_LIMIT_MIB}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()));
        if seed == Seed::Fixed {
            command.arg("-seed=1");
        }
        command.arg(&corpus);
        let dictionary = folder.join(format!("{}.dict", self.name));
        if dictionary.is_file() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        let seeds = folder.join("seeds").join(&self.name);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        let log = output.join(format!("{}.log", self.name));
        run_logged(
            &mut command,
            &format!("the fuzz target {}", self.name),
            &log,
        )
    }
}

/// All targets of the checkout.
fn targets(root: &Path) -> Result<Vec<Target>> {
    let path = root.join(FOLDER).join(MANIFEST);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("cannot understand {}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Target>> {
    #[derive(Deserialize)]
    struct Manifest {
        #[serde(default)]
        bin: Vec<Program>,
    }
    #[derive(Deserialize)]
    struct Program {
        name: String,
        path: PathBuf,
    }
    let parsed: Manifest = toml::from_str(text)?;
    let target = |program: Program| {
        let about = program.path.parent().and_then(Path::to_str);
        Ok(Target {
            about: about
                .filter(|about| !about.is_empty())
                .with_context(|| format!("{} is in no crate's folder", program.path.display()))?
                .to_owned(),
            name: program.name,
        })
    };
    parsed.bin.into_iter().map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::tracked_files;

    #[test]
    fn targets_are_read_from_a_manifest() {
        let text = "[[bin]]\nname = \"tree\"\npath = \"iso9660/tree.rs\"\n[[bin]]\nname = \"label\"\npath = \"iso9660/x.rs\"\n";
        let found = parse(text).unwrap();
        let names: Vec<_> = found.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["tree", "label"]);
        assert!(found[0].is("iso9660") && found[0].is("tree") && !found[0].is("label"));
        assert!(parse("[[bin]]").is_err());
        assert!(parse("[[bin]]\nname = \"tree\"\npath = \"tree.rs\"").is_err());
    }

    #[test]
    fn every_file_of_the_checkout_is_a_target() {
        let root = workspace::root().unwrap();
        let targets = targets(&root).unwrap();
        for file in tracked_files(&root).unwrap() {
            let Ok(program) = file.strip_prefix(FOLDER) else {
                continue;
            };
            if program
                .extension()
                .is_some_and(|extension| extension == "rs")
            {
                assert!(
                    targets.iter().any(|target| {
                        program
                            == Path::new(&target.about)
                                .join(&target.name)
                                .with_extension("rs")
                    }),
                    "{} is not in {MANIFEST}",
                    file.display()
                );
            }
        }
    }
}
