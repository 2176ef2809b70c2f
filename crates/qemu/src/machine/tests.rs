//! What the builder promises about its command lines.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::binary::program;
use crate::version::Version;

fn binary(arch: Arch, sandbox: bool) -> QemuBinary {
    QemuBinary {
        path: PathBuf::from("/usr/bin").join(program(arch)),
        arch,
        version: Version::new(10, 0, 2),
        version_text: "10.0.2".to_owned(),
        machine_type: "pc-q35-10.0".to_owned(),
        sandbox,
        stamp: ::host::FileStamp {
            device: 1,
            inode: 2,
            bytes: 3,
            modified_ns: 4,
        },
    }
}

fn machine() -> Machine {
    Machine {
        arch: Arch::Amd64,
        accelerator: Accelerator::Tcg,
        ram_mib: 4096,
        vcpus: 2,
        name: "default".to_owned(),
        disk: Disk {
            path: "/i/overlay.qcow2".into(),
            backing: vec!["/i/captured.qcow2".into(), "/i/base.qcow2".into()],
        },
        isos: vec!["/i/config.iso".into()],
        forwards: vec![Forward {
            host_port: 26700,
            guest_port: 8101,
        }],
        outside: false,
        shared_slots: 8,
        shares: Vec::new(),
        firmware: None,
    }
}

fn files() -> Files {
    Files {
        fds: SocketFds {
            control: 3,
            events: 4,
            agent: 5,
            rotate: 6,
            console: 7,
        },
        pid_file: "/i/run/qemu.pid".into(),
        token: "0123456789".to_owned(),
    }
}

fn build(machine: &Machine, ram: &Ram, launch: Launch) -> Result<Vec<String>, MachineError> {
    let args = machine.command_line(&binary(machine.arch, true), ram, launch, &files())?;
    Ok(args
        .into_iter()
        .map(|arg| arg.into_string().unwrap())
        .collect())
}

/// The values of one option, in order.
fn values<'a>(args: &'a [String], option: &str) -> Vec<&'a str> {
    args.windows(2)
        .filter(|pair| pair[0] == option)
        .map(|pair| pair[1].as_str())
        .collect()
}

#[test]
fn boot_capture_and_resume_differ_only_in_what_the_guest_cannot_see() {
    let machine = machine();
    let visible = machine.guest_visible(&binary(machine.arch, true));
    let capture = build(&machine, &Ram::SharedFile("/i/ram".into()), Launch::Boot).unwrap();
    let resume = build(
        &machine,
        &Ram::PrivateFile("/i/ram".into()),
        Launch::Incoming,
    )
    .unwrap();
    let plain = build(&machine, &Ram::Private, Launch::Paused).unwrap();
    for args in [&capture, &resume, &plain] {
        assert_eq!(args[..visible.len()], visible);
    }
    // Only Linux can keep a part of a process out of its core dump.
    let no_dump = if cfg!(target_os = "linux") {
        ",dump=off"
    } else {
        ""
    };
    for (args, memory) in [
        (
            &capture,
            "memory-backend-file,id=ram,size=4096M,mem-path=/i/ram,share=on",
        ),
        (
            &resume,
            "memory-backend-file,id=ram,size=4096M,mem-path=/i/ram,share=off",
        ),
        (&plain, "memory-backend-ram,id=ram,size=4096M"),
    ] {
        assert_eq!(values(args, "-object")[0], format!("{memory}{no_dump}"));
    }
    assert!(!capture.contains(&"-S".to_owned()));
    assert_eq!(values(&resume, "-incoming"), ["defer"]);
    assert!(plain.contains(&"-S".to_owned()) && values(&plain, "-incoming").is_empty());
}

#[test]
fn the_disk_chain_is_spelled_out_to_its_end() {
    let args = build(&machine(), &Ram::Private, Launch::Boot).unwrap();
    let root: serde_json::Value = serde_json::from_str(values(&args, "-blockdev")[0]).unwrap();
    assert_eq!(root["node-name"], "root");
    assert_eq!(root["file"]["filename"], "/i/overlay.qcow2");
    assert_eq!(root["file"]["read-only"], false);
    let captured = &root["backing"];
    assert_eq!(captured["file"]["filename"], "/i/captured.qcow2");
    assert_eq!(captured["read-only"], true);
    let base = &captured["backing"];
    assert_eq!(base["file"]["filename"], "/i/base.qcow2");
    // Present and null: without it QEMU would ask the image.
    assert_eq!(base.get("backing"), Some(&serde_json::Value::Null));
}

#[test]
fn ports_are_bound_to_loopback_only_and_the_outside_is_open_only_where_it_is_said() {
    for (outside, restrict) in [(false, "on"), (true, "off")] {
        let machine = Machine {
            outside,
            ..machine()
        };
        for launch in [Launch::Boot, Launch::Paused, Launch::Incoming] {
            let args = build(&machine, &Ram::Private, launch).unwrap();
            let forward = "hostfwd=tcp:127.0.0.1:26700-:8101";
            let network = format!("user,id=net0,ipv6=off,restrict={restrict},{forward}");
            assert_eq!(values(&args, "-netdev"), [network.as_str()]);
        }
    }
}

