//! The files of a rotation: written beside the old ones, exchanged in one system call each, and put
//! back or removed.
//!
//! A file `F` and its other half `F.rotating` are exchanged with `RENAME_EXCHANGE`, so that both the old
//! and the new content have a name until the database has committed, a reader sees one or the other and
//! never nothing, and undoing is the same call again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags};
use zeroize::Zeroizing;

use crate::{
    key::{KEY_LENGTH, Key},
    secrets::{self, ROTATING_SUFFIX, Secrets, SecretsError},
};

/// The largest bundle that is searched, in bytes.
const MAX_BUNDLE: u64 = 32 * 1024 * 1024;
/// How deep folders of the dashboard may be nested.
const MAX_DEPTH: usize = 16;

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A system call failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No bundle has a known key in it, so the dashboard would be left with a wrong one.
    #[error(
        "no JavaScript file below {0} holds the current publishable client key; is the dashboard built and installed?"
    )]
    NoBundle(PathBuf),
    /// A bundle larger than 32 MiB.
    #[error("{0} is larger than {MAX_BUNDLE} bytes")]
    BundleTooLarge(PathBuf),
    /// Folders nested deeper than 16.
    #[error("folders below {0} are nested deeper than {MAX_DEPTH}")]
    TooDeep(PathBuf),
    /// Neither half of a file holds the key that is in force.
    #[error(
        "{0} does not hold the key in the database, and neither does its other half; rotate again"
    )]
    Stranded(PathBuf),
    /// A half of `secrets.env` is unreadable.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FilesError + 'a {
    move |source| FilesError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The files to replace. Dropping it leaves everything as it is, as a kill would.
#[derive(Debug, Default)]
pub struct Replacements {
    pairs: Vec<Pair>,
    /// How many pairs, from the first, have been exchanged.
    exchanged: usize,
}

#[derive(Debug)]
struct Pair {
    path: PathBuf,
    rotating: PathBuf,
}

impl Pair {
    fn new(path: &Path) -> Self {
        let mut rotating = path.as_os_str().to_owned();
        rotating.push(ROTATING_SUFFIX);
        Self {
            path: path.to_owned(),
            rotating: rotating.into(),
        }
    }

    fn exchange(&self) -> Result<(), FilesError> {
        rustix::fs::renameat_with(CWD, &self.rotating, CWD, &self.path, RenameFlags::EXCHANGE)
            .map_err(|errno| io_error("exchange", &self.path)(errno.into()))
    }

    fn remove_rotating(&self) -> Result<(), FilesError> {
        fs::remove_file(&self.rotating).map_err(io_error("remove", &self.rotating))
    }
}

impl Replacements {
    /// Writes the new content of `path` beside it, safe on the disk, with the same owner and mode.
    ///
    /// # Errors
    /// [`FilesError::Io`]; call [`Self::undo`] then.
    pub fn stage(&mut self, path: &Path, content: &[u8]) -> Result<(), FilesError> {
        let old = fs::metadata(path).map_err(io_error("look at", path))?;
        let pair = Pair::new(path);
        let mut file = create_new(&pair.rotating)?;
        let rotating = pair.rotating.clone();
        self.pairs.push(pair);
        let owner = (old.uid(), old.gid());
        let new = file.metadata().map_err(io_error("look at", &rotating))?;
        if owner != (new.uid(), new.gid()) {
            std::os::unix::fs::fchown(&file, Some(owner.0), Some(owner.1))
                .map_err(io_error("change the owner of", &rotating))?;
        }
        if old.mode() != new.mode() {
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))
                .map_err(io_error("change the mode of", &rotating))?;
        }
        file.write_all(content)
            .map_err(io_error("write", &rotating))?;
        // The commit must not be safe on the disk before the file is: after a power cut the files
        // are settled by the database, which needs both halves whole. The exchange itself may be lost.
        file.sync_all().map_err(io_error("sync", &rotating))
    }

    /// Puts all new files in place.
    ///
    /// # Errors
    /// [`FilesError::Io`]; call [`Self::undo`] then.
    pub fn exchange(&mut self) -> Result<(), FilesError> {
        for pair in &self.pairs {
            pair.exchange()?;
            self.exchanged += 1;
        }
        Ok(())
    }

    /// Puts all old files back and removes the new ones.
    ///
    /// # Errors
    /// [`FilesError::Io`]; the rest is left for [`settle`].
    pub fn undo(self) -> Result<(), FilesError> {
        for pair in self.pairs[..self.exchanged].iter().rev() {
            pair.exchange()?;
        }
        self.finish()
    }

    /// Removes the other halves; that of `secrets.env`, the first, goes last.
    ///
    /// # Errors
    /// [`FilesError::Io`].
    pub fn finish(self) -> Result<(), FilesError> {
        for pair in self.pairs.iter().rev() {
            pair.remove_rotating()?;
        }
        Ok(())
    }
}

