//! What the server knows at the moment, and what it was asked.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use axum::http::request::Parts;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::fault::{Fault, FaultKind};
use crate::scenario::{Artifact, Scenario};
use crate::zip;

/// Which of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Site {
    /// The REST API.
    Api,
    /// Where downloads redirect to.
    Storage,
}

/// A request, as it came.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// Which listener it came to.
    pub site: Site,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Path without the query.
    pub path: String,
    /// Query without the question mark.
    pub query: String,
    /// All headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The status it was answered with.
    pub status: u16,
    /// Bytes of a file's content that were handed to the connection so far.
    pub sent: u64,
}

impl Recorded {
    /// Where the range that was asked for begins; 0 without one.
    pub fn range_start(&self) -> u64 {
        self.headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes="))
            .and_then(|range| range.split('-').next())
            .and_then(|first| first.parse().ok())
            .unwrap_or(0)
    }

    /// Whether it carried a token.
    pub fn has_token(&self) -> bool {
        self.headers.contains_key("authorization")
    }
}

/// A file to be served.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Shared by all requests.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) api: String,
    pub(crate) storage: String,
    pub(crate) bulk: String,
    scenario: Mutex<Scenario>,
    faults: Mutex<Vec<Fault>>,
    requests: Mutex<Vec<Recorded>>,
    /// Digests, by path, length and time of change.
    digests: Mutex<BTreeMap<(PathBuf, u64, SystemTime), String>>,
    zips: Mutex<BTreeMap<u64, (Vec<PathBuf>, tempfile::NamedTempFile)>>,
}

impl State {
    pub(crate) fn new(scenario: Scenario, api: String, storage: String, bulk: String) -> Self {
        Self {
            api,
            storage,
            bulk,
            scenario: Mutex::new(scenario),
            faults: Mutex::default(),
            requests: Mutex::default(),
            digests: Mutex::default(),
            zips: Mutex::default(),
        }
    }

    pub(crate) fn scenario(&self) -> Scenario {
        self.scenario.lock().expect("not poisoned").clone()
    }

    pub(crate) fn set_scenario(&self, scenario: Scenario) {
        *self.scenario.lock().expect("not poisoned") = scenario;
    }

    pub(crate) fn set_faults(&self, faults: Vec<Fault>) {
        *self.faults.lock().expect("not poisoned") = faults;
    }

    /// The faults that befall a request for `path`; uses them up.
    pub(crate) fn take_faults(&self, path: &str) -> Vec<FaultKind> {
        let mut taken = Vec::new();
        for fault in self.faults.lock().expect("not poisoned").iter_mut() {
            if !path.contains(&fault.path) || fault.times == Some(0) {
                continue;
            }
            fault.times = fault.times.map(|times| times - 1);
            taken.push(fault.kind.clone());
        }
        taken
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().expect("not poisoned").clone()
    }

    pub(crate) fn forget_requests(&self) {
        self.requests.lock().expect("not poisoned").clear();
    }

    /// Notes a request, and gives it a number for [`State::note`].
    pub(crate) fn record(&self, site: Site, request: &Parts) -> usize {
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        let mut requests = self.requests.lock().expect("not poisoned");
        requests.push(Recorded {
            site,
            version: format!("{:?}", request.version),
            path: request.uri.path().to_owned(),
            query: request.uri.query().unwrap_or_default().to_owned(),
            headers,
            status: 0,
            sent: 0,
        });
        requests.len() - 1
    }

    pub(crate) fn note(&self, number: usize, note: impl FnOnce(&mut Recorded)) {
        // It may have been forgotten meanwhile.
        if let Some(recorded) = self.requests.lock().expect("not poisoned").get_mut(number) {
            note(recorded);
        }
    }

    /// Length and digest of the file at `path`, as it is now.
    pub(crate) fn served(&self, path: &Path) -> io::Result<Served> {
        let meta = path.metadata()?;
        let key = (path.to_owned(), meta.len(), meta.modified()?);
        let known = self
            .digests
            .lock()
            .expect("not poisoned")
            .get(&key)
            .cloned();
        let sha256 = if let Some(sha256) = known {
            sha256
        } else {
            let sha256 = sha256(path)?;
            let mut digests = self.digests.lock().expect("not poisoned");
            digests.insert(key, sha256.clone());
            sha256
        };
        Ok(Served {
            path: path.to_owned(),
            bytes: meta.len(),
            sha256,
        })
    }

    /// The zip of an artifact; made once.
    pub(crate) fn zip(&self, artifact: &Artifact) -> io::Result<Served> {
        if let Some(zip) = &artifact.zip {
            return self.served(zip);
        }
        let path = {
            let mut zips = self.zips.lock().expect("not poisoned");
            match zips.get(&artifact.id) {
                Some((files, zip)) if *files == artifact.files => zip.path().to_owned(),
                _ => {
                    let zip = zip::of(&artifact.files)?;
                    let path = zip.path().to_owned();
                    zips.insert(artifact.id, (artifact.files.clone(), zip));
                    path
                }
            }
        };
        self.served(&path)
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
