//! Reads arbitrary bytes as a qcow2 header, as they are and behind the magic
//! number and version, since no fuzzer should spend its time on those.

#![no_main]

use images::qcow2::Header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(Header::parse(bytes));
    for version in [2u8, 3] {
        let mut image = vec![b'Q', b'F', b'I', 0xfb, 0, 0, 0, version];
        image.extend_from_slice(bytes);
        if let Ok(header) = Header::parse(&image) {
            assert!((9..=21).contains(&header.cluster_bytes.trailing_zeros()));
            // What names another file is a name that was there.
            if let Some(name) = header.backing_file {
                assert!(name.is_empty() || image.windows(name.len()).any(|part| part == name));
            }
        }
    }
});
