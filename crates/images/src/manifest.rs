//! The image manifest, `stack-emulator-<arch>.json`: what runs inside an image.
//!
//! The manifest comes from outside, so it is read with a size cap and checked
//! as a whole before anything of it is used. An image without one is a
//! published image of the contract's first version: [`published_services`].

use std::collections::BTreeSet;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use failure::Remedy;
use serde::{Deserialize, Serialize};

use crate::Sha256Digest;

/// The value of [`Manifest::format`].
pub const FORMAT: &str = "stack-emulator-image";
/// The manifest version that this code reads and writes.
pub const VERSION: u32 = 1;
/// The version of the host–guest contract that this code speaks.
pub const CONTRACT: u32 = 1;
/// The guest memory that a machine can have, in MiB.
pub const RAM_MIB_RANGE: RangeInclusive<u32> = 256..=1_048_576;
/// Manifests above this many bytes are refused unread.
const MAX_BYTES: u64 = 4 << 20;

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Version of this format: [`VERSION`].
    pub version: u32,
    /// Version of the contract between host and guest: [`CONTRACT`].
    pub contract: u32,
    /// Name of the payload, for instance `starter`.
    pub name: String,
    /// Version of the payload.
    pub payload_version: String,
    /// `amd64` or `arm64`.
    pub arch: String,
    /// The disk image that this manifest belongs to.
    pub image: ImageFile,
    /// Least guest memory in MiB.
    pub min_ram_mib: u32,
    /// Guest memory in MiB that the image works best with, unless the user chooses otherwise.
    /// `None`: the image does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_mib: Option<u32>,
    /// Least number of virtual CPUs.
    pub min_vcpus: u16,
    /// The services inside, in the order in which they are shown.
    pub services: Vec<Service>,
    /// True if a process inside answers on the virtio-serial port
    /// `org.stack-emulator.rotate.0`, which is faster than the guest agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rotation_port: bool,
    /// What the services need of the network.
    #[serde(default, skip_serializing_if = "Network::is_inside")]
    pub network: Network,
    /// Digests of what the image was built from.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// The packages inside, with their licences.
    #[serde(default)]
    pub packages: Vec<Package>,
}

/// What the services of an image need of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// To answer those who connect to them.
    #[default]
    Inside,
    /// To connect to others as well.
    Outside,
}

impl Network {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    const fn is_inside(&self) -> bool {
        matches!(self, Self::Inside)
    }
}

/// The disk image's name, size and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// File name, without a folder.
    pub file: String,
    /// Digest of the qcow2 file.
    pub sha256: Sha256Digest,
    /// Length of the qcow2 file in bytes.
    pub bytes: u64,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_bytes: u64,
}

/// A service that listens inside the guest and is forwarded to 127.0.0.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Stable identifier, for instance `backend`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Default port on the host.
    pub host_port: u16,
    /// The environment variable that overrides `host_port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_env: Option<String>,
    /// Port in the guest; `{P}` stands for the port prefix: `{P}02` is 8102. `{H}` stands for the port on
    /// the host that the guest was told, for a service whose own address is part of what it answers.
    pub guest_port: String,
    /// Ready when `GET` of this path answers 200; `None` is never asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether there is something at its address for a person to look at;
    /// where nobody says, that is so if it has a health path, because then it
    /// speaks HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browsable: Option<bool>,
}

impl Service {
    /// Whether a person may want to open its address in a browser.
    pub fn is_browsable(&self) -> bool {
        self.browsable.unwrap_or(self.path.is_some())
    }

    /// The port in the guest under `prefix`, where the guest was told `host_port`; `None` if that is no port.
    pub fn resolve_guest_port(&self, prefix: u16, host_port: u16) -> Option<u16> {
        self.guest_port
            .replace("{P}", &prefix.to_string())
            .replace("{H}", &host_port.to_string())
            .parse()
            .ok()
            .filter(|port| *port != 0)
    }
}

/// One input of the image build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Path or name of the input.
    pub name: String,
    /// Its digest.
    pub sha256: Sha256Digest,
}

