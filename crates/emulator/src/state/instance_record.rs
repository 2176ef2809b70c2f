//! The instance record: what an instance remembers between runs.

use std::path::PathBuf;

use images::Sha256Digest;
use record::Record;
use serde::{Deserialize, Serialize};

use crate::config::paths::Home;
use crate::machine::fingerprint::Content;

/// What an instance remembers between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    /// The image that was chosen or used last; below the home folder, from there on.
    pub image: Option<PathBuf>,
    /// Digest of that image, with its stamp.
    pub image_content: Option<Content>,
    /// Digest of the QEMU binary, with its stamp.
    pub qemu_content: Option<Content>,
    /// Added to the services' default host ports.
    pub port_offset: u16,
    /// Whether the instance has left one block of ports for another, because somebody had them: what is saved may
    /// be of a guest that was told the old ones.
    #[serde(default)]
    pub moved_ports: bool,
    /// The folder that it is the instance of, if it was made for one.
    #[serde(default)]
    pub folder: Option<PathBuf>,
}

impl InstanceRecord {
    /// The digest of that image: by its place in the store, or else by what was read when it was
    /// used last.
    pub(crate) fn image_digest(&self, home: &Home) -> Option<Sha256Digest> {
        let path = home.path().join(self.image.as_ref()?);
        let stored = home.image_store().digest_at(&path);
        stored.or_else(|| Some(self.image_content.as_ref()?.sha256))
    }
}

impl Record for InstanceRecord {
    const FORMAT: &'static str = "stack-emulator-instance";
    const VERSION: u32 = 1;
}
