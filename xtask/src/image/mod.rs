//! `cargo xtask image`: builds the guest image, or finds it in the cache.
//!
//! Two layers, each with a key over its inputs: the *base* (Debian packages on
//! a bootable disk) and the *image* (a base that installed a payload in one
//! boot). Nothing here needs root or a loop device.

mod base;
mod bundle;
mod cache;
mod disk;
mod key;
mod licences;
mod payload;
mod provision;
mod ranges;
mod recipe;
mod starter;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use images::manifest::{ImageFile, Service};
use images::sha256_file;
use tempfile::TempDir;

use base::Base;
use cache::{Cache, Shelf};
use key::Inputs;
use payload::Payload;
use provision::Boot;
use recipe::{Platform, Recipe};

use crate::command::output_of;
use crate::progress::step;
use crate::{setup, workspace};

const TASK: &str = "image";
/// Beside a built image: what its payload's `install` printed in the guest, the last 1000 lines of it.
const INSTALL_LOG: &str = "install.log";
/// Least memory of the provisioning boot: installing may need more than running.
const PROVISION_RAM_MIB: u32 = 2048;
/// Limit of the provisioning boot, and what each GiB of payload adds to it.
const PROVISION_LIMIT: Duration = Duration::from_secs(900);
const PROVISION_LIMIT_PER_GIB: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of another payload (see guest/PAYLOAD.md); the starter stack without it
    #[arg(long, value_name = "DIR")]
    payload: Option<PathBuf>,
    /// Architecture of the guest; this machine's without it
    #[arg(long, default_value_t = host_arch(), value_parser = ["amd64", "arm64"])]
    arch: String,
    /// Copy the image and its manifest into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Build again, base system included, for instance to take in Debian's updates
    #[arg(long)]
    force: bool,
    /// Longest provisioning boot, in seconds
    #[arg(long, value_name = "SECONDS")]
    provision_limit: Option<u64>,
}

impl Args {
    /// The image of `payload`, or of the starter stack, as the cache has it.
    pub(crate) fn of(payload: Option<PathBuf>) -> Self {
        Self {
            payload,
            arch: host_arch(),
            out: None,
            force: false,
            provision_limit: None,
        }
    }

    /// The same for guests of the architecture `arch`, `amd64` or `arm64`.
    pub(crate) fn for_arch(mut self, arch: &str) -> Self {
        arch.clone_into(&mut self.arch);
        self
    }

    /// Makes sure that this machine has what building and running it takes.
    pub(crate) fn set_up(&self) -> Result<()> {
        setup::ensure_for(&[setup::Need::Image], self.arch.parse()?)
    }

    /// The same, and a copy of it in `folder`.
    pub(crate) fn copied_to(mut self, folder: &Path) -> Self {
        self.out = Some(folder.to_owned());
        self
    }
}

/// The architecture whose guests this machine runs best.
fn host_arch() -> String {
    qemu::Arch::host().unwrap_or(qemu::Arch::Amd64).to_string()
}

/// An image that is there.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// `stack-emulator-<arch>.qcow2`; its manifest stands beside it.
    pub(crate) qcow2: PathBuf,
}

/// `cargo xtask image`: prints the image's path on standard output.
pub(crate) fn run(args: &Args) -> Result<()> {
    args.set_up()?;
    let built = ensure_built(args)?;
    println!("{}", built.qcow2.display());
    Ok(())
}

/// Makes sure that the image is there, building what is missing.
pub(crate) fn ensure_built(args: &Args) -> Result<Built> {
    let root = workspace::root()?;
    let recipe = Recipe::read(&root)?;
    let platform = recipe.platform(&args.arch)?;
    let cache_dir = workspace::cache_dir()?;
    let job = Job::describe(&root, &recipe, platform, args)?;
    let key = job.inputs.key();

    let found = if args.force {
        None
    } else {
        cache::find(&cache_dir, Shelf::Images, key)
    };
    let entry = match found {
        Some(entry) => entry,
        None => job.build(&Cache::lock(&cache_dir)?, args.force)?,
    };
    let name = image_name(&args.arch);
    match &args.out {
        None => Ok(Built {
            qcow2: entry.join(name),
        }),
        Some(out) => copy_out(&entry, out, &name),
    }
}

/// The services of the image that is built unless another payload is given.
pub(crate) fn default_services(root: &Path) -> Result<Vec<Service>> {
    Ok(payload::Manifest::read(&starter::folder(root))?.services())
}

fn image_name(arch: &str) -> String {
    format!("stack-emulator-{arch}.qcow2")
}