/// One package inside the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Package name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// Licence names as the package states them.
    pub license: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file could not be read.
    #[error("cannot read the image manifest {}", path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than any manifest is.
    #[error("the image manifest {} has {bytes} bytes, more than the {MAX_BYTES} allowed", path.display())]
    TooLarge {
        /// The manifest.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
    },
    /// Not JSON, or not of the manifest's shape.
    #[error("the image manifest {} cannot be understood", path.display())]
    Parse {
        /// The manifest.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// It declares itself as something else or as a later version.
    #[error(
        "the image manifest {} is {format:?} version {version} with contract {contract}; this program reads \
         {FORMAT:?} version {VERSION} with contract {CONTRACT}", path.display()
    )]
    Unsupported {
        /// The manifest.
        path: PathBuf,
        /// What it calls itself.
        format: String,
        /// Its version.
        version: u32,
        /// Its contract.
        contract: u32,
    },
    /// A value that cannot hold.
    #[error("the image manifest {} is invalid: {problem}", path.display())]
    Invalid {
        /// The manifest.
        path: PathBuf,
        /// The value and what is wrong with it.
        problem: String,
    },
}

impl ManifestError {
    /// What to do about it, if anything helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Unsupported { .. } => Some(Remedy::UpdateOrOtherImage),
            Self::TooLarge { .. } | Self::Parse { .. } | Self::Invalid { .. } => {
                Some(Remedy::PullAgain)
            }
            Self::Read { .. } => None,
        }
    }
}

#[derive(Deserialize)]
struct Declaration {
    #[serde(default)]
    format: String,
    #[serde(default)]
    version: u32,
    #[serde(default)]
    contract: u32,
}

impl Manifest {
    /// Reads and checks the manifest at `path`.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let read = |source| ManifestError::Read {
            path: path.to_owned(),
            source,
        };
        let file = record::regular::open(path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        if bytes > MAX_BYTES {
            return Err(ManifestError::TooLarge {
                path: path.to_owned(),
                bytes,
            });
        }
        let mut text = Vec::new();
        // It may grow meanwhile.
        let mut file = file.take(MAX_BYTES);
        file.read_to_end(&mut text).map_err(read)?;
        Self::parse(path, &text)
    }

    pub(crate) fn parse(path: &Path, text: &[u8]) -> Result<Self, ManifestError> {
        let parse = |source| ManifestError::Parse {
            path: path.to_owned(),
            source,
        };
        // The version is read by itself first: a later version may well have
        // another shape, and "update" is a better answer than "missing field".
        let said: Declaration = serde_json::from_slice(text).map_err(parse)?;
        if said.format != FORMAT || said.version != VERSION || said.contract != CONTRACT {
            return Err(ManifestError::Unsupported {
                path: path.to_owned(),
                format: said.format,
                version: said.version,
                contract: said.contract,
            });
        }
        let manifest: Self = serde_json::from_slice(text).map_err(parse)?;
        match manifest.problem() {
            None => Ok(manifest),
            Some(problem) => Err(ManifestError::Invalid {
                path: path.to_owned(),
                problem,
            }),
        }
    }

    /// The first thing wrong with this manifest, in words.
    pub fn problem(&self) -> Option<String> {
        let (mut ids, mut ports, mut guests) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        if self.services.is_empty() {
            return Some("it lists no services".into());
        }
        if let Some(wanted) = self.ram_mib {
            let (least, most) = (RAM_MIB_RANGE.start(), RAM_MIB_RANGE.end());
            if !RAM_MIB_RANGE.contains(&wanted) {
                return Some(format!(
                    "`ram_mib` is {wanted}, which is not from {least} to {most}"
                ));
            }
            if wanted < self.min_ram_mib {
                return Some(format!(
                    "`ram_mib` is {wanted}, which is less than the {} of `min_ram_mib`",
                    self.min_ram_mib
                ));
            }
        }
        for service in &self.services {
            let id = &service.id;
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if id.is_empty() || !id.bytes().all(plain) {
                return Some(format!("service id {id:?} is not made of a-z, 0-9 and '-'"));
            }
            if !ids.insert(id) {
                return Some(format!("service {id} is listed twice"));
            }
            if service.host_port < 1024 || !ports.insert(service.host_port) {
                return Some(format!(
                    "service {id} has host port {}, which is below 1024 or used twice",
                    service.host_port
                ));
            }
            match service.resolve_guest_port(81, service.host_port) {
                Some(port) if guests.insert(port) => {}
                _ => {
                    return Some(format!(
                        "service {id} has guest port {:?}, which is no port or used twice",
                        service.guest_port
                    ));
                }
            }
            if let Some(path) = &service.path {
                let safe = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
                if !safe {
                    return Some(format!(
                        "service {id} has health path {path:?}, which is no URL path"
                    ));
                }
            }
        }
        None
    }

    /// Where the manifest of the image at `image` is expected.
    pub fn path_beside(image: &Path) -> PathBuf {
        image.with_extension("json")
    }
}

