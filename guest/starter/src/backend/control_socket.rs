//! The socket over which `trigger-fast-rotate` reaches the database; see [`crate::control`].

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Mutex,
};
use zeroize::Zeroizing;

use super::rotation_connection::{Commit, RotationConnection};
use crate::{
    control::{MAX_LINE, Reply, Request},
    report,
    secrets::Secrets,
};

/// How long a peer may take over its next line. A rotation holds a lock on the row meanwhile.
const LINE_LIMIT: Duration = Duration::from_secs(15);
/// Pause before accepting again when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct ControlSocket {
    listener: UnixListener,
    rotation: Arc<Mutex<RotationConnection>>,
}

impl ControlSocket {
    pub(super) fn bind(path: &Path, rotation: RotationConnection) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            rotation: Arc::new(Mutex::new(rotation)),
        })
    }

    pub(super) async fn serve(self) {
        if let Err(error) = self.rotation.lock().await.warm().await {
            report::log("cannot prepare for rotations yet", &error);
        }
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(answer(stream, self.rotation.clone()));
                }
                Err(error) => {
                    report::log("cannot accept on the control socket", &error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Answers one peer, line by line, until it closes or says something unexpected.
async fn answer(stream: UnixStream, rotation: Arc<Mutex<RotationConnection>>) {
    if !is_trusted(&stream) {
        return;
    }
    let (read, write) = stream.into_split();
    let mut peer = Peer {
        read: BufReader::new(read),
        write,
    };
    while let Ok(Some(request)) = peer.next().await {
        let reply = match request {
            Request::Current => match rotation.lock().await.current().await {
                Ok(secrets) => Reply::Values(Box::new(secrets)),
                Err(error) => failed(&error),
            },
            Request::Commit => Reply::Failed("nothing to commit".to_owned()),
            Request::Rotate(secrets) => {
                // Held to the end of the transaction: the connection has only one.
                match rotate(&mut peer, &secrets, &mut *rotation.lock().await).await {
                    Some(reply) => reply,
                    None => return,
                }
            }
        };
        if peer.send(&reply).await.is_err() {
            return;
        }
    }
}

/// One rotation, from its update to its commit; gives the last answer. `None` means silence: the peer
/// is gone, or what it wants to know is not known.
async fn rotate(
    peer: &mut Peer,
    secrets: &Secrets,
    connection: &mut RotationConnection,
) -> Option<Reply> {
    let prepared = match connection.prepare(secrets).await {
        Ok(prepared) => prepared,
        Err(error) => return Some(failed(&error)),
    };
    let told = peer.send(&Reply::Prepared).await;
    let (Ok(()), Ok(Some(Request::Commit))) = (told, peer.next().await) else {
        prepared.roll_back().await;
        return None;
    };
    match prepared.commit().await {
        Commit::Done => Some(Reply::Committed),
        Commit::Refused(error) => Some(failed(&error)),
        Commit::Unknown(error) => {
            report::log("a commit was not answered", &error);
            None
        }
    }
}

/// Root, as whom the guest agent runs rotations, and the backend's own user.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Reply {
    Reply::Failed(report::chain(error))
}

struct Peer {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Peer {
    /// The next request; `None` when the peer has closed.
    async fn next(&mut self) -> io::Result<Option<Request>> {
        let mut line = Zeroizing::new(String::with_capacity(MAX_LINE));
        let mut limited = (&mut self.read).take(MAX_LINE as u64);
        let reading = limited.read_line(&mut line);
        tokio::time::timeout(LINE_LIMIT, reading).await??;
        if line.is_empty() {
            return Ok(None);
        }
        line.strip_suffix('\n')
            .and_then(|line| Request::parse(line).ok())
            .map(Some)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    async fn send(&mut self, reply: &Reply) -> io::Result<()> {
        self.write.write_all(reply.to_line().as_bytes()).await
    }
}
