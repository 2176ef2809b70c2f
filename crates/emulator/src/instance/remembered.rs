//! What an instance remembers between runs, also where that record is damaged:
//! nearly all of it can be found out again.

use super::shared::SharedLock;
use crate::config::paths::InstanceName;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::machine::ports;
use crate::state::instance_record::InstanceRecord;
use crate::state::session::{Base, backing};
use crate::state::snapshot::Snapshot;
use failure::chain;
use images::manifest::Service;
use progress::{Event, Reporter};
use record::{self, Durability, RecordError};

/// Distance between the ports of one instance and the next.
const PORT_STRIDE: u16 = 20;
/// Instances that get ports of their own; further ones need the variables.
const MOST_INSTANCES: u16 = 100;

impl Emulator {
    /// What the instance remembers; a new one's first port offset.
    pub(crate) fn remembered(&self) -> Result<InstanceRecord, Error> {
        match self.remembered_before()? {
            Some(remembered) => Ok(remembered),
            None => Ok(InstanceRecord {
                port_offset: self.choose_port_offset(&[])?,
                ..InstanceRecord::default()
            }),
        }
    }

    /// What the instance remembers, or can find out of that; `None` for a new one.
    pub(crate) fn remembered_before(&self) -> Result<Option<InstanceRecord>, Error> {
        match record::read_optional(&self.paths.instance_record()) {
            Ok(remembered) => Ok(remembered),
            Err(error) if error.is_damaged() => self.found_out_again().map(Some),
            Err(error) => Err(error.into()),
        }
    }

    /// By the disks of the session and of the snapshot, which name their image.
    fn found_out_again(&self) -> Result<InstanceRecord, Error> {
        let of_session = || Some(Base::of(&self.home, &self.name).ok()??.image_path);
        let of_snapshot = || {
            let id = Snapshot::current_id(&self.paths)?;
            backing(&self.paths.snapshot(&id).disk())
        };
        let image = of_session().or_else(of_snapshot);
        let image = image.filter(|path| path.exists());
        Ok(InstanceRecord {
            image: image.map(|path| self.home.relative(&path)),
            port_offset: self.choose_port_offset(&[])?,
            ..InstanceRecord::default()
        })
    }

    /// Writes down the block of ports of a new instance, which nobody else gets from then on. The
    /// instance's lock must be held.
    pub(crate) fn claim_ports(&self) -> Result<(), Error> {
        let path = self.paths.instance_record();
        if self.name.is_default() || path.exists() {
            return Ok(());
        }
        let _shared = SharedLock::take(&self.home)?;
        let services = self.services_by(&InstanceRecord::default());
        let record = InstanceRecord {
            port_offset: self.choose_port_offset(&services)?,
            ..InstanceRecord::default()
        };
        Ok(record::write(&path, &record, Durability::PowerCut)?)
    }

    /// Puts a damaged record aside and writes what could be found out in its
    /// place. The instance's lock must be held.
    pub(crate) fn mend_instance_record(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let path = self.paths.instance_record();
        let error = match record::read_optional::<InstanceRecord>(&path) {
            Err(error) if error.is_damaged() => error,
            // What else is wrong is said by the operation that needs the record.
            Ok(_) | Err(_) => return Ok(()),
        };
        let _shared = SharedLock::take(&self.home)?;
        let found = self.found_out_again()?;
        let aside = path.with_extension("json.damaged");
        std::fs::rename(&path, &aside).map_err(|source| RecordError::Write {
            path: aside.clone(),
            source,
        })?;
        record::write(&path, &found, Durability::PowerCut)?;
        let image = match &found.image {
            Some(image) => format!(
                "the selected image is {}",
                self.home.path().join(image).display()
            ),
            None => "no image is selected".to_owned(),
        };
        reporter.report(Event::Warning(&format!(
            "The instance's record is damaged ({}) and was moved to {}. As far as is known, {image}.",
            chain(&error),
            aside.display()
        )));
        Ok(())
    }

    /// The default instance has the contract's ports; each further one has
    /// ports of its own, so that both can run. Of the blocks that no instance
    /// has, it is the first in which the ports of `services` are free.
    pub(super) fn choose_port_offset(&self, services: &[Service]) -> Result<u16, Error> {
        if self.name.is_default() {
            return Ok(0);
        }
        let blocks = self.unused_blocks()?;
        let is_free = |offset: &&u16| self.is_block_free(services, **offset);
        let free = blocks.iter().find(is_free).or(blocks.first());
        let most = MOST_INSTANCES;
        free.copied().ok_or(Error::NoPortsLeft { most })
    }

