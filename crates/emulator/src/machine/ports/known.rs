//! Programs that take our ports by design, by the names that their users know.
//!
//! One so far: `hexclave dev`, the development server of the project that published images come from. It takes
//! port 26700 on all addresses, from a process of Node, which may be a dashboard that it keeps below `~/.stack`
//! and that calls itself something else.

use host::ports::Owner;

/// Part of the path of the dashboards that `hexclave dev` starts.
const DASHBOARDS: &str = "/.stack/dashboards/";

/// What people know `owner` by.
pub(super) fn name(owner: &Owner) -> String {
    if owner
        .commands()
        .iter()
        .any(|command| is_hexclave_dev(command))
    {
        format!("`hexclave dev` ({}, pid {})", owner.name, owner.pid)
    } else {
        owner.to_string()
    }
}

/// Whether that is the command line of `hexclave dev`, or of a dashboard of its own.
fn is_hexclave_dev(command: &[String]) -> bool {
    if command.iter().any(|word| word.contains(DASHBOARDS)) {
        return true;
    }
    // A program that names itself, as npm does, has all of its words in one.
    let words: Vec<&str> = command
        .iter()
        .flat_map(|word| word.split_whitespace())
        .collect();
    let program = words.iter().position(|word| is_hexclave(word));
    program.is_some_and(|at| {
        let mut following = words[at + 1..].iter();
        following.find(|word| !word.starts_with('-')) == Some(&"dev")
    })
}

/// Whether it is a path or a package of the command line: `hexclave`, `…/.bin/hexclave`, `hexclave@latest`,
/// `…/@hexclave/cli/dist/index.js`.
fn is_hexclave(word: &str) -> bool {
    let file = word.rsplit('/').next().unwrap_or(word);
    let stem = file.split(['.', '@']).next().unwrap_or(file);
    stem == "hexclave" || word.contains("@hexclave/cli")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_it(line: &str) -> bool {
        is_hexclave_dev(&line.split('|').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_development_server_is_known_by_its_command_line() {
        for line in [
            "hexclave|dev",
            "node|/app/node_modules/.bin/hexclave|dev|--port|1",
            "/usr/bin/node|/x/@hexclave/cli/dist/index.js|--verbose|dev",
            "npm exec hexclave dev",
            "npx|hexclave@latest|dev",
            "node|/home/ada/.stack/dashboards/1/server.js",
        ] {
            assert!(is_it(line), "{line}");
        }
        for line in [
            "node|/src/hexclave/node_modules/.bin/next|dev",
            "node|/app/node_modules/.bin/hexclave|login",
            "npm run dev",
            "vim|hexclave.config.ts",
            "",
        ] {
            assert!(!is_it(line), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_command_line_is_judged(words in proptest::collection::vec("\\PC{0,12}", 0..6)) {
            is_hexclave_dev(&words);
        }
    }
}
