//! One home with its user: commands that are given, rows that are confirmed, keys that were in force.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::api::Api;
use super::deeds::{CHECKPOINT, CLONE, CONFIG, Deed, ENV_FILE, Ground, Made};
use super::failure::{Failure, Fault};
use super::going::Going;
use super::rows::Rows;
use crate::{PLACEHOLDER_PCK, Run, World, image, processes};

/// No command takes longer, on a machine with other work.
pub(super) const LIMIT: Duration = Duration::from_secs(240);
/// Numbers of rows that somebody who writes without pause may use.
const MANY: u64 = 100_000;
/// Rows that a user makes on a ground.
const A_FEW: usize = 3;
/// Keys of former starts that are tried again.
const FORMER: usize = 4;

/// A home of a campaign.
pub(super) struct Life {
    pub(super) world: World,
    pub(super) rows: Rows,
    /// What was done in it, for people.
    pub(super) log: Vec<String>,
    /// The setting `ahead` of commands.
    pub(super) ahead: &'static str,
    pub(super) api: Api,
    /// Publishable keys that were in force, the last one at the end.
    former: Vec<String>,
    /// The secret server key, as of the last look.
    server_key: String,
}

impl Life {
    /// A home with a snapshot, never started.
    pub(super) fn begin() -> Self {
        Self::of(World::captured())
    }

    pub(super) fn of(mut world: World) -> Self {
        let user = world.user_home().to_owned();
        for name in ["run", "tmp", "app"] {
            fs::create_dir(user.join(name)).expect("a folder");
        }
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(user.join("run"), private).expect("it is ours");
        fs::write(user.join(CONFIG), "export const config = {};\n").expect("a file");
        fs::write(user.join(ENV_FILE), "MINE=1\n").expect("a file");
        world.set("XDG_RUNTIME_DIR", user.join("run").display().to_string());
        world.set("TMPDIR", user.join("tmp").display().to_string());
        Self {
            world,
            rows: Rows::default(),
            log: Vec::new(),
            ahead: "off",
            api: Api::new(),
            former: vec![PLACEHOLDER_PCK.to_owned()],
            server_key: String::new(),
        }
    }

    /// The command, not yet begun.
    pub(super) fn command(&self, deed: Deed) -> Command {
        let words = deed.words(self.world.user_home(), &image());
        let words = ["--json", "--verbose"]
            .map(Into::into)
            .into_iter()
            .chain(words);
        let mut command = self.world.command(words);
        command.env("STACK_EMULATOR_AHEAD", deed.ahead().unwrap_or(self.ahead));
        command
    }

    /// Begins the command.
    pub(super) fn begin_deed(&self, deed: Deed) -> Going {
        Going::begin(&mut self.command(deed))
    }

    /// Notes how a command ended; one that hangs is a failure.
    pub(super) fn ended(&mut self, deed: Deed, going: Going) -> Result<Run, Failure> {
        let ended = going.end(LIMIT);
        self.note(&format!("{deed:?}"), ended)
    }

    /// Gives the command and waits for it.
    pub(super) fn run(&mut self, deed: Deed) -> Result<Run, Failure> {
        let going = self.begin_deed(deed);
        self.ended(deed, going)
    }

    /// Runs other words of the command line; what they print is not noted.
    pub(super) fn say(&mut self, words: &[&str]) -> Result<Run, Failure> {
        let mut command = self.world.command(words);
        command.env("STACK_EMULATOR_AHEAD", self.ahead);
        match Going::begin(&mut command).end(LIMIT) {
            Ok(run) => {
                let code = run.code;
                self.log
                    .push(format!("{words:?}: {code:?}, {} ms", run.took.as_millis()));
                Ok(run)
            }
            hung => self.note(&format!("{words:?}"), hung),
        }
    }

    fn note(&mut self, what: &str, ended: Result<Run, super::going::Hang>) -> Result<Run, Failure> {
        match ended {
            Ok(run) => {
                self.log.push(format!(
                    "{what}: {:?}, {} ms\n  stdout: {}\n  stderr: {}",
                    run.code,
                    run.took.as_millis(),
                    run.stdout.trim_end(),
                    run.stderr.trim_end().replace('\n', "\n          ")
                ));
                Ok(run)
            }
            Err(super::going::Hang(seen)) => {
                let mut text = format!("{what}: {seen}");
                for pid in self.processes() {
                    text.push_str(&processes::dossier(pid));
                }
                self.log.push(text.clone());
                Err(Failure::new(Fault::Stuck, text))
            }
        }
    }

