//! `instances`: every instance of the home, seen without a lock.
//!
//! One that is damaged is listed with what is wrong, and keeps nobody from seeing the others.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::status::{Seen, State, paused_by};
use crate::config::paths::InstanceName;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::instance::here::InstanceFolder;
use crate::instance::lock::Holder;
pub use crate::machine::ports::ServicePort;
use crate::machine::run_record::RunRecord;
use crate::state::instance_record::InstanceRecord;
use failure::chain;

/// What `instances` reports.
#[derive(Clone, Debug, Serialize)]
pub struct InstanceList {
    /// The instances, in the order of their names.
    pub instances: Vec<InstanceEntry>,
    /// What all of them take on disk, in bytes; what several share is counted once.
    pub bytes_on_disk: u64,
}

/// One instance of the list.
#[derive(Clone, Debug, Serialize)]
pub struct InstanceEntry {
    /// Its name.
    pub name: InstanceName,
    /// The folder that it is the instance of; `null` if it is of none.
    pub folder: Option<InstanceFolder>,
    /// Whether this is the instance that the command acts on.
    pub selected: bool,
    /// What it is doing; `null` if that cannot be told.
    pub state: Option<State>,
    /// The command that is at work on it.
    pub busy: Option<Holder>,
    /// What the next start continues; `null` while a machine is there, or if nothing is kept.
    pub session: Option<KeptSession>,
    /// The services' host ports: of the machine, or else those that a start would take.
    pub ports: Vec<ServicePort>,
    /// The image that it uses; `null` if it never had one.
    pub image: Option<PathBuf>,
    /// The latest name of that image, if it was pulled.
    pub image_name: Option<String>,
    /// What it takes on disk, in bytes; holes take nothing.
    pub bytes_on_disk: u64,
    /// The part of this that other instances have as well, in bytes.
    pub shared_bytes: u64,
    /// What is wrong with its files.
    pub problem: Option<String>,
}

/// A session that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptSession {
    /// Memory and disk.
    Saved,
    /// The disk alone.
    DiskKept,
}

