//! Regular files under names that somebody else has chosen.
//!
//! Such a name may lead to a pipe, whose opening waits for a writer, to a device, which a rename would replace, or
//! through links to somebody else's file. What is opened here is a regular file or an error, without waiting.
//!
//! A [`Place`] is for files that are changed. Links are followed to where they lead, as a user who made one expects,
//! except in *guarded* folders, which somebody writes to whom the user does not trust as far as that: there a link
//! is an error, also one that appears meanwhile.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

/// As many links may follow each other as the kernel allows.
const MOST_LINKS: usize = 40;
/// How the name of a file ends that is being written.
const UNFINISHED: &str = ".stack-emulator-new";

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is something else than a regular file.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// A link in a guarded folder.
    #[error(
        "{} is a link in a folder that the emulator can write to; name the file that it leads to instead",
        .0.display()
    )]
    Link(PathBuf),
    /// A link to what is not there.
    #[error("it is a link to a file that is not there")]
    Dangling,
    /// The file has other names, which would keep the old content.
    #[error("it has {0} names (hard links), of which only one would be changed")]
    ManyNames(u64),
    /// The file is too long.
    #[error("it is longer than {0} bytes")]
    TooLong(u64),
    /// The name ends in `..` or is empty.
    #[error("it is not the name of a file")]
    NoName,
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(io::ErrorKind::InvalidInput, refusal)
    }
}

/// Opens the regular file at `path` for reading; links are followed.
///
/// # Errors
///
/// What the system says; [`Refusal::NotRegular`].
pub fn open(path: &Path) -> io::Result<File> {
    // A pipe is not waited for; for regular files the flag means nothing.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    need_regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads the regular file at `path`, of at most `limit` bytes.
///
/// # Errors
///
/// As [`open`]; [`Refusal::TooLong`].
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_all(&open(path)?, limit)
}

/// Refuses a name at which there is something that a rename must not replace.
///
/// # Errors
///
/// As [`open`]; nothing there is fine.
pub fn check_replaceable(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(there) => need_regular(&there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.is_symlink() {
                return Err(Refusal::Dangling.into());
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn read_all(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(Refusal::TooLong(limit).into());
    }
    Ok(content)
}

fn need_regular(data: &Metadata) -> io::Result<()> {
    let kind = data.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Refusal::NotRegular(what).into())
}

/// Where a file is or will be, found once: what its name leads to later is of no account.
#[derive(Debug)]
pub struct Place {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
}

/// What was at a [`Place`].
#[derive(Debug)]
pub struct Found {
    /// The content.
    pub content: Vec<u8>,
    data: Metadata,
}

impl Place {
    /// Finds where `path` leads, through no link in one of the `guarded` folders.
    ///
    /// # Errors
    ///
    /// What the system says of folders that are not there or cannot be read; [`Refusal`].
    pub fn find(path: &Path, guarded: &[PathBuf]) -> io::Result<Self> {
        let guarded: Vec<PathBuf> = guarded
            .iter()
            .filter_map(|folder| folder.canonicalize().ok())
            .collect();
        let (folder_path, name) = resolve(path, &guarded)?;
        Ok(Self {
            folder: open_folder(&folder_path, &guarded)?,
            path: folder_path.join(&name),
            name,
        })
    }

    /// The file's name with all links followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is there, of at most `limit` bytes; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// What the system says; [`Refusal`] if it cannot be replaced.
    pub fn read(&self, limit: u64) -> io::Result<Option<Found>> {
        let flags =
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(Refusal::Link(self.path.clone()).into()),
            // What opening a socket says.
            Err(Errno::NXIO) => return Err(Refusal::NotRegular("a socket").into()),
            Err(error) => return Err(error.into()),
        };
        let data = file.metadata()?;
        need_regular(&data)?;
        if data.nlink() > 1 {
            return Err(Refusal::ManyNames(data.nlink()).into());
        }
        let content = read_all(&file, limit)?;
        Ok(Some(Found { content, data }))
    }

    /// Puts `content` there, whole or not at all. The file has the mode and the owner of what `was` there; a new
    /// one is the user's alone.
    ///
    /// What a killed process has left of its own attempt is removed.
    ///
    /// # Errors
    ///
    /// What the system says; then what was there is as it was.
    pub fn replace(&self, content: &[u8], was: Option<&Found>) -> io::Result<()> {
        self.remove_unfinished()?;
        let (file, name) = self.begin()?;
        let replaced = self.put(&file, &name, content, was);
        if replaced.is_err() {
            // If it cannot be removed, the next attempt does it.
            let _ = rustix::fs::unlinkat(&self.folder, &name, AtFlags::empty());
        }
        replaced
    }

    /// Makes the file that will be there, and its name until then. As long as it is open and locked, nobody takes
    /// it for one that was left.
    fn begin(&self) -> io::Result<(File, OsString)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        loop {
            let name = self.unfinished(&random_name()?);
            let file = File::from(rustix::fs::openat(&self.folder, &name, flags, mode)?);
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            // Somebody may have taken it away before it was locked.
            if file.metadata()?.nlink() > 0 {
                return Ok((file, name));
            }
        }
    }

    fn put(
        &self,
        mut file: &File,
        name: &OsStr,
        content: &[u8],
        was: Option<&Found>,
    ) -> io::Result<()> {
        file.write_all(content)?;
        if let Some(Found { data, .. }) = was {
            let mine = file.metadata()?;
            if (mine.uid(), mine.gid()) != (data.uid(), data.gid()) {
                let (user, group) = (Uid::from_raw(data.uid()), Gid::from_raw(data.gid()));
                rustix::fs::fchown(file, Some(user), Some(group))?;
            }
            file.set_permissions(data.permissions())?;
        }
        file.sync_all()?;
        rustix::fs::renameat(&self.folder, name, &self.folder, &self.name)?;
        Ok(())
    }

    fn unfinished(&self, random: &str) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".");
        name.push(random);
        name.push(UNFINISHED);
        name
    }

    /// Removes what was left of earlier attempts at this file: it holds what the file was to hold.
    fn remove_unfinished(&self) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt as _;

        let mut start = b".".to_vec();
        start.extend_from_slice(self.name.as_bytes());
        start.push(b'.');
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let bytes = name.as_bytes();
            if !bytes.starts_with(&start) || !bytes.ends_with(UNFINISHED.as_bytes()) {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::openat(&self.folder, name, flags, Mode::empty()) else {
                continue;
            };
            let is_free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            if is_free.is_ok() {
                match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
                    // Somebody else has removed it.
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

fn random_name() -> io::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(random)))
}

