//! Stack Emulator for the desktop: see the library of this package.

// No console window beside the app's own.
#![cfg_attr(windows, windows_subsystem = "windows")]

fn main() -> std::process::ExitCode {
    stack_emulator_desktop::run(std::env::args_os())
}
