//! A desktop of its own for the app under test: display, session bus, keychain, tray, notifications.
//!
//! Nothing of the desktop of the user who runs the tests is seen or touched. A [`Desktop`] ends everything that
//! was started in it when it is dropped, also by a panic: it knows its processes by the address of its bus
//! in their environment, so the web view's own processes and their children are found as well.

mod app;
mod browser;
mod dialog;
mod display;
mod drag;
mod login;
mod notifications;
mod picture;
mod portal;
pub mod releases;
mod tray;
mod webdriver;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub use self::app::{APP, App, DRIVER};
pub use self::browser::Browser;
pub use self::dialog::Dialog;
pub use self::drag::Drag;
pub use self::login::Login;
pub use self::notifications::{Notification, Notifications};
pub use self::portal::Portal;
pub use self::tray::{Icon, MenuItem, Tray};
pub use self::webdriver::{Element, Page};

use self::display::Display;
use crate::World;
use crate::keychain::Keychain;
use crate::processes;
pub use crate::processes::{cpu_seconds, resident_bytes};

/// Limit for what a person would call "at once"; generous, since a busy machine is no failure.
pub const SOON: Duration = Duration::from_secs(60);

/// Between two looks at something that sends no event.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Asks until there is an answer. For what sends no event: pages, menus, files of other processes.
///
/// # Panics
/// If there is none after `limit`; `what` says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            begun.elapsed() < limit,
            "waited {} s for {what}",
            limit.as_secs()
        );
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A session on a display of its own.
#[derive(Debug)]
pub struct Desktop {
    /// The panel that shows the app's icon; none on a desktop without one.
    pub tray: Option<Tray>,
    /// What shows notifications.
    pub notifications: Notifications,
    /// The keychain, on the session's bus.
    pub keychain: Keychain,
    /// What opens addresses.
    pub browser: Browser,
    /// What says whether the desktop is dark.
    pub portal: Portal,
    /// What says that the computer sleeps and wakes.
    pub login: Login,
    display: Display,
    runtime: tempfile::TempDir,
}

impl Desktop {
    /// Begins a session and makes it the one of `world`'s commands.
    pub fn start(world: &mut World) -> Self {
        Self::new(world, true)
    }

    /// The same on a desktop that shows no tray icons.
    pub fn without_tray(world: &mut World) -> Self {
        Self::new(world, false)
    }

    fn new(world: &mut World, with_tray: bool) -> Self {
        let keychain = Keychain::start();
        let bus = keychain.address();
        let desktop = Self {
            tray: with_tray.then(|| Tray::serve(&bus)),
            notifications: Notifications::serve(&bus),
            browser: Browser::install(),
            portal: Portal::serve(&bus),
            login: Login::serve(&bus),
            display: Display::start(),
            // Readable by its owner alone, as the specification of this folder asks.
            runtime: tempfile::Builder::new()
                .prefix("session-")
                .tempdir()
                .expect("a temporary folder"),
            keychain,
        };
        for (name, value) in desktop.variables() {
            world.set(name, value);
        }
        desktop
    }

    /// What tells a program of this session.
    fn variables(&self) -> [(&'static str, String); 12] {
        let runtime = self.runtime.path().display().to_string();
        [
            ("DBUS_SESSION_BUS_ADDRESS", self.keychain.address()),
            // The same bus is the system's: nothing of the machine's own is seen or told.
            ("DBUS_SYSTEM_BUS_ADDRESS", self.keychain.address()),
            ("PATH", self.browser.path()),
            // The user who runs the tests may have settings of their own.
            ("XDG_CURRENT_DESKTOP", "X-Test".to_owned()),
            ("DISPLAY", self.display.name()),
            ("XDG_RUNTIME_DIR", runtime),
            ("XDG_SESSION_TYPE", "x11".to_owned()),
            ("GDK_BACKEND", "x11".to_owned()),
            ("LIBGL_ALWAYS_SOFTWARE", "1".to_owned()),
            // Settings of GTK's own, such as those of its file dialog, stay with the process.
            ("GSETTINGS_BACKEND", "memory".to_owned()),
            // No accessibility bus: the session's own starts no services.
            ("NO_AT_BRIDGE", "1".to_owned()),
            // Times and texts as the tests expect them.
            ("LC_ALL", "C.UTF-8".to_owned()),
        ]
    }

    /// The tray of this session.
    ///
    /// # Panics
    /// On a desktop [without one](Self::without_tray).
    pub fn tray(&self) -> &Tray {
        self.tray.as_ref().expect("a desktop with a tray")
    }

    /// Launches the app as the WebDriver's browser, and waits for its page.
    pub fn launch(&self, world: &World) -> App {
        self.launch_with(world, &[])
    }

    /// The same with arguments.
    pub fn launch_with(&self, world: &World, arguments: &[&str]) -> App {
        App::launch(self, world, arguments)
    }

    /// Launches the app as a desktop's launcher does, and waits for nothing.
    pub fn launch_alone(&self, world: &World, arguments: &[&str]) -> std::process::Child {
        world
            .as_here(app::program())
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("the app runs")
    }

    /// Processes of the app in this session.
    pub fn app_processes(&self) -> Vec<u32> {
        processes::of_program(&self.keychain.address(), &app::program())
    }

    /// Asks the app to end, as a session does that ends itself.
    pub fn log_out(&self) {
        for pid in self.app_processes() {
            processes::ask_to_end(pid);
        }
    }

    /// What is on the clipboard; empty if nothing is.
    pub fn clipboard(&self) -> String {
        let output = self
            .here("xclip")
            .args(["-out", "-selection", "clipboard"])
            .output()
            .expect("xclip is there");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a window of the app is on the screen.
    pub fn shows_window(&self) -> bool {
        let output = self
            .here("xwininfo")
            .args(["-root", "-tree"])
            .output()
            .expect("xwininfo is there");
        let tree = String::from_utf8_lossy(&output.stdout).into_owned();
        tree.lines()
            .filter(|line| line.contains("\"Stack Emulator\""))
            .filter_map(|line| line.split_whitespace().next())
            .any(|id| {
                let output = self.here("xwininfo").args(["-id", id]).output();
                let text = output.expect("xwininfo is there").stdout;
                String::from_utf8_lossy(&text).contains("IsViewable")
            })
    }

    /// Writes a picture of the app's window, and of nothing around it, to `file`.
    ///
    /// # Panics
    /// If the window is not on the screen.
    #[track_caller]
    pub fn photograph(&self, file: &Path) {
        let window = self.window("Stack Emulator");
        let taken = self
            .here("import")
            .arg("-window")
            .arg(window.expect("the window is on the screen"))
            // Or each run would give another file.
            .args(["-strip", "-define", "png:exclude-chunks=date,time"])
            .arg(file)
            .status();
        let taken = taken.expect("import is there");
        assert!(taken.success(), "no picture at {}", file.display());
    }

    /// A program in this session.
    fn here(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.variables()).stdin(Stdio::null());
        command
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        processes::end_all(&self.keychain.address());
    }
}

/// Where pictures of the app are kept: `desktop-shots` beside the programs that Cargo builds.
pub fn shots() -> PathBuf {
    let program = app::program();
    // <target>/<profile>/<program>
    let target = program.parent().and_then(Path::parent);
    let folder = target.unwrap_or(Path::new("target")).join("desktop-shots");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    folder
}
