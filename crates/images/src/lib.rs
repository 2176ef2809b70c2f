//! Guest images: where they come from, and what they are on disk.
//!
//! [`source`] turns what a user asks for (a release, a pull request's build, a
//! workflow run, a file) into the one file that is meant, with the help of
//! [`github`]; [`fetch`] brings it here: [`download`] resumes and verifies,
//! [`artifact`] unpacks what workflows leave, [`base_env`] makes the settings
//! that published images want. Futures are cancelled by dropping them, and what
//! is on disk by then is continued the next time.
//!
//! An image is a qcow2 file, `stack-emulator-<arch>.qcow2`, with an optional
//! manifest beside it. Before QEMU is allowed to open one, [`Image::open`]
//! reads its header ([`qcow2`]) and refuses whatever could make QEMU open
//! another file of the host. The manifest ([`manifest`]) says which services
//! run inside and on which ports; without one, the table of the published
//! images holds.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod age;
pub mod artifact;
pub mod base_env;
mod claim;
mod digest;
pub mod download;
pub mod fetch;
#[doc(hidden)]
pub mod fuzzing;
pub mod github;
pub mod http;
mod image;
pub mod manifest;
mod pull;
pub mod qcow2;
pub mod source;
mod space;
pub mod store;
mod token;

pub use digest::{Sha256Digest, sha256_file};
pub use host::FileStamp;
pub use image::{Image, ImageError};
pub use pull::PullError;
pub use token::Token;
pub use url::Url;
