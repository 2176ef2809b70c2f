//! `diagnostics`: a zip file for a bug report.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use emulator::diagnostics::DiagnosticsReport;
use emulator::quantity::bytes;

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render};
use crate::render::text::printable;

pub(super) async fn write(context: &Context<'_>, file: Option<PathBuf>) -> Result<Exit, Failure> {
    let path = file.unwrap_or_else(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since_epoch.unwrap_or_default().as_secs();
        format!("stack-emulator-diagnostics-{seconds}.zip").into()
    });
    // A link to what is not there is there, too.
    if path.symlink_metadata().is_ok() {
        return Err(Failure::FileExists { path });
    }
    let path = std::path::absolute(&path).unwrap_or(path);
    let work = Box::pin(async { Ok(context.emulator.diagnostics(&path).await?) });
    // The file appears whole or not at all.
    let report = context.abandonable(work).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

impl Render for DiagnosticsReport {
    fn render(&self, _: Detail) -> String {
        let path = printable(&self.path.display().to_string());
        let (count, size) = (self.files.len(), bytes(self.bytes));
        format!(
            "Wrote {path} ({count} files, {size}). Secrets are left out; review it before you share it.\n"
        )
    }
}
