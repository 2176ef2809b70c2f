//! No core dumps of processes that hold secrets.
//!
//! A core dump is a file with all of a process's memory. The limit asked for is one byte, not none: where
//! dumps are handed to a program (`core_pattern` begins with `|`, as distributions have it), Linux does not
//! look at the limit, except that one byte ends the dump (`fs/coredump.c`, written against a program that
//! crashes itself). One byte is too small for a file as well.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Too little for a core dump, in bytes.
const NONE: u64 = 1;

/// The limit that this process had before [`forbid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    soft: Option<u64>,
}

/// Has this process and what it starts from now on leave no core dump.
///
/// # Errors
///
/// What the system refused.
pub fn forbid() -> io::Result<Allowed> {
    let limit = getrlimit(Resource::Core);
    // A harder limit of nothing stays.
    let soft = limit.maximum.map_or(NONE, |hard| hard.min(NONE));
    set(Some(soft))?;
    Ok(Allowed {
        soft: limit.current,
    })
}

impl Allowed {
    /// Calls `start`, whose new process may leave core dumps as this one once might: it is a program of
    /// the user's, and its memory no concern of ours. A process inherits the limit, so this one has
    /// it for that moment.
    ///
    /// # Errors
    ///
    /// What the system refused; `start` may have been called.
    pub fn given_to<T>(self, start: impl FnOnce() -> T) -> io::Result<T> {
        set(self.soft)?;
        let started = start();
        forbid()?;
        Ok(started)
    }
}

fn set(soft: Option<u64>) -> io::Result<()> {
    let maximum = getrlimit(Resource::Core).maximum;
    let limit = Rlimit {
        current: soft,
        maximum,
    };
    Ok(setrlimit(Resource::Core, limit)?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn limit_of_a_child() -> String {
        let shown = Command::new("sh").args(["-c", "ulimit -c"]).output();
        String::from_utf8(shown.unwrap().stdout).unwrap()
    }

    #[test]
    fn what_is_forbidden_is_given_to_who_is_started_for_others() {
        let before = limit_of_a_child();
        let maximum = getrlimit(Resource::Core).maximum;
        let allowed = forbid().unwrap();
        // The shell counts blocks, of which one byte is none.
        assert_eq!(limit_of_a_child(), "0\n");
        assert!(getrlimit(Resource::Core).current.unwrap() <= NONE);
        assert_eq!(allowed.given_to(limit_of_a_child).unwrap(), before);
        assert_eq!(limit_of_a_child(), "0\n");
        assert_eq!(getrlimit(Resource::Core).maximum, maximum);
    }
}
