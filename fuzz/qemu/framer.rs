//! Cuts arbitrary bytes into lines, in arbitrary chunks, and compares with the
//! plain and unbounded way to do it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qemu::qmp::framer::{Frame, LineFramer, SENTINEL};

#[derive(arbitrary::Arbitrary, Debug)]
struct Input {
    limit: u8,
    sentinel: bool,
    chunks: Vec<Vec<u8>>,
}

fuzz_target!(|input: Input| {
    let limit = usize::from(input.limit);
    let mut framer = if input.sentinel {
        LineFramer::with_sentinel(limit)
    } else {
        LineFramer::new(limit)
    };
    let mut found = Vec::new();
    for chunk in &input.chunks {
        let mut rest = chunk.as_slice();
        while let Some(frame) = framer.next_frame(&mut rest) {
            found.push(frame);
        }
        assert!(rest.is_empty());
        assert!(framer.buffered() <= limit);
    }
    assert_eq!(
        found,
        expected(&input.chunks.concat(), limit, input.sentinel)
    );
});

fn expected(bytes: &[u8], limit: usize, sentinel: bool) -> Vec<Frame> {
    let is_end = |byte: &u8| *byte == b'\n' || (sentinel && *byte == SENTINEL);
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(is_end);
        let body = &rest[..end.unwrap_or(rest.len())];
        let delimiter = end.map(|at| rest[at]);
        rest = end.map_or(&[], |at| &rest[at + 1..]);
        let line = body.strip_suffix(b"\r").unwrap_or(body);
        if body.len() > limit {
            found.push(Frame::TooLong);
        } else if delimiter == Some(b'\n') && !line.is_empty() {
            found.push(Frame::Line(line.to_vec()));
        }
        if sentinel && delimiter == Some(SENTINEL) {
            found.push(Frame::Sentinel);
        }
    }
    found
}
