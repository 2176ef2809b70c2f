//! The store on small images: what is kept, found, replaced and removed, and
//! what killed commands leave.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::github::Repo;
use crate::manifest::{
    CONTRACT, FORMAT, ImageFile, Manifest, Network, VERSION, published_services,
};
use crate::qcow2::create_overlay;

/// A folder with a store in it and images on their way there.
struct World {
    dir: tempfile::TempDir,
    store: Store,
}

/// An image that was fetched.
struct Disk {
    path: PathBuf,
    digest: Sha256Digest,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("images"));
        Self { dir, store }
    }

    /// A disk image whose content depends on `content` alone.
    fn disk(&self, content: &str) -> Disk {
        let folder = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        let path = folder.join(names::disk(Arch::Amd64));
        create_overlay(&path, Path::new("/none"), 1 << 20).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        // No backing file any more.
        bytes[8..20].fill(0);
        bytes.extend(content.as_bytes());
        fs::write(&path, &bytes).unwrap();
        Disk {
            path,
            digest: Sha256Digest::of(&bytes),
        }
    }

    fn add(&self, disk: &Disk, origin: &Origin) -> Result<Added, StoreError> {
        self.store.add(&incoming(disk, origin))
    }

    fn names(&self) -> Vec<String> {
        names_in(self.store.folder()).unwrap()
    }
}

fn incoming<'a>(disk: &'a Disk, origin: &'a Origin) -> Incoming<'a> {
    Incoming {
        disk: &disk.path,
        base_env: None,
        digest: disk.digest,
        verified: Verification::Release,
        arch: Arch::Amd64,
        origin,
    }
}

fn release(tag: &str, asset: u64) -> Origin {
    Origin::Release {
        repository: Repo::default(),
        tag: tag.to_owned(),
        branch: None,
        asset,
        updated_at: None,
        commit: None,
    }
}

fn manifest(disk: &Disk, arch: &str) -> Manifest {
    Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        contract: CONTRACT,
        name: "starter".to_owned(),
        payload_version: "1".to_owned(),
        arch: arch.to_owned(),
        image: ImageFile {
            file: names::disk(Arch::Amd64),
            sha256: disk.digest,
            bytes: fs::metadata(&disk.path).unwrap().len(),
            virtual_bytes: 1 << 20,
        },
        min_ram_mib: 512,
        ram_mib: None,
        min_vcpus: 1,
        services: published_services(),
        rotation_port: false,
        network: Network::Inside,
        inputs: vec![],
        packages: vec![],
    }
}

fn put_manifest(disk: &Disk, manifest: &Manifest) {
    let path = Manifest::path_beside(&disk.path);
    fs::write(path, serde_json::to_vec(manifest).unwrap()).unwrap();
}

fn tags(image: &Installed) -> Vec<&str> {
    let mut names: Vec<_> = image.references.iter().map(|r| r.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_image_is_there_with_all_that_came_along() {
    let world = World::new();
    let disk = world.disk("one");
    put_manifest(&disk, &manifest(&disk, "amd64"));
    let base_env = world.dir.path().join("base.env");
    fs::write(&base_env, "A=1\n").unwrap();
    let origin = release("t-1", 1);
    let added = world
        .store
        .add(&Incoming {
            base_env: Some(&base_env),
            ..incoming(&disk, &origin)
        })
        .unwrap();
    assert!(!added.known);
    let image = &added.image;
    assert_eq!(
        fs::read(&image.path).unwrap(),
        fs::read(&disk.path).unwrap()
    );
    assert!(crate::Image::open(&image.path).unwrap().manifest.is_some());
    let beside = image.path.with_extension("base.env");
    assert_eq!(fs::read_to_string(beside).unwrap(), "A=1\n");
    assert_eq!(world.store.digest_at(&image.path), Some(disk.digest));
    assert_eq!(tags(image), ["t-1"]);
    assert!(image.is_intact());
    let contents = world.store.contents().unwrap();
    assert_eq!(contents.images, std::slice::from_ref(image));
    // What was fetched is still there, should the caller be cut short.
    assert!(disk.path.exists());
}

#[test]
fn two_tags_of_one_image_take_the_space_once() {
    let world = World::new();
    let disk = world.disk("one");
    world.add(&disk, &release("t-1", 1)).unwrap();
    let before = world.store.contents().unwrap().images[0].bytes_on_disk;
    let again = world.disk("one");
    let added = world.add(&again, &release("t-2", 2)).unwrap();
    assert!(added.known);
    assert_eq!(tags(&added.image), ["t-1", "t-2"]);
    let images = world.store.contents().unwrap().images;
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].bytes_on_disk, before);
    assert_eq!(
        images[0].origin,
        release("t-1", 1),
        "where it came from first"
    );
}