    /// The blocks of ports that no other instance has; the first one is the default instance's alone.
    pub(super) fn unused_blocks(&self) -> Result<Vec<u16>, Error> {
        let instances = self.home.instances();
        let mut used = if self.name.is_default() {
            vec![]
        } else {
            vec![0]
        };
        let entries = match std::fs::read_dir(&instances) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(Error::file("list", &instances))?),
        };
        for entry in entries.into_iter().flatten() {
            // One that is being made counts as well: its name begins with a dot.
            let path = entry
                .map_err(Error::file("list", &instances))?
                .path()
                .join("instance.json");
            if path == self.paths.instance_record() {
                continue;
            }
            // Another instance's damaged record is that instance's trouble.
            if let Ok(Some(other)) = record::read_optional::<InstanceRecord>(&path) {
                used.push(other.port_offset);
            }
        }
        let blocks = (0..=MOST_INSTANCES).map(|n| n * PORT_STRIDE);
        Ok(blocks.filter(|offset| !used.contains(offset)).collect())
    }

    pub(super) fn is_block_free(&self, services: &[Service], offset: u16) -> bool {
        services.iter().all(|service| {
            // One that a variable sets is the same in every block.
            let (port, is_set) = self.host_port(service, offset);
            is_set || ports::is_free(port)
        })
    }

    /// Gives this instance a block of ports of its own if another one, which was there before it, has the
    /// same: two that were made by versions without a common lock, or a folder that was copied. The
    /// instance's lock must be held, and no machine of it have those ports.
    pub(super) fn leave_shared_ports(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let path = self.paths.instance_record();
        if self.name.is_default() || self.earlier_twin()?.is_none() {
            return Ok(());
        }
        let _shared = SharedLock::take(&self.home)?;
        // Looked at again: meanwhile the other one may have moved, or be gone.
        let Some((twin, record)) = self.earlier_twin()? else {
            return Ok(());
        };
        let services = self.services_by(&record);
        let is_set = |service: &Service| service.port_env.is_none() || self.host_port(service, 0).1;
        if services.iter().all(is_set) {
            // By variables, which no block changes: a start says which port is taken, and by whom.
            return Ok(());
        }
        let moved = InstanceRecord {
            port_offset: self.choose_port_offset(&services)?,
            ..record
        };
        record::write(&path, &moved, Durability::PowerCut)?;
        reporter.report(Event::Warning(&format!(
            "The instances {twin} and {} had the same ports. {} has others from now on: `stack-emulator status` shows them. \
             Its next start boots the virtual machine.",
            self.name, self.name
        )));
        Ok(())
    }

    /// An instance that has the ports of this one and was there before it, and this one's record.
    fn earlier_twin(&self) -> Result<Option<(InstanceName, InstanceRecord)>, Error> {
        let Ok(Some(ours)) = record::read_optional::<InstanceRecord>(&self.paths.instance_record())
        else {
            // A damaged one is mended, and gets a block that is free.
            return Ok(None);
        };
        let born = |emulator: &Self| {
            let meta = std::fs::metadata(emulator.paths.root()).ok()?;
            // Not every file system tells when a folder was made.
            Some((
                meta.created().or(meta.modified()).ok()?,
                emulator.name.clone(),
            ))
        };
        let is_twin = |other: &Self| {
            if other.name.is_default() {
                return ours.port_offset == 0;
            }
            let record = record::read_optional::<InstanceRecord>(&other.paths.instance_record());
            let same = matches!(record, Ok(Some(record)) if record.port_offset == ours.port_offset);
            same && born(other) < born(self)
        };
        let others = self.every_instance()?.into_iter();
        let mut others = others.filter(|other| other.name != self.name);
        let twin = others.find(is_twin).map(|twin| twin.name);
        Ok(twin.map(|twin| (twin, ours)))
    }
}

#[cfg(test)]
mod tests {
    use images::qcow2;

    use super::*;
    use crate::config::variables::Settings;
    use progress::Silent;

    fn emulator(home: &std::path::Path) -> Emulator {
        let home = (crate::config::variables::HOME.into(), home.into());
        let settings = Settings::from_variables([home]).unwrap();
        Emulator::new(
            settings,
            crate::config::paths::InstanceName::default(),
            None,
        )
    }

    #[test]
    fn a_damaged_record_is_put_aside_and_found_out_again() {
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(dir.path());
        let path = emulator.paths.instance_record();
        std::fs::create_dir_all(emulator.paths.main().session().root()).unwrap();
        let image = dir.path().join("chosen.qcow2");
        std::fs::write(&image, "an image").unwrap();
        qcow2::create_overlay(&emulator.paths.main().session().disk(), &image, 1 << 20).unwrap();
        std::fs::write(&path, "{").unwrap();
        // A look changes nothing.
        let seen = emulator.remembered().unwrap();
        assert_eq!(emulator.image_to_use(&seen), image);
        assert_eq!(std::fs::read(&path).unwrap(), b"{");

        emulator.mend_instance_record(&Silent).unwrap();
        assert_eq!(emulator.remembered().unwrap(), seen);
        assert_eq!(
            std::fs::read(path.with_extension("json.damaged")).unwrap(),
            b"{"
        );
    }

