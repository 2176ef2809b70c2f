//! Killing a command, or its QEMU, at a moment of its work.
//!
//! A moment is what the command says with `--verbose` of a phase: `Begin(Rotate)` when it begins,
//! `End(Rotate` when it has ended, `phase: Archive` when some of it is done.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::{Run, World, processes};

/// A command that has come to a moment, or has ended before it.
#[derive(Debug)]
pub struct Reached {
    /// The command.
    pub child: Child,
    /// False if it ended before the moment.
    pub reached: bool,
    stderr: JoinHandle<String>,
    begun: Instant,
}

impl Reached {
    /// Waits for the command's end.
    pub fn end(mut self) -> Run {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("it is piped");
        pipe.read_to_string(&mut stdout).expect("text");
        let status = self.child.wait().expect("it was started");
        Run {
            code: status.code(),
            stdout,
            stderr: self.stderr.join().expect("text"),
            took: self.begun.elapsed(),
        }
    }
}

impl World {
    /// Starts the command and waits until it says `moment`.
    pub fn reach(&self, arguments: &[&str], moment: &str) -> Reached {
        let begun = Instant::now();
        let mut child = self.spawn(arguments.iter().chain(&["--json", "--verbose"]));
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        let (mut text, mut line, mut reached) = (String::new(), String::new(), false);
        while !reached && said.read_line(&mut line).expect("text") > 0 {
            reached = line.contains(moment);
            text.push_str(&line);
            line.clear();
        }
        // Somebody has to go on reading, or the command would stand still.
        let stderr = std::thread::spawn(move || {
            said.read_to_string(&mut text).expect("text");
            text
        });
        Reached {
            child,
            reached,
            stderr,
            begun,
        }
    }

    /// Kills the command at `moment`, which must come. False if it had ended by itself by then.
    #[track_caller]
    pub fn kill_at(&self, arguments: &[&str], moment: &str) -> bool {
        let mut command = self.reach(arguments, moment);
        command.child.kill().ok();
        let status = command.child.wait().expect("it was started");
        if !command.reached {
            let said = command.stderr.join().expect("text");
            panic!("{arguments:?} never came to {moment}: {said}");
        }
        status.signal() == Some(rustix::process::Signal::KILL.as_raw())
    }

    /// Sets a running machine aside, and leaves nobody there to do what a stop leaves to others.
    #[track_caller]
    pub fn set_aside(&self) {
        for _ in 0..5 {
            self.kill_at(&["stop"], "End(Pause");
            // A stop that is killed late has begun that work already, and a machine that somebody has
            // worked at is another case.
            let mut others = self.processes();
            others.retain(|pid| {
                let line = processes::command_line(*pid);
                line.contains("work-ahead") || line.contains(" stop ")
            });
            if others.is_empty() {
                return;
            }
            processes::kill_all(&others);
            self.start();
        }
        panic!("each stop was killed too late");
    }

    /// Kills QEMU at `moment` of the command, which must come, and waits for the command.
    #[track_caller]
    pub fn kill_qemu_at(&self, arguments: &[&str], moment: &str) -> Run {
        let reached = self.reach(arguments, moment);
        self.kill_qemu();
        let came = reached.reached;
        let run = reached.end();
        assert!(came, "{arguments:?} never came to {moment}: {run:?}");
        run
    }
}

impl Run {
    /// Fails the test unless this is an error with a code, a message and a hint.
    #[track_caller]
    pub fn fails_helpfully(&self) {
        let json = self.json();
        for part in ["code", "message", "hint"] {
            let text = json["error"][part].as_str().unwrap_or_default();
            assert!(
                !text.is_empty(),
                "no {part} in {json}\nstderr: {}",
                self.stderr
            );
        }
    }
}
