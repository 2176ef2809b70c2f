//! Rotation: all four secrets change, or none does.
//!
//! The secrets live in two places: the database (three keys) and files (the dashboard's bundles, which
//! have the publishable client key built in, and `secrets.env`). The database's commit decides:
//!
//! ```text
//!  lock ─▶ settle what a killed rotation left ─▶ UPDATE, not committed (by the backend)
//!       ─▶ write the new files beside the old ─▶ exchange them ─▶ COMMIT ─▶ remove the old files
//!                                                                  │
//!            any failure up to here: exchange back, ROLLBACK ◀─────┘
//! ```
//!
//! `secrets.env.rotating` is written before and removed after all else, so it doubles as the journal:
//! where it exists, a rotation did not finish, and for each file the half that holds the key in the
//! database is the right one ([`files::settle`]). It is no more readable than `secrets.env` itself and
//! holds nothing that the two files would not hold anyway.
//!
//! Nothing is told to reload, because nobody remembers: the backend looks keys up in the database for
//! each request, and reads the cron secret by the rule above when it is asked for
//! ([`crate::secrets`]); the cron runner reads it for each call; the dashboard is served from disk.
//!
//! This runs in the critical path of every start, under emulation if need be. So: no child processes,
//! no database connection of its own, no async runtime, and no more system calls than needed.

pub mod files;
pub mod input;
mod peer;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

pub use self::input::{InputError, NewSecrets};
use self::{
    files::{FilesError, Replacements},
    peer::{CommitError, Peer, PeerError},
};
use crate::{
    control::NewKeys,
    key::Key,
    secrets::{self, Secrets, SecretsError},
    settings::Settings,
};

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
    /// `secrets.env` cannot be used.
    #[error("cannot tell the current secrets; old values stay in force")]
    Current(#[from] SecretsError),
    /// A rotation that was cut short earlier cannot be settled.
    #[error("cannot settle an earlier rotation that was cut short; nothing new was changed")]
    Settle(#[source] SettleError),
    /// The database did not take the new keys.
    #[error("the database did not take the new keys; old values stay in force")]
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

/// Why an earlier rotation could not be settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The database's word is needed.
    #[error("the key in force is not known")]
    Peer(#[from] PeerError),
    /// The files do not allow it.
    #[error("the files cannot be settled")]
    Files(#[from] FilesError),
}

impl RotateError {
    /// Exit code of `trigger-fast-rotate`: 3 when the old values stay in force, 4 when that is not
    /// certain or not so.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Lock { .. }
            | Self::Current(_)
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
pub fn rotate(settings: &Settings, new: &NewSecrets) -> Result<(), RotateError> {
    let _lock = lock(&settings.config_dir)?;
    if secrets::rotating_path(&settings.config_dir).exists() {
        settle(settings).map_err(RotateError::Settle)?;
    }
    let current = Secrets::read(&secrets::path(&settings.config_dir))?;

    let mut peer = Peer::connect(&settings.control_socket).map_err(RotateError::Prepare)?;
    // The database works on this while the first file is written and synced.
    peer.send_rotate(&NewKeys {
        pck: new.pck.clone(),
        ssk: new.ssk.clone(),
        sak: new.sak.clone(),
    })
    .map_err(RotateError::Prepare)?;

    let mut replacements = Replacements::default();
    let in_database = match prepare(settings, &current, new, &mut peer, &mut replacements) {
        Ok(in_database) => in_database,
        Err(failure) => return Err(undone(failure, replacements)),
    };
    match peer.commit() {
        Ok(()) => {}
        Err(CommitError::Refused(source)) => {
            return Err(undone(RotateError::Commit(source), replacements));
        }
        Err(CommitError::Silent(source)) => {
            match ask_after_silence(&settings.control_socket, &in_database, &new.pck) {
                Outcome::Committed => {}
                Outcome::NotCommitted => {
                    return Err(undone(RotateError::Commit(source), replacements));
                }
                Outcome::Unknown => return Err(RotateError::InDoubt(source)),
            }
        }
    }
    replacements.finish().map_err(RotateError::Finish)
}

/// Settles what a killed rotation left, and checks that files and database agree. Run at boot, where
/// it also brings this program into the page cache before a snapshot is taken.
///
/// # Errors
/// [`RotateError`]; in particular when the files hold another key than the database.
pub fn recover(settings: &Settings) -> Result<(), RotateError> {
    let _lock = lock(&settings.config_dir)?;
    settle(settings).map_err(RotateError::Settle)
}

/// Everything up to the commit. Returns the key that the database held before.
fn prepare(
    settings: &Settings,
    current: &Secrets,
    new: &NewSecrets,
    peer: &mut Peer,
    replacements: &mut Replacements,
) -> Result<Key, RotateError> {
    let text = Secrets {
        pck: new.pck.clone(),
        cron: new.cron.clone(),
    }
    .to_text();
    replacements
        .stage(&secrets::path(&settings.config_dir), text.as_bytes())
        .map_err(RotateError::Files)?;
    let in_database = peer.prepared().map_err(RotateError::Prepare)?;
    // A bundle should hold the key of the last rotation. One that was put there by hand or by an
    // upgrade since then holds the placeholder or the database's; all of them have to go.
    let known = [
        current.pck.clone(),
        in_database.clone(),
        Key::placeholder_pck(),
    ];
    files::stage_bundles(&settings.dashboard_dir, &known, &new.pck, replacements)
        .map_err(RotateError::Files)?;
    replacements.exchange().map_err(RotateError::Files)?;
    Ok(in_database)
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

enum Outcome {
    Committed,
    NotCommitted,
    Unknown,
}

fn ask_after_silence(socket: &Path, before: &Key, new: &Key) -> Outcome {
    // With an unchanged publishable key the answer would tell nothing.
    if before == new {
        return Outcome::Unknown;
    }
    match Peer::connect(socket).and_then(|mut peer| peer.current()) {
        Ok(key) if key == *new => Outcome::Committed,
        Ok(key) if key == *before => Outcome::NotCommitted,
        Ok(_) | Err(_) => Outcome::Unknown,
    }
}

fn settle(settings: &Settings) -> Result<(), SettleError> {
    let in_force = Peer::connect(&settings.control_socket)?.current()?;
    files::settle(&settings.config_dir, &settings.dashboard_dir, &in_force)?;
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
