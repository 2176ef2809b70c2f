//! The part of the command line that the guest cannot see.

use serde_json::{Value, json};

use super::{Files, Forward, Launch, Machine, MachineError, Ram, utf8};
use crate::binary::QemuBinary;

/// The descriptor set with the console's file.
const CONSOLE_SET: u32 = 1;

pub(super) fn arguments(
    machine: &Machine,
    binary: &QemuBinary,
    ram: &Ram,
    launch: Launch,
    files: &Files,
    args: &mut Vec<String>,
) -> Result<(), MachineError> {
    let mut add = |option: &str, value: String| {
        args.push(option.to_owned());
        args.push(value);
    };

    add("-object", memory(machine, ram)?);
    add(
        "-object",
        "rng-random,id=entropy,filename=/dev/urandom".to_owned(),
    );

    let fds = files.fds;
    for (id, fd) in [
        ("control", fds.control),
        ("events", fds.events),
        ("agent", fds.agent),
        ("rotate", fds.rotate),
    ] {
        add(
            "-chardev",
            format!("socket,id={id},fd={fd},server=on,wait=off"),
        );
    }
    add("-mon", "chardev=control,mode=control".to_owned());
    add("-mon", "chardev=events,mode=control".to_owned());
    // By way of a descriptor set, since a file's chardev takes a path alone.
    add("-add-fd", format!("fd={},set={CONSOLE_SET}", fds.console));
    add(
        "-chardev",
        format!("file,id=console,path=/dev/fdset/{CONSOLE_SET},append=on"),
    );

    add("-blockdev", root(machine)?.to_string());
    for (index, iso) in machine.isos.iter().enumerate() {
        let node = json!({
            "driver": "raw",
            "node-name": format!("iso{index}"),
            "read-only": true,
            "file": file("a read-only disk", iso, true)?,
        });
        add("-blockdev", node.to_string());
    }

    // The host side is always loopback: nothing of the guest is offered to the network.
    let forwards = machine.forwards.iter().map(|forward| {
        let Forward {
            host_port,
            guest_port,
        } = forward;
        format!(",hostfwd=tcp:127.0.0.1:{host_port}-:{guest_port}")
    });
    // Whatever the guest sends elsewhere than in answer to a forward, QEMU drops.
    let restrict = if machine.outside { "off" } else { "on" };
    add(
        "-netdev",
        format!(
            "user,id=net0,ipv6=off,restrict={restrict}{}",
            forwards.collect::<String>()
        ),
    );
    for share in &machine.shares {
        let path = utf8("a shared folder", &share.path)?;
        let readonly = if share.read_only { "on" } else { "off" };
        // Files the guest makes belong to the user, with the modes the guest gave.
        add(
            "-fsdev",
            format!(
                "local,id={},path={},security_model=none,multidevs=remap,readonly={readonly}",
                share.id,
                escape(path)
            ),
        );
    }
    if let Some(firmware) = &machine.firmware {
        add("-bios", utf8("the firmware", firmware)?.to_owned());
    }

    if binary.sandbox {
        add(
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny".to_owned(),
        );
    }
    add(
        "-pidfile",
        utf8("the pid file", &files.pid_file)?.to_owned(),
    );
    add(
        "-name",
        format!("guest={}#{}", escape(&machine.name), escape(&files.token)),
    );
    add("-msg", "timestamp=on".to_owned());
    args.extend(["-display", "none", "-nodefaults", "-no-user-config"].map(str::to_owned));
    match launch {
        Launch::Boot => {}
        Launch::Paused => args.push("-S".to_owned()),
        Launch::Incoming => args.extend(["-S", "-incoming", "defer"].map(str::to_owned)),
    }
    Ok(())
}

/// What keeps the guest's memory, with its secrets, out of a core dump of QEMU. Linux alone can leave parts out,
/// and elsewhere QEMU refuses to start with this (`host_memory_backend_set_dump` in its `backends/hostmem.c`). There,
/// what we start leaves no core dump at all ([`host::core_dumps`]).
const NO_DUMP: &str = if cfg!(target_os = "linux") {
    ",dump=off"
} else {
    ""
};

/// The guest's memory.
fn memory(machine: &Machine, ram: &Ram) -> Result<String, MachineError> {
    let size = machine.ram_mib;
    let (path, share) = match ram {
        Ram::Private => return Ok(format!("memory-backend-ram,id=ram,size={size}M{NO_DUMP}")),
        Ram::SharedFile(path) => (path, "on"),
        Ram::PrivateFile(path) => (path, "off"),
    };
    let path = escape(utf8("the RAM file", path)?);
    Ok(format!(
        "memory-backend-file,id=ram,size={size}M,mem-path={path},share={share}{NO_DUMP}"
    ))
}

/// The root disk's whole chain. The last backing file is followed by an explicit nothing, so that
/// QEMU does not ask the image for one.
fn root(machine: &Machine) -> Result<Value, MachineError> {
    let mut below = Value::Null;
    for path in machine.disk.backing.iter().rev() {
        below = json!({
            "driver": "qcow2",
            "read-only": true,
            "file": file("a backing image", path, true)?,
            "backing": below,
        });
    }
    Ok(json!({
        "driver": "qcow2",
        "node-name": "root",
        "discard": "unmap",
        "cache": { "direct": false, "no-flush": false },
        "file": file("the disk image", &machine.disk.path, false)?,
        "backing": below,
    }))
}

fn file(
    what: &'static str,
    path: &std::path::Path,
    read_only: bool,
) -> Result<Value, MachineError> {
    let mut node = json!({
        "driver": "file",
        "filename": utf8(what, path)?,
        "read-only": read_only,
        "discard": "unmap",
        "cache": { "direct": false, "no-flush": false },
    });
    if cfg!(target_os = "linux") {
        // Otherwise QEMU, suspecting that another host wrote the file, syncs it and drops it from
        // the page cache at the end of every incoming migration, only to read it again.
        node["drop-cache"] = json!(false);
    }
    Ok(node)
}

/// QEMU's own quoting: a comma ends a value unless doubled.
fn escape(text: &str) -> String {
    text.replace(',', ",,")
}
