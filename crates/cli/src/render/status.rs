//! What `status` shows.

use emulator::{
    EndedBy, GuestNetwork, NextStart, OtherSetting, PausedBy, SnapshotInfo, StartKind, State,
    Status,
};

use super::instances::folder;
use super::reports::{manner, placeholder_note, services, told_ports_note};
use super::style::{BAD, CAUTION, GOOD, STRONG, Style};
use super::text::{Facts, paint, printable};
use crate::output::{Detail, Render};
use emulator::quantity::{bytes, seconds, span};

impl Render for Status {
    fn render(&self, detail: Detail) -> String {
        let (style, state) = describe(self);
        let mut facts = Facts::default();
        if let Some(holder) = &self.busy {
            facts.add("Busy", format!("with {}", printable(&holder.to_string())));
        }
        if let Some(start) = &self.start {
            let up = span(start.uptime_ms);
            let how = match &start.checkpoint {
                Some(name) if start.kind == StartKind::Restored => {
                    format!("restored from the checkpoint {}", printable(name))
                }
                Some(_) | None => manner(start.kind).to_owned(),
            };
            facts.add(
                "Started",
                format!("{how} in {}, {up} ago", seconds(start.total_ms)),
            );
            if let Some(reason) = &start.fallback_reason {
                facts.add("Reason", printable(reason));
            }
        }
        if self.start.is_some() {
            facts.add_lines("Services", services(&self.services, Detail::Full));
            let told = told_ports_note(&self.told_ports).into_iter().collect();
            facts.add_lines("", told);
        }
        if let Some(start) = &self.start {
            let kept = self.secret_store.map_or(String::new(), |kind| {
                format!(", stored in {}", kind.describe())
            });
            let secrets = if start.rotated {
                let whose = if start.secrets_kept {
                    "kept from before"
                } else {
                    "fresh"
                };
                format!("{whose}{kept}")
            } else {
                placeholder_note()
            };
            let warning = self.secret_warning.as_deref().map(printable);
            let warning = warning.map(|text| format!("{} {text}", paint(CAUTION, "warning:")));
            facts.add_lines(
                "Secrets",
                [Some(secrets), warning].into_iter().flatten().collect(),
            );
        }
        if let Some(accelerator) = &self.accelerator {
            facts.add("Accelerator", printable(accelerator));
        }
        if let Some(network) = self.network {
            facts.add("Network", network_line(network));
        }
        if let Some(minutes) = self.stops_when_idle_min {
            facts.add("Idle", format!("stops when idle for {minutes} min"));
        }
        if let Some(memory) = &self.memory {
            let (own, all) = (bytes(memory.anonymous), bytes(memory.resident));
            facts.add(
                "Memory",
                format!("{own}, {all} including pages shared with the snapshot"),
            );
        }
        facts.add("Snapshot", snapshot_line(self, detail));
        if self.start.is_none() && self.session_kept && self.busy.is_none() {
            let text = if self.session_saved {
                "saved; the next start continues the session"
            } else {
                "its disk is kept; the next start boots it"
            };
            facts.add("Session", text);
        }
        let differing = self.other_settings.iter().map(|other| {
            let OtherSetting { setting, now, next } = other;
            printable(&format!("{setting}: {next} with the next start, now {now}"))
        });
        facts.add_lines("Settings", differing.collect());
        if let Some(next) = self.next_start.and_then(next_line) {
            facts.add("Next start", next);
        }
        if let Some(of) = &self.folder {
            facts.add("Folder", folder(of));
        }
        if let Some(image) = &self.image {
            facts.add("Image", printable(&image.display().to_string()));
        }
        let name = match self.instance.as_str() {
            "default" => String::new(),
            name => format!("{}: ", printable(name)),
        };
        format!("{name}{}\n\n{}", paint(style, state), facts.render())
    }
}

/// What the next start finds done; `None` if there is nothing to tell.
fn next_line(next: NextStart) -> Option<String> {
    match next {
        NextStart::Standby { memory } => Some(match memory {
            Some(memory) => format!("standby ({})", bytes(memory)),
            None => "standby".to_owned(),
        }),
        NextStart::Prepared => Some("prepared: it has fresh secrets already".to_owned()),
        NextStart::GoesOn => Some("at once: the virtual machine is still in memory".to_owned()),
        NextStart::Preparing => Some("being prepared".to_owned()),
        NextStart::Plain { rotation_ms } => rotation_ms.map(|ms| {
            format!(
                "replaces the secrets first; that took {} the last time",
                seconds(ms)
            )
        }),
    }
}

