//! The rotation's end of the backend's control socket.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{
    control::{MAX_LINE, NotUnderstood, Reply, Request},
    secrets::Secrets,
};

/// How long the backend may take over one answer. Milliseconds are usual; this covers an emulated guest
/// on a busy host whose memory still comes in from a snapshot.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Why the backend did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Nobody listens on the control socket.
    #[error("cannot reach the backend at {path}; is stack-backend running?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection broke, or no answer came within the limit (10 s).
    #[error("no answer from the backend")]
    Answer(#[source] io::Error),
    /// The backend says why it did not.
    #[error("the backend reports: {0}")]
    Refused(String),
    /// An answer that makes no sense here.
    #[error("the backend's answer was not understood")]
    Confused(#[source] NotUnderstood),
}

/// Why a commit was not confirmed.
pub(super) enum CommitError {
    /// It certainly did not happen.
    Refused(PeerError),
    /// It may have happened.
    Silent(PeerError),
}

pub(super) struct Peer(UnixStream);

impl Peer {
    pub(super) fn connect(path: &Path) -> Result<Self, PeerError> {
        let fail = |source| PeerError::Connect {
            path: path.to_owned(),
            source,
        };
        let stream = UnixStream::connect(path).map_err(fail)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(fail)?;
        stream.set_write_timeout(Some(ANSWER_LIMIT)).map_err(fail)?;
        Ok(Self(stream))
    }

    pub(super) fn send_rotate(&mut self, secrets: &Secrets) -> Result<(), PeerError> {
        self.send(&Request::Rotate(Box::new(secrets.clone())))
    }

    /// Waits for the answer to [`Self::send_rotate`].
    pub(super) fn prepared(&mut self) -> Result<(), PeerError> {
        match self.receive()? {
            Reply::Prepared => Ok(()),
            reply => Err(unexpected(reply)),
        }
    }

    pub(super) fn commit(&mut self) -> Result<(), CommitError> {
        self.send(&Request::Commit).map_err(CommitError::Silent)?;
        match self.receive().map_err(CommitError::Silent)? {
            Reply::Committed => Ok(()),
            reply @ Reply::Failed(_) => Err(CommitError::Refused(unexpected(reply))),
            reply @ (Reply::Prepared | Reply::Values(_)) => {
                Err(CommitError::Silent(unexpected(reply)))
            }
        }
    }

    /// The secrets in force.
    pub(super) fn current(&mut self) -> Result<Secrets, PeerError> {
        self.send(&Request::Current)?;
        match self.receive()? {
            Reply::Values(secrets) => Ok(*secrets),
            reply => Err(unexpected(reply)),
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), PeerError> {
        self.0
            .write_all(request.to_line().as_bytes())
            .map_err(PeerError::Answer)
    }

    /// Reads one line. The backend never sends more than it was asked for, so what comes in one go
    /// ends with the line.
    fn receive(&mut self) -> Result<Reply, PeerError> {
        let mut buffer = Zeroizing::new([0_u8; MAX_LINE]);
        let mut filled = 0;
        loop {
            let count = self
                .0
                .read(&mut buffer[filled..])
                .map_err(PeerError::Answer)?;
            if count == 0 {
                return Err(PeerError::Answer(io::ErrorKind::UnexpectedEof.into()));
            }
            filled += count;
            if let Some(line) = buffer[..filled].strip_suffix(b"\n") {
                let line =
                    std::str::from_utf8(line).map_err(|_| PeerError::Confused(NotUnderstood))?;
                return Reply::parse(line).map_err(PeerError::Confused);
            }
            if filled == MAX_LINE {
                return Err(PeerError::Confused(NotUnderstood));
            }
        }
    }
}

fn unexpected(reply: Reply) -> PeerError {
    match reply {
        Reply::Failed(why) => PeerError::Refused(why),
        Reply::Prepared | Reply::Committed | Reply::Values(_) => PeerError::Confused(NotUnderstood),
    }
}