#[test]
fn the_sandbox_is_used_where_there_is_one() {
    let machine = machine();
    let with = |sandbox| {
        let args = machine.command_line(
            &binary(Arch::Amd64, sandbox),
            &Ram::Private,
            Launch::Boot,
            &files(),
        );
        args.unwrap().contains(&OsString::from("-sandbox"))
    };
    assert!(with(true));
    assert!(!with(false));
}

#[test]
fn commas_in_paths_and_names_are_quoted() {
    let mut machine = machine();
    machine.name = "a,b".to_owned();
    machine.shares = vec![Share {
        id: "share0".to_owned(),
        path: "/i/with, comma".into(),
        read_only: true,
    }];
    let args = build(&machine, &Ram::SharedFile("/i/ram,x".into()), Launch::Boot).unwrap();
    assert!(values(&args, "-object")[0].contains("mem-path=/i/ram,,x,share=on"));
    assert_eq!(values(&args, "-name"), ["guest=a,,b#0123456789"]);
    assert_eq!(
        values(&args, "-fsdev"),
        ["local,id=share0,path=/i/with,, comma,security_model=none,multidevs=remap,readonly=on"]
    );
}

#[test]
fn what_cannot_be_built_is_named() {
    let ok = machine();
    let refused = |change: &dyn Fn(&mut Machine)| {
        let mut machine = ok.clone();
        change(&mut machine);
        build(&machine, &Ram::Private, Launch::Boot).unwrap_err()
    };
    assert!(matches!(
        refused(&|m| m.vcpus = 0),
        MachineError::OutOfRange {
            value: 0,
            min: 1,
            ..
        }
    ));
    assert!(matches!(
        refused(&|m| m.ram_mib = 1),
        MachineError::OutOfRange { .. }
    ));
    assert!(matches!(
        refused(&|m| m.shared_slots = 16),
        MachineError::OutOfRange { max: 15, .. }
    ));
    assert!(matches!(
        refused(&|m| m.isos = vec!["/x".into(); 5]),
        MachineError::OutOfRange { .. }
    ));
    assert!(matches!(
        refused(&|m| m.disk.path = "relative.qcow2".into()),
        MachineError::PathNotAbsolute { .. }
    ));
    assert!(matches!(
        refused(&|m| m.shares = vec![Share {
            id: "a,b".to_owned(),
            path: "/x".into(),
            read_only: true,
        }]),
        MachineError::BadId { .. }
    ));
    let strange: OsString = std::os::unix::ffi::OsStringExt::from_vec(b"/i/\xff.qcow2".to_vec());
    assert!(matches!(
        refused(&|m| m.disk.backing = vec![PathBuf::from(&strange)]),
        MachineError::PathNotUtf8 { .. }
    ));

    let arm = Machine {
        arch: Arch::Arm64,
        ..ok.clone()
    };
    let error = build(&arm, &Ram::Private, Launch::Boot).unwrap_err();
    assert_eq!(error, MachineError::NoFirmware);
    let error = ok
        .command_line(
            &binary(Arch::Arm64, true),
            &Ram::Private,
            Launch::Boot,
            &files(),
        )
        .unwrap_err();
    assert!(matches!(error, MachineError::WrongArch { .. }));
}

#[test]
fn a_generation_id_is_where_it_is_said_to_be() {
    for arch in [Arch::Amd64, Arch::Arm64] {
        let machine = Machine { arch, ..machine() };
        let args = machine.guest_visible(&binary(arch, true));
        let has_one = args.iter().any(|arg| arg.starts_with("vmgenid,"));
        assert_eq!(has_one, Machine::has_generation_id(arch), "{arch}");
    }
}

#[test]
fn a_share_is_plugged_into_its_reserved_slot() {
    let device = Machine::share_device(3, "share3", "stack3");
    let json = serde_json::to_value(&device).unwrap();
    let expected = serde_json::json!({
        "driver": "virtio-9p-pci", "id": "share-dev3", "bus": "share3",
        "fsdev": "share3", "mount_tag": "stack3",
    });
    assert_eq!(json, expected);
}

proptest! {
    #[test]
    fn nothing_of_the_host_is_visible(
        name in "[a-z]{1,8}",
        host_ports in prop::collection::vec(1024u16.., 0..5),
        disk in "/[a-z/]{1,20}",
        shares in prop::collection::vec("/[a-z/]{1,20}", 0..4),
    ) {
        let plain = machine();
        let mut other = plain.clone();
        other.name = name;
        other.disk = Disk { path: disk.into(), backing: Vec::new() };
        other.isos = vec!["/another.iso".into()];
        other.outside = true;
        other.forwards = host_ports
            .into_iter()
            .map(|host_port| Forward { host_port, guest_port: 80 })
            .collect();
        other.shares = shares
            .into_iter()
            .enumerate()
            .map(|(n, path)| Share { id: format!("s{n}"), path: path.into(), read_only: false })
            .collect();
        let binary = binary(Arch::Amd64, true);
        prop_assert_eq!(plain.guest_visible(&binary), other.guest_visible(&binary));
    }

    #[test]
    fn what_the_guest_can_notice_is_visible(ram in 16u32..9000, vcpus in 1u16..9, slots in 0u8..15) {
        let plain = machine();
        let mut other = plain.clone();
        (other.ram_mib, other.vcpus, other.shared_slots) = (ram, vcpus, slots);
        let binary = binary(Arch::Amd64, true);
        let same = plain == other;
        prop_assert_eq!(same, plain.guest_visible(&binary) == other.guest_visible(&binary));
    }
}
