//! QEMU's version number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A QEMU release, ordered as released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// First number: once a year.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number; from 50 on it is a development build of the next minor release.
    pub micro: u32,
}

impl Version {
    /// `major.minor.micro`.
    pub const fn new(major: u32, minor: u32, micro: u32) -> Self {
        Self {
            major,
            minor,
            micro,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}