    /// Gives the command, which has to succeed.
    pub(super) fn must(&mut self, deed: Deed) -> Result<Run, Failure> {
        let run = self.run(deed)?;
        if run.code == Some(0) {
            return Ok(run);
        }
        Err(Failure::new(
            Fault::Broken,
            format!("{deed:?} fails: {}\n{}", run.stdout, run.stderr),
        ))
    }

    /// Every process that has this home in its environment.
    pub(super) fn processes(&self) -> Vec<u32> {
        self.world.processes()
    }

    /// Those of them that work behind a stop.
    pub(super) fn workers(&self) -> Vec<u32> {
        let mut pids = self.processes();
        pids.retain(|pid| processes::command_line(*pid).contains("work-ahead"));
        pids
    }

    /// Brings the home to the ground that a deed is done on.
    pub(super) fn stand_on(&mut self, ground: Ground, deed: Deed) -> Result<(), Failure> {
        self.ahead = "off";
        if ground == Ground::Clean && self.is_new() {
            if deed == Deed::Unarchive {
                self.must(Deed::Archive)?;
            }
            return Ok(());
        }
        self.must(Deed::Start)?;
        self.look_at_keys()?;
        if deed.needs_checkpoint() {
            self.clear(Made::Checkpoint)?;
            self.add_rows(A_FEW)?;
            self.must(Deed::Checkpoint)?;
            self.rows.keep();
        }
        if let Some(made) = deed.makes() {
            self.clear(made)?;
        }
        if deed == Deed::DeleteClone && !self.instance(CLONE).exists() {
            self.must(Deed::Clone)?;
        }
        self.add_rows(A_FEW)?;
        match ground {
            Ground::Running => {}
            Ground::Kept => {
                self.must(Deed::Stop)?;
            }
            Ground::Clean => {
                self.must(Deed::Discard)?;
                self.rows.forget();
                if deed == Deed::Unarchive {
                    self.must(Deed::Archive)?;
                }
            }
            Ground::Died => processes::kill_all(&self.qemus()),
            Ground::SetAside | Ground::Prepared | Ground::Standby => {
                let mut stop = self.begin_deed(Deed::StopBehind);
                let came = stop.reaches("End(Pause", LIMIT);
                stop.kill();
                self.ended(Deed::StopBehind, stop)?;
                if !came {
                    return Err(Failure::new(
                        Fault::Broken,
                        "a stop never set the machine aside",
                    ));
                }
                self.ahead = ground.ahead();
                if ground != Ground::SetAside {
                    let words = ["work-ahead", "--json"];
                    let run = self.say(&words)?;
                    if run.code != Some(0) {
                        return Err(Failure::new(Fault::Broken, format!("{words:?}: {run:?}")));
                    }
                }
            }
        }
        self.ahead = ground.ahead();
        Ok(())
    }

    fn is_new(&self) -> bool {
        !self.world.instance().join("session").exists()
            && !self.world.instance().join("run.json").exists()
    }

    /// Removes what can be made once.
    fn clear(&mut self, made: Made) -> Result<(), Failure> {
        let (path, deed) = match made {
            Made::Checkpoint => (
                self.instance("default")
                    .join("checkpoints")
                    .join(CHECKPOINT),
                Deed::DeleteCheckpoint,
            ),
            Made::Clone => (self.instance(CLONE), Deed::DeleteClone),
        };
        if path.exists() {
            self.must(deed)?;
        }
        Ok(())
    }

    /// The folder of the instance called `name`.
    pub(super) fn instance(&self, name: &str) -> PathBuf {
        self.world.emulator_home.join("instances").join(name)
    }

