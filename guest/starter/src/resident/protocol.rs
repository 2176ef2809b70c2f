//! The requests of the host, read from a stream of bytes without holding more than one of them.

use zeroize::{Zeroize as _, Zeroizing};

use super::Seed;
use crate::{
    rotation::{InputError, parse_input},
    secrets::Secrets,
};

/// The longest line, and the longest block of a rotation, in bytes.
const MAX: usize = 2048;
/// The longest word of a `hello`, in bytes.
const MAX_WORD: usize = 64;

/// Something that the host wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Say the word and the time.
    Hello(String),
    /// Renew the kernel's random generator.
    Reseed(Seed),
    /// Move the clock by nanoseconds.
    Shift(i64),
    /// Replace the secrets.
    Rotate(Box<Secrets>),
    /// Take another port of the host for that of a service.
    Port {
        /// The service's identifier: lower-case letters, digits and `-`.
        service: String,
        /// Where the host has it now.
        port: u16,
    },
    /// Bring the file systems to the disk.
    Sync,
}

/// Why a request makes no sense. Nothing of what was sent is repeated: it may be a key.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No such request.
    #[error("the request is none of hello, reseed, shift, port, rotate and sync")]
    Unknown,
    /// A line or a rotation is longer than any is.
    #[error("the request is longer than {MAX} bytes")]
    TooLong,
    /// The word after `hello` is no word.
    #[error("hello takes a word of 1 to {MAX_WORD} letters and digits")]
    Word,
    /// What follows `reseed` is no seed.
    #[error("reseed takes 64 hexadecimal digits")]
    Seed,
    /// What follows `shift` is no number.
    #[error("shift takes a whole number of nanoseconds")]
    Number,
    /// What follows `port` is no service and port.
    #[error("port takes a service and a number from 1 to 65535")]
    Port,
    /// The lines between `rotate` and `end` are no rotation.
    #[error("the secrets are refused")]
    Rotation(#[from] InputError),
}

/// What came so far of the request under way.
#[derive(Debug, Default)]
pub struct Input {
    /// A line without its end.
    line: Vec<u8>,
    /// The rest of the line is of no use.
    skipping: bool,
    /// The lines since `rotate`.
    block: Option<Vec<u8>>,
}

impl Input {
    /// Forgets what is unfinished.
    pub fn reset(&mut self) {
        self.line.zeroize();
        self.skipping = false;
        self.drop_block();
    }

    /// Takes bytes off the front of `bytes` until a request is complete; `None` when all were taken.
    pub fn next_request(&mut self, bytes: &mut &[u8]) -> Option<Result<Request, RequestError>> {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            *bytes = rest.get(1..).unwrap_or_default();
            if !self.skipping {
                // Growing would leave copies of keys behind.
                self.line.reserve_exact(MAX.saturating_sub(self.line.len()));
                if self.line.len() + piece.len() > MAX {
                    self.reset();
                    self.skipping = true;
                } else {
                    self.line.extend_from_slice(piece);
                }
            }
            end?;
            if std::mem::take(&mut self.skipping) {
                return Some(Err(RequestError::TooLong));
            }
            let line = Zeroizing::new(std::mem::take(&mut self.line));
            if let Some(request) = self.take_line(&line) {
                return Some(request);
            }
        }
        None
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Result<Request, RequestError>> {
        // First of all: whatever is under way, a new host begins here.
        if let Some(word) = line.strip_prefix(b"hello ") {
            self.drop_block();
            return Some(hello(word));
        }
        if let Some(block) = &mut self.block {
            if line == b"end" {
                let block = Zeroizing::new(std::mem::take(block));
                self.block = None;
                return Some(
                    parse_input(&block)
                        .map(|new| Request::Rotate(Box::new(new)))
                        .map_err(Into::into),
                );
            }
            if block.len() + line.len() + 1 > MAX {
                self.drop_block();
                return Some(Err(RequestError::TooLong));
            }
            block.extend_from_slice(line);
            block.push(b'\n');
            return None;
        }
        match line {
            b"" => None,
            b"rotate" => {
                self.block = Some(Vec::with_capacity(MAX));
                None
            }
            b"sync" => Some(Ok(Request::Sync)),
            _ => Some(if let Some(number) = line.strip_prefix(b"shift ") {
                std::str::from_utf8(number)
                    .ok()
                    .and_then(|number| number.parse().ok())
                    .map(Request::Shift)
                    .ok_or(RequestError::Number)
            } else if let Some(seed) = line.strip_prefix(b"reseed ") {
                Seed::from_hex(seed)
                    .map(Request::Reseed)
                    .ok_or(RequestError::Seed)
            } else if let Some(moved) = line.strip_prefix(b"port ") {
                moved_port(moved).ok_or(RequestError::Port)
            } else {
                Err(RequestError::Unknown)
            }),
        }
    }