impl Emulator {
    /// Every instance of this home. Takes no lock.
    pub async fn instances(&self) -> Result<InstanceList, Error> {
        let emulators = self.every_instance()?;
        // A store that cannot be read says so where it is needed.
        let contents = self.home.image_store().contents().ok();
        let images = contents.map_or_else(Vec::new, |contents| contents.images);
        let mut asked = Vec::new();
        let mut entries = Vec::new();
        for emulator in &emulators {
            let (mut entry, record) = emulator.entry();
            entry.selected = emulator.name == self.name;
            let named = images
                .iter()
                .find(|image| entry.image.as_ref() == Some(&image.path));
            entry.image_name = named
                .and_then(|image| image.references.first())
                .map(|reference| reference.name.clone());
            if let Some(record) = record.filter(|_| entry.state == Some(State::Running)) {
                let paths = emulator.paths.main();
                let ask = async move {
                    let is_stopped = record.process.as_ref().is_some_and(|process| {
                        // What the system does not tell is found out by asking.
                        process.is_stopped().unwrap_or(false)
                    });
                    is_stopped || paused_by(&record, &paths).await.is_some()
                };
                asked.push((entries.len(), tokio::spawn(ask)));
            }
            entries.push(entry);
        }
        let roots: Vec<_> = emulators.iter().map(|other| other.paths.root()).collect();
        let space = Space::of(&roots);
        for (entry, (bytes_on_disk, shared_bytes)) in entries.iter_mut().zip(space.each) {
            (entry.bytes_on_disk, entry.shared_bytes) = (bytes_on_disk, shared_bytes);
        }
        for (index, answer) in asked {
            match answer.await {
                Ok(true) => entries[index].state = Some(State::Paused),
                Ok(false) => {}
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        Ok(InstanceList {
            instances: entries,
            bytes_on_disk: space.all,
        })
    }

    /// What its files tell; its run record too, if nobody is at work on it.
    fn entry(&self) -> (InstanceEntry, Option<RunRecord>) {
        let mut entry = InstanceEntry {
            name: self.name.clone(),
            folder: None,
            selected: false,
            state: None,
            busy: None,
            session: None,
            ports: Vec::new(),
            image: None,
            image_name: None,
            bytes_on_disk: 0,
            shared_bytes: 0,
            problem: None,
        };
        let mut record = None;
        match self.see() {
            Ok(Seen {
                glance,
                record: seen,
                ..
            }) => {
                entry.state = Some(glance.state);
                entry.busy = glance.busy;
                record = seen;
            }
            Err(error) => entry.problem = Some(chain(&error)),
        }
        match record::read_optional::<InstanceRecord>(&self.paths.instance_record()) {
            Ok(remembered) => {
                let remembered = remembered.unwrap_or_default();
                entry.folder = remembered.folder.map(InstanceFolder::of);
                entry.image = remembered.image.map(|image| self.home.path().join(image));
            }
            Err(error) => entry.problem = entry.problem.or_else(|| Some(chain(&error))),
        }
        let machine = record.as_ref().and_then(RunRecord::running);
        let endpoints = match machine {
            Some(vm) => vm.endpoints.clone(),
            // The reason is told already, or by the start.
            None => self.planned_endpoints().unwrap_or_default(),
        };
        entry.ports = endpoints.into_iter().map(ServicePort::from).collect();
        let session = self.paths.main().session();
        let stopped = matches!(entry.state, None | Some(State::Stopped | State::Died));
        // What cannot be looked at is not taken for nothing.
        if stopped && session.disk().try_exists().unwrap_or(true) {
            entry.session = Some(if session.saved().try_exists().unwrap_or(true) {
                KeptSession::Saved
            } else {
                KeptSession::DiskKept
            });
        }
        let record = record.filter(|_| entry.busy.is_none());
        (entry, record)
    }
}

/// What folders take on disk.
struct Space {
    /// Each folder's bytes, and the part of these that other folders have as well.
    each: Vec<(u64, u64)>,
    /// All of them, each file counted once.
    all: u64,
}

impl Space {
    fn of(folders: &[&Path]) -> Self {
        // By device and inode: files with several names, and the folders that have one.
        let mut linked: HashMap<(u64, u64), (u64, HashSet<usize>)> = HashMap::new();
        let mut each = vec![(0, 0); folders.len()];
        let mut all = 0;
        for (index, folder) in folders.iter().enumerate() {
            let mut left = vec![folder.to_path_buf()];
            while let Some(path) = left.pop() {
                // Gone in the meantime, or not ours to read.
                let Ok(meta) = std::fs::symlink_metadata(&path) else {
                    continue;
                };
                // POSIX leaves the unit open; on every system here it is 512 bytes.
                let bytes = meta.blocks() * 512;
                if meta.is_dir() {
                    let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
                    left.extend(entries.map(|entry| entry.path()));
                } else if meta.nlink() > 1 {
                    let file = linked.entry((meta.dev(), meta.ino())).or_default();
                    file.0 = bytes;
                    file.1.insert(index);
                    continue;
                }
                each[index].0 += bytes;
                all += bytes;
            }
        }
        for (bytes, owners) in linked.into_values() {
            all += bytes;
            for index in &owners {
                each[*index].0 += bytes;
                if owners.len() > 1 {
                    each[*index].1 += bytes;
                }
            }
        }
        Self { each, all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::variables::{HOME, Settings};
    use crate::instance::lock::Lock;
    use record::Durability;

    fn emulator(home: &Path, name: &str) -> Emulator {
        let settings = Settings::from_variables([(HOME.into(), home.into())]).unwrap();
        Emulator::new(settings, name.parse().unwrap(), None)
    }

    #[tokio::test]
    async fn a_home_without_instances_has_an_empty_list() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let list = emulator(&home, "default").instances().await.unwrap();
        assert!(list.instances.is_empty() && list.bytes_on_disk == 0);
        assert!(!home.exists(), "a look makes nothing");
    }

    #[tokio::test]
    async fn each_is_listed_with_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (
            emulator(dir.path(), "default"),
            emulator(dir.path(), "second"),
        );
        for emulator in [&one, &two] {
            std::fs::create_dir_all(emulator.paths.main().session().root()).unwrap();
        }
        let record = InstanceRecord {
            image: Some("images/an.qcow2".into()),
            port_offset: 40,
            folder: Some(dir.path().join("moved")),
            ..InstanceRecord::default()
        };
        record::write(&two.paths.instance_record(), &record, Durability::ThisBoot).unwrap();
        let (disk, saved) = (
            two.paths.main().session().disk(),
            two.paths.main().session().saved(),
        );
        std::fs::write(disk, vec![1; 100_000]).unwrap();
        std::fs::write(saved, "{}").unwrap();
        let _busy = Lock::try_acquire(&one.paths.main().lock(), "verify").unwrap();
        // On its way out, and nothing of ours.
        std::fs::create_dir(dir.path().join("instances/.gone")).unwrap();
        std::fs::write(dir.path().join("instances/readme"), "").unwrap();

        let list = two.instances().await.unwrap().instances;
        let names: Vec<_> = list.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["default", "second"]);
        let (one, two) = (&list[0], &list[1]);
        assert!(!one.selected && two.selected);
        assert_eq!(one.busy.as_ref().unwrap().command, "verify");
        assert_eq!((one.state, one.session), (Some(State::Stopped), None));
        assert_eq!(two.session, Some(KeptSession::Saved));
        assert_eq!((one.ports[0].port, two.ports[0].port), (26700, 26740));
        assert_eq!(one.folder, None);
        let folder = two.folder.as_ref().unwrap();
        assert_eq!(
            (&folder.path, folder.exists),
            (&dir.path().join("moved"), false)
        );
        assert_eq!(two.image, Some(dir.path().join("images/an.qcow2")));
        assert!(two.bytes_on_disk >= 100_000 && one.bytes_on_disk < 100_000);
        assert!(one.problem.is_none() && two.problem.is_none());
    }

    #[tokio::test]
    async fn one_that_is_damaged_does_not_hide_the_others() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["broken", "default", "half"] {
            std::fs::create_dir_all(emulator(dir.path(), name).paths.root()).unwrap();
        }
        let broken = emulator(dir.path(), "broken");
        std::fs::write(broken.paths.instance_record(), "{").unwrap();
        let half = emulator(dir.path(), "half");
        std::os::unix::fs::symlink("lock", half.paths.main().lock()).unwrap();
        let list = broken.instances().await.unwrap().instances;
        assert!(list[0].problem.as_ref().unwrap().contains("instance.json"));
        assert_eq!(list[1].problem, None);
        assert!(list[2].problem.as_ref().unwrap().contains("lock"));
        assert_eq!(list[2].state, None);
    }

    #[test]
    fn what_is_shared_is_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        for folder in [&one, &two] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(one.join("memory"), vec![1; 1 << 20]).unwrap();
        std::fs::hard_link(one.join("memory"), two.join("memory")).unwrap();
        std::fs::write(two.join("own"), vec![1; 1 << 20]).unwrap();
        let space = Space::of(&[&one, &two]);
        let [(first, first_shared), (second, second_shared)] = space.each[..] else {
            panic!("two folders");
        };
        assert_eq!((first_shared, second_shared), (1 << 20, 1 << 20));
        assert!(first < 3 << 19 && second >= 2 << 20, "{first} {second}");
        assert!((2 << 20..5 << 19).contains(&space.all), "{}", space.all);
    }
}
