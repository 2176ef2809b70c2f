//! What shows notifications: it keeps them, and does what a person would with them.

#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_arguments,
    clippy::unused_self,
    clippy::used_underscore_binding,
    reason = "the D-Bus interface's form, seen through the macro"
)]

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use zbus::blocking::{Connection, connection::Builder};
use zbus::zvariant::OwnedValue;

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// A notification as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The name of the app.
    pub app: String,
    /// Its first line.
    pub summary: String,
    /// Its text.
    pub body: String,
    /// Key and label of each action.
    pub actions: Vec<(String, String)>,
    id: u32,
}

#[derive(Debug, Default)]
struct Received {
    all: Mutex<Vec<Notification>>,
    more: Condvar,
}

struct Server {
    received: Arc<Received>,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Server {
    fn notify(
        &self,
        app_name: String,
        replaces_id: u32,
        _app_icon: &str,
        summary: String,
        body: String,
        actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _expire_timeout: i32,
    ) -> u32 {
        let mut all = self.received.all.lock().expect("a lock");
        let next = u32::try_from(all.len()).expect("a few") + 1;
        let id = if replaces_id == 0 { next } else { replaces_id };
        all.push(Notification {
            app: app_name,
            summary,
            body,
            actions: actions
                .chunks_exact(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
            id,
        });
        self.received.more.notify_all();
        id
    }

    fn close_notification(&self, _id: u32) {}

    fn get_capabilities(&self) -> Vec<&'static str> {
        vec!["actions", "body"]
    }

    fn get_server_information(&self) -> (&'static str, &'static str, &'static str, &'static str) {
        ("e2e", "Stack Emulator", "1", "1.2")
    }
}

/// The session's notifications.
#[derive(Debug)]
pub struct Notifications {
    connection: Connection,
    received: Arc<Received>,
}

impl Notifications {
    /// Becomes what shows notifications in the session at `bus`.
    pub(super) fn serve(bus: &str) -> Self {
        let received = Arc::new(Received::default());
        let server = Server {
            received: received.clone(),
        };
        let connection = Builder::address(bus)
            .and_then(|builder| builder.name(NAME))
            .and_then(|builder| builder.serve_at(PATH, server))
            .and_then(Builder::build)
            .expect("a session bus on which the name is free");
        Self {
            connection,
            received,
        }
    }

    /// All so far, in the order of their arrival.
    pub fn all(&self) -> Vec<Notification> {
        self.received.all.lock().expect("a lock").clone()
    }

    /// The first one that `wanted` picks; waits for it.
    #[track_caller]
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Notification) -> bool,
    ) -> Notification {
        let all = self.received.all.lock().expect("a lock");
        let waited = self
            .received
            .more
            .wait_timeout_while(all, limit, |all| !all.iter().any(&wanted));
        let (all, _) = waited.expect("a lock");
        let found = all.iter().find(|one| wanted(one));
        found
            .unwrap_or_else(|| panic!("no notification of {what}; there were {all:#?}"))
            .clone()
    }

    /// Does as if somebody clicked on an action, or with `default` on the notification.
    pub fn invoke(&self, notification: &Notification, action: &str) {
        let content = (notification.id, action);
        self.connection
            .emit_signal(None::<&str>, PATH, NAME, "ActionInvoked", &content)
            .expect("the bus takes signals");
    }
}
