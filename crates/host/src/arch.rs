//! Processor architectures, by the names that images carry.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much of an unknown name is kept for the error, in characters.
const NAME_KEPT: usize = 40;

/// A processor architecture that there are images for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

/// A name that is no [`Arch`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{name}`: use `amd64` or `arm64`")]
pub struct UnknownArch {
    /// The name as given, its beginning if it is long.
    pub name: String,
}

impl Arch {
    /// The architecture this program was built for, if there are images for it.
    pub const fn host() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::Amd64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Arm64)
        } else {
            None
        }
    }

    /// `amd64` or `arm64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(name: &str) -> Result<Self, UnknownArch> {
        match name {
            "amd64" => Ok(Self::Amd64),
            "arm64" => Ok(Self::Arm64),
            _ => Err(UnknownArch {
                name: name.chars().take(NAME_KEPT).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_has_one_name() {
        for arch in [Arch::Amd64, Arch::Arm64] {
            assert_eq!(arch.to_string().parse(), Ok(arch));
            let json = serde_json::to_value(arch).unwrap();
            assert_eq!(json, arch.name());
            assert_eq!(serde_json::from_value::<Arch>(json).unwrap(), arch);
        }
        assert!("x86".parse::<Arch>().is_err());
    }
}
