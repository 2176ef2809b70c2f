//! A newer release in the place of this app, where that place is the user's own: an `AppImage`, or the app from a disk image.
//!
//! Tauri's updater downloads what a release lists in `latest.json`, which `cargo xtask release updates` writes, and gives it out only
//! if it is signed, for the version that the user was offered, with the key whose public half is in `tauri.conf.json`. An app that
//! was built without a key replaces nothing, and neither does one that a package manager has installed: [`of_this_app`] says which
//! it is.
//!
//! Until [`Download::put_in_place`] nothing has changed. An `AppImage` is then replaced whole or not at all, by a rename. An app
//! for macOS is a folder, which Tauri's updater unpacks elsewhere, moves, and moves back if that fails.

#[cfg(target_os = "linux")]
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use emulator::{Code, Emulator};
use images::github::{PUBLIC_API, Repo};
use rustix::fs::Access;
use tauri::plugin::TauriPlugin;
use tauri::{AppHandle, Wry};
use tauri_plugin_updater::{Config, Error, Update, UpdaterExt as _};
use tokio::sync::Notify;
use url::Url;

use crate::wire::app::Installer;
use crate::wire::failure::{Answer, Failure};

/// Names a public key to a debug build, so that tests can update a real app.
const KEY_OF_TESTS: &str = "STACK_EMULATOR_TEST_UPDATE_KEY";
/// The list of a release's signed files.
const LIST: &str = "latest.json";
/// A server that cannot be reached by then is not waited for.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// A download that stands still for so long has ended.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// The longest release in bytes, ten times what one has: it is in memory until its signature was checked.
const LONGEST: u64 = 1 << 30;

/// Where Homebrew notes that it has installed our cask, on both kinds of processor.
const CASKS: [&str; 2] = [
    "/opt/homebrew/Caskroom/stack-emulator-app",
    "/usr/local/Caskroom/stack-emulator-app",
];

/// Tauri's updater. The page has no permission to call it.
pub(crate) fn plugin() -> TauriPlugin<Wry, Config> {
    tauri_plugin_updater::Builder::new().build()
}

/// What puts a newer release in the place of this app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The app itself; this is its file, or its folder on macOS.
    Own(PathBuf),
    /// Something else, as far as it is known what.
    Others(Option<Installer>),
}

/// Finds out what puts a newer release in the place of this app.
pub(crate) fn of_this_app(app: &AppHandle) -> Place {
    let program = std::env::current_exe().unwrap_or_default();
    match place(&program) {
        Place::Own(_) if key(app).is_none() => Place::Others(None),
        place => place,
    }
}

/// The key that releases are signed with, as `tauri signer generate` writes its public half.
fn key(app: &AppHandle) -> Option<String> {
    let of_tests = if cfg!(debug_assertions) {
        std::env::var(KEY_OF_TESTS).ok()
    } else {
        None
    };
    let built_in = || {
        let updater = app.config().plugins.0.get("updater")?;
        Some(updater.get("pubkey")?.as_str()?.to_owned())
    };
    of_tests.or_else(built_in).filter(|key| !key.is_empty())
}

fn place(program: &Path) -> Place {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let (own, installer) = if cfg!(target_os = "linux") {
        (
            app_image(program, variable("APPIMAGE"), variable("APPDIR")),
            program.starts_with("/usr/bin").then_some(Installer::Apt),
        )
    } else if cfg!(target_os = "macos") {
        let by_homebrew = CASKS.iter().any(|folder| Path::new(folder).is_dir());
        (
            bundle(program).filter(|_| !by_homebrew),
            by_homebrew.then_some(Installer::Homebrew),
        )
    } else {
        (None, None)
    };
    match own {
        Some(own) if is_replaceable(&own) => Place::Own(own),
        Some(_) | None => Place::Others(installer),
    }
}

