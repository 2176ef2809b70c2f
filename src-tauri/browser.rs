//! The user's browser: it is started by the desktop, without what is in the environment for this program alone.
//!
//! Which programs open an address, and in which order, is the crate `open`'s to say.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::environment;

/// How long a program may take to say that it opens nothing. One that still runs then has taken the address over;
/// some run for as long as the browser does.
const REFUSAL: Duration = Duration::from_millis(250);

/// Opens `address`.
///
/// # Errors
///
/// No program is there for it, or those that are refuse.
pub(crate) async fn open(address: &str) -> io::Result<()> {
    first_that_opens(::open::commands(address)).await
}

/// Tries one of `programs` after the other.
async fn first_that_opens(programs: Vec<Command>) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for program in programs {
        match hand_over(program).await {
            Ok(()) => return Ok(()),
            // One that is there and refuses tells more than one that is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn hand_over(mut program: Command) -> io::Result<()> {
    environment::keep_to_itself(&mut program);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // What interrupts this program is nothing to the browser.
        program.process_group(0);
    }
    program
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = tokio::process::Command::from(program).spawn()?;
    match tokio::time::timeout(REFUSAL, child.wait()).await {
        Ok(Ok(status)) if !status.success() => {
            Err(io::Error::other(format!("it ended with {status}")))
        }
        Ok(ended) => ended.map(drop),
        // Its end is waited for by the runtime.
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn missing() -> Command {
        Command::new("/nonexistent/opener")
    }

    #[tokio::test]
    async fn one_program_opens_an_address_and_the_others_are_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let opened = folder.path().join("opened");
        let opens = || shell(&format!("echo x >> '{}'", opened.display()));
        let programs = vec![missing(), shell("exit 3"), opens(), opens()];
        first_that_opens(programs).await.unwrap();
        assert_eq!(std::fs::read_to_string(&opened).unwrap(), "x\n");
    }

    #[tokio::test]
    async fn it_is_told_when_no_program_opens_an_address() {
        let error = first_that_opens(vec![missing()]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let programs = vec![missing(), shell("exit 3"), missing()];
        let error = first_that_opens(programs).await.unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_runs_as_long_as_the_browser_has_taken_the_address() {
        first_that_opens(vec![shell("exec sleep 3")]).await.unwrap();
    }
}