/// Whom the virtual machine can connect to.
const fn network_line(network: GuestNetwork) -> &'static str {
    match network {
        GuestNetwork::Closed => "closed: the virtual machine can connect to nothing",
        GuestNetwork::Open => {
            "open: the virtual machine can connect to the internet and to servers on this host"
        }
    }
}

fn snapshot_line(status: &Status, detail: Detail) -> String {
    match (&status.snapshot, &status.snapshot_damage) {
        (_, Some(damage)) => format!("{}: {}", paint(BAD, "damaged"), printable(damage)),
        (Some(snapshot), None) => snapshot_summary(snapshot, detail),
        (None, None) => "none yet; the next start takes one".to_owned(),
    }
}

/// One line about a snapshot.
fn snapshot_summary(snapshot: &SnapshotInfo, detail: Detail) -> String {
    let id = match detail {
        Detail::Brief => String::new(),
        Detail::Full => format!("{}, ", printable(&snapshot.id)),
    };
    format!("{id}{}", snapshot.summary())
}

fn describe(status: &Status) -> (Style, &'static str) {
    match status.state {
        State::Running if status.unreachable => (
            BAD,
            "Running, but QEMU cannot be reached: its sockets were removed. Run `stack-emulator stop`, then\n\
             `start`: the session's disk is kept, its memory cannot be",
        ),
        State::Running => (GOOD, "Running"),
        State::Stopped => (STRONG, "Stopped"),
        State::Starting => (CAUTION, "Starting"),
        State::Stopping => (CAUTION, "Stopping"),
        State::Capturing => (CAUTION, "Taking a snapshot"),
        State::Paused => (
            BAD,
            match status.paused_by {
                Some(PausedBy::Disk) => {
                    "Paused: the virtual machine cannot write to its disk. Free disk space, then run\n\
                     `stack-emulator start` to continue"
                }
                Some(PausedBy::Fault) => {
                    "Paused: the virtual machine cannot go on. `stack-emulator logs --qemu` may show why;\n\
                     run `stack-emulator stop`, then `start`"
                }
                Some(PausedBy::Signal) => {
                    "Paused: a signal has stopped QEMU. Run `stack-emulator start` to continue"
                }
                Some(PausedBy::Request) | None => {
                    "Paused by another program. Run `stack-emulator start` to continue"
                }
            },
        ),
        State::Interrupted => (
            CAUTION,
            "Interrupted: a command was killed; the next command cleans up",
        ),
        State::Died => match status.ended_by {
            Some(EndedBy::Guest) => (STRONG, "Powered off: the virtual machine shut itself down"),
            Some(EndedBy::Signal) => (CAUTION, "Stopped: a signal ended the virtual machine"),
            Some(EndedBy::Reboot) => (
                STRONG,
                "Stopped: the virtual machine ended when this host was shut down or restarted",
            ),
            None => (BAD, "Stopped unexpectedly"),
        },
    }
}

#[cfg(test)]
mod tests {
    use emulator::secrets::StoreKind;
    use emulator::{Health, Memory, ServiceStatus, StartKind, StartSummary};

    use super::super::text::plain;
    use super::*;

    fn stopped() -> Status {
        Status {
            instance: "default".into(),
            folder: None,
            state: State::Stopped,
            paused_by: None,
            ended_by: None,
            unreachable: false,
            busy: None,
            start: None,
            other_settings: vec![],
            services: vec![],
            told_ports: vec![],
            accelerator: None,
            network: None,
            snapshot: None,
            snapshot_damage: None,
            session_kept: false,
            session_saved: false,
            image: None,
            secret_store: None,
            secret_warning: None,
            memory: None,
            stops_when_idle_min: None,
            next_start: None,
        }
    }

