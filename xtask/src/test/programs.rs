//! The test programs of all crates, as Cargo builds them.
//!
//! All are built as those of the whole workspace, whichever are run: Cargo gives a dependency the features that the
//! chosen packages ask for together, so another choice would build a hundred dependencies a second time.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::arm64;
use crate::cargo::cargo;
use crate::command::output_of;
use crate::desktop;

/// The package of the end-to-end tests, by its folder.
const END_TO_END: &str = "tests";

/// A test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Its package's, in which it expects to run.
    pub(super) folder: PathBuf,
    /// Whether it is a file of the package's folder `tests`.
    integration: bool,
}

/// The end-to-end tests, but for the one that is a stage of its own.
pub(super) fn end_to_end(root: &Path) -> Result<Vec<Program>> {
    let mut programs = build(root, &["--test", "*"])?;
    programs.retain(|program| {
        let is_one = program.integration && program.folder == root.join(END_TO_END);
        is_one && program.name != arm64::TEST
    });
    ensure!(!programs.is_empty(), "there is no end-to-end test");
    Ok(programs)
}

/// The end-to-end test program called `name`.
pub(super) fn end_to_end_one(root: &Path, name: &str) -> Result<PathBuf> {
    let programs = build(root, &["--test", name])?;
    let found = programs
        .into_iter()
        .find(|program| program.integration && program.name == name);
    Ok(found
        .with_context(|| format!("Cargo built no test program {name}"))?
        .path)
}

/// All other tests.
pub(super) fn of_crates(root: &Path) -> Result<Vec<Program>> {
    let metadata = output_of(
        cargo(root, "metadata").args(["--format-version", "1", "--no-deps"]),
        "asking Cargo for the test programs",
    )?;
    let names = integration_tests(root, &metadata)?;
    let mut arguments = vec!["--lib", "--bins"];
    arguments.extend(names.iter().flat_map(|name| ["--test", name]));
    let mut programs = build(root, &arguments)?;
    // One of these may be called as one of those.
    programs.retain(|program| !program.integration || program.folder != root.join(END_TO_END));
    programs.sort_by(|one, other| (&one.folder, &one.name).cmp(&(&other.folder, &other.name)));
    Ok(programs)
}

/// Names of all integration tests but the end-to-end ones.
fn integration_tests(root: &Path, metadata: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        manifest_path: PathBuf,
        targets: Vec<Target>,
    }
    let metadata: Metadata =
        serde_json::from_str(metadata).context("cannot understand `cargo metadata`")?;
    let end_to_end = root.join(END_TO_END).join("Cargo.toml");
    let others = metadata
        .packages
        .into_iter()
        .filter(|package| package.manifest_path != end_to_end);
    let mut names: Vec<_> = others
        .flat_map(|package| package.targets)
        .filter(Target::is_integration_test)
        .map(|target| target.name)
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Target {
    fn is_integration_test(&self) -> bool {
        self.kind.iter().any(|kind| kind == "test")
    }
}

fn build(root: &Path, arguments: &[&str]) -> Result<Vec<Program>> {
    let output = cargo(root, "test")
        .args(["--workspace", "--features", desktop::EMBEDDED, "--no-run"])
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        // What the compiler says is for the user; the rest is for us.
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "building the tests ended with {}",
        output.status
    );
    built(&String::from_utf8_lossy(&output.stdout))
}

/// The test programs that Cargo's messages name.
fn built(messages: &str) -> Result<Vec<Program>> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        manifest_path: Option<PathBuf>,
        profile: Option<Profile>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }
    let mut programs = vec![];
    for line in messages.lines() {
        let message: Message = serde_json::from_str(line)
            .with_context(|| format!("cannot understand Cargo's message {line:?}"))?;
        if let (Some(path), Some(manifest), Some(Profile { test: true }), Some(target)) = (
            message.executable,
            message.manifest_path,
            message.profile,
            message.target,
        ) {
            programs.push(Program {
                integration: target.is_integration_test(),
                name: target.name,
                path,
                folder: manifest.parent().map(Path::to_owned).unwrap_or_default(),
            });
        }
    }
    Ok(programs)
}

#[cfg(test)]
impl Program {
    /// One that is there already.
    pub(super) fn at(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default();
        Self {
            name: name.to_string_lossy().into_owned(),
            path: path.to_owned(),
            folder: path.parent().unwrap_or(path).to_owned(),
            integration: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_told_from_what_else_was_built() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/c/tests/Cargo.toml","target":{"name":"run","kind":["test"]},"profile":{"test":true},"executable":"/x/run-1"}
{"reason":"compiler-artifact","manifest_path":"/c/tests/Cargo.toml","target":{"name":"e2e","kind":["lib"]},"profile":{"test":true},"executable":"/x/e2e-1"}
{"reason":"compiler-artifact","manifest_path":"/c/a/Cargo.toml","target":{"name":"figures","kind":["bin"]},"profile":{"test":false},"executable":"/x/figures"}
{"reason":"compiler-artifact","manifest_path":"/c/s/Cargo.toml","target":{"name":"serde","kind":["lib"]},"profile":{"test":false},"executable":null}
{"reason":"build-script-executed","package_id":"x"}
{"reason":"build-finished","success":true}"#;
        let program = |name: &str, path: &str, integration| Program {
            name: name.into(),
            path: path.into(),
            folder: "/c/tests".into(),
            integration,
        };
        assert_eq!(
            built(messages).unwrap(),
            [
                program("run", "/x/run-1", true),
                program("e2e", "/x/e2e-1", false)
            ]
        );
        assert!(built("no message").is_err());
    }

    #[test]
    fn integration_tests_of_crates_are_named_once_and_end_to_end_ones_are_not() {
        let metadata = r#"{"packages":[
            {"manifest_path":"/c/tests/Cargo.toml","targets":[{"name":"run","kind":["test"]}]},
            {"manifest_path":"/c/a/Cargo.toml","targets":[{"name":"a","kind":["lib"]},{"name":"https","kind":["test"]}]},
            {"manifest_path":"/c/b/Cargo.toml","targets":[{"name":"https","kind":["test"]},{"name":"faults","kind":["test"]}]}]}"#;
        assert_eq!(
            integration_tests(Path::new("/c"), metadata).unwrap(),
            ["faults", "https"]
        );
    }
}
