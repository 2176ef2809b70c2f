//! The options that every command takes.

use std::path::PathBuf;

use clap::{Args, ColorChoice, ValueHint};
use emulator::paths::InstanceName;

use super::absolute;

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArguments {
    /// Instance to act on; each has its own ports, snapshot and session [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub instance: Option<InstanceName>,
    /// Act on the instance of this project's folder
    #[arg(
        long,
        global = true,
        conflicts_with = "instance",
        long_help = "Act on the instance of this project's folder: that of the nearest config file, else the top of the \
            checkout or git worktree, else the current folder. `start` and `run` create it where it does not exist, with \
            the next free block of ports and the snapshot of another instance. The setting `instance-per folder` does the \
            same without the option."
    )]
    pub here: bool,
    /// Use this image file instead of the selected one
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = absolute())]
    pub image: Option<PathBuf>,
    /// Print exactly one JSON object on standard output, also for errors
    #[arg(long, global = true)]
    pub json: bool,
    /// Print each step and its duration to standard error
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colors; `auto` respects the variable `NO_COLOR`
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = false
    )]
    pub color: ColorChoice,
}
