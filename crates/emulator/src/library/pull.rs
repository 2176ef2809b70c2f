//! `pull` and `releases`: images from elsewhere into the store, ready to start.
//!
//! Getting an image holds no instance's lock, so an emulator can be used
//! meanwhile; the store sees to it that two processes do not get the same image
//! twice. Only then is the instance locked, the image chosen for it, and a
//! snapshot taken.

use std::time::Instant;

use images::PullError;
use images::fetch::{
    ClaimError, FetchOptions, Verification, claim, fetch, leftovers, make_settings,
};
use images::github::{GitHub, Options, RateLimit, Release, Repo};
use images::source::{Arch, DEFAULT_BRANCH, Resolved, Source, resolve};
use images::store::{Incoming, Installed, Store};
use serde::Serialize;

use crate::config::error::ConfigError;
use crate::config::preferences::Preferences;
use crate::instance::capture::CaptureReport;
use crate::instance::error::InstanceError as Error;
use crate::instance::start::StartReport;
use crate::instance::{Emulator, LockedInstance};
use crate::library::prune::PruneReport;
use crate::library::token::{from_keychain, github_token};
use failure::chain;
use progress::{Event, Phase, PhaseTime, Reporter, Stopwatch, milliseconds};

/// What to pull; what is `None` is as the settings have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullRequest {
    /// Which image: that of a tag, a pull request, a run, a file.
    pub source: Option<Source>,
    /// The repository.
    pub repository: Option<Repo>,
    /// Architecture of the guest.
    pub arch: Option<Arch>,
    /// Leave it at the image: no snapshot is taken.
    pub skip_snapshot: bool,
}

/// How an image got into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PullOutcome {
    /// It is new here.
    Installed,
    /// It was here already.
    AlreadyInstalled,
}

/// What a pull reports.
#[derive(Clone, Debug, Serialize)]
pub struct PullReport {
    /// The image.
    pub image: Installed,
    /// Whether it was here already.
    pub outcome: PullOutcome,
    /// Bytes that came over the network.
    pub received_bytes: u64,
    /// How fast they came, if any did.
    pub bytes_per_second: Option<f64>,
    /// Whether the instance's next start uses the image.
    pub chosen: bool,
    /// Why it does not.
    pub not_chosen_because: Option<String>,
    /// Whether it would once the session that is in the way is discarded.
    #[serde(skip)]
    pub session_in_the_way: bool,
    /// The snapshot that was taken, if one was.
    pub snapshot: Option<CaptureReport>,
    /// What made room for it, by the limit that is set.
    pub tidied: Option<PruneReport>,
    /// What the user should know about the image.
    pub warnings: Vec<String>,
    /// From the call to the end, in milliseconds.
    pub total_ms: f64,
    /// The phases of getting it, in order.
    pub phases: Vec<PhaseTime>,
}

/// What `releases` reports.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseList {
    /// The repository.
    pub repository: Repo,
    /// Its releases with images, newest first.
    pub releases: Vec<Release>,
    /// This program's own repository, which has the starter, if that is another one and known.
    #[serde(skip)]
    pub starter_in: Option<Repo>,
    /// How much more GitHub may be asked, if it counts.
    pub rate_limit: Option<RateLimit>,
}

impl ReleaseList {
    /// The age of the newest image, such as `6 months`, if it is one to wonder about.
    pub fn worrying_age(&self) -> Option<String> {
        let newest = self.releases.iter().filter_map(Release::changed_at).max();
        images::age::worth_a_word(newest?, host::now_ms())
    }
}

/// An image that has just been got.
struct Got {
    image: Installed,
    outcome: PullOutcome,
    received_bytes: u64,
    warnings: Vec<String>,
    phases: Vec<PhaseTime>,
}

impl Emulator {
    /// The releases of `repository` that have images; of the usual one without.
    pub async fn releases(
        &self,
        repository: Option<&Repo>,
        reporter: &dyn Reporter,
    ) -> Result<ReleaseList, Error> {
        let preferences = Preferences::read(&self.home)?;
        let repository = repository_of(&preferences, repository)?;
        let github = self.github(reporter).await?;
        let work = github.emulator_releases(&repository);
        let releases = github.telling(reporter, work).await;
        let releases = releases.map_err(PullError::from)?;
        let own = self.settings.updates.own_repository();
        Ok(ReleaseList {
            starter_in: own.filter(|own| *own != repository),
            repository,
            releases,
            rate_limit: github.rate_limit(),
        })
    }

