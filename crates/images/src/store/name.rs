//! Images by the names that users give.

use failure::Code;

use super::Installed;
use crate::Sha256Digest;
use crate::source::Arch;

/// A digest may be cut down to this many hex characters.
const LEAST_DIGITS: usize = 4;

/// A name that stands for no image, or for more than one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing here is called so.
    #[error("there is no image called {0:?}")]
    Unknown(String),
    /// Several are.
    #[error("more than one image is called {name:?}: {}", list(candidates))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The images that it may be.
        candidates: Vec<Sha256Digest>,
    },
}

impl NameError {
    /// A stable code for programs.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unknown(_) => Code::ImageUnknown,
            Self::Ambiguous { .. } => Code::ImageAmbiguous,
        }
    }
}

fn list(candidates: &[Sha256Digest]) -> String {
    let short: Vec<_> = candidates.iter().map(Sha256Digest::short).collect();
    short.join(", ")
}

/// The image among `images` that `name` stands for: the name of a reference, or
/// a digest, which may be cut short and may begin with `sha256:`.
///
/// A reference goes before a digest, and among references of one name (of two
/// architectures, or of two repositories) those for `arch` go before others.
pub fn find<'a>(
    images: &'a [Installed],
    name: &str,
    arch: Arch,
) -> Result<&'a Installed, NameError> {
    let called = |image: &&Installed| {
        let mut references = image.references.iter();
        references.any(|reference| reference.name == name)
    };
    let named: Vec<_> = images.iter().filter(called).collect();
    let ours: Vec<_> = named
        .iter()
        .copied()
        .filter(|image| image.arch == arch)
        .collect();
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let by_digest = |image: &&Installed| {
        digits.len() >= LEAST_DIGITS && image.digest.to_string().starts_with(digits)
    };
    let meant = [ours, named, images.iter().filter(by_digest).collect()];
    match meant
        .iter()
        .find(|meant| !meant.is_empty())
        .map(Vec::as_slice)
    {
        None => Err(NameError::Unknown(name.to_owned())),
        Some([one]) => Ok(one),
        Some(several) => Err(NameError::Ambiguous {
            name: name.to_owned(),
            candidates: several.iter().map(|image| image.digest).collect(),
        }),
    }
}
