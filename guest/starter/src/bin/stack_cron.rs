//! `stack-cron`: calls the cron endpoints of the backend, for ever.

use std::process::ExitCode;

use starter::{cron, report, settings::Settings};

fn main() -> ExitCode {
    match Settings::load() {
        Ok(settings) => cron::run(&settings),
        Err(error) => report::fatal("stack-cron", &error),
    }
}
