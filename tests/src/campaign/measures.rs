//! One thing done many times, for figures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::deeds::Deed;
use super::failure::{Failure, Fault};
use super::life::Life;
use super::random::Random;
use crate::{desktop, services, small_disk};

/// What an emulator that nobody uses may grow by, in MiB, and still be called flat.
const FLAT_MIB: f64 = 24.0;
/// What a home may grow by in many starts, in MiB.
const HOME_MIB: u64 = 64;

fn told(result: Result<(), Failure>) -> bool {
    match result {
        Ok(()) => true,
        Err(failure) => {
            println!("FAILED: {failure}");
            false
        }
    }
}

/// Starts in a row, each after a stop or a discard as the seed has it.
pub fn starts(seed: u64, count: u64) -> bool {
    told(many_starts(seed, count))
}

fn many_starts(seed: u64, count: u64) -> Result<(), Failure> {
    let mut random = Random::of(seed, 0);
    let mut life = Life::begin();
    let mut took: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    let mut first_size = 0;
    for at in 0..count {
        let run = life.must(Deed::Start)?;
        life.log.clear();
        let started: Value = serde_json::from_str(&run.stdout)
            .map_err(|error| Failure::new(Fault::Wrong, error.to_string()))?;
        let kind = started["start"]["kind"].as_str().unwrap_or("?").to_owned();
        if kind == "cold" {
            return Err(Failure::new(
                Fault::Broken,
                format!("start {at} is cold: {started}"),
            ));
        }
        took.entry(kind).or_default().push(run.took);
        life.look_at_keys()?;
        let seen = life.seen_rows()?;
        life.rows
            .judge(&seen, super::deeds::Outcome::All, false)
            .map_err(|why| Failure::new(Fault::Lost, format!("start {at}: {why}")))?;
        life.add_rows(1)?;
        if random.chance(25) {
            life.must(Deed::Discard)?;
            life.rows.forget();
        } else {
            life.must(Deed::Stop)?;
        }
        if at == 9 {
            first_size = small_disk::length_of(&life.world.emulator_home) >> 20;
        }
        if at % 50 == 49 {
            eprintln!("{} starts", at + 1);
        }
    }
    for (kind, times) in &mut took {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 100].as_millis();
        println!(
            "{kind}: {} starts, median {} ms, 99 % within {} ms, at most {} ms",
            times.len(),
            at(50),
            at(99),
            at(100)
        );
    }
    life.must(Deed::Discard)?;
    let size = small_disk::length_of(&life.world.emulator_home) >> 20;
    println!("{count} starts: the home has {size} MiB, after ten it had {first_size} MiB");
    if count > 10 && size > first_size + HOME_MIB {
        return Err(Failure::new(Fault::Left, "the home grows"));
    }
    life.end()
}

/// Random values of the guest in resumes of one snapshot: none may come twice.
pub fn randomness(count: u64) -> bool {
    told(no_value_twice(count))
}

fn no_value_twice(count: u64) -> Result<(), Failure> {
    let mut life = Life::begin();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut repeated = 0;
    for at in 0..count {
        life.must(Deed::Start)?;
        life.log.clear();
        // First of all: what a guest draws right after it was resumed.
        let mut values = BTreeSet::new();
        let script = "cat /proc/sys/kernel/random/uuid; od -An -N16 -tx8 /dev/urandom; \
                      od -An -N16 -tx8 /dev/random; mktemp -u XXXXXXXXXXXXXXXX";
        let (_, said) = life.world.in_guest("/bin/sh", &["-c", script]);
        values.extend(said.lines().map(str::to_owned));
        life.look_at_keys()?;
        for name in ["pck", "ssk", "sak", "cron"] {
            values.insert(life.secret(name)?);
        }
        for _ in 0..3 {
            values.extend(life.random_values()?);
            values.insert(life.user_id()?);
        }
        for value in values {
            if let Some(before) = seen.insert(value, at) {
                repeated += 1;
                println!("a value of resume {before} came again in resume {at}");
            }
        }
        life.must(Deed::Discard)?;
    }
    println!(
        "{count} resumes, {} random values, {repeated} repeated",
        seen.len()
    );
    if repeated > 0 {
        return Err(Failure::new(Fault::Wrong, "random values come twice"));
    }
    life.end()
}

/// Memory and disk of an emulator that nobody uses, in MiB.
struct Use {
    resident: f64,
    guest: f64,
    disk: f64,
    logs: f64,
}

impl Use {
    fn of(life: &Life) -> Self {
        let pid = life.qemus().first().copied();
        let instance = life.world.instance();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let script = "sync; free -b | awk '/^Mem/ { print $3 }'";
        let (_, used) = life.world.in_guest("/bin/sh", &["-c", script]);
        Self {
            resident: mib(pid.map_or(0, desktop::resident_bytes)),
            guest: mib(used.trim().parse().unwrap_or(0)),
            disk: mib(small_disk::blocks_in(&instance.join("session"))),
            logs: mib(small_disk::blocks_in(&instance.join("logs"))),
        }
    }

    fn show(&self, when: &str) {
        println!(
            "{when}: QEMU's memory {:.1}, used in the guest {:.1}, session on disk {:.1}, logs {:.2} MiB",
            self.resident, self.guest, self.disk, self.logs
        );
    }
}

/// An emulator that nobody uses, before and after many requests to each of its services.
pub fn requests(count: u64) -> bool {
    told(many_requests(count))
}

fn many_requests(count: u64) -> Result<(), Failure> {
    let mut life = Life::begin();
    life.must(Deed::Start)?;
    life.look_at_keys()?;
    // What is made at first use is made by then.
    ask_all(&life, count / 2)?;
    settle();
    let before = Use::of(&life);
    before.show("before");
    let begun = Instant::now();
    ask_all(&life, count)?;
    let took = begun.elapsed();
    settle();
    let after = Use::of(&life);
    after.show("after");
    println!(
        "{count} requests to each service in {:.1} s",
        took.as_secs_f64()
    );
    let grown = [
        ("QEMU's memory", after.resident - before.resident),
        ("the guest's memory", after.guest - before.guest),
        ("the session's disk", after.disk - before.disk),
        ("the logs", after.logs - before.logs),
    ];
    for (what, mib) in grown {
        if mib > FLAT_MIB {
            return Err(Failure::new(
                Fault::Left,
                format!("{what} has grown by {mib:.1} MiB"),
            ));
        }
    }
    life.end()
}

/// What the guest does after requests, such as to write what it has noted, is to be over.
fn settle() {
    std::thread::sleep(Duration::from_secs(20));
}

fn ask_all(life: &Life, count: u64) -> Result<(), Failure> {
    for (service, port) in services::ports() {
        for at in 0..count {
            let path = service.path.as_deref().unwrap_or("/");
            let address = format!("http://127.0.0.1:{port}{path}");
            let status = life.api.get(&address).map_err(|error| {
                Failure::new(
                    Fault::Broken,
                    format!("request {at} to {}: {error}", service.id),
                )
            })?;
            if status >= 500 {
                return Err(Failure::new(
                    Fault::Broken,
                    format!("request {at} to {}: {status}", service.id),
                ));
            }
        }
    }
    for at in 0..count {
        life.look_at_rows()
            .map_err(|why| Failure::new(Fault::Broken, format!("list {at}: {why}")))?;
    }
    Ok(())
}