fn create_new(path: &Path) -> Result<File, FilesError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        // Left by a rotation that was killed before its journal was safe on the disk, or put there
        // by somebody else: nothing refers to it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path).map_err(io_error("remove", path))?;
            options.open(path)
        }
        result => result,
    }
    .map_err(io_error("create", path))
}

/// Stages every JavaScript file below `dir` that holds one of the `known` keys, with `new` instead.
///
/// # Errors
/// [`FilesError`]; in particular when there is no such file.
pub fn stage_bundles(
    dir: &Path,
    known: &[Key],
    new: &Key,
    replacements: &mut Replacements,
) -> Result<(), FilesError> {
    let mut found = false;
    for path in files_with_suffix(dir, ".js")? {
        let mut content = read_bundle(&path)?;
        if replace_keys(&mut content, known, new) {
            replacements.stage(&path, &content)?;
            found = true;
        }
    }
    found
        .then_some(())
        .ok_or_else(|| FilesError::NoBundle(dir.to_owned()))
}

/// Makes every file agree with the key that the database holds: where the other half of an unfinished
/// rotation has it, that half takes the file's place; then the other halves go.
///
/// # Errors
/// [`FilesError::Stranded`] when neither half has it.
pub fn settle(config_dir: &Path, dashboard_dir: &Path, in_force: &Key) -> Result<(), FilesError> {
    for rotating in files_with_suffix(dashboard_dir, &format!(".js{ROTATING_SUFFIX}"))? {
        let path = without_suffix(&rotating);
        if holds(&path, in_force)? {
            fs::remove_file(&rotating).map_err(io_error("remove", &rotating))?;
        } else if holds(&rotating, in_force)? {
            fs::rename(&rotating, &path).map_err(io_error("put back", &path))?;
        } else {
            return Err(FilesError::Stranded(path));
        }
    }

    let path = secrets::path(config_dir);
    let rotating = secrets::rotating_path(config_dir);
    let current = Secrets::read(&path)?;
    if current.pck == *in_force {
        return match fs::remove_file(&rotating) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &rotating)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        };
    }
    match Secrets::read_rotating(config_dir)? {
        Some(other) if other.pck == *in_force => {
            fs::rename(&rotating, &path).map_err(io_error("put back", &path))
        }
        Some(_) | None => Err(FilesError::Stranded(path)),
    }
}

fn without_suffix(rotating: &Path) -> PathBuf {
    // The name ends with `.rotating`, so taking the extension off is taking the suffix off.
    rotating.with_extension("")
}

/// All regular files below `dir` whose names end with `suffix`; links are not followed.
fn files_with_suffix(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>, FilesError> {
    let mut found = Vec::new();
    let mut folders = vec![(dir.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        if depth > MAX_DEPTH {
            return Err(FilesError::TooDeep(dir.to_owned()));
        }
        for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
            let entry = entry.map_err(io_error("list", &folder))?;
            let kind = entry.file_type().map_err(io_error("list", &folder))?;
            if kind.is_dir() {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_file()
                && entry
                    .file_name()
                    .as_encoded_bytes()
                    .ends_with(suffix.as_bytes())
            {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read_bundle(path: &Path) -> Result<Zeroizing<Vec<u8>>, FilesError> {
    let mut content = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(MAX_BUNDLE + 1).read_to_end(&mut content))
        .map_err(io_error("read", path))?;
    if content.len() as u64 > MAX_BUNDLE {
        return Err(FilesError::BundleTooLarge(path.to_owned()));
    }
    Ok(content)
}

fn holds(path: &Path, key: &Key) -> Result<bool, FilesError> {
    Ok(find(&read_bundle(path)?, key).is_some())
}

fn find(content: &[u8], key: &Key) -> Option<usize> {
    content
        .windows(KEY_LENGTH)
        .position(|window| window == key.expose_bytes())
}

/// Overwrites every occurrence of a known key; tells whether there was one.
fn replace_keys(content: &mut [u8], known: &[Key], new: &Key) -> bool {
    let mut found = false;
    for key in known {
        let mut start = 0;
        while let Some(offset) = find(&content[start..], key) {
            let end = start + offset + KEY_LENGTH;
            content[start + offset..end].copy_from_slice(new.expose_bytes());
            start = end;
            found = true;
        }
    }
    found
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
