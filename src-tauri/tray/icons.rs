//! The tray's icons: one for each state of the emulator, in the colors that stand out from a panel.

use tauri::image::Image;

/// The state of the emulator, as far as an icon can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Icon {
    Stopped,
    Busy,
    Running,
    Failed,
}

/// The colors of an icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyph {
    /// For light panels.
    Dark,
    /// For dark panels.
    Light,
    /// Colored by macOS itself.
    Template,
}

impl Glyph {
    /// The one for this desktop's panel. GNOME's is dark whatever the windows are; others follow the windows.
    pub(super) fn of(dark_desktop: bool) -> Self {
        if cfg!(target_os = "macos") {
            return Self::Template;
        }
        let desktop = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
        let gnome = desktop
            .split(':')
            .any(|name| name == "GNOME" || name == "Unity");
        if dark_desktop || gnome {
            Self::Light
        } else {
            Self::Dark
        }
    }
}

/// The picture itself.
pub(super) fn of(icon: Icon, glyph: Glyph) -> tauri::Result<Image<'static>> {
    macro_rules! drawing {
        ($name:literal) => {
            match glyph {
                Glyph::Dark => {
                    include_bytes!(concat!("../../icons/tray/", $name, "-light.png")).as_slice()
                }
                Glyph::Light => {
                    include_bytes!(concat!("../../icons/tray/", $name, "-dark.png")).as_slice()
                }
                Glyph::Template => {
                    include_bytes!(concat!("../../icons/tray/", $name, "-template.png")).as_slice()
                }
            }
        };
    }
    Image::from_bytes(match icon {
        Icon::Stopped => drawing!("stopped"),
        Icon::Busy => drawing!("busy"),
        Icon::Running => drawing!("running"),
        Icon::Failed => drawing!("failed"),
    })
}