    /// Makes rows; each has to be confirmed.
    pub(super) fn add_rows(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            let row = self.rows.send();
            self.api
                .add(&self.server_key, row)
                .map_err(|why| Failure::new(Fault::Broken, format!("a row is refused: {why}")))?;
            self.rows.confirm(row);
        }
        Ok(())
    }

    /// Begins to make rows without pause.
    pub(super) fn write_on(&mut self) -> Writer {
        let first = self.rows.send_many(MANY);
        let (api, key) = (self.api.clone(), self.server_key.clone());
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let thread = std::thread::spawn(move || {
            let mut confirmed = BTreeSet::new();
            for row in first..first + MANY {
                if told.load(Ordering::Relaxed) || api.add(&key, row).is_err() {
                    break;
                }
                confirmed.insert(row);
            }
            confirmed
        });
        Writer { enough, thread }
    }

    /// The keys in the store are the guest's, and those before are not.
    pub(super) fn look_at_keys(&mut self) -> Result<(), Failure> {
        let key = self.secret("pck")?;
        self.server_key = self.secret("ssk")?;
        let wrong = |text: String| Err(Failure::new(Fault::Wrong, text));
        match self.api.client_key(&key) {
            Ok(200) => {}
            said => {
                return wrong(format!(
                    "the publishable key in the store is not the guest's: {said:?}"
                ));
            }
        }
        self.former.retain(|former| *former != key);
        for former in self.former.iter().rev().take(FORMER) {
            match self.api.client_key(former) {
                Ok(401) => {}
                said => return wrong(format!("a key of before is not refused: {said:?}")),
            }
        }
        self.former.push(key);
        Ok(())
    }

    /// The rows that the backend has; the server key in the store is for that.
    pub(super) fn seen_rows(&mut self) -> Result<BTreeSet<u64>, Failure> {
        self.api.list(&self.server_key).map_err(|why| {
            Failure::new(
                Fault::Wrong,
                format!("the rows cannot be read with the server key in the store: {why}"),
            )
        })
    }

    /// The same without a verdict.
    pub(super) fn look_at_rows(&self) -> Result<BTreeSet<u64>, String> {
        self.api.list(&self.server_key)
    }

    /// Random values that the backend draws for tests of that.
    pub(super) fn random_values(&self) -> Result<Vec<String>, Failure> {
        let said = self.api.random_values(&self.server_key);
        said.map_err(|why| Failure::new(Fault::Broken, why))
    }

    /// The ID of a new user.
    pub(super) fn user_id(&mut self) -> Result<String, Failure> {
        let row = self.rows.send();
        let id = self.api.add(&self.server_key, row);
        id.map_err(|why| Failure::new(Fault::Broken, why))
    }

    /// Ends it as a user who has had enough: whatever has happened, that works.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        let run = self.run(Deed::Discard)?;
        super::check::succeeded_or_helped("the last discard", &run)
    }

    pub(super) fn secret(&mut self, name: &str) -> Result<String, Failure> {
        let run = self.say(&["secrets", "show", name])?;
        if run.code == Some(0) {
            return Ok(run.stdout.trim().to_owned());
        }
        Err(Failure::new(
            Fault::Wrong,
            format!("the store has no {name}: {run:?}"),
        ))
    }

    /// The state that `status` tells.
    pub(super) fn state(run: &Run) -> Option<Value> {
        serde_json::from_str::<Value>(&run.stdout)
            .ok()
            .filter(|status| status["state"].is_string())
    }

    /// Puts the home, wherever it is, at `place`.
    pub(super) fn move_to(&mut self, place: &Path) -> Result<(), Failure> {
        fs::rename(&self.world.emulator_home, place)
            .or_else(|error| {
                // A link led there.
                let other = place.with_file_name("other");
                fs::rename(other, place).map_err(|_| error)
            })
            .map_err(|error| Failure::new(Fault::Panic, format!("the home is lost: {error}")))?;
        place.clone_into(&mut self.world.emulator_home);
        Ok(())
    }

    /// Copies what is small, and lists the rest, so that somebody can look at it later.
    pub(super) fn picture(&self, into: &Path) {
        copy_small(self.world.user_home(), into);
    }

    /// Where this process finds the files of the user's home.
    pub(super) fn files(&self) -> PathBuf {
        self.world.seen(self.world.user_home())
    }

    /// The QEMU processes of this home, wherever it was when they began.
    pub(super) fn qemus(&self) -> Vec<u32> {
        let mut pids = self.processes();
        pids.retain(|pid| processes::command_line(*pid).contains("qemu-system"));
        pids
    }
}

/// What is not copied for somebody to look at later.
const LARGE: u64 = 64 << 20;

/// Copies files that are not large, and links; what goes meanwhile is not copied.
fn copy_small(from: &Path, into: &Path) {
    fs::create_dir_all(into).ok();
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let (path, copy) = (entry.path(), into.join(entry.file_name()));
        let Ok(meta) = entry.metadata() else {
            continue;
        };
        if meta.is_dir() {
            copy_small(&path, &copy);
        } else if meta.is_symlink() {
            if let Ok(target) = fs::read_link(&path) {
                std::os::unix::fs::symlink(target, &copy).ok();
            }
        } else if meta.is_file() && meta.len() < LARGE {
            fs::copy(&path, &copy).ok();
        } else {
            let copy = copy.with_extension("not-copied");
            fs::write(copy, format!("{meta:?}\n")).ok();
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        processes::kill_all(&self.processes());
    }
}

/// Somebody who makes rows until told that it is enough, or until one is not confirmed.
pub(super) struct Writer {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<u64>>,
}

impl Writer {
    /// The rows that were confirmed.
    pub(super) fn end(self, rows: &mut Rows) {
        self.enough.store(true, Ordering::Relaxed);
        for row in self.thread.join().expect("it only writes") {
            rows.confirm(row);
        }
    }
}
