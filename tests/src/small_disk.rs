//! A file system of a size that a test chooses.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What the files below `folder` take on the disk, in bytes.
pub(crate) fn blocks_in(folder: &Path) -> u64 {
    du(folder, &["--summarize", "--block-size=1"])
}

/// How long the files below `folder` are together, in bytes.
pub(crate) fn length_of(folder: &Path) -> u64 {
    du(
        folder,
        &["--summarize", "--block-size=1", "--apparent-size"],
    )
}

fn du(folder: &Path, arguments: &[&str]) -> u64 {
    let output = Command::new("du")
        .args(arguments)
        .arg(folder)
        .output()
        .expect("du is there");
    let text = String::from_utf8_lossy(&output.stdout);
    let bytes = text
        .split_ascii_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    bytes.unwrap_or_else(|| panic!("du said {text:?}"))
}

/// A file system in memory, seen by the programs that are started on it alone:
/// in a mount namespace, which every user may have.
#[derive(Debug)]
pub struct SmallDisk {
    keeper: Child,
    folder: PathBuf,
}

impl SmallDisk {
    pub(crate) fn mount(folder: &Path, mib: u64) -> Self {
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount");
        if !Self::is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        // Lives until its input ends, which is when the test does, however that is.
        let script =
            r#"mount -t tmpfs -o "size=$2m,mode=0700" none "$1" && echo ready && exec cat"#;
        let mut keeper = unshare
            .args(["sh", "-c", script, "sh"])
            .arg(folder)
            .arg(mib.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there");
        let mut line = String::new();
        let said = std::io::BufReader::new(keeper.stdout.as_mut().expect("a pipe"));
        std::io::BufRead::read_line(&mut { said }, &mut line).expect("it says something");
        assert_eq!(line, "ready\n", "the file system could not be mounted");
        Self {
            keeper,
            folder: folder.to_owned(),
        }
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// A program that sees the disk.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.keeper.id()));
        command.arg("--mount");
        if !Self::is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Changes its size.
    pub fn resize(&self, mib: u64) {
        let option = format!("remount,size={mib}m");
        let status = self
            .command("mount")
            .args(["-o", &option])
            .arg(&self.folder)
            .status();
        assert!(status.expect("mount is there").success());
    }

    /// What takes room on it, in bytes.
    pub fn used(&self) -> u64 {
        blocks_in(&self.seen_from_outside(&self.folder))
    }

    /// Where a file on it is found by this process.
    pub fn seen_from_outside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.keeper.kill().ok();
        self.keeper.wait().ok();
    }
}
