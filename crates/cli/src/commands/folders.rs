//! `folders`: the folders of this host that the emulator can read and write.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use emulator::folders::SharedFolder;
use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render};
use crate::render::text::printable;

/// What `folders list` reports.
#[derive(Debug, Serialize)]
struct FolderList {
    folders: Vec<Folder>,
}

#[derive(Debug, Serialize)]
struct Folder {
    /// On this host.
    path: String,
    /// In the guest.
    guest_path: String,
}

impl From<SharedFolder> for Folder {
    fn from(shared: SharedFolder) -> Self {
        Self {
            guest_path: shared.guest_path(),
            path: shared.path,
        }
    }
}

pub(super) fn list(context: &Context<'_>) -> Result<Exit, Failure> {
    let folders = context.emulator.folders()?;
    context.output.report(&FolderList {
        folders: folders.into_iter().map(Folder::from).collect(),
    })?;
    Ok(Exit::Success)
}

/// What `folders remove` reports.
#[derive(Debug, Serialize)]
struct Removed {
    /// Always true: anything else is an error.
    removed: bool,
    /// As it was typed.
    #[serde(skip)]
    folder: PathBuf,
}

pub(super) async fn remove(context: &Context<'_>, folder: &Path) -> Result<Exit, Failure> {
    let work = context.emulator.remove_folder(folder, &context.progress);
    context.guarded(Box::pin(work)).await?;
    context.output.report(&Removed {
        removed: true,
        folder: folder.to_owned(),
    })?;
    Ok(Exit::Success)
}

impl Render for Removed {
    fn render(&self, _: Detail) -> String {
        let folder = printable(&self.folder.display().to_string());
        format!("Stopped sharing {folder}.\n")
    }
}

impl Render for FolderList {
    fn render(&self, _: Detail) -> String {
        if self.folders.is_empty() {
            return "No folders are shared with the emulator.\n".to_owned();
        }
        let mut text = "The emulator can read and write the files in these folders:\n\n".to_owned();
        for folder in &self.folders {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {}", printable(&folder.path));
        }
        text
    }
}
