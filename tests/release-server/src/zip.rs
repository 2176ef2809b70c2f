//! Artifacts are zips; this makes them of files.

use std::io::{self, BufReader, BufWriter};
use std::path::PathBuf;

use rawzip::{CompressionMethod, ZipArchiveWriter};

/// A zip of `files`, not compressed: disk images hardly can be, and tests have
/// better uses for a processor.
pub(crate) fn of(files: &[PathBuf]) -> io::Result<tempfile::NamedTempFile> {
    let zip = tempfile::NamedTempFile::new()?;
    let mut archive = ZipArchiveWriter::new(BufWriter::new(zip.reopen()?));
    for path in files {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| io::Error::other(format!("{} has no plain name", path.display())))?;
        let (mut entry, config) = archive
            .new_file(name)
            .compression_method(CompressionMethod::STORE)
            .start()
            .map_err(io::Error::other)?;
        let mut writer = config.wrap(&mut entry);
        io::copy(&mut BufReader::new(std::fs::File::open(path)?), &mut writer)?;
        let (_, descriptor) = writer.finish().map_err(io::Error::other)?;
        entry.finish(descriptor).map_err(io::Error::other)?;
    }
    let out = archive.finish().map_err(io::Error::other)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(zip)
}
