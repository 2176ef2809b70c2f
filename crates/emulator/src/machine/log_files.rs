//! Logs of a machine are files: opening a pipe in the place of one would wait for its reader, and QEMU ends at a folder
//! or a link to nothing.

use std::io;
use std::path::Path;

use super::error::MachineError;
use crate::config::paths::SlotPaths;

/// Removes whatever else is in the place of a log.
pub(super) fn make_way(paths: &SlotPaths) -> Result<(), MachineError> {
    for log in [paths.qemu_log(), paths.serial_log()] {
        clear(&log).map_err(MachineError::file("replace", &log))?;
    }
    Ok(())
}

fn clear(log: &Path) -> io::Result<()> {
    // A link to a file is somebody's choice.
    if std::fs::metadata(log).is_ok_and(|meta| meta.is_file()) {
        return Ok(());
    }
    match std::fs::symlink_metadata(log) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir(log),
        Ok(_) => std::fs::remove_file(log),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_no_file_makes_way_and_a_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("serial.log");
        clear(&log).unwrap();
        std::fs::write(&log, "a line\n").unwrap();
        clear(&log).unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "a line\n");

        let linked = dir.path().join("qemu.log");
        symlink(&log, &linked).unwrap();
        clear(&linked).unwrap();
        assert!(linked.exists(), "a link to a file is kept");

        let put = |what: &str| {
            std::fs::remove_file(&log).ok();
            match what {
                "pipe" => {
                    let made = std::process::Command::new("mkfifo").arg(&log).status();
                    assert!(made.unwrap().success());
                }
                "folder" => std::fs::create_dir(&log).unwrap(),
                "device" => symlink("/dev/null", &log).unwrap(),
                _ => symlink("/nonexistent/file", &log).unwrap(),
            }
        };
        for what in ["pipe", "folder", "device", "dangling link"] {
            put(what);
            clear(&log).unwrap();
            assert!(std::fs::symlink_metadata(&log).is_err(), "{what}");
        }
    }
}
