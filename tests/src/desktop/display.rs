//! A display that nobody sees.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// An X server that draws into memory.
#[derive(Debug)]
pub(super) struct Display {
    server: Child,
    number: u32,
}

impl Display {
    /// Starts one under a number that it chooses itself, and waits until it takes connections.
    pub(super) fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x900x24"])
            .args(["-nolisten", "tcp"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is there");
        let mut line = String::new();
        let stdout = server.stdout.take().expect("it is piped");
        // It prints its number once it listens.
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the display says its number");
        let number = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("Xvfb gave no display number but {line:?}"));
        Self { server, number }
    }

    /// For `DISPLAY`.
    pub(super) fn name(&self) -> String {
        format!(":{}", self.number)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // Politely, so that it takes its socket and its lock file along; gone already is fine.
        crate::processes::terminate(&mut self.server);
    }
}
