//! QEMU: command line, QMP, guest agent, migration, process identity, accelerator probe.
