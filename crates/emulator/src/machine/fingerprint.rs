//! Why saved state of a machine can, or cannot, be loaded here and now.
//!
//! RAM and device state fit only the machine they were taken from: the same
//! QEMU, accelerator, guest-visible command line and image. A [`Fingerprint`]
//! holds all of that; [`Fingerprint::mismatches`] names what differs, before
//! QEMU is started.

use std::collections::BTreeMap;
use std::path::Path;

use host::FileStamp;
use images::Sha256Digest;
use serde::{Deserialize, Serialize};

/// A file's content, with the stamp under which it was last read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    /// The stamp when the digest was taken.
    pub stamp: FileStamp,
    /// Digest of the whole file.
    pub sha256: Sha256Digest,
}

impl Content {
    /// The content of the file at `path`.
    ///
    /// Reading it all takes about a second for 300 MB, so a `known` content
    /// with the same stamp is taken at its word.
    pub(crate) fn of(path: &Path, known: Option<&Self>) -> std::io::Result<Self> {
        let stamp = FileStamp::of(path)?;
        match known {
            Some(known) if known.stamp == stamp => Ok(known.clone()),
            _ => Ok(Self {
                stamp,
                sha256: images::sha256_file(path)?,
            }),
        }
    }
}

/// Everything that saved state depends on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    /// QEMU's version as it prints it, package suffix included.
    pub qemu_version: String,
    /// The QEMU binary.
    pub qemu: Content,
    /// The accelerator, `kvm`, `hvf` or `tcg`.
    pub accelerator: String,
    /// Digest of the host CPU's model and features, where the guest sees them.
    pub host_cpu: Option<String>,
    /// The image under the overlays.
    pub image: Content,
    /// Guest memory in MiB.
    pub ram_mib: u32,
    /// Number of virtual CPUs.
    pub vcpus: u16,
    /// The guest-visible part of the command line.
    pub machine: Vec<String>,
    /// Host ports that the guest was told, by service.
    pub ports: BTreeMap<String, u16>,
    /// Whether these are the ports of the instance that this one was cloned from: its own services
    /// have others on the host.
    #[serde(default)]
    pub ports_of_another: bool,
    /// Digest of the config disk, which the guest has mounted.
    pub config: Sha256Digest,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// What differs, in words.
    pub what: String,
    /// Its value when the state was saved.
    pub saved: String,
    /// Its value now.
    pub now: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} was {} and is now {}",
            self.what, self.saved, self.now
        )
    }
}

impl Fingerprint {
    /// What differs between this, saved, fingerprint and the present one;
    /// empty if the state can be loaded.
    pub(crate) fn mismatches(&self, now: &Self) -> Vec<Mismatch> {
        let mut found = Vec::new();
        let mut compare = |what: &str, saved: String, now: String| {
            if saved != now {
                found.push(Mismatch {
                    what: what.to_owned(),
                    saved,
                    now,
                });
            }
        };
        compare("QEMU", self.qemu_version.clone(), now.qemu_version.clone());
        compare(
            "the QEMU binary",
            self.qemu.sha256.short(),
            now.qemu.sha256.short(),
        );
        compare(
            "the accelerator",
            self.accelerator.clone(),
            now.accelerator.clone(),
        );
        let cpu =
            |cpu: &Option<String>| cpu.clone().unwrap_or_else(|| "an emulated CPU".to_owned());
        compare("the host CPU", cpu(&self.host_cpu), cpu(&now.host_cpu));
        compare(
            "the image",
            self.image.sha256.short(),
            now.image.sha256.short(),
        );
        compare(
            "guest memory",
            format!("{} MiB", self.ram_mib),
            format!("{} MiB", now.ram_mib),
        );
        compare(
            "the number of virtual CPUs",
            self.vcpus.to_string(),
            now.vcpus.to_string(),
        );
        for id in self
            .ports
            .keys()
            .chain(now.ports.keys().filter(|id| !self.ports.contains_key(*id)))
        {
            let port = |ports: &BTreeMap<String, u16>| {
                ports.get(id).map_or("none".to_owned(), u16::to_string)
            };
            compare(
                &format!("the host port of {id}"),
                port(&self.ports),
                port(&now.ports),
            );
        }
        if found.is_empty() {
            // These repeat what is above in a form that says less, so they
            // speak up only when nothing above did.
            let mut compare = |what: &str, saved: String, now: String| {
                if saved != now {
                    found.push(Mismatch {
                        what: what.to_owned(),
                        saved,
                        now,
                    });
                }
            };
            compare(
                "the virtual machine",
                self.machine.join(" "),
                now.machine.join(" "),
            );
            compare(
                "the guest's settings",
                self.config.short(),
                now.config.short(),
            );
        }
        found
    }
}

#[cfg(test)]
impl Fingerprint {
    /// Some machine.
    pub(crate) fn sample() -> Self {
        let content = |text: &str| Content {
            stamp: FileStamp {
                device: 1,
                inode: 2,
                bytes: 3,
                modified_ns: 4,
            },
            sha256: Sha256Digest::of(text.as_bytes()),
        };
        Self {
            qemu_version: "10.0.2".into(),
            qemu: content("qemu"),
            accelerator: "tcg".into(),
            host_cpu: None,
            image: content("image"),
            ram_mib: 4096,
            vcpus: 2,
            machine: vec!["-machine".into(), "pc-q35-10.0".into()],
            ports: BTreeMap::from([("backend".into(), 26701)]),
            ports_of_another: false,
            config: Sha256Digest::of(b"config"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fingerprint {
        Fingerprint::sample()
    }

    #[test]
    fn equal_content_matches_whatever_the_stamps_say() {
        let mut now = sample();
        now.image.stamp.inode = 77;
        assert_eq!(sample().mismatches(&now), []);
    }

    #[test]
    fn each_difference_is_named() {
        type Change = fn(&mut Fingerprint);
        let changes: [(Change, &str); 10] = [
            (
                |f| f.qemu_version = "10.1.0".into(),
                "QEMU was 10.0.2 and is now 10.1.0",
            ),
            (
                |f| f.qemu.sha256 = Sha256Digest::of(b"other"),
                "the QEMU binary",
            ),
            (|f| f.accelerator = "kvm".into(), "the accelerator was tcg"),
            (|f| f.host_cpu = Some("abc".into()), "the host CPU"),
            (|f| f.image.sha256 = Sha256Digest::of(b"other"), "the image"),
            (
                |f| f.ram_mib = 2048,
                "guest memory was 4096 MiB and is now 2048 MiB",
            ),
            (|f| f.vcpus = 4, "virtual CPUs was 2 and is now 4"),
            (
                |f| *f.ports.get_mut("backend").unwrap() = 1,
                "port of backend was 26701 and is now 1",
            ),
            (|f| f.machine.push("-x".into()), "the virtual machine"),
            (
                |f| f.config = Sha256Digest::of(b"x"),
                "the guest's settings",
            ),
        ];
        for (change, named) in changes {
            let mut now = sample();
            change(&mut now);
            let found = sample().mismatches(&now);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].to_string().contains(named),
                "{} should say {named}",
                found[0]
            );
        }
    }

    #[test]
    fn a_touched_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "one").unwrap();
        let first = Content::of(&path, None).unwrap();
        assert_eq!(
            Content::of(&path, Some(&first)).unwrap().sha256,
            first.sha256
        );
        std::fs::write(&path, "other").unwrap();
        assert_ne!(
            Content::of(&path, Some(&first)).unwrap().sha256,
            first.sha256
        );
    }
}
