//! Entry points for the fuzz targets in `fuzz/emulator`, which reach
//! what is not public. Not for use by anybody else.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::format::{CHECKSUM, Chain, End, FILES, Header, Mark, bound};
use super::job::Job;
use super::read::{Archive, Target};
use crate::machine::run_record::RunRecord;
use crate::state::instance_record::InstanceRecord;
use crate::state::session::{SavedRecord, SessionRecord};
use crate::state::snapshot::SnapshotManifest;
use record::{self, Record};

/// Restores `bytes` as an archive, `file` giving the empty files for it.
///
/// Holds that whatever succeeds leaves files of the lengths that the header
/// gives, and that no more was decompressed than was announced.
pub fn archive(bytes: &[u8], file: impl Fn() -> File) {
    let path = Path::new("fuzz");
    let source = file();
    let written = source.write_all_at(bytes, 0);
    let Ok(archive) = written
        .map_err(drop)
        .and_then(|()| Archive::open(source, path).map_err(drop))
    else {
        return;
    };
    // The file system's limits are not what is looked for.
    if archive.lengths.iter().sum::<u64>() > 1 << 32 {
        return;
    }
    let targets: [Target; FILES.len()] = std::array::from_fn(|_| Target {
        path: PathBuf::from("fuzz"),
        file: file(),
    });
    if archive.unpack(&targets, &Job::unwatched()).is_ok() {
        for (target, length) in targets.iter().zip(archive.lengths) {
            let meta = target.file.metadata();
            assert!(meta.is_ok_and(|meta| meta.len() == length));
        }
    }
}

/// An archive around frames of any `contents`, with marks, checksums and an
/// end that are in order, so that what is inside is reached.
pub fn wrap(lengths: [u64; 4], contents: &[Vec<u8>], extents: u64, data_bytes: u64) -> Vec<u8> {
    let header = Header::new(String::new(), lengths).encode();
    let mut archive = Vec::new();
    let mut chain = Chain::default();
    let mut number = 0;
    let mut push = |content: &[u8], chain: &mut Chain| {
        let (mark, compressed) = frame(number, content);
        archive.extend(mark);
        archive.extend(&compressed);
        if let Some(checksum) = compressed.last_chunk::<CHECKSUM>() {
            chain.add(&mark, *checksum);
        }
        number += 1;
    };
    push(&header.unwrap_or_default(), &mut chain);
    for content in contents {
        push(content, &mut chain);
    }
    let end = End {
        frames: u32::try_from(contents.len())
            .unwrap_or(u32::MAX)
            .saturating_add(2),
        extents,
        data_bytes,
        sum: chain.sum(),
    };
    push(&end.encode(), &mut chain);
    archive
}

/// One frame and its mark.
pub(super) fn frame(number: u32, content: &[u8]) -> ([u8; super::format::MARK], Vec<u8>) {
    let mut compressed = Vec::with_capacity(bound(content.len()));
    let compress = || -> std::io::Result<zstd::bulk::Compressor<'_>> {
        let mut context = zstd::bulk::Compressor::new(1)?;
        context.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
        Ok(context)
    };
    // Without memory nothing is compressed, and the reader refuses that too.
    if let Ok(mut context) = compress() {
        drop(context.compress_to_buffer(content, &mut compressed));
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mark = Mark {
        number,
        compressed: length(&compressed),
        raw: length(content),
    };
    (mark.encode(), compressed)
}

/// Reads `text` as each kind of record.
pub fn records(text: &[u8]) {
    let path = Path::new("fuzz");
    drop(record::parse::<SnapshotManifest>(path, text));
    drop(record::parse::<SessionRecord>(path, text));
    drop(record::parse::<SavedRecord>(path, text));
    drop(record::parse::<RunRecord>(path, text));
    drop(record::parse::<InstanceRecord>(path, text));
}

/// Reads `body` as the body of each kind of record, under a seal that fits.
pub fn sealed_records(body: &[u8]) {
    sealed_record::<SnapshotManifest>(body);
    sealed_record::<SessionRecord>(body);
    sealed_record::<SavedRecord>(body);
    sealed_record::<RunRecord>(body);
    sealed_record::<InstanceRecord>(body);
}

fn sealed_record<R: Record>(body: &[u8]) {
    let (format, version) = (R::FORMAT, R::VERSION);
    let digest = blake3::hash(body).to_hex();
    let head = format!(r#"{{"format":"{format}","version":{version},"blake3":"{digest}","body":"#);
    let text = [head.as_bytes(), body, b"}"].concat();
    drop(record::parse::<R>(Path::new("fuzz"), &text));
}
