//! Bringing an image here: from [`Resolved`] to verified files in a folder.
//!
//! ```text
//! claim ──> fetch ──> (the caller takes the files into its store) ──> finish
//!   │          │
//!   │          └─ release: manifest, disk, settings, snapshot archive
//!   │             artifact: zip, then what is in it, then settings
//!   │             file: reflinked or copied, with what lies beside it
//!   └─ waits while another process fetches the same; then the caller looks
//!      into its store again, and finds it there
//! ```
//!
//! A process that dies anywhere leaves a folder that the next call continues.

use std::path::{Path, PathBuf};

use failure::{Code, Remedy, is_no_room};
use progress::{Phase, Reporter, Running};
use serde::{Deserialize, Serialize};

use crate::Sha256Digest;
use crate::artifact::{ArtifactError, Expected, Unpacked, unpack};
use crate::base_env::{BACKEND_PATH, BaseEnvError, DASHBOARD_PATH, compose};
pub use crate::claim::{Claim, ClaimError, DownloadInfo, Leftover, bytes_here, leftovers};
pub use crate::download::DownloadError;
use crate::download::{Downloaded, StopOnDrop, Wanted, download};
use crate::github::{ApiError, Artifact, Asset, GitHub, Repo};
use crate::manifest::{Manifest, ManifestError};
use crate::source::{Arch, Files, Origin, ReleaseFiles, Resolved, names};

mod local;

/// The largest disk image that is taken, in bytes. The published ones have 3 GB.
const MAX_DISK: u64 = 64 << 30;
/// The largest snapshot archive that is taken, in bytes.
const MAX_SNAPSHOT: u64 = 64 << 30;
/// The largest manifest or settings file that is taken, in bytes.
pub(crate) const MAX_SMALL: u64 = 4 << 20;
/// How a file is asked for, rather than a description of it.
const FILE_ITSELF: &str = "application/octet-stream";

/// What to fetch beside the disk image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchOptions {
    /// Also the snapshot archive, if there is one.
    pub snapshot_archive: bool,
}

/// By what the disk image was found to be the one that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// The digest that the release states for it.
    Release,
    /// The digest that GitHub states for the artifact it came in.
    Artifact,
    /// The digest in the manifest that came with it: it is whole, but an
    /// attacker who could replace the one could replace the other.
    Manifest,
    /// Nothing states its digest.
    Unverified,
}

/// An image that is here; all files are in one folder, synced.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The disk image.
    pub disk: PathBuf,
    /// The manifest, beside it.
    pub manifest: Option<PathBuf>,
    /// The settings for the guest, beside it.
    pub base_env: Option<PathBuf>,
    /// The snapshot archive.
    pub snapshot_archive: Option<PathBuf>,
    /// Digest of the disk image.
    pub digest: Sha256Digest,
    /// Length of the disk image in bytes.
    pub bytes: u64,
    /// What the digest was compared with.
    pub verified: Verification,
    /// Where it came from.
    pub origin: Origin,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Bytes that came over the network in this call.
    pub received: u64,
}

/// An image could not be brought here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The staging folder cannot be used.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A file could not be downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The artifact could not be unpacked.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The artifact has no image for this processor.
    #[error("the archive {} does not contain {name}", path.display())]
    NoDisk {
        /// The archive.
        path: PathBuf,
        /// What was looked for.
        name: String,
    },
    /// The manifest that came with it cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest speaks of another image.
    #[error("{name} has SHA-256 {found}, but its manifest is for an image with SHA-256 {expected}")]
    ManifestDigest {
        /// The disk image.
        name: String,
        /// The digest in the manifest.
        expected: Sha256Digest,
        /// The digest of the content.
        found: Sha256Digest,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl FetchError {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// A stable code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Claim(_) | Self::File { .. } if is_no_room(self) => Code::DiskFull,
            Self::Claim(_) | Self::File { .. } => Code::File,
            Self::Download(error) => error.code(),
            Self::Artifact(error) => error.code(),
            Self::NoDisk { .. } => Code::NoDisk,
            Self::Manifest(_) => Code::Manifest,
            Self::ManifestDigest { .. } => Code::ManifestDigest,
        }
    }

    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Claim(_) | Self::File { .. } => is_no_room(self).then(Remedy::free_disk_space),
            Self::Download(error) => error.remedy(),
            Self::Artifact(error) => error.remedy(),
            Self::NoDisk { .. } => Some(Remedy::OtherRelease),
            Self::Manifest(error) => error.remedy(),
            Self::ManifestDigest { .. } => Some(Remedy::WaitForPublication),
        }
    }
}