#[test]
fn a_name_that_moves_on_leaves_the_image_it_stood_for() {
    let world = World::new();
    let (old, new) = (world.disk("old"), world.disk("new"));
    world.add(&old, &release("latest", 1)).unwrap();
    world.add(&new, &release("latest", 2)).unwrap();
    let old = world.store.get(old.digest).unwrap().unwrap();
    assert_eq!(tags(&old), [""; 0]);
    let new = world.store.get(new.digest).unwrap().unwrap();
    assert_eq!(tags(&new), ["latest"]);
    // Another repository's tag of that name is another name.
    let other = Origin::Release {
        repository: "hexclave/hexclave".parse().unwrap(),
        tag: "latest".to_owned(),
        branch: None,
        asset: 3,
        updated_at: None,
        commit: None,
    };
    world
        .store
        .name(&old, &other, Verification::Release)
        .unwrap();
    assert_eq!(
        tags(&world.store.get(new.digest).unwrap().unwrap()),
        ["latest"]
    );
}

#[test]
fn an_origin_is_recognised_unless_it_is_a_file() {
    let world = World::new();
    let disk = world.disk("one");
    let file = Origin::File {
        path: "/somewhere".into(),
    };
    world.add(&disk, &release("t-1", 1)).unwrap();
    world.add(&disk, &file).unwrap();
    let from = |origin: &Origin, arch| world.store.from_origin(origin, arch).unwrap();
    assert!(from(&release("t-1", 1), Arch::Amd64).is_some());
    assert!(from(&release("t-1", 2), Arch::Amd64).is_none());
    assert!(from(&release("t-1", 1), Arch::Arm64).is_none());
    assert!(from(&file, Arch::Amd64).is_none());
}

#[test]
fn what_is_not_fit_for_qemu_is_not_taken() {
    let world = World::new();
    let disk = world.disk("one");
    create_overlay(
        &world.dir.path().join("evil.qcow2"),
        Path::new("/etc/passwd"),
        1 << 20,
    )
    .unwrap();
    let evil = Disk {
        path: world.dir.path().join("evil.qcow2"),
        digest: disk.digest,
    };
    let refused = world.add(&evil, &release("t-1", 1)).unwrap_err();
    assert!(matches!(refused, StoreError::Image(_)), "{refused}");

    put_manifest(&disk, &manifest(&disk, "arm64"));
    let refused = world.add(&disk, &release("t-1", 1)).unwrap_err();
    assert!(
        matches!(refused, StoreError::Architecture { .. }),
        "{refused}"
    );

    let mut other = manifest(&disk, "amd64");
    other.image.sha256 = Sha256Digest::of(b"other");
    put_manifest(&disk, &other);
    let refused = world.add(&disk, &release("t-1", 1)).unwrap_err();
    assert!(
        matches!(refused, StoreError::OtherManifest { .. }),
        "{refused}"
    );
    assert_eq!(world.store.contents().unwrap(), Contents::default());
}

#[test]
fn a_damaged_image_is_replaced_by_getting_it_again() {
    let world = World::new();
    let disk = world.disk("one");
    let installed = world.add(&disk, &release("t-1", 1)).unwrap().image;
    // The disk image shares its content with what was fetched, so it is replaced.
    fs::remove_file(&installed.path).unwrap();
    fs::write(&installed.path, "junk").unwrap();
    assert!(!world.store.get(disk.digest).unwrap().unwrap().is_intact());
    let again = world.add(&disk, &release("t-1", 1)).unwrap();
    assert!(!again.known);
    assert!(again.image.is_intact());

    fs::write(installed.path.with_file_name("image.json"), "{}").unwrap();
    let contents = world.store.contents().unwrap();
    assert_eq!((contents.images.len(), contents.damaged.len()), (0, 1));
    assert!(contents.damaged[0].damage.contains("image.json"));
    world.add(&disk, &release("t-1", 1)).unwrap();
    let contents = world.store.contents().unwrap();
    assert_eq!((contents.images.len(), contents.damaged.len()), (1, 0));
}

