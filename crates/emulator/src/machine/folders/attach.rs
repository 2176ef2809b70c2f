//! Plugging folders into a running machine and mounting them in its guest, and
//! both backwards. Each step finds out first whether it is done already, so that
//! what a killed command left is simply gone on with.

use std::time::Duration;

use qemu::{Exec, GuestAgent, Machine, Monitor, QmpError, Sockets};
use tokio::time::{Instant, sleep};

use super::{NamedFolder, ShareError, SharedFolder};
use crate::config::paths::SlotPaths;
use crate::machine::MONITOR_LIMIT;
use crate::machine::guest::{self, GuestError};

/// How long the guest may take to notice a device and mount it. Under software
/// emulation the first one takes 0.7 s, most of it for loading modules.
const MOUNT_LIMIT: Duration = Duration::from_secs(20);
/// How long a folder may stay in use before it is not taken back.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(5);
/// How long the guest may take to let go of a device.
const UNPLUG_LIMIT: Duration = Duration::from_secs(20);
/// Pause between tries. There is no event for "the guest has found the device",
/// nor for "nobody uses the folder any more".
const PAUSE: Duration = Duration::from_millis(50);
/// How long the agent of a running guest may take to be reached.
const AGENT_LIMIT: Duration = Duration::from_secs(10);
/// What is kept of the guest's words, in bytes.
const OUTPUT_LIMIT: usize = 4 << 10;

/// `$1` is the tag, `$2` the folder; neither is ever part of the script.
///
/// `access=any`: whatever user of the guest acts, the host is told of none, so
/// that files belong to the user there even if QEMU may give them away.
const MOUNT: &str = r#"
mountpoint -q "$2" && exit 0
mkdir -p "$2" && exec mount -t 9p -o trans=virtio,version=9p2000.L,access=any,msize=262144,nosuid,nodev "$1" "$2"
"#;
/// `$1` is the folder. The folders above it go as far as they are empty.
const UNMOUNT: &str = r#"
if mountpoint -q "$1"; then umount "$1" || exit 32; fi
cd /host 2>/dev/null && rmdir -p -- "${1#/host/}" 2>/dev/null
exit 0
"#;

/// Name of the slot's backend and of its mount tag.
pub(super) fn tag(slot: u8) -> String {
    format!("host{slot}")
}

/// A way to the machine and its guest.
pub(crate) struct Attachment<'a> {
    paths: &'a SlotPaths,
    sockets: &'a Sockets,
    agent: Option<GuestAgent>,
}

impl<'a> Attachment<'a> {
    pub(super) fn new(paths: &'a SlotPaths, sockets: &'a Sockets) -> Self {
        Self {
            paths,
            sockets,
            agent: None,
        }
    }

    /// Takes `folder` back from the guest.
    pub(super) async fn detach(
        &mut self,
        monitor: &Monitor,
        folder: &SharedFolder,
    ) -> Result<(), ShareError> {
        if !self.is_plugged(monitor, folder).await? {
            return Ok(());
        }
        self.unmount(folder).await?;
        monitor
            .unplug(&Machine::share_device_id(folder.slot), UNPLUG_LIMIT)
            .await
            .map_err(|source| device("stop sharing", folder, source))
    }

    /// Whether there is a device in the folder's slot.
    pub(super) async fn is_plugged(
        &self,
        monitor: &Monitor,
        folder: &SharedFolder,
    ) -> Result<bool, ShareError> {
        monitor
            .has_device(&Machine::share_device_id(folder.slot), MONITOR_LIMIT)
            .await
            .map_err(|source| device("look for", folder, source))
    }

    /// Has QEMU open the folder that was `named`, and no other.
    pub(super) async fn plug(
        &self,
        monitor: &Monitor,
        folder: &SharedFolder,
        named: &NamedFolder,
    ) -> Result<(), ShareError> {
        let link = Link::make(self.paths, folder)?;
        let replaced = || ShareError::Replaced {
            path: folder.path.clone().into(),
        };
        if !named.is_at(&link.path) {
            return Err(replaced());
        }
        let add = Machine::share_device(folder.slot, &tag(folder.slot), &tag(folder.slot));
        monitor
            .execute(add, MONITOR_LIMIT)
            .await
            .map_err(|source| device("share", folder, source))?;
        // QEMU has opened it in between, whatever it was at that moment; nothing
        // of it has been shown to the guest's programs yet.
        if named.is_at(&link.path) {
            return Ok(());
        }
        monitor
            .unplug(&Machine::share_device_id(folder.slot), UNPLUG_LIMIT)
            .await
            .map_err(|source| device("stop sharing", folder, source))?;
        Err(replaced())
    }

    /// Mounts what is plugged into the folder's slot.
    pub(super) async fn mount(&mut self, folder: &SharedFolder) -> Result<(), ShareError> {
        let arguments = [&*tag(folder.slot), &*folder.guest_path()];
        self.until_done("mount", MOUNT, &arguments, folder, MOUNT_LIMIT)
            .await
    }

    async fn unmount(&mut self, folder: &SharedFolder) -> Result<(), ShareError> {
        let arguments = [&*folder.guest_path()];
        self.until_done("unmount", UNMOUNT, &arguments, folder, UNMOUNT_LIMIT)
            .await
    }

    /// Runs a script in the guest until it exits with 0, for at most `limit`.
    async fn until_done(
        &mut self,
        action: &'static str,
        script: &str,
        arguments: &[&str],
        folder: &SharedFolder,
        limit: Duration,
    ) -> Result<(), ShareError> {
        let failed = |source| ShareError::Guest {
            action,
            path: folder.path.clone().into(),
            source: Box::new(source),
        };
        let deadline = Instant::now() + limit;
        let mut args = vec!["-c", script, "sh"];
        args.extend(arguments);
        loop {
            let agent = match &mut self.agent {
                Some(agent) => agent,
                none => none.insert(
                    guest::connect(&self.sockets.agent(), AGENT_LIMIT)
                        .await
                        .map_err(failed)?,
                ),
            };
            let exec = Exec {
                path: "/bin/sh",
                args: &args,
                input: None,
                capture: true,
                output_limit: OUTPUT_LIMIT,
            };
            let result = agent
                .exec(exec, limit)
                .await
                .map_err(|source| failed(GuestError::Agent { action, source }))?;
            if result.success() {
                return Ok(());
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(ShareError::GuestRefused {
                    action,
                    path: folder.path.clone().into(),
                    said: guest::presentable(&result.stderr, None),
                });
            }
            sleep(PAUSE).await;
        }
    }
}

fn device(action: &'static str, folder: &SharedFolder, source: QmpError) -> ShareError {
    ShareError::Device {
        action,
        path: folder.path.clone().into(),
        source: Box::new(source),
    }
}

/// The link by which QEMU finds a folder; gone when this is dropped.
struct Link {
    path: std::path::PathBuf,
}

impl Link {
    fn make(paths: &SlotPaths, folder: &SharedFolder) -> Result<Self, ShareError> {
        let path = paths.share_link(folder.slot);
        let make = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            // One that a killed command left.
            record::remove_file(&path)?;
            std::os::unix::fs::symlink(&folder.path, &path)
        };
        match make() {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(ShareError::Link { path, source }),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // One that stays is replaced by the next.
        if let Err(error) = record::remove_file(&self.path) {
            tracing::debug!(%error, "a link stays behind");
        }
    }
}
