//! Restores archives: arbitrary bytes, and arbitrary contents in frames that
//! are in order, since no fuzzer guesses checksums.

#![no_main]

use std::fs::File;

use arbitrary::Arbitrary;
use emulator::archive::fuzzing;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Piece {
    /// An extent, within its file or not.
    Extent {
        file: u8,
        offset: u32,
        bytes: Vec<u8>,
    },
    /// Anything else.
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Frames {
        lengths: [u32; 4],
        frames: Vec<Vec<Piece>>,
        /// Added to the counts that would be right.
        wrong: (u8, u8),
        /// One byte changed afterwards.
        flip: Option<(u32, u8)>,
    },
}

fn memory() -> File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    File::from(rustix::fs::memfd_create("fuzz", flags).expect("memory for a file"))
}

fuzz_target!(|input: Input| {
    let bytes = match input {
        Input::Bytes(bytes) => bytes,
        Input::Frames {
            lengths,
            frames,
            wrong,
            flip,
        } => {
            let (mut extents, mut data) = (0, 0);
            let mut contents = Vec::new();
            for pieces in &frames {
                let mut content = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Bytes(bytes) => content.extend(bytes),
                        Piece::Extent {
                            file,
                            offset,
                            bytes,
                        } => {
                            let length = u32::try_from(bytes.len()).expect("a short input");
                            content.extend([1, file % 5]);
                            content.extend(length.to_le_bytes());
                            content.extend(u64::from(*offset).to_le_bytes());
                            content.extend(bytes);
                            extents += 1;
                            data += u64::from(length);
                        }
                    }
                }
                contents.push(content);
            }
            let mut archive = fuzzing::wrap(
                lengths.map(u64::from),
                &contents,
                extents + u64::from(wrong.0),
                data + u64::from(wrong.1),
            );
            if let Some((place, change)) = flip {
                let place = place as usize % archive.len();
                archive[place] ^= change;
            }
            archive
        }
    };
    fuzzing::archive(&bytes, memory);
});
