//! An image that has been looked at and found fit to give to QEMU.

use std::path::{Path, PathBuf};

use failure::Remedy;

use crate::manifest::{Manifest, ManifestError, Network, Service, services_published_at};
use crate::qcow2::{Header, HeaderError};
use crate::{FileStamp, Sha256Digest, sha256_file};

/// A guest image whose header and manifest have been checked.
#[derive(Clone, Debug)]
pub struct Image {
    /// Absolute path, symbolic links resolved.
    pub path: PathBuf,
    /// What `stat` said when the header was read.
    pub stamp: FileStamp,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_bytes: u64,
    /// The manifest beside the image, if there is one.
    pub manifest: Option<Manifest>,
    /// When it was published, RFC 3339, where that is known.
    pub published_at: Option<String>,
}

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such file, or it cannot be reached.
    #[error("cannot open the image {}", path.display())]
    Open {
        /// The image.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The header is not one that QEMU may be given.
    #[error("the image {} cannot be used", path.display())]
    Header {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: HeaderError,
    },
    /// The image would make QEMU open another file, ask for a key or repair it.
    #[error("the image {} cannot be used: {problem}", path.display())]
    Refused {
        /// The image.
        path: PathBuf,
        /// What it asks for.
        problem: &'static str,
    },
    /// The manifest beside it is not usable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The content could not be read for its digest.
    #[error("cannot read the image {}", path.display())]
    Read {
        /// The image.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The image is not the one its manifest speaks of.
    #[error(
        "the image {} is damaged or was replaced: its SHA-256 is {found}, its manifest says {expected}", path.display()
    )]
    Digest {
        /// The image.
        path: PathBuf,
        /// The digest in the manifest.
        expected: Sha256Digest,
        /// The digest of the content.
        found: Sha256Digest,
    },
}

impl ImageError {
    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Header { .. } | Self::Refused { .. } | Self::Digest { .. } => {
                Some(Remedy::PullAgain)
            }
            Self::Manifest(error) => error.remedy(),
            Self::Open { .. } | Self::Read { .. } => None,
        }
    }
}

impl Image {
    /// Looks at the image at `path` and at the manifest beside it.
    ///
    /// Reads the header only; [`Image::digest`] reads it all.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let open = |source| ImageError::Open {
            path: path.to_owned(),
            source,
        };
        let path = path.canonicalize().map_err(open)?;
        let stamp = FileStamp::of(&path).map_err(open)?;
        let header = Header::read(&path).map_err(|source| ImageError::Header {
            path: path.clone(),
            source,
        })?;
        let problem = if header.backing_file.is_some() {
            Some("it is an overlay on a backing file")
        } else {
            header.problem()
        };
        if let Some(problem) = problem {
            return Err(ImageError::Refused { path, problem });
        }
        let beside = Manifest::path_beside(&path);
        let manifest = match beside.try_exists() {
            Ok(true) => Some(Manifest::read(&beside)?),
            Ok(false) => None,
            Err(source) => {
                return Err(ManifestError::Read {
                    path: beside,
                    source,
                }
                .into());
            }
        };
        Ok(Self {
            published_at: crate::store::published_at(&path),
            path,
            stamp,
            virtual_bytes: header.virtual_bytes,
            manifest,
        })
    }

    /// Whether a process inside answers on the rotation port.
    pub fn has_rotation_port(&self) -> bool {
        self.manifest
            .as_ref()
            .is_some_and(|manifest| manifest.rotation_port)
    }

    /// Whether the services inside need to connect to others. A published image says nothing, and is
    /// taken to: it signs users in with the providers' own servers.
    pub fn needs_outside(&self) -> bool {
        self.manifest
            .as_ref()
            .is_none_or(|manifest| manifest.network == Network::Outside)
    }

    /// The services inside, by the manifest or, without one, by the contract.
    pub fn services(&self, prefix: u16) -> Vec<Service> {
        match &self.manifest {
            Some(manifest) => manifest.services.clone(),
            None => services_published_at(self.published_at.as_deref(), prefix),
        }
    }

    /// Reads the whole image for its digest and compares it with the
    /// manifest's, if there is one. Takes about a second for 300 MB.
    pub fn digest(&self) -> Result<Sha256Digest, ImageError> {
        let found = sha256_file(&self.path).map_err(|source| ImageError::Read {
            path: self.path.clone(),
            source,
        })?;
        match &self.manifest {
            Some(manifest) if manifest.image.sha256 != found => Err(ImageError::Digest {
                path: self.path.clone(),
                expected: manifest.image.sha256,
                found,
            }),
            _ => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::create_overlay;

    #[test]
    fn an_overlay_is_refused_as_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evil.qcow2");
        create_overlay(&path, Path::new("/etc/passwd"), 1 << 30).unwrap();
        let error = Image::open(&path).unwrap_err();
        assert!(matches!(error, ImageError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("backing file"), "{error}");
    }

    #[test]
    fn what_would_lead_qemu_elsewhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image.qcow2");
        create_overlay(&path, Path::new("/base"), 1 << 30).unwrap();
        let mut good = std::fs::read(&path).unwrap();
        // Not an overlay any more.
        good[8..20].fill(0);
        std::fs::write(&path, &good).unwrap();
        Image::open(&path).unwrap();
        let cases: [(&str, std::ops::Range<usize>, &[u8]); 5] = [
            ("data is in another file", 79..80, &[4]),
            ("encrypted", 35..36, &[1]),
            ("encrypted", 35..36, &[2]),
            ("marked corrupt", 79..80, &[2]),
            ("no size", 24..32, &[0; 8]),
        ];
        for (problem, at, bytes) in cases {
            let mut evil = good.clone();
            evil[at].copy_from_slice(bytes);
            std::fs::write(&path, evil).unwrap();
            let error = Image::open(&path).unwrap_err();
            assert!(matches!(error, ImageError::Refused { .. }), "{error}");
            assert!(error.to_string().contains(problem), "{error}");
        }
    }

    #[test]
    fn a_missing_image_is_named() {
        let error = Image::open(Path::new("/no/such.qcow2")).unwrap_err();
        assert!(error.to_string().contains("/no/such.qcow2"));
    }
}
