//! A bundle written from a home full of secrets, and searched for them.

use std::io::Read as _;

use super::*;
use crate::config::paths::{InstanceName, make_private_folder};
use crate::config::variables::Settings;

/// The files of a zip archive, unpacked.
fn unzip(bytes: &[u8]) -> Vec<(String, String)> {
    let archive = rawzip::ZipArchive::from_slice(bytes).unwrap();
    let mut files = Vec::new();
    for entry in archive.entries() {
        let entry = entry.unwrap();
        let name = String::from_utf8(entry.file_path().as_ref().to_vec()).unwrap();
        let packed = archive.get_entry(entry.wayfinder()).unwrap();
        let mut text = String::new();
        flate2::read::DeflateDecoder::new(packed.data())
            .read_to_string(&mut text)
            .unwrap();
        files.push((name, text));
    }
    files
}

#[tokio::test]
async fn a_bundle_tells_what_is_wrong_and_holds_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let user_home = dir.path().join("ada");
    let token = "secret-token-of-no-known-form";
    let variables = [
        ("HOME", user_home.to_str().unwrap()),
        ("GITHUB_TOKEN", token),
        // Not one that is on this machine: examining takes its time.
        ("STACK_EMULATOR_QEMU", "/no/such/qemu"),
        (
            "STACK_EMULATOR_GITHUB_API",
            "http://user:hunter22@localhost:9/",
        ),
    ];
    let owned = variables.map(|(name, value)| (name.into(), value.into()));
    let settings = Settings::from_variables(owned).unwrap();
    let emulator = Emulator::new(settings, InstanceName::default(), None);
    let value = secrets::Secret::generate().unwrap();
    let key = "pck_abcdefghijklmnopqrstuvwxyz";
    for log in [
        emulator.paths.main().serial_log(),
        emulator.paths.main().qemu_log(),
        emulator.paths.main().ahead_log(),
        emulator.paths.slot(SlotName::Ahead).qemu_log(),
    ] {
        make_private_folder(log.parent().unwrap()).unwrap();
        let folder = user_home.display();
        let text = format!(
            "guest says {} {key} {token} in {folder}/x\n",
            value.expose()
        );
        std::fs::write(log, text).unwrap();
    }
    std::fs::write(emulator.paths.projects(), format!("{{\"k\": \"{key}\"}}")).unwrap();

    let path = dir.path().join("bundle.zip");
    let report = emulator.diagnostics(&path).await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(report.bytes, bytes.len() as u64);
    let files = unzip(&bytes);
    let names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, report.files);
    for name in [
        "report.json",
        "records/projects.json",
        "logs/serial.log",
        "logs/qemu.log",
        "logs/ahead.log",
        "logs/ahead-qemu.log",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    let home = user_home.to_str().unwrap();
    for (name, text) in &files {
        for secret in [value.expose(), key, token, "hunter22", home] {
            assert!(!text.contains(secret), "{secret} is in {name}");
        }
    }
    let (_, text) = files
        .iter()
        .find(|(name, _)| name == "report.json")
        .unwrap();
    let told: Value = serde_json::from_str(text).unwrap();
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["status"]["state"], "stopped");
    assert_eq!(told["examination"]["checks"][0]["id"], "qemu");
    let (_, serial) = files
        .iter()
        .find(|(name, _)| name == "logs/serial.log")
        .unwrap();
    assert!(
        serial.starts_with("guest says hex-") && serial.contains("~/x"),
        "{serial}"
    );
}
