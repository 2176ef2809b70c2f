//! Reading an archive: one walk over the marks, then every frame on its own.
//!
//! The walk finds truncation, swapped frames and lengths that cannot be before
//! anything is decompressed or written. Then each thread takes the next frame,
//! decompresses it into a buffer of its known length and writes its extents to
//! where they belong.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use zstd::bulk::Decompressor;

use super::error::{ArchiveError, Damage};
use super::format::{
    self, CHECKSUM, Chain, End, FILES, Header, MARK, MAX_FRAMES, MAX_HEADER, Mark, Prelude, VERSION,
};
use super::job::{Job, threads};

/// An archive whose marks, prelude and end are in order.
pub(super) struct Archive {
    file: File,
    path: PathBuf,
    /// Those with extents.
    frames: Vec<Frame>,
    last: Frame,
    end: End,
    pub header: Header,
    /// The lengths of the files, holes included.
    pub lengths: [u64; FILES.len()],
}

/// A file that is restored to.
pub(super) struct Target {
    pub path: PathBuf,
    pub file: File,
}

/// Where a frame is, and what it holds.
#[derive(Clone, Copy)]
struct Frame {
    /// Where its mark begins.
    offset: u64,
    mark: Mark,
}

impl Archive {
    /// Reads what does not need its content: `path` names it in errors.
    pub(super) fn open(file: File, path: &Path) -> Result<Self, ArchiveError> {
        let read = |source| ArchiveError::Read {
            path: path.to_owned(),
            source,
        };
        let length = file.metadata().map_err(read)?.len();
        let mut frames = Vec::new();
        // Of all frames but the last one looked at: the end vouches for those.
        let mut sum = Chain::default().sum();
        let mut chain = Chain::default();
        let mut offset = 0;
        while offset < length {
            let damaged = |damage| ArchiveError::Damaged {
                path: path.to_owned(),
                offset,
                damage,
            };
            let number = u32::try_from(frames.len())
                .ok()
                .filter(|_| frames.len() < MAX_FRAMES)
                .ok_or_else(|| {
                    damaged(Damage::Length {
                        what: "number of frames",
                        length: frames.len() as u64,
                    })
                })?;
            let cut_off = || match number {
                0 => ArchiveError::Foreign {
                    path: path.to_owned(),
                },
                _ => ArchiveError::Truncated {
                    path: path.to_owned(),
                    offset: length,
                },
            };
            if length - offset < MARK as u64 {
                return Err(cut_off());
            }
            let mut bytes = [0; MARK];
            file.read_exact_at(&mut bytes, offset).map_err(read)?;
            let mark = match Mark::decode(&bytes, number) {
                Err(Damage::Mark { number: 0 }) => return Err(cut_off()),
                mark => mark.map_err(damaged)?,
            };
            let next = offset + MARK as u64 + u64::from(mark.compressed);
            if next > length {
                return Err(ArchiveError::Truncated {
                    path: path.to_owned(),
                    offset: length,
                });
            }
            let mut checksum = [0; CHECKSUM];
            file.read_exact_at(&mut checksum, next - CHECKSUM as u64)
                .map_err(read)?;
            sum = chain.sum();
            chain.add(&bytes, checksum);
            frames.push(Frame { offset, mark });
            offset = next;
        }
        let Some((first, rest)) = frames.split_first() else {
            return Err(ArchiveError::Foreign {
                path: path.to_owned(),
            });
        };
        let mut reader = FrameReader::new(&file, path)?;
        let (header, lengths) = reader.prelude(first)?;
        let truncated = || ArchiveError::Truncated {
            path: path.to_owned(),
            offset: length,
        };
        let (last, frames) = rest.split_last().ok_or_else(truncated)?;
        let end = End::decode(reader.content(last)?).ok_or_else(truncated)?;
        if end.frames != last.mark.number + 1 || end.sum != sum {
            return Err(reader.damaged(last, Damage::Sum));
        }
        Ok(Self {
            frames: frames.to_vec(),
            last: *last,
            end,
            header,
            lengths,
            path: path.to_owned(),
            file,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that the files will take on disk, apart from the file system's own.
    pub(super) fn data_bytes(&self) -> u64 {
        self.end.data_bytes
    }

    /// Decompresses everything into `targets`, which must be empty.
    pub(super) fn unpack(
        &self,
        targets: &[Target; FILES.len()],
        job: &Job,
    ) -> Result<(), ArchiveError> {
        for (target, length) in targets.iter().zip(self.lengths) {
            target.file.set_len(length).map_err(target.error())?;
        }
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            let result = self.unpack_some(targets, &next, &stop, job);
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            result
        };
        let (extents, data_bytes) = std::thread::scope(|scope| {
            let mut workers = Vec::new();
            for _ in 0..threads().min(self.frames.len()) {
                let worker = std::thread::Builder::new().spawn_scoped(scope, work);
                workers.push(worker.map_err(|error| {
                    stop.store(true, Ordering::Relaxed);
                    ArchiveError::Thread(error)
                })?);
            }
            let mut sums = (0, 0);
            for worker in workers {
                match worker.join() {
                    Ok(result) => {
                        let (extents, data_bytes) = result?;
                        sums = (sums.0 + extents, sums.1 + data_bytes);
                    }
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok::<_, ArchiveError>(sums)
        })?;
        if (extents, data_bytes) != (self.end.extents, self.end.data_bytes) {
            return Err(damaged(&self.path, &self.last, Damage::Sum));
        }
        Ok(())
    }

    /// Unpacks frames until none is left; returns how many extents and bytes.
    fn unpack_some(
        &self,
        targets: &[Target; FILES.len()],
        next: &AtomicUsize,
        stop: &AtomicBool,
        job: &Job,
    ) -> Result<(u64, u64), ArchiveError> {
        let mut reader = FrameReader::new(&self.file, &self.path)?;
        let mut sums = (0, 0);
        while let Some(frame) = self.frames.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            job.check()?;
            let mut written = 0;
            let content = reader.content(frame)?;
            for extent in format::extents(content, &self.lengths) {
                let extent = extent.map_err(|damage| damaged(&self.path, frame, damage))?;
                // The file's number was checked with the rest.
                let Some(target) = targets.get(usize::from(extent.file)) else {
                    continue;
                };
                let bytes = &content[extent.bytes];
                target
                    .file
                    .write_all_at(bytes, extent.offset)
                    .map_err(target.error())?;
                sums.0 += 1;
                written += bytes.len() as u64;
            }
            sums.1 += written;
            job.advance(written);
        }
        Ok(sums)
    }
}

impl Target {
    fn error(&self) -> impl FnOnce(std::io::Error) -> ArchiveError {
        let path = self.path.clone();
        move |source| ArchiveError::Write { path, source }
    }
}

fn damaged(path: &Path, frame: &Frame, damage: Damage) -> ArchiveError {
    ArchiveError::Damaged {
        path: path.to_owned(),
        offset: frame.offset,
        damage,
    }
}

/// Decompresses frames with one context and two buffers.
struct FrameReader<'a> {
    file: &'a File,
    path: &'a Path,
    context: Decompressor<'static>,
    compressed: Vec<u8>,
    content: Vec<u8>,
}

impl<'a> FrameReader<'a> {
    fn new(file: &'a File, path: &'a Path) -> Result<Self, ArchiveError> {
        Ok(Self {
            file,
            path,
            context: Decompressor::new().map_err(ArchiveError::Compress)?,
            compressed: Vec::new(),
            content: Vec::new(),
        })
    }

    fn prelude(&mut self, frame: &Frame) -> Result<(Header, [u64; FILES.len()]), ArchiveError> {
        let length = frame.mark.raw;
        // Its first line and its length's length are within the slack.
        if length as usize > MAX_HEADER + 64 {
            let what = "header";
            let length = length.into();
            return Err(self.damaged(frame, Damage::Length { what, length }));
        }
        let prelude = format::prelude(self.content(frame)?);
        match prelude.map_err(|damage| self.damaged(frame, damage))? {
            Prelude::Ours { header, lengths } => Ok((header, lengths)),
            Prelude::OtherVersion(found) => Err(ArchiveError::Version {
                path: self.path.to_owned(),
                found,
                expected: VERSION,
            }),
            Prelude::Foreign => Err(ArchiveError::Foreign {
                path: self.path.to_owned(),
            }),
        }
    }

    /// The content of `frame`, never more than its mark says.
    fn content(&mut self, frame: &Frame) -> Result<&[u8], ArchiveError> {
        let (compressed, raw) = (frame.mark.compressed as usize, frame.mark.raw as usize);
        self.compressed.resize(compressed, 0);
        self.file
            .read_exact_at(&mut self.compressed, frame.offset + MARK as u64)
            .map_err(|source| ArchiveError::Read {
                path: self.path.to_owned(),
                source,
            })?;
        let one = zstd::zstd_safe::find_frame_compressed_size(&self.compressed);
        if one != Ok(compressed) {
            return Err(self.damaged(frame, Damage::Boundary));
        }
        self.content.clear();
        self.content.reserve_exact(raw);
        // The buffer may have more room than asked for, so the length is
        // compared as well.
        let length = self
            .context
            .decompress_to_buffer(&self.compressed, &mut self.content)
            .map_err(|source| self.damaged(frame, Damage::Frame(source)))?;
        if length != raw {
            let what = "content of a frame";
            let length = length as u64;
            return Err(self.damaged(frame, Damage::Length { what, length }));
        }
        Ok(&self.content)
    }

    fn damaged(&self, frame: &Frame, damage: Damage) -> ArchiveError {
        damaged(self.path, frame, damage)
    }
}
