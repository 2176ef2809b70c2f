//! The files that follow from the secrets, and how they are replaced.
//!
//! A file `F` is replaced by writing `F.rotating` beside it and exchanging the two with
//! `RENAME_EXCHANGE`: a reader sees the old or the new content and never none, both have a name until
//! the database has committed, and undoing is the same call again.
//!
//! A rotation does not sync these files. A power cut may lose the exchange, or even the content; then
//! [`settle`] makes them again at boot, from the secrets in the database and the dashboard as it was
//! built, neither of which a rotation can lose.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags};
use zeroize::Zeroizing;

use crate::{
    key::{KEY_LENGTH, Key},
    secrets::{self, Secrets},
    settings::Settings,
};

/// What the other half of a file has behind its name.
const SUFFIX: &str = ".rotating";
/// The largest bundle, in bytes.
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
    /// No bundle has the placeholder in it, so the dashboard would not get the key.
    #[error(
        "no JavaScript file below {0} holds the placeholder of the publishable client key; \
         is the dashboard built and installed?"
    )]
    NoBundle(PathBuf),
    /// A bundle larger than 32 MiB.
    #[error("{0} is larger than {MAX_BUNDLE} bytes")]
    BundleTooLarge(PathBuf),
    /// Folders nested deeper than 16.
    #[error("folders below {0} are nested deeper than {MAX_DEPTH}")]
    TooDeep(PathBuf),
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FilesError + 'a {
    move |source| FilesError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// A file with the content that follows from the secrets.
#[derive(Debug)]
pub struct Derived {
    path: PathBuf,
    /// The file whose owner and mode it has.
    like: PathBuf,
    content: Zeroizing<Vec<u8>>,
}

impl Derived {
    /// All of them; `secrets.env` first.
    ///
    /// # Errors
    /// [`FilesError`] when the dashboard as it was built cannot be read, or has no placeholder.
    pub fn all(settings: &Settings, secrets: &Secrets) -> Result<Vec<Self>, FilesError> {
        let path = secrets::path(&settings.config_dir);
        let mut all = vec![Self {
            like: path.clone(),
            path,
            content: Zeroizing::new(secrets::file_text(secrets).as_bytes().to_vec()),
        }];
        let built = &settings.dashboard_built_dir;
        for below in files_below(built, ".js")? {
            let like = built.join(&below);
            let mut content = read_bundle(&like)?;
            if replace_key(&mut content, &Key::placeholder_pck(), &secrets.pck) {
                all.push(Self {
                    path: settings.dashboard_dir.join(below),
                    like,
                    content,
                });
            }
        }
        if all.len() == 1 {
            return Err(FilesError::NoBundle(built.clone()));
        }
        Ok(all)
    }

    fn rotating(&self) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push(SUFFIX);
        path.into()
    }

    /// Writes the content to the other half.
    fn write_rotating(&self) -> Result<(PathBuf, File), FilesError> {
        let like = fs::metadata(&self.like).map_err(io_error("look at", &self.like))?;
        let path = self.rotating();
        let mut file = create_new(&path)?;
        let written = take_after(&file, &like).and_then(|()| file.write_all(&self.content));
        match written {
            Ok(()) => Ok((path, file)),
            Err(error) => {
                // A half that cannot be removed either is met again by the next rotation.
                let _ = fs::remove_file(&path);
                Err(io_error("write", &path)(error))
            }
        }
    }
}

fn create_new(path: &Path) -> Result<File, FilesError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        // Of no use to anybody: what is worth keeping is in the database.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path).map_err(io_error("remove", path))?;
            options.open(path)
        }
        result => result,
    }
    .map_err(io_error("create", path))
}

/// Gives a new file, which is its maker's and private, another's owner and mode.
fn take_after(file: &File, like: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (like.uid(), like.gid()) != (new.uid(), new.gid()) {
        std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid()))?;
    }
    if like.mode() != new.mode() {
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
    }
    Ok(())
}

/// Files being replaced. Dropping it leaves everything as it is, as a kill would.
#[derive(Debug, Default)]
pub struct Replacements {
    /// Path and other half of each.
    pairs: Vec<(PathBuf, PathBuf)>,
    /// How many pairs, from the first, have been exchanged.
    exchanged: usize,
}

impl Replacements {
    /// Writes new content beside the old.
    ///
    /// # Errors
    /// [`FilesError::Io`]; call [`Self::undo`] then.
    pub fn stage(&mut self, file: &Derived) -> Result<(), FilesError> {
        let (rotating, _) = file.write_rotating()?;
        self.pairs.push((file.path.clone(), rotating));
        Ok(())
    }

