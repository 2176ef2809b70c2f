//! What the process does that works ahead: it finishes the last stop, and prepares the next start.

use std::path::Path;
use std::time::Duration;

use host::ProcessIdentity;
use host::priority::Until;
use progress::{Event, Phase, PhaseTime, Reporter, Stopwatch};
use record::Durability;
use serde::Serialize;

use super::WorkerRecord;
use super::begin::{clear, clear_unless_standby};
use super::make::Source;
use super::policy::{self, Idle, Situation, Work};
use crate::config::identity::FolderIdentity;
use crate::config::paths::SlotName;
use crate::config::preferences::Ahead;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::instance::lock::Lock;
use crate::instance::put_away::{Connected, PutAway};
use crate::machine::run_record::Purpose;
use crate::machine::slot::{Recorded, Slot, live_processes, recorded};
use crate::machine::spec::MachineSpec;
use crate::state::prepared::{self, PreparedFrom};
use crate::state::session::{self, Base, SavedRecord};
use crate::state::snapshot::{Found, Snapshot, SnapshotOnDisk};

/// The longest that it may take: what never comes to an end must not keep a machine busy.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// What became of the work.
#[derive(Clone, Debug, Serialize)]
pub struct AheadReport {
    /// True if the next start is prepared.
    pub prepared: bool,
    /// Why it is not; `null` if it is.
    pub reason: Option<String>,
    /// Milliseconds.
    pub total_ms: f64,
    /// The phases, in order.
    pub phases: Vec<PhaseTime>,
}

/// How the work went.
enum Outcome {
    /// The next start is prepared.
    Prepared,
    /// It is not, for this reason.
    Idle(String),
}

