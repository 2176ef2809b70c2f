//! `cargo xtask fuzz`: every fuzz target, for a while.
//!
//! A target is a program of a `fuzz/` workspace, laid out as `cargo fuzz` has
//! it. That tool wants a nightly compiler for its sanitizers; our targets hold
//! no unsafe code, so coverage is all they need, and any compiler can give it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cargo::{host_triple, tool};
use crate::command::{OnOurDeath, run_logged, tied};
use crate::lint::fuzz_manifests;
use crate::progress::step;
use crate::stages::run as run_command;
use crate::{setup, workspace};

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
    /// The `Cargo.toml` of its workspace, by its path in the checkout.
    manifest: PathBuf,
    package: String,
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
    let mut built = None;
    for target in targets {
        if built != Some(&target.manifest) {
            build(root, &target.manifest, &triple, &output, seed)?;
            built = Some(&target.manifest);
        }
        let program = output.join(&triple).join("release").join(&target.name);
        step(
            "fuzz",
            &format!("{} {}", target.package, target.name),
            || target.run(root, &program, &output, seconds, seed),
        )?;
    }
    Ok(())
}

fn build(root: &Path, manifest: &Path, triple: &str, output: &Path, seed: Seed) -> Result<()> {
    let mut command = tool(root, "build");
    command
        // Not `--locked`: the lock file is of another workspace than the crate under test, and
        // lags behind whenever that crate's dependencies change.
        .args(["--release", "--quiet", "--bins", "--manifest-path"])
        .arg(manifest)
        // Named, although it is the host: the flags are then not for build scripts, which
        // would be linked without libFuzzer.
        .args(["--target", triple])
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", output);
    if seed == Seed::Fixed {
        // Seconds of fuzzing do not pay for minutes of optimisation.
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    }
    run_command(&mut command)
}

impl Target {
    fn is(&self, wanted: &str) -> bool {
        self.name == wanted || self.package.trim_end_matches("-fuzz") == wanted
    }

    fn run(
        &self,
        root: &Path,
        program: &Path,
        output: &Path,
        seconds: u32,
        seed: Seed,
    ) -> Result<()> {
        let folder = root.join(&self.manifest);
        let folder = folder.parent().unwrap_or(root);
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
    let mut targets = vec![];
    for manifest in fuzz_manifests(root)? {
        let path = root.join(&manifest);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let found = parse(&manifest, &text)
            .with_context(|| format!("cannot understand {}", path.display()))?;
        ensure!(!found.is_empty(), "{} has no target", path.display());
        targets.extend(found);
    }
    Ok(targets)
}

fn parse(manifest: &Path, text: &str) -> Result<Vec<Target>> {
    #[derive(Deserialize)]
    struct Manifest {
        package: Named,
        #[serde(default)]
        bin: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let parsed: Manifest = toml::from_str(text)?;
    let target = |bin: Named| Target {
        manifest: manifest.to_owned(),
        package: parsed.package.name.clone(),
        name: bin.name,
    };
    Ok(parsed.bin.into_iter().map(target).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_from_a_manifest() {
        let text = "[package]\nname = \"iso9660-fuzz\"\n[[bin]]\nname = \"tree\"\npath = \"x.rs\"\n[[bin]]\nname = \"label\"\n";
        let found = parse(Path::new("a/fuzz/Cargo.toml"), text).unwrap();
        let names: Vec<_> = found.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["tree", "label"]);
        assert!(found[0].is("iso9660") && found[0].is("tree") && !found[0].is("label"));
        assert!(parse(Path::new("x"), "[package]").is_err());
    }
}
