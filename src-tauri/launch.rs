//! From the process's arguments to a running app.
//!
//! The order matters: a system without a display is told so before anything of the desktop is touched, since
//! GTK would end the process; and a second launch has to find the first before it opens a window.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use emulator::Emulator;
use emulator::logs::AppLog;
use emulator::paths::{Home, InstanceName};
use emulator::preferences::Preferences;
use emulator::variables::Settings;
use tauri::{App, AppHandle, Manager as _, RunEvent};
use tauri_plugin_autostart::MacosLauncher;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::app_state::AppState;
use crate::appearance;
use crate::bridge;
use crate::environment;
use crate::operations::{self, Ports, WATCH_IDLE, WORK_AHEAD, worker_of};
use crate::quit;
use crate::refresh;
use crate::sleep;
use crate::tray;
use crate::updater;
use crate::updates;
use crate::window;
use crate::wire::app::{AppInfo, Platform};
use crate::wire::text::shown_path;

/// Given by the session's autostart: no window, unless there is no tray to find it by.
pub(crate) const HIDDEN: &str = "--hidden";
const USAGE: &str = "The desktop app of Stack Emulator.\n\n\
    Usage: stack-emulator-desktop [--hidden]\n\n\
    Options:\n  \
      --hidden   Show only the tray icon, no window\n  \
      --version  Print the version\n  \
      --help     Print this help\n\n\
    In a terminal, use `stack-emulator`.";

/// What the arguments ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    Run { hidden: bool },
    WorkAhead(InstanceName),
    WatchIdle(InstanceName),
    Help,
    Version,
}

/// An argument that means nothing here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown option {0:?}; see --help")]
struct UnknownArgument(OsString);

fn wish(arguments: impl IntoIterator<Item = OsString>) -> Result<Wish, UnknownArgument> {
    let mut hidden = false;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some(HIDDEN) => hidden = true,
            Some(WATCH_IDLE) => return Ok(Wish::WatchIdle(instance(arguments.next())?)),
            Some(WORK_AHEAD) => return Ok(Wish::WorkAhead(instance(arguments.next())?)),
            Some("--help" | "-h") => return Ok(Wish::Help),
            Some("--version" | "-V") => return Ok(Wish::Version),
            _ => return Err(UnknownArgument(argument)),
        }
    }
    Ok(Wish::Run { hidden })
}

/// The instance that an option is about; the app's own without a name.
fn instance(name: Option<OsString>) -> Result<InstanceName, UnknownArgument> {
    let Some(name) = name else {
        return Ok(InstanceName::default());
    };
    let known = name.to_str().and_then(|name| name.parse().ok());
    known.ok_or(UnknownArgument(name))
}