    #[test]
    fn a_stopped_emulator_says_what_the_next_start_finds_done() {
        let line = |next_start| {
            let status = Status {
                session_kept: true,
                next_start: Some(next_start),
                ..stopped()
            };
            let text = plain(&status.render(Detail::Brief));
            let line = text.lines().find(|line| line.contains("Next start"));
            line.map(|line| line.trim().to_owned())
        };
        let plain = |rotation_ms| line(NextStart::Plain { rotation_ms });
        assert_eq!(
            [
                line(NextStart::Prepared),
                line(NextStart::Preparing),
                plain(Some(104_200.0)),
                plain(None),
            ],
            [
                Some("Next start  prepared: it has fresh secrets already".to_owned()),
                Some("Next start  being prepared".to_owned()),
                Some(
                    "Next start  replaces the secrets first; that took 104 s the last time"
                        .to_owned()
                ),
                None,
            ]
        );
    }

    #[test]
    fn how_it_ended_and_what_comes_next_do_not_contradict_each_other() {
        let text = |ended_by| {
            let died = Status {
                state: State::Died,
                ended_by,
                session_kept: true,
                ..stopped()
            };
            plain(&died.render(Detail::Brief))
        };
        let off = text(Some(EndedBy::Guest));
        assert!(off.starts_with("Powered off: the virtual machine shut itself down\n"));
        assert!(text(None).starts_with("Stopped unexpectedly\n"));
        for ended in [
            Some(EndedBy::Guest),
            Some(EndedBy::Signal),
            Some(EndedBy::Reboot),
            None,
        ] {
            let text = text(ended);
            assert!(
                text.contains("its disk is kept; the next start boots it"),
                "{text}"
            );
            assert!(!text.contains("continues"), "{text}");
        }
    }

    #[test]
    fn a_setting_that_differs_is_told_with_both_values() {
        let status = Status {
            other_settings: vec![OtherSetting {
                setting: "ram".to_owned(),
                now: "1024 MiB".to_owned(),
                next: "2048 MiB".to_owned(),
            }],
            ..stopped()
        };
        let text = plain(&status.render(Detail::Brief));
        assert!(
            text.contains("Settings  ram: 2048 MiB with the next start, now 1024 MiB\n"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_home_is_simply_stopped() {
        assert_eq!(
            plain(&stopped().render(Detail::Brief)),
            "Stopped\n\n  Snapshot  none yet; the next start takes one\n"
        );
    }

    #[test]
    fn a_running_emulator_shows_everything_in_one_column() {
        let status = Status {
            instance: "ci".into(),
            folder: Some(emulator::InstanceFolder {
                path: "/work/shop".into(),
                exists: false,
            }),
            state: State::Running,
            start: Some(StartSummary {
                kind: StartKind::Continued,
                checkpoint: None,
                fallback_reason: None,
                total_ms: 912.0,
                phases: vec![],
                started_at_ms: 1_700_000_000_000,
                uptime_ms: 185_000,
                rotated: true,
                secrets_kept: false,
            }),
            services: vec![ServiceStatus {
                id: "backend".into(),
                name: "Backend".into(),
                url: "http://127.0.0.1:26701".into(),
                healthy: true,
                health: Health::Healthy,
                answer_ms: Some(3.2),
                browsable: true,
            }],
            accelerator: Some("tcg".into()),
            network: Some(GuestNetwork::Closed),
            secret_store: Some(StoreKind::KernelKeyring),
            memory: Some(Memory {
                resident: 412_000_000,
                anonymous: 148_000_000,
                given: 4 << 30,
            }),
            stops_when_idle_min: Some(30),
            image: Some("/images/a.qcow2".into()),
            ..stopped()
        };
        assert_eq!(
            plain(&status.render(Detail::Brief)),
            "ci: Running\n\n  \
             Started      continued from the saved session in 0.91 s, 3 min ago\n  \
             Services     Backend  http://127.0.0.1:26701  healthy\n  \
             Secrets      fresh, stored in the kernel keyring\n  \
             Accelerator  tcg\n  \
             Network      closed: the virtual machine can connect to nothing\n  \
             Idle         stops when idle for 30 min\n  \
             Memory       148 MB, 412 MB including pages shared with the snapshot\n  \
             Snapshot     none yet; the next start takes one\n  \
             Folder       /work/shop (missing)\n  \
             Image        /images/a.qcow2\n"
        );
    }

    #[test]
    fn damage_is_shown_in_place_of_the_snapshot() {
        let status = Status {
            snapshot_damage: Some("ram.raw is gone".into()),
            ..stopped()
        };
        assert!(
            plain(&status.render(Detail::Brief)).contains("Snapshot  damaged: ram.raw is gone\n")
        );
    }
}
