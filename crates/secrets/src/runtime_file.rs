//! Values in files of mode 0600: the last resort, where there is no keychain and
//! the kernel refuses keyrings.

use std::path::{Path, PathBuf};

use record::{Durability, remove_file, replace};

use crate::{SecretSet, SecretStore, Slot, StoreError, StoreKind};

/// Up to three files, one a slot.
pub struct RuntimeFile {
    folder: PathBuf,
}

impl RuntimeFile {
    /// In `folder`, which should be the user's alone, and in memory where there
    /// is such a thing: what was on a disk may be read from it years later.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    fn path(&self, slot: Slot) -> PathBuf {
        self.folder.join(format!("secrets.{}", slot.name()))
    }

    fn failed(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> StoreError + use<> {
        let path = path.to_owned();
        move |source| StoreError::File {
            action,
            path,
            source,
        }
    }
}

impl SecretStore for RuntimeFile {
    fn kind(&self) -> StoreKind {
        StoreKind::RuntimeFile
    }

    fn load(&self, slot: Slot) -> Result<Option<SecretSet>, StoreError> {
        let path = self.path(slot);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => zeroize::Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Self::failed("read", &path)(source)),
        };
        match SecretSet::from_lines(&text) {
            Some(set) => Ok(Some(set)),
            None => Err(StoreError::NotASecret {
                kind: StoreKind::RuntimeFile,
                entry: path.display().to_string(),
            }),
        }
    }

    fn save(&self, slot: Slot, set: &SecretSet) -> Result<(), StoreError> {
        let path = self.path(slot);
        replace(&path, set.to_lines().as_bytes(), Durability::ThisBoot)
            .map_err(Self::failed("store", &path))
    }

    fn forget(&self, slot: Slot) -> Result<(), StoreError> {
        let path = self.path(slot);
        remove_file(&path).map_err(Self::failed("remove", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_files_are_the_user_s_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let store = RuntimeFile::new(dir.path());
        crate::testing::keeps_sets_apart(&store);
        store
            .save(Slot::Current, &SecretSet::placeholders())
            .unwrap();
        let mode = std::fs::metadata(store.path(Slot::Current))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_shows_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = RuntimeFile::new(dir.path());
        std::fs::write(store.path(Slot::Current), "sesame\n").unwrap();
        let error = store.load(Slot::Current).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("secrets.current") && !shown.contains("sesame"),
            "{shown}"
        );
    }
}
