//! What could be pulled: what a source stands for, whether there is something
//! newer, and which downloads wait to go on.
//!
//! Nothing here downloads an image or changes anything.

use images::PullError;
use images::fetch::{bytes_here, leftovers};
use images::github::{Asset, Release, is_commit};
use images::source::{Arch, Origin, Resolved, Source, names, rolling_tag};
use images::store::Installed;

use crate::config::preferences::Preferences;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::library::pull::{PullRequest, repository_of, source_of};
use crate::library::set_up::SetUp;
use progress::Reporter;

/// What memory and disk of a snapshot take in bytes, where no snapshot tells:
/// what the published image's have come to.
const USUAL_SNAPSHOT: u64 = 1_400_000_000;

/// An image that could be pulled.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What was asked for, with what the settings fill in.
    pub source: Source,
    /// The file that it stands for now.
    pub resolved: Resolved,
    /// What of the file is here from earlier tries, in bytes.
    pub bytes_here: u64,
    /// The image, if it is here already.
    pub installed: Option<Installed>,
    /// What image and snapshot will take on disk, in bytes; an estimate.
    pub disk_bytes: u64,
}

/// A download that ended early and can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedPull {
    /// What to pull to go on.
    pub source: Source,
    /// Its short name.
    pub label: String,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes that there are in all; as many as are here, where that is not known.
    pub total: u64,
    /// Whether it is part of setting the emulator up.
    pub set_up: bool,
}

/// The disk image for `arch` in a release, if it has been uploaded.
pub fn disk_of(release: &Release, arch: Arch) -> Option<&Asset> {
    let disk = release.asset(&names::disk(arch))?;
    disk.uploaded.then_some(disk)
}

/// The commit that a release was made from, if it says so itself.
pub fn commit_of(release: &Release) -> Option<&str> {
    is_commit(&release.target).then_some(release.target.as_str())
}

/// The branch that a rolling release's tag moves along with.
pub fn branch_of_tag(tag: &str) -> Option<&str> {
    let branch = tag.strip_prefix("emulator-")?.strip_suffix("-latest")?;
    (!branch.is_empty()).then_some(branch)
}

/// The branch that an image follows, by one of the names that it has.
fn followed_branch(image: &Installed) -> Option<&str> {
    let of_origin = |origin: &Origin| match origin {
        Origin::Release { branch, .. } => branch.is_some(),
        Origin::PullRequest { .. } | Origin::Run { .. } | Origin::File { .. } => false,
    };
    let references = image.references.iter().map(|reference| &reference.origin);
    let mut origins = references.chain([&image.origin]);
    match origins.find(|origin| of_origin(origin)) {
        Some(Origin::Release { branch, .. }) => branch.as_deref(),
        Some(_) | None => None,
    }
}

/// Whether a release's disk is another one than `image` has.
fn differs(disk: &Asset, image: &Installed) -> bool {
    if let Some(digest) = disk.digest {
        return digest != image.digest;
    }
    // Numbers of assets are never used again.
    let references = image.references.iter().map(|reference| &reference.origin);
    !references
        .chain([&image.origin])
        .any(|origin| matches!(origin, Origin::Release { asset, .. } if *asset == disk.id))
}

impl Emulator {
    /// What a pull would get.
    ///
    /// # Errors
    ///
    /// [`Error::Pull`] if there is no such image, or GitHub cannot be asked.
    pub async fn offer(
        &self,
        request: &PullRequest,
        reporter: &dyn Reporter,
    ) -> Result<Offer, Error> {
        let preferences = Preferences::read(&self.home)?;
        let repository = repository_of(&preferences, request.repository.as_ref())?;
        let source = source_of(&preferences, request.source.as_ref());
        let arch = request.arch.unwrap_or(self.image_arch());
        let github = self.github(reporter).await?;
        let resolved = self
            .resolve(&github, &repository, &source, arch, reporter)
            .await?;
        let store = self.home.image_store();
        let mut installed = match resolved.digest {
            Some(digest) => store.get(digest)?,
            None => None,
        };
        if installed.is_none() {
            installed = store.from_origin(&resolved.origin, arch)?;
        }
        let image = resolved.bytes.unwrap_or_default();
        Ok(Offer {
            bytes_here: bytes_here(&store.incoming(), &resolved),
            disk_bytes: image.saturating_add(self.snapshot_size()?),
            source,
            resolved,
            installed,
        })
    }

    /// What a snapshot takes, in bytes, by those that there are.
    fn snapshot_size(&self) -> Result<u64, Error> {
        let images = self.images()?.images;
        let snapshots = images.iter().flat_map(|image| &image.snapshots);
        let sizes = snapshots.filter(|snapshot| !snapshot.archived);
        let largest = sizes.map(|snapshot| snapshot.bytes_on_disk).max();
        Ok(largest.unwrap_or(USUAL_SNAPSHOT))
    }

    /// The newest release of the branch that the image in use follows, if that
    /// has another image. `None` too for an image that follows no branch: who
    /// chose a certain build is not to be led away from it.
    ///
    /// # Errors
    ///
    /// [`Error::Pull`] if GitHub cannot be asked.
    pub async fn newer(&self, reporter: &dyn Reporter) -> Result<Option<Release>, Error> {
        let Some(image) = self.image_in_use()? else {
            return Ok(None);
        };
        let Some(branch) = followed_branch(&image) else {
            return Ok(None);
        };
        let preferences = Preferences::read(&self.home)?;
        let repository = match image.origin.repository() {
            Some(repository) => repository.clone(),
            None => repository_of(&preferences, None)?,
        };
        let github = self.github(reporter).await?;
        let tag = rolling_tag(branch);
        let release = github
            .release_by_tag(&repository, &tag)
            .await
            .map_err(PullError::from)?;
        let newer = disk_of(&release, image.arch).is_some_and(|disk| differs(disk, &image));
        Ok(newer.then_some(release))
    }

