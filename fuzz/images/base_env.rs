//! Makes `base.env` of two arbitrary files: what comes out has one setting a line.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|files: (&[u8], &[u8])| images::fuzzing::base_env(files.0, files.1));
