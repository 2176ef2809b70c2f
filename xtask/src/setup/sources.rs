//! APT's package sources: reading both formats, and deriving a backports entry
//! from the machine's own entry of the main archive.
//!
//! No archive's address is written down here. The machine already has one that
//! works for it, perhaps a company's mirror with a key of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// One source: a deb822 stanza or a one-line entry, in deb822 terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    types: Vec<String>,
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    enabled: bool,
    /// Everything else (`Signed-By`, `Check-Valid-Until`, …), in order, as written; values of
    /// several lines keep their line breaks.
    options: Vec<(String, String)>,
}

/// All sources of `/etc/apt` at `etc`, in the order APT reads them.
pub(crate) fn read(etc: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let list = etc.join("sources.list");
    if list.exists() {
        sources.extend(parse_one_line(&read_file(&list)?));
    }
    let folder = etc.join("sources.list.d");
    let mut files = Vec::new();
    if folder.exists() {
        for item in
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            files.push(
                item.with_context(|| format!("cannot list {}", folder.display()))?
                    .path(),
            );
        }
    }
    files.sort();
    for file in files {
        // APT takes files by these endings alone.
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("list") => sources.extend(parse_one_line(&read_file(&file)?)),
            Some("sources") => sources.extend(parse_deb822(&read_file(&file)?)),
            _ => {}
        }
    }
    Ok(sources)
}