/// Takes the exclusive right, across processes, to fetch what `resolved` means;
/// waits while another has it.
///
/// `staging` should be on the file system of the store, so that what was
/// fetched can be renamed into it.
pub async fn claim(
    resolved: &Resolved,
    staging: &Path,
    reporter: &dyn Reporter,
) -> Result<Claim, FetchError> {
    let label = resolved.origin.label();
    let claim = Claim::acquire(staging, &resolved.key, &label, reporter).await?;
    claim.note(&DownloadInfo::from(resolved));
    Ok(claim)
}

/// Brings the files of `resolved` into the folder of `claim`, which must be the
/// claim on it, and continues what is there.
pub async fn fetch(
    github: &GitHub,
    resolved: &Resolved,
    claim: &Claim,
    options: FetchOptions,
    reporter: &dyn Reporter,
) -> Result<Fetched, FetchError> {
    let fetch = Fetch {
        github,
        resolved,
        claim,
        reporter,
    };
    let mut fetched = match &resolved.files {
        Files::Release(files) => fetch.release(files, options).await?,
        Files::Artifact {
            repository,
            artifact,
        } => fetch.artifact(repository, artifact, options).await?,
        Files::Local { path } => fetch.local(path).await?,
    };
    if fetched.verified == Verification::Unverified {
        fetched.warnings.push(format!(
            "Nothing states the digest of {}, so it could not be verified.",
            names::disk(resolved.arch)
        ));
    }
    fetched
        .warnings
        .splice(0..0, resolved.warnings.iter().cloned());
    Ok(fetched)
}

/// One call of [`fetch()`].
struct Fetch<'a> {
    github: &'a GitHub,
    resolved: &'a Resolved,
    claim: &'a Claim,
    reporter: &'a dyn Reporter,
}

