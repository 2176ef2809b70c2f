//! The list of packages in an image with their licences, from Debian's own
//! copyright files.
//!
//! Most of those are machine-readable (`License:` fields); the others mention
//! the licences that every Debian system carries in full, by their path.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use images::manifest::Package;

/// What stands where no licence name was found.
const UNNAMED: &str = "see its copyright file";

/// Joins `listing` (lines of `name<TAB>version`) with the copyright files below `folder`,
/// each at `<name>/copyright`.
pub(crate) fn packages(listing: &str, folder: &Path) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for line in listing.lines() {
        let Some((name, version)) = line.split_once('\t') else {
            bail!("the list of packages has the line {line:?}, which is not `name<TAB>version`");
        };
        let path = folder.join(name).join("copyright");
        let bytes = fs::read(&path)
            .with_context(|| format!("{name} has no copyright file at {}", path.display()))?;
        packages.push(Package {
            name: name.into(),
            version: version.into(),
            license: names(&String::from_utf8_lossy(&bytes)),
        });
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

/// The licences a copyright file names, sorted, as `GPL-2+, MIT`.
fn names(copyright: &str) -> String {
    let mut names: BTreeSet<&str> = copyright
        .lines()
        .filter_map(|line| line.strip_prefix("License:"))
        .map(str::trim)
        .filter(|name| !name.is_empty() && name.len() < 100)
        .collect();
    if names.is_empty() {
        names = copyright
            .split("/usr/share/common-licenses/")
            .skip(1)
            .filter_map(|rest| {
                rest.split(|c: char| !c.is_ascii_alphanumeric() && !"-.".contains(c))
                    .next()
            })
            .map(|name| name.trim_end_matches('.'))
            .filter(|name| !name.is_empty())
            .collect();
    }
    if names.is_empty() {
        return UNNAMED.into();
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_readable_files_name_their_licences() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n\
                    License: PostgreSQL\n\nFiles: src/x\nLicense: BSD-3-clause\n full text\n\nLicense: PostgreSQL\n text\n";
        assert_eq!(names(text), "BSD-3-clause, PostgreSQL");
    }

    #[test]
    fn older_files_point_to_common_licences() {
        let text = "On Debian systems, see `/usr/share/common-licenses/GPL-2' and /usr/share/common-licenses/LGPL-2.1.";
        assert_eq!(names(text), "GPL-2, LGPL-2.1");
        assert_eq!(names("Do what you like."), UNNAMED);
    }

    #[test]
    fn a_package_without_a_copyright_file_fails_the_build() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bash")).unwrap();
        fs::write(folder.path().join("bash/copyright"), "License: GPL-3+\n").unwrap();
        let list = packages("bash\t5.2\n", folder.path()).unwrap();
        assert_eq!(
            (list[0].name.as_str(), list[0].license.as_str()),
            ("bash", "GPL-3+")
        );
        let error = packages("bash\t5.2\ndash\t0.5\n", folder.path()).unwrap_err();
        assert!(error.to_string().contains("dash"));
    }
}
