//! Writing an archive: one thread reads and hashes, the others compress.
//!
//! The reader fills frames with the blocks that hold something and hands them
//! out in order; a thread that has compressed one waits for its turn to write it. So
//! archives of the same files are the same byte for byte, and what is in memory
//! is a few frames a thread, whatever the files' size.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::error::ArchiveError;
use super::format::{self, CHECKSUM, Chain, EXTENT_HEAD, End, FILES, Header, MAX_FRAMES, Mark};
use super::job::{Job, threads};
use crate::state::sparse::{self, BLOCK, CHUNK, Digester};

/// Measured on 430 MB of guest memory with two cores: level 1 takes 0.6 of the
/// time for 1.09 of the size, level 6 2.3 times the time for 0.95 of it.
const LEVEL: i32 = 3;
/// What a frame holds at most, in bytes. Frames of 1 MiB make archives 2 %
/// larger, frames of 8 MiB 0.3 % smaller for twice the memory.
const FRAME: usize = 4 << 20;
/// The most that one stretch of a file takes with all its extents' heads.
const STRETCH: usize = CHUNK + CHUNK / BLOCK * EXTENT_HEAD;

/// A file to be archived, open.
pub(super) struct Source {
    pub path: PathBuf,
    pub file: File,
    /// Its length, holes included.
    pub bytes: u64,
}

/// What was written.
pub(super) struct Packed {
    /// The archive's length.
    pub archive_bytes: u64,
    /// Bytes of all blocks that hold something.
    pub data_bytes: u64,
    /// The sparse digest of each file as it was read.
    pub digests: Vec<String>,
}

/// A frame that was filled and not yet compressed.
struct Filled {
    number: u32,
    content: Vec<u8>,
}

/// Writes an archive of `sources` to `to`, which `path` names in errors.
pub(super) fn pack(
    header: &Header,
    sources: &[Source; FILES.len()],
    to: &File,
    path: &Path,
    job: &Job,
) -> Result<Packed, ArchiveError> {
    let output = Output::new(to, path);
    let mut compressor = FrameCompressor::new()?;
    let prelude = header.encode().map_err(|_| too_large(&sources[0]))?;
    output.write(&compressor.compress(0, &prelude)?)?;

    let compressors: Vec<_> = (0..threads())
        .map(|_| FrameCompressor::new())
        .collect::<Result<_, _>>()?;
    let (filled, queue) = sync_channel(compressors.len());
    let (recycle, empty) = channel();
    // As many waiting as are being compressed, and one being filled.
    for _ in 0..=2 * compressors.len() {
        // The other end is two lines above.
        drop(recycle.send(Vec::with_capacity(FRAME)));
    }
    let (queue, output_ref) = (&Mutex::new(queue), &output);
    let fed = std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for compressor in compressors {
            let recycle = recycle.clone();
            let work = move || compress_all(compressor, queue, &recycle, output_ref, job);
            let worker = std::thread::Builder::new().spawn_scoped(scope, work);
            workers.push(worker.map_err(ArchiveError::Thread)?);
        }
        // The queue ends with the feeder, and the threads with the queue.
        let fed = Feeder::new(filled, empty, job, output_ref).feed(sources);
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
        fed
    });
    // What failed there is why the reader gave up here.
    if let Some(error) = output.take_failure() {
        return Err(error);
    }
    let fed = fed?;
    let end = End {
        frames: fed.frames + 1,
        extents: fed.extents,
        data_bytes: fed.data_bytes,
        sum: output.sum(),
    };
    output.write(&compressor.compress(fed.frames, &end.encode())?)?;
    Ok(Packed {
        archive_bytes: output.bytes(),
        data_bytes: fed.data_bytes,
        digests: fed.digests,
    })
}

fn too_large(source: &Source) -> ArchiveError {
    ArchiveError::TooLarge {
        path: source.path.clone(),
    }
}

/// Reads files into frames.
struct Feeder<'a> {
    filled: SyncSender<Filled>,
    empty: Receiver<Vec<u8>>,
    job: &'a Job,
    output: &'a Output<'a>,
    content: Vec<u8>,
    fed: Fed,
}

