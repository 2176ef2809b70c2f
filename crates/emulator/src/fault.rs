//! What the errors of all rooms share, beside the crate `failure`: what to do about a record
//! that cannot be read or written.

use std::path::Path;

use failure::{Code, Loss, Remedy};
use record::RecordError;

/// The code of a record's failure.
pub(crate) fn record_code(error: &RecordError) -> Code {
    if failure::is_no_room(error) {
        Code::DiskFull
    } else {
        Code::Record
    }
}

/// What to do about a record that cannot be read or written.
pub(crate) fn record_remedy(error: &RecordError) -> Remedy {
    let path = error.path();
    if failure::is_no_room(error) {
        return Remedy::free_disk_space();
    }
    if error.is_damaged() && path.file_name().is_some_and(|name| name == "run.json") {
        return Remedy::EndMachine;
    }
    let (file, loss) = (path.display().to_string(), loss(path));
    match error {
        RecordError::Read { .. } | RecordError::Write { .. } => Remedy::check_owner_of(path),
        RecordError::Version { .. } => Remedy::UseItsVersion { file, loss },
        RecordError::TooLarge { .. }
        | RecordError::Parse { .. }
        | RecordError::Format { .. }
        | RecordError::Digest { .. } => Remedy::MoveAway { file, loss },
    }
}

/// What is lost without that record.
fn loss(path: &Path) -> Loss {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("instance.json") => Loss::SelectedImage,
        Some("run.json") => Loss::Machine,
        Some("session.json") => Loss::Nothing,
        Some("saved.json") => Loss::Memory,
        Some("folders.json") => Loss::SharedFolders,
        Some("projects.json") => Loss::Projects,
        Some("secrets.json") => Loss::Secrets,
        Some("snapshot.json") => Loss::Snapshot,
        Some("checkpoint.json") => Loss::Checkpoint,
        Some("settings.json") => Loss::Settings,
        _ => Loss::Content,
    }
}

/// `From` for causes that a room's error holds by way of a lower room's.
macro_rules! by_way_of {
    ($error:ident, $room:ident => $($cause:ty),+ $(,)?) => {
        $(
            impl From<$cause> for $error {
                fn from(cause: $cause) -> Self {
                    Self::$room(cause.into())
                }
            }
        )+
    };
}
pub(crate) use by_way_of;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn each_names_the_file_and_what_is_lost() {
        for (name, lost) in [
            ("instance.json", Loss::SelectedImage),
            ("secrets.json", Loss::Secrets),
            ("another.json", Loss::Content),
        ] {
            let path = PathBuf::from("/home/emulator").join(name);
            let remedy = record_remedy(&RecordError::Digest { path: path.clone() });
            let file = path.display().to_string();
            assert_eq!(remedy, Remedy::MoveAway { file, loss: lost });
        }
        let path = PathBuf::from("/home/emulator/run.json");
        assert_eq!(
            record_remedy(&RecordError::Digest { path }),
            Remedy::EndMachine
        );
    }
}
