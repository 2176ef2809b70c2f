//! A zip file for a bug report: reports, records and the
//! ends of the logs in one zip archive, without secrets.
//!
//! What goes in is chosen, not "everything": no file that holds a value of
//! ours is among it. And all of it passes a redactor, because a guest, QEMU or
//! a path could have said anything: see `redact`.

mod known;
mod redact;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use secrets::Slot;
use serde::Serialize;
use serde_json::{Value, json};

use self::redact::Redactor;
use crate::config::paths::SlotName;
use crate::config::preferences::Preferences;
use crate::instance::Emulator;
use crate::logs::{LogError, LogReader, LogSource};
use crate::observe::error::ObserveError as Error;
use failure::chain;
use record::Durability;

/// Lines taken of each log, from its end: a boot has some hundreds.
const LOG_LINES: usize = 3000;
/// Of those lines at most this many bytes, for logs with endless lines.
const LOG_BYTES: usize = 1 << 20;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiagnosticsReport {
    /// The archive.
    pub path: PathBuf,
    /// What is in it.
    pub files: Vec<String>,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Emulator {
    /// Writes a diagnostics archive to `path`, in place of what is there.
    ///
    /// Takes no lock, and so works whatever state the instance is in; asks the
    /// keychain for what has to be left out, which may take some seconds.
    pub async fn diagnostics(&self, path: &Path) -> Result<DiagnosticsReport, Error> {
        let redactor = self.redactor().await;
        let mut files = vec![
            ("README.txt".to_owned(), README.to_owned()),
            ("report.json".to_owned(), pretty(&self.report().await)),
        ];
        files.extend(self.records());
        let ahead = self.paths.slot(SlotName::Ahead);
        for (name, path) in [
            ("logs/serial.log", self.log_path(LogSource::Serial)),
            ("logs/qemu.log", self.log_path(LogSource::Qemu)),
            ("logs/ahead.log", self.log_path(LogSource::Ahead)),
            ("logs/ahead-serial.log", ahead.serial_log()),
            ("logs/ahead-qemu.log", ahead.qemu_log()),
            ("logs/app.log", self.log_path(LogSource::App)),
        ] {
            match tail(&path) {
                Ok(text) => files.push((name.to_owned(), text)),
                Err(LogError::Missing { .. }) => {}
                Err(error) => files.push((name.to_owned(), chain(&error))),
            }
        }
        for (_, text) in &mut files {
            *text = redactor.redact(text);
        }
        let archive = zip(&files).map_err(Error::file("write", path))?;
        record::replace(path, &archive, Durability::PowerCut)
            .map_err(Error::file("write", path))?;
        Ok(DiagnosticsReport {
            path: path.to_owned(),
            files: files.into_iter().map(|(name, _)| name).collect(),
            bytes: archive.len() as u64,
        })
    }

    /// Knows every secret that can be had now. One that cannot, because a
    /// keychain is locked, has a form that is left out in any case.
    async fn redactor(&self) -> Redactor {
        let mut redactor = Redactor::new(self.settings.user_home.as_deref());
        if let Ok(Some(vault)) = self.recorded_vault() {
            for slot in Slot::ALL {
                if let Ok(Some(set)) = vault.load(slot).await {
                    for name in secrets::SecretName::ALL {
                        redactor.hide(set.get(name).expose());
                    }
                }
            }
        }
        if let Some(token) = &self.settings.github_token {
            redactor.hide_token(token.clone());
        }
        if let Ok(Some(token)) = crate::vault::github_token().await {
            redactor.hide(token.expose());
        }
        redactor
    }

    async fn report(&self) -> Value {
        let settings = &self.settings;
        let status = self.status().await;
        let preferences = Preferences::read(&self.home);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "written_at_ms": host::now_ms(),
            "system": {
                "os": std::env::consts::OS,
                "arch": std::env::consts::ARCH,
                "kernel": kernel(),
                "limits": said(self.host_limits()),
            },
            "status": said(status),
            "examination": self.examine(false).await,
            "settings": {
                "arch": settings.arch.to_string(),
                "ram_mib": said(self.ram_mib()),
                "vcpus": settings.vcpus,
                "ready_timeout_s": settings.ready_timeout.as_secs(),
                "no_snapshot": settings.no_snapshot,
                "no_rotation": settings.no_rotation,
                "port_prefix": settings.port_prefix,
                "ports": said(self.port_settings()),
                "qemu": settings.qemu,
                "accelerator": settings.accelerator.map(|one| one.to_string()),
                "github_api": settings.github_api.as_ref().map(ToString::to_string),
                "set_by_environment": settings.overrides,
            },
            "preferences": said(preferences),
        })
    }

    /// Our own records, as they are on disk. None of them holds a value.
    fn records(&self) -> Vec<(String, String)> {
        let paths = &self.paths;
        let snapshot = paths.current_snapshot().join("snapshot.json");
        let mut wanted = vec![
            paths.instance_record(),
            paths.secret_place(),
            paths.projects(),
            snapshot,
        ];
        for slot in SlotName::ALL.map(|slot| paths.slot(slot)) {
            let session = slot.session();
            wanted.extend([
                slot.run_record(),
                slot.lock(),
                session.record(),
                session.folders(),
            ]);
        }
        let mut found = Vec::new();
        for path in wanted {
            let name = path.strip_prefix(paths.root()).unwrap_or(&path);
            let name = format!("records/{}", name.display());
            match record::regular::read(&path, LONGEST_RECORD) {
                Ok(bytes) => found.push((name, String::from_utf8_lossy(&bytes).into_owned())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => found.push((name, error.to_string())),
            }
        }
        found
    }
}