/// What was read.
#[derive(Default)]
struct Fed {
    /// Frames so far, prelude included.
    frames: u32,
    extents: u64,
    data_bytes: u64,
    digests: Vec<String>,
}

impl<'a> Feeder<'a> {
    fn new(
        filled: SyncSender<Filled>,
        empty: Receiver<Vec<u8>>,
        job: &'a Job,
        output: &'a Output<'a>,
    ) -> Self {
        let fed = Fed {
            frames: 1,
            ..Fed::default()
        };
        Self {
            filled,
            empty,
            job,
            output,
            content: Vec::with_capacity(FRAME),
            fed,
        }
    }

    fn feed(mut self, sources: &[Source; FILES.len()]) -> Result<Fed, ArchiveError> {
        for (index, source) in (0..).zip(sources) {
            let digest = self.feed_file(index, source)?;
            self.fed.digests.push(digest);
        }
        self.hand_out()?;
        Ok(self.fed)
    }

    fn feed_file(&mut self, index: u8, source: &Source) -> Result<String, ArchiveError> {
        let mut digester = Digester::new(source.bytes);
        // The walk takes I/O errors only, and ours must get out of it.
        let mut refused = None;
        let walked = sparse::for_each_stored(&source.file, |offset, bytes| {
            self.room_for_stretch(source).map_err(|error| {
                refused = Some(error);
                std::io::Error::from(std::io::ErrorKind::Interrupted)
            })?;
            sparse::for_each_run(bytes, |run| {
                let (offset, bytes) = (offset + run.start as u64, &bytes[run]);
                digester.update(offset, bytes);
                format::push_extent(&mut self.content, index, offset, bytes);
                self.fed.extents += 1;
                self.fed.data_bytes += bytes.len() as u64;
            });
            self.job.advance(bytes.len() as u64);
            Ok(())
        });
        match (refused, walked) {
            (Some(error), _) => Err(error),
            (None, Err(source_error)) => Err(ArchiveError::Read {
                path: source.path.clone(),
                source: source_error,
            }),
            (None, Ok(())) => Ok(digester.finish()),
        }
    }

    fn room_for_stretch(&mut self, source: &Source) -> Result<(), ArchiveError> {
        self.job.check()?;
        if self.fed.frames as usize + 2 > MAX_FRAMES {
            return Err(too_large(source));
        }
        if self.content.len() + STRETCH > FRAME {
            self.hand_out()?;
        }
        Ok(())
    }

    /// Hands out what has been filled, and takes an empty buffer for it.
    fn hand_out(&mut self) -> Result<(), ArchiveError> {
        if self.content.is_empty() {
            return Ok(());
        }
        if self.output.has_failed() {
            return Err(ArchiveError::Cancelled);
        }
        // Both ends are held by the threads, which drain the queue whatever
        // happens, so these wait for them and fail only if they panicked.
        let empty = self.empty.recv().map_err(|_| ArchiveError::Cancelled)?;
        let filled = Filled {
            number: self.fed.frames,
            content: std::mem::replace(&mut self.content, empty),
        };
        self.filled
            .send(filled)
            .map_err(|_| ArchiveError::Cancelled)?;
        self.fed.frames += 1;
        Ok(())
    }
}

/// Compresses frames from the queue until it ends. After a failure, here or
/// elsewhere, the rest is passed over, so that the reader is never stuck.
fn compress_all(
    mut compressor: FrameCompressor,
    queue: &Mutex<Receiver<Filled>>,
    recycle: &Sender<Vec<u8>>,
    output: &Output<'_>,
    job: &Job,
) {
    let _guard = FailOnPanic(output);
    loop {
        let next = lock(queue).recv();
        let Ok(mut frame) = next else {
            return;
        };
        let write = || {
            job.check()?;
            output.write(&compressor.compress(frame.number, &frame.content)?)
        };
        if !output.has_failed()
            && let Err(error) = { write }()
        {
            output.fail(error);
        }
        frame.content.clear();
        // The reader may be done and gone.
        drop(recycle.send(frame.content));
    }
}

