//! `stack-resident`: does for the host, in a process that is running already, what a start needs.

use std::{path::Path, process::ExitCode};

use starter::{
    notify, report,
    resident::{self, Port},
    settings::Settings,
};

fn main() -> ExitCode {
    let port = match Port::open(Path::new(resident::PORT)) {
        Ok(port) => port,
        Err(error) => return report::fatal("stack-resident: cannot open the port", &error),
    };
    if let Err(error) = notify::ready() {
        return report::fatal("stack-resident: cannot report readiness", &error);
    }
    let error = resident::serve(&port, &Settings::paths_only());
    report::fatal("stack-resident: the port failed", &error)
}
