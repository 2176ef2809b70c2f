//! What only a real guest or a real browser can say: that its kernel reads the
//! disks that are written for it, that its firmware boots it, that its page works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Command, Stdio};

use e2e::{World, guest, image, port, qmp};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Names that have gone wrong somewhere: long, of other alphabets, with spaces
/// and quotes, equal but for case, equal in their 8.3 form, deep.
fn awkward_files() -> BTreeMap<String, Vec<u8>> {
    let long = format!("{}.tar.gz", "n".repeat(96));
    let deep = format!("{}leaf", "folder/".repeat(12));
    let names = [
        "runtime.env",
        "README.TXT",
        "a b  c 'd' \"e\" $f `g`",
        "größe und «Ωmega» 木.txt",
        ".hidden",
        "-rf",
        "node_modules_first.json",
        "node_modules_second.json",
        "Case.txt",
        "other/case.TXT",
        "empty",
        &long,
        &deep,
    ];
    let content = |name: &str, index: usize| match name {
        "empty" => Vec::new(),
        // Around the sector size, and one of many extents' worth of sectors.
        _ => name
            .bytes()
            .cycle()
            .take(2047 + index * 1021 * 64)
            .collect(),
    };
    names
        .iter()
        .enumerate()
        .map(|(index, name)| ((*name).to_owned(), content(name, index)))
        .collect()
}

#[test]
fn the_guest_s_kernel_reads_awkward_names_from_our_iso() {
    let world = World::captured();
    let iso = world.user_home().join("awkward.iso");
    let files = awkward_files();
    let mut volume = iso9660::Volume::new("AWKWARD", iso9660::Timestamp::UNIX_EPOCH).unwrap();
    for (name, content) in &files {
        volume.add_bytes(name, content.clone()).unwrap();
    }
    volume.write_to(&mut File::create(&iso).unwrap()).unwrap();

    world.start();
    let mut monitor = qmp::Client::connect(&world.runtime_folder().join("control.sock"));
    let file = json!({"driver": "file", "filename": iso});
    let node = json!({"driver": "raw", "node-name": "awkward", "read-only": true, "file": file});
    monitor.call("blockdev-add", &node);
    let device = json!({"driver": "virtio-blk-pci", "drive": "awkward", "bus": "share0", "id": "awkward", "serial": "awkward"});
    monitor.call("device_add", &device);

    let script = r#"
        set -e
        find_disk() { for disk in /sys/block/vd*; do
            [ "$(cat "$disk/serial")" = awkward ] && echo "/dev/${disk##*/}" && return
        done; false; }
        until disk=$(find_disk); do sleep 0.1; done
        mkdir -p /run/awkward
        mount -t iso9660 -o ro "$disk" /run/awkward
        cd /run/awkward
        find . -type f -exec sha256sum --zero {} + | tr '\0' '\n'
    "#;
    let (code, listing) = world.in_guest("/bin/sh", &["-c", script]);
    assert_eq!(code, 0, "{listing}");
    let read: BTreeMap<String, String> = listing
        .lines()
        .map(|line| {
            let (digest, name) = line.split_once("  ./").unwrap();
            (name.to_owned(), digest.to_owned())
        })
        .collect();
    let written = files
        .iter()
        .map(|(name, content)| (name.clone(), format!("{:x}", Sha256::digest(content))))
        .collect();
    assert_eq!(read, written);
    world.discard();
}

#[test]
fn the_image_boots_under_uefi() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    // Its own variables, which the firmware writes to.
    let variables = folder.path().join("variables.fd");
    std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &variables).unwrap();
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args([
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-m",
        "2048",
        "-smp",
        "2",
    ])
    .args([
        "-nodefaults",
        "-display",
        "none",
        "-serial",
        "null",
        "-snapshot",
    ])
    .args([
        "-drive",
        "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
    ])
    .args([
        "-drive",
        &format!("if=pflash,unit=1,format=raw,file={}", variables.display()),
    ])
    .args([
        "-drive",
        &format!("if=virtio,format=qcow2,file={}", image().display()),
    ])
    .args([
        "-chardev",
        &format!(
            "socket,id=agent,server=on,wait=off,path={}",
            socket.display()
        ),
    ])
    .args(["-device", "virtio-serial-pci"])
    .args([
        "-device",
        "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
    ])
    .stdin(Stdio::null());
    let mut qemu = Killed(qemu.spawn().unwrap());
    while !socket.exists() {
        assert!(qemu.0.try_wait().unwrap().is_none(), "QEMU ended");
        // Made by QEMU, which says nothing when it has.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let script = "test -d /sys/firmware/efi && systemctl is-system-running --wait";
    let (code, state) = guest::exec_when_up(&socket, "/bin/sh", &["-c", script]);
    assert_eq!((code, state.trim()), (0, "running"));
}

struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_dashboard_works_in_a_browser_with_the_key_of_the_moment() {
    let world = World::captured();
    world.start();
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
        .expect("a browser is installed");
    let shown = |address: &str| {
        let output = Command::new(browser)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--dump-dom",
            ])
            // As long as the page's own limit for the backend's answer.
            .args(["--virtual-time-budget=10000"])
            .arg(format!(
                "--user-data-dir={}",
                world.user_home().join("browser").display()
            ))
            .arg(address)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let dashboard = format!("http://127.0.0.1:{}", port("dashboard"));
    let page = shown(&format!("{dashboard}/handler/sign-in"));
    assert!(page.contains(r#"data-state="connected""#), "{page}");
    assert!(
        !page.contains(&world.secret("pck")),
        "the key is in the script, not in the page"
    );
    let printed = world.run(["dashboard", "--print"]).ok();
    let link = printed.stdout.trim();
    assert!(link.starts_with(&dashboard), "{link}");
    let page = shown(link);
    assert!(page.contains(">Projects</h1>"), "{page}");
    world.discard();
}
