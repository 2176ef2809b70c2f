//! A start's dealings with a keychain that fails at each point, and after.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use progress::Silent;

/// Keeps the warnings.
#[derive(Default)]
struct Recording(std::sync::Mutex<Vec<String>>);

impl Reporter for Recording {
    fn report(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

/// A store that answers a number of questions and then fails in its way.
struct Scripted {
    kind: StoreKind,
    inner: RuntimeFile,
    answers: Arc<AtomicUsize>,
    failure: Failure,
}

#[derive(Clone, Copy)]
enum Failure {
    Locked,
    Hangs,
}

impl Scripted {
    fn admit(&self) -> Result<(), StoreError> {
        let left = self
            .answers
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match (left, self.failure) {
            (Ok(_), _) => Ok(()),
            (Err(_), Failure::Locked) => Err(StoreError::Locked {
                kind: self.kind,
                source: KeychainError::NoStorageAccess("no prompt".into()),
            }),
            (Err(_), Failure::Hangs) => loop {
                std::thread::park();
            },
        }
    }
}

impl SecretStore for Scripted {
    fn kind(&self) -> StoreKind {
        self.kind
    }
    fn check(&self) -> Result<(), StoreError> {
        self.admit()
    }
    fn load(&self, slot: Slot) -> Result<Option<SecretSet>, StoreError> {
        self.admit()?;
        self.inner.load(slot)
    }
    fn save(&self, slot: Slot, set: &SecretSet) -> Result<(), StoreError> {
        self.admit()?;
        self.inner.save(slot, set)
    }
    fn forget(&self, slot: Slot) -> Result<(), StoreError> {
        self.admit()?;
        self.inner.forget(slot)
    }
}

/// A keychain that fails after `answers` questions, and a file to fall back on.
fn places(dir: &Path, answers: usize, failure: Failure) -> Vec<Candidate> {
    let (keychain, file) = (dir.join("keychain"), dir.join("file"));
    for folder in [&keychain, &file] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let kind = StoreKind::Keychain;
    vec![
        Candidate {
            // Long enough for a busy machine's file system, where it answers.
            limits: Limits {
                first: Duration::from_secs(2),
                further: Duration::from_secs(2),
            },
            ..Candidate::new(kind, move || {
                Ok(Box::new(Scripted {
                    kind,
                    inner: RuntimeFile::new(&keychain),
                    answers: Arc::new(AtomicUsize::new(answers)),
                    failure,
                }))
            })
        },
        Candidate::new(StoreKind::RuntimeFile, move || {
            Ok(Box::new(RuntimeFile::new(&file)))
        }),
    ]
}

/// `candidates` for the instance whose record is at `record`.
fn at(record: &Path, candidates: Vec<Candidate>) -> Places {
    Places {
        record: record.to_owned(),
        owner: None,
        candidates,
    }
}

/// What a start does with its values.
async fn start(vault: &Vault) -> SecretSet {
    start_telling(vault, &Silent).await
}

async fn start_telling(vault: &Vault, reporter: &dyn Reporter) -> SecretSet {
    let set = SecretSet::generate().unwrap();
    vault.known(reporter).await.unwrap();
    vault.save(Slot::Pending, &set, reporter).await.unwrap();
    vault.promote(&set, reporter).await.unwrap();
    set
}

#[tokio::test]
async fn a_start_says_once_that_its_values_are_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    for (skipped, locked) in [(0, true), (1, false)] {
        let record = dir.path().join("secrets.json");
        let places = places(dir.path(), 0, Failure::Locked);
        let places = places.into_iter().skip(skipped).collect();
        let said = Recording::default();
        start_telling(&Vault::best(at(&record, places)).unwrap(), &said).await;
        let said = said.0.into_inner().unwrap();
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].contains("keychain is locked"), locked, "{said:?}");
        assert!(
            said[0].contains(StoreKind::RuntimeFile.describe()),
            "{said:?}"
        );
    }
    // A keychain that works is nothing to speak of.
    let record = dir.path().join("other.json");
    let places = places(dir.path(), 99, Failure::Locked);
    let said = Recording::default();
    start_telling(&Vault::best(at(&record, places)).unwrap(), &said).await;
    assert!(said.0.into_inner().unwrap().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn no_secret_goes_to_a_folder_on_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, shared) = (dir.path().join("run/a1b2"), dir.path().join("shm"));
    std::fs::create_dir(&shared).unwrap();
    let chosen = |memory: &[&Path]| in_memory(&folder, &shared, |path| memory.contains(&path));
    assert_eq!(chosen(&[&folder, &shared]).unwrap(), folder);
    let other = chosen(&[&shared]).unwrap();
    assert!(other.starts_with(&shared) && other.ends_with("a1b2") && other.is_dir());
    let error = chosen(&[]).unwrap_err();
    assert!(matches!(error, VaultError::OnDisk { .. }), "{error:?}");
    let variable = crate::config::variables::RUNTIME_FOLDER;
    let remedy = failure::Remedy::UnlockKeychainOrUseMemory { variable };
    assert_eq!(error.remedy(), Some(remedy));
    assert!(!folder.exists(), "nothing is made there either");
}

