//! Something else in the place of a folder of an instance: a file, a pipe, a device, or a session's folder with nothing in it.
//!
//! An operation would fail on it with the system's word, which tells nobody what to do, and a pipe would be waited for. So it is
//! moved out of the way with a word about what is lost, as a damaged record is. A link stays: the disk that it leads to may only
//! be missing for now, and a new session in its place would look like the end of the old one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Emulator;
use crate::config::paths::SlotName;
use crate::instance::error::InstanceError as Error;
use progress::{Event, Reporter};

impl Emulator {
    /// Moves aside what is no folder where the instance has one. Its lock must be held.
    pub(super) fn put_misplaced_aside(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let ahead = self.paths.slot(SlotName::Ahead);
        let main = self.paths.main();
        for (folder, lost) in [
            (main.session().root(), "The session is lost"),
            (&self.paths.snapshots(), "The snapshot is lost"),
            (&self.paths.checkpoints(), "The checkpoints are lost"),
            (ahead.root(), "Nothing is prepared for the next start"),
            (
                ahead.session().root(),
                "Nothing is prepared for the next start",
            ),
            (&main.logs(), "Earlier logs are lost"),
        ] {
            if !is_misplaced(folder) {
                continue;
            }
            let aside = aside(folder);
            std::fs::rename(folder, &aside).map_err(Error::file("move aside", folder))?;
            reporter.report(Event::Warning(&format!(
                "{} was not a folder and was moved to {}. {lost}.",
                folder.display(),
                aside.display()
            )));
        }
        Ok(())
    }

    /// Says of a session's folder with nothing in it that the session is lost. What was being made or removed is finished or
    /// undone by now.
    pub(super) fn tell_of_empty_session(&self, reporter: &dyn Reporter) {
        let session = self.paths.main().session();
        // Only an empty folder can be removed so.
        if std::fs::remove_dir(session.root()).is_ok() {
            reporter.report(Event::Warning(&format!(
                "The session is lost: nothing was left in {}.",
                session.root().display()
            )));
        }
    }
}

/// Whether something is there that is neither a folder nor a link.
fn is_misplaced(folder: &Path) -> bool {
    let found = folder.symlink_metadata();
    found.is_ok_and(|found| !found.is_dir() && !found.is_symlink())
}

/// Beside it. What was moved there earlier is replaced.
fn aside(folder: &Path) -> PathBuf {
    let mut name = folder
        .file_name()
        .map_or_else(OsString::new, OsString::from);
    name.push(".damaged");
    folder.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::{HOME, Settings};

    #[derive(Default)]
    struct Said(Mutex<Vec<String>>);

    impl Reporter for Said {
        fn report(&self, event: Event<'_>) {
            if let Event::Warning(text) = event {
                self.0.lock().unwrap().push(text.to_owned());
            }
        }
    }

    #[test]
    fn what_is_no_folder_is_moved_aside_with_a_word() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::from_variables([(HOME.into(), dir.path().into())]).unwrap();
        let emulator = Emulator::new(settings, InstanceName::default(), None);
        let said = Said::default();
        let (root, session) = (emulator.paths.root(), emulator.paths.main().session());
        std::fs::create_dir_all(root).unwrap();
        emulator.put_misplaced_aside(&said).unwrap();
        assert!(said.0.lock().unwrap().is_empty(), "nothing is there");

        std::fs::write(session.root(), "kept").unwrap();
        std::fs::write(emulator.paths.snapshots(), "").unwrap();
        let logs = emulator.paths.main().logs();
        std::os::unix::fs::symlink("a disk that is missing", &logs).unwrap();
        emulator.put_misplaced_aside(&said).unwrap();
        let told = std::mem::take(&mut *said.0.lock().unwrap());
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("session is lost"), "{told:?}");
        let moved = root.join("session.damaged");
        assert_eq!(std::fs::read_to_string(moved).unwrap(), "kept");
        assert!(!session.root().exists());
        assert!(logs.is_symlink(), "its disk may come back");

        std::fs::create_dir(session.root()).unwrap();
        std::fs::write(session.disk(), "").unwrap();
        emulator.tell_of_empty_session(&said);
        assert!(said.0.lock().unwrap().is_empty(), "it is not empty");
        std::fs::remove_file(session.disk()).unwrap();
        emulator.tell_of_empty_session(&said);
        assert_eq!(said.0.lock().unwrap().len(), 1);
        assert!(!session.root().exists());
    }
}