    fn drop_block(&mut self) {
        if let Some(mut block) = self.block.take() {
            block.zeroize();
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.reset();
    }
}

fn hello(word: &[u8]) -> Result<Request, RequestError> {
    let fits = (1..=MAX_WORD).contains(&word.len()) && word.iter().all(u8::is_ascii_alphanumeric);
    match std::str::from_utf8(word) {
        Ok(word) if fits => Ok(Request::Hello(word.to_owned())),
        _ => Err(RequestError::Word),
    }
}

fn moved_port(text: &[u8]) -> Option<Request> {
    let (service, port) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    // It becomes the name of a file.
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=MAX_WORD).contains(&service.len()) && service.bytes().all(plain);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    fits.then(|| Request::Port {
        service: service.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secrets::{CRON, PCK, SAK, SSK};

    fn requests(mut bytes: &[u8]) -> Vec<Result<Request, String>> {
        let mut input = Input::default();
        let mut all = Vec::new();
        while let Some(request) = input.next_request(&mut bytes) {
            all.push(request.map_err(|error| error.to_string()));
        }
        all
    }

    fn rotation() -> String {
        let lines = [PCK, SSK, SAK, CRON].map(|name| format!("{name}={}\n", "5".repeat(64)));
        format!("rotate\n{}end\n", lines.concat())
    }

    #[test]
    fn each_request_is_understood() {
        let text = format!(
            "\nhello a1\nshift -5\nsync\nport mock-oauth 26724\n{}",
            rotation()
        );
        let all = requests(text.as_bytes());
        assert_eq!(
            all[..4],
            [
                Ok(Request::Hello("a1".into())),
                Ok(Request::Shift(-5)),
                Ok(Request::Sync),
                Ok(Request::Port {
                    service: "mock-oauth".into(),
                    port: 26724
                })
            ]
        );
        assert!(matches!(all[4], Ok(Request::Rotate(_))), "{all:?}");
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_seed_comes_behind_the_greeting() {
        let all = requests(format!("hello a\nreseed {}\nreseed 5\n", "5a".repeat(32)).as_bytes());
        assert!(matches!(all[1], Ok(Request::Reseed(_))), "{all:?}");
        let error = all[2].as_ref().unwrap_err();
        assert!(error.starts_with("reseed takes 64"), "{error}");
    }

    #[test]
    fn a_port_is_of_a_service_and_in_range() {
        for wrong in [
            "backend",
            "backend 0",
            "backend 65536",
            "../x 1",
            " 1",
            "a.b 1",
        ] {
            let all = requests(format!("port {wrong}\n").as_bytes());
            let error = all[0].as_ref().unwrap_err();
            assert!(error.starts_with("port takes"), "{wrong}: {error}");
        }
    }

    #[test]
    fn hello_begins_anew_in_the_middle_of_a_rotation() {
        let text = rotation();
        let cut = &text[..text.len() - 10];
        // The cut is inside a line, whose rest is the hello: the host sends an empty line first.
        let all = requests(format!("{cut}\nhello b\nsync\n").as_bytes());
        assert_eq!(all, [Ok(Request::Hello("b".into())), Ok(Request::Sync)]);
    }

    #[test]
    fn faults_are_named_without_repeating_what_came() {
        let key = "7".repeat(64);
        for text in [
            format!("{key}\n"),
            format!("shift {key}\n"),
            format!("reseed {key}7\n"),
            format!("hello {key}{key}\n"),
            format!("rotate\n{PCK}={key}\nend\n"),
            format!("rotate\n{}\nend\n", key.repeat(3)),
            format!("{}\n", key.repeat(100)),
            format!("rotate\n{}", format!("{key}\n").repeat(100)),
        ] {
            let all = requests(text.as_bytes());
            let first = all[0].as_ref().unwrap_err();
            assert!(!first.contains("7777"), "{first}");
        }
    }

    #[test]
    fn an_endless_line_is_refused_once_and_the_next_one_taken() {
        let mut input = Input::default();
        for _ in 0..100 {
            let mut bytes: &[u8] = &[b'x'; 500];
            assert!(input.next_request(&mut bytes).is_none());
            assert!(input.line.len() <= MAX);
        }
        let mut bytes: &[u8] = b"\nsync\n";
        let refused = input.next_request(&mut bytes).unwrap();
        assert!(matches!(refused, Err(RequestError::TooLong)));
        assert_eq!(
            input.next_request(&mut bytes).unwrap().unwrap(),
            Request::Sync
        );
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(cuts in proptest::collection::vec(1_usize..60, 1..40)) {
            let text = format!("hello a\n{}shift 1\nsync\n", rotation());
            let mut input = Input::default();
            let (mut left, mut all) = (text.as_bytes(), Vec::new());
            for cut in cuts.into_iter().cycle() {
                if left.is_empty() {
                    break;
                }
                let (mut piece, rest) = left.split_at(cut.min(left.len()));
                left = rest;
                while let Some(request) = input.next_request(&mut piece) {
                    all.push(request.unwrap());
                }
            }
            let whole: Vec<_> = requests(text.as_bytes()).into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(all, whole);
        }

        #[test]
        fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let _ = requests(&bytes);
            let mut input = Input::default();
            let mut rest = &bytes[..];
            while input.next_request(&mut rest).is_some() {}
            prop_assert!(rest.is_empty());
            prop_assert!(input.line.len() <= MAX);
        }
    }
}
