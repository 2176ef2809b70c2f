//! Stack Emulator for the desktop.
//!
//! The tray icon and the window are not built yet; until they are, this binary
//! says where the working product is, rather than opening an empty window.

fn main() -> std::process::ExitCode {
    eprintln!(
        "The desktop app is not part of this release. Use the command line: `stack-emulator --help`."
    );
    std::process::ExitCode::FAILURE
}