/// The `AppImage` that `program` runs from.
///
/// Its variables are inherited by what it starts, a terminal for instance, and then name somebody else's: the program has to be
/// in the folder where the image is mounted.
fn app_image(program: &Path, image: Option<PathBuf>, mounted: Option<PathBuf>) -> Option<PathBuf> {
    let (image, mounted) = (image?, mounted?.canonicalize().ok()?);
    let is_inside = mounted.parent().is_some() && program.starts_with(mounted);
    (is_inside && image.is_file()).then_some(image)
}

/// The bundle that `program` runs from, unless it is one that is there only as long as it runs: on a disk image, or where macOS
/// puts a quarantined app that was not moved since its download.
fn bundle(program: &Path) -> Option<PathBuf> {
    let passing = program.starts_with("/Volumes")
        || program
            .components()
            .any(|part| part.as_os_str() == "AppTranslocation");
    let is_bundle = |folder: &&Path| folder.extension().is_some_and(|kind| kind == "app");
    let found = program.ancestors().find(is_bundle)?;
    (!passing).then(|| found.to_owned())
}

/// Where Tauri's updater is to find certificates, as variables that are not set yet, for a process that is an `AppImage`.
///
/// It sets them itself otherwise, to files that only some systems have, and in a process with many threads, which may read them
/// just then. These are what TLS finds without them.
#[cfg(target_os = "linux")]
pub(crate) fn certificates() -> Vec<(&'static str, OsString)> {
    if std::env::var_os("APPIMAGE").is_none() {
        return Vec::new();
    }
    let found = openssl_probe::probe();
    let folder = std::env::join_paths(found.cert_dir).ok();
    [
        (
            "SSL_CERT_FILE",
            found.cert_file.map(PathBuf::into_os_string),
        ),
        ("SSL_CERT_DIR", folder.filter(|folder| !folder.is_empty())),
    ]
    .into_iter()
    .filter(|(name, _)| std::env::var_os(name).is_none())
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// Whether this user may put something else there.
fn is_replaceable(path: &Path) -> bool {
    // A link leads to what is replaced.
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    let folder = path.parent().unwrap_or(&path);
    let may_write = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
    may_write(&path) && may_write(folder)
}

/// A release that was downloaded and is signed.
pub(crate) struct Download {
    /// What it replaces.
    own: PathBuf,
    update: Update,
    content: Vec<u8>,
}

/// Downloads the release `version`, of what `own` is to be replaced with, and checks its signature. `progress` gets how much is
/// here, in percent, whenever that changes; dropped at any moment, it leaves nothing.
///
/// # Errors
///
/// The release has no signed file for this computer, it cannot be downloaded, or it is not signed for that version with our key.
pub(crate) async fn download(
    app: &AppHandle,
    emulator: &Emulator,
    own: PathBuf,
    version: &str,
    progress: impl Fn(Option<u8>) + Send,
) -> Answer<Download> {
    let settings = emulator.settings();
    let key = key(app).ok_or_else(|| trouble("this app has no key to check releases with"))?;
    let list = settings
        .updates
        .repository()
        .and_then(|repository| list_of_release(settings.github_api.as_ref(), &repository, version));
    let list = list.ok_or_else(|| trouble("newer releases are not looked for"))?;
    let secure = list.scheme() == "https";
    let tls = images::http::tls()
        .map_err(|error| Failure::of(Code::TlsSetup, "the update was not downloaded", &error))?;
    let offered = version.to_owned();
    let updater = app
        .updater_builder()
        .pubkey(key)
        .version_comparator(move |_, release| release.version.to_string() == offered)
        .configure_client(move |client| {
            client
                .tls_backend_preconfigured(tls.clone())
                .https_only(secure)
                .connect_timeout(CONNECT_LIMIT)
                .read_timeout(IDLE_LIMIT)
        })
        .endpoints(vec![list])
        .and_then(tauri_plugin_updater::UpdaterBuilder::build)
        .map_err(|error| failure(&error))?;
    let update = updater.check().await.map_err(|error| failure(&error))?;
    let update = update.ok_or_else(|| trouble("the release lists files of another version"))?;

    let too_long = Notify::new();
    let (mut received, mut told) = (0, None);
    let on_chunk = |bytes: usize, total: Option<u64>| {
        received += bytes as u64;
        if received.max(total.unwrap_or_default()) > LONGEST {
            too_long.notify_one();
        }
        let percent = total.and_then(|total| share(received, total));
        if percent != told {
            told = percent;
            progress(percent);
        }
    };
    let content = tokio::select! {
        biased;
        () = too_long.notified() => return Err(trouble("the file is longer than any release")),
        content = update.download(on_chunk, || ()) => content.map_err(|error| failure(&error))?,
    };
    Ok(Download {
        own,
        update,
        content,
    })
}

impl Download {
    /// Puts it in the place of this app, which goes on as what it was until it is restarted.
    ///
    /// # Errors
    ///
    /// It cannot be written there; then the app is what it was.
    pub(crate) async fn put_in_place(self) -> Answer {
        let place = self.own.clone();
        let put = tauri::async_runtime::spawn_blocking(move || self.put());
        let put = put
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        put.map_err(|error| {
            let what = format!("{} was not replaced", place.display());
            let hint = if error.kind() == io::ErrorKind::StorageFull {
                "Free some disk space and try again."
            } else {
                "Check that you may write to it and to its folder, then try again."
            };
            Failure::of(Code::Update, &what, &error).with_hint(hint)
        })
    }

    #[cfg(not(target_os = "macos"))]
    fn put(self) -> io::Result<()> {
        tracing::info!(version = self.update.version, "the app is replaced");
        replace_file(&self.own, &self.content)
    }

    #[cfg(target_os = "macos")]
    fn put(self) -> io::Result<()> {
        tracing::info!(version = self.update.version, "the app is replaced");
        self.update
            .install(self.content)
            .map_err(|error| match error {
                Error::Io(error) => error,
                other => io::Error::other(other),
            })
    }
}

/// Puts `content` at `path`, whole or not at all, with the mode that the file has.
#[cfg(not(target_os = "macos"))]
fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let place = record::regular::Place::find(path, &[])?;
    let was = place.read(LONGEST)?;
    place.replace(content, was.as_ref())
}

