//! What comes beside the disk image, and images that come from a file.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::PathBuf;

use common::{DISK, World, repo, tag};
use images::Sha256Digest;
use images::fetch::{FetchOptions, Verification, claim, fetch};
use images::manifest::{CONTRACT, FORMAT, Manifest, VERSION, published_services};
use images::source::{Arch, Source, resolve};
use progress::Silent;
use release_server::{Asset, Scenario};

const MANIFEST: &str = "stack-emulator-amd64.json";

fn manifest(world: &World, sha256: Sha256Digest) -> PathBuf {
    let manifest = serde_json::json!({
        "format": FORMAT,
        "version": VERSION,
        "contract": CONTRACT,
        "name": "test",
        "payload_version": "1",
        "arch": "amd64",
        "image": {
            "file": DISK,
            "sha256": sha256,
            "bytes": world.disk.len(),
            "virtual_bytes": 1 << 30,
        },
        "min_ram_mib": 512,
        "min_vcpus": 1,
        "services": published_services(),
    });
    let path = world.dir.path().join(MANIFEST);
    std::fs::write(&path, manifest.to_string()).unwrap();
    path
}

/// The world's release with another file.
fn with_asset(world: &World, name: &str, file: PathBuf) -> Scenario {
    let mut scenario = world.scenario();
    let id = 100 + scenario.releases[0].assets.len() as u64;
    scenario.releases[0].assets.push(Asset {
        id,
        name: name.into(),
        file,
        ..Asset::default()
    });
    scenario
}

#[tokio::test]
async fn a_manifest_comes_along_and_its_digest_serves_where_the_release_has_none() {
    let world = World::new();
    let file = manifest(&world, world.digest());
    let mut scenario = with_asset(&world, MANIFEST, file.clone());
    for (without_digest, verified) in [
        (false, Verification::Release),
        (true, Verification::Manifest),
    ] {
        scenario.releases[0].assets[0].without_digest = without_digest;
        world.server.set_scenario(scenario.clone());
        let fetched = world.pull(&tag()).await.unwrap();
        world.is_whole(&fetched);
        assert_eq!(fetched.verified, verified);
        let beside = fetched.manifest.unwrap();
        assert_eq!(beside, Manifest::path_beside(&fetched.disk));
        assert_eq!(
            std::fs::read(beside).unwrap(),
            std::fs::read(&file).unwrap()
        );
    }
}

#[tokio::test]
async fn a_manifest_that_does_not_fit_spares_the_download() {
    let world = World::new();
    let file = manifest(&world, Sha256Digest::of(b"another image"));
    world
        .server
        .set_scenario(with_asset(&world, MANIFEST, file.clone()));
    assert_eq!(
        world.pull(&tag()).await.unwrap_err().code(),
        "manifest_digest"
    );
    std::fs::write(&file, "{}").unwrap();
    std::fs::remove_dir_all(world.staging()).unwrap();
    assert_eq!(world.pull(&tag()).await.unwrap_err().code(), "manifest");
    assert_eq!(world.transfers(), []);
}

#[tokio::test]
async fn ready_settings_and_a_wanted_snapshot_archive_are_taken_from_the_release() {
    let world = World::new();
    let settings = world.dir.path().join("settings");
    std::fs::write(&settings, "READY=1\n").unwrap();
    let snapshot = world.dir.path().join("snapshot");
    std::fs::write(&snapshot, "frozen").unwrap();
    let mut scenario = with_asset(&world, "stack-emulator-amd64.base.env", settings);
    scenario.releases[0].assets.push(Asset {
        id: 200,
        name: "stack-emulator-amd64.savevm.zst".into(),
        file: snapshot,
        ..Asset::default()
    });
    world.server.set_scenario(scenario);
    let github = world.github();
    let resolved = resolve(&github, &repo(), &tag(), Arch::Amd64, &Silent)
        .await
        .unwrap();
    let claim = claim(&resolved, &world.staging(), &Silent).await.unwrap();
    for wanted in [false, true] {
        let options = FetchOptions {
            snapshot_archive: wanted,
        };
        let fetched = fetch(&github, &resolved, &claim, options, &Silent)
            .await
            .unwrap();
        let settings = std::fs::read_to_string(fetched.base_env.unwrap()).unwrap();
        assert_eq!(settings, "READY=1\n");
        let snapshot = fetched
            .snapshot_archive
            .map(|path| std::fs::read(path).unwrap());
        assert_eq!(snapshot, wanted.then(|| b"frozen".to_vec()));
    }
    assert!(
        !world
            .server
            .requests()
            .iter()
            .any(|request| request.path.contains("/contents/"))
    );
    claim.finish().unwrap();
    assert_eq!(std::fs::read_dir(world.staging()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_artifact_saved_by_hand_is_unpacked_and_stays() {
    let world = World::new();
    let zip = world.dir.path().join("qemu-emulator-amd64.zip");
    let mut archive = rawzip::ZipArchiveWriter::new(std::fs::File::create(&zip).unwrap());
    let files = [
        (DISK, world.disk.clone()),
        (
            MANIFEST,
            std::fs::read(manifest(&world, world.digest())).unwrap(),
        ),
    ];
    for (name, content) in files {
        let (mut entry, config) = archive.new_file(name).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        std::io::Write::write_all(&mut writer, &content).unwrap();
        let descriptor = writer.finish().unwrap().1;
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    let before = std::fs::read(&zip).unwrap();
    let fetched = world.pull(&Source::File(zip.clone())).await.unwrap();
    world.is_whole(&fetched);
    assert_eq!(fetched.verified, Verification::Manifest);
    assert_eq!(std::fs::read(&zip).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_longer_what_its_manifest_says_is_refused() {
    let world = World::new();
    manifest(&world, world.digest());
    let source = Source::File(world.file());
    assert_eq!(
        world.pull(&source).await.unwrap().verified,
        Verification::Manifest
    );
    std::fs::write(world.file(), b"something else").unwrap();
    assert_eq!(
        world.pull(&source).await.unwrap_err().code(),
        "manifest_digest"
    );
}
