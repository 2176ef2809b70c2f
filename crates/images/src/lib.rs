//! Guest images on disk.
//!
//! An image is a qcow2 file, `stack-emulator-<arch>.qcow2`, with an optional
//! manifest beside it. Before QEMU is allowed to open one, [`Image::open`]
//! reads its header ([`qcow2`]) and refuses whatever could make QEMU open
//! another file of the host. The manifest ([`manifest`]) says which services
//! run inside and on which ports; without one, the table of the published
//! images holds.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod digest;
mod image;
pub mod manifest;
pub mod qcow2;
mod stamp;

pub use digest::{Sha256Digest, sha256_file};
pub use image::{Image, ImageError};
pub use stamp::FileStamp;
