//! A QMP client that is not the one under test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::sockets;

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub struct Client(BufReader<UnixStream>);

impl Client {
    /// Connects to the monitor at `socket`.
    pub fn connect(socket: &Path) -> Self {
        let stream = sockets::connect(socket).expect("the monitor's socket is there");
        let mut client = Self(BufReader::new(stream));
        client.receive();
        client.call("qmp_capabilities", &json!({}));
        client
    }

    /// Runs a command, which must succeed.
    pub fn call(&mut self, command: &str, arguments: &Value) -> Value {
        let request = json!({"execute": command, "arguments": arguments});
        self.0
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .expect("QEMU listens");
        loop {
            let answer = self.receive();
            assert!(answer.get("error").is_none(), "{request}: {answer}");
            if let Some(result) = answer.get("return") {
                return result.clone();
            }
        }
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("QEMU answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}
