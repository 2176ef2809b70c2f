//! Which config file is meant: the one that is named, or the current folder's.

use std::path::{Path, PathBuf};

use emulator::folders::{ConfigFile, UsualConfigFile};

use crate::arguments::ConfigArguments;
use crate::failure::Failure;
use crate::output::tell;
use crate::render::style::CAUTION;
use crate::render::text::{paint, printable};

/// The config file that a command is about. Says so where there are two that could be.
pub(super) fn of(config: ConfigArguments) -> Result<PathBuf, Failure> {
    if let Some(named) = config.config_file {
        return Ok(named);
    }
    let UsualConfigFile { path, passed_over } =
        ConfigFile::usual(Path::new("")).map_err(emulator::Error::from)?;
    if let Some(other) = passed_over {
        tell(&two_of_them(&path, &other));
    }
    Ok(path)
}

fn two_of_them(used: &Path, other: &Path) -> String {
    let [used, other] = [used, other].map(|path| printable(&path.display().to_string()));
    format!(
        "{} using {used}. {other} is another project; use it with --config-file {other}.\n",
        paint(CAUTION, "warning:")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_files_the_used_one_is_named() {
        let text = two_of_them(
            Path::new("hexclave.config.ts"),
            Path::new("stack.config.ts"),
        );
        assert!(text.contains("using hexclave.config.ts."), "{text}");
        assert!(text.ends_with("--config-file stack.config.ts.\n"), "{text}");
    }

    #[test]
    fn a_named_file_is_taken_as_it_is() {
        let named = ConfigArguments {
            config_file: Some("x.ts".into()),
        };
        assert_eq!(of(named).unwrap(), Path::new("x.ts"));
    }
}