    /// The image that the next start uses, if it is one that was pulled.
    pub fn image_in_use(&self) -> Result<Option<Installed>, Error> {
        let path = self.image_to_use(&self.remembered()?);
        let store = self.home.image_store();
        match store.digest_at(&path) {
            Some(digest) => Ok(store.get(digest)?),
            None => Ok(None),
        }
    }

    /// The downloads that ended early; those that are under way are not among them.
    pub fn unfinished_pulls(&self) -> Result<Vec<UnfinishedPull>, Error> {
        let staging = self.home.image_store().incoming();
        let set_up = SetUp::read(&self.home)?;
        let wanted = |source: &Source| {
            set_up
                .as_ref()
                .is_some_and(|set_up| set_up.source == *source)
        };
        let mut found = Vec::new();
        let mut under_way = false;
        for leftover in leftovers(&staging).map_err(PullError::from)? {
            let received = leftover.received();
            let Some(info) = leftover.info else {
                continue;
            };
            let source = info.origin.source();
            if leftover.busy {
                under_way |= wanted(&source);
                continue;
            }
            found.push(UnfinishedPull {
                set_up: wanted(&source),
                source,
                label: leftover.label,
                done: received,
                total: info.bytes.unwrap_or(received),
            });
        }
        // The download is over, or had not begun; what comes after it is not.
        if let Some(set_up) = set_up
            && !under_way
            && !found.iter().any(|pull| pull.set_up)
        {
            let bytes = self.bytes_of(&set_up.source)?;
            found.push(UnfinishedPull {
                label: set_up.label(),
                source: set_up.source,
                done: bytes,
                total: bytes,
                set_up: true,
            });
        }
        Ok(found)
    }

    /// The length of the image that came from `source`, in bytes; 0 if it is not here.
    fn bytes_of(&self, source: &Source) -> Result<u64, Error> {
        let images = self.home.image_store().contents()?.images;
        let image = images.iter().find(|image| {
            let references = image.references.iter().map(|reference| &reference.origin);
            references
                .chain([&image.origin])
                .any(|origin| origin.source() == *source)
        });
        Ok(image.map_or(0, |image| image.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::Settings;

    #[test]
    fn the_tag_of_a_rolling_release_names_its_branch() {
        assert_eq!(branch_of_tag(&rolling_tag("dev")), Some("dev"));
        assert_eq!(branch_of_tag("emulator-a-b-latest"), Some("a-b"));
        assert_eq!(branch_of_tag("emulator--latest"), None);
        assert_eq!(branch_of_tag("emulator-v1.2"), None);
    }

    #[tokio::test]
    async fn a_download_is_unfinished_once_nobody_is_at_it() {
        use images::fetch::claim;
        use images::github::{GitHub, Options, Repo};
        use progress::Silent;

        let dir = tempfile::tempdir().unwrap();
        let home = [(
            "STACK_EMULATOR_HOME".into(),
            dir.path().join("emulator").into(),
        )];
        let settings = Settings::from_variables(home).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        let disk = dir.path().canonicalize().unwrap().join("disk.qcow2");
        std::fs::write(&disk, "123456789").unwrap();
        let source = Source::File(disk);
        emulator.begin_set_up(Some(&source)).unwrap();

        let github = GitHub::new(Options::default()).unwrap();
        let repository = Repo::default();
        let resolved = emulator.resolve(&github, &repository, &source, Arch::Amd64, &Silent);
        let resolved = resolved.await.unwrap();
        let staging = emulator.home().image_store().incoming();
        let right = claim(&resolved, &staging, &Silent).await.unwrap();
        std::fs::write(right.folder().join("disk.qcow2.part"), "1234").unwrap();
        assert_eq!(bytes_here(&staging, &resolved), 4);
        assert_eq!(emulator.unfinished_pulls().unwrap(), []);
        drop(right);
        let unfinished = UnfinishedPull {
            source,
            label: "disk.qcow2".into(),
            done: 4,
            total: 9,
            set_up: true,
        };
        assert_eq!(emulator.unfinished_pulls().unwrap(), [unfinished]);
    }

    #[test]
    fn what_setting_up_has_left_is_offered_before_there_is_a_download() {
        let dir = tempfile::tempdir().unwrap();
        let home = [("STACK_EMULATOR_HOME".into(), dir.path().into())];
        let settings = Settings::from_variables(home).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        assert_eq!(emulator.unfinished_pulls().unwrap(), []);
        emulator.begin_set_up(Some(&Source::Run(7))).unwrap();
        let waiting = UnfinishedPull {
            source: Source::Run(7),
            label: "run-7".into(),
            done: 0,
            total: 0,
            set_up: true,
        };
        assert_eq!(emulator.unfinished_pulls().unwrap(), [waiting]);
        emulator.finish_set_up().unwrap();
        assert_eq!(emulator.unfinished_pulls().unwrap(), []);
    }
}