#[test]
fn an_image_with_another_stamp_is_read_and_not_got_again() {
    let world = World::new();
    let disk = world.disk("one");
    let installed = world.add(&disk, &release("t-1", 1)).unwrap().image;
    let bytes = fs::read(&installed.path).unwrap();
    fs::remove_file(&installed.path).unwrap();
    fs::write(&installed.path, bytes).unwrap();
    let again = world.add(&disk, &release("t-1", 1)).unwrap();
    assert!(again.known);
    let stamp = FileStamp::of(&installed.path).unwrap();
    assert_eq!(
        again.image.stamp, stamp,
        "it need not be read a second time"
    );
}

#[test]
fn what_was_unverified_is_verified_by_a_release() {
    let world = World::new();
    let disk = world.disk("one");
    let file = Origin::File { path: "/f".into() };
    let unverified = Incoming {
        verified: Verification::Unverified,
        ..incoming(&disk, &file)
    };
    let first = world.store.add(&unverified).unwrap().image;
    assert_eq!(first.verified, Verification::Unverified);
    let second = world.add(&disk, &release("t-1", 1)).unwrap().image;
    assert_eq!(second.verified, Verification::Release);
    let third = world.store.add(&unverified).unwrap().image;
    assert_eq!(third.verified, Verification::Release);
}

#[test]
fn nothing_of_a_removed_image_is_left() {
    let world = World::new();
    let (one, two) = (world.disk("one"), world.disk("two"));
    world.add(&one, &release("t-1", 1)).unwrap();
    world.add(&two, &release("t-2", 2)).unwrap();
    assert!(world.store.remove(one.digest).unwrap() > 0);
    assert_eq!(world.store.remove(one.digest).unwrap(), 0);
    let contents = world.store.contents().unwrap();
    assert_eq!(contents.images.len(), 1);
    assert_eq!(tags(&contents.images[0]), ["t-2"]);
    assert_eq!(world.store.references().unwrap().len(), 1);
    assert_eq!(world.names().len(), 3, "{:?}", world.names());
}

#[test]
fn what_a_kill_left_is_removed_by_the_next_change() {
    let world = World::new();
    let (one, two) = (world.disk("one"), world.disk("two"));
    world.add(&one, &release("t-1", 1)).unwrap();
    let folder = world.store.folder();
    // Killed while adding, and while removing.
    fs::create_dir(folder.join(".adding-x")).unwrap();
    fs::write(folder.join(".adding-x/stack-emulator-amd64.qcow2"), "half").unwrap();
    fs::rename(
        world.store.image_folder(one.digest),
        folder.join(format!("{REMOVING}{}", one.digest)),
    )
    .unwrap();
    assert_eq!(world.store.contents().unwrap(), Contents::default());
    world.add(&two, &release("t-2", 2)).unwrap();
    assert!(
        world.names().iter().all(|name| !name.starts_with('.')),
        "{:?}",
        world.names()
    );
    assert_eq!(world.store.references().unwrap().len(), 1);
}

#[test]
fn a_use_is_remembered() {
    let world = World::new();
    let disk = world.disk("one");
    world.store.touch(disk.digest).unwrap();
    let image = world.add(&disk, &release("t-1", 1)).unwrap().image;
    assert_eq!(image.last_used_at_ms, None);
    world.store.touch(disk.digest).unwrap();
    let used = world.store.get(disk.digest).unwrap().unwrap();
    assert!(used.last_used_at_ms >= Some(used.added_at_ms));
    assert_eq!(used.last_needed_at_ms(), used.last_used_at_ms.unwrap());
}

