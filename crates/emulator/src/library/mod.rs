//! Operations on images: what can be pulled, pulling it, what is installed, and making room.

pub(crate) mod error;
pub mod installed;
pub mod offers;
pub mod prune;
pub mod pull;
pub(crate) mod set_up;
pub mod token;
