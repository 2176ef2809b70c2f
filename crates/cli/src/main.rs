//! Stack Emulator on the command line.

fn main() {}
