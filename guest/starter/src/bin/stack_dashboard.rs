//! `stack-dashboard`: serves the built dashboard of the starter stack.

use std::process::ExitCode;

use starter::{dashboard, report, settings::Settings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(error) => return report::fatal("stack-dashboard", &error),
    };
    match dashboard::run(&settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::fatal("stack-dashboard", &error),
    }
}