    /// Gets an image, chooses it for this instance and takes a snapshot of it.
    ///
    /// What is here already is not got again. If the instance runs or keeps a
    /// session on another image, the image is installed and not chosen. When
    /// the future is dropped, the next pull goes on where this one was.
    pub async fn pull(
        &self,
        request: &PullRequest,
        reporter: &dyn Reporter,
    ) -> Result<PullReport, Error> {
        let begun = Instant::now();
        let got = self.install(request, reporter).await?;
        let (chosen, snapshot) = match self.put_to_use(request, &got.image, reporter).await? {
            Ok(snapshot) => (None, snapshot),
            Err(reason) => (Some(reason), None),
        };
        let session_in_the_way = chosen.is_some() && got.image.arch == self.image_arch();
        let tidied = self.tidy_by_preferences(reporter).await?;
        let downloading = got
            .phases
            .iter()
            .find(|time| time.name == Phase::Download.name());
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = downloading
            .filter(|_| got.received_bytes > 0)
            .map(|time| got.received_bytes as f64 / (time.ms / 1e3).max(1e-3));
        // As the store has it now: a start or a snapshot may have used it.
        let image = self.home.image_store().get(got.image.digest)?;
        Ok(PullReport {
            image: image.unwrap_or(got.image),
            outcome: got.outcome,
            received_bytes: got.received_bytes,
            bytes_per_second: rate,
            chosen: chosen.is_none(),
            not_chosen_because: chosen,
            session_in_the_way,
            snapshot,
            tidied,
            warnings: got.warnings,
            total_ms: milliseconds(begun.elapsed()),
            phases: got.phases,
        })
    }

    /// Chooses the image and takes a snapshot of it, or says why the image
    /// cannot be chosen.
    async fn put_to_use(
        &self,
        request: &PullRequest,
        image: &Installed,
        reporter: &dyn Reporter,
    ) -> Result<Result<Option<CaptureReport>, String>, Error> {
        if image.arch != self.image_arch() {
            return Ok(Err(format!(
                "it is for {}, and this emulator is set to {}",
                image.arch, self.settings.arch
            )));
        }
        let held = self.hold("pull", reporter).await?;
        match held.choose_image(image) {
            Err(error @ (Error::Running { .. } | Error::SessionKept { .. })) => {
                let why = match error {
                    Error::Running { .. } => "the emulator is running another image",
                    _ => "the saved session belongs to another image",
                };
                return Ok(Err(why.to_owned()));
            }
            chosen => chosen?,
        }
        if request.skip_snapshot {
            return Ok(Ok(None));
        }
        held.capture_if_missing(reporter).await.map(Ok)
    }

    /// Gets the image that is asked for into the store.
    async fn install(&self, request: &PullRequest, reporter: &dyn Reporter) -> Result<Got, Error> {
        let preferences = Preferences::read(&self.home)?;
        let repository = repository_of(&preferences, request.repository.as_ref())?;
        let source = source_of(&preferences, request.source.as_ref());
        let arch = request.arch.unwrap_or(self.image_arch());
        let watch = Stopwatch::new(reporter);
        let github = self.github(reporter).await?;
        let resolved = self
            .resolve(&github, &repository, &source, arch, &watch)
            .await?;
        let mut warnings = resolved.warnings.clone();
        let got = |image, outcome, received_bytes, warnings: Vec<String>| {
            for warning in &warnings {
                reporter.report(Event::Warning(warning));
            }
            Got {
                image,
                outcome,
                received_bytes,
                warnings,
                phases: watch.times(),
            }
        };
        let store = self.home.image_store();
        if let Some(image) = known(&store, &resolved).await? {
            warnings.extend(complete(&store, &image, &github, &resolved, &watch).await?);
            return Ok(got(image, PullOutcome::AlreadyInstalled, 0, warnings));
        }
        let right = claim(&resolved, &store.incoming(), &watch)
            .await
            .map_err(PullError::from)?;
        // The one that had it before may have put the image into the store.
        if let Some(image) = known(&store, &resolved).await? {
            drop(right.finish());
            return Ok(got(image, PullOutcome::AlreadyInstalled, 0, warnings));
        }
        let options = FetchOptions::default();
        let fetched = fetch(&github, &resolved, &right, options, &watch)
            .await
            .map_err(PullError::from)?;
        // With those of before.
        warnings.clone_from(&fetched.warnings);
        let received = fetched.received;
        let added = blocking({
            let store = store.clone();
            move || {
                store.add(&Incoming {
                    disk: &fetched.disk,
                    base_env: fetched.base_env.as_deref(),
                    digest: fetched.digest,
                    verified: fetched.verified,
                    arch,
                    origin: &fetched.origin,
                })
            }
        })
        .await?;
        // What is not removed costs space until `images prune`, and nothing else.
        if let Err(error) = right.finish() {
            tracing::debug!(%error, "what was downloaded could not be removed after use");
        }
        if let Err(error) = remove_superseded(&store, &source) {
            tracing::debug!(%error, "an older unfinished download could not be removed");
        }
        let outcome = if added.known {
            PullOutcome::AlreadyInstalled
        } else {
            PullOutcome::Installed
        };
        Ok(got(added.image, outcome, received, warnings))
    }