impl Fetch<'_> {
    async fn release(
        &self,
        files: &ReleaseFiles,
        options: FetchOptions,
    ) -> Result<Fetched, FetchError> {
        let (repo, disk) = (&files.repository, &files.disk);
        // The small one first: if it cannot be used, gigabytes are spared.
        let (manifest, announced) = match &files.manifest {
            Some(asset) => {
                let file = self.asset(repo, asset, MAX_SMALL).await?;
                let manifest = Manifest::read(&file.path)?;
                (Some(file), Some(manifest.image.sha256))
            }
            None => (None, None),
        };
        if let (Some(expected), Some(found)) = (announced, disk.digest)
            && expected != found
        {
            return Err(self.manifest_digest(expected, found));
        }
        let disk_file = self
            .asset(
                repo,
                &Asset {
                    digest: disk.digest.or(announced),
                    ..disk.clone()
                },
                MAX_DISK,
            )
            .await?;
        let snapshot = match files.snapshot.as_ref().filter(|_| options.snapshot_archive) {
            Some(asset) => Some(self.asset(repo, asset, MAX_SNAPSHOT).await?),
            None => None,
        };
        let mut received = [manifest.as_ref(), Some(&disk_file), snapshot.as_ref()]
            .into_iter()
            .flatten()
            .map(|file| file.received)
            .sum();
        let (base_env, warnings) = match &files.base_env {
            Some(asset) => {
                let file = self.asset(repo, asset, MAX_SMALL).await?;
                received += file.received;
                (Some(file.path), vec![])
            }
            None => self.make_base_env(repo).await?,
        };
        Ok(Fetched {
            disk: disk_file.path,
            manifest: manifest.map(|file| file.path),
            base_env,
            snapshot_archive: snapshot.map(|file| file.path),
            digest: disk_file.sha256,
            bytes: disk_file.bytes,
            verified: match (disk.digest, announced) {
                (Some(_), _) => Verification::Release,
                (None, Some(_)) => Verification::Manifest,
                (None, None) => Verification::Unverified,
            },
            origin: self.resolved.origin.clone(),
            warnings,
            received,
        })
    }

    async fn asset(
        &self,
        repo: &Repo,
        asset: &Asset,
        limit: u64,
    ) -> Result<Downloaded, DownloadError> {
        let wanted = Wanted {
            url: self.github.asset_url(repo, asset.id),
            accept: FILE_ITSELF,
            name: asset.name.clone(),
            identity: format!("{repo} asset {}", asset.id),
            bytes: Some(asset.bytes),
            besides: 0,
            sha256: asset.digest,
            limit,
        };
        download(self.github.http(), &wanted, self.claim, self.reporter).await
    }

    async fn artifact(
        &self,
        repo: &Repo,
        artifact: &Artifact,
        options: FetchOptions,
    ) -> Result<Fetched, FetchError> {
        let wanted = Wanted {
            url: self.github.artifact_url(repo, artifact.id),
            // GitHub refuses anything but its own type here, and redirects to the zip.
            accept: "application/vnd.github+json",
            name: self.resolved.name.clone(),
            identity: format!("{repo} artifact {}", artifact.id),
            // What the API says is not always the length of the zip.
            bytes: None,
            // What is in it takes no less than the zip does.
            besides: artifact.bytes,
            sha256: artifact.digest,
            limit: MAX_DISK + MAX_SNAPSHOT,
        };
        let zip = download(self.github.http(), &wanted, self.claim, self.reporter).await?;
        let mut fetched = self.unpacked(&zip.path, options.snapshot_archive).await?;
        fetched.received = zip.received;
        if artifact.digest.is_some() {
            fetched.verified = Verification::Artifact;
        }
        if fetched.base_env.is_none() {
            let (base_env, warnings) = self.make_base_env(repo).await?;
            fetched.base_env = base_env;
            fetched.warnings.extend(warnings);
        }
        Ok(fetched)
    }

    /// What is in an artifact's zip. The zip stays until the claim is finished:
    /// a process that dies from here on need not download it again.
    async fn unpacked(&self, zip: &Path, with_snapshot: bool) -> Result<Fetched, FetchError> {
        let arch = self.resolved.arch;
        let running = Running::begin(self.reporter, Phase::Extract);
        let files = self
            .unpack(zip, expected(arch, with_snapshot), &running)
            .await?;
        drop(running);
        let folder = self.claim.folder();
        let find = |name: String| {
            files
                .iter()
                .find(|file| file.name == name)
                .map(|file| (folder.join(&file.name), file))
        };
        let (disk, file) = find(names::disk(arch)).ok_or_else(|| FetchError::NoDisk {
            path: zip.to_owned(),
            name: names::disk(arch),
        })?;
        let manifest = find(names::manifest(arch)).map(|(path, _)| path);
        let verified = self.check_manifest(manifest.as_deref(), file.sha256)?;
        Ok(Fetched {
            disk,
            manifest,
            base_env: find(names::base_env(arch)).map(|(path, _)| path),
            snapshot_archive: find(names::snapshot(arch)).map(|(path, _)| path),
            digest: file.sha256,
            bytes: file.bytes,
            verified,
            origin: self.resolved.origin.clone(),
            warnings: vec![],
            received: 0,
        })
    }

    async fn unpack(
        &self,
        zip: &Path,
        expected: Vec<Expected>,
        running: &Running<'_>,
    ) -> Result<Vec<Unpacked>, FetchError> {
        let (zip, folder) = (zip.to_owned(), self.claim.folder().to_owned());
        let shown = zip.clone();
        let lease = self.claim.lease();
        // Dropped together with this future; the thread then ends by itself.
        let wanted_still = StopOnDrop::default();
        let stop = wanted_still.0.clone();
        let (reports, mut reported) = tokio::sync::watch::channel((0, 0));
        let thread = tokio::task::spawn_blocking(move || {
            let _lease = lease;
            unpack(&zip, &folder, &expected, &stop, &mut |done, total| {
                reports.send_replace((done, total));
            })
        });
        // Ends when the thread drops the sender.
        while reported.changed().await.is_ok() {
            let (done, total) = *reported.borrow_and_update();
            running.bytes(done, total);
        }
        match thread.await {
            Ok(unpacked) => Ok(unpacked?),
            Err(_) => Err(ArtifactError::Stopped { path: shown }.into()),
        }
    }

    /// Reads the manifest that came along, and compares its digest.
    fn check_manifest(
        &self,
        manifest: Option<&Path>,
        found: Sha256Digest,
    ) -> Result<Verification, FetchError> {
        let Some(path) = manifest else {
            return Ok(Verification::Unverified);
        };
        let expected = Manifest::read(path)?.image.sha256;
        if expected == found {
            Ok(Verification::Manifest)
        } else {
            Err(self.manifest_digest(expected, found))
        }
    }

    fn manifest_digest(&self, expected: Sha256Digest, found: Sha256Digest) -> FetchError {
        FetchError::ManifestDigest {
            name: names::disk(self.resolved.arch),
            expected,
            found,
        }
    }

    /// Makes `base.env` from the commit that the image was built from. An image
    /// without it is still an image, so what is missing is a warning.
    async fn make_base_env(
        &self,
        repo: &Repo,
    ) -> Result<(Option<PathBuf>, Vec<String>), FetchError> {
        let (text, warnings) =
            make_settings_of(self.github, repo, self.resolved, self.reporter).await;
        let Some(text) = text else {
            return Ok((None, warnings));
        };
        let path = self
            .claim
            .folder()
            .join(names::base_env(self.resolved.arch));
        record::replace(&path, text.as_bytes(), record::Durability::PowerCut)
            .map_err(FetchError::file("write", &path))?;
        Ok((Some(path), warnings))
    }
}

