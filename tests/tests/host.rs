//! A host that lacks something: room on its disk, a QEMU that is new enough, an
//! accelerator that works, a clock that only goes forward.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use e2e::{PLACEHOLDER_PCK, World, guest, leave_a_note, read_the_note, try_client_key};

/// The QEMU of this machine.
fn real_qemu() -> String {
    std::env::var("STACK_EMULATOR_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned())
}

/// A program in place of QEMU, in the world's home.
fn instead_of_qemu(world: &mut World, script: &str) {
    let path = world.user_home().join("qemu-system-x86_64");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    world.set("STACK_EMULATOR_QEMU", path.to_str().unwrap());
}

#[test]
fn a_full_disk_ends_a_capture_and_leaves_nothing() {
    // Too little for the memory that a booted guest has touched.
    let world = World::empty().copy_to_small_disk(150);
    let run = world.run(["capture", "--json"]);
    assert_eq!(run.error_code(), "disk_full", "{}", run.stdout);
    assert!(
        run.stdout.contains(world.emulator_home.to_str().unwrap()),
        "the folder is named: {}",
        run.stdout
    );
    assert!(world.qemu_processes().is_empty());
    let used = world.disk().used();
    assert!(used < 16 << 20, "{used} bytes are left behind");
    // The remedy works.
    world.disk().resize(2048);
    assert_eq!(world.start()["start"]["kind"], "resumed");
    world.discard();

    // Whatever it is that finds no room says so, and nobody is kept from dropping things.
    fill(&world, "filler");
    let run = world.run(["start", "--json"]);
    assert_eq!(run.error_code(), "disk_full", "{}", run.stdout);
    assert!(run.stdout.contains("Free disk space"), "{}", run.stdout);
    world.discard();
    fs::remove_file(
        world
            .disk()
            .seen_from_outside(&world.emulator_home.join("filler")),
    )
    .unwrap();

    // So does a stop that cannot save: the guest is shut down, and its disk is kept.
    assert_eq!(world.start()["start"]["kind"], "resumed");
    leave_a_note(&world);
    let mib = world.disk().used() >> 20;
    world.disk().resize(mib + 24);
    let stopped = world.stop();
    assert_eq!(stopped["session"], "disk_kept", "{stopped}");
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.contains("is full"), "{reason}");
    world.disk().resize(2048);
    assert_eq!(world.start()["start"]["kind"], "cold");
    assert_eq!(read_the_note(&world), "kept\n");
    world.discard();
}

/// Fills the disk to its last byte.
fn fill(world: &World, name: &str) {
    let path = world.emulator_home.join(name);
    let filler = world.disk().seen_from_outside(&path);
    let mut file = fs::File::create(filler).unwrap();
    let block = vec![0; 64 << 10];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
}

