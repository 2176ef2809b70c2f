//! The desktop's settings as programs are told of them: whether it is light or dark.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    clippy::used_underscore_binding,
    reason = "the D-Bus interface's form, seen through the macro"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zbus::blocking::{Connection, connection::Builder};
use zbus::fdo;
use zbus::zvariant::{OwnedValue, Value};

const NAME: &str = "org.freedesktop.portal.Desktop";
const PATH: &str = "/org/freedesktop/portal/desktop";
const SETTINGS: &str = "org.freedesktop.portal.Settings";
const APPEARANCE: &str = "org.freedesktop.appearance";
const SCHEME: &str = "color-scheme";

struct Settings {
    dark: Arc<AtomicBool>,
}

/// The portal's numbers for a scheme: 1 is dark, 2 is light.
const fn scheme(dark: bool) -> u32 {
    if dark { 1 } else { 2 }
}

#[zbus::interface(name = "org.freedesktop.portal.Settings")]
impl Settings {
    /// In two wrappings, as this old call of the portal has it.
    fn read(&self, namespace: &str, key: &str) -> fdo::Result<OwnedValue> {
        if (namespace, key) != (APPEARANCE, SCHEME) {
            return Err(fdo::Error::InvalidArgs(format!(
                "no setting {namespace} {key}"
            )));
        }
        let scheme = Value::from(scheme(self.dark.load(Ordering::Relaxed)));
        let wrapped = Value::Value(Box::new(scheme)).try_to_owned();
        wrapped.map_err(|error| fdo::Error::Failed(error.to_string()))
    }

    #[zbus(property)]
    fn version(&self) -> u32 {
        1
    }
}

/// The settings portal of a session.
#[derive(Debug)]
pub struct Portal {
    connection: Connection,
    dark: Arc<AtomicBool>,
}

impl Portal {
    /// Becomes the portal of the session at `bus`, light at first.
    pub(super) fn serve(bus: &str) -> Self {
        let dark = Arc::new(AtomicBool::new(false));
        let settings = Settings { dark: dark.clone() };
        let connection = Builder::address(bus)
            .and_then(|builder| builder.name(NAME))
            .and_then(|builder| builder.serve_at(PATH, settings))
            .and_then(Builder::build)
            .expect("a session bus on which the name is free");
        Self { connection, dark }
    }

    /// Turns the desktop dark or light, and tells everybody.
    pub fn set_dark(&self, dark: bool) {
        self.dark.store(dark, Ordering::Relaxed);
        let content = (APPEARANCE, SCHEME, Value::from(scheme(dark)));
        self.connection
            .emit_signal(None::<&str>, PATH, SETTINGS, "SettingChanged", &content)
            .expect("the bus takes signals");
    }
}
