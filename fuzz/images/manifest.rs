//! Reads arbitrary bytes as a manifest: what is accepted can be used.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| images::fuzzing::manifest(bytes));
