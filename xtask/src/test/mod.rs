//! `cargo xtask test`: everything, on a machine that may have nothing yet.
//!
//! The end-to-end tests come last, because they need all the rest to be sound
//! and because their runner's own verdict should be the last thing to be read.

mod arm64;
mod images;
mod lanes;
mod programs;

use std::path::Path;

use anyhow::{Result, ensure};

use self::programs::Program;
use crate::cargo::cargo;
use crate::command::{OnOurDeath, tied};
use crate::stages::{Stages, run as run_command};
use crate::{campaign, desktop, fuzz, package, release, setup, ui, workspace};

/// Path of the image of the starter stack, for the end-to-end tests.
pub(crate) const IMAGE: &str = "STACK_EMULATOR_TEST_IMAGE";
/// Path of the image whose rotation is a restart of some seconds.
const SLOW_IMAGE: &str = "STACK_EMULATOR_TEST_SLOW_IMAGE";
/// Path of the image of the payload on Node.
const NODE_IMAGE: &str = "STACK_EMULATOR_TEST_NODE_IMAGE";
/// Path of the command line under test.
pub(crate) const PROGRAM: &str = "STACK_EMULATOR_TEST_PROGRAM";
/// Path of the desktop app under test.
pub(crate) const DESKTOP: &str = "STACK_EMULATOR_TEST_DESKTOP";
/// Path of the `tauri-driver` that drives it.
pub(crate) const TAURI_DRIVER: &str = "STACK_EMULATOR_TEST_TAURI_DRIVER";
/// Host ports of the starter's services in the order of its payload, as `26700,26701`.
pub(crate) const PORTS: &str = "STACK_EMULATOR_TEST_PORTS";
/// Path of a Node that is new enough.
const NODE: &str = "STACK_EMULATOR_TEST_NODE";
/// The scripts that use the official SDK, with its packages.
const SDK: &str = "guest/starter/tests/sdk";
/// Path of the Debian package under test.
const PACKAGE: &str = "STACK_EMULATOR_TEST_PACKAGE";

/// What runs in the guest, which is Linux, and is built for nothing else.
pub(crate) const OF_LINUX: &str = "starter";
/// Path of the folder of the release under test.
const RELEASE: &str = "STACK_EMULATOR_TEST_RELEASE";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Stage {
    /// Unit tests alone, and the command line built: all that needs no set-up, on macOS too; not part of the rest
    Units,
    /// Unit, integration and documentation tests of every crate
    Crates,
    /// Unit tests of the page, and every state of it in a browser
    Ui,
    /// The official SDK, oldest and newest, against the starter's backend
    Sdk,
    /// The dashboard and the mail inbox in Chromium, on the starter's backend
    Dashboard,
    /// Every fuzz target for some seconds
    Fuzz,
    /// Real QEMU with real guests; builds their images if there are none yet
    E2e,
    /// Blows at random for two minutes; `cargo xtask campaign` takes longer
    Campaign,
    /// An arm64 image, built and tried by emulation where it has to be; takes long, and is not part of the rest
    Arm64,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these stages
    #[arg(value_enum)]
    stages: Vec<Stage>,
    /// How long each fuzz target runs
    #[arg(long, default_value_t = 5)]
    fuzz_seconds: u32,
    /// Arguments for the test programs, for instance the name of a test
    #[arg(last = true)]
    rest: Vec<String>,
}

