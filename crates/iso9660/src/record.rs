//! The fixed structures of ECMA-119, byte for byte. Offsets in its text count
//! from 1; here they count from 0.

use crate::SECTOR;
use crate::error::Error;
use crate::label::Label;
use crate::layout::{DirectoryTree, Extent};
use crate::name;
use crate::time::{self, Timestamp};

/// ECMA-119 9.1: bytes of a directory record before its identifier.
pub(crate) const RECORD_HEAD_BYTES: usize = 33;
/// ECMA-119 9.4: bytes of a path table record before its identifier.
const PATH_TABLE_HEAD_BYTES: usize = 8;
/// ECMA-119 6.8.2.2: the identifiers for a folder itself and for its parent.
/// Joliet keeps them one byte wide.
pub(crate) const SELF_IDENTIFIER: &[u8] = &[0];
pub(crate) const PARENT_IDENTIFIER: &[u8] = &[1];

/// ECMA-119 9.1.6: the file flags of a folder; a file has none.
const FLAG_DIRECTORY: u8 = 0b10;
/// This volume is the first of a set of one.
const VOLUME_SEQUENCE: u16 = 1;
/// ECMA-119 6.2.2: a logical block is a sector here.
const LOGICAL_BLOCK: u16 = 2048;
const _: () = assert!(LOGICAL_BLOCK as usize == SECTOR);

/// Bytes of a directory record, padded to an even number.
pub(crate) fn directory_record_bytes(identifier: usize) -> u64 {
    (RECORD_HEAD_BYTES + identifier).next_multiple_of(2) as u64
}

/// Bytes of a path table record, padded to an even number.
pub(crate) fn path_table_record_bytes(identifier: usize) -> u64 {
    (PATH_TABLE_HEAD_BYTES + identifier).next_multiple_of(2) as u64
}

/// ECMA-119 7.3.3: least significant byte first, then most significant first.
fn both_endian_32(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// ECMA-119 7.2.3.
fn both_endian_16(value: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&value.to_le_bytes());
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// What a directory record points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
}

/// ECMA-119 9.1. The identifier has at most 210 bytes: names are checked when
/// they are added.
pub(crate) fn directory_record(
    identifier: &[u8],
    kind: Kind,
    extent: Extent,
    time: Timestamp,
) -> Vec<u8> {
    let length = (RECORD_HEAD_BYTES + identifier.len()).next_multiple_of(2);
    let mut record = Vec::with_capacity(length);
    record.push(one_byte(length));
    record.push(0); // no extended attribute record
    record.extend(both_endian_32(extent.sector));
    record.extend(both_endian_32(extent.bytes));
    record.extend(time.record_form());
    record.push(match kind {
        Kind::File => 0,
        Kind::Folder => FLAG_DIRECTORY,
    });
    record.extend([0, 0]); // not interleaved
    record.extend(both_endian_16(VOLUME_SEQUENCE));
    record.push(one_byte(identifier.len()));
    record.extend(identifier);
    record.resize(length, 0);
    record
}

fn one_byte(length: usize) -> u8 {
    debug_assert!(length <= u8::MAX.into());
    u8::try_from(length).unwrap_or(u8::MAX)
}

/// Byte order of a path table: L is least significant byte first, M most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// ECMA-119 9.4, for all folders of a tree.
pub(crate) fn path_table(tree: &DirectoryTree, endian: Endian) -> Result<Vec<u8>, Error> {
    let mut table = Vec::new();
    for directory in &tree.directories {
        // Folders count from 1. The tree admits no more than 65535 of them.
        let parent = u16::try_from(directory.parent + 1).map_err(|_| Error::VolumeTooLarge)?;
        table.push(one_byte(directory.identifier.len()));
        table.push(0); // no extended attribute record
        match endian {
            Endian::Little => {
                table.extend(directory.extent.sector.to_le_bytes());
                table.extend(parent.to_le_bytes());
            }
            Endian::Big => {
                table.extend(directory.extent.sector.to_be_bytes());
                table.extend(parent.to_be_bytes());
            }
        }
        table.extend(&directory.identifier);
        table.resize(table.len().next_multiple_of(2), 0);
    }
    Ok(table)
}

/// Which of the two volume descriptors, and so how text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// ECMA-119 8.4: the primary descriptor, in ASCII.
    Primary,
    /// ECMA-119 8.5 and Joliet: the supplementary descriptor, in UCS-2.
    Joliet,
}

