//! Names for the instances of folders.

use std::path::Path;

use images::Sha256Digest;

use super::InstanceName;

/// Longest name of an instance, in bytes.
const LONGEST: usize = 32;
/// The name of a folder whose own has nothing that a name may have, and the beginning where it begins with a digit.
const PLAIN: &str = "project";
/// How much of the digest of a folder's path is put behind its name, in hexadecimal digits: the first length that
/// leads to a name that is free.
const LENGTHS: [usize; 3] = [6, 12, 24];

impl InstanceName {
    /// The names that an instance of `folder` may have, best first: the folder's own name, as far as an instance may
    /// have it, and that with a part of the digest of the whole path.
    ///
    /// The same folder always has the same names. Of two folders of one name only the first is the same.
    pub(crate) fn of_folder(folder: &Path) -> Vec<Self> {
        let own = folder.file_name().unwrap_or_default().to_string_lossy();
        let base = base(&own);
        let digest = Sha256Digest::of(folder.as_os_str().as_encoded_bytes()).to_string();
        let plain = Self(cut(&base, LONGEST).to_owned());
        // The default instance is everybody's.
        let plain = Some(plain).filter(|name| !name.is_default());
        let suffixed = LENGTHS.map(|length| {
            let base = cut(&base, LONGEST - 1 - length);
            let digest: String = digest.chars().take(length).collect();
            Self(format!("{base}-{digest}"))
        });
        plain.into_iter().chain(suffixed).collect()
    }
}

/// `name` with nothing in it that the name of an instance may not have, of any length.
fn base(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars().map(|letter| letter.to_ascii_lowercase()) {
        if letter.is_ascii_lowercase() || letter.is_ascii_digit() {
            text.push(letter);
        } else if !text.is_empty() && !text.ends_with('-') {
            text.push('-');
        }
    }
    let text = text.trim_end_matches('-');
    match text.bytes().next() {
        None => PLAIN.to_owned(),
        Some(first) if first.is_ascii_digit() => format!("{PLAIN}-{text}"),
        Some(_) => text.to_owned(),
    }
}

/// The beginning of a name that is plain ASCII.
fn cut(name: &str, longest: usize) -> &str {
    name[..name.len().min(longest)].trim_end_matches('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(folder: &str) -> String {
        InstanceName::of_folder(Path::new(folder))[0].to_string()
    }

    #[test]
    fn a_folder_gives_its_name() {
        for (folder, name) in [
            ("/work/shop", "shop"),
            ("/work/My App (new)", "my-app-new"),
            ("/work/2048", "project-2048"),
            ("/work/über_uns.de", "ber-uns-de"),
            ("/work/日本", "project"),
            ("/", "project"),
        ] {
            assert_eq!(first(folder), name, "{folder}");
        }
        let long = first(&format!("/work/{}", "a-".repeat(40)));
        assert_eq!(long, "a-".repeat(16).trim_end_matches('-'));
    }

    #[test]
    fn the_default_instance_is_nobody_s() {
        let name = first("/work/Default");
        assert!(name.starts_with("default-") && name.len() == 14, "{name}");
    }

    #[test]
    fn folders_of_one_name_differ_by_their_paths() {
        let names = |folder| InstanceName::of_folder(Path::new(folder));
        let (one, two) = (names("/one/shop"), names("/two/shop"));
        assert_eq!(one[0], two[0]);
        for (one, two) in one.iter().zip(&two).skip(1) {
            assert_ne!(one, two);
        }
        assert_eq!(one, names("/one/shop"));
    }

    proptest! {
        #[test]
        fn any_folder_has_valid_names_that_differ(path in "(/\\PC{0,40}){1,3}") {
            let names = InstanceName::of_folder(Path::new(&path));
            prop_assert!(names.len() >= LENGTHS.len());
            for (index, name) in names.iter().enumerate() {
                prop_assert_eq!(&name.as_str().parse::<InstanceName>().unwrap(), name);
                prop_assert!(!name.is_default());
                prop_assert!(!names[..index].contains(name));
            }
        }
    }
}