/// `cargo xtask test`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    if args.stages.contains(&Stage::Units) {
        ensure!(
            args.stages.len() == 1,
            "`units` goes with no other stage: `crates` runs its tests, too"
        );
        return units(&root, &args.rest);
    }
    if args.stages.contains(&Stage::Arm64) {
        ensure!(
            args.stages.len() == 1,
            "`arm64` goes with no other stage: it has an image and a set-up of its own"
        );
        return arm64::run(&root, &args.rest);
    }
    let wanted = |stage| args.stages.is_empty() || args.stages.contains(&stage);
    let mut stages = Stages::new("test");
    stages.run("set-up", || setup::ensure(&[setup::Need::Test]))?;
    // They are long in the making, and use one processor for most of that.
    let images = wanted(Stage::E2e)
        .then(|| images::begin(&root))
        .transpose()?;
    if wanted(Stage::Crates) {
        // The desktop app is one of them, and embeds it.
        stages.run("page for the app", || ui::build(&root))?;
        stages.run("crates", || crates(&root, &args.rest))?;
    }
    if wanted(Stage::Ui) {
        stages.run("page", || ui::test(&root))?;
    }
    if wanted(Stage::Sdk) {
        stages.run("SDK", || sdk(&root))?;
    }
    if wanted(Stage::Dashboard) {
        stages.run("dashboard", || dashboard(&root))?;
    }
    if wanted(Stage::Fuzz) {
        stages.run("fuzz targets", || fuzz::smoke(&root, args.fuzz_seconds))?;
    }
    let Some(images) = images else {
        if wanted(Stage::Campaign) {
            stages.run("campaign", campaign::short)?;
        }
        eprint!("{}", stages.table());
        return Ok(());
    };
    let node = stages.run("packages for Node", || {
        ui::node_with_packages(&root, &root.join(SDK))?;
        ui::node_with_packages(&root, &root.join(ui::EXAMPLE))
    })?;
    let tests = stages.run("end-to-end tests", || programs::end_to_end(&root))?;
    let driver = stages.run("driver of the app", || desktop::tauri_driver(&root))?;
    // The command line comes with it: both are built as for the crates' own tests, so not a second time.
    let app = stages.run("programs", || {
        desktop::build(&root, desktop::Profile::Dev, None)
    })?;
    let program = app.with_file_name(package::PROGRAM);
    let package = stages.run("package", || {
        package::bundle(&root, desktop::Profile::Dev, &program, package::Format::Deb)
    })?;
    let release_folder = workspace::target_dir(&root).join("test-release");
    stages.run("release", || {
        release::for_tests(&root, &program, &release_folder)
    })?;
    let [image, slow, node_image] = stages.run("rest of the images", || images.wait())?;
    if wanted(Stage::Campaign) {
        // Alone on the machine: it measures how fast `status` answers.
        let campaign = app.with_file_name(campaign::PROGRAM);
        stages.run("campaign", || {
            campaign::short_with(&root, &campaign, &image)
        })?;
    }
    // Here, and not at the very end, where the runner speaks; it says itself how long it took.
    eprint!("{}", stages.table());
    let variables = [
        (IMAGE, image),
        (SLOW_IMAGE, slow),
        (NODE_IMAGE, node_image),
        (PROGRAM, program),
        (DESKTOP, app),
        (TAURI_DRIVER, driver),
        (PACKAGE, package),
        (RELEASE, release_folder),
        (NODE, node),
    ];
    stages.run("end to end", || lanes::run(tests, &variables, &args.rest))
}

/// Runs the unit tests of all that is for this system, and builds the command line.
fn units(root: &Path, rest: &[String]) -> Result<()> {
    let mut stages = Stages::new("test");
    // The desktop app embeds it.
    stages.run("page for the app", || ui::build(root))?;
    let of_this_system = |subcommand| {
        let mut command = cargo(root, subcommand);
        command.args(["--workspace", "--features", desktop::EMBEDDED]);
        if !cfg!(target_os = "linux") {
            command.args(["--exclude", OF_LINUX]);
        }
        command
    };
    stages.run("units", || {
        let mut command = of_this_system("test");
        run_command(command.args(["--lib", "--no-fail-fast", "--"]).args(rest))
    })?;
    stages.run("command line", || {
        run_command(of_this_system("build").args(["--bin", package::PROGRAM]))
    })?;
    eprint!("{}", stages.table());
    Ok(())
}

/// Runs what apps do with the official SDK, whose packages only this installs.
fn sdk(root: &Path) -> Result<()> {
    let node = ui::node_with_packages(root, &root.join(SDK))?;
    run_command(
        cargo(root, "test")
            .args(["--package", "starter", "--features", "sdk"])
            .args(["--test", "stack", "--", "sdk::"])
            .env(NODE, node),
    )
}

/// Opens the dashboard and the mail inbox in a browser, which has packages of its own.
fn dashboard(root: &Path) -> Result<()> {
    let node = ui::node_with_packages(root, &root.join("guest/starter/tests/browser"))?;
    run_command(
        cargo(root, "test")
            .args(["--package", "starter", "--features", "browser"])
            .args(["--test", "stack", "--", "browser::"])
            .env(NODE, node),
    )
}

/// Runs all test programs of the crates, and their documentation's examples; one that fails keeps no other from running.
fn crates(root: &Path, rest: &[String]) -> Result<()> {
    let mut failed = vec![];
    for Program {
        name, path, folder, ..
    } in programs::of_crates(root)?
    {
        let shown = folder.strip_prefix(root).unwrap_or(&folder).display();
        eprintln!("     Running {name} of {shown} ({})", path.display());
        let mut command = tied(&path, OnOurDeath::Terminate);
        // As `cargo test` runs it.
        command
            .current_dir(&folder)
            .env("CARGO_MANIFEST_DIR", &folder)
            .args(rest);
        if let Err(error) = run_command(&mut command) {
            eprintln!("error: {error:#}");
            failed.push(name);
        }
    }
    let examples = run_command(
        cargo(root, "test")
            .args(["--workspace", "--features", desktop::EMBEDDED])
            .args(["--doc", "--no-fail-fast", "--"])
            .args(rest),
    );
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    examples
}