/// See [`crate::run`].
pub(crate) fn launch(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Before all else: the process that keeps logs is to have little of its own.
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(kept) = emulator::keep_logs_if_asked(arguments.iter().cloned()) {
        return kept;
    }
    // This process will hold secrets, and so will the QEMU that it starts.
    if let Err(error) = host::core_dumps::forbid() {
        eprintln!("error: cannot forbid core dumps, which would hold secrets: {error}");
        return ExitCode::FAILURE;
    }
    if let Err(error) = host::limits::check() {
        eprintln!("error: {}", emulator::chain(&error));
        return ExitCode::FAILURE;
    }
    let survive = async { host::limits::survive_file_size_limit() };
    if let Err(error) = tauri::async_runtime::block_on(survive) {
        tracing::debug!(%error, "a limit on a file's size would end the app");
    }
    let hidden = match wish(arguments.into_iter().skip(1)) {
        Ok(Wish::Run { hidden }) => hidden,
        Ok(Wish::WorkAhead(instance)) => return behind(instance, work_ahead),
        Ok(Wish::WatchIdle(instance)) => return behind(instance, watch_idle),
        Ok(Wish::Help) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(Wish::Version) => {
            println!("stack-emulator-desktop {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    if cfg!(target_os = "linux") && !has_display() {
        eprintln!(
            "error: there is no display to show a window on (neither WAYLAND_DISPLAY nor DISPLAY is set)\n\
             Without a desktop, use the command line: `stack-emulator --help`."
        );
        return ExitCode::FAILURE;
    }
    if let Some(code) = environment::again() {
        return code;
    }
    let settings = Settings::from_environment();
    let settings = settings.and_then(|settings| settings.refuse_invalid().map(|()| settings));
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    trace(&Home::new(settings.home.clone()));
    match build(hidden, settings) {
        Ok(app) => {
            app.run(on_run_event);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", emulator::chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Prepares the next start; a command that needs the emulator ends this process.
fn work_ahead(emulator: &Emulator) -> Result<String, emulator::Error> {
    let work = Box::pin(emulator.work_ahead(&progress::Silent));
    let report = tauri::async_runtime::block_on(work)?;
    let done = || "The next start is prepared.".to_owned();
    Ok(report.reason.unwrap_or_else(done))
}

/// Watches the machine, and stops it once it is idle.
fn watch_idle(emulator: &Emulator) -> Result<String, emulator::Error> {
    let ahead = worker_of(emulator.name());
    let watch = Box::pin(emulator.watch_idle(ahead.as_ref(), &progress::Silent));
    let report = tauri::async_runtime::block_on(watch)?;
    Ok(report
        .reason
        .unwrap_or("Nothing used the emulator; it was stopped.")
        .to_owned())
}

/// Does `work` on an instance in place of being the app, with a log for output.
fn behind(
    instance: InstanceName,
    work: impl FnOnce(&Emulator) -> Result<String, emulator::Error>,
) -> ExitCode {
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let home = Home::new(settings.home.clone());
    let worked = Preferences::read(&home).map_err(emulator::Error::from);
    let worked = worked.and_then(|preferences| {
        let settings = settings.with_preferences(&preferences);
        let emulator = Emulator::new(settings, instance, None);
        work(&emulator)
    });
    match worked {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", emulator::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn has_display() -> bool {
    ["WAYLAND_DISPLAY", "DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Tells of what happens on standard error and in the app's own log, which the page shows.
fn trace(home: &Home) {
    const FILTER: &str = "warn,emulator=info,qemu=info,images=info,stack_emulator_desktop=info";
    let console = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    let (log, trouble) = match AppLog::open(home) {
        Ok(log) => (Some(log), None),
        Err(error) => (None, Some(error)),
    };
    let file = log.map(|log| {
        tracing_subscriber::fmt::layer()
            .with_writer(Mutex::new(log))
            .with_ansi(false)
    });
    tracing_subscriber::registry()
        .with(EnvFilter::new(FILTER))
        .with(console)
        .with(file)
        .init();
    if let Some(error) = trouble {
        tracing::warn!(error = %emulator::chain(&error), "the app's log could not be opened");
    }
}

fn build(hidden: bool, settings: Settings) -> tauri::Result<App> {
    let bridge = bridge::builder();
    tauri::Builder::default()
        // First, so that a second launch goes no further than this.
        .plugin(tauri_plugin_single_instance::init(|app, _, _| {
            window::show(app, None);
        }))
        .plugin(tauri_plugin_autostart::init(
            MacosLauncher::LaunchAgent,
            Some(vec![HIDDEN]),
        ))
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_opener::init())
        .plugin(updater::plugin())
        .plugin(
            tauri_plugin_window_state::Builder::new()
                .with_state_flags(window::REMEMBERED)
                .build(),
        )
        .invoke_handler(bridge.invoke_handler())
        .setup(move |app| {
            bridge.mount_events(app);
            set_up(app.handle(), hidden, settings)?;
            Ok(())
        })
        .build(tauri::generate_context!("tauri.conf.json"))
}

fn set_up(
    app: &AppHandle,
    hidden: bool,
    settings: Settings,
) -> Result<(), Box<dyn std::error::Error>> {
    let preferences = preferences_at(&Home::new(settings.home.clone()));
    let settings = settings.with_preferences(&preferences);
    let emulator = Emulator::new(settings, InstanceName::default(), None);
    let info = AppInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: if cfg!(target_os = "macos") {
            Platform::Macos
        } else if cfg!(windows) {
            Platform::Windows
        } else {
            Platform::Linux
        },
        tray: false,
        home: shown_path(
            emulator.home().path(),
            emulator.settings().user_home.as_deref(),
        ),
        first_run: !preferences.app.first_run_done && !is_set_up(&emulator),
    };
    let wizard = info.first_run;
    let visible = !hidden || wizard;
    let start_at_launch = preferences.app.start_at_launch;
    let state = Arc::new(AppState::new(app.clone(), emulator, preferences, info));
    app.manage(state.clone());
    window::make(app, quit::request)?;
    appearance::follow(&state);
    tray::make(&state)?;
    if visible {
        window::show(app, None);
    }
    tauri::async_runtime::spawn(tray::watch_host(state.clone(), move |state, tray| {
        // Out of sight, without a tray, the app could not be found.
        if !tray && !visible {
            window::show(state.app(), None);
        }
    }));
    tauri::async_runtime::spawn(refresh::keep_current(state.clone()));
    tauri::async_runtime::spawn(refresh::watch_changes(state.clone()));
    tauri::async_runtime::spawn(refresh::poll_while_shown(state.clone()));
    tauri::async_runtime::spawn(tray::keep_current(state.clone()));
    tauri::async_runtime::spawn(sleep::watch(state.clone()));
    tauri::async_runtime::spawn(updates::watch(state.clone()));
    if start_at_launch && !wizard {
        tauri::async_runtime::spawn(async move {
            // How it ends is shown, and notified of, as an activity.
            drop(operations::start(&state, Ports::Own).await);
        });
    }
    #[cfg(unix)]
    tauri::async_runtime::spawn(end_on_signal(app.clone()));
    Ok(())
}

/// Whether the wizard would have nothing to do, as after the command line has put an image in place.
fn is_set_up(emulator: &Emulator) -> bool {
    emulator.is_set_up().unwrap_or_else(|error| {
        // The page shows what is wrong, and the wizard would not.
        tracing::warn!(error = %emulator::chain(&error), "it is not known whether the emulator is set up");
        true
    })
}

/// The preferences; the usual ones where they cannot be read, which refreshing them tells.
fn preferences_at(home: &Home) -> Preferences {
    Preferences::read(home).unwrap_or_else(|error| {
        let error = emulator::chain(&error);
        tracing::warn!(
            error,
            "the settings cannot be read; the usual ones are in force"
        );
        let mut usual = Preferences::default();
        // Who has settings has seen the wizard.
        usual.app.first_run_done = true;
        usual
    })
}

/// Ends the app in order at logout, when the session asks by a signal: the window's place is kept, the clipboard
/// rid of secrets. A running emulator is no part of the session and goes on.
#[cfg(unix)]
async fn end_on_signal(app: AppHandle) {
    use tokio::signal::unix::{SignalKind, signal};

    let signals = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ]
    .map(signal);
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = signals else {
        tracing::warn!("signals cannot be listened for; a logout ends the app at once");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    app.exit(0);
}

#[expect(clippy::needless_pass_by_value, reason = "as Tauri calls it")]
fn on_run_event(app: &AppHandle, event: RunEvent) {
    match event {
        RunEvent::Exit => {
            let state = AppState::of(app);
            state.clipboard.close();
            tracing::info!("the app ends");
            if state.restarts() {
                begin_anew(app);
            }
        }
        // macOS starts an app once: opened again, it is asked for its window.
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => window::show(app, None),
        _ => {}
    }
}

/// Begins the program that is now in this one's place, with the window: whoever asked for it has seen it. By now a second launch
/// does not find this one any more.
fn begin_anew(app: &AppHandle) -> ! {
    app.cleanup_before_exit();
    let mut environment = app.env();
    environment.args_os.retain(|argument| argument != HIDDEN);
    tauri::process::restart(&environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish_of(arguments: &[&str]) -> Result<Wish, UnknownArgument> {
        wish(arguments.iter().map(OsString::from))
    }

    /// Tauri reads the files that its configuration names on macOS alone.
    #[test]
    fn the_bundle_for_macos_is_of_the_menu_bar_and_exempt_from_nothing() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        let config: serde_json::Value = serde_json::from_str(&read("tauri.conf.json")).unwrap();
        let macos = &config["bundle"]["macOS"];
        assert_eq!(macos["hardenedRuntime"], true);
        let entitlements = read(macos["entitlements"].as_str().unwrap());
        assert!(entitlements.contains("<dict/>") && !entitlements.contains("<key>"));
        let information = read(macos["infoPlist"].as_str().unwrap());
        assert!(information.contains("<key>LSUIElement</key>\n\t<true/>"));
    }

    #[test]
    fn arguments_are_understood_or_refused() {
        assert_eq!(wish_of(&[]), Ok(Wish::Run { hidden: false }));
        assert_eq!(wish_of(&["--hidden"]), Ok(Wish::Run { hidden: true }));
        assert_eq!(wish_of(&["--hidden", "--version"]), Ok(Wish::Version));
        for (arguments, name) in [
            (vec![WORK_AHEAD], "default"),
            (vec![WORK_AHEAD, "shop"], "shop"),
        ] {
            let instance = name.parse().unwrap();
            assert_eq!(wish_of(&arguments), Ok(Wish::WorkAhead(instance)));
        }
        let shop = Ok(Wish::WatchIdle("shop".parse().unwrap()));
        assert_eq!(wish_of(&[WATCH_IDLE, "shop"]), shop);
        assert!(wish_of(&[WORK_AHEAD, "../x"]).is_err());
        assert_eq!(wish_of(&["start"]), Err(UnknownArgument("start".into())));
    }
}
