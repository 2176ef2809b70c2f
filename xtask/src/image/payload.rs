//! A payload folder: `payload.toml` and what stands beside it.
//!
//! The folder is described for its authors in `guest/PAYLOAD.md`. Everything
//! that can be wrong is found here, before minutes are spent on a build.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use images::manifest::{self as image_manifest, CONTRACT, RAM_MIB_RANGE, Service};
use serde::Deserialize;

use super::tree::{self, Entry, Kind};

/// `payload.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: String,
    contract: u32,
    pub(crate) min_ram_mib: u32,
    ram_mib: Option<u32>,
    pub(crate) min_vcpus: u16,
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    #[serde(default)]
    pub(crate) executables: Vec<String>,
    #[serde(default)]
    rotation_port: bool,
    #[serde(default)]
    network: image_manifest::Network,
    services: Vec<ListedService>,
}

/// [`Service`] as written by hand: a misspelt key is an error here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedService {
    id: String,
    name: String,
    host_port: u16,
    port_env: Option<String>,
    guest_port: String,
    path: Option<String>,
    browsable: Option<bool>,
}

/// A checked payload folder.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pub(crate) root: PathBuf,
    pub(crate) manifest: Manifest,
    /// All below `root`, sorted.
    pub(crate) entries: Vec<Entry>,
}

impl Manifest {
    /// Reads and checks `payload.toml` of the folder at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("payload.toml");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}; a payload folder needs one, see guest/PAYLOAD.md",
                path.display()
            )
        })?;
        Self::parse(&text).with_context(|| format!("{} cannot be used", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        ensure!(
            is_plain(&self.name, "-"),
            "`name` is {:?}; write lower-case letters, digits and '-' only",
            self.name
        );
        ensure!(
            !self.version.is_empty() && is_plain(&self.version.to_ascii_lowercase(), ".+-~"),
            "`version` is {:?}; write something like \"1.0.0\"",
            self.version
        );
        ensure!(
            self.contract == CONTRACT,
            "`contract` is {}, this builder makes images of contract {CONTRACT}; write `contract = {CONTRACT}` \
             after checking the payload against guest/PAYLOAD.md",
            self.contract
        );
        ensure!(
            RAM_MIB_RANGE.contains(&self.min_ram_mib),
            "`min_ram_mib` is {}; write the guest's memory in MiB, at least {}",
            self.min_ram_mib,
            RAM_MIB_RANGE.start()
        );
        if let Some(wanted) = self.ram_mib {
            ensure!(
                (self.min_ram_mib..=*RAM_MIB_RANGE.end()).contains(&wanted),
                "`ram_mib` is {wanted}; write the guest's memory in MiB, at least `min_ram_mib`, or leave it out"
            );
        }
        ensure!(
            (1..=256).contains(&self.min_vcpus),
            "`min_vcpus` is {}; write 1 or more",
            self.min_vcpus
        );
        for package in &self.packages {
            ensure!(
                package.len() >= 2 && is_plain(package, "+-."),
                "`packages` has {package:?}, which is no Debian package name; write one name an entry, without version"
            );
        }
        for path in &self.executables {
            ensure!(
                path.split('/').all(|part| !matches!(part, "" | "." | "..")),
                "`executables` has {path:?}; write paths below `files/` without a leading '/'"
            );
        }
        self.check_services()
    }

    fn check_services(&self) -> Result<()> {
        // The reader of the finished image has rules of its own: they are asked, not repeated.
        let image = image_manifest::ImageFile {
            file: "stack-emulator.qcow2".into(),
            sha256: images::Sha256Digest::of(&[]),
            bytes: 1,
            virtual_bytes: 1,
        };
        if let Some(problem) = self.describe("amd64", image).problem() {
            bail!("`services`: {problem}; correct that entry");
        }
        let mut variables = BTreeSet::new();
        for service in &self.services {
            let Some(name) = &service.port_env else {
                continue;
            };
            let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            ensure!(
                !name.is_empty() && name.bytes().all(plain),
                "`services`: {} has `port_env` {name:?}; write a variable name of A-Z, 0-9 and '_'",
                service.id
            );
            ensure!(
                variables.insert(name),
                "`services`: the variable {name} is the `port_env` of two services; give each its own"
            );
        }
        Ok(())
    }
}

impl Manifest {
    /// The services, in the order in which they are written.
    pub(crate) fn services(&self) -> Vec<Service> {
        let services = self.services.iter().cloned().map(|service| Service {
            id: service.id,
            name: service.name,
            host_port: service.host_port,
            port_env: service.port_env,
            guest_port: service.guest_port,
            path: service.path,
            browsable: service.browsable,
        });
        services.collect()
    }

    /// The manifest of the image made with this payload, without inputs and packages.
    pub(crate) fn describe(
        &self,
        arch: &str,
        image: image_manifest::ImageFile,
    ) -> image_manifest::Manifest {
        image_manifest::Manifest {
            format: image_manifest::FORMAT.into(),
            version: image_manifest::VERSION,
            contract: CONTRACT,
            name: self.name.clone(),
            payload_version: self.version.clone(),
            arch: arch.into(),
            image,
            min_ram_mib: self.min_ram_mib,
            ram_mib: self.ram_mib,
            min_vcpus: self.min_vcpus,
            services: self.services(),
            rotation_port: self.rotation_port,
            network: self.network,
            inputs: vec![],
            packages: vec![],
        }
    }
}

