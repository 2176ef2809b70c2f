//! Operations on images: what can be pulled, pulling it, what is installed, and making room. And whether there is a newer
//! release of this program, which is asked at the same place.

pub(crate) mod error;
pub mod installed;
pub mod offers;
pub mod prune;
pub mod pull;
pub(crate) mod set_up;
pub mod token;
pub mod updates;
