//! Connections to sockets whose path may be longer than the 107 bytes that an address holds: the
//! instances of these tests lie deep, and deeper still where they are seen from outside their mount
//! namespace.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Connects to the socket at `path`, by way of its folder.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    UnixStream::connect(short.join(name))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "this is test code: what is not as expected fails the test"
    )]

    use std::os::unix::net::UnixListener;

    #[test]
    fn a_path_may_be_longer_than_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let short = dir.path().join("s");
        let long = dir.path().join("a".repeat(120));
        std::fs::create_dir(&long).unwrap();
        let _listener = UnixListener::bind(&short).unwrap();
        std::fs::rename(&short, long.join("s")).unwrap();
        super::connect(&long.join("s")).unwrap();
        super::connect(&long.join("other")).unwrap_err();
    }
}
