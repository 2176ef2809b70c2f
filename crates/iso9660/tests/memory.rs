//! Writing 2 GiB takes no more memory than writing a little. Alone in its
//! binary, since it looks at the peak of the whole process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{self, Read, Write};

use iso9660::{Source, Timestamp, Volume};

const PAYLOAD: u64 = 2 << 30;
/// Above the few MiB a test binary starts with, far below the payload.
const PEAK_KIB: u64 = 32 * 1024;
/// Prime, so that no power of two that goes amiss looks right by chance.
const PERIOD: usize = 1_000_003;

fn pattern() -> Vec<u8> {
    (0..PERIOD)
        .map(|n| u8::try_from(n * 31 % 251).unwrap())
        .collect()
}

/// The pattern, over and over, made while it is read.
struct Generated {
    pattern: Vec<u8>,
}

struct Reader<'a> {
    pattern: &'a [u8],
    at: usize,
    left: u64,
}

impl Source for Generated {
    fn size(&self) -> u64 {
        PAYLOAD
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Reader {
            pattern: &self.pattern,
            at: 0,
            left: PAYLOAD,
        }))
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(PERIOD - self.at);
        let count = most.min(usize::try_from(self.left).unwrap_or(most));
        buffer[..count].copy_from_slice(&self.pattern[self.at..][..count]);
        self.at = (self.at + count) % PERIOD;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Compares what arrives after `head` bytes with the pattern and keeps nothing.
struct Comparing {
    pattern: Vec<u8>,
    head: u64,
    at: usize,
    total: u64,
}

impl Write for Comparing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = usize::try_from(self.head.saturating_sub(self.total))
            .unwrap()
            .min(bytes.len());
        let mut rest = &bytes[skipped..];
        while !rest.is_empty() {
            let count = rest.len().min(PERIOD - self.at);
            let same = rest[..count] == self.pattern[self.at..][..count];
            assert!(same, "content differs near byte {}", self.total);
            self.at = (self.at + count) % PERIOD;
            rest = &rest[count..];
        }
        self.total += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn two_gib_stream_through_a_few_mib() {
    let mut volume = Volume::new("STACKBUNDLE", Timestamp::UNIX_EPOCH).unwrap();
    let generated = Generated { pattern: pattern() };
    volume.add_file("payload.tar", generated).unwrap();
    let len = volume.image_len().unwrap();
    let mut sink = Comparing {
        pattern: pattern(),
        // The one file is a whole number of sectors and ends the image.
        head: len - PAYLOAD,
        at: 0,
        total: 0,
    };
    assert_eq!(volume.write_to(&mut sink).unwrap(), len);
    assert_eq!(sink.total, len);

    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse().ok())
        .unwrap();
    println!("peak of the process: {peak} KiB");
    assert!(peak < PEAK_KIB, "{peak} KiB at the peak");
}