/// The month, as RFC 3339 begins, from which on published images have their mock OAuth provider where the
/// host says. Before, it was at a port of its own, which the host could not choose.
const MOCK_OAUTH_MOVED: &str = "2026-04";

/// The services of the image that was published at `published_at` (RFC 3339), and comes without a manifest;
/// those of a recent one if nobody knows when that was.
pub fn services_published_at(published_at: Option<&str>, prefix: u16) -> Vec<Service> {
    let mut services = published_services();
    if published_at.is_some_and(|at| at < MOCK_OAUTH_MOVED) {
        services.retain_mut(|service| {
            if service.id != MOCK_OAUTH {
                return true;
            }
            // Its address is part of what it tells browsers, so it has the same port on both sides.
            service.guest_port = "{P}14".into();
            service.port_env = None;
            let port = service.resolve_guest_port(prefix, service.host_port);
            service.host_port = port.unwrap_or_default();
            port.is_some()
        });
    }
    services
}

const MOCK_OAUTH: &str = "mock-oauth";

/// The services of a recent published image, which comes without a manifest.
pub fn published_services() -> Vec<Service> {
    let service = |id: &str,
                   name: &str,
                   host_port,
                   port_env: Option<&str>,
                   guest: &str,
                   path: Option<&str>| Service {
        id: id.into(),
        name: name.into(),
        host_port,
        port_env: port_env.map(Into::into),
        guest_port: guest.into(),
        path: path.map(Into::into),
        // Object storage answers programs, with an error for everybody else.
        browsable: (id == "minio").then_some(false),
    };
    vec![
        service(
            "dashboard",
            "Dashboard",
            26700,
            Some("EMULATOR_DASHBOARD_PORT"),
            "{P}01",
            Some("/handler/sign-in"),
        ),
        service(
            "backend",
            "Backend",
            26701,
            Some("EMULATOR_BACKEND_PORT"),
            "{P}02",
            Some("/health?db=1"),
        ),
        service(
            "minio",
            "Object storage",
            26702,
            Some("EMULATOR_MINIO_PORT"),
            "9090",
            Some("/minio/health/live"),
        ),
        service(
            "inbucket",
            "Mail inbox",
            26703,
            Some("EMULATOR_INBUCKET_PORT"),
            "9001",
            Some("/"),
        ),
        // Its address is part of what it tells browsers, so it has the same port on both sides.
        service(
            MOCK_OAUTH,
            "Mock OAuth",
            26704,
            Some("EMULATOR_MOCK_OAUTH_PORT"),
            "{H}",
            None,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        Manifest {
            format: FORMAT.into(),
            version: VERSION,
            contract: CONTRACT,
            name: "starter".into(),
            payload_version: "0.1.0".into(),
            arch: "amd64".into(),
            image: ImageFile {
                file: "stack-emulator-amd64.qcow2".into(),
                sha256: Sha256Digest::of(b""),
                bytes: 1,
                virtual_bytes: 1,
            },
            min_ram_mib: 1024,
            ram_mib: None,
            min_vcpus: 1,
            services: published_services(),
            rotation_port: false,
            network: Network::Inside,
            inputs: vec![],
            packages: vec![],
        }
    }

    fn parse(value: &serde_json::Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(Path::new("m.json"), value.to_string().as_bytes())
    }

    #[test]
    fn round_trips() {
        let manifest = sample();
        assert_eq!(
            parse(&serde_json::to_value(&manifest).unwrap()).unwrap(),
            manifest
        );
    }

    #[test]
    fn memory_is_the_image_s_choice_if_it_makes_one() {
        let mut value = serde_json::to_value(sample()).unwrap();
        assert!(value.get("ram_mib").is_none(), "as before there was one");
        assert_eq!(parse(&value).unwrap().ram_mib, None);
        for wanted in [1024, 4096] {
            value["ram_mib"] = wanted.into();
            assert_eq!(parse(&value).unwrap().ram_mib, Some(wanted));
        }
    }

    #[test]
    fn an_image_reaches_the_outside_only_if_it_says_so() {
        let mut value = serde_json::to_value(sample()).unwrap();
        assert!(value.get("network").is_none(), "as before there was one");
        assert_eq!(parse(&value).unwrap().network, Network::Inside);
        value["network"] = "outside".into();
        assert_eq!(parse(&value).unwrap().network, Network::Outside);
        for unknown in ["open", "", "Outside"] {
            value["network"] = unknown.into();
            let error = parse(&value).unwrap_err();
            assert!(matches!(error, ManifestError::Parse { .. }), "{error}");
        }
    }

    #[test]
    fn guest_ports_follow_the_prefix() {
        let ports = |prefix| {
            published_services()
                .iter()
                .map(|s| s.resolve_guest_port(prefix, s.host_port))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            ports(81),
            [Some(8101), Some(8102), Some(9090), Some(9001), Some(26704)]
        );
        assert_eq!(ports(92)[0], Some(9201));
        assert_eq!(ports(999)[0], None, "99901 is no port");
    }

    #[test]
    fn the_mock_provider_is_where_the_image_s_age_has_it() {
        let of = |published_at, prefix| {
            let mut services = services_published_at(published_at, prefix).into_iter();
            let provider = services.rfind(|service| service.id == MOCK_OAUTH)?;
            let guest = provider.resolve_guest_port(prefix, 30_004);
            Some((provider.host_port, guest, provider.port_env.is_some()))
        };
        for recent in [
            None,
            Some("2026-04-01T00:00:00Z"),
            Some("2027-01-31T09:00:00Z"),
        ] {
            assert_eq!(
                of(recent, 81),
                Some((26704, Some(30_004), true)),
                "{recent:?}"
            );
        }
        let earlier = Some("2026-03-31T23:59:59Z");
        assert_eq!(of(earlier, 81), Some((8114, Some(8114), false)));
        assert_eq!(of(earlier, 92), Some((9214, Some(9214), false)));
        assert_eq!(of(earlier, 999), None, "99914 is no port");
    }

    #[test]
    fn a_later_version_is_told_from_a_broken_file() {
        let mut value = serde_json::to_value(sample()).unwrap();
        value["version"] = 9.into();
        value.as_object_mut().unwrap().remove("services");
        assert!(matches!(
            parse(&value),
            Err(ManifestError::Unsupported { version: 9, .. })
        ));
        assert!(matches!(
            Manifest::parse(Path::new("m"), b"{"),
            Err(ManifestError::Parse { .. })
        ));
    }

    #[test]
    fn every_invalid_value_is_named() {
        type Change = fn(&mut Manifest);
        let cases: [(Change, &str); 9] = [
            (|m| m.services.clear(), "no services"),
            (|m| m.services[1].id = "dashboard".into(), "twice"),
            (|m| m.services[0].id = "Dash board".into(), "Dash board"),
            (|m| m.services[0].host_port = 80, "80"),
            (|m| m.services[1].host_port = 26700, "26700"),
            (|m| m.services[0].guest_port = "{P}999".into(), "{P}999"),
            (
                |m| m.services[0].path = Some("/a b\r\n".into()),
                "health path",
            ),
            (|m| m.ram_mib = Some(1023), "less than the 1024"),
            (|m| m.ram_mib = Some(2_000_000), "2000000"),
        ];
        for (change, named) in cases {
            let mut manifest = sample();
            change(&mut manifest);
            let problem = manifest.problem().unwrap_or_default();
            assert!(problem.contains(named), "{problem:?} should name {named:?}");
        }
    }
}
