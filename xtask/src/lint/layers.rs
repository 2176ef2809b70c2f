//! Dependencies point down: shells → emulator → images, qemu, iso9660, secrets → record, progress, host.
//!
//! Read from `cargo metadata`, so what a crate *may* use is one table here, and
//! a new member has to be given its place before anything passes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::cargo::cargo;
use crate::command::output_of;

/// Each member and the members it may depend on.
const LAYERS: &[(&str, &[&str])] = &[
    ("failure", &[]),
    ("host", &[]),
    ("iso9660", &[]),
    ("qemu", &["host", "record"]),
    ("printable", &[]),
    ("progress", &[]),
    ("record", &[]),
    ("secrets", &["record"]),
    (
        "images",
        &[
            "failure",
            "host",
            "printable",
            "progress",
            "record",
            "release-server",
        ],
    ),
    (
        "emulator",
        &[
            "failure",
            "host",
            "images",
            "iso9660",
            "printable",
            "progress",
            "qemu",
            "record",
            "secrets",
        ],
    ),
    (
        "stack-emulator",
        &[
            "emulator",
            "host",
            "images",
            "printable",
            "progress",
            "qemu",
            "release-server",
        ],
    ),
    (
        "stack-emulator-desktop",
        &[
            "emulator",
            "host",
            "images",
            "printable",
            "progress",
            "qemu",
            "record",
        ],
    ),
    // What runs inside the guest shares nothing with the host but the contract.
    ("starter", &[]),
    (
        "e2e",
        &[
            "emulator",
            "host",
            "images",
            "iso9660",
            "qemu",
            "record",
            "release-server",
        ],
    ),
    // What tests talk to over a socket knows nothing of what talks to it.
    ("release-server", &[]),
    ("xtask", &["emulator", "images", "iso9660", "qemu"]),
];

/// Crates (and everything named `<crate>-…` or `<crate>_…`) that a member must
/// not have anywhere below it.
const ABSENT: &[(&[&str], &[&str])] = &[
    // An engine that knows no shell.
    (
        &[
            "host",
            "iso9660",
            "printable",
            "progress",
            "qemu",
            "record",
            "secrets",
            "images",
            "emulator",
        ],
        &["tauri", "clap", "indicatif", "wry", "tao"],
    ),
    // A command line that needs no web view.
    (
        &["stack-emulator"],
        &["tauri", "wry", "tao", "webkit2gtk", "gtk"],
    ),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Declared>,
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `None` is an ordinary dependency.
    kind: Option<String>,
}

/// Checks the workspace at `root`.
pub(super) fn check(root: &Path) -> Result<()> {
    let text = output_of(
        cargo(root, "metadata").args(["--format-version", "1", "--all-features"]),
        "reading the dependency graph",
    )?;
    let faults =
        faults(&serde_json::from_str(&text).context("cannot understand `cargo metadata`")?);
    if !faults.is_empty() {
        bail!("dependencies point the wrong way:\n{}", faults.join("\n"));
    }
    ensure!(!LAYERS.is_empty());
    Ok(())
}

fn faults(metadata: &Metadata) -> Vec<String> {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let members = || {
        metadata
            .packages
            .iter()
            .filter(|package| metadata.workspace_members.contains(&package.id))
    };
    let mut faults = vec![];
    for member in members() {
        let Some(allowed) = layers.get(member.name.as_str()) else {
            faults.push(format!(
                "{} has no place in the table of xtask/src/lint/layers.rs",
                member.name
            ));
            continue;
        };
        // Declared ones, tests' included: a test that reaches up is as wrong.
        for dependency in member.dependencies.iter().filter(|d| d.path.is_some()) {
            if !allowed.contains(&dependency.name.as_str()) {
                faults.push(format!("{} depends on {}", member.name, dependency.name));
            }
        }
        for (_, absent) in ABSENT
            .iter()
            .filter(|(of, _)| of.contains(&member.name.as_str()))
        {
            for below in closure(metadata, &member.id) {
                if absent.iter().any(|name| is_of_family(below, name)) {
                    faults.push(format!("{} brings in {below}", member.name));
                }
            }
        }
    }
    faults
}

fn is_of_family(package: &str, family: &str) -> bool {
    package
        .strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

/// Names of all packages that `id` is built from; not those of tests.
fn closure<'a>(metadata: &'a Metadata, id: &'a str) -> BTreeSet<&'a str> {
    let edges: BTreeMap<_, _> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), &node.deps))
        .collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        for edge in edges.get(id).into_iter().copied().flatten() {
            let built = edge
                .dep_kinds
                .iter()
                .any(|kind| kind.kind.as_deref() != Some("dev"));
            if built && seen.insert(edge.pkg.as_str()) {
                open.push(&edge.pkg);
            }
        }
    }
    metadata
        .packages
        .iter()
        .filter(|package| seen.contains(package.id.as_str()))
        .map(|package| package.name.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_keeps_its_layers() {
        check(&crate::workspace::root().unwrap()).unwrap();
    }

    /// A graph of `(package, dependencies)`; a dependency with a `dev:` prefix is a test's.
    fn graph(packages: &[(&str, &[&str])]) -> Metadata {
        let members: BTreeSet<_> = LAYERS
            .iter()
            .map(|(name, _)| *name)
            .chain(["newcomer"])
            .collect();
        let plain = |name: &str| name.trim_start_matches("dev:").to_owned();
        Metadata {
            packages: packages
                .iter()
                .map(|(name, dependencies)| Package {
                    id: (*name).to_owned(),
                    name: (*name).to_owned(),
                    dependencies: dependencies
                        .iter()
                        .map(|dependency| Declared {
                            name: plain(dependency),
                            path: members
                                .contains(plain(dependency).as_str())
                                .then(String::new),
                        })
                        .collect(),
                })
                .collect(),
            workspace_members: packages
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .filter(|name| members.contains(name.as_str()))
                .collect(),
            resolve: Resolve {
                nodes: packages
                    .iter()
                    .map(|(name, dependencies)| Node {
                        id: (*name).to_owned(),
                        deps: dependencies
                            .iter()
                            .map(|dependency| Edge {
                                pkg: plain(dependency),
                                dep_kinds: vec![Kind {
                                    kind: dependency.starts_with("dev:").then(|| "dev".to_owned()),
                                }],
                            })
                            .collect(),
                    })
                    .collect(),
            },
        }
    }

    #[test]
    fn what_points_down_passes() {
        let metadata = graph(&[
            ("stack-emulator", &["emulator", "clap"]),
            ("emulator", &["qemu", "images", "dev:clap"]),
            ("qemu", &[]),
            ("images", &[]),
            ("clap", &["clap_builder"]),
            ("clap_builder", &[]),
        ]);
        assert_eq!(faults(&metadata), [""; 0]);
    }

    #[test]
    fn each_fault_is_named() {
        let metadata = graph(&[
            ("qemu", &["dev:emulator", "middle"]),
            ("emulator", &["images"]),
            ("images", &[]),
            ("stack-emulator", &["wry"]),
            ("newcomer", &[]),
            ("middle", &["clap_builder"]),
            ("clap_builder", &[]),
            ("clapper", &[]),
            ("wry", &[]),
        ]);
        assert_eq!(
            faults(&metadata),
            [
                "qemu depends on emulator",
                "qemu brings in clap_builder",
                "stack-emulator brings in wry",
                "newcomer has no place in the table of xtask/src/lint/layers.rs",
            ]
        );
    }
}
