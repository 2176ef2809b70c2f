//! One place asks the operating system: `/proc` and `/sys` are read in `crates/host` alone.
//!
//! Tests are free to look for themselves, and so are the tools around the product.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::sources::tracked_files;

/// What the product is made of.
const PRODUCT: [&str; 2] = ["crates", "src-tauri"];

/// Where the system is asked.
const HOST: &str = "crates/host";

/// Folders of code that no user runs.
const TESTS: [&str; 3] = ["tests", "examples", "benches"];

/// Names folders that are not to be shared with a guest, and reads nothing there.
const EXCEPTIONS: [&str; 1] = ["folders/name.rs"];

/// Checks all files of the checkout at `root`.
pub(super) fn check(root: &Path) -> Result<()> {
    let mut faults = vec![];
    for file in tracked_files(root)?.iter().filter(|file| is_judged(file)) {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        faults.extend(faults_in(file, &text));
    }
    if !faults.is_empty() {
        bail!("only {HOST} asks the system:\n{}", faults.join("\n"));
    }
    Ok(())
}

fn is_judged(file: &Path) -> bool {
    let is_test = |part: &Path| TESTS.iter().any(|name| part == Path::new(name));
    file.extension().is_some_and(|extension| extension == "rs")
        && file.file_name() != Some("tests.rs".as_ref())
        && PRODUCT.iter().any(|folder| file.starts_with(folder))
        && !file.starts_with(HOST)
        && !EXCEPTIONS.iter().any(|end| file.ends_with(end))
        && !file.iter().any(|part| is_test(part.as_ref()))
}

fn faults_in(file: &Path, text: &str) -> Vec<String> {
    let product = text
        .split_once("\n#[cfg(test)]\nmod tests {")
        .map_or(text, |(product, _)| product);
    let lines = product.lines().zip(1..);
    lines
        .filter(|(line, _)| !line.trim_start().starts_with("//"))
        .filter(|(line, _)| ["\"/proc", "\"/sys"].iter().any(|start| has(line, start)))
        .map(|(_, number)| format!("{}:{number}: move it there", file.display()))
        .collect()
}

/// Whether `line` has a literal that begins with the folder: `/system` is another one.
fn has(line: &str, start: &str) -> bool {
    line.match_indices(start)
        .any(|(at, _)| line[at + start.len()..].starts_with(['/', '"']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_alone_is_judged() {
        for (file, judged) in [
            ("crates/qemu/src/accel/mod.rs", true),
            ("src-tauri/launch.rs", true),
            ("crates/host/src/linux.rs", false),
            ("crates/emulator/src/machine/folders/name.rs", false),
            ("crates/images/tests/kill.rs", false),
            ("crates/images/src/store/tests.rs", false),
            ("crates/images/examples/pull.rs", false),
            ("tests/src/lib.rs", false),
            ("xtask/src/command.rs", false),
            ("guest/image/hook", false),
        ] {
            assert_eq!(is_judged(Path::new(file)), judged, "{file}");
        }
    }

    #[test]
    fn a_question_to_the_system_is_found() {
        let found = |text: &str| faults_in(Path::new("a.rs"), text).len();
        assert_eq!(found("let text = read(\"/proc/meminfo\");"), 1);
        assert_eq!(found("read_dir(\"/proc\")\nread_dir(\"/sys/class\")"), 2);
        assert_eq!(found("format!(\"/proc/{pid}/stat\")"), 1);
        assert_eq!(
            found("// read(\"/proc/meminfo\")\n\"/system\", \"a/proc\""),
            0
        );
        assert_eq!(
            found("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    const A: &str = \"/proc\";\n}\n"),
            0
        );
    }
}
