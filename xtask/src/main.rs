//! Development commands, run as `cargo xtask COMMAND`. Each is a module of its own.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod bench;
mod campaign;
mod cargo;
mod command;
mod desktop;
mod fuzz;
mod image;
mod lint;
mod package;
mod pictures;
mod ports;
mod progress;
mod release;
mod sbom;
mod setup;
mod stages;
mod test;
mod ui;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Development commands of Stack Emulator"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what is missing and start an emulator
    Up(up::Args),
    /// Run all tests; set-up and guest images included
    Test(test::Args),
    /// Check format, sources, dependencies, the page, clippy and documentation
    Lint(lint::Args),
    /// Strike the emulator at random, and look whether everything holds
    Campaign(campaign::Args),
    /// Measure starts, stops and a capture, and draw the phases
    Bench(bench::Args),
    /// Run the fuzz targets for some time
    Fuzz(fuzz::Args),
    /// Build the desktop app's Debian package
    Package(package::Args),
    /// Install what this machine lacks: QEMU 9 or later, image and test tools
    Setup(setup::Args),
    /// Take the documents' pictures from a real run
    Pictures(pictures::Args),
    /// Check dependencies against the database of advisories, which it fetches
    Advisories,
    /// Write bills of materials of what is shipped (`CycloneDX`)
    Sbom(sbom::Args),
    /// Make what a release consists of, one thing a command
    Release(release::Args),
    /// Build the guest image, or say where the cached one is
    Image(image::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Campaign(args) => campaign::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Package(args) => package::run(&args),
        Command::Setup(args) => setup::run(&args),
        Command::Pictures(args) => pictures::run(&args),
        Command::Advisories => lint::advisories(),
        Command::Sbom(args) => sbom::run(&args),
        Command::Release(args) => release::run(&args),
        Command::Image(args) => image::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