fn trouble(message: &str) -> Failure {
    Failure::new(Code::Update, message).with_hint("Install the release from its page.")
}

/// What an error of Tauri's updater means. Nothing was replaced.
fn failure(error: &Error) -> Failure {
    let (what, hint) = match error {
        Error::Minisign(_)
        | Error::Base64(_)
        | Error::SignatureUtf8(_)
        | Error::SignedVersionMismatch { .. }
        | Error::MissingSignedVersion => (
            "the release is not signed by those who made this app",
            "Do not install it. Report this as SECURITY.md in the app's repository says.",
        ),
        Error::ReleaseNotFound | Error::TargetNotFound(_) | Error::TargetsNotFound(_) => (
            "the release has nothing that this app could install by itself",
            "Install it from its page.",
        ),
        _ => (
            "the release was not downloaded",
            "Check the connection and try again, or install it from its page.",
        ),
    };
    let mut failure = Failure::of(Code::Update, what, error).with_hint(hint);
    // It may quote a server.
    failure.message = printable::lines(&failure.message).into_owned();
    failure
}

/// How much of `total` bytes is here, in percent.
fn share(received: u64, total: u64) -> Option<u8> {
    let percent = received.checked_mul(100)?.checked_div(total)?;
    u8::try_from(percent.min(100)).ok()
}