/// Keeps the other threads from waiting for the turn of one that panicked.
struct FailOnPanic<'a>(&'a Output<'a>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(ArchiveError::Cancelled);
        }
    }
}

/// A frame ready to be written.
struct Frame<'a> {
    mark: [u8; format::MARK],
    number: u32,
    compressed: &'a [u8],
}

/// Compresses frames with one context and one buffer.
struct FrameCompressor {
    context: Compressor<'static>,
    buffer: Vec<u8>,
}

impl FrameCompressor {
    fn new() -> Result<Self, ArchiveError> {
        let context = || -> std::io::Result<_> {
            let mut context = Compressor::new(LEVEL)?;
            context.set_parameter(CParameter::ChecksumFlag(true))?;
            context.set_parameter(CParameter::ContentSizeFlag(true))?;
            Ok(context)
        };
        Ok(Self {
            context: context().map_err(ArchiveError::Compress)?,
            buffer: Vec::new(),
        })
    }

    fn compress(&mut self, number: u32, content: &[u8]) -> Result<Frame<'_>, ArchiveError> {
        self.buffer.clear();
        self.buffer.reserve(format::bound(content.len()));
        let length = self
            .context
            .compress_to_buffer(content, &mut self.buffer)
            .map_err(ArchiveError::Compress)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most a few MiB, see FRAME"
        )]
        let mark = Mark {
            number,
            compressed: length as u32,
            raw: content.len() as u32,
        };
        Ok(Frame {
            mark: mark.encode(),
            number,
            compressed: &self.buffer[..length],
        })
    }
}

/// Where frames are written, one after the other.
struct Output<'a> {
    file: &'a File,
    path: &'a Path,
    state: Mutex<Written>,
    turn: Condvar,
}

struct Written {
    /// The frame whose turn it is.
    next: u32,
    bytes: u64,
    chain: Chain,
    failed: bool,
    failure: Option<ArchiveError>,
}

impl<'a> Output<'a> {
    fn new(file: &'a File, path: &'a Path) -> Self {
        Self {
            file,
            path,
            state: Mutex::new(Written {
                next: 0,
                bytes: 0,
                chain: Chain::default(),
                failed: false,
                failure: None,
            }),
            turn: Condvar::new(),
        }
    }

    /// Writes `frame` once all before it are written.
    fn write(&self, frame: &Frame<'_>) -> Result<(), ArchiveError> {
        let waiting = |state: &mut Written| state.next != frame.number && !state.failed;
        let mut state = self
            .turn
            .wait_while(lock(&self.state), waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if state.failed {
            return Err(ArchiveError::Cancelled);
        }
        let mut file = self.file;
        file.write_all(&frame.mark)
            .and_then(|()| file.write_all(frame.compressed))
            .map_err(|source| ArchiveError::Write {
                path: self.path.to_owned(),
                source,
            })?;
        if let Some(checksum) = frame.compressed.last_chunk::<CHECKSUM>() {
            state.chain.add(&frame.mark, *checksum);
        }
        state.bytes += (frame.mark.len() + frame.compressed.len()) as u64;
        state.next += 1;
        self.turn.notify_all();
        Ok(())
    }

    /// Makes all who wait for their turn give up; the first reason is kept.
    fn fail(&self, error: ArchiveError) {
        let mut state = lock(&self.state);
        state.failed = true;
        state.failure.get_or_insert(error);
        self.turn.notify_all();
    }

    fn has_failed(&self) -> bool {
        lock(&self.state).failed
    }

    fn take_failure(&self) -> Option<ArchiveError> {
        lock(&self.state).failure.take()
    }

    fn sum(&self) -> [u8; 32] {
        lock(&self.state).chain.sum()
    }

    fn bytes(&self) -> u64 {
        lock(&self.state).bytes
    }
}

/// A thread that panicked makes the whole operation panic, so what it left
/// behind is never used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
