//! What a user, a program or a disk does to a file of a home.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::deeds::Outcome;
use super::harm::Harm;
use super::life::Life;

/// A file that was spoilt, and what it was before.
pub(super) struct Damaged {
    pub(super) file: &'static str,
    pub(super) harm: Harm,
    /// Each with the copy that is kept of it, if it was there.
    places: Vec<(PathBuf, Option<PathBuf>)>,
}

impl Damaged {
    /// Spoils a file of the instance `default`.
    pub(super) fn strike(life: &Life, file: &'static str, harm: Harm) -> Self {
        let mut damaged = Self {
            file,
            harm,
            places: Vec::new(),
        };
        let path = damaged.keep(life, file);
        match harm {
            Harm::Cut(part) => cut(&path, part),
            Harm::Flip(part) => flip(&path, part),
            Harm::FlipUnnoticed(part) => {
                let time = fs::metadata(&path).and_then(|meta| meta.modified());
                flip(&path, part);
                if let (Ok(time), Ok(file)) = (time, File::options().write(true).open(&path)) {
                    file.set_modified(time).expect("its time is set");
                }
            }
            Harm::Exchange(other) => {
                let other = damaged.keep(life, other);
                let beside = life.world.user_home().join("beside");
                if path.exists() && other.exists() {
                    fs::rename(&path, &beside).expect("the first");
                    fs::rename(&other, &path).expect("the second");
                    fs::rename(&beside, &other).expect("the first again");
                }
            }
            Harm::Append => append(&path),
            Harm::Remove => remove(&path),
            Harm::Dangling => put(&path, |path| symlink("/nonexistent/file", path)),
            Harm::Link => {
                let elsewhere = life.world.user_home().join("elsewhere");
                if path.exists() && fs::rename(&path, &elsewhere).is_ok() {
                    symlink(&elsewhere, &path).expect("a link");
                }
            }
            Harm::Fifo => put(&path, |path| {
                Command::new("mkfifo").arg(path).status().map(drop)
            }),
            Harm::Folder => put(&path, |path| fs::create_dir(path)),
            Harm::Device => put(&path, |path| {
                let made = Command::new("mknod")
                    .arg(path)
                    .args(["c", "1", "3"])
                    .stderr(std::process::Stdio::null())
                    .status()?;
                // Not everybody may make one.
                if made.success() {
                    Ok(())
                } else {
                    symlink("/dev/null", path)
                }
            }),
        }
        damaged
    }

    /// Keeps a copy of a file; where it is.
    fn keep(&mut self, life: &Life, file: &str) -> PathBuf {
        let instance = life.world.instance();
        let path = match file.strip_prefix("@/") {
            Some(name) => life.world.snapshot().join(name),
            None => instance.join(file),
        };
        let copy = life
            .world
            .user_home()
            .join(format!("kept-{}", self.places.len()));
        let there = fs::symlink_metadata(&path).is_ok();
        if there {
            copy_all(&path, &copy);
            // Other homes have the memory of the same snapshot.
            if path.is_file() {
                let own = path.with_extension("own");
                copy_all(&path, &own);
                fs::rename(own, &path).expect("a file of its own");
            }
        }
        self.places.push((path.clone(), there.then_some(copy)));
        path
    }

    /// Whether a path of the user's home is at, or below, what was spoilt.
    pub(super) fn is_about(&self, path: &str) -> bool {
        self.places.iter().any(|(place, _)| {
            let place = place.display().to_string();
            let below = path.split('/').scan(String::new(), |so_far, name| {
                so_far.push('/');
                so_far.push_str(name);
                Some(so_far.clone())
            });
            below.into_iter().any(|part| place.ends_with(&part))
        })
    }

    /// Puts back what there was.
    pub(super) fn repair(&self) {
        for (path, kept) in &self.places {
            remove(path);
            if let Some(kept) = kept {
                copy_all(kept, path);
            }
        }
    }

    /// What it may cost. Damage beside the session's disk costs nothing; to the disk itself, or to what it lies
    /// on, it has to be told.
    pub(super) fn outcome(&self) -> Outcome {
        let files = [
            Some(self.file),
            match self.harm {
                Harm::Exchange(other) => Some(other),
                _ => None,
            },
        ];
        let costs = |file: &str| {
            matches!(
                file,
                "session" | "snapshots" | "session/disk.qcow2" | "@/disk.qcow2"
            ) || (file == "ahead/session/disk.qcow2" && matches!(self.harm, Harm::FlipUnnoticed(_)))
        };
        if files.into_iter().flatten().any(costs) {
            Outcome::AnyIfTold
        } else {
            Outcome::All
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .args([from, to])
        .status();
    assert!(copied.expect("cp is there").success());
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).expect("it is removed"),
        Ok(_) => fs::remove_file(path).expect("it is removed"),
        Err(_) => {}
    }
}

/// Puts something else in its place.
fn put(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) {
    remove(path);
    make(path).expect("it is made");
}

/// A file that can be changed; a new one with nothing of use in it, if there is none. A folder is left as it is.
fn open(path: &Path) -> Option<File> {
    if path.is_dir() {
        return None;
    }
    if !path.exists() {
        fs::write(path, "{}\n").ok()?;
    }
    File::options().read(true).write(true).open(path).ok()
}

fn cut(path: &Path, part: u64) {
    if let Some(file) = open(path) {
        let length = file.metadata().expect("its length").len();
        file.set_len(length * part / 100).expect("it is cut");
    }
}

fn append(path: &Path) {
    if let Some(file) = open(path) {
        let length = file.metadata().expect("its length").len();
        file.write_all_at(b"and more\n", length)
            .expect("it is written");
    }
}

/// Flips a bit of what has content: most of a memory file is holes.
fn flip(path: &Path, part: u64) {
    let Some(file) = open(path) else {
        return;
    };
    let length = file.metadata().expect("its length").len();
    if length == 0 {
        return;
    }
    let wanted = (length * part / 100).min(length - 1);
    let data = |from| rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(from));
    let at = data(wanted).or_else(|_| data(0)).unwrap_or(wanted);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x10], at)
        .expect("it is written");
}
