//! A start where somebody has the instance's ports: it takes the next block that is free, if it is asked to.
//!
//! That block is the instance's from then on, so that what an app was told stays true. What is saved may be of a
//! guest that was told the old ports; it is not dropped for that, but told the new ones as a clone's is
//! ([`InstanceRecord::moved_ports`]).

use super::LockedInstance;
use super::shared::SharedLock;
use crate::instance::error::InstanceError as Error;
use crate::machine::ports::Taken;
use crate::machine::readiness::Endpoint;
use crate::state::instance_record::InstanceRecord;
use images::manifest::Service;
use progress::{Event, Reporter};
use record::Durability;

impl LockedInstance<'_> {
    /// Leaves the block of ports that `endpoints` are of for one that is free, if somebody has one of them and the
    /// start was asked to. Returns whether it did; where no block helps, because variables set the ports that are
    /// taken, all is left as it is for the start to report.
    pub(super) fn leave_taken_ports(
        &self,
        endpoints: &[Endpoint],
        reporter: &dyn Reporter,
    ) -> Result<bool, Error> {
        let emulator = self.emulator;
        if !emulator.takes_free_ports {
            return Ok(false);
        }
        let Err(error) = self.check_ports(endpoints) else {
            return Ok(false);
        };
        let Some(taken) = error.taken_ports() else {
            return Err(error);
        };
        let _shared = SharedLock::take(&emulator.home)?;
        let record = emulator.remembered()?;
        let services = emulator.services_by(&record);
        let Some(port_offset) = emulator.free_block(&services, taken)? else {
            return Ok(false);
        };
        let record = InstanceRecord {
            port_offset,
            moved_ports: true,
            ..record
        };
        let path = emulator.paths.instance_record();
        record::write(&path, &record, Durability::PowerCut)?;
        let ports = services.iter().map(|service| {
            let (port, _) = emulator.host_port(service, port_offset);
            port.to_string()
        });
        let ports: Vec<_> = ports.collect();
        reporter.report(Event::Warning(&format!(
            "{error}. From now on, this instance has the ports {}: write credentials that are in .env files again.",
            ports.join(", ")
        )));
        Ok(true)
    }
}

impl super::Emulator {
    /// The first block of ports that no other instance has, in which the ports of `services` are free and none of
    /// those in `taken` is left.
    fn free_block(&self, services: &[Service], taken: &[Taken]) -> Result<Option<u16>, Error> {
        let helps = |offset: u16| {
            services.iter().all(|service| {
                let (port, _) = self.host_port(service, offset);
                !taken.iter().any(|taken| taken.port == port)
            })
        };
        let blocks = self.unused_blocks()?.into_iter();
        let mut free =
            blocks.filter(|offset| helps(*offset) && self.is_block_free(services, *offset));
        Ok(free.next())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::config::paths::InstanceName;
    use crate::config::variables::{HOME, Settings};
    use crate::instance::Emulator;

    /// Keeps the warnings.
    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Reporter for Warnings {
        fn report(&self, event: Event<'_>) {
            if let Event::Warning(text) = event {
                self.0.lock().unwrap().push(text.to_owned());
            }
        }
    }

    /// With the dashboard's port wherever `listener` is.
    fn emulator(home: &Path, listener: &TcpListener) -> Emulator {
        let settings = Settings::from_variables([(HOME.into(), home.into())]).unwrap();
        let mut emulator = Emulator::new(settings, InstanceName::default(), None);
        let port = listener.local_addr().unwrap().port();
        let preferred = [("dashboard".to_owned(), port)];
        emulator.settings.preferred_ports.extend(preferred);
        emulator
    }

    fn endpoints(emulator: &Emulator) -> Vec<Endpoint> {
        let record = emulator.remembered().unwrap();
        let services = emulator.services_by(&record);
        // The others may be somebody's on this host.
        let services = services.into_iter().take(1).collect();
        emulator
            .endpoints_of(services, record.port_offset)
            .unwrap()
            .0
    }

    #[tokio::test]
    async fn a_start_leaves_ports_that_are_taken_if_it_is_asked_to() {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let emulator = emulator(dir.path(), &listener);
        let told = Warnings::default();
        let held = emulator.hold("test", &told).await.unwrap();
        let before = endpoints(&emulator);
        assert!(
            !held.leave_taken_ports(&before, &told).unwrap(),
            "not asked to"
        );
        drop(held);

        let emulator = emulator.taking_free_ports();
        let held = emulator.hold("test", &told).await.unwrap();
        assert!(held.leave_taken_ports(&before, &told).unwrap());
        let record = emulator.remembered().unwrap();
        assert!(record.moved_ports && record.port_offset != 0);
        let after = endpoints(&emulator);
        assert!(crate::machine::ports::is_free(after[0].port));
        let warnings = told.0.lock().unwrap().clone();
        let expected = format!("port {} (dashboard) is in use by", before[0].port);
        assert!(
            warnings.len() == 1 && warnings[0].contains(&expected),
            "{warnings:?}"
        );
        assert!(
            warnings[0].contains(&after[0].port.to_string()),
            "{warnings:?}"
        );
        // Once it has others it keeps them.
        assert!(!held.leave_taken_ports(&after, &told).unwrap());
        assert_eq!(emulator.remembered().unwrap(), record);
    }

    #[tokio::test]
    async fn a_port_that_a_variable_sets_is_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut emulator = emulator(dir.path(), &listener).taking_free_ports();
        let port = listener.local_addr().unwrap().port();
        let variable = "EMULATOR_DASHBOARD_PORT".to_owned();
        emulator.settings.ports.insert(variable, port);
        let held = emulator.hold("test", &progress::Silent).await.unwrap();
        let before = endpoints(&emulator);
        assert!(!held.leave_taken_ports(&before, &progress::Silent).unwrap());
        assert_eq!(emulator.remembered().unwrap().port_offset, 0);
    }
}