    /// Puts all new files in place.
    ///
    /// # Errors
    /// [`FilesError::Io`]; call [`Self::undo`] then.
    pub fn exchange(&mut self) -> Result<(), FilesError> {
        for pair in &self.pairs {
            exchange(pair)?;
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
            exchange(pair)?;
        }
        self.finish()
    }

    /// Removes the other halves; that of `secrets.env`, by which an unfinished rotation is told, last.
    ///
    /// # Errors
    /// [`FilesError::Io`].
    pub fn finish(self) -> Result<(), FilesError> {
        for (_, rotating) in self.pairs.iter().rev() {
            fs::remove_file(rotating).map_err(io_error("remove", rotating))?;
        }
        Ok(())
    }
}

fn exchange((path, rotating): &(PathBuf, PathBuf)) -> Result<(), FilesError> {
    rustix::fs::renameat_with(CWD, rotating, CWD, path, RenameFlags::EXCHANGE)
        .map_err(|errno| io_error("exchange", path)(errno.into()))
}

/// Whether a rotation is under way or was cut short.
pub fn is_unfinished(settings: &Settings) -> bool {
    let mut path = secrets::path(&settings.config_dir).into_os_string();
    path.push(SUFFIX);
    Path::new(&path).symlink_metadata().is_ok()
}

/// Makes every file be as it should, and removes other halves. What it writes is safe on the disk when
/// it returns.
///
/// # Errors
/// [`FilesError::Io`]; what is done by then stays done, and running it again does the rest.
pub fn settle(all: &[Derived]) -> Result<(), FilesError> {
    for file in all.iter().rev() {
        if holds(&file.path, &file.content)? {
            match fs::remove_file(file.rotating()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove", &file.rotating())(error));
                }
                Ok(()) | Err(_) => {}
            }
        } else {
            let (rotating, written) = file.write_rotating()?;
            written.sync_all().map_err(io_error("sync", &rotating))?;
            fs::rename(&rotating, &file.path).map_err(io_error("replace", &file.path))?;
        }
    }
    Ok(())
}

/// Whether a file is there with this very content.
fn holds(path: &Path, content: &[u8]) -> Result<bool, FilesError> {
    match File::open(path) {
        Ok(file) => {
            let mut found = Zeroizing::new(Vec::with_capacity(content.len() + 1));
            file.take(content.len() as u64 + 1)
                .read_to_end(&mut found)
                .map_err(io_error("read", path))?;
            Ok(*found == content)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

/// All regular files below `dir` whose names end with `suffix`, by their paths from there. Links are
/// not followed.
fn files_below(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>, FilesError> {
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((below, depth)) = folders.pop() {
        if depth > MAX_DEPTH {
            return Err(FilesError::TooDeep(dir.to_owned()));
        }
        let folder = dir.join(&below);
        for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
            let entry = entry.map_err(io_error("list", &folder))?;
            let kind = entry.file_type().map_err(io_error("list", &folder))?;
            let name = entry.file_name();
            if kind.is_dir() {
                folders.push((below.join(name), depth + 1));
            } else if kind.is_file() && name.as_encoded_bytes().ends_with(suffix.as_bytes()) {
                found.push(below.join(name));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read_bundle(path: &Path) -> Result<Zeroizing<Vec<u8>>, FilesError> {
    let read = || {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut content = Zeroizing::new(Vec::new());
        if size <= MAX_BUNDLE {
            content.reserve_exact(usize::try_from(size).unwrap_or_default() + 1);
            file.take(MAX_BUNDLE).read_to_end(&mut content)?;
        }
        Ok((size, content))
    };
    let (size, content) = read().map_err(io_error("read", path))?;
    if size > MAX_BUNDLE {
        return Err(FilesError::BundleTooLarge(path.to_owned()));
    }
    Ok(content)
}

/// Overwrites every occurrence of a key; tells whether there was one.
fn replace_key(content: &mut [u8], old: &Key, new: &Key) -> bool {
    let mut found = false;
    let mut start = 0;
    while let Some(offset) = find(&content[start..], old) {
        let end = start + offset + KEY_LENGTH;
        content[start + offset..end].copy_from_slice(new.expose_bytes());
        start = end;
        found = true;
    }
    found
}

fn find(content: &[u8], key: &Key) -> Option<usize> {
    content
        .windows(KEY_LENGTH)
        .position(|window| window == key.expose_bytes())
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
