//! The two ISO images of the provisioning boot: `CIDATA`, which starts it, and
//! `STACKBUNDLE`, the payload.
//!
//! What goes into the guest's own file tree travels as a tar archive, cut into
//! pieces: an application's `node_modules` has links, modes, depth, names and
//! sizes that no ISO file system holds.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use iso9660::{Source, Timestamp, Volume};

use super::payload::Payload;
use super::tree::{Entry, Kind};

/// Length of a piece; an ISO 9660 file ends at 4 GiB.
const PIECE_BYTES: u64 = 1 << 30;

/// Writes the `NoCloud` seed of `root`'s `cloud-init` folder.
pub(crate) fn write_seed(root: &Path, iso: &Path) -> Result<()> {
    let mut volume = Volume::new("CIDATA", Timestamp::UNIX_EPOCH)?;
    for name in ["user-data", "meta-data"] {
        volume.add_path(name, &root.join("cloud-init").join(name))?;
    }
    write_volume(&volume, iso)
}

/// Writes the payload disk, with `scratch` for the archive on its way.
pub(crate) fn write_payload(
    root: &Path,
    payload: &Payload,
    iso: &Path,
    scratch: &Path,
) -> Result<()> {
    let mut volume = Volume::new("STACKBUNDLE", Timestamp::UNIX_EPOCH)?;
    volume.add_path("provision", &root.join("guest/image/provision"))?;
    for Entry { name, kind } in &payload.entries {
        if name != "files" && !name.starts_with("files/") && matches!(kind, Kind::File { .. }) {
            volume.add_path(&format!("payload/{name}"), &payload.root.join(name)).with_context(|| {
                format!("{name} cannot stand on the payload disk; move it below `files/`, where any name is fine")
            })?;
        }
    }
    let archive = scratch.join("files.tar");
    let bytes = write_archive(payload, &archive).context("cannot pack the payload's files")?;
    for index in 0..bytes.div_ceil(PIECE_BYTES) {
        let start = index * PIECE_BYTES;
        let piece = Piece {
            archive: archive.clone(),
            start,
            bytes: PIECE_BYTES.min(bytes - start),
        };
        volume.add_file(&format!("files.tar.{index:03}"), piece)?;
    }
    write_volume(&volume, iso)?;
    std::fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
}

fn write_volume(volume: &Volume, iso: &Path) -> Result<()> {
    let write = || -> Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(iso)?);
        volume.write_to(&mut out)?;
        out.flush()?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", iso.display()))
}

/// Packs all below `files/`: owned by root, folders and executables 0755, the rest 0644.
/// Returns the archive's length.
fn write_archive(payload: &Payload, archive: &Path) -> Result<u64> {
    let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, File::create(archive)?));
    for Entry { name, kind } in &payload.entries {
        let Some(path) = name.strip_prefix("files/") else {
            continue;
        };
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        let from = payload.root.join(name);
        let fail = || format!("cannot pack {}", from.display());
        match kind {
            Kind::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                tar.append_data(&mut header, format!("{path}/"), io::empty())
                    .with_context(fail)?;
            }
            Kind::Link { target } => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                let literal = target.as_os_str().as_encoded_bytes();
                // The other way of setting it tidies `//` and a `/` at the end away; long ones, which
                // need an entry of their own, it leaves alone.
                if header.set_link_name_literal(literal).is_ok() {
                    tar.append_data(&mut header, path, io::empty())
                } else {
                    tar.append_link(&mut header, path, target)
                }
                .with_context(fail)?;
            }
            Kind::File { bytes, .. } => {
                header.set_mode(if payload.is_executable(path) {
                    0o755
                } else {
                    0o644
                });
                header.set_size(*bytes);
                let file = File::open(&from).with_context(fail)?;
                // Never more than was announced: a file that grows meanwhile must not shift the rest.
                tar.append_data(&mut header, path, file.take(*bytes))
                    .with_context(fail)?;
            }
        }
    }
    let mut out = tar.into_inner()?;
    out.flush()?;
    Ok(out.get_ref().metadata()?.len())
}

/// A part of the archive, as a file on the volume.
struct Piece {
    archive: PathBuf,
    start: u64,
    bytes: u64,
}

