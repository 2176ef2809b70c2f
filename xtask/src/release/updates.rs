//! `cargo xtask release updates`: what the app's updater reads, `latest.json`, and the signatures in it.
//!
//! Tauri's own command line signs, with the private key in `TAURI_SIGNING_PRIVATE_KEY`, and notes in each signature the version
//! that it is for. Its public half is in `tauri.conf.json`, and so in every app: what apps would refuse fails here. Without a
//! private key the release has no list, and apps lead to its page.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use images::github::Repo;
use minisign_verify::Signature;
use serde::Serialize;

use super::VERSION;
use crate::{ui, workspace};

/// The list, by the name that `src-tauri/updater.rs` looks for.
const LIST: &str = "latest.json";
/// The private key itself, by Tauri's name for it.
const PRIVATE_KEY: &str = "TAURI_SIGNING_PRIVATE_KEY";
/// Where the public half of it is.
const CONFIG: &str = "tauri.conf.json";

/// Files that an app is replaced with, by their endings, and for which system and processor, as Tauri calls them.
const REPLACEMENTS: [(&str, &str); 4] = [
    ("_amd64.AppImage", "linux-x86_64"),
    ("_aarch64.AppImage", "linux-aarch64"),
    ("_x64.app.tar.gz", "darwin-x86_64"),
    ("_aarch64.app.tar.gz", "darwin-aarch64"),
];

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    into: super::Into,
    /// Repository that the release is in
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Repo,
}

/// `cargo xtask release updates`: prints the list's path, or says why there is none.
pub(super) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let folder = args.into.ready()?;
    if std::env::var_os(PRIVATE_KEY).is_none_or(|key| key.is_empty()) {
        eprintln!(
            "updates: {PRIVATE_KEY} is not set, so there is no {LIST}: apps lead to the page of this release instead of \
             installing it"
        );
        return Ok(());
    }
    let config = fs::read_to_string(root.join(CONFIG));
    let key = PublicKey::of(&config.with_context(|| format!("cannot read {CONFIG}"))?)?;
    let files = replacements(&super::files_in(&folder)?);
    if files.is_empty() {
        bail!(
            "{} has no AppImage and no .app.tar.gz; run `cargo xtask release packages` first",
            folder.display()
        );
    }
    let mut signed = vec![];
    for (name, target) in files {
        let file = folder.join(&name);
        let signature = sign(&root, &file)?;
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        key.check(&content, &signature, VERSION)
            .with_context(|| format!("apps would refuse {name}"))?;
        signed.push((name, target, signature));
    }
    let list = list(&args.repository, signed);
    let place = folder.join(LIST);
    super::write(&place, &serde_json::to_vec_pretty(&list)?)?;
    println!("{}", place.display());
    Ok(())
}

/// Those of the files that an app is replaced with, and what each is for.
fn replacements(names: &[String]) -> Vec<(String, &'static str)> {
    let target = |name: &str| {
        let found = REPLACEMENTS.iter().find(|(end, _)| name.ends_with(end));
        found.map(|(_, target)| *target)
    };
    names
        .iter()
        .filter_map(|name| Some((name.clone(), target(name)?)))
        .collect()
}

/// The signature of a file, which is in the list alone.
fn sign(root: &Path, file: &Path) -> Result<String> {
    let path = file.to_str().context("the file's path is not UTF-8")?;
    ui::tauri(root, &["signer", "sign", "--app-version", VERSION, path])?;
    let beside = format!("{path}.sig");
    let signature =
        fs::read_to_string(&beside).with_context(|| format!("Tauri has not written {beside}"))?;
    fs::remove_file(&beside).with_context(|| format!("cannot remove {beside}"))?;
    Ok(signature.trim().to_owned())
}

/// What apps check signatures with.
#[derive(Debug)]
struct PublicKey(minisign_verify::PublicKey);

impl PublicKey {
    /// That of the apps which are built with `config`.
    fn of(config: &str) -> Result<Self> {
        let config: serde_json::Value =
            serde_json::from_str(config).with_context(|| format!("{CONFIG} is no JSON"))?;
        let key = config["plugins"]["updater"]["pubkey"].as_str();
        let key = key.unwrap_or_default();
        ensure!(
            !key.is_empty(),
            "{PRIVATE_KEY} is set, and {CONFIG} has no public key, so apps would install nothing; docs/releasing.md says \
             how to put it there"
        );
        Self::read(key).with_context(|| format!("the public key in {CONFIG}"))
    }

    /// As `tauri signer generate` writes it.
    fn read(text: &str) -> Result<Self> {
        Ok(Self(minisign_verify::PublicKey::decode(&decoded(text)?)?))
    }

