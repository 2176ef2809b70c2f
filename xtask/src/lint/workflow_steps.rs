//! The steps of the hosted workflows: each is one command, and one of ours is a command that this checkout has.
//!
//! So a command or an option that was renamed fails here, and not in the middle of a release.

use clap::Parser as _;

use crate::Cli;

/// How our own commands begin.
const OURS: &str = "cargo xtask ";
/// What makes a runner ready for them, or is all of them: how these commands begin.
const PREPARATION: [&str; 5] = [
    "rustup toolchain install ",
    "sudo sysctl --write ",
    "sudo chmod ",
    "brew install ",
    "bash .ci/run",
];
/// What an expression can stand for.
const VALUES: [(&str, &[&str]); 2] = [
    ("github.repository", &["owner/name"]),
    ("matrix.arch", &["amd64", "arm64"]),
];

/// What is wrong with the commands of a workflow, with their lines.
pub(super) fn faults(workflow: &str) -> impl Iterator<Item = (usize, String)> {
    (1..)
        .zip(workflow.lines())
        .filter_map(|(number, line)| Some((number, command(line)?)))
        .filter_map(|(number, command)| Some((number, fault(command)?)))
}

/// The command that a line names.
fn command(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("- ").unwrap_or(line);
    Some(line.strip_prefix("run:")?.trim())
}

/// Why a step may not be this command.
fn fault(command: &str) -> Option<String> {
    if PREPARATION.iter().any(|known| command.starts_with(known)) {
        return None;
    }
    let Some(arguments) = command.strip_prefix(OURS) else {
        return Some(format!(
            "`{command}` is no command of ours; make it one of `cargo xtask`, which runs on any machine"
        ));
    };
    let meant = match meant(arguments) {
        Ok(meant) => meant,
        Err(expression) => {
            return Some(format!(
                "what `${{{{ {expression} }}}}` stands for is not known; add it to the values here"
            ));
        }
    };
    meant.iter().find_map(|arguments| {
        let refused = Cli::try_parse_from(["cargo xtask"].into_iter().chain(words(arguments)));
        let error = refused.err()?;
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default();
        Some(format!("`{OURS}{arguments}`: {first}"))
    })
}

/// The words of a command, none of which needs quotes.
fn words(command: &str) -> impl Iterator<Item = &str> {
    command.split_whitespace()
}

/// Everything that a text with expressions can be; an error is the expression that is not known.
fn meant(text: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = text.split_once("${{") else {
        return Ok(vec![text.to_owned()]);
    };
    let (expression, after) = rest.split_once("}}").ok_or(rest)?;
    let expression = expression.trim();
    let values = values(expression).ok_or(expression)?;
    let ends = meant(after)?;
    let all = values
        .iter()
        .flat_map(|value| ends.iter().map(move |end| format!("{before}{value}{end}")));
    Ok(all.collect())
}

/// What an expression can stand for: a value by its name, or one of the texts of `condition && 'text' || 'text'`.
fn values(expression: &str) -> Option<Vec<&str>> {
    if let Some((_, values)) = VALUES.iter().find(|(name, _)| *name == expression) {
        return Some(values.to_vec());
    }
    let (_condition, choices) = expression.split_once("&&")?;
    choices
        .split("||")
        .map(|choice| choice.trim().strip_prefix('\'')?.strip_suffix('\''))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(workflow: &str) -> Vec<(usize, String)> {
        faults(workflow).collect()
    }

    #[test]
    fn the_steps_of_our_workflows_are_commands_of_this_checkout() {
        let folder = crate::workspace::root().unwrap().join(".github/workflows");
        let mut ours = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let workflow = std::fs::read_to_string(&path).unwrap();
            let faults = found(&workflow);
            assert!(faults.is_empty(), "{}: {faults:?}", path.display());
            ours += workflow.matches("run: cargo xtask ").count();
        }
        assert!(ours > 10, "{ours} commands were found");
    }

    #[test]
    fn a_command_or_option_that_is_not_there_is_found() {
        let workflow = "steps:\n  - run: cargo xtask lint\n  - run: cargo xtask lnit\n  \
            - name: x\n    run: cargo xtask release sums --into a --frobnicate\n  - run: make all\n  - run: |\n      ls\n";
        let faults = found(workflow);
        let lines: Vec<_> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 5, 6, 7], "{faults:?}");
        assert!(faults[0].1.contains("lnit") && faults[1].1.contains("--frobnicate"));
    }

    #[test]
    fn an_expression_is_each_of_its_values() {
        let text = "a ${{ matrix.arch }} --x ${{ github.event_name == 'b' && '--dry-run' || '' }}";
        assert_eq!(
            meant(text).unwrap(),
            [
                "a amd64 --x --dry-run",
                "a amd64 --x ",
                "a arm64 --x --dry-run",
                "a arm64 --x "
            ]
        );
        assert_eq!(meant("${{ github.actor }}").unwrap_err(), "github.actor");
        let fault = fault("cargo xtask lint ${{ github.actor }}").unwrap();
        assert!(fault.contains("`${{ github.actor }}`"), "{fault}");
    }
}