    #[test]
    fn instances_that_begin_together_get_ports_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["one", "two", "three", "four"];
        let claimed = names.map(|name| {
            let mut emulator = emulator(dir.path());
            emulator = emulator.sibling(name.parse().unwrap());
            std::fs::create_dir_all(emulator.paths.root()).unwrap();
            std::thread::spawn(move || {
                emulator.claim_ports().unwrap();
                // Once taken, it is kept.
                emulator.claim_ports().unwrap();
                emulator.remembered().unwrap().port_offset
            })
        });
        let mut offsets = claimed.map(|claim| claim.join().unwrap());
        offsets.sort_unstable();
        assert!(offsets.windows(2).all(|two| two[0] < two[1]), "{offsets:?}");
        assert!(!offsets.contains(&0), "the default instance's");
    }

    #[test]
    fn of_two_with_the_same_ports_the_later_one_gets_others() {
        let dir = tempfile::tempdir().unwrap();
        let home = emulator(dir.path());
        let made = ["zebra", "ant", "bee"].map(|name| {
            let emulator = home.sibling(name.parse().unwrap());
            std::fs::create_dir_all(emulator.paths.root()).unwrap();
            // What a version without a common lock made of three that began together.
            let record = InstanceRecord {
                port_offset: 40,
                ..InstanceRecord::default()
            };
            record::write(
                &emulator.paths.instance_record(),
                &record,
                Durability::ThisBoot,
            )
            .unwrap();
            // Birth times have the grain of the kernel's clock.
            std::thread::sleep(std::time::Duration::from_millis(20));
            emulator
        });
        let at_once = made.clone().map(|emulator| {
            std::thread::spawn(move || emulator.leave_shared_ports(&Silent).unwrap())
        });
        for thread in at_once {
            thread.join().unwrap();
        }
        let offsets = made
            .each_ref()
            .map(|emulator| emulator.remembered().unwrap().port_offset);
        assert_eq!(offsets[0], 40, "the first keeps them");
        assert!(
            offsets[1] != 40 && offsets[2] != 40 && offsets[1] != offsets[2],
            "{offsets:?}"
        );
        assert!(!offsets.contains(&0), "{offsets:?}");
        for emulator in &made {
            emulator.leave_shared_ports(&Silent).unwrap();
        }
        let again = made
            .each_ref()
            .map(|emulator| emulator.remembered().unwrap().port_offset);
        assert_eq!(again, offsets, "once they differ they stay");
    }

    #[test]
    fn ports_that_the_user_has_set_are_left_alone() {
        use images::manifest::published_services;
        let dir = tempfile::tempdir().unwrap();
        let mut home = emulator(dir.path());
        for (port, service) in (40_000..).zip(published_services()) {
            home.settings
                .ports
                .extend(service.port_env.map(|name| (name, port)));
        }
        let second = home.sibling("second".parse().unwrap());
        std::fs::create_dir_all(second.paths.root()).unwrap();
        let record = InstanceRecord::default();
        record::write(
            &second.paths.instance_record(),
            &record,
            Durability::ThisBoot,
        )
        .unwrap();
        std::fs::create_dir_all(home.paths.root()).unwrap();
        second.leave_shared_ports(&Silent).unwrap();
        assert_eq!(second.remembered().unwrap().port_offset, 0);
    }

    #[test]
    fn where_all_blocks_are_taken_nobody_gets_somebody_else_s() {
        let dir = tempfile::tempdir().unwrap();
        let home = emulator(dir.path());
        for n in 1..=MOST_INSTANCES {
            let other = home.sibling(format!("i{n}").parse().unwrap());
            std::fs::create_dir_all(other.paths.root()).unwrap();
            let record = InstanceRecord {
                port_offset: n * PORT_STRIDE,
                ..InstanceRecord::default()
            };
            record::write(
                &other.paths.instance_record(),
                &record,
                Durability::ThisBoot,
            )
            .unwrap();
        }
        let one_more = home.sibling("one-more".parse().unwrap());
        std::fs::create_dir_all(one_more.paths.root()).unwrap();
        let error = one_more.claim_ports().unwrap_err();
        assert_eq!(error.code(), failure::Code::PortSetting, "{error}");
    }

    #[test]
    fn ports_that_another_program_has_are_passed_over() {
        use images::manifest::published_services;
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(dir.path()).sibling("second".parse().unwrap());
        let mut services = published_services();
        services.truncate(1);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().port();
        services[0].host_port = taken - PORT_STRIDE;
        let offset = emulator.choose_port_offset(&services).unwrap();
        assert!(offset > PORT_STRIDE, "{offset}");
        assert_eq!(emulator.choose_port_offset(&[]).unwrap(), PORT_STRIDE);
    }

    #[test]
    fn a_record_of_a_later_version_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let emulator = emulator(dir.path());
        let path = emulator.paths.instance_record();
        std::fs::create_dir_all(emulator.paths.root()).unwrap();
        let later = r#"{"format":"stack-emulator-instance","version":99,"blake3":"","body":{}}"#;
        std::fs::write(&path, later).unwrap();
        emulator.mend_instance_record(&Silent).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), later);
        let error = emulator.remembered().unwrap_err();
        let expected = failure::Remedy::UseItsVersion {
            file: path.display().to_string(),
            loss: failure::Loss::SelectedImage,
        };
        assert_eq!(error.remedy(), Some(expected), "{error}");
    }
}