impl Source for Piece {
    fn size(&self) -> u64 {
        self.bytes
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let mut file = File::open(&self.archive)?;
        file.seek(SeekFrom::Start(self.start))?;
        Ok(Box::new(file.take(self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    fn payload(root: &Path) -> Payload {
        let deep = root.join("files/opt/app/node_modules/a/node_modules/b/node_modules/c/lib");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join(format!("{}.js", "long-name-".repeat(12))), "x").unwrap();
        fs::write(root.join("files/opt/app/run"), "#!").unwrap();
        fs::write(root.join("files/opt/app/data"), "data").unwrap();
        std::os::unix::fs::symlink("../a", root.join("files/opt/app/node_modules/link")).unwrap();
        fs::write(root.join("install"), "#!/bin/sh\n").unwrap();
        fs::write(root.join("rotate"), "#!/bin/sh\n").unwrap();
        let manifest = r#"
            name = "sample"
            version = "1"
            contract = 1
            min_ram_mib = 512
            min_vcpus = 1
            executables = ["opt/app/run"]
            [[services]]
            id = "app"
            name = "App"
            host_port = 26701
            guest_port = "8102"
        "#;
        fs::write(root.join("payload.toml"), manifest).unwrap();
        Payload::open(root).unwrap()
    }

    #[test]
    fn the_archive_keeps_depth_links_and_modes() {
        let folder = tempfile::tempdir().unwrap();
        let payload = payload(folder.path());
        let archive = folder.path().join("files.tar");
        let bytes = write_archive(&payload, &archive).unwrap();
        assert_eq!(bytes, fs::metadata(&archive).unwrap().len());
        let mut modes = BTreeMap::new();
        for entry in tar::Archive::new(File::open(&archive).unwrap())
            .entries()
            .unwrap()
        {
            let entry = entry.unwrap();
            assert_eq!(
                (
                    entry.header().uid().unwrap(),
                    entry.header().mtime().unwrap()
                ),
                (0, 0)
            );
            modes.insert(
                entry.path().unwrap().display().to_string(),
                entry.header().mode().unwrap(),
            );
        }
        assert_eq!(modes["opt/app/run"], 0o755);
        assert_eq!(modes["opt/app/data"], 0o644);
        assert!(modes.contains_key("opt/app/node_modules/link"));
        assert!(modes.keys().any(|name| name.ends_with("long-name-.js")));
    }

    #[test]
    fn links_arrive_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let _ = payload(folder.path());
        let (links, out) = (folder.path().join("files/links"), folder.path().join("out"));
        let long = "../".repeat(20) + &"long/".repeat(30) + "target/";
        let hundred = "h".repeat(100);
        let targets = [
            "./x",
            "a//b/",
            "..",
            "/",
            ".",
            "a/../b/.",
            "/abs//olute",
            "ü \\ n\n",
            &hundred,
            &long,
        ];
        for folder in [&links, &out] {
            fs::create_dir(folder).unwrap();
        }
        for (index, target) in targets.iter().enumerate() {
            std::os::unix::fs::symlink(target, links.join(index.to_string())).unwrap();
        }
        let archive = folder.path().join("files.tar");
        write_archive(&Payload::open(folder.path()).unwrap(), &archive).unwrap();
        let mut untar = std::process::Command::new("tar");
        let status = untar.arg("-xf").arg(&archive).arg("-C").arg(&out).status();
        assert!(status.unwrap().success());
        for (index, target) in targets.iter().enumerate() {
            let arrived = fs::read_link(out.join("links").join(index.to_string())).unwrap();
            // Compared as text: a `Path` takes `a//b/` for `a/b`.
            assert_eq!(arrived.as_os_str(), *target);
        }
    }

    #[test]
    fn pieces_make_up_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("archive");
        fs::write(&archive, "0123456789").unwrap();
        let mut whole = String::new();
        for (start, bytes) in [(0, 4), (4, 4), (8, 2)] {
            let piece = Piece {
                archive: archive.clone(),
                start,
                bytes,
            };
            piece.open().unwrap().read_to_string(&mut whole).unwrap();
        }
        assert_eq!(whole, "0123456789");
    }

    #[test]
    fn the_payload_disk_is_written_and_the_archive_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let payload = payload(&{
            let root = folder.path().join("payload");
            fs::create_dir(&root).unwrap();
            root
        });
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let iso = folder.path().join("bundle.iso");
        write_payload(root, &payload, &iso, folder.path()).unwrap();
        assert!(fs::metadata(&iso).unwrap().len() > 1 << 16);
        assert!(!folder.path().join("files.tar").exists());
    }
}
