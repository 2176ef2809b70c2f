//! What the long help and the manual page say beyond the arguments:
//! environment variables, exit codes, examples. Each is one table, used by both.

use std::fmt::Write as _;

use emulator::variables as env;

use crate::exit::Exit;
use crate::render::text::{pad, widest};

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
    variable(
        env::HOME,
        "~/.stack/emulator",
        "folder for everything that is kept",
    ),
    variable(env::RAM, "4096", "guest memory in MiB"),
    variable(env::CPUS, "host cores, at most 4", "number of virtual CPUs"),
    variable(
        env::READY_TIMEOUT,
        "300",
        "seconds that a guest may take to become ready",
    ),
    variable(
        env::NO_SNAPSHOT,
        "0",
        "1 boots cold, whatever snapshot there is",
    ),
    variable(
        env::NO_ROTATION,
        "0",
        "1 keeps the placeholder keys, which everybody knows",
    ),
    variable(
        env::FORCE_CAPTURE,
        "0",
        "1 takes a new snapshot before a start",
    ),
    variable(
        env::ARCH,
        "the host's",
        "guest architecture, amd64 or arm64",
    ),
    variable(
        env::PORT_PREFIX,
        "81",
        "first digits of the ports inside the guest",
    ),
    variable(
        env::PUBLIC_PORT_PREFIX,
        "81",
        "the same, where PORT_PREFIX is unset",
    ),
    variable(
        "EMULATOR_DASHBOARD_PORT",
        "26700",
        "host port of the dashboard",
    ),
    variable("EMULATOR_BACKEND_PORT", "26701", "host port of the backend"),
    variable(
        "EMULATOR_MINIO_PORT",
        "26702",
        "host port of the object storage",
    ),
    variable(
        "EMULATOR_INBUCKET_PORT",
        "26703",
        "host port of the mail inbox",
    ),
    variable(env::QEMU, "the one on the PATH", "QEMU program to use"),
    variable(env::ACCELERATOR, "the best that works", "kvm, hvf or tcg"),
    variable(
        env::GITHUB_TOKEN,
        "what `gh` keeps",
        "token for GitHub; builds of pull requests and runs need one",
    ),
    variable(
        env::GITHUB_API,
        "https://api.github.com",
        "base of GitHub's REST API, for mirrors",
    ),
    variable("NO_COLOR", "unset", "anything switches colours off"),
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
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {}  {meaning} [default: {default}]",
            pad(name, names)
        );
    }
    text.push_str("\nExit codes:\n");
    for exit in Exit::ALL {
        let _ = writeln!(text, "  {:>3}  {}", exit.code(), exit.meaning());
    }
    text.push_str("\nWith --json, an error is {\"error\": {\"code\", \"message\", \"hint\"}} on standard output.");
    text
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
    fn the_help_has_every_exit_code_and_fits_a_wide_terminal() {
        let help = after_help();
        for exit in Exit::ALL {
            assert!(help.contains(exit.meaning()));
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 130, "{line}");
        }
    }
}
