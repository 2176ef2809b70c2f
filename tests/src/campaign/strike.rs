//! Blows as they fall.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::check::{self, helpful, succeeded_or_helped};
use super::damage::Damaged;
use super::deeds::{ARCHIVE, CLONE, Deed, Ground, Outcome};
use super::failure::{Failure, Fault};
use super::going::Going;
use super::life::{LIMIT, Life};
use super::plan::{Blow, Instant, Step, Victim, Way};
use super::report::Report;
use crate::processes;

/// Room for a session on a disk that is not to be full.
const ROOM_MIB: u64 = 4096;

/// Brings the home to where the blow falls. What a picture is taken of.
pub(super) fn ground(life: &mut Life, blow: &Blow) -> Result<(), Failure> {
    match blow {
        Blow::Kill { ground, deed, .. } | Blow::Freeze { ground, deed, .. } => {
            life.stand_on(*ground, *deed)
        }
        Blow::Damage { ground, .. } => life.stand_on(*ground, Deed::Status),
        Blow::Race { ground, deeds } => {
            let needs = deeds
                .iter()
                .map(|(deed, _)| *deed)
                .find(|deed| deed.needs_checkpoint());
            life.stand_on(*ground, needs.unwrap_or(Deed::Status))
        }
        Blow::Move { way, .. } => {
            let ground = match way {
                Way::CopyRunning | Way::MoveRunning | Way::LinkRunning => Ground::Running,
                Way::CopyStopped | Way::MoveStopped => Ground::Kept,
            };
            life.stand_on(ground, Deed::Status)
        }
        Blow::Disk { .. } => life.stand_on(Ground::Kept, Deed::Status),
    }
}

/// Strikes, and looks at what has to hold.
pub(super) fn strike(life: &mut Life, step: &Step, report: &mut Report) -> Result<(), Failure> {
    let index = step.index;
    match &step.blow {
        Blow::Kill {
            ground,
            deed,
            victim,
            instant,
        } => {
            kill(
                life,
                (*ground, *deed),
                *victim,
                *instant,
                step.writing,
                report,
            )?;
            check::after(life, deed.outcome(), None, index, report)?;
            aftermath(life, *deed)
        }
        Blow::Freeze {
            ground,
            deed,
            victim,
            instant,
            ms,
        } => {
            let still = Duration::from_millis(*ms);
            freeze(
                life,
                (*ground, *deed),
                *victim,
                *instant,
                still,
                index,
                report,
            )?;
            check::after(life, deed.outcome(), None, index, report)?;
            aftermath(life, *deed)
        }
        Blow::Race { deeds, .. } => {
            let outcome = race(life, deeds)?;
            check::after(life, outcome, None, index, report)?;
            clone_is_whole(life)
        }
        Blow::Damage { ground, file, harm } => {
            let damaged = Damaged::strike(life, file, *harm);
            if *ground == Ground::Running {
                check::status(life, index, report)?;
                let run = life.run(Deed::Stop)?;
                succeeded_or_helped("a stop", &run)?;
                if let Some(said) = helpful(&run) {
                    let said = said.replace(&life.world.user_home().display().to_string(), "~");
                    report.refused(format!("stop, {file} {harm:?}: {said}"));
                }
            }
            check::after(life, damaged.outcome(), Some(&damaged), index, report)
        }
        Blow::Move { way, deed } => {
            let outcome = go_elsewhere(life, *way, *deed, index, report)?;
            check::after(life, outcome, None, index, report)
        }
        Blow::Disk { deed, free_mib } => full_disk(life, *deed, *free_mib, index, report),
    }
}

/// Waits for the instant; whether the command still works then.
fn comes(going: &mut Going, instant: Instant, usual: Duration) -> bool {
    match instant {
        Instant::Moment(moment) => going.reaches(moment, LIMIT),
        Instant::Part(part) => going.lasts(usual * u32::try_from(part).unwrap_or(100) / 100),
    }
}