#[test]
fn a_full_disk_pauses_a_session_which_goes_on_once_there_is_room() {
    let mut large = World::empty();
    large.set("EMULATOR_RAM", "768");
    large.run(["capture", "--json"]).ok();
    let mut world = large.copy_to_small_disk(60);
    world.set("EMULATOR_RAM", "768");
    world.start();
    let script =
        "dd if=/dev/zero of=/var/tmp/large bs=1M count=200 oflag=direct && touch /var/tmp/done";
    let background = format!("({script}) >/dev/null 2>&1 &");
    assert_eq!(world.in_guest("/bin/sh", &["-c", &background]).0, 0);
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let status = world.run(["status", "--json"]).json();
        if status["state"] == "paused" {
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let run = world.run(["start", "--json"]);
    assert_eq!(run.error_code(), "disk_full", "still full: {}", run.stdout);

    world.disk().resize(2048);
    let run = world.run(["start", "--json"]).ok();
    assert_eq!(run.json()["already_running"], true);
    assert!(run.stderr.contains("was paused"), "{}", run.stderr);
    let wait = "until test -e /var/tmp/done; do sleep 0.1; done; stat -c %s /var/tmp/large";
    let (code, size) = world.in_guest("/bin/sh", &["-c", wait]);
    assert_eq!((code, size.trim()), (0, "209715200"));
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    world.discard();
}

#[test]
fn a_qemu_that_is_too_old_is_named_with_a_remedy() {
    let mut world = World::captured();
    // Answers as QEMU 7.2 does to the three questions it is asked, over the socket it is given.
    instead_of_qemu(&mut world, OLD_QEMU);
    let run = world.run(["start", "--json"]);
    assert_eq!(run.error_code(), "qemu_missing");
    for text in ["7.2.17", "9.0", "qemu-system-x86_64", "backports"] {
        assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
    }
    assert!(world.qemu_processes().is_empty());
}

/// Speaks QMP on the socket that it inherits. The real one is of no use here:
/// the machine has a newer.
const OLD_QEMU: &str = r#"#!/usr/bin/env python3
import json, re, socket, sys
number = int(re.search(r"fd=(\d+)", " ".join(sys.argv)).group(1))
peer = socket.socket(fileno=number)
if peer.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
    peer = peer.accept()[0]
version = {"qemu": {"micro": 17, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}
lines = peer.makefile("rw")
def say(value):
    lines.write(json.dumps(value) + "\n")
    lines.flush()
say({"QMP": {"version": version, "capabilities": []}})
for line in lines:
    request = json.loads(line)
    many = request["execute"].startswith("query-")
    say({"return": [] if many else {}, "id": request.get("id")})
    if request["execute"] == "quit":
        break
"#;

#[test]
fn no_accelerator_that_works_is_said_and_not_waited_for() {
    let mut world = World::captured();
    // QEMU itself, save that no probe of an accelerator ends as it should.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *isa-debug-exit*) exit 1 ;; esac\nexec {} \"$@\"\n",
        real_qemu()
    );
    instead_of_qemu(&mut world, &script);
    let run = world.run(["start", "--json"]);
    assert_eq!(run.error_code(), "accelerator", "{}", run.stdout);
    assert!(run.stdout.contains("tcg"), "{}", run.stdout);
    assert!(world.qemu_processes().is_empty());
}

#[test]
fn an_accelerator_that_fails_a_guest_is_replaced_by_the_next() {
    let mut world = World::empty();
    instead_of_qemu(&mut world, &FAILING_KVM.replace("REAL", &real_qemu()));
    // Without it KVM is not even tried, unless somebody insists on it: see below.
    let mut device = fs::File::options();
    let is_tried = device.read(true).write(true).open("/dev/kvm").is_ok();
    let run = world.run(["start", "--json"]).ok();
    let start = run.json();
    assert_eq!(start["accelerator"], "tcg", "{start}");
    assert_eq!(start["start"]["kind"], "resumed", "{start}");
    let told = run.stderr.contains("kvm failed");
    assert_eq!(told, is_tried, "{}", run.stderr);
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    world.discard();

    // It is remembered: the next start does not try again, and `doctor` tells why.
    let again = world.run(["start", "--json"]).ok();
    assert!(!again.stderr.contains("kvm"), "{}", again.stderr);
    world.discard();
    let doctor = world.run(["doctor", "--json"]);
    let told = doctor.stdout.contains("internal error");
    assert_eq!(told, is_tried, "{}", doctor.stdout);

    // A user who insists on it is told, and nothing else is done.
    world.set("STACK_EMULATOR_ACCELERATOR", "kvm");
    let run = world.run(["start", "--json"]).fails_with(5);
    assert_eq!(run.error_code(), "accelerator_failed", "{}", run.stdout);
    assert!(world.qemu_processes().is_empty());
}

/// QEMU itself on a host whose KVM runs the probe's program and fails a guest.
/// Software emulation runs the probe; nobody runs the guest, which is told over
/// the monitor as QEMU tells it. KVM that works cannot be made to fail.
const FAILING_KVM: &str = r#"#!/usr/bin/env python3
import json, os, re, signal, socket, sys, threading
real, arguments = "REAL", sys.argv[1:]
line = " ".join(arguments)
if "kvm" not in arguments:
    os.execvp(real, [real] + arguments)
if "isa-debug-exit" in line:
    plain = {"kvm": "tcg", "host": "max"}
    os.execvp(real, [real] + [plain.get(word, word) for word in arguments])
version = {"qemu": {"micro": 0, "minor": 0, "major": 10}, "package": ""}
answers = {"query-status": {"status": "internal-error", "running": False}}
def speak(peer):
    lines = peer.makefile("rw")
    def say(value):
        lines.write(json.dumps(value) + "\n")
        lines.flush()
    say({"QMP": {"version": version, "capabilities": []}})
    for line in lines:
        request = json.loads(line)
        name = request["execute"]
        say({"return": answers.get(name, {}), "id": request.get("id")})
        if name == "quit":
            os.kill(os.getpid(), signal.SIGTERM)
def serve(name):
    number = int(re.search(f"id={name},fd=([0-9]+)", line).group(1))
    listener = socket.socket(fileno=number)
    while True:
        threading.Thread(target=speak, args=[listener.accept()[0]]).start()
with open(arguments[arguments.index("-pidfile") + 1], "w") as file:
    print(os.getpid(), file=file)
for name in ["control", "events"]:
    threading.Thread(target=serve, args=[name]).start()
"#;

#[test]
fn a_guest_whose_kernel_lost_its_timer_boots_once_more() {
    let mut world = World::empty();
    instead_of_qemu(&mut world, &LOST_TIMER.replace("REAL", &real_qemu()));
    let run = world.run(["capture", "--json"]).ok();
    assert!(run.stderr.contains("lost its timer"), "{}", run.stderr);
    let log = world.instance().join("logs/serial.log");
    let console = fs::read(log).unwrap();
    let boots = String::from_utf8_lossy(&console).matches("SeaBIOS").count();
    assert_eq!(boots, 2);

    // It is a snapshot like any other.
    world.start();
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    world.discard();
}

/// QEMU itself, with a guest that idles in its firmware's boot menu while its
/// console says what a kernel says. One that really loses its timer cannot be made to.
const LOST_TIMER: &str = r#"#!/bin/sh
case "$*" in
*-incoming* | *isa-debug-exit*) ;;
*id=console,*)
    line="rcu: rcu_preempt kthread timer wakeup didn't happen for 5252 jiffies!"
    setsid --fork sh -c 'sleep 1; echo "$1" >&7' sh "$line" 3>&- 4>&- 5>&- 6>&-
    exec REAL -boot menu=on,splash-time=15000 "$@"
    ;;
