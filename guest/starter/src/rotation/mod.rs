//! Rotation: all four secrets change, or none does.
//!
//! **The database decides.** It holds all four, its commit is the one moment at which they change, and
//! what it has committed survives a power cut. The backend asks it for each request and remembers
//! nothing, so nothing has to be restarted or told to reload. Two kinds of files follow from it, and can
//! be made again at any time ([`files`]): the dashboard's bundles, from the bundles as they were built,
//! and `secrets.env`, which the cron runner reads for each call.
//!
//! ```text
//!  lock ─▶ settle what a killed rotation left ─▶ update, not committed (by the backend)
//!       ─▶ write the new files beside the old ─▶ exchange them ─▶ COMMIT ─▶ remove the old files
//!                                                                  │
//!            any failure up to here: exchange back, ROLLBACK ◀─────┘
//! ```
//!
//! While `secrets.env.rotating` exists, a rotation is under way or was cut short. The next one, and
//! every boot, then makes the files again from what the database holds ([`recover`]). Because of that,
//! nothing but the database waits for the disk, which would be most of a rotation's time.
//!
//! This runs in the critical path of every start, under emulation if need be. So: no child processes,
//! no database connection of its own, no async runtime, and no more system calls than needed.

pub mod files;
mod input;
mod peer;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

pub use self::input::{InputError, parse_input, read_input};
use self::{
    files::{Derived, FilesError, Replacements},
    peer::{CommitError, Peer, PeerError},
};
use crate::{secrets::Secrets, settings::Settings};

/// The step at which a rotation failed, and what is in force now.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The lock that lets one rotation run at a time cannot be had.
    #[error("cannot lock {path}; old values stay in force")]
    Lock {
        /// The locked folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A rotation that was cut short earlier cannot be settled.
    #[error("cannot settle an earlier rotation that was cut short; nothing new was changed")]
    Settle(#[from] SettleError),
    /// The database did not take the new values.
    #[error("the database did not take the new values; old values stay in force")]
    Prepare(#[source] PeerError),
    /// The new files could not be put in place.
    #[error("cannot put the new values in place; old values stay in force")]
    Files(#[source] FilesError),
    /// The commit was refused.
    #[error("the database did not commit; old values stay in force")]
    Commit(#[source] PeerError),
    /// The commit got no answer, and nobody can tell what became of it.
    #[error(
        "the backend went silent during the commit; the database alone knows which values are in \
         force, and the next rotation or boot settles the files by it"
    )]
    InDoubt(#[source] PeerError),
    /// Putting the old files back failed as well.
    #[error(
        "a step failed ({failure}), and so did undoing it; the next rotation or boot settles it"
    )]
    Undo {
        /// The first failure.
        failure: Box<RotateError>,
        /// What went wrong while undoing.
        source: FilesError,
    },
    /// The new values are in force, but the old ones are still on the disk.
    #[error("the new values are in force, but the old files cannot be removed")]
    Finish(#[source] FilesError),
}

/// Why files could not be made to follow the database.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The database's word is needed.
    #[error("the values in force are not known")]
    Peer(#[from] PeerError),
    /// The files cannot be written.
    #[error("the files cannot be made to follow the database")]
    Files(#[from] FilesError),
}

impl RotateError {
    /// Exit code of `trigger-fast-rotate`: 3 when the old values stay in force, 4 when that is not
    /// certain or not so.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Lock { .. }
            | Self::Settle(_)
            | Self::Prepare(_)
            | Self::Files(_)
            | Self::Commit(_) => 3,
            Self::InDoubt(_) | Self::Undo { .. } | Self::Finish(_) => 4,
        }
    }
}

/// Replaces all four secrets.
///
/// # Errors
/// [`RotateError`] names the step and says what is in force.
pub fn rotate(settings: &Settings, new: &Secrets) -> Result<(), RotateError> {
    let _lock = lock(&settings.config_dir)?;
    if files::is_unfinished(settings) {
        settle(settings)?;
    }

    let mut peer = Peer::connect(&settings.control_socket).map_err(RotateError::Prepare)?;
    // The database works on this while the files are written.
    peer.send_rotate(new).map_err(RotateError::Prepare)?;
    let mut replacements = Replacements::default();
    if let Err(failure) = prepare(settings, new, &mut peer, &mut replacements) {
        return Err(undone(failure, replacements));
    }
    match peer.commit() {
        Ok(()) => {}
        Err(CommitError::Refused(source)) => {
            return Err(undone(RotateError::Commit(source), replacements));
        }
        Err(CommitError::Silent(source)) => {
            match Peer::connect(&settings.control_socket).and_then(|mut peer| peer.current()) {
                Ok(in_force) if in_force == *new => {}
                Ok(_) => return Err(undone(RotateError::Commit(source), replacements)),
                Err(_) => return Err(RotateError::InDoubt(source)),
            }
        }
    }
    replacements.finish().map_err(RotateError::Finish)
}

/// Makes all files follow the database, whatever a kill or a power cut has left of them. Run at each
/// boot, where it also brings this program into the page cache before a snapshot is taken.
///
/// # Errors
/// [`RotateError::Lock`] and [`RotateError::Settle`].
pub fn recover(settings: &Settings) -> Result<(), RotateError> {
    let _lock = lock(&settings.config_dir)?;
    Ok(settle(settings)?)
}

/// Everything up to the commit.
fn prepare(
    settings: &Settings,
    new: &Secrets,
    peer: &mut Peer,
    replacements: &mut Replacements,
) -> Result<(), RotateError> {
    for file in Derived::all(settings, new).map_err(RotateError::Files)? {
        replacements.stage(&file).map_err(RotateError::Files)?;
    }
    peer.prepared().map_err(RotateError::Prepare)?;
    replacements.exchange().map_err(RotateError::Files)
}

fn undone(failure: RotateError, replacements: Replacements) -> RotateError {
    match replacements.undo() {
        Ok(()) => failure,
        Err(source) => RotateError::Undo {
            failure: Box::new(failure),
            source,
        },
    }
}

fn settle(settings: &Settings) -> Result<(), SettleError> {
    let in_force = Peer::connect(&settings.control_socket)?.current()?;
    files::settle(&Derived::all(settings, &in_force)?)?;
    Ok(())
}

/// Waits until no other rotation runs. The lock is on the folder itself, so it leaves no file behind,
/// and it goes with the process however that ends.
fn lock(dir: &Path) -> Result<File, RotateError> {
    let fail = |source| RotateError::Lock {
        path: dir.to_owned(),
        source,
    };
    let folder = File::open(dir).map_err(fail)?;
    rustix::fs::flock(&folder, FlockOperation::LockExclusive)
        .map_err(|errno| fail(errno.into()))?;
    Ok(folder)
}
