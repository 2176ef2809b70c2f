//! Documents that must not fall behind: their links lead somewhere, the README
//! has every environment variable, ARCHITECTURE.md has every crate.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::tracked_files;

/// Checks the documents of the checkout at `root`.
pub(super) fn check(root: &Path) -> Result<()> {
    let mut faults = vec![];
    for file in tracked_files(root)? {
        if file.extension().is_some_and(|extension| extension == "md") {
            let text = read(root, &file)?;
            let folder = file.parent().unwrap_or(Path::new(""));
            let broken = links(&text).filter(|link| !root.join(folder).join(link).exists());
            faults.extend(broken.map(|link| format!("{}: {link} is not there", file.display())));
        }
    }
    let readme = read(root, Path::new("README.md"))?;
    let variables = read(root, Path::new("crates/emulator/src/config/variables.rs"))?;
    let missing = constants(&variables).filter(|name| !readme.contains(&format!("`{name}`")));
    faults.extend(missing.map(|name| format!("README.md: nothing about the variable {name}")));

    let map = read(root, Path::new("ARCHITECTURE.md"))?;
    let workspace = read(root, Path::new("Cargo.toml"))?;
    let missing = members(&workspace)?
        .into_iter()
        .filter(|path| !map.contains(&format!("`{path}")));
    faults.extend(missing.map(|path| format!("ARCHITECTURE.md: nothing about {path}")));
    if !faults.is_empty() {
        bail!("documents have fallen behind:\n{}", faults.join("\n"));
    }
    Ok(())
}

fn read(root: &Path, file: &Path) -> Result<String> {
    std::fs::read_to_string(root.join(file))
        .with_context(|| format!("cannot read {}", file.display()))
}

/// Targets of `[text](target)` that are files of the checkout, without their `#anchor`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ', '\n', '#']).next())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
}

/// Values of `pub const NAME: &str = "VALUE";`.
fn constants(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let (_, value) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
        value.strip_suffix("\";")
    })
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
    }

    #[test]
    fn what_the_documents_must_name_is_found() {
        let source = "/// Home.\npub const HOME: &str = \"THE_HOME\";\nconst N: u32 = 1;\n";
        assert_eq!(constants(source).collect::<Vec<_>>(), ["THE_HOME"]);
        let root = crate::workspace::root().unwrap();
        let variables = read(&root, Path::new("crates/emulator/src/config/variables.rs")).unwrap();
        assert!(constants(&variables).any(|name| name == "STACK_EMULATOR_HOME"));
        let manifest = read(&root, Path::new("Cargo.toml")).unwrap();
        assert!(
            members(&manifest)
                .unwrap()
                .contains(&"crates/qemu".to_owned())
        );
    }
}
