//! What the long help and the manual page say beyond the arguments:
//! environment variables, exit codes, examples. Each is one table, used by both.

use std::fmt::Write as _;

use emulator::variables as env;

use unicode_width::UnicodeWidthStr as _;

use crate::exit::Exit;
use crate::render::text::{pad, widest};

/// Columns of a terminal with its default size.
const WIDTH: usize = 80;

/// A space at which no line is broken.
const TIE: &str = "\u{a0}";

/// An environment variable: name, default, meaning.
pub(crate) struct Variable {
    pub name: &'static str,
    pub default: &'static str,
    pub meaning: &'static str,
}

const fn variable(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        default,
        meaning,
    }
}

/// Every variable that has an effect.
pub(crate) const VARIABLES: &[Variable] = &[
    variable(env::HOME, "~/.stack/emulator", "data folder"),
    variable(
        env::RAM,
        "the image's, else 4096",
        "memory of the virtual machine in MiB",
    ),
    variable(env::CPUS, "host cores, at most 4", "number of virtual CPUs"),
    variable(
        env::READY_TIMEOUT,
        "300",
        "seconds that a start may take, all in all; a first boot may go on as long as it makes progress",
    ),
    variable(
        env::NO_SNAPSHOT,
        "0",
        "1 always boots cold and ignores the snapshot",
    ),
    variable(
        env::NO_ROTATION,
        "0",
        "1 keeps the image's placeholder secrets, which are public",
    ),
    variable(
        env::AHEAD,
        "disk; in CI off",
        "off does nothing in the background; disk saves the session and prepares the next start after a stop; memory keeps that ready in memory",
    ),
    variable(
        env::NETWORK,
        "by-image",
        "closed keeps the virtual machine from connecting to anything; open lets it; by-image does what the image asks for",
    ),
    variable(
        env::FORCE_CAPTURE,
        "0",
        "1 takes a new snapshot before each start",
    ),
    variable(
        env::ARCH,
        "the host's",
        "architecture of the virtual machine, amd64 or arm64",
    ),
    variable(
        env::PORT_PREFIX,
        "81",
        "first digits of the ports inside the virtual machine",
    ),
    variable(
        env::HEXCLAVE_PUBLIC_PORT_PREFIX,
        "81",
        "used in place of PORT_PREFIX where that is unset",
    ),
    variable(
        env::PUBLIC_PORT_PREFIX,
        "81",
        "older name of that; both at once must be equal",
    ),
    variable(
        "STACK_EMULATOR_DASHBOARD_PORT",
        "26700",
        "host port of the dashboard; EMULATOR_DASHBOARD_PORT and the like are older names, and both at once must be equal",
    ),
    variable(
        "STACK_EMULATOR_BACKEND_PORT",
        "26701",
        "host port of the backend",
    ),
    variable(
        "STACK_EMULATOR_MINIO_PORT",
        "26702",
        "host port of the object storage",
    ),
    variable(
        "STACK_EMULATOR_INBUCKET_PORT",
        "26703",
        "host port of the mail inbox",
    ),
    variable(
        "STACK_EMULATOR_MOCK_OAUTH_PORT",
        "26704",
        "host port of the mock OAuth provider",
    ),
    variable(env::QEMU, "from the PATH", "QEMU program to use"),
    variable(
        env::ACCELERATOR,
        "the fastest that works",
        "kvm, hvf or tcg (software emulation)",
    ),
    variable(
        env::GITHUB_TOKEN,
        "from the keychain or `gh`",
        "GitHub token; builds of pull requests and workflow runs need one",
    ),
    variable(
        env::GITHUB_API,
        "https://api.github.com",
        "base URL of GitHub's REST API, for mirrors",
    ),
    variable(
        env::UPDATES,
        "where it was released; in CI off",
        "repository to look for newer releases of this program in, as owner/name; off looks nowhere",
    ),
    variable("NO_COLOR", "unset", "any value turns colors off"),
];

/// What follows the options in the long help.
pub(crate) fn after_help() -> String {
    let mut text = String::from("Environment variables (an invalid value is an error):\n");
    let names = widest(VARIABLES.iter().map(|variable| variable.name));
    for Variable {
        name,
        default,
        meaning,
    } in VARIABLES
    {
        let default = default.replace(' ', TIE);
        let meaning = format!("{meaning} [default:{TIE}{default}]");
        entry(&mut text, &pad(name, names), &meaning);
    }
    text.push_str("\nExit codes:\n");
    for exit in Exit::ALL {
        entry(&mut text, &format!("{:>3}", exit.code()), exit.meaning());
    }
    text.push_str(
        "\nWith --json, an error is {\"error\": {\"code\", \"message\", \"hint\"}} on\nstandard output.",
    );
    text
}

/// Adds `label` and `meaning`, whose lines stand under each other; clap wraps
/// what follows its options, but does not indent it.
fn entry(text: &mut String, label: &str, meaning: &str) {
    let margin = label.width() + 4;
    let mut column = margin;
    // Writing to a string cannot fail.
    let _ = write!(text, "  {label} ");
    for word in meaning.split(' ') {
        if column + word.width() >= WIDTH {
            let _ = write!(text, "\n{:width$}", "", width = margin - 1);
            column = margin;
        }
        let _ = write!(text, " {}", word.replace(TIE, " "));
        column += word.width() + 1;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_the_engine_is_listed() {
        let source = include_str!("../../emulator/src/config/variables.rs");
        let declared = source.lines().filter_map(|line| {
            let value = line
                .strip_prefix("pub const ")?
                .split_once(": &str = \"")?
                .1;
            value.strip_suffix("\";")
        });
        let mut seen = 0;
        for name in declared {
            assert!(
                VARIABLES.iter().any(|variable| variable.name == name),
                "{name} is not in the help"
            );
            seen += 1;
        }
        assert!(
            seen >= 10,
            "only {seen} declarations were found: has their form changed?"
        );
    }

    #[test]
    fn the_help_has_every_exit_code_and_fits_a_terminal() {
        let help = after_help();
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for exit in Exit::ALL {
            assert!(words.contains(exit.meaning()), "{help}");
        }
        for line in help.lines() {
            assert!(line.width() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn a_long_meaning_goes_on_under_its_beginning() {
        let mut text = String::new();
        entry(&mut text, "NAME", &format!("word{TIE}").repeat(2));
        assert_eq!(text, "  NAME  word word \n");
        text.clear();
        entry(&mut text, "NAME", &"word ".repeat(20));
        let (first, second) = text.split_once('\n').unwrap();
        assert!(first.starts_with("  NAME  word word"), "{text}");
        assert!(second.starts_with("        word"), "{text}");
    }
}