/// The folder, without a link in it, and the name of the file that `path` leads to.
fn resolve(path: &Path, guarded: &[PathBuf]) -> io::Result<(PathBuf, OsString)> {
    let absolute = std::path::absolute(path)?;
    if absolute.file_name().is_none() {
        return Err(Refusal::NoName.into());
    }
    let mut left: VecDeque<OsString> = steps(&absolute);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut is_a_link = false;
    loop {
        let Some(step) = left.pop_front() else {
            return Err(Refusal::NotRegular("a folder").into());
        };
        if step == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&step);
        let data = match std::fs::symlink_metadata(&next) {
            Ok(data) => data,
            Err(error) if error.kind() == io::ErrorKind::NotFound && left.is_empty() => {
                if is_a_link {
                    return Err(Refusal::Dangling.into());
                }
                return Ok((at, step));
            }
            Err(error) => return Err(error),
        };
        if data.is_symlink() {
            if guarded.iter().any(|folder| at.starts_with(folder)) {
                return Err(Refusal::Link(next).into());
            }
            is_a_link |= left.is_empty();
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP.into());
            }
            let target = std::fs::read_link(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for step in steps(&target).into_iter().rev() {
                left.push_front(step);
            }
        } else if left.is_empty() {
            return Ok((at, step));
        } else {
            at = next;
        }
    }
}

fn steps(path: &Path) -> VecDeque<OsString> {
    let step = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(step).collect()
}