    /// Fails unless `signature` is of `content`, with this key, for `version`.
    fn check(&self, content: &[u8], signature: &str, version: &str) -> Result<()> {
        let signature = Signature::decode(&decoded(signature)?)?;
        self.0.verify(content, &signature, true).with_context(|| {
            format!("{PRIVATE_KEY} does not belong to the public key in {CONFIG}")
        })?;
        let noted = format!("version:{version}");
        let comment = signature.trusted_comment();
        ensure!(
            comment.split('\t').any(|field| field == noted),
            "the signature is not for version {version}: {comment:?}"
        );
        Ok(())
    }
}

/// What Tauri has wrapped in Base64.
fn decoded(text: &str) -> Result<String> {
    let bytes = BASE64_STANDARD.decode(text.trim());
    Ok(String::from_utf8(bytes.context("it is no Base64")?)?)
}

/// The list in the form that Tauri's updater reads.
#[derive(Debug, Serialize)]
struct List {
    version: &'static str,
    platforms: BTreeMap<&'static str, Replacement>,
}

#[derive(Debug, Serialize)]
struct Replacement {
    url: String,
    signature: String,
}

fn list(repository: &Repo, signed: Vec<(String, &'static str, String)>) -> List {
    let replacement = |(name, target, signature): (String, &'static str, String)| {
        let url = format!("https://github.com/{repository}/releases/download/v{VERSION}/{name}");
        (target, Replacement { url, signature })
    };
    List {
        version: VERSION,
        platforms: signed.into_iter().map(replacement).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the end-to-end test of the app's update is made of, signed with a key that signs nothing else.
    fn of_tests(name: &str) -> String {
        let folder = workspace::root().unwrap().join("tests/update");
        fs::read_to_string(folder.join(name)).unwrap()
    }

    #[test]
    fn only_what_our_key_has_signed_for_the_version_is_listed() {
        let (content, signature) = (of_tests("app.sh"), of_tests("app.sh.sig"));
        let key = PublicKey::read(&of_tests("test-key.pub")).unwrap();
        let check = |content: &str, signature: &str, version| {
            key.check(content.as_bytes(), signature, version)
        };
        check(&content, &signature, "99.0.0").unwrap();
        let other = check(&content, &signature, "99.0.1").unwrap_err();
        assert!(other.to_string().contains("99.0.1"), "{other}");
        check(&format!("{content}more"), &signature, "99.0.0").unwrap_err();
        check(&content, "no signature", "99.0.0").unwrap_err();
    }

    #[test]
    fn a_checkout_without_a_public_key_is_told_where_it_belongs() {
        let error = PublicKey::of(r#"{"plugins": {"updater": {"pubkey": ""}}}"#).unwrap_err();
        assert!(
            format!("{error:#}").contains("docs/releasing.md"),
            "{error:#}"
        );
        let config =
            serde_json::json!({"plugins": {"updater": {"pubkey": of_tests("test-key.pub")}}});
        PublicKey::of(&config.to_string()).unwrap();
    }

    /// The app would replace itself by older releases otherwise, whose signatures are as good.
    #[test]
    fn apps_want_the_version_in_the_signature() {
        let config = fs::read_to_string(workspace::root().unwrap().join(CONFIG)).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["plugins"]["updater"]["requireSignedVersion"], true);
    }

    #[test]
    fn an_app_of_each_system_finds_its_file() {
        let names = [
            "SHA256SUMS",
            "stack-emulator_0.1.0_amd64.AppImage",
            "stack-emulator_0.1.0_amd64.deb",
            "stack-emulator_0.1.0_aarch64.dmg",
            "stack-emulator_0.1.0_aarch64.app.tar.gz",
            "stack-emulator-0.1.0-x86_64-unknown-linux-gnu.tar.gz",
        ]
        .map(str::to_owned);
        let found = replacements(&names);
        assert_eq!(
            found,
            [
                (names[1].clone(), "linux-x86_64"),
                (names[4].clone(), "darwin-aarch64")
            ]
        );
        let signed = found
            .into_iter()
            .map(|(name, target)| (name, target, "signature".to_owned()))
            .collect();
        let list = serde_json::to_value(list(&"owner/name".parse().unwrap(), signed)).unwrap();
        assert_eq!(list["version"], VERSION);
        let app = &list["platforms"]["linux-x86_64"];
        assert_eq!(app["signature"], "signature");
        let address = format!(
            "https://github.com/owner/name/releases/download/v{VERSION}/{}",
            names[1]
        );
        assert_eq!(app["url"], address);
    }
}
