//! The base system: Debian packages on a bootable disk, before any payload.
//!
//! It depends on the payload only by its packages and the disk's size, so most
//! changes of a payload find it in the cache.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use images::manifest::Package;

use super::disk::{self, Layout, Parts};
use super::key::Inputs;
use super::recipe::{Platform, Recipe};
use super::{licences, tree};
use crate::command::{OnOurDeath, output_of, run_logged, tied, tied_with_children};

/// The raw disk in a base's folder.
pub(crate) const DISK: &str = "disk.raw";
const PACKAGES: &str = "packages.json";

/// Everything that decides what a base system is.
#[derive(Debug)]
pub(crate) struct Base<'a> {
    pub(crate) root: &'a Path,
    pub(crate) arch: &'a str,
    pub(crate) recipe: &'a Recipe,
    pub(crate) platform: &'a Platform,
    /// The payload's packages.
    pub(crate) extra_packages: &'a [String],
    pub(crate) virtual_bytes: u64,
}

impl Base<'_> {
    /// All inputs, for the key and the manifest.
    pub(crate) fn inputs(&self) -> Result<Inputs> {
        let mut inputs = Inputs::default();
        inputs.text("arch", self.arch);
        inputs.text("packages", self.packages().join("\n"));
        inputs.text("disk bytes", self.virtual_bytes.to_string());
        let folder = self.root.join("guest/image");
        for entry in tree::walk(&folder)? {
            let name = format!("guest/image/{}", entry.name);
            match &entry.kind {
                tree::Kind::Folder => {}
                // Used in the provisioning boot only.
                tree::Kind::File { .. } if entry.name == "provision" => {}
                tree::Kind::File { .. } | tree::Kind::Link { .. } => {
                    inputs.digest(name, tree::digest(&folder, &[entry])?);
                }
            }
        }
        inputs.text("xtask/src/image/base.rs", include_str!("base.rs"));
        inputs.text("xtask/src/image/disk.rs", include_str!("disk.rs"));
        Ok(inputs)
    }

    fn packages(&self) -> Vec<String> {
        let mut packages = self.recipe.packages.clone();
        packages.push(self.platform.kernel_package.clone());
        packages.extend_from_slice(self.extra_packages);
        packages.sort();
        packages.dedup();
        packages
    }

    /// Builds the base system into the folder `entry`, with `work` for what is needed meanwhile.
    ///
    /// Without root, what runs inside mmdebstrap's user namespace is another user than ours:
    /// `work` must be a place that everybody can reach.
    pub(crate) fn build(&self, entry: &Path, work: &Path) -> Result<()> {
        let layout = Layout {
            disk: self.virtual_bytes,
            boot: self.recipe.disk.boot_mib << 20,
        };
        let (recipe, out, scratch) = (work.join("recipe"), work.join("out"), work.join("tmp"));
        set_mode(work, 0o711)?;
        copy_recipe(&self.root.join("guest/image"), &recipe)?;
        for (folder, mode) in [(&out, 0o777), (&scratch, 0o1777)] {
            fs::create_dir(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            set_mode(folder, mode)?;
        }

        let mut command = tied_with_children("mmdebstrap");
        command
            .args(["--mode=unshare", "--variant=minbase", "--format=null"])
            .arg(format!("--architectures={}", self.arch))
            .arg(format!("--include={}", self.packages().join(",")))
            .arg(format!("--dpkgopt={}", recipe.join("dpkg.cfg").display()))
            // The hooks get their folders by the environment: no quoting to go wrong.
            .arg("--essential-hook=sh \"$STACK_RECIPE/hooks/essential\" \"$1\"")
            .arg("--customize-hook=sh \"$STACK_RECIPE/hooks/customize\" \"$1\"")
            .args([&self.recipe.suite, "/dev/null"])
            .env("TMPDIR", &scratch)
            .env("STACK_RECIPE", &recipe)
            .env("STACK_OUT", &out)
            .env("STACK_MODULES", self.recipe.initrd_modules.join(" "))
            .env("STACK_EFI_LOADER", &self.platform.efi_loader)
            .env("STACK_ROOT_MIB", layout.root_mib().to_string());
        run_logged(
            &mut command,
            "installing the base system with mmdebstrap",
            &work.join("mmdebstrap.log"),
        )?;

        let options = format!(
            "{} console={}",
            self.recipe.kernel_options.join(" "),
            self.platform.console
        );
        let parts = Parts {
            folder: &out,
            kernel_options: &options,
            platform: self.platform,
        };
        disk::write(&entry.join(DISK), layout, parts)?;

        let copyright = work.join("copyright");
        fs::create_dir(&copyright)
            .with_context(|| format!("cannot create {}", copyright.display()))?;
        let mut untar = tied("tar", OnOurDeath::Terminate);
        untar
            .arg("--extract")
            .arg("--directory")
            .arg(&copyright)
            .arg("--file")
            .arg(out.join("copyright.tar"));
        output_of(&mut untar, "unpacking the copyright files")?;
        let listing = fs::read_to_string(out.join("packages.tsv"))
            .context("cannot read the list of packages")?;
        let packages = licences::packages(&listing, &copyright)?;
        fs::write(entry.join(PACKAGES), serde_json::to_vec_pretty(&packages)?)
            .context("cannot write the list of packages")
    }
}

/// The packages of the base system in the folder `entry`.
pub(crate) fn packages(entry: &Path) -> Result<Vec<Package>> {
    let path = entry.join(PACKAGES);
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged; run again with --force", path.display()))
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot change the mode of {}", path.display()))
}

/// Copies the recipe to where the namespace's user can read it, which a home folder is not.
fn copy_recipe(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).with_context(|| format!("cannot create {}", to.display()))?;
    set_mode(to, 0o755)?;
    for entry in tree::walk(from)? {
        let (source, target) = (from.join(&entry.name), to.join(&entry.name));
        let mode = match entry.kind {
            tree::Kind::Folder => fs::create_dir(&target).map(|()| 0o755),
            tree::Kind::File { executable, .. } => {
                fs::copy(&source, &target).map(|_| if executable { 0o755 } else { 0o644 })
            }
            tree::Kind::Link { target: link } => {
                std::os::unix::fs::symlink(link, &target)
                    .with_context(|| format!("cannot create {}", target.display()))?;
                continue;
            }
        };
        let mode = mode
            .with_context(|| format!("cannot copy {} to {}", source.display(), target.display()))?;
        set_mode(&target, mode)?;
    }
    Ok(())
}