fn read_file(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the stanzas of a `.sources` file.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(from_fields(std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    sources
}

fn from_fields(fields: Vec<(String, String)>) -> Option<Source> {
    if fields.is_empty() {
        return None;
    }
    let mut source = Source {
        types: vec![],
        uris: vec![],
        suites: vec![],
        components: vec![],
        enabled: true,
        options: vec![],
    };
    for (name, value) in fields {
        match name.to_ascii_lowercase().as_str() {
            "types" => source.types = words(&value),
            "uris" => source.uris = words(&value),
            "suites" => source.suites = words(&value),
            "components" => source.components = words(&value),
            "enabled" => {
                source.enabled = !matches!(
                    value.to_ascii_lowercase().as_str(),
                    "no" | "false" | "0" | "off"
                );
            }
            _ => source.options.push((name, value)),
        }
    }
    Some(source)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Reads the lines of a `.list` file.
fn parse_one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    if !matches!(kind, "deb" | "deb-src") {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let mut parts = rest.split_whitespace();
    Some(Source {
        types: vec![kind.to_owned()],
        uris: vec![parts.next()?.to_owned()],
        suites: vec![parts.next()?.to_owned()],
        components: parts.map(str::to_owned).collect(),
        enabled: true,
        options: options
            .split_whitespace()
            .filter_map(|option| {
                let (name, value) = option.split_once('=')?;
                Some((field_name(name), value.replace(',', " ")))
            })
            .collect(),
    })
}

/// The deb822 name of a one-line option.
fn field_name(option: &str) -> String {
    match option {
        "arch" => "Architectures".to_owned(),
        "lang" => "Languages".to_owned(),
        "target" => "Targets".to_owned(),
        // signed-by → Signed-By, check-valid-until → Check-Valid-Until, …
        other => other
            .split('-')
            .map(|part| {
                let mut letters = part.chars();
                letters.next().map_or_else(String::new, |first| {
                    first.to_ascii_uppercase().to_string() + letters.as_str()
                })
            })
            .collect::<Vec<_>>()
            .join("-"),
    }
}

/// Whether a usable source has the suite `suite`.
pub(crate) fn has_suite(sources: &[Source], suite: &str) -> bool {
    sources.iter().any(|source| source.provides(suite))
}

impl Source {
    fn provides(&self, suite: &str) -> bool {
        self.enabled
            && self.types.iter().any(|kind| kind == "deb")
            // `./` and `/` are flat repositories, which have neither suites nor components.
            && self.components.iter().any(|component| component == "main")
            && self.suites.iter().any(|name| name.trim_end_matches('/') == suite)
    }
}

/// A `.sources` file that adds `<codename>-backports` of the machine's own archive, or `None` where
/// the machine has no source of the main archive. `aliases` are other names of the release
/// (`stable`), by which the machine's source may call it.
pub(crate) fn backports(sources: &[Source], codename: &str, aliases: &[&str]) -> Option<String> {
    let main = [codename]
        .iter()
        .chain(aliases)
        .find_map(|suite| sources.iter().find(|source| source.provides(suite)))?;
    let mut text = format!(
        "# Added by Stack Emulator's `cargo xtask setup`, for a newer QEMU. Nothing is installed\n\
         # from here unless it is asked for by name. Remove this file if you do not want it.\n\
         Types: deb\nURIs: {}\nSuites: {codename}-backports\nComponents: main\n",
        main.uris.join(" ")
    );
    for (name, value) in &main.options {
        text.extend([name, ": ", value, "\n"]);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN_12: &str = "Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
        Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
        Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n\
        Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
    const DEBIAN_12_CLOUD: &str = "Types: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian.list\n\
        Suites: bookworm bookworm-updates bookworm-backports\nComponents: main\n";
    const DEBIAN_12_LIST: &str = "# deb cdrom:[Debian 12]/ bookworm main\n\
        deb http://mirror.example/debian/ bookworm main non-free-firmware\n\
        deb-src http://mirror.example/debian/ bookworm main\n\
        deb http://security.example/debian-security bookworm-security main # comment\n";
    const DEBIAN_13: &str = "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\nComponents: main\n\
        Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBGPL0BUBEADmW5NdOOHwPIJlgPu6JDcKw\n -----END PGP PUBLIC KEY BLOCK-----\n";
    const UBUNTU_24_04: &str = "Enabled: yes\nTypes: deb\nURIs: http://mirror.example/ubuntu/\n\
        Suites: noble noble-updates noble-backports\nComponents: main restricted universe multiverse\n\
        Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n";

    #[test]
    fn debian_12_gets_the_suite_of_its_own_mirror() {
        let text = backports(&parse_deb822(DEBIAN_12), "bookworm", &[]).unwrap();
        assert!(
            text.ends_with(
                "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n\
                 Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
            ),
            "{text}"
        );
        assert!(
            has_suite(&parse_deb822(&text), "bookworm-backports"),
            "what is written can be read"
        );
    }

    #[test]
    fn one_line_sources_do_as_well() {
        let sources = parse_one_line(DEBIAN_12_LIST);
        assert_eq!(sources.len(), 3);
        let text = backports(&sources, "bookworm", &[]).unwrap();
        assert!(
            text.contains("URIs: http://mirror.example/debian/\n") && !text.contains("Signed-By"),
            "{text}"
        );
    }

    #[test]
    fn options_of_a_line_are_carried_over() {
        let line = "deb [arch=amd64,arm64 signed-by=/etc/keys/debian.gpg check-valid-until=no] http://snapshot.example/x bookworm main";
        let text = backports(&parse_one_line(line), "bookworm", &[]).unwrap();
        for field in [
            "Architectures: amd64 arm64",
            "Signed-By: /etc/keys/debian.gpg",
            "Check-Valid-Until: no",
        ] {
            assert!(text.contains(&format!("{field}\n")), "{text}");
        }
    }

    #[test]
    fn a_key_inside_the_source_is_carried_over() {
        let text = backports(&parse_deb822(DEBIAN_13), "trixie", &[]).unwrap();
        assert!(
            text.contains("Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQIN"),
            "{text}"
        );
        let again = parse_deb822(&text);
        assert_eq!(again[0].options, parse_deb822(DEBIAN_13)[0].options);
    }

    #[test]
    fn suites_that_are_there_are_seen() {
        assert!(has_suite(
            &parse_deb822(DEBIAN_12_CLOUD),
            "bookworm-backports"
        ));
        assert!(has_suite(&parse_deb822(UBUNTU_24_04), "noble-backports"));
        assert!(!has_suite(&parse_deb822(DEBIAN_12), "bookworm-backports"));
        let disabled = DEBIAN_12_CLOUD.replace("Types: deb deb-src", "Enabled: no\nTypes: deb");
        assert!(!has_suite(&parse_deb822(&disabled), "bookworm-backports"));
        let source_only = DEBIAN_12_CLOUD.replace("Types: deb deb-src", "Types: deb-src");
        assert!(!has_suite(
            &parse_deb822(&source_only),
            "bookworm-backports"
        ));
    }

    #[test]
    fn a_release_called_by_its_alias_is_found() {
        let sources = parse_one_line("deb http://mirror.example/debian stable main");
        assert_eq!(backports(&sources, "trixie", &[]), None);
        let text = backports(&sources, "trixie", &["stable"]).unwrap();
        assert!(text.contains("Suites: trixie-backports"), "{text}");
    }

    #[test]
    fn other_peoples_repositories_are_not_taken_for_the_archive() {
        let text = "Types: deb\nURIs: https://node.example/node_20.x\nSuites: nodistro\nComponents: main\n\n\
                    Types: deb\nURIs: https://flat.example/\nSuites: ./\n";
        assert_eq!(
            backports(&parse_deb822(text), "bookworm", &["stable", "oldstable"]),
            None
        );
    }

    #[test]
    fn a_folder_is_read_as_apt_reads_it() {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir(etc.path().join("sources.list.d")).unwrap();
        let folder = etc.path().join("sources.list.d");
        fs::write(etc.path().join("sources.list"), DEBIAN_12_LIST).unwrap();
        fs::write(folder.join("debian.sources"), DEBIAN_12).unwrap();
        fs::write(folder.join("other.sources.disabled"), UBUNTU_24_04).unwrap();
        assert_eq!(read(etc.path()).unwrap().len(), 5);
    }
}
