//! Which image an instance uses: what is chosen, by whom, and what holds if
//! nobody has.

use std::path::PathBuf;

use images::Image;
use images::store::{Installed, find};
use serde::Serialize;

use crate::instance::error::InstanceError as Error;
use crate::instance::{Emulator, LockedInstance};
use crate::machine::fingerprint::Content;
use crate::state::instance_record::InstanceRecord;
use crate::state::session::Base;
use crate::state::snapshot::{Found, Snapshot};
use progress::Reporter;
use record::{self, Durability};

/// What a choice of an image reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UseReport {
    /// The image that the next start uses; `None` if none is chosen.
    pub image: Option<Installed>,
    /// Whether there is a snapshot of it.
    pub has_snapshot: bool,
}

impl Emulator {
    /// The image to use: the one named, else the kept session's, else the one
    /// chosen or used last, else the one that was put in place by hand, else of
    /// those that were pulled the one that any instance used last. Need not exist.
    pub(crate) fn image_to_use(&self, remembered: &InstanceRecord) -> PathBuf {
        let default = self.home.default_image(self.settings.arch);
        let kept = || {
            // A session that cannot be understood is the start's to report.
            let base = Base::of(&self.home, &self.name).ok()??;
            let chosen = remembered.image_content.as_ref();
            let is_chosen = chosen.is_some_and(|chosen| Some(chosen.sha256) == base.image);
            (!is_chosen && base.image_path.exists()).then_some(base.image_path)
        };
        let chosen = || Some(self.home.path().join(remembered.image.as_ref()?));
        let placed = || default.exists().then(|| default.clone());
        let pulled = || {
            // A store that cannot be read says so where it is written to.
            let images = self.home.image_store().contents().ok()?.images.into_iter();
            let ours = images.filter(|image| image.arch == self.image_arch());
            let latest = ours.max_by_key(images::store::Installed::last_needed_at_ms)?;
            Some(latest.path)
        };
        let image = self.image.clone().or_else(kept).or_else(chosen);
        image.or_else(placed).or_else(pulled).unwrap_or(default)
    }

    /// Whether no image is installed, selected or named: a start pulls one.
    pub(crate) fn lacks_image(&self, remembered: &InstanceRecord) -> bool {
        let named = self.image.is_some() || remembered.image.is_some();
        !named && !self.image_to_use(remembered).exists()
    }

    /// The image's content: by what is known of it, or by reading it all.
    pub(crate) fn image_content(
        &self,
        image: &Image,
        known: Option<&Content>,
    ) -> Result<Content, Error> {
        let stamp = image.stamp;
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Ok(known.clone());
        }
        let store = self.home.image_store();
        let stored = store.digest_at(&image.path);
        if let Some(digest) = stored
            && let Ok(Some(installed)) = store.get(digest)
            && installed.stamp == stamp
        {
            let sha256 = digest;
            return Ok(Content { stamp, sha256 });
        }
        // Compared with the manifest's on the way.
        let sha256 = image.digest()?;
        match stored {
            Some(expected) if expected != sha256 => Err(Error::ImageChanged {
                path: image.path.clone(),
                expected,
                found: sha256,
            }),
            Some(_) | None => Ok(Content { stamp, sha256 }),
        }
    }

    /// The architecture of this instance's images.
    pub const fn image_arch(&self) -> host::Arch {
        self.settings.arch
    }

    /// Has the next starts of this instance use the image that `name` stands
    /// for: a tag, `pr-12`, `run-99` or the beginning of a digest.
    ///
    /// Refused while the instance runs another image or keeps a session on one.
    pub async fn use_image(&self, name: &str, reporter: &dyn Reporter) -> Result<UseReport, Error> {
        let held = self.hold("images use", reporter).await?;
        let contents = self.home.image_store().contents()?;
        let image = find(&contents.images, name, self.image_arch())?;
        held.choose_image(image)?;
        Ok(UseReport {
            has_snapshot: matches!(Snapshot::current(&self.paths), Found::Whole(_)),
            image: Some(image.clone()),
        })
    }

    /// Has this instance choose no image: its next start takes the one that
    /// was used last by any instance, or pulls one.
    pub async fn use_no_image(&self, reporter: &dyn Reporter) -> Result<UseReport, Error> {
        let held = self.hold("images use", reporter).await?;
        held.check_no_session(None)?;
        let record = InstanceRecord {
            image: None,
            image_content: None,
            ..self.remembered()?
        };
        record::write(&self.paths.instance_record(), &record, Durability::PowerCut)?;
        Ok(UseReport {
            image: None,
            has_snapshot: false,
        })
    }
}

impl LockedInstance<'_> {
    /// Writes down that the next starts use `image`, and takes up its snapshot.
    pub(crate) fn choose_image(&self, image: &Installed) -> Result<(), Error> {
        let emulator = self.emulator;
        self.check_no_session(Some(image))?;
        let opened = Image::open(&image.path)?;
        let content = (opened.stamp == image.stamp).then_some(Content {
            stamp: image.stamp,
            sha256: image.digest,
        });
        let record = InstanceRecord {
            image: Some(emulator.home.relative(&opened.path)),
            image_content: content,
            ..emulator.remembered()?
        };
        record::write(
            &emulator.paths.instance_record(),
            &record,
            Durability::PowerCut,
        )?;
        Snapshot::choose(&emulator.paths, &image.digest)?;
        Ok(())
    }

    /// Refuses if what the instance has now belongs to another image.
    fn check_no_session(&self, image: Option<&Installed>) -> Result<(), Error> {
        let emulator = self.emulator;
        let Some(session) = Base::of(&emulator.home, &emulator.name)? else {
            return Ok(());
        };
        if image.is_some_and(|image| Some(image.digest) == session.image) {
            return Ok(());
        }
        self.refuse_running("switch images")?;
        Err(Error::SessionKept {
            image: session.image_path,
        })
    }
}