impl Charset {
    /// A field of `size` bytes, filled up with spaces; an odd last byte of
    /// UCS-2 stays zero.
    fn text(self, text: &str, size: usize) -> Vec<u8> {
        let mut field = match self {
            Self::Primary => text.as_bytes().to_vec(),
            Self::Joliet => name::ucs2(text),
        };
        while field.len() < size {
            match self {
                Self::Primary => field.push(b' '),
                Self::Joliet => field.extend([0, b' ']),
            }
        }
        if field.len() > size {
            field.truncate(size - 1);
            field.push(0);
        }
        field
    }
}

/// ECMA-119 8.4 or 8.5, one sector.
pub(crate) fn volume_descriptor(
    charset: Charset,
    label: &Label,
    time: Timestamp,
    tree: &DirectoryTree,
    sectors: u32,
) -> Vec<u8> {
    let mut descriptor = descriptor_head(match charset {
        Charset::Primary => 1,
        Charset::Joliet => 2,
    });
    let mut add = |field: &[u8]| descriptor.extend(field);
    add(&[0]); // volume flags: the escape sequence below is a registered one
    add(&charset.text("", 32)); // system identifier
    add(&charset.text(label.as_str(), 32));
    add(&[0; 8]);
    add(&both_endian_32(sectors));
    let mut escape_sequences = [0; 32];
    if charset == Charset::Joliet {
        // UCS-2 level 3: combining characters are allowed.
        escape_sequences[..3].copy_from_slice(b"%/E");
    }
    add(&escape_sequences);
    add(&both_endian_16(1)); // volumes in the set
    add(&both_endian_16(VOLUME_SEQUENCE));
    add(&both_endian_16(LOGICAL_BLOCK));
    add(&both_endian_32(tree.path_table_l.bytes));
    add(&tree.path_table_l.sector.to_le_bytes());
    add(&[0; 4]); // no second copy
    add(&tree.path_table_m.sector.to_be_bytes());
    add(&[0; 4]); // no second copy
    let root = tree.root();
    add(&directory_record(
        &root.identifier,
        Kind::Folder,
        root.extent,
        time,
    ));
    // Volume set, publisher, data preparer and application identifiers.
    for _ in 0..4 {
        add(&charset.text("", 128));
    }
    // Copyright, abstract and bibliographic file identifiers.
    for _ in 0..3 {
        add(&charset.text("", 37));
    }
    add(&time.descriptor_form()); // creation
    add(&time.descriptor_form()); // modification
    add(&time::UNSPECIFIED); // expiration
    add(&time::UNSPECIFIED); // effective
    add(&[1]); // file structure version
    sector(descriptor)
}

/// ECMA-119 8.3, one sector.
pub(crate) fn descriptor_set_terminator() -> Vec<u8> {
    sector(descriptor_head(255))
}

fn descriptor_head(kind: u8) -> Vec<u8> {
    let mut head = vec![kind];
    head.extend(b"CD001");
    head.push(1); // descriptor version
    head
}

fn sector(mut bytes: Vec<u8>) -> Vec<u8> {
    debug_assert!(bytes.len() <= SECTOR);
    bytes.resize(SECTOR, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_recorded_in_both_byte_orders() {
        assert_eq!(both_endian_16(0x1234), [0x34, 0x12, 0x12, 0x34]);
        assert_eq!(
            both_endian_32(0x1234_5678),
            [0x78, 0x56, 0x34, 0x12, 0x12, 0x34, 0x56, 0x78]
        );
    }

    #[test]
    fn records_have_even_lengths() {
        let extent = Extent {
            sector: 30,
            bytes: 5,
        };
        for identifier in [&b"A.;1"[..], b"AB.;1"] {
            let record = directory_record(identifier, Kind::File, extent, Timestamp::UNIX_EPOCH);
            assert_eq!(record.len() % 2, 0);
            assert_eq!(usize::from(record[0]), record.len());
            assert_eq!(
                record.len() as u64,
                directory_record_bytes(identifier.len())
            );
            assert_eq!(&record[33..33 + identifier.len()], identifier);
        }
    }

    #[test]
    fn text_fields_are_filled_with_spaces_in_their_own_encoding() {
        assert_eq!(Charset::Primary.text("AB", 4), b"AB  ");
        assert_eq!(Charset::Joliet.text("A", 4), [0, b'A', 0, b' ']);
        assert_eq!(Charset::Joliet.text("", 5), [0, b' ', 0, b' ', 0]);
    }
}
