//! What to do about a record that cannot be read or written.

use record::RecordError;

/// The remedy for `error`.
pub(super) fn of(error: &RecordError) -> String {
    let path = error.path();
    let shown = path.display();
    if error.is_damaged() && is_called(path, "run.json") {
        return "`stack-emulator stop` sets it right: the virtual machine is ended, and its disk is kept."
            .to_owned();
    }
    match error {
        RecordError::Read { .. } | RecordError::Write { .. } => format!(
            "See that {} is yours, and that you may read and write there.",
            path.parent().unwrap_or(path).display()
        ),
        RecordError::Version { .. } => format!(
            "Use the Stack Emulator that wrote it, or move {shown} away: {}.",
            loss(path)
        ),
        RecordError::TooLarge { .. }
        | RecordError::Parse { .. }
        | RecordError::Format { .. }
        | RecordError::Digest { .. } => format!("Move {shown} away: {}.", loss(path)),
    }
}

fn is_called(path: &std::path::Path, name: &str) -> bool {
    path.file_name().is_some_and(|called| called == name)
}

/// What there is not any more without that record.
fn loss(path: &std::path::Path) -> &'static str {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("instance.json") => {
            "which image was chosen is forgotten then, and nothing that was done in the emulator"
        }
        Some("run.json") => "a virtual machine that still runs is ended then, and its disk is kept",
        Some("session.json") => "it is made anew from the session's disk",
        Some("saved.json") => "the session's disk is booted then, with all that was done on it",
        Some("folders.json") => "the shared folders are forgotten then, and can be shared again",
        Some("projects.json") => "the list of config files is forgotten then",
        Some("secrets.json") => "the secrets are forgotten then, and the next start makes new ones",
        Some("snapshot.json") => "`stack-emulator capture` takes a new snapshot then",
        _ => "what it said is forgotten then",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_names_the_file_and_what_is_lost() {
        for name in ["instance.json", "secrets.json", "another.json"] {
            let path = std::path::PathBuf::from("/home/emulator").join(name);
            let remedy = of(&RecordError::Digest { path: path.clone() });
            assert!(remedy.contains(&path.display().to_string()), "{remedy}");
            assert!(remedy.contains("forgotten"), "{remedy}");
        }
    }
}
