//! Where the checkout, the build output and the user's cache are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The root of the checkout this program was built from.
pub(crate) fn root() -> Result<PathBuf> {
    // Cargo sets the variable for `cargo xtask`; the fallback is for a binary run by hand.
    let xtask = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = xtask.parent().map(Path::to_owned).unwrap_or(xtask);
    ensure!(
        root.join("guest/image/recipe.toml").is_file(),
        "{} is not a checkout of Stack Emulator any more; run `cargo xtask` inside one",
        root.display()
    );
    Ok(root)
}

/// Cargo's output folder.
pub(crate) fn target_dir(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Our folder in the user's cache.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME holds an absolute path; set one of them")?;
    Ok(base.join("stack-emulator"))
}
