//! Pictures, compared by what is to be seen in them: the same picture may be encoded in many ways.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Size and colours of a picture.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pixels: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a picture of {} bytes", self.pixels.len())
    }
}

impl Picture {
    /// `None` if there is no such file, or not yet all of it.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let output = Command::new("convert")
            .arg(file)
            // What cannot be seen has no colour.
            .args(["-background", "none", "-alpha", "background", "PAM:-"])
            .output()
            .expect("convert is there");
        let pixels = output.stdout;
        (output.status.success() && !pixels.is_empty()).then_some(Self { pixels })
    }

    /// The product's own drawing for the tray.
    pub(super) fn of_tray(name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let file: PathBuf = root
            .expect("the workspace")
            .join("icons/tray")
            .join(format!("{name}.png"));
        Self::read(&file).unwrap_or_else(|| panic!("{} is no picture", file.display()))
    }
}
