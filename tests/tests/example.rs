//! The app in `examples/vite` as its README says to run it, with a person in Chromium.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::desktop::until;
use e2e::{World, port};
use rustix::process::{Pid, Signal, kill_process};

/// Path of a Node that is new enough.
const NODE: &str = "STACK_EMULATOR_TEST_NODE";
/// For Vite to look through the packages, on a machine that is busy.
const VITE_LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_person_signs_up_and_verifies_the_address_by_the_mail_in_the_inbox() {
    let world = World::captured();
    let node = std::env::var(NODE).expect("`cargo xtask test e2e` says where Node is");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/vite");
    let folder = folder.canonicalize().unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let app_port = address.port().to_string();
    let vite = "node_modules/vite/bin/vite.js";
    let words = ["run", "--", &node, vite, "--host", "127.0.0.1"];
    let port_words = ["--port", &app_port, "--strictPort"];
    let mut app = world
        .command(words.into_iter().chain(port_words))
        .current_dir(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    until("the app", VITE_LIMIT, || {
        assert_eq!(app.try_wait().unwrap(), None, "the app has ended");
        answers(address).then_some(())
    });
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("example-pictures");
    let person = Command::new(&node)
        .current_dir(&folder)
        .arg("tests/sign-up.mjs")
        .arg(format!("http://{address}"))
        .arg(format!("http://127.0.0.1:{}", port("inbucket")))
        .arg(pictures)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        person.status.success(),
        "{}{}",
        String::from_utf8_lossy(&person.stdout),
        String::from_utf8_lossy(&person.stderr)
    );
    // What one presses at the terminal.
    let pid = Pid::from_raw(i32::try_from(app.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    app.wait().unwrap();
    assert_eq!(world.qemu_processes(), Vec::<u32>::new());
    world.discard();
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
