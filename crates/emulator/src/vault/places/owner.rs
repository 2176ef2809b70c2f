//! Whose values are those of an instance, in a place that is shared with other homes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Place, recorded};
use crate::config::identity::FolderIdentity;
use crate::vault::{VaultError, mark_by_path};

/// Under which mark an instance's values are kept in a place that is shared with other homes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlaceOwner {
    pub mark: String,
    /// The instance's folder. A copy of it is another owner, so that it neither reads nor replaces
    /// what is in force in the original.
    pub folder: FolderIdentity,
}

impl PlaceOwner {
    /// The owner of the instance of `home` whose record is at `record`; `None` if its folder is not
    /// there.
    pub(super) fn of(record: &Path, home: &Path) -> Result<Option<Self>, VaultError> {
        let Some(folder) = record
            .parent()
            .and_then(|path| FolderIdentity::of(path).ok())
        else {
            return Ok(None);
        };
        let mark = match recorded(record)? {
            // Moved or not, it is the same folder.
            Some(Place {
                owner: Some(owner), ..
            }) if owner.folder == folder => owner.mark,
            Some(Place { owner: None, .. }) => mark_by_path(home),
            Some(Place { owner: Some(_), .. }) | None => folder.mark(),
        };
        Ok(Some(Self { mark, folder }))
    }
}