esac
exec REAL "$@"
"#;

/// The guest's clock, in seconds since 1970.
fn guest_time(world: &World) -> i64 {
    let (code, text) = guest::exec(&world.agent_socket(), "/bin/date", &["+%s"]);
    assert_eq!(code, 0);
    text.trim().parse().unwrap()
}

#[test]
fn a_host_clock_that_jumped_is_followed_in_both_directions() {
    const DAY: i64 = 24 * 3600;
    let now = || {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        i64::try_from(since.as_secs()).unwrap()
    };
    let library = fs::read_dir("/usr/lib")
        .unwrap()
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime is installed");
    // A snapshot of today, started tomorrow.
    let mut world = World::captured();
    let jump = |world: &mut World, shift: &str| {
        world.set("LD_PRELOAD", library.to_str().unwrap());
        world.set("FAKETIME", shift);
        world.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    };
    jump(&mut world, "+1d");
    assert_eq!(world.start()["start"]["kind"], "resumed");
    let off = guest_time(&world) - (now() + DAY);
    assert!(off.abs() < 120, "{off} s off");
    assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
    assert_eq!(world.stop()["session"], "saved");
    // A session of tomorrow, continued yesterday.
    jump(&mut world, "-1d");
    assert_eq!(world.start()["start"]["kind"], "continued");
    let off = guest_time(&world) - (now() - DAY);
    assert!(off.abs() < 120, "{off} s off");
    assert_eq!(try_client_key(&world.secret("pck")), 200);
    let status = world.run(["status", "--json"]).ok().json();
    assert_eq!(status["state"], "running", "{status}");
    world.discard();
}
