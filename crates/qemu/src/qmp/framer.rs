//! Cuts a byte stream into lines without ever holding more than a fixed number of bytes.
//!
//! QMP and the guest agent both speak JSON values separated by newlines. The peer of the guest
//! agent is the guest, which may send anything at any length, so a line that grows past the limit
//! is reported once and its remaining bytes are dropped as they arrive; the stream stays usable
//! from the next newline on.
//!
//! The guest agent adds one byte of its own: `guest-sync-delimited` answers with `0xFF` in front,
//! a byte no UTF-8 text can hold. Everything received before it belongs to an earlier conversation,
//! including an unfinished line. [`LineFramer::with_sentinel`] turns that byte into a frame.

/// The byte `guest-sync-delimited` puts in front of its answer.
pub const SENTINEL: u8 = 0xff;

/// One thing found in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A line without its newline (and without a carriage return before it). Never empty.
    Line(Vec<u8>),
    /// A line passed the limit; its bytes up to the next newline are dropped.
    TooLong,
    /// The sentinel byte arrived; whatever was unfinished before it has been dropped.
    Sentinel,
}

/// Line splitter with a bounded buffer. See the module text.
#[derive(Debug)]
pub struct LineFramer {
    partial: Vec<u8>,
    limit: usize,
    sentinel: bool,
    discarding: bool,
}

impl LineFramer {
    /// A framer for lines of at most `limit` bytes, newline not counted.
    pub fn new(limit: usize) -> Self {
        Self {
            partial: Vec::new(),
            limit,
            sentinel: false,
            discarding: false,
        }
    }

    /// The same, and `0xFF` is reported as [`Frame::Sentinel`] instead of being part of a line.
    pub fn with_sentinel(limit: usize) -> Self {
        Self {
            sentinel: true,
            ..Self::new(limit)
        }
    }

    /// Changes the limit for what is read from now on, an unfinished line included.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes held for an unfinished line; never more than the limit.
    pub fn buffered(&self) -> usize {
        self.partial.len()
    }

    /// True in the middle of a line, be it kept or dropped.
    pub fn in_line(&self) -> bool {
        self.discarding || !self.partial.is_empty()
    }

    /// Takes bytes off the front of `input` until a frame is complete or `input` is empty.
    ///
    /// Call again with the rest until it returns `None`; then everything was taken.
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Option<Frame> {
        while !input.is_empty() {
            let stop = input
                .iter()
                .position(|&byte| byte == b'\n' || (self.sentinel && byte == SENTINEL));
            let body = &input[..stop.unwrap_or(input.len())];

            if !self.discarding && self.partial.len() + body.len() > self.limit {
                // Report before the rest is consumed: the caller learns of it now, not at a
                // newline that may never come.
                self.partial = Vec::new();
                self.discarding = true;
                *input = &input[body.len()..];
                return Some(Frame::TooLong);
            }
            if !self.discarding {
                self.partial.extend_from_slice(body);
            }
            let Some(stop) = stop else {
                *input = &[];
                return None;
            };
            let delimiter = input[stop];
            *input = &input[stop + 1..];
            let discarded = std::mem::take(&mut self.discarding);
            let mut line = std::mem::take(&mut self.partial);
            if delimiter == SENTINEL {
                return Some(Frame::Sentinel);
            }
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !discarded && !line.is_empty() {
                return Some(Frame::Line(line));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(framer: &mut LineFramer, chunks: &[&[u8]]) -> Vec<Frame> {
        let mut found = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some(frame) = framer.next_frame(&mut rest) {
                found.push(frame);
            }
            assert!(rest.is_empty());
        }
        found
    }

    fn line(text: &str) -> Frame {
        Frame::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn splits_lines_across_chunks_and_skips_empty_ones() {
        let mut framer = LineFramer::new(100);
        let found = frames(&mut framer, &[b"{\"a\"", b":1}\r\n\r\n\n{}", b"\nrest"]);
        assert_eq!(found, [line("{\"a\":1}"), line("{}")]);
        assert!(framer.in_line());
    }

    #[test]
    fn a_long_line_is_reported_once_and_the_next_one_is_read() {
        let mut framer = LineFramer::new(4);
        let found = frames(&mut framer, &[b"12345", b"6789", b"0\nabcd\n"]);
        assert_eq!(found, [Frame::TooLong, line("abcd")]);
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        let mut framer = LineFramer::new(4);
        assert_eq!(frames(&mut framer, &[b"1234\n"]), [line("1234")]);
    }

    #[test]
    fn the_sentinel_drops_what_was_unfinished() {
        let mut framer = LineFramer::with_sentinel(8);
        let found = frames(
            &mut framer,
            &[b"garbage\xff{}\n", b"far too long a line", b"\xff[]\n"],
        );
        let expected = [
            Frame::Sentinel,
            line("{}"),
            Frame::TooLong,
            Frame::Sentinel,
            line("[]"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn without_sentinel_the_byte_is_part_of_the_line() {
        let mut framer = LineFramer::new(8);
        assert_eq!(
            frames(&mut framer, &[b"a\xffb\n"]),
            [Frame::Line(b"a\xffb".to_vec())]
        );
    }

    /// The obvious, unbounded way to say what the framer should find.
    fn reference(bytes: &[u8], limit: usize, sentinel: bool) -> Vec<Frame> {
        let mut found = Vec::new();
        let mut partial: Vec<u8> = Vec::new();
        let mut finish = |partial: &mut Vec<u8>, delimiter: Option<u8>| {
            if partial.len() > limit {
                found.push(Frame::TooLong);
            } else if delimiter == Some(b'\n') {
                let mut text = partial.clone();
                if text.last() == Some(&b'\r') {
                    text.pop();
                }
                if !text.is_empty() {
                    found.push(Frame::Line(text));
                }
            }
            if delimiter == Some(SENTINEL) {
                found.push(Frame::Sentinel);
            }
            partial.clear();
        };
        for &byte in bytes {
            if byte == b'\n' || (sentinel && byte == SENTINEL) {
                finish(&mut partial, Some(byte));
            } else {
                partial.push(byte);
            }
        }
        finish(&mut partial, None);
        found
    }

    proptest! {
        #[test]
        fn any_stream_in_any_chunks_gives_the_same_frames(
            bytes in prop::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(SENTINEL), Just(b'{'), any::<u8>()],
                0..300,
            ),
            cuts in prop::collection::vec(1usize..40, 1..60),
            limit in 0usize..40,
            sentinel in any::<bool>(),
        ) {
            let mut framer = if sentinel { LineFramer::with_sentinel(limit) } else { LineFramer::new(limit) };
            let mut found = Vec::new();
            let mut rest = &bytes[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let cut = (*cuts.next().unwrap()).min(rest.len());
                let (mut chunk, later) = rest.split_at(cut);
                while let Some(frame) = framer.next_frame(&mut chunk) {
                    found.push(frame);
                }
                prop_assert!(framer.buffered() <= limit);
                rest = later;
            }
            prop_assert_eq!(found, reference(&bytes, limit, sentinel));
        }
    }
}
