//! Documents that must not fall behind: their links lead somewhere, the files and variables that they name exist, and
//! ARCHITECTURE.md has every crate and every room of the engine. Files that comments name have to exist as well.
//!
//! Commands, variables and exit codes are listed by `--help`, which the command line's own tests compare with the
//! code; the README has to say so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::tracked_files;

/// What lists commands, variables and exit codes.
const HELP: &str = "`stack-emulator --help`";
/// Where the engine's rooms are, each a folder.
const ENGINE: &str = "crates/emulator/src";

/// Checks the documents and comments of the checkout at `root`.
pub(super) fn check(root: &Path) -> Result<()> {
    let files = tracked_files(root)?;
    let top: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| folder_at_root(file))
        .collect();
    let (mut documents, mut sources) = (vec![], vec![]);
    for file in &files {
        let kind = file.extension().and_then(|extension| extension.to_str());
        match kind {
            Some("md") => documents.push((file, read(root, file)?)),
            Some("rs" | "ts" | "js" | "svelte" | "toml") => sources.push((file, read(root, file)?)),
            _ => {}
        }
    }
    let mut faults = vec![];
    let known: BTreeSet<&str> = sources
        .iter()
        .flat_map(|(_, text)| variables(text))
        .collect();
    for (file, text) in &documents {
        let folder = file.parent().unwrap_or(Path::new(""));
        let broken = links(text).filter(|link| !root.join(folder).join(link).exists());
        faults.extend(broken.map(|link| format!("{}: {link} is not there", file.display())));
        // Variables of the guest have names that are put together.
        let of_host = !file.starts_with("guest");
        let unknown = variables(text).filter(|name| of_host && !known.contains(name));
        faults.extend(unknown.map(|name| format!("{}: nothing reads {name}", file.display())));
    }
    let prose = documents.iter().map(|(file, text)| (*file, text.clone()));
    let remarks = sources.iter().map(|(file, text)| (*file, comments(text)));
    let mut missing: Vec<(&Path, String)> = vec![];
    for (file, text) in prose.chain(remarks) {
        for name in paths(&text, &top).filter(|name| !is_there(root, file, name)) {
            missing.push((file.as_path(), name.to_owned()));
        }
    }
    let made = ignored(root, missing.iter().map(|(_, name)| name.as_str()))?;
    missing.retain(|(_, name)| !made.contains(name.trim_end_matches('/')));
    faults.extend(
        missing
            .iter()
            .map(|(file, name)| format!("{}: {name} is not there", file.display())),
    );

    if !read(root, Path::new("README.md"))?.contains(HELP) {
        faults.push(format!("README.md: nothing about {HELP}"));
    }
    let map = read(root, Path::new("ARCHITECTURE.md"))?;
    let workspace = read(root, Path::new("Cargo.toml"))?;
    let crates = members(&workspace)?
        .into_iter()
        .filter(|path| !map.contains(&format!("`{path}")));
    faults.extend(crates.map(|path| format!("ARCHITECTURE.md: nothing about {path}")));
    let rooms = rooms(&files).into_iter();
    let unnamed = rooms.filter(|room| !map.contains(&format!("`{room}`")));
    faults.extend(unnamed.map(|room| format!("ARCHITECTURE.md: nothing about {ENGINE}/{room}")));
    if !faults.is_empty() {
        bail!("documents have fallen behind:\n{}", faults.join("\n"));
    }
    Ok(())
}

fn read(root: &Path, file: &Path) -> Result<String> {
    std::fs::read_to_string(root.join(file))
        .with_context(|| format!("cannot read {}", file.display()))
}

/// The folder at the root in which `file` is, if it is in one.
fn folder_at_root(file: &Path) -> Option<&str> {
    file.parent()?.iter().next()?.to_str()
}

/// Targets of `[text](target)`, `src="…"` and `srcset="…"` that are files of the checkout, without their `#anchor`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    ["](", "src=\"", "srcset=\""]
        .into_iter()
        .flat_map(move |start| text.split(start).skip(1))
        .filter_map(|rest| rest.split([')', '"', ' ', '\n', '#']).next())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
}

/// Names of environment variables that are ours.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("EMULATOR_") || word.starts_with("STACK_EMULATOR_"))
        // Else it is a pattern such as `EMULATOR_…_PORT`.
        .filter(|word| !word.ends_with('_'))
}

