//! Reads arbitrary text as records: as it is, and as a body under a seal that
//! is in order, since no fuzzer guesses digests.

#![no_main]

use emulator::archive::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    fuzzing::records(text);
    fuzzing::sealed_records(text);
});