impl Payload {
    /// Reads and checks the folder at `root`.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        ensure!(
            root.is_dir(),
            "{} is not a folder; --payload wants one as in guest/PAYLOAD.md",
            root.display()
        );
        let payload = Self {
            root: root.to_owned(),
            manifest: Manifest::read(root)?,
            entries: tree::walk(root)?,
        };
        payload
            .check_folder()
            .with_context(|| format!("the payload {} cannot be used", root.display()))?;
        Ok(payload)
    }

    fn check_folder(&self) -> Result<()> {
        for (name, purpose) in [
            (
                "install",
                "the program that installs the payload into the image",
            ),
            (
                "rotate",
                "the program behind /usr/local/bin/trigger-fast-rotate",
            ),
        ] {
            ensure!(
                matches!(self.find(name), Some(Kind::File { .. })),
                "there is no file `{name}`, {purpose}; see guest/PAYLOAD.md"
            );
        }
        for path in &self.manifest.executables {
            ensure!(
                matches!(self.find(&format!("files/{path}")), Some(Kind::File { .. })),
                "`executables` names {path:?}, but there is no file `files/{path}`"
            );
        }
        for entry in &self.entries {
            if let Some(unit) = entry.name.strip_prefix("units/") {
                ensure!(
                    matches!(entry.kind, Kind::File { .. })
                        && unit.contains('.')
                        && !unit.contains('/'),
                    "units/{unit} is no systemd unit file; put only files such as `name.service` there"
                );
            } else if !entry.name.starts_with("files/") && matches!(entry.kind, Kind::Link { .. }) {
                bail!(
                    "{} is a link, which the payload disk cannot hold outside `files/`; copy what it points to",
                    entry.name
                );
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Kind> {
        let index = self
            .entries
            .binary_search_by(|entry| entry.name.as_str().cmp(name))
            .ok()?;
        Some(&self.entries[index].kind)
    }

    /// Whether the file `files/<path>` becomes executable in the guest.
    pub(crate) fn is_executable(&self, path: &str) -> bool {
        self.manifest
            .executables
            .iter()
            .any(|listed| listed == path)
            || matches!(
                self.find(&format!("files/{path}")),
                Some(Kind::File {
                    executable: true,
                    ..
                })
            )
    }
}

/// Lower-case letters and digits, and after the first character also `others`.
fn is_plain(text: &str, others: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(letter) && text.chars().all(|c| letter(c) || others.contains(c))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GOOD: &str = r#"
name = "sample"
version = "0.1.0"
contract = 1
min_ram_mib = 512
ram_mib = 1024
min_vcpus = 1
packages = ["postgresql-15", "libstdc++6"]
executables = ["opt/app/run"]
[[services]]
id = "backend"
name = "Backend"
host_port = 26701
port_env = "EMULATOR_BACKEND_PORT"
guest_port = "{P}02"
path = "/health"
"#;

    #[test]
    fn a_good_manifest_reads() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.services.len(), 1);
        assert_eq!(manifest.packages, ["postgresql-15", "libstdc++6"]);
        assert_eq!(manifest.ram_mib, Some(1024));
        let without = GOOD.replace("ram_mib = 1024\n", "");
        assert_eq!(Manifest::parse(&without).unwrap().ram_mib, None);
    }

    #[test]
    fn every_fault_names_its_key_and_the_remedy() {
        for (from, to, named) in [
            ("\"sample\"", "\"My App\"", "`name` is \"My App\""),
            ("\"0.1.0\"", "\"\"", "`version`"),
            ("contract = 1", "contract = 2", "write `contract = 1`"),
            ("= 512", "= 64", "at least 256"),
            ("= 1024", "= 511", "`ram_mib` is 511"),
            ("min_vcpus = 1", "min_vcpus = 0", "`min_vcpus` is 0"),
            ("postgresql-15", "postgresql-15=15.1", "without version"),
            ("opt/app/run", "/opt/app/run", "without a leading"),
            ("opt/app/run", "opt/../run", "`executables`"),
            ("id = \"backend\"", "id = \"Back End\"", "Back End"),
            ("{P}02", "{P}99999", "guest port"),
            ("EMULATOR_BACKEND_PORT", "backend port", "`port_env`"),
            ("min_vcpus = 1", "min_vcpu = 1", "min_vcpu"),
            ("host_port = 26701", "host_port = 99999", "host_port"),
            ("port_env", "prot_env", "prot_env"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            let error = format!("{:#}", Manifest::parse(&text).unwrap_err());
            assert!(error.contains(named), "{error:?} should contain {named:?}");
        }
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("files/opt/app")).unwrap();
        fs::create_dir(root.join("units")).unwrap();
        for (name, text) in [
            ("payload.toml", GOOD),
            ("install", ""),
            ("rotate", ""),
            ("files/opt/app/run", ""),
            ("units/app.service", ""),
        ] {
            fs::write(root.join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_good_folder_opens() {
        let folder = folder();
        let payload = Payload::open(folder.path()).unwrap();
        assert!(payload.is_executable("opt/app/run"));
        assert!(!payload.is_executable("opt/app/other"));
    }

    #[test]
    fn every_missing_part_is_named() {
        for part in ["payload.toml", "install", "rotate", "files/opt/app/run"] {
            let folder = folder();
            fs::remove_file(folder.path().join(part)).unwrap();
            let error = format!("{:#}", Payload::open(folder.path()).unwrap_err());
            assert!(error.contains(part), "{error:?} should name {part}");
        }
        let folder = folder();
        std::os::unix::fs::symlink("install", folder.path().join("again")).unwrap();
        let error = format!("{:#}", Payload::open(folder.path()).unwrap_err());
        assert!(error.contains("again is a link"), "{error}");
    }
}