/// More of a record is not looked at, in bytes.
const LONGEST_RECORD: u64 = 1 << 20;

const README: &str = "What Stack Emulator knows of itself on one machine, for a bug report.\n\n\
    report.json   versions, the host, the state, the checks of `doctor`, the settings\n\
    records/      the instance's own records\n\
    logs/         the last lines of the guest's console, of QEMU and of the desktop app;\n                  \
                  ahead*: of the machine that is prepared for the next start\n\n\
    Secrets are left out: keys, tokens, passwords in addresses and variables. Values of 64\n\
    hexadecimal digits, digests among them, are replaced by `hex-` and a mark that is the same\n\
    for the same value. The home folder is written as ~. Names of files, folders and services\n\
    are in it, and what the guest wrote to its console: have a look before you publish it.\n";

/// A result, or what kept us from having it.
fn said<T: Serialize, E: Into<Error>>(result: Result<T, E>) -> Value {
    match result {
        Ok(value) => serde_json::to_value(value).unwrap_or_else(|error| json!(error.to_string())),
        Err(error) => {
            let error = error.into();
            json!({ "error": error.code(), "message": chain(&error) })
        }
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn kernel() -> String {
    let name = rustix::system::uname();
    let part = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    format!("{} {}", part(name.sysname()), part(name.release()))
}

/// The end of the log at `path`.
fn tail(path: &Path) -> Result<String, LogError> {
    let mut reader = LogReader::at_tail(path, LOG_LINES)?;
    let mut text = String::new();
    while let Some(block) = reader.read()? {
        text.push_str(&block.text);
        let mut excess = text.len().saturating_sub(LOG_BYTES);
        while !text.is_char_boundary(excess) {
            excess += 1;
        }
        text.drain(..excess);
    }
    Ok(text)
}

fn zip(files: &[(String, String)]) -> std::io::Result<Vec<u8>> {
    let other = std::io::Error::other;
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut archive = rawzip::ZipArchiveWriter::new(&mut bytes);
    for (name, text) in files {
        let (mut entry, config) = archive
            .new_file(name)
            .compression_method(rawzip::CompressionMethod::DEFLATE)
            .start()
            .map_err(other)?;
        let encoder =
            flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
        let mut writer = config.wrap(encoder);
        writer.write_all(text.as_bytes())?;
        let (encoder, descriptor) = writer.finish().map_err(other)?;
        encoder.finish()?;
        entry.finish(descriptor).map_err(other)?;
    }
    archive.finish().map_err(other)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests;
