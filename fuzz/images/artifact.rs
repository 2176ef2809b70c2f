//! Unpacks arbitrary bytes as an artifact: whatever is in them, no more comes
//! out than is allowed, and it ends.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| images::fuzzing::artifact(bytes));