#[test]
fn many_at_once_make_one_image() {
    let world = World::new();
    let disks: Vec<_> = (0..8).map(|_| world.disk("one")).collect();
    let known = std::thread::scope(|scope| {
        let threads: Vec<_> = (0u64..)
            .zip(&disks)
            .map(|(number, disk)| {
                let world = &world;
                scope.spawn(move || {
                    world
                        .add(disk, &release(&format!("t-{number}"), number))
                        .unwrap()
                        .known
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(known.iter().filter(|known| !**known).count(), 1);
    let images = world.store.contents().unwrap().images;
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].references.len(), 8);
}

#[test]
fn a_path_is_recognised_in_another_spelling() {
    let world = World::new();
    let disk = world.disk("one");
    let image = world.add(&disk, &release("t-1", 1)).unwrap().image;
    let link = world.dir.path().join("link");
    std::os::unix::fs::symlink(world.store.folder(), &link).unwrap();
    let below = image.path.strip_prefix(world.store.folder()).unwrap();
    assert_eq!(world.store.digest_at(&link.join(below)), Some(disk.digest));
    assert_eq!(world.store.digest_at(&disk.path), None);
    assert_eq!(world.store.digest_at(Path::new("/")), None);
}

#[test]
fn an_image_is_found_by_name_and_by_digest() {
    let world = World::new();
    let (one, two) = (world.disk("one"), world.disk("two"));
    world.add(&one, &release("t-1", 1)).unwrap();
    world.add(&two, &release("t-2", 2)).unwrap();
    let images = world.store.contents().unwrap().images;
    let found = |name: &str| find(&images, name, Arch::Amd64).map(|image| image.digest);
    assert_eq!(found("t-1"), Ok(one.digest));
    assert_eq!(found(&two.digest.to_string()), Ok(two.digest));
    assert_eq!(found(&two.digest.short()), Ok(two.digest));
    assert_eq!(found(&format!("sha256:{}", two.digest)), Ok(two.digest));
    for unknown in ["", "t", "t-3", "sha256:", &two.digest.to_string()[..3]] {
        assert_eq!(found(unknown), Err(NameError::Unknown(unknown.to_owned())));
    }
}

/// Images as a store could list them, with digests that begin alike.
fn any_images() -> impl Strategy<Value = Vec<Installed>> {
    let image = (
        0u8..2,
        0u8..4,
        any::<bool>(),
        prop::collection::vec(0u8..3, 0..3),
    );
    prop::collection::vec(image, 0..5).prop_map(|images| {
        let mut listed = Vec::new();
        for (number, (first, second, amd64, names)) in (0u8..).zip(images) {
            let mut bytes = [first; 32];
            bytes[16] = second;
            bytes[31] = number;
            let digest = Sha256Digest::from(bytes);
            let arch = if amd64 { Arch::Amd64 } else { Arch::Arm64 };
            let reference = |name: u8| Reference {
                name: format!("t-{name}"),
                arch,
                digest,
                origin: release(&format!("t-{name}"), 1),
                verified: Verification::Release,
                updated_at_ms: 0,
            };
            listed.push(Installed {
                digest,
                arch,
                path: PathBuf::new(),
                bytes: 0,
                bytes_on_disk: 0,
                origin: release("first", 0),
                verified: Verification::Release,
                needs_outside: true,
                references: names.into_iter().map(reference).collect(),
                added_at_ms: 0,
                last_used_at_ms: None,
                stamp: FileStamp {
                    device: 0,
                    inode: 0,
                    bytes: 0,
                    modified_ns: 0,
                },
            });
        }
        listed
    })
}

proptest! {
    #[test]
    fn a_whole_digest_means_one_image_and_a_part_of_it_no_other(
        images in any_images(), digits in 0usize..=64,
    ) {
        for image in &images {
            let text = image.digest.to_string();
            prop_assert_eq!(find(&images, &text, Arch::Amd64), Ok(image));
            let part = &text[..digits];
            match find(&images, part, Arch::Amd64) {
                Ok(found) => prop_assert_eq!(found.digest, image.digest),
                Err(NameError::Ambiguous { candidates, .. }) => {
                    prop_assert!(candidates.len() > 1 && candidates.contains(&image.digest));
                }
                Err(NameError::Unknown(_)) => prop_assert!(digits < 4),
            }
        }
    }

    #[test]
    fn a_name_means_an_image_that_has_it(images in any_images(), name in 0u8..4, amd64: bool) {
        let name = format!("t-{name}");
        let arch = if amd64 { Arch::Amd64 } else { Arch::Arm64 };
        let having: Vec<_> = images.iter().filter(|i| i.references.iter().any(|r| r.name == name)).collect();
        match find(&images, &name, arch) {
            Ok(found) => {
                prop_assert!(having.iter().any(|image| image.digest == found.digest));
                prop_assert!(found.arch == arch || having.iter().all(|image| image.arch != arch));
            }
            Err(NameError::Ambiguous { candidates, .. }) => prop_assert!(candidates.len() > 1),
            Err(NameError::Unknown(_)) => prop_assert!(having.is_empty()),
        }
    }

    #[test]
    fn no_text_makes_finding_panic(images in any_images(), name: String) {
        let _ = find(&images, &name, Arch::Amd64);
    }
}
