//! The runtime config disk: the read-only ISO image labelled `STACKCFG` by
//! which the guest learns its ports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use images::Sha256Digest;

/// Longest `base.env` of an image that is read, in bytes.
const LONGEST_BASE_ENV: u64 = 4 << 20;
/// The services whose host ports the guest is told.
pub(crate) const TOLD_SERVICES: [&str; 5] =
    ["dashboard", "backend", "minio", "inbucket", "mock-oauth"];

/// The config disk could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigDiskError {
    /// The settings that came with the image could not be read.
    #[error("cannot read the image's settings {}", path.display())]
    BaseEnv {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The ISO image could not be composed.
    #[error("cannot compose the config disk")]
    Compose(#[source] iso9660::Error),
    /// The ISO image could not be written.
    #[error("cannot write the config disk {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The content of a config disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigDisk {
    runtime_env: String,
    base_env: Vec<u8>,
}

impl ConfigDisk {
    /// The settings for an image whose services have the given host ports.
    ///
    /// `base.env` comes from the file beside the image, if there is one.
    pub(crate) fn new(
        image: &Path,
        port_prefix: u16,
        ports: &BTreeMap<String, u16>,
    ) -> Result<Self, ConfigDiskError> {
        let mut runtime_env = format!("STACK_EMULATOR_PORT_PREFIX={port_prefix}\n");
        for id in TOLD_SERVICES {
            // A service that the image does not have has no port to tell.
            if let Some(port) = ports.get(id) {
                let name = id.to_ascii_uppercase().replace('-', "_");
                writeln!(runtime_env, "STACK_EMULATOR_{name}_HOST_PORT={port}").unwrap_or_default();
            }
        }
        // Empty: publish nothing to the host. The folder would be the host's
        // root, and we share only what the user picks.
        runtime_env.push_str("STACK_EMULATOR_VM_DIR_HOST=\n");
        let path = image.with_extension("base.env");
        let base_env = match record::regular::read(&path, LONGEST_BASE_ENV) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(ConfigDiskError::BaseEnv { path, source }),
        };
        Ok(Self {
            runtime_env,
            base_env,
        })
    }

    /// Digest of the content; equal content makes equal bytes on disk.
    pub(crate) fn digest(&self) -> Sha256Digest {
        let mut all = self.runtime_env.clone().into_bytes();
        all.push(0);
        all.extend(&self.base_env);
        Sha256Digest::of(&all)
    }

    /// Writes the ISO image at `path`.
    pub(crate) fn write(&self, path: &Path) -> Result<(), ConfigDiskError> {
        let compose = || -> Result<Vec<u8>, iso9660::Error> {
            // The disk's time is fixed, so that the same settings make the same bytes.
            let time = iso9660::Timestamp::from_unix_seconds(1_704_067_200)?;
            let mut volume = iso9660::Volume::new("STACKCFG", time)?;
            volume.add_bytes("runtime.env", self.runtime_env.clone().into_bytes())?;
            volume.add_bytes("base.env", self.base_env.clone())?;
            let mut bytes = Vec::new();
            volume.write_to(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = compose().map_err(ConfigDiskError::Compose)?;
        let write = || {
            use std::os::unix::fs::OpenOptionsExt as _;
            std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?
                .write_all(&bytes)
        };
        write().map_err(|source| ConfigDiskError::Write {
            path: path.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_guest_the_contract_s_names() {
        let ports = BTreeMap::from([
            ("dashboard".to_owned(), 26700),
            ("backend".to_owned(), 30001),
            ("mock-oauth".to_owned(), 30004),
        ]);
        let disk = ConfigDisk::new(Path::new("/nowhere/image.qcow2"), 92, &ports).unwrap();
        assert_eq!(
            disk.runtime_env,
            "STACK_EMULATOR_PORT_PREFIX=92\nSTACK_EMULATOR_DASHBOARD_HOST_PORT=26700\n\
             STACK_EMULATOR_BACKEND_HOST_PORT=30001\nSTACK_EMULATOR_MOCK_OAUTH_HOST_PORT=30004\n\
             STACK_EMULATOR_VM_DIR_HOST=\n"
        );
        let mut other = ports.clone();
        other.insert("backend".to_owned(), 30002);
        let changed = ConfigDisk::new(Path::new("/nowhere/image.qcow2"), 92, &other).unwrap();
        assert_ne!(disk.digest(), changed.digest());
    }
}
