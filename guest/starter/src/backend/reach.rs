//! The right to read what belongs to others, held for one call at a time.
//!
//! The host's folders keep their owners and modes in the guest. Who has `umask 077` owns config files that
//! nobody else may read, and owns them under a number that means nothing here. So systemd gives the backend
//! `CAP_DAC_READ_SEARCH`: the guest's kernel then passes every read on to the host, where QEMU may read what
//! its user may, and no more. That right would also open the guest's own files, so it is put aside at once
//! and taken up only while a path below `/host` is opened. Rights belong to a thread, which makes that safe.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

const READ: CapabilitySet = CapabilitySet::DAC_READ_SEARCH;

/// Keeps rights for later without having them: those of the calling thread, and of all that it starts.
///
/// # Errors
/// What the kernel says; it refuses nobody who asks for less.
pub fn put_aside() -> io::Result<()> {
    let sets = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: sets.permitted & READ,
            // Other programs inherit none.
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// The calling thread reads what it may not read otherwise, until this is dropped.
///
/// Where the right was never given, nothing changes.
pub(super) struct Raised {
    before: CapabilitySets,
    // It is a thread that has rights: this must not go to another one.
    _here: std::marker::PhantomData<*const ()>,
}

impl Raised {
    pub(super) fn here() -> io::Result<Self> {
        let before = capabilities(None)?;
        let raised = CapabilitySets {
            effective: before.effective | (before.permitted & READ),
            ..before
        };
        set_capabilities(None, raised)?;
        Ok(Self {
            before,
            _here: std::marker::PhantomData,
        })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if set_capabilities(None, self.before).is_err() {
            // The kernel refuses nobody who asks for less. A thread that keeps more must not go on.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own: what is put aside stays so.
    fn in_a_thread(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn a_right_is_had_only_while_it_is_used() {
        in_a_thread(|| {
            put_aside().unwrap();
            let kept = capabilities(None).unwrap();
            assert_eq!(kept.effective, CapabilitySet::empty());
            let raised = Raised::here().unwrap();
            // Only if whoever runs this test has it.
            assert_eq!(capabilities(None).unwrap().effective, kept.permitted & READ);
            drop(raised);
            assert_eq!(capabilities(None).unwrap(), kept);
        });
    }

    #[test]
    fn nobody_gets_what_was_not_given() {
        in_a_thread(|| {
            let none = CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            };
            set_capabilities(None, none).unwrap();
            let raised = Raised::here().unwrap();
            assert_eq!(capabilities(None).unwrap(), none);
            drop(raised);
        });
    }
}
