//! A proxy that opens tunnels and writes down all that clients send into it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Proxy {
    address: String,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Default)]
struct Noted {
    hosts: Vec<String>,
    bytes: Vec<u8>,
}

impl Proxy {
    /// On a port of the system's choice; its threads end with the test program.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let noted = Arc::<Mutex<Noted>>::default();
        let notes = noted.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let notes = notes.clone();
                // Either side may break off; the test sees what came of it.
                std::thread::spawn(move || tunnel(client.unwrap(), &notes).ok());
            }
        });
        Self { address, noted }
    }

    /// What belongs into `HTTPS_PROXY`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The hosts with ports that tunnels were asked for to, in order.
    pub fn hosts(&self) -> Vec<String> {
        self.noted.lock().unwrap().hosts.clone()
    }

    /// Whether clients have sent `text` anywhere, letters of either case.
    pub fn has_seen(&self, text: &str) -> bool {
        let bytes = &self.noted.lock().unwrap().bytes;
        bytes
            .windows(text.len())
            .any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    }

    /// Bytes that clients have sent, heads included.
    pub fn bytes(&self) -> usize {
        self.noted.lock().unwrap().bytes.len()
    }
}

fn tunnel(mut client: TcpStream, notes: &Mutex<Noted>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let line = String::from_utf8_lossy(&head).into_owned();
    let host = line
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    {
        let mut notes = notes.lock().unwrap();
        notes.bytes.extend(&head);
        notes.hosts.extend(host.map(ToOwned::to_owned));
    }
    let Some(host) = host else {
        return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    };
    let mut server = TcpStream::connect(host)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        io::copy(&mut answers, &mut back).ok();
        back.shutdown(Shutdown::Both).ok();
    });
    let mut buffer = [0; 16 << 10];
    loop {
        let length = client.read(&mut buffer)?;
        if length == 0 {
            return server.shutdown(Shutdown::Write);
        }
        notes
            .lock()
            .unwrap()
            .bytes
            .extend_from_slice(&buffer[..length]);
        server.write_all(&buffer[..length])?;
    }
}
