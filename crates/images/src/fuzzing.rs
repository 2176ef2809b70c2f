//! Entry points for the fuzz targets in `fuzz/images`, which reach what
//! is not public. Not for use by anybody else.

use std::path::Path;

use crate::artifact::{Expected, unpack_bytes};
use crate::base_env::compose;
use crate::github;
use crate::manifest::Manifest;

/// Unpacks `bytes` as an artifact: never more than the limits allow.
pub fn artifact(bytes: &[u8]) {
    const LIMIT: u64 = 1 << 20;
    let expected = ["disk.qcow2", "disk.json"].map(|name| Expected {
        name: name.to_owned(),
        limit: LIMIT,
    });
    if let Ok(bytes) = unpack_bytes(bytes, &expected) {
        assert!(bytes <= 2 * LIMIT, "{bytes} bytes came out");
    }
}

/// Makes settings of two files: every line is a setting.
pub fn base_env(backend: &[u8], dashboard: &[u8]) {
    if let Ok(made) = compose(backend, dashboard) {
        for line in made.text.lines() {
            assert!(
                line.split_once('=')
                    .is_some_and(|(name, _)| !name.is_empty()),
                "{line:?}"
            );
        }
        assert!(!made.text.contains('\0'));
    }
}

/// Reads `bytes` as each of GitHub's answers.
pub fn answers(bytes: &[u8]) {
    github::read_any_answer(bytes);
}

/// Reads `bytes` as a manifest: one that is accepted has ports for its services.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(Path::new("fuzz.json"), bytes) {
        assert_eq!(manifest.problem(), None);
        for service in &manifest.services {
            assert!(
                service.resolve_guest_port(81, service.host_port).is_some(),
                "{service:?}"
            );
        }
    }
}
