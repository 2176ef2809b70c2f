//! End-to-end tests against real QEMU and a real guest.
