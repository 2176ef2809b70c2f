//! `stack-backend`: the API and the mail inbox of the starter stack.

use std::process::ExitCode;

use starter::{backend, report, server, settings::Settings};

// One thread does it all: under emulation a second one costs more in hand-overs than it brings.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // First of all, before there is another thread.
    if let Err(error) = backend::reach::put_aside() {
        return report::fatal("stack-backend", &error);
    }
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(error) => return report::fatal("stack-backend", &error),
    };
    match server::run(&settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::fatal("stack-backend", &error),
    }
}
