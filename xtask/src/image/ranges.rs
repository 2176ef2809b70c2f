//! Ranges of user and group ids, which a user needs to have a namespace with more than one user in it.
//!
//! `adduser` gives every new user one. Those of a directory service have none, and mmdebstrap then
//! says no more than that it cannot read two files.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::output_of;

const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// Makes sure that the user who runs us, if not root, has both.
pub(crate) fn check() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let user = output_of(Command::new("id").arg("-un"), "asking for the user's name")?;
    for file in FILES {
        // No file is no range.
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.with_context(|| format!("cannot read {file}"))?,
        };
        ensure!(
            has_range(&text, user.trim()),
            "{file} has no range for the user {0}, which building a base system without root needs; give it one \
             with `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {0}` (with other numbers \
             if another user has those)",
            user.trim()
        );
    }
    Ok(())
}

fn has_range(text: &str, user: &str) -> bool {
    text.lines()
        .any(|line| line.split(':').next() == Some(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_range_or_not() {
        let text = "dev:100000:65536\ndeveloper:165536:65536\n";
        assert!(has_range(text, "dev") && has_range(text, "developer"));
        assert!(!has_range(text, "devel") && !has_range("", "dev"));
    }
}
