//! A thread that the system does not allow, as the error that it is.
//!
//! The asynchronous runtime and the standard library panic where they cannot begin a thread. What a command
//! needs was tried before it began, so this is for a host on which others take up threads meanwhile.

use std::any::Any;
use std::io;

use host::limits::LimitError;

use crate::failure::Failure;
use crate::output::Output;

/// What tokio and the standard library say.
const NO_THREAD: [&str; 3] = [
    "OS can't spawn worker thread",
    "OS can't spawn a new worker thread",
    "failed to spawn thread",
];

/// Has such a panic, in whichever thread, end the program with an error; others are as ever. The next
/// command finishes or undoes what this one had begun.
pub(crate) fn tell_of_threads(output: Output) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let Some(said) = no_thread(panic.payload()) else {
            return usual(panic);
        };
        let failure = Failure::Limit(LimitError::threads(io::Error::other(said)));
        let exit = output.fail(&failure);
        std::process::exit(exit.code().into());
    }));
}

/// The words of a panic because of a thread.
fn no_thread(payload: &dyn Any) -> Option<String> {
    let said = payload.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| payload.downcast_ref::<&str>().copied())?;
    let is_it = NO_THREAD.iter().any(|begin| said.contains(begin));
    is_it.then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_threads_are_told_so() {
        let text = "OS can't spawn worker thread: Resource temporarily unavailable".to_owned();
        let text: Box<dyn Any> = Box::new(text);
        assert!(no_thread(text.as_ref()).is_some());
        assert!(no_thread(&"index out of bounds").is_none());
        assert!(no_thread(&7_u8).is_none());
    }
}