    /// Finds out which file is meant. Where the default repository has no image, the error says who has one.
    pub(crate) async fn resolve(
        &self,
        github: &GitHub,
        repository: &Repo,
        source: &Source,
        arch: Arch,
        reporter: &dyn Reporter,
    ) -> Result<Resolved, Error> {
        let resolved = resolve(github, repository, source, arch, reporter).await;
        resolved.map_err(|error| {
            let own = self.settings.updates.own_repository();
            let usual = *repository == Repo::default() && *source == Source::default();
            if usual && own.as_ref() != Some(repository) && error.is_without_image() {
                Error::NoPublishedImage {
                    repository: Box::new(repository.clone()),
                    arch,
                    own: own.map(Box::new),
                    source: Box::new(error.into()),
                }
            } else {
                PullError::from(error).into()
            }
        })
    }

    pub(crate) async fn github(&self, reporter: &dyn Reporter) -> Result<GitHub, Error> {
        let keychain = async {
            match from_keychain(&self.settings).await {
                Ok(token) => token,
                // Releases can be had without one.
                Err(error) => {
                    reporter.report(Event::Warning(&format!(
                        "The GitHub token could not be read from the keychain; continuing without it: {}.",
                        chain(&error)
                    )));
                    None
                }
            }
        };
        let token = github_token(&self.settings, keychain).await;
        let options = Options {
            api: self.settings.github_api.clone(),
            token,
            cache: Some(self.home.cache().join("github")),
            ..Options::default()
        };
        Ok(GitHub::new(options).map_err(PullError::from)?)
    }
}

impl Emulator {
    /// Has the emulator run, by the fastest way that works; pulls the usual image first if there is
    /// none at all.
    pub async fn start(&self, reporter: &dyn Reporter) -> Result<StartReport, Error> {
        Box::pin(self.start_with(
            &|held, reporter| Box::pin(held.pull_if_none(reporter)),
            reporter,
        ))
        .await
    }
}

impl LockedInstance<'_> {
    /// Pulls the usual image if there is none that a start could use, and says
    /// so first.
    pub(crate) async fn pull_if_none(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let emulator = self.emulator;
        if !emulator.lacks_image(&emulator.remembered()?) {
            return Ok(());
        }
        // Not worth a download on a host that cannot run it.
        emulator.find_qemu().await?;
        let preferences = Preferences::read(&emulator.home)?;
        let repository = repository_of(&preferences, None)?;
        let branch = preferences.branch.as_deref().unwrap_or(DEFAULT_BRANCH);
        reporter.report(Event::Notice(&format!(
            "There is no image yet: pulling the latest of branch {branch} of {repository}, \
             then booting it once to take a snapshot. Later starts need neither."
        )));
        let got = emulator.install(&PullRequest::default(), reporter).await?;
        self.choose_image(&got.image)
    }
}

pub(crate) fn repository_of(
    preferences: &Preferences,
    asked: Option<&Repo>,
) -> Result<Repo, ConfigError> {
    match (asked, &preferences.repository) {
        (Some(asked), _) => Ok(asked.clone()),
        (None, Some(text)) => text
            .parse()
            .map_err(|_| ConfigError::Repository(text.clone())),
        (None, None) => Ok(Repo::default()),
    }
}

pub(crate) fn source_of(preferences: &Preferences, asked: Option<&Source>) -> Source {
    match (asked, &preferences.branch) {
        (Some(asked), _) => asked.clone(),
        (None, Some(branch)) => Source::Rolling {
            branch: branch.clone(),
        },
        (None, None) => Source::default(),
    }
}

/// The image, if it is in the store already, whole; it then has this name too.
async fn known(store: &Store, resolved: &Resolved) -> Result<Option<Installed>, Error> {
    let (store, resolved) = (store.clone(), resolved.clone());
    blocking(move || {
        let by_digest = match resolved.digest {
            Some(digest) => store.get(digest)?,
            None => None,
        };
        let found = match by_digest {
            Some(image) => Some((image, Verification::Release)),
            None => store
                .from_origin(&resolved.origin, resolved.arch)?
                .map(|image| {
                    let verified = image.verified;
                    (image, verified)
                }),
        };
        // One that is damaged is got again.
        match found.filter(|(image, _)| image.arch == resolved.arch && image.is_intact()) {
            Some((image, verified)) => store.name(&image, &resolved.origin, verified).map(Some),
            None => Ok(None),
        }
    })
    .await
}

/// Makes the settings of an image that is here without them.
async fn complete(
    store: &Store,
    image: &Installed,
    github: &GitHub,
    resolved: &Resolved,
    reporter: &dyn Reporter,
) -> Result<Vec<String>, Error> {
    if store.has_base_env(image) {
        return Ok(vec![]);
    }
    let (text, warnings) = make_settings(github, resolved, reporter).await;
    if let Some(text) = text {
        store.put_base_env(image, &text)?;
    }
    Ok(warnings)
}

/// Removes what tries to get an earlier image from `source` have left: nobody
/// can go on with that any more.
fn remove_superseded(store: &Store, source: &Source) -> Result<(), ClaimError> {
    for leftover in leftovers(&store.incoming())? {
        let info = leftover.info.as_ref();
        if info.is_some_and(|info| info.origin.source() == *source) {
            leftover.remove()?;
        }
    }
    Ok(())
}

/// Runs work that reads or writes whole images on a thread that may block.
async fn blocking<T: Send + 'static, E: Into<Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