/// Opens a folder whose name has no link in it; below a guarded one, step by step, so that none can come between.
fn open_folder(path: &Path, guarded: &[PathBuf]) -> io::Result<OwnedFd> {
    let base = guarded
        .iter()
        .filter(|folder| path.starts_with(folder))
        .min_by_key(|folder| folder.as_os_str().len());
    let base = base.map_or(path, PathBuf::as_path);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = rustix::fs::openat(CWD, base, flags, Mode::empty())?;
    let below = path.strip_prefix(base).unwrap_or(Path::new(""));
    for (count, step) in below.iter().enumerate() {
        let flags = flags | OFlags::NOFOLLOW;
        folder = rustix::fs::openat(&folder, step, flags, Mode::empty()).map_err(|error| {
            let so_far = below.iter().take(count + 1).collect::<PathBuf>();
            match error {
                // It was a folder a moment ago.
                Errno::LOOP | Errno::NOTDIR => Refusal::Link(base.join(so_far)).into(),
                error => io::Error::from(error),
            }
        })?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const LIMIT: u64 = 100;

    fn refusal<T: std::fmt::Debug>(result: io::Result<T>) -> Refusal {
        let error = result.unwrap_err();
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        Refusal::clone(inner.unwrap_or_else(|| panic!("{error}")))
    }

    fn make_pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    }

    fn change(path: &Path, guarded: &[PathBuf], content: &str) -> io::Result<PathBuf> {
        let place = Place::find(path, guarded)?;
        let was = place.read(LIMIT)?;
        place.replace(content.as_bytes(), was.as_ref())?;
        Ok(place.path().to_owned())
    }

    #[test]
    fn what_is_no_regular_file_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        make_pipe(&pipe);
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = dir.path().join("link");
        symlink("/dev/null", &link).unwrap();
        for (path, what) in [
            (pipe.as_path(), "a pipe"),
            (&socket, "a socket"),
            (dir.path(), "a folder"),
            (Path::new("/dev/null"), "a device"),
            (&link, "a device"),
        ] {
            let expected = Refusal::NotRegular(what);
            assert_eq!(refusal(change(path, &[], "x")), expected, "{what}");
            assert_eq!(refusal(check_replaceable(path)), expected, "{what}");
            if what != "a socket" {
                assert_eq!(refusal(open(path)), expected, "{what}");
            }
        }
        assert_eq!(refusal(Place::find(Path::new("/"), &[])), Refusal::NoName);
        let null = std::fs::metadata("/dev/null").unwrap();
        assert!(null.file_type().is_char_device());
    }

    #[test]
    fn links_are_followed_to_the_file_and_dangling_ones_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("far")).unwrap();
        std::fs::write(root.join("far/file"), "old").unwrap();
        symlink("far", root.join("folder")).unwrap();
        symlink("../folder/file", root.join("far/around")).unwrap();
        let changed = change(&root.join("far/around"), &[], "new").unwrap();
        assert_eq!(changed, root.join("far/file"));
        assert_eq!(std::fs::read(root.join("far/file")).unwrap(), b"new");
        assert!(root.join("far/around").is_symlink());
        // A file that is new, in a folder that is a link.
        let made = change(&root.join("folder/made"), &[], "x").unwrap();
        assert_eq!(made, root.join("far/made"));
        symlink("far/gone", root.join("dangling")).unwrap();
        let dangling = root.join("dangling");
        assert_eq!(refusal(change(&dangling, &[], "x")), Refusal::Dangling);
        assert_eq!(refusal(check_replaceable(&dangling)), Refusal::Dangling);
        symlink("loop", root.join("loop")).unwrap();
        assert!(change(&root.join("loop"), &[], "x").is_err());
        let missing = change(&root.join("no/file"), &[], "x").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_guarded_folder_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let app = root.join("app");
        std::fs::create_dir_all(app.join("sub")).unwrap();
        std::fs::write(root.join("mine"), "mine").unwrap();
        std::fs::write(app.join(".env"), "old").unwrap();
        symlink("../mine", app.join("file")).unwrap();
        symlink("..", app.join("folder")).unwrap();
        symlink(".env", app.join("inside")).unwrap();
        let guarded = [app.clone()];
        for name in ["file", "folder/mine", "inside"] {
            let refused = refusal(change(&app.join(name), &guarded, "x"));
            let first = name.split('/').next().unwrap();
            assert_eq!(refused, Refusal::Link(app.join(first)), "{name}");
        }
        // However the folder is reached.
        symlink("app", root.join("alias")).unwrap();
        let refused = refusal(change(&root.join("alias/file"), &guarded, "x"));
        assert_eq!(refused, Refusal::Link(app.join("file")));
        assert_eq!(std::fs::read(root.join("mine")).unwrap(), b"mine");
        change(&root.join("alias/sub/../.env"), &guarded, "new").unwrap();
        assert_eq!(std::fs::read(app.join(".env")).unwrap(), b"new");
        // A link that comes after the look.
        let place = Place::find(&app.join("sub/late"), &guarded).unwrap();
        symlink("../../mine", app.join("sub/late")).unwrap();
        assert!(place.read(LIMIT).is_err());
        std::fs::rename(app.join("sub"), app.join("moved")).unwrap();
        symlink("../..", app.join("sub")).unwrap();
        assert!(open_folder(&app.join("sub"), &guarded).is_err());
    }

    #[test]
    fn a_file_keeps_its_mode_and_names_and_a_new_one_is_the_user_s_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        let mode = || file.metadata().unwrap().permissions().mode() & 0o777;
        change(&file, &[], "1").unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        change(&file, &[], "2").unwrap();
        assert_eq!(mode(), 0o640);
        std::fs::hard_link(&file, dir.path().join("other")).unwrap();
        assert_eq!(refusal(change(&file, &[], "3")), Refusal::ManyNames(2));
        std::fs::remove_file(dir.path().join("other")).unwrap();
        std::fs::write(&file, [b'x'; 101]).unwrap();
        assert_eq!(refusal(change(&file, &[], "3")), Refusal::TooLong(LIMIT));
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_another_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        let place = Place::find(&file, &[]).unwrap();
        let left = dir.path().join(place.unfinished("1"));
        let held = dir.path().join(place.unfinished("2"));
        std::fs::write(&left, "secret").unwrap();
        let other = File::create(&held).unwrap();
        rustix::fs::flock(&other, FlockOperation::LockExclusive).unwrap();
        change(&file, &[], "x").unwrap();
        assert!(!left.exists() && held.exists());
        drop(other);
        // A program that another test has just begun may have the lock until it runs.
        let is_alone = (0..500).any(|_| {
            change(&file, &[], "y").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(10));
            std::fs::read_dir(dir.path()).unwrap().count() == 1
        });
        assert!(is_alone);
    }

    #[test]
    fn of_many_who_write_at_once_one_has_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || change(file, &[], &number.to_string().repeat(9)).unwrap());
            }
        });
        let content = std::fs::read_to_string(&file).unwrap();
        assert_eq!(content, content[..1].repeat(9));
    }
}
