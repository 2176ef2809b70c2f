//! A file operation that failed, and whether the disk was full.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Code, Remedy};

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: what the system said when `action` was tried on `path`.
    pub fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self {
            action,
            path,
            source,
        }
    }

    /// A stable code for programs.
    pub fn code(&self) -> Code {
        if is_no_room(self) {
            Code::DiskFull
        } else {
            Code::File
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        if let Some(command) = limit_reached(self) {
            return Some(Remedy::raise_limit([command]));
        }
        is_no_room(self).then(Remedy::free_disk_space)
    }
}

/// Whether the system's word in `error` or one of its causes is that a disk is full.
pub fn is_no_room(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        let kind = cause.downcast_ref().map(io::Error::kind);
        if matches!(
            kind,
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        ) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// The shell's command that sets the limit of this process which `error`, or one of its causes, has met.
pub fn limit_reached(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    /// Too many open files, on Linux and macOS.
    const EMFILE: i32 = 24;
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            if error.kind() == io::ErrorKind::FileTooLarge {
                return Some("ulimit -f");
            }
            if error.raw_os_error() == Some(EMFILE) {
                return Some("ulimit -n");
            }
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_its_own_code_and_remedy() {
        let failed = |kind: io::ErrorKind| FileError::of("write", Path::new("/x"))(kind.into());
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let error = failed(kind);
            assert_eq!(error.code(), Code::DiskFull);
            assert_eq!(error.remedy(), Some(Remedy::free_disk_space()));
        }
        let error = failed(io::ErrorKind::FileTooLarge);
        assert_eq!(error.remedy(), Some(Remedy::raise_limit(["ulimit -f"])));
        let error = failed(io::ErrorKind::PermissionDenied);
        assert_eq!((error.code(), error.remedy()), (Code::File, None));
    }
}
