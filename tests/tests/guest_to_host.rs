//! The boundary from the guest to the host, written as a guest that is root and hostile: whom it can
//! connect to, and how much of the host's disk it can fill.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{World, leave_a_note, read_the_note, try_client_key};

/// What the server of the host tells whoever reaches it.
const TREASURE: &str = "a server of the host";

/// A server on `address` of the host. Counts who comes.
struct Server {
    port: u16,
    reached: Arc<AtomicUsize>,
}

impl Server {
    fn on(address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                drop(stream.unwrap().write_all(TREASURE.as_bytes()));
            }
        });
        Self { port, reached }
    }

    fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

/// An address of the host that others know it by, if it has one. Nothing is sent.
fn address_of_the_host() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => None,
    }
}

/// What the guest reads from a TCP connection, or the failure.
fn reads(world: &World, address: &str, port: u16) -> Result<String, String> {
    let script = format!("exec 3<>/dev/tcp/{address}/{port} && cat <&3");
    let (code, text) = world.in_guest("/usr/bin/timeout", &["5", "/bin/bash", "-c", &script]);
    if code == 0 {
        Ok(text)
    } else {
        Err(format!("status {code}"))
    }
}

/// Whether anybody answers a question for a name, by UDP.
fn resolves(world: &World) -> bool {
    // A query for the root's name servers.
    let script = r"exec 3<>/dev/udp/10.0.2.3/53 &&
        printf '\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01' >&3 && head -c 2 <&3";
    world
        .in_guest("/usr/bin/timeout", &["3", "/bin/bash", "-c", script])
        .0
        == 0
}

fn network(world: &World) -> String {
    let status = world.run(["status", "--json"]).ok().json();
    status["network"].as_str().expect("it is told").to_owned()
}

#[test]
fn a_closed_network_leads_nowhere_and_an_open_one_to_the_host() {
    let world = World::captured();
    let server = Server::on(Ipv4Addr::LOCALHOST);
    let everywhere = Server::on(Ipv4Addr::UNSPECIFIED);
    let is_shut = || {
        assert_eq!(network(&world), "closed");
        for (address, port) in [
            ("10.0.2.2", server.port),
            ("10.0.2.2", everywhere.port),
            ("10.0.2.3", 53),
            ("10.0.2.4", 445),
        ] {
            let read = reads(&world, address, port);
            assert!(read.is_err(), "{address}:{port} gives {read:?}");
        }
        if let Some(address) = address_of_the_host() {
            let read = reads(&world, &address.to_string(), everywhere.port);
            assert!(read.is_err(), "{address} gives {read:?}");
        }
        assert!(!resolves(&world), "a name server answers");
        assert_eq!((server.reached(), everywhere.reached()), (0, 0));
        assert_eq!(try_client_key(&world.secret("pck")), 200);
    };
    // The starter asks for nothing: resumed, and continued.
    assert_eq!(world.start()["start"]["kind"], "resumed");
    is_shut();
    leave_a_note(&world);
    world.stop();
    assert_eq!(world.start()["start"]["kind"], "continued");
    is_shut();
    world.stop();
    // It is the host's alone, so neither the session nor the snapshot has to be made anew for it.
    world.run(["settings", "set", "network", "open"]).ok();
    assert_eq!(world.start()["start"]["kind"], "continued");
    assert_eq!(network(&world), "open");
    assert_eq!(read_the_note(&world), "kept\n");
    assert_eq!(
        reads(&world, "10.0.2.2", server.port).as_deref(),
        Ok(TREASURE)
    );
    assert_eq!(server.reached(), 1);
    world.discard();
}

#[test]
fn a_machine_in_memory_does_not_outlive_the_setting_that_it_was_made_with() {
    let mut world = World::captured();
    world.set("STACK_EMULATOR_AHEAD", "memory");
    world.set("STACK_EMULATOR_NETWORK", "open");
    let server = Server::on(Ipv4Addr::LOCALHOST);
    world.start();
    // One that was set aside.
    world.set_aside();
    world.set("STACK_EMULATOR_NETWORK", "closed");
    world.start();
    assert_eq!(network(&world), "closed");
    assert!(reads(&world, "10.0.2.2", server.port).is_err());
    // One that stands by.
    world.set("STACK_EMULATOR_NETWORK", "open");
    world.set_aside();
    world.run(["work-ahead", "--json"]).ok();
    assert_eq!(world.qemu_processes().len(), 1);
    world.set("STACK_EMULATOR_NETWORK", "closed");
    let started = world.start();
    assert_eq!(started["start"]["standby"], false, "{started}");
    assert_eq!(started["start"]["prepared"], true, "{started}");
    assert_eq!(network(&world), "closed");
    assert!(reads(&world, "10.0.2.2", server.port).is_err());
    assert_eq!(server.reached(), 0);
    assert_eq!(world.qemu_processes().len(), 1);
    world.discard();
}

#[test]
fn a_flood_on_the_console_fills_no_disk() {
    /// Most bytes of a log.
    const LIMIT: u64 = 4 << 20;
    let world = World::captured();
    world.start();
    // For as long as it takes to write more than a log may have, beside whatever else there is.
    let script = "i=0; while [ $i -lt 100000 ]; do \
        echo \"flood $i ....................................................................\"; i=$((i+1)); \
        done > /dev/ttyS0; echo the last line > /dev/ttyS0";
    let (code, _) = world.in_guest("/bin/sh", &["-c", script]);
    assert_eq!(code, 0);
    let log = world.instance().join("logs/serial.log");
    world.stop();
    // QEMU is gone, so all that it wrote is in the pipe at least.
    let text = loop {
        let bytes = std::fs::read(&log).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.contains("the last line") {
            break text;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let length = std::fs::metadata(&log).unwrap().len();
    assert!(length <= LIMIT, "{length} bytes");
    assert!(!text.contains("flood 1 "), "the beginning is gone");
    // The process that keeps the log is gone with QEMU.
    let keeper = format!("--keep-logs {}", log.display());
    let keepers = |signal: &str| {
        let found = Command::new("pkill")
            .args([signal, "-f", "--", &keeper])
            .status();
        found.unwrap().success()
    };
    while keepers("-CONT") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let shown = world.run(["logs", "-n", "1"]).ok().stdout;
    assert!(shown.contains("the last line"), "{shown}");

    // Without the process that keeps the log, there is none, and all else goes on.
    world.start();
    assert!(keepers("-KILL"), "there is one");
    assert_eq!(world.in_guest("/bin/sh", &["-c", script]).0, 0);
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    assert!(std::fs::metadata(&log).unwrap().len() <= LIMIT);
    assert_eq!(world.stop()["session"], "saved");
    world.discard();
}
