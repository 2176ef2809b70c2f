//! A release server with one image, and a client with little patience.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses a part of it"
)]

pub mod proxy;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use failure::Code;
use images::fetch::{FetchError, FetchOptions, Fetched, claim, fetch};
use images::github::{GitHub, Options, Repo};
use images::http::Retry;
use images::source::{Arch, ResolveError, Source, resolve};
use images::{Sha256Digest, Token, Url};
use progress::{Event, Phase, Reporter};
use release_server::{Artifact, Asset, Content, Release, Run, Scenario, Server};

pub const TOKEN: &str = "ghp_only-for-the-api";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const DISK: &str = "stack-emulator-amd64.qcow2";
/// Where the disk image is stored, as faults name it.
pub const DISK_PATH: &str = "/storage/asset/1";
pub const ZIP_PATH: &str = "/storage/artifact/11";

pub fn repo() -> Repo {
    "owner/name".parse().unwrap()
}

pub fn tag() -> Source {
    Source::Tag("emulator-dev-latest".into())
}

/// Bytes of which no two pieces of 64 KiB are the same, so that a misplaced one
/// shows.
pub fn content(bytes: usize, seed: u64) -> Vec<u8> {
    const PIECE: usize = 64 << 10;
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let piece: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()
    })
    .flatten()
    .take(PIECE)
    .collect();
    let mut all = piece.repeat(bytes.div_ceil(PIECE));
    for (number, piece) in all.chunks_mut(PIECE).enumerate() {
        piece[..8].copy_from_slice(&(number as u64).to_le_bytes());
    }
    all.truncate(bytes);
    all
}

pub struct World {
    pub server: Server,
    pub dir: tempfile::TempDir,
    pub disk: Vec<u8>,
}

impl World {
    pub fn new() -> Self {
        Self::with(content(3 << 20, 1))
    }

    pub fn with(disk: Vec<u8>) -> Self {
        Self::serving(disk, Server::start)
    }

    /// Its server speaks TLS and the first of `protocols` that the client knows.
    pub fn over_tls(protocols: &[&str]) -> Self {
        let disk = content(3 << 20, 1);
        Self::serving(disk, |scenario| Server::start_tls(scenario, protocols))
    }

    fn serving(disk: Vec<u8>, start: impl FnOnce(Scenario) -> std::io::Result<Server>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(DISK);
        std::fs::write(&file, &disk).unwrap();
        let server = start(scenario(&file)).unwrap();
        Self { server, dir, disk }
    }

    /// A file with the authority of its server.
    pub fn authority(&self) -> PathBuf {
        let file = self.dir.path().join("authority.pem");
        std::fs::write(&file, self.server.authority().unwrap()).unwrap();
        file
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join(DISK)
    }

    pub fn scenario(&self) -> Scenario {
        scenario(&self.file())
    }

    pub fn staging(&self) -> PathBuf {
        self.dir.path().join("staging")
    }

    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.disk)
    }

    pub fn options(&self) -> Options {
        Options {
            api: Some(Url::parse(self.server.api()).unwrap()),
            token: Token::new(TOKEN.into()),
            cache: None,
            retry: Retry {
                attempts: 3,
                base: Duration::from_millis(2),
                cap: Duration::from_millis(10),
            },
            idle: Duration::from_secs(20),
        }
    }

    pub fn github(&self) -> GitHub {
        GitHub::new(self.options()).unwrap()
    }

    pub async fn pull(&self, source: &Source) -> Result<Fetched, Failure> {
        self.pull_with(&self.github(), source, &Notes::default())
            .await
    }

    pub async fn pull_with(
        &self,
        github: &GitHub,
        source: &Source,
        reporter: &dyn Reporter,
    ) -> Result<Fetched, Failure> {
        let resolved = resolve(github, &repo(), source, Arch::Amd64, reporter).await?;
        let claim = claim(&resolved, &self.staging(), reporter).await?;
        let options = FetchOptions::default();
        Ok(fetch(github, &resolved, &claim, options, reporter).await?)
    }

    /// The requests for the content of the disk image: where each began, and
    /// the bytes that were sent.
    pub fn transfers(&self) -> Vec<(u64, u64)> {
        self.server
            .requests()
            .iter()
            .filter(|request| request.path == DISK_PATH || request.path == ZIP_PATH)
            .map(|request| (request.range_start(), request.sent))
            .collect()
    }

    /// The files left by interrupted pulls.
    pub fn parts(&self) -> Vec<PathBuf> {
        let Ok(folders) = std::fs::read_dir(self.staging()) else {
            return vec![];
        };
        folders
            .map(|folder| folder.unwrap().path())
            .filter(|path| path.is_dir())
            .flat_map(|path| std::fs::read_dir(path).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "part")
            })
            .collect()
    }

    pub fn is_whole(&self, fetched: &Fetched) {
        assert_eq!(fetched.digest, self.digest());
        assert!(
            std::fs::read(&fetched.disk).unwrap() == self.disk,
            "other bytes"
        );
        assert_eq!(fetched.bytes, self.disk.len() as u64);
        assert_eq!(self.parts(), [""; 0].map(PathBuf::from));
    }
}

