//! Reading an app's `stack.config.ts` through `/host`.
//!
//! The path comes from a client, and the folder behind `/host` from the user's machine with whatever
//! links are in there. So the path is opened with `/host` as its root: neither `..` nor a link can lead
//! into the guest's own files, and a link that is absolute on the host means the same here.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde_json::Value;

use super::{error::ApiError, reach::Raised};
use crate::stack_config;

/// Longest path in bytes (`PATH_MAX`).
const MAX_PATH: usize = 4096;
/// Largest config file in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// How long reading may take. The host's folder can be a slow network drive.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// Checks a path as a client gives it and brings it into one form, so that the same file is the same
/// project however it is spelt.
pub(super) fn normalise(given: &str) -> Result<String, ApiError> {
    if !given.starts_with('/') {
        return Err(ApiError::bad_request(
            "absolute_file_path must be an absolute path.",
        ));
    }
    if given.len() > MAX_PATH || given.contains('\0') {
        return Err(ApiError::bad_request(
            "absolute_file_path is not a possible path.",
        ));
    }
    let mut parts = Vec::new();
    for part in given.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Reads and understands the config file at `path`, a normalised path on the host.
pub(super) async fn read(host_root: &Path, path: &str) -> Result<Value, ApiError> {
    let root = host_root.to_owned();
    let below = PathBuf::from(path.trim_start_matches('/'));
    let reading = tokio::task::spawn_blocking(move || read_below(&root, &below));
    let text = match tokio::time::timeout(READ_LIMIT, reading).await {
        Ok(Ok(Ok(text))) => text,
        Ok(Ok(Err(error))) => return Err(unreadable(path, &error)),
        Ok(Err(_)) => return Err(ApiError::bad_request(format!("Reading failed: {path}"))),
        Err(_) => {
            return Err(ApiError::bad_request(format!(
                "The host took longer than {} s to read {path}",
                READ_LIMIT.as_secs()
            )));
        }
    };
    stack_config::read(&text).map_err(|error| {
        ApiError::bad_request(format!("Config file not understood: {path}: {error}"))
    })
}

fn unreadable(path: &str, error: &io::Error) -> ApiError {
    let text = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            format!("Config file not found: {path}")
        }
        _ => format!("Config file not readable: {path}: {error}"),
    };
    ApiError::bad_request(text)
}

fn read_below(root: &Path, path: &Path) -> io::Result<String> {
    let root = File::open(root)?;
    let raised = Raised::here()?;
    // NONBLOCK: a FIFO must not hold up the thread; for regular files it means nothing.
    let file = File::from(rustix::fs::openat2(
        &root,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )?);
    drop(raised);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {MAX_FILE} bytes"),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_file_has_one_path() {
        for given in [
            "/a/b.ts",
            "//a//b.ts",
            "/a/./b.ts",
            "/a/c/../b.ts",
            "/../a/b.ts",
        ] {
            assert_eq!(normalise(given).unwrap(), "/a/b.ts");
        }
        assert!(normalise("a/b.ts").is_err());
        assert!(normalise("").is_err());
        assert!(normalise("/a\0b").is_err());
        assert!(normalise(&format!("/{}", "a".repeat(MAX_PATH))).is_err());
    }

    #[test]
    fn nothing_leads_out_of_the_host_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("host"), dir.path().join("outside.ts"));
        std::fs::create_dir_all(root.join("app")).unwrap();
        std::fs::write(&outside, "secret").unwrap();
        std::fs::write(root.join("app/real.ts"), "real").unwrap();
        symlink(&outside, root.join("app/absolute.ts")).unwrap();
        symlink("../../outside.ts", root.join("app/relative.ts")).unwrap();
        symlink("/app/real.ts", root.join("app/of_the_host.ts")).unwrap();

        let read = |path: &str| read_below(&root, Path::new(path)).map_err(|error| error.kind());
        assert_eq!(read("app/real.ts"), Ok("real".to_owned()));
        assert_eq!(read("app/of_the_host.ts"), Ok("real".to_owned()));
        assert_eq!(read("app/absolute.ts"), Err(io::ErrorKind::NotFound));
        assert_eq!(read("app/relative.ts"), Err(io::ErrorKind::NotFound));
        assert_eq!(read("app/../../outside.ts"), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let read =
            |path: &str| read_below(dir.path(), Path::new(path)).map_err(|error| error.kind());
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        assert_eq!(read("fifo"), Err(io::ErrorKind::InvalidInput));
        assert_eq!(read("."), Err(io::ErrorKind::InvalidInput));
        std::fs::write(dir.path().join("big"), vec![b' '; 1024 * 1024 + 1]).unwrap();
        assert_eq!(read("big"), Err(io::ErrorKind::FileTooLarge));
        std::fs::write(dir.path().join("binary"), [0xff, 0xfe]).unwrap();
        assert_eq!(read("binary"), Err(io::ErrorKind::InvalidData));
    }

    proptest! {
        #[test]
        fn normalised_paths_are_stable(given in "/[a-z./]{0,40}") {
            let once = normalise(&given).unwrap();
            prop_assert_eq!(normalise(&once).unwrap(), once);
        }
    }
}