/// Where the release `version` of `repository` lists its signed files: on GitHub's pages, or on those of the server whose API
/// `api` is.
fn list_of_release(api: Option<&Url>, repository: &Repo, version: &str) -> Option<Url> {
    let pages = match api.filter(|api| api.as_str() != PUBLIC_API) {
        None => Url::parse("https://github.com/").ok()?,
        // As GitHub's own servers for companies have both.
        Some(api) => match api.as_str().strip_suffix("api/v3/") {
            Some(pages) => Url::parse(pages).ok()?,
            None => api.clone(),
        },
    };
    let path = format!("{repository}/releases/download/v{version}/{LIST}");
    pages.join(&path).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_app_image_is_ours_only_if_this_program_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (ours, theirs) = (root.join("mounted"), root.join("other"));
        let image = root.join("Stack Emulator.AppImage");
        for folder in [&ours, &theirs] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(&image, "").unwrap();
        let program = ours.join("usr/bin/stack-emulator-desktop");
        let of = |image: &Path, mounted: &Path| {
            app_image(&program, Some(image.to_owned()), Some(mounted.to_owned()))
        };
        assert_eq!(of(&image, &ours), Some(image.clone()));
        assert_eq!(of(&image, &theirs), None, "another program's");
        assert_eq!(of(&image, Path::new("/")), None, "everything is in there");
        assert_eq!(of(&root.join("gone"), &ours), None);
        assert_eq!(app_image(&program, Some(image), None), None);
        assert_eq!(app_image(&program, None, Some(ours)), None);
    }

    #[test]
    fn a_bundle_that_stays_where_it_is_can_be_replaced() {
        let of = |folder: &str| bundle(&Path::new(folder).join("Contents/MacOS/program"));
        let app = "/Applications/Stack Emulator.app";
        assert_eq!(of(app), Some(PathBuf::from(app)));
        assert_eq!(of("/Volumes/Stack Emulator/Stack Emulator.app"), None);
        assert_eq!(
            of("/private/var/folders/x/T/AppTranslocation/1/d/Stack Emulator.app"),
            None
        );
        assert_eq!(of("/usr/local/bin"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_is_replaced_whole_with_its_mode_or_not_at_all() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let (image, link) = (dir.path().join("app"), dir.path().join("link"));
        std::fs::write(&image, "old").unwrap();
        std::fs::set_permissions(&image, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&image, &link).unwrap();
        assert!(is_replaceable(&link));
        replace_file(&link, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&image).unwrap(), "new");
        assert_eq!(
            image.metadata().unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert!(link.is_symlink());
        std::fs::hard_link(&image, dir.path().join("second")).unwrap();
        replace_file(&image, b"newer").unwrap_err();
        assert_eq!(std::fs::read_to_string(&image).unwrap(), "new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        assert!(!is_replaceable(&dir.path().join("gone")));
    }

    #[test]
    fn the_list_is_on_the_pages_of_the_server_that_is_asked() {
        let repository = "owner/name".parse().unwrap();
        let of = |api: Option<&str>| {
            let api = api.map(|api| Url::parse(api).unwrap());
            let list = list_of_release(api.as_ref(), &repository, "1.2.3");
            list.unwrap().to_string()
        };
        let path = "owner/name/releases/download/v1.2.3/latest.json";
        assert_eq!(of(None), format!("https://github.com/{path}"));
        assert_eq!(of(Some(PUBLIC_API)), format!("https://github.com/{path}"));
        assert_eq!(
            of(Some("https://git.example/api/v3/")),
            format!("https://git.example/{path}")
        );
        assert_eq!(
            of(Some("http://127.0.0.1:8080/")),
            format!("http://127.0.0.1:8080/{path}")
        );
    }

    #[test]
    fn a_wrong_signature_is_no_trouble_of_the_connection() {
        let signature = failure(&Error::MissingSignedVersion);
        assert!(signature.message.contains("not signed"), "{signature:?}");
        let connection = failure(&Error::Network("it\u{1b}[2J broke".into()));
        assert!(connection.hint.unwrap().contains("try again"));
        assert!(!connection.message.contains('\u{1b}'));
    }

    proptest! {
        #[test]
        fn progress_is_a_share(received: u64, total: u64) {
            prop_assert!(share(received, total).is_none_or(|percent| percent <= 100));
            let (received, total) = (received >> 8, (total >> 8).max(1));
            prop_assert_eq!(share(received.max(total), total), Some(100));
        }
    }
}