/// The comments of a source file, each on a line of its own.
fn comments(text: &str) -> String {
    let of_line = |line: &str| {
        let line = line.trim_start();
        ["//", "#", "<!--", "*", "/*"]
            .iter()
            .any(|start| line.starts_with(start) && !line.starts_with("#["))
    };
    let lines: Vec<&str> = text.lines().filter(|line| of_line(line)).collect();
    lines.join("\n")
}

/// Paths between backticks that begin with one of the folders `top`.
fn paths<'a>(text: &'a str, top: &BTreeSet<&str>) -> impl Iterator<Item = &'a str> {
    let is_path = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(move |word| {
            let first = word.split_once('/').map(|(first, _)| first);
            is_path(word) && first.is_some_and(|first| top.contains(first))
        })
}

/// Whether `name` is there as seen from `file`'s folder, or from one above it.
fn is_there(root: &Path, file: &Path, name: &str) -> bool {
    file.ancestors()
        .skip(1)
        .any(|folder| root.join(folder).join(name).exists())
}

/// Those of `names` that Git ignores, since they are made.
fn ignored<'a>(root: &Path, names: impl Iterator<Item = &'a str>) -> Result<BTreeSet<String>> {
    // With a slash as well: what is not there yet may be ignored as a folder.
    let asked: Vec<String> = names
        .map(|name| name.trim_end_matches('/'))
        .flat_map(|name| [name.to_owned(), format!("{name}/")])
        .collect();
    if asked.is_empty() {
        return Ok(BTreeSet::new());
    }
    let output = Command::new("git")
        .args(["check-ignore", "--"])
        .args(asked)
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().map(|line| line.trim_end_matches('/'));
    Ok(names.map(ToOwned::to_owned).collect())
}

/// Folders of the engine's sources.
fn rooms(files: &[PathBuf]) -> BTreeSet<String> {
    let below = files
        .iter()
        .filter_map(|file| file.strip_prefix(ENGINE).ok());
    let folders = below.filter_map(folder_at_root);
    folders.map(ToOwned::to_owned).collect()
}

/// Folders of the workspace's members, but for the root itself.
fn members(manifest: &str) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        workspace: Workspace,
    }
    #[derive(serde::Deserialize)]
    struct Workspace {
        members: Vec<String>,
    }
    let manifest: Manifest = toml::from_str(manifest).context("cannot understand Cargo.toml")?;
    let mut members = manifest.workspace.members;
    members.retain(|member| member != ".");
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_into_the_checkout_are_looked_at() {
        let text = "[a](docs/a.md#part) ![b](b.svg \"B\") [c](https://x.y/z) [d](#here) [e](mailto:e@x)\n[f](f)";
        assert_eq!(links(text).collect::<Vec<_>>(), ["docs/a.md", "b.svg", "f"]);
        let html = "<source srcset=\"dark.png\"> <img src=\"light.png\" alt=\"A\">";
        assert_eq!(links(html).collect::<Vec<_>>(), ["light.png", "dark.png"]);
    }

    #[test]
    fn what_is_named_is_found() {
        let text = "set `EMULATOR_RAM`, STACK_EMULATOR_HOME or `EMULATOR_…_PORT`; NO_COLOR";
        let found: Vec<_> = variables(text).collect();
        assert_eq!(found, ["EMULATOR_RAM", "STACK_EMULATOR_HOME"]);
        let top = BTreeSet::from(["crates", "ui"]);
        let text = "see `crates/a.rs` and `ui/dist/`, not `other/a`, crates/b or `crates/{c}`";
        assert_eq!(
            paths(text, &top).collect::<Vec<_>>(),
            ["crates/a.rs", "ui/dist/"]
        );
    }

    #[test]
    fn comments_are_told_from_code() {
        let text = "//! One.\nlet path = \"`crates/no`\";\n    // Two.\n#[cfg(test)]\n# Three.\n";
        assert_eq!(comments(text), "//! One.\n    // Two.\n# Three.");
    }

    #[test]
    fn made_files_and_rooms_are_known() {
        let root = crate::workspace::root().unwrap();
        let made = ignored(&root, ["target/x", "ui/dist", "README.md"].into_iter()).unwrap();
        assert_eq!(
            made,
            BTreeSet::from(["target/x", "ui/dist"].map(str::to_owned))
        );
        assert!(rooms(&tracked_files(&root).unwrap()).contains("machine"));
        let manifest = read(&root, Path::new("Cargo.toml")).unwrap();
        let members = members(&manifest).unwrap();
        assert!(members.contains(&"crates/qemu".to_owned()));
    }
}
