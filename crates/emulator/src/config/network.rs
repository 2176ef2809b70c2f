//! Whom the guest can connect to: what the user has chosen, and what that means for an image.

use images::Image;
use serde::{Deserialize, Serialize};

/// What the user has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum NetworkChoice {
    /// As the image needs it.
    #[default]
    ByImage,
    /// Nobody.
    Closed,
    /// Everybody.
    Open,
}

impl NetworkChoice {
    /// What users write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ByImage => "by-image",
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }

    /// What a user wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ByImage, Self::Closed, Self::Open]
            .into_iter()
            .find(|one| one.name() == name)
    }

    /// The network of a machine with `image`.
    pub(crate) fn for_image(self, image: &Image) -> GuestNetwork {
        let open = match self {
            Self::Closed => false,
            Self::Open => true,
            Self::ByImage => image.needs_outside(),
        };
        if open {
            GuestNetwork::Open
        } else {
            GuestNetwork::Closed
        }
    }
}

/// Whom a guest can connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum GuestNetwork {
    /// Nobody: it answers those who come by a forwarded port.
    Closed,
    /// Everybody whom the host can, and servers on the host's own 127.0.0.1.
    Open,
}