#[tokio::test]
async fn an_examination_tells_of_a_keychain_that_would_not_take_values() {
    let dir = tempfile::tempdir().unwrap();
    let examined = async |answers, skipped| {
        let places = places(dir.path(), answers, Failure::Locked);
        let places = places.into_iter().skip(skipped).collect();
        examine(at(&dir.path().join("secrets.json"), places)).await
    };
    let found = examined(99, 0).await.unwrap();
    assert_eq!(found.store, StoreKind::Keychain);
    assert!(found.keychain.is_none(), "{found:?}");
    for (answers, skipped) in [(0, 0), (1, 0), (0, 1)] {
        let found = examined(answers, skipped).await.unwrap();
        assert_eq!(found.store, StoreKind::RuntimeFile);
        let remedy = found.keychain.as_ref().and_then(VaultError::remedy);
        let told = (skipped == 0).then_some(failure::Remedy::UnlockKeychain);
        assert_eq!(remedy, told, "{found:?}");
    }
}

#[tokio::test]
async fn wherever_it_fails_the_values_are_found_again() {
    let cases = [
        (Failure::Locked, 0..6),
        // Each of these waits for a limit.
        (Failure::Hangs, 2..4),
    ];
    for (failure, counts) in cases {
        for answers in counts {
            let dir = tempfile::tempdir().unwrap();
            let record = dir.path().join("secrets.json");
            let vault = Vault::best(at(&record, places(dir.path(), answers, failure))).unwrap();
            let set = start(&vault).await;
            // The one command after it finds a keychain that works.
            let all = places(dir.path(), usize::MAX, failure);
            let again = Vault::recorded(at(&record, all)).unwrap().unwrap();
            assert_eq!(again.load(Slot::Current).await.unwrap(), Some(set));
            let place = recorded(&record).unwrap().unwrap();
            assert_eq!(
                place.store == StoreKind::Keychain,
                answers >= 4,
                "{place:?}"
            );
            assert_eq!(place.warning().is_some(), answers < 4, "{place:?}");
        }
    }
}

#[tokio::test]
async fn a_keychain_that_works_again_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("secrets.json");
    for (answers, kind) in [(0, StoreKind::RuntimeFile), (9, StoreKind::Keychain)] {
        let places = places(dir.path(), answers, Failure::Locked);
        let vault = Vault::best(at(&record, places)).unwrap();
        start(&vault).await;
        assert_eq!(recorded(&record).unwrap().unwrap().store, kind);
    }
}

#[tokio::test]
async fn the_last_values_are_known_wherever_they_are_and_go_with_the_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("secrets.json");
    let places = |answers| places(dir.path(), answers, Failure::Locked);
    let old = start(&Vault::best(at(&record, places(0))).unwrap()).await;
    let vault = Vault::best(at(&record, places(9))).unwrap();
    assert_eq!(vault.known(&Silent).await.unwrap(), [old]);
    start(&vault).await;
    let left = std::fs::read_dir(dir.path().join("file")).unwrap().count();
    assert_eq!(left, 0, "the fallback is empty again");
}

#[tokio::test]
async fn what_is_forgotten_is_gone_with_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("secrets.json");
    let places = || places(dir.path(), 99, Failure::Locked);
    start(&Vault::best(at(&record, places())).unwrap()).await;
    let vault = Vault::recorded(at(&record, places())).unwrap().unwrap();
    vault.forget(&Silent).await.unwrap();
    assert!(!record.exists());
    let left = std::fs::read_dir(dir.path().join("keychain")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn without_a_record_there_are_no_values() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("secrets.json");
    let places = places(dir.path(), 9, Failure::Locked);
    assert!(Vault::recorded(at(&record, places)).unwrap().is_none());
}

#[tokio::test]
async fn the_last_place_s_error_is_the_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut places = places(dir.path(), 0, Failure::Locked);
    places.truncate(1);
    let vault = Vault::best(at(&dir.path().join("secrets.json"), places)).unwrap();
    let set = SecretSet::placeholders();
    let error = vault.save(Slot::Pending, &set, &Silent).await.unwrap_err();
    assert!(
        matches!(error, VaultError::Place(StoreError::Locked { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn values_are_their_folder_s_wherever_it_is_and_no_copy_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let (home, copy) = (dir.path().join("home"), dir.path().join("copy"));
    let instance = InstanceName::default();
    let folder = |home: &Path| home.join("instances/default");
    std::fs::create_dir_all(folder(&home)).unwrap();
    let owner = |home: &Path| {
        let record = folder(home).join("secrets.json");
        let places = Places::of(record, home, &instance, Path::new("/nonexistent")).unwrap();
        places.owner.unwrap()
    };
    let first = owner(&home);
    let place = Place {
        store: StoreKind::Keychain,
        instead_of_keychain: None,
        owner: Some(first.clone()),
    };
    let record = folder(&home).join("secrets.json");
    record::write(&record, &place, Durability::ThisBoot).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&home, &copy])
        .status()
        .unwrap();
    assert!(copied.success());
    assert_ne!(owner(&copy).mark, first.mark);
    let moved = dir.path().join("moved");
    std::fs::rename(&home, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, dir.path().join("link")).unwrap();
    assert_eq!(owner(&moved), first);
    assert_eq!(owner(&dir.path().join("link")), first);
    // One that was stored by an earlier version is found where that has put it.
    let place = Place {
        owner: None,
        ..place
    };
    record::write(
        &folder(&moved).join("secrets.json"),
        &place,
        Durability::ThisBoot,
    )
    .unwrap();
    assert_eq!(owner(&moved).mark, super::super::mark_by_path(&moved));
}