/// One build, described by its inputs before anything is built.
struct Job<'a> {
    root: &'a Path,
    recipe: &'a Recipe,
    platform: &'a Platform,
    args: &'a Args,
    /// The payload's manifest and size are known before the starter's programs are compiled.
    manifest: payload::Manifest,
    footprint: tree::Footprint,
    inputs: Inputs,
    base_inputs: Inputs,
}

impl<'a> Job<'a> {
    fn describe(
        root: &'a Path,
        recipe: &'a Recipe,
        platform: &'a Platform,
        args: &'a Args,
    ) -> Result<Self> {
        let mut inputs = Inputs::default();
        let folder;
        let (manifest, entries) = if let Some(given) = &args.payload {
            let payload = Payload::open(given)?;
            folder = payload.root;
            (payload.manifest, payload.entries)
        } else {
            folder = starter::folder(root);
            starter::add_inputs(root, &platform.rust_target, &mut inputs)?;
            (payload::Manifest::read(&folder)?, tree::walk(&folder)?)
        };
        inputs.digest("payload", tree::digest(&folder, &entries)?);
        for name in [
            "guest/image/provision",
            "cloud-init/user-data",
            "cloud-init/meta-data",
        ] {
            inputs.file(name, &root.join(name))?;
        }
        for (name, source) in [
            ("bundle.rs", include_str!("bundle.rs")),
            ("licences.rs", include_str!("licences.rs")),
            ("mod.rs", include_str!("mod.rs")),
            ("payload.rs", include_str!("payload.rs")),
            ("provision.rs", include_str!("provision.rs")),
            ("starter.rs", include_str!("starter.rs")),
        ] {
            inputs.text(format!("xtask/src/image/{name}"), source);
        }

        let mut job = Self {
            root,
            recipe,
            platform,
            args,
            manifest,
            footprint: tree::Footprint::of(&entries),
            inputs,
            base_inputs: Inputs::default(),
        };
        job.base_inputs = job.base().inputs()?;
        job.inputs.extend(&job.base_inputs);
        Ok(job)
    }

