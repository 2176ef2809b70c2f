//! A window of the app beside its own, such as a file dialog: found by its title, used by the keyboard.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Desktop, SOON, until};

/// A dialog on the display.
#[derive(Debug)]
pub struct Dialog<'a> {
    desktop: &'a Desktop,
    title: String,
    id: String,
}

impl Desktop {
    /// Waits for a window with this title, and gives it the keyboard.
    #[track_caller]
    pub fn dialog(&self, title: &str) -> Dialog<'_> {
        let id = until(&format!("the window {title:?}"), SOON, || {
            self.window(title)
        });
        let dialog = Dialog {
            desktop: self,
            title: title.to_owned(),
            id,
        };
        dialog.focus();
        dialog
    }

    /// The identifier of a window that is shown with this title.
    pub(super) fn window(&self, title: &str) -> Option<String> {
        let output = self
            .here("xdotool")
            .args(["search", "--onlyvisible", "--name"])
            .arg(format!("^{title}$"))
            .output()
            .expect("xdotool is there");
        let ids = String::from_utf8_lossy(&output.stdout).into_owned();
        ids.lines().next().map(ToOwned::to_owned)
    }
}

impl Dialog<'_> {
    /// There is no window manager that would do it. A window that was not yet ready for it is asked again.
    #[track_caller]
    fn focus(&self) {
        until(&format!("the keyboard in {:?}", self.title), SOON, || {
            self.tool(&["windowfocus", &self.id]).status().ok()?;
            let focused = self.tool(&["getwindowfocus", "-f"]).output().ok()?;
            (String::from_utf8_lossy(&focused.stdout).trim() == self.id).then_some(())
        });
    }

    fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = self.desktop.here("xdotool");
        command.args(arguments);
        command.stderr(std::process::Stdio::null());
        command
    }

    /// Presses a key by its X name, such as `Escape`.
    #[track_caller]
    pub fn press(&self, key: &str) {
        let status = self.tool(&["key", key]).status();
        assert!(status.expect("xdotool is there").success(), "{key}");
    }

    /// Chooses a file in GTK's file dialog, by its path.
    #[track_caller]
    pub fn choose(&self, file: &Path) {
        let path = file.to_str().expect("UTF-8");
        // It opens a line for a path, which may take what is typed at first for something else, and says so
        // nowhere. So what is in the line is copied, and typed anew until it is the path.
        self.press("slash");
        until("the path in the dialog", SOON, || {
            self.press("ctrl+a");
            let status = self.tool(&["type", "--delay", "10", path]).status();
            assert!(status.expect("xdotool is there").success(), "{path}");
            self.press("ctrl+a");
            self.press("ctrl+c");
            (self.desktop.clipboard() == path).then_some(())
        });
        self.press("End");
        self.press("Return");
    }

    /// Waits until the window is no longer there.
    #[track_caller]
    pub fn wait_for_the_end(self, limit: Duration) {
        until(&format!("the end of {:?}", self.title), limit, || {
            self.desktop.window(&self.title).is_none().then_some(())
        });
    }
}
