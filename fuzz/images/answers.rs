//! Reads arbitrary bytes as each of GitHub's answers.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| images::fuzzing::answers(bytes));
