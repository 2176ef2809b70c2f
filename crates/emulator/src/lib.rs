//! The emulator engine: instances, snapshots, rotation, readiness.