/// One release with one image, and one run with one artifact.
fn scenario(file: &Path) -> Scenario {
    Scenario {
        repository: "owner/name".into(),
        tokens: vec![TOKEN.into()],
        releases: vec![Release {
            tag: "emulator-dev-latest".into(),
            name: "Emulator (dev)".into(),
            prerelease: true,
            published_at: "2026-01-01T00:00:00Z".into(),
            target: COMMIT.into(),
            assets: vec![Asset {
                id: 1,
                name: DISK.into(),
                file: file.to_owned(),
                ..Asset::default()
            }],
            ..Release::default()
        }],
        runs: vec![Run {
            id: 10,
            head_sha: COMMIT.into(),
            head_branch: "feature".into(),
            created_at: "2026-01-01T00:00:00Z".into(),
            artifacts: vec![Artifact {
                id: 11,
                name: "qemu-emulator-amd64".into(),
                files: vec![file.to_owned()],
                ..Artifact::default()
            }],
            ..Run::default()
        }],
        contents: vec![
            Content {
                path: "apps/backend/.env.development".into(),
                commit: COMMIT.into(),
                text: "FROM_BACKEND=1\n".into(),
            },
            Content {
                path: "apps/dashboard/.env.development".into(),
                commit: COMMIT.into(),
                text: "FROM_DASHBOARD=1\n".into(),
            },
        ],
        ..Scenario::default()
    }
}

/// Either half of a pull can fail.
#[derive(Debug)]
pub enum Failure {
    Resolve(ResolveError),
    Fetch(FetchError),
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        Self::Resolve(error)
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl Failure {
    pub fn code(&self) -> Code {
        match self {
            Self::Resolve(error) => error.code(),
            Self::Fetch(error) => error.code(),
        }
    }

    /// Message, all its causes, remedy: everything that a user may see.
    pub fn text(&self) -> String {
        let (error, remedy): (&dyn std::error::Error, _) = match self {
            Self::Resolve(error) => (error, error.remedy()),
            Self::Fetch(error) => (error, error.remedy()),
        };
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        format!("{text} {remedy:?}")
    }
}

/// Phase, bytes done, bytes in all.
pub type Bytes = (Phase, u64, u64);

/// Keeps what was reported.
#[derive(Default)]
pub struct Notes {
    pub lines: Mutex<Vec<String>>,
    pub bytes: Mutex<Vec<Bytes>>,
}

impl Notes {
    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

impl Reporter for Notes {
    fn report(&self, event: Event<'_>) {
        let line = match event {
            Event::Bytes { phase, done, total } => {
                self.bytes.lock().unwrap().push((phase, done, total));
                return;
            }
            Event::Begin(phase) => format!("begin {}", phase.name()),
            Event::End(phase, _) => format!("end {}", phase.name()),
            // A pull has none.
            Event::Limit(_) => return,
            Event::Notice(text) => format!("notice: {text}"),
            Event::Warning(text) => format!("warning: {text}"),
        };
        self.lines.lock().unwrap().push(line);
    }
}