impl Emulator {
    /// Does the work of the next start, unless there is none or somebody is at work on the instance.
    /// To be called by a process of its own, which others may kill at any point.
    pub async fn work_ahead(&self, reporter: &dyn Reporter) -> Result<AheadReport, Error> {
        let mut watch = Stopwatch::new(reporter);
        let idle = |watch: &Stopwatch<'_>, reason: String| AheadReport {
            prepared: false,
            reason: Some(reason),
            total_ms: watch.total_ms(),
            phases: watch.times(),
        };
        // Begun by a stop, it may come after a deletion, and must not make the instance's folder again.
        if !self.paths.root().is_dir() {
            return Ok(idle(&watch, "the instance is gone".to_owned()));
        }
        let slot = Slot::open(self.paths.slot(SlotName::Ahead))?;
        let Some(_lock) = Lock::try_acquire(&slot.paths.lock(), "work ahead")? else {
            return Ok(idle(
                &watch,
                "another process works ahead already".to_owned(),
            ));
        };
        let until = match self.settings.ahead {
            // The machine that it leaves standing by is not to be slow for that.
            Ahead::Memory => Until::Restored,
            Ahead::Disk | Ahead::Off => Until::End,
        };
        if let Err(error) = host::priority::step_back(until) {
            tracing::debug!(%error, "the priority stays");
        }
        // Before the look at the instance's lock: who takes that after the look finds this.
        let Some(process) = ProcessIdentity::of(std::process::id())? else {
            return Ok(idle(&watch, "this process is not to be found".to_owned()));
        };
        record::write(
            &slot.paths.worker(),
            &WorkerRecord {
                process,
                folder: FolderIdentity::of(slot.paths.root()).ok(),
            },
            Durability::ThisBoot,
        )?;
        let outcome = Box::pin(self.finish_and_prepare(&slot, &mut watch)).await;
        clear_unless_standby(&slot.paths).await?;
        Ok(match outcome? {
            Outcome::Prepared => AheadReport {
                prepared: true,
                reason: None,
                total_ms: watch.total_ms(),
                phases: watch.times(),
            },
            Outcome::Idle(reason) => idle(&watch, reason),
        })
    }

    /// Saves the machine that a stop has set aside, prepares the next start, and only then ends that
    /// machine: until then a start has it go on.
    async fn finish_and_prepare(
        &self,
        slot: &Slot,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Outcome, Error> {
        let main = Slot::open(self.paths.main())?;
        let lock = main.paths.lock();
        let busy = Lock::holder(&lock).map_err(Error::file("look at", &lock))?;
        if busy.is_some() {
            return Ok(Outcome::Idle(Idle::InUse.to_string()));
        }
        let record = match recorded(&main.paths)? {
            Recorded::Nothing => None,
            Recorded::Ours(record) => Some(*record),
            Recorded::Foreign(_) | Recorded::Damaged(_) => {
                return Ok(Outcome::Idle(Idle::InUse.to_string()));
            }
        };
        let Some(record) = record else {
            return self.prepare_within_limit(slot, watch).await;
        };
        let Purpose::SetAside(vm) = &record.purpose else {
            return Ok(Outcome::Idle(Idle::InUse.to_string()));
        };
        if live_processes(&main.paths, &record)?.is_empty() {
            main.forget()?;
            return self.prepare_within_limit(slot, watch).await;
        }
        let machine = match PutAway::connect(self, &main, &record, vm, watch).await? {
            Connected::Reached(machine) => machine,
            Connected::Ended(Some(reason)) => return Ok(Outcome::Idle(reason)),
            Connected::Ended(None) => return self.prepare_within_limit(slot, watch).await,
        };
        if let Some(reason) = machine.secure(watch).await? {
            return Ok(Outcome::Idle(reason));
        }
        let outcome = self.prepare_within_limit(slot, watch).await;
        machine.end(watch).await?;
        outcome
    }

    async fn prepare_within_limit(
        &self,
        slot: &Slot,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Outcome, Error> {
        let prepare = Box::pin(self.prepare_next(slot, watch));
        if let Ok(outcome) = tokio::time::timeout(LIMIT, prepare).await {
            return outcome;
        }
        let minutes = LIMIT.as_secs() / 60;
        let reason = format!("it was not done within {minutes} minutes");
        Ok(Outcome::Idle(reason))
    }

    /// Prepares the next start, if that is worth it.
    async fn prepare_next(&self, slot: &Slot, watch: &mut Stopwatch<'_>) -> Result<Outcome, Error> {
        let prepare = async { Ok::<_, Error>(self.prepare().await?.spec) };
        let spec = watch.phase(Phase::Prepare, prepare).await?;
        let (situation, base, found) = self.situation(&spec)?;
        let work = match policy::worth(&situation) {
            Ok(work) => work,
            Err(idle) => return Ok(Outcome::Idle(idle.to_string())),
        };
        let Some(source) = self.source(work, &spec, base, found)? else {
            return Ok(Outcome::Idle(Idle::NothingSaved.to_string()));
        };
        let place = slot.paths.session();
        if let prepared::PreparedOnDisk::Ready(_) =
            prepared::look(&place, &source.from, &spec.fingerprint, &spec.boot_id)
        {
            return Ok(Outcome::Prepared);
        }
        self.remove_aside()?;
        self.drop_prepared(watch.reporter()).await?;
        self.prepare_machine(slot, &spec, &source, watch).await?;
        if policy::stands_by(&situation)
            && let Err(error) = self.stand_by(slot, &spec, &source, watch).await
        {
            // What is prepared on the disk is as good as it was.
            let text = format!("No machine stands by: {}.", failure::chain(&error));
            watch.reporter().report(Event::Warning(&text));
            clear(&slot.paths).await?;
        }
        Ok(Outcome::Prepared)
    }

    /// The input of the policy, and the session and the snapshot that it was read from.
    fn situation(&self, spec: &MachineSpec) -> Result<(Situation, Option<Base>, Found), Error> {
        let main = self.paths.main();
        let base = Base::of(&self.home, &self.name)?;
        let session = session::look(
            &main.session(),
            base.as_ref(),
            &spec.fingerprint,
            &spec.boot_id,
        );
        let found = Snapshot::current(&self.paths);
        let snapshot = match &found {
            Found::None => SnapshotOnDisk::None,
            Found::Damaged(damage) => SnapshotOnDisk::Damaged(damage.clone()),
            Found::Whole(snapshot) => match snapshot.mismatches(&spec.fingerprint) {
                none if none.is_empty() => SnapshotOnDisk::Ready,
                mismatches => SnapshotOnDisk::Mismatched(mismatches),
            },
        };
        let memory = u64::from(spec.fingerprint.ram_mib) << 20;
        let situation = Situation {
            setting: self.settings.ahead,
            no_rotation: self.settings.no_rotation,
            on_battery: host::power::on_battery(),
            session,
            snapshot,
            unused: self.ahead_history().unused,
            memory_free: host::memory::available(),
            memory_needed: memory,
            disk_free: self.home.free_bytes().ok(),
            disk_needed: stored_bytes(&main.session().disk()).saturating_add(memory),
        };
        Ok((situation, base, found))
    }

    /// What the machine is made from; `None` if it is not there.
    fn source(
        &self,
        work: Work,
        spec: &MachineSpec,
        base: Option<Base>,
        found: Found,
    ) -> Result<Option<Source>, Error> {
        Ok(match (work, found) {
            (Work::Session, _) => {
                let saved: SavedRecord = record::read(&self.paths.main().session().saved())?;
                if saved.is_mapped() {
                    // Of a restore that was cut short, or of a clone that was not started yet.
                    return Ok(None);
                }
                let under = base.and_then(|base| base.snapshot);
                Some(Source {
                    from: PreparedFrom::session(&saved),
                    backing: under
                        .map(|id| self.paths.snapshot(&id).disk())
                        .into_iter()
                        .chain([spec.image.path.clone()])
                        .collect(),
                    snapshot: None,
                })
            }
            (Work::Snapshot, Found::Whole(snapshot)) => Some(Source {
                from: PreparedFrom::Snapshot {
                    id: snapshot.manifest.id.clone(),
                },
                backing: vec![snapshot.paths.disk(), spec.image.path.clone()],
                snapshot: Some(*snapshot),
            }),
            (Work::Snapshot, Found::None | Found::Damaged(_)) => None,
        })
    }
}

/// Bytes that a file takes, or none.
fn stored_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().map_or(0, |meta| meta.blocks() * 512)
}
