//! Stages of a long command: a heading before each, its duration after it, a table at the end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Stages that are done, in order.
#[derive(Debug)]
pub(crate) struct Stages {
    task: &'static str,
    done: Vec<(&'static str, Duration)>,
}

impl Stages {
    pub(crate) fn new(task: &'static str) -> Self {
        Self { task, done: vec![] }
    }

    /// Does `work` under the heading `name`. All its own output stays visible.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        eprintln!("\n{}: {name}", self.task);
        let started = Instant::now();
        let result = work().with_context(|| format!("{}: {name} failed", self.task));
        self.done.push((name, started.elapsed()));
        result
    }

    /// What was done and how long it took, one line a stage.
    pub(crate) fn table(&self) -> String {
        let total = self.done.iter().map(|(_, took)| *took).sum();
        let rows = self.done.iter().copied().chain([("total", total)]);
        let width = rows.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines = rows.map(|(name, took)| {
            let seconds = took.as_secs_f64();
            format!("  {name:width$}  {seconds:>7.1} s\n")
        });
        format!(
            "\n{}: time by stage\n{}",
            self.task,
            lines.collect::<String>()
        )
    }
}

/// Runs `command` with our own output, and without input: nothing may wait for an answer.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = shown(command);
    let status = command
        .stdin(std::process::Stdio::null())
        .status()
        .with_context(|| format!("cannot run `{name}`"))?;
    if !status.success() {
        bail!("`{name}` ended with {status}");
    }
    Ok(())
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words: Vec<_> = std::iter::once(program.file_name().unwrap_or(program.as_os_str()))
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    // What `command::tied` puts in front is our own business.
    if words[0] == "setpriv"
        && let Some(end) = words.iter().position(|word| word == "--")
    {
        words.drain(..=end);
        if let Some(name) = Path::new(&*words[0]).file_name() {
            words[0] = name.to_string_lossy().into_owned().into();
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_listed_with_their_total_even_after_a_failure() {
        let mut stages = Stages::new("demo");
        stages.run("first", || Ok(())).unwrap();
        let error = stages
            .run("the second one", || {
                run(Command::new("sh").args(["-c", "exit 3"]))
            })
            .unwrap_err();
        let text = format!("{error:#}");
        assert_eq!(
            text,
            "demo: the second one failed: `sh -c exit 3` ended with exit status: 3"
        );
        let table = stages.table();
        let names: Vec<_> = table
            .lines()
            .filter_map(|line| line.split("  ").nth(1))
            .collect();
        assert_eq!(names, ["first", "the second one", "total"]);
    }

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = crate::command::tied("/usr/bin/cargo", crate::command::OnOurDeath::Kill);
        assert_eq!(shown(command.args(["fmt", "--", "-l"])), "cargo fmt -- -l");
        assert_eq!(shown(Command::new("/bin/sh").arg("-n")), "sh -n");
    }

    #[test]
    fn a_command_gets_no_input() {
        run(Command::new("sh").args(["-c", "! read -r line"])).unwrap();
    }
}