/// Makes the settings for the guest of an image that was fetched before, when they
/// could not be had: GitHub may have refused to be asked any more. With them, or
/// in their place, comes what the user should know.
///
/// Nothing at all for an image whose settings are not made from sources.
pub async fn make_settings(
    github: &GitHub,
    resolved: &Resolved,
    reporter: &dyn Reporter,
) -> (Option<String>, Vec<String>) {
    match (resolved.sources(), resolved.commit()) {
        (Some(repo), Some(_)) => make_settings_of(github, repo, resolved, reporter).await,
        _ => (None, vec![]),
    }
}

async fn make_settings_of(
    github: &GitHub,
    repo: &Repo,
    resolved: &Resolved,
    reporter: &dyn Reporter,
) -> (Option<String>, Vec<String>) {
    let _running = Running::begin(reporter, Phase::Resolve);
    let composed = match resolved.commit() {
        Some(commit) => {
            let work = compose_base_env(github, repo, commit);
            github.telling(reporter, work).await
        }
        None => Err(BaseEnvMissing::NoCommit),
    };
    match composed {
        Ok((text, warnings)) => (Some(text), warnings),
        Err(missing) => {
            let warning = format!(
                "The image's development settings could not be made: {missing}. Sign-in with \
                 mock providers, e-mail, storage and other services inside the emulator may not work."
            );
            (None, vec![warning])
        }
    }
}

async fn compose_base_env(
    github: &GitHub,
    repo: &Repo,
    commit: &str,
) -> Result<(String, Vec<String>), BaseEnvMissing> {
    let backend = github.content(repo, BACKEND_PATH, commit).await?;
    let dashboard = github.content(repo, DASHBOARD_PATH, commit).await?;
    let composed = compose(&backend, &dashboard)?;
    let warnings = if composed.left_out.is_empty() {
        vec![]
    } else {
        vec![format!(
            "These development settings refer to what is not known here, and were left out: {}.",
            composed.left_out.join(", ")
        )]
    };
    Ok((composed.text, warnings))
}

/// Why there is no `base.env`; told to the user in a warning.
#[derive(Debug, thiserror::Error)]
enum BaseEnvMissing {
    #[error("it is not known which commit the image was built from")]
    NoCommit,
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Content(#[from] BaseEnvError),
}

fn expected(arch: Arch, with_snapshot: bool) -> Vec<Expected> {
    let mut expected = vec![
        Expected {
            name: names::disk(arch),
            limit: MAX_DISK,
        },
        Expected {
            name: names::manifest(arch),
            limit: MAX_SMALL,
        },
        Expected {
            name: names::base_env(arch),
            limit: MAX_SMALL,
        },
    ];
    if with_snapshot {
        expected.push(Expected {
            name: names::snapshot(arch),
            limit: MAX_SNAPSHOT,
        });
    }
    expected
}