    fn base(&self) -> Base<'_> {
        Base {
            root: self.root,
            arch: &self.args.arch,
            recipe: self.recipe,
            platform: self.platform,
            extra_packages: &self.manifest.packages,
            virtual_bytes: self.recipe.disk.virtual_bytes(self.footprint),
        }
    }

    fn build(&self, cache: &Cache, force: bool) -> Result<PathBuf> {
        let key = self.inputs.key();
        // Another process may have built it while we waited for the lock.
        if !force && let Some(entry) = cache.find(Shelf::Images, key) {
            return Ok(entry);
        }
        let started = Instant::now();
        let base = self.find_or_build_base(cache, force)?;
        let work = work_folder(cache)?;
        let payload = if let Some(folder) = &self.args.payload {
            Payload::open(folder)?
        } else {
            let folder = work.path().join("payload");
            fs::create_dir(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            step(TASK, "guest programs", || {
                starter::assemble(self.root, self.platform, &folder)
            })?;
            Payload::open(&folder)?
        };

        let entry = cache.begin(Shelf::Images)?;
        let (seed, bundle) = (work.path().join("seed.iso"), work.path().join("bundle.iso"));
        step(TASK, "payload disk", || {
            bundle::write_seed(self.root, &seed)?;
            bundle::write_payload(self.root, &payload, &bundle, work.path())
        })?;
        let overlay = work.path().join("overlay.qcow2");
        create_overlay(&base.join(base::DISK), &overlay)?;
        let boot = Boot {
            platform: self.platform,
            disk: &overlay,
            seed: &seed,
            bundle: &bundle,
            ram_mib: self.manifest.min_ram_mib.max(PROVISION_RAM_MIB),
            console_log: &cache.provision_log(),
            limit: self.provision_limit(),
        };
        let said = step(TASK, "provisioning boot", || boot.run())?;
        let log = entry.path().join(INSTALL_LOG);
        fs::write(&log, said).with_context(|| format!("cannot write {}", log.display()))?;

        let qcow2 = entry.path().join(image_name(&self.args.arch));
        step(TASK, "compression", || compress(&overlay, &qcow2))?;
        self.write_manifest(&base, &qcow2)?;
        let place = cache.commit(Shelf::Images, key, entry)?;
        cache.prune_bases(&base)?;
        let megabytes = fs::metadata(place.join(image_name(&self.args.arch)))?.len() / 1_000_000;
        eprintln!(
            "{TASK}: ready, {megabytes} MB, {:.1} s in all; what `install` printed: {}",
            started.elapsed().as_secs_f64(),
            place.join(INSTALL_LOG).display()
        );
        Ok(place)
    }

    fn find_or_build_base(&self, cache: &Cache, force: bool) -> Result<PathBuf> {
        let key = self.base_inputs.key();
        if !force && let Some(entry) = cache.find(Shelf::Bases, key) {
            return Ok(entry);
        }
        ranges::check()?;
        let entry = cache.begin(Shelf::Bases)?;
        let work = work_folder(cache)?;
        step(TASK, "base system from Debian packages", || {
            self.base().build(entry.path(), work.path())
        })?;
        cache.commit(Shelf::Bases, key, entry)
    }

    fn provision_limit(&self) -> Duration {
        let gib = u32::try_from(self.footprint.bytes >> 30).unwrap_or(u32::MAX);
        let default = PROVISION_LIMIT.saturating_add(PROVISION_LIMIT_PER_GIB.saturating_mul(gib));
        self.args
            .provision_limit
            .map_or(default, Duration::from_secs)
    }

    fn write_manifest(&self, base: &Path, qcow2: &Path) -> Result<()> {
        let name = image_name(&self.args.arch);
        let image = ImageFile {
            sha256: sha256_file(qcow2)
                .with_context(|| format!("cannot read {}", qcow2.display()))?,
            bytes: fs::metadata(qcow2)
                .with_context(|| format!("cannot read {}", qcow2.display()))?
                .len(),
            virtual_bytes: self.base().virtual_bytes,
            file: name,
        };
        let mut manifest = self.manifest.describe(&self.args.arch, image);
        manifest.inputs = self.inputs.list();
        manifest.packages = base::packages(base)?;
        if let Some(problem) = manifest.problem() {
            anyhow::bail!("the image's manifest would be unusable: {problem}");
        }
        let path = qcow2.with_extension("json");
        let mut text = serde_json::to_vec_pretty(&manifest)?;
        text.push(b'\n');
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A folder for what is only needed while building, where every user can reach it and where there
/// is room: /tmp is often in memory. What a killed build left there goes first.
fn work_folder(cache: &Cache) -> Result<TempDir> {
    let parent =
        std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let prefix = format!("stack-emulator-image-{}-", cache.id());
    for item in
        fs::read_dir(&parent).with_context(|| format!("cannot list {}", parent.display()))?
    {
        let item = item.with_context(|| format!("cannot list {}", parent.display()))?;
        if item.file_name().to_string_lossy().starts_with(&prefix)
            && let Err(error) = fs::remove_dir_all(item.path())
        {
            eprintln!(
                "{TASK}: what an interrupted build left in {} cannot be removed: {error}",
                item.path().display()
            );
        }
    }
    tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(&parent)
        .with_context(|| {
            format!(
                "cannot create a folder in {}; set TMPDIR to another one",
                parent.display()
            )
        })
}

fn create_overlay(backing: &Path, overlay: &Path) -> Result<()> {
    let mut command = Command::new("qemu-img");
    command
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .arg(backing)
        .arg(overlay);
    output_of(&mut command, "creating the disk's overlay").map(drop)
}

fn compress(overlay: &Path, qcow2: &Path) -> Result<()> {
    let mut command = crate::command::tied("qemu-img", crate::command::OnOurDeath::Kill);
    command.args([
        "convert",
        "-q",
        "-c",
        "-W",
        "-m",
        "8",
        "-O",
        "qcow2",
        "-o",
        "compression_type=zstd",
    ]);
    output_of(command.arg(overlay).arg(qcow2), "compressing the image").map(drop)
}

/// Copies image and manifest, each complete or not at all, the manifest last.
fn copy_out(entry: &Path, out: &Path, name: &str) -> Result<Built> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let qcow2 = out.join(name);
    for (from, to) in [
        (entry.join(name), qcow2.clone()),
        (
            entry.join(name).with_extension("json"),
            qcow2.with_extension("json"),
        ),
    ] {
        let copy = || -> std::io::Result<()> {
            let temporary = tempfile::Builder::new()
                .prefix(".stack-emulator-")
                .tempfile_in(out)?;
            fs::copy(&from, temporary.path())?;
            temporary.as_file().sync_all()?;
            temporary.persist(&to)?;
            Ok(())
        };
        copy().with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    ensure!(qcow2.is_file(), "{} is gone already", qcow2.display());
    Ok(Built { qcow2 })
}
