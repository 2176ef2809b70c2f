//! The desktop app under test, with a WebDriver at its page.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::webdriver::{Camera, Page, Session};
use super::{Desktop, SOON, processes, until};
use crate::{World, from_environment};

/// Names the desktop app under test.
pub const APP: &str = "STACK_EMULATOR_TEST_DESKTOP";
/// Names the `tauri-driver` that drives it.
pub const DRIVER: &str = "STACK_EMULATOR_TEST_TAURI_DRIVER";

/// The app.
pub(super) fn program() -> PathBuf {
    from_environment(APP)
}

/// A running app and its page.
#[derive(Debug)]
pub struct App {
    /// What is in its window.
    pub page: Page,
    /// The process of the app itself.
    pub pid: u32,
    /// When its launch was asked for.
    pub begun: Instant,
    driver: Child,
}

impl App {
    pub(super) fn launch(desktop: &Desktop, world: &World, arguments: &[&str]) -> Self {
        let (port, native_port) = (free_port(), free_port());
        let driver = world
            .as_here(from_environment(DRIVER))
            .args(["--port", &port.to_string()])
            .args(["--native-port", &native_port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("tauri-driver runs");
        let address = format!("http://127.0.0.1:{port}");
        let driver = Ending(Some(driver));
        until("the WebDriver", SOON, || {
            Session::is_ready(&address).then_some(())
        });
        let before = desktop.app_processes();
        let begun = Instant::now();
        let session = Session::begin(
            &address,
            &json!({ "tauri:options": { "application": program(), "args": arguments } }),
        );
        let pid = until("the app's process", SOON, || {
            let now = desktop.app_processes();
            now.into_iter().find(|pid| !before.contains(pid))
        });
        Self {
            page: Page::new(
                session,
                Camera {
                    display: desktop.display.name(),
                    folder: super::shots(),
                },
            ),
            pid,
            begun,
            driver: driver.keep(),
        }
    }

    /// Kills the app as the kernel would for want of memory: nothing of it runs another instruction.
    pub fn kill(self) {
        processes::kill(self.pid);
        self.wait_for_the_end(SOON);
    }

    /// Waits until the app has ended by itself.
    pub fn wait_for_the_end(&self, limit: Duration) {
        // Its child is WebKitWebDriver's, which waits for it.
        until("the end of the app", limit, || {
            processes::program(self.pid).is_none().then_some(())
        });
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // It takes WebKitWebDriver along, which ends the app.
        processes::terminate(&mut self.driver);
        processes::kill(self.pid);
    }
}

/// Ends the driver if there comes no session of it.
struct Ending(Option<Child>);

impl Ending {
    fn keep(mut self) -> Child {
        self.0.take().expect("it is there until it is taken")
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            processes::terminate(child);
        }
    }
}

/// A port that is free now; the driver cannot choose one and say which.
///
/// Below those that the kernel gives to clients, so that none of them gets it in between; and where to begin
/// differs between processes.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 1000).unwrap_or_default() * 2;
    let mut candidates =
        std::iter::repeat_with(|| 30_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 2500);
    candidates
        .by_ref()
        .take(2500)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