fn kill(
    life: &mut Life,
    (ground, deed): (Ground, Deed),
    victim: Victim,
    instant: Instant,
    writing: bool,
    report: &mut Report,
) -> Result<(), Failure> {
    let usual = report.usual(deed, ground);
    if let Some(ahead) = deed.ahead() {
        // It is the user's setting.
        life.ahead = ahead;
    }
    let writes = writing && ground == Ground::Running && deed.outcome() == Outcome::All;
    let writer = writes.then(|| life.write_on());
    let mut going = life.begin_deed(deed);
    let came = if victim == Victim::Behind {
        let run = life.ended(deed, going)?;
        succeeded_or_helped("a stop", &run)?;
        let Instant::Part(part) = instant else {
            unreachable!("it says nothing to us")
        };
        let usual = report.usual(Deed::WorkAhead, Ground::SetAside);
        let after = usual * u32::try_from(part).unwrap_or(100) / 100;
        // That is the blow, and no wait for anything.
        std::thread::sleep(after);
        let workers = life.workers();
        processes::kill_all(&workers);
        life.log.push(format!("killed {workers:?} after {after:?}"));
        !workers.is_empty()
    } else {
        let came = comes(&mut going, instant, usual);
        if matches!(victim, Victim::Qemu | Victim::Both) {
            for pid in life.qemus() {
                processes::kill(pid);
            }
        }
        if matches!(victim, Victim::Command | Victim::Both) {
            going.kill();
        }
        life.log.push(format!(
            "killed; it came to that: {came}; usual time {usual:?}"
        ));
        let run = life.ended(deed, going)?;
        if run.code.is_some() {
            succeeded_or_helped(&format!("{deed:?}"), &run)?;
        }
        if run.code == Some(0) && victim == Victim::Command {
            report.took(deed, ground, run.took);
        }
        came
    };
    if !came {
        report.missed();
    }
    if let Some(writer) = writer {
        writer.end(&mut life.rows);
    }
    Ok(())
}

fn freeze(
    life: &mut Life,
    (ground, deed): (Ground, Deed),
    victim: Victim,
    instant: Instant,
    still: Duration,
    index: u64,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut going = life.begin_deed(deed);
    if !comes(&mut going, instant, report.usual(deed, ground)) {
        report.missed();
    }
    let pids = match victim {
        Victim::Qemu => life.qemus(),
        _ => vec![going.pid()],
    };
    for pid in &pids {
        processes::stand_still(*pid, true);
    }
    let seen = check::status(life, index, report);
    // For as long as that, nothing moves.
    std::thread::sleep(still);
    for pid in &pids {
        processes::stand_still(*pid, false);
    }
    let run = life.ended(deed, going)?;
    seen?;
    succeeded_or_helped(&format!("{deed:?}"), &run)
}

fn race(life: &mut Life, deeds: &[(Deed, u64)]) -> Result<Outcome, Failure> {
    let mut in_order = deeds.to_vec();
    in_order.sort_by_key(|(_, after)| *after);
    let begun = std::time::Instant::now();
    let mut under_way = Vec::new();
    for (deed, after) in in_order {
        let left = Duration::from_millis(after).saturating_sub(begun.elapsed());
        std::thread::sleep(left);
        under_way.push((deed, life.begin_deed(deed)));
    }
    let mut outcome = Outcome::All;
    let mut failed = Ok(());
    for (deed, going) in under_way {
        let run = life.ended(deed, going)?;
        outcome = outcome.and(deed.outcome());
        let is_fine = match deed {
            // It says by its code that nothing runs.
            Deed::Status => Life::state(&run).is_some(),
            // Whatever needs the machine ends it by a signal, whenever that comes.
            Deed::WorkAhead => run.code.is_none(),
            _ => false,
        };
        if !is_fine && let Err(failure) = succeeded_or_helped(&format!("{deed:?}"), &run) {
            failed = Err(failure);
        }
    }
    failed?;
    Ok(outcome)
}

