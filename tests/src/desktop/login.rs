//! The login daemon, as far as it says that the computer goes to sleep and wakes up.

use zbus::blocking::{Connection, connection::Builder};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// The login daemon of a bus.
#[derive(Debug)]
pub struct Login {
    connection: Connection,
}

impl Login {
    /// Becomes the login daemon on `bus`.
    pub(super) fn serve(bus: &str) -> Self {
        let connection = Builder::address(bus)
            .and_then(|builder| builder.name(NAME))
            .and_then(Builder::build)
            .expect("a bus on which the name is free");
        Self { connection }
    }

    /// Says that the computer is about to sleep.
    pub fn sleep(&self) {
        self.tell(true);
    }

    /// Says that the computer has woken up.
    pub fn wake(&self) {
        self.tell(false);
    }

    fn tell(&self, begins: bool) {
        self.connection
            .emit_signal(None::<&str>, PATH, MANAGER, "PrepareForSleep", &begins)
            .expect("the bus takes signals");
    }
}