/// What a command works on besides the instance is whole, and the next one of its kind leaves nothing behind.
fn aftermath(life: &mut Life, deed: Deed) -> Result<(), Failure> {
    match deed {
        Deed::Credentials | Deed::AddUser | Deed::Diagnostics => {
            let text = fs::read_to_string(life.world.user_home().join(super::deeds::ENV_FILE));
            let text = text.unwrap_or_default();
            let variables = text.lines().filter(|line| line.contains('=')).count();
            if !text.starts_with("MINE=1\n") || !text.ends_with('\n') {
                return Err(Failure::new(
                    Fault::Lost,
                    format!("of the .env file, {variables} variables are left: {text:?}"),
                ));
            }
            let again = life.run(deed)?;
            succeeded_or_helped("the same again", &again)?;
        }
        Deed::Archive => {
            life.must(Deed::Stop)?;
            life.must(Deed::Archive)?;
            let archive = life.world.user_home().join(ARCHIVE);
            let tested = Command::new("zstd").args(["-tq"]).arg(&archive).status();
            if !tested.is_ok_and(|status| status.success()) {
                return Err(Failure::new(Fault::Lost, "the archive is not whole"));
            }
        }
        Deed::Clone | Deed::CloneSession | Deed::DeleteClone => return clone_is_whole(life),
        _ => return Ok(()),
    }
    let strays = super::left::strays(&life.files(), |path| path.starts_with("home/"));
    if strays.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Fault::Left, format!("files: {strays:?}")))
}

/// An instance is there whole, or not at all.
fn clone_is_whole(life: &mut Life) -> Result<(), Failure> {
    if !life.instance(CLONE).exists() {
        return Ok(());
    }
    let run = life.say(&["--instance", CLONE, "verify", "--json"])?;
    if run.code != Some(0) {
        return Err(Failure::new(
            Fault::Broken,
            format!("half a clone: {run:?}"),
        ));
    }
    life.must(Deed::DeleteClone).map(drop)
}

fn go_elsewhere(
    life: &mut Life,
    way: Way,
    deed: Deed,
    index: u64,
    report: &mut Report,
) -> Result<Outcome, Failure> {
    let home = life.world.emulator_home.clone();
    let other = home.with_file_name("other");
    let copies = matches!(way, Way::CopyRunning | Way::CopyStopped);
    if copies {
        let copied = Command::new("cp").arg("-a").args([&home, &other]).status();
        assert!(copied.expect("cp is there").success(), "the home is copied");
    } else {
        fs::rename(&home, &other).expect("the home is moved");
    }
    match way {
        Way::LinkRunning => {
            std::os::unix::fs::symlink(&other, &home).expect("a link");
        }
        _ => life.world.emulator_home.clone_from(&other),
    }
    check::status(life, index, report)?;
    let before = life.qemus();
    // Both have the same ports, so a start of a copy may be refused, and says so.
    let run = life.run(deed)?;
    if deed != Deed::Status {
        succeeded_or_helped(&format!("{deed:?}"), &run)?;
    }
    if !copies {
        // Its files are looked for where they were at first.
        if way == Way::LinkRunning {
            fs::remove_file(&home).expect("the link");
        }
        let outcome = deed.outcome();
        life.move_to(&home)?;
        return Ok(outcome);
    }
    if way == Way::CopyStopped {
        // It has all that the original has.
        check::after_in_a_copy(life, deed.outcome(), report)?;
    } else if let Some(killed) = before.iter().find(|pid| !life.qemus().contains(pid)) {
        return Err(Failure::new(
            Fault::Lost,
            format!("the original's QEMU {killed} was ended from a copy by {deed:?}: {run:?}"),
        ));
    }
    life.world.emulator_home = home;
    fs::remove_dir_all(&other).expect("the copy is removed");
    Ok(Outcome::All)
}

fn full_disk(
    life: &mut Life,
    deed: Deed,
    free_mib: u64,
    index: u64,
    report: &mut Report,
) -> Result<(), Failure> {
    let world = life.world.copy_to_small_disk(ROOM_MIB);
    let mut small = Life::of(world);
    small.rows = life.rows.clone();
    if deed != Deed::Start {
        small.must(Deed::Start)?;
        small.look_at_keys()?;
        small.add_rows(2)?;
    }
    let used = small.world.disk().used() >> 20;
    small.world.disk().resize(used + 1 + free_mib);
    let struck = (|| {
        let run = small.run(deed)?;
        succeeded_or_helped(&format!("{deed:?} on a full disk"), &run)?;
        check::status(&mut small, index, report)
    })();
    small.world.disk().resize(used + ROOM_MIB);
    let checked =
        struck.and_then(|_| check::after(&mut small, deed.outcome(), None, index, report));
    life.log.append(&mut small.log);
    checked
}
