//! One QMP connection: a task that reads, a task that writes, and a table of who waits for what.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qapi_spec::Command;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::framer::{Frame, LineFramer};
use super::message::{Answer, Message};
use super::{Disconnect, Event, Greeting, MAX_LINE, QmpError};

/// Events kept for a subscriber that is not reading. A migration makes a handful.
const EVENT_BACKLOG: usize = 256;
/// Bytes read from the socket at once.
const CHUNK: usize = 16 * 1024;

#[derive(Serialize)]
struct Request<'a, C> {
    execute: &'static str,
    arguments: &'a C,
    id: u64,
}

/// Commands waiting for their answer, or the reason why there will be none.
#[derive(Debug)]
enum Pending {
    Open(HashMap<u64, oneshot::Sender<Answer>>),
    Ended(Disconnect),
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    events: Mutex<Option<broadcast::Sender<Event>>>,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> MutexGuard<'_, Option<broadcast::Sender<Event>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection once; the first reason stays.
    fn end(&self, reason: Disconnect) {
        let mut pending = self.pending();
        if matches!(*pending, Pending::Open(_)) {
            // Dropping the senders wakes everyone who waits.
            *pending = Pending::Ended(reason);
        }
        drop(pending);
        self.events().take();
    }

    fn ended(&self) -> Disconnect {
        match &*self.pending() {
            Pending::Ended(reason) => reason.clone(),
            Pending::Open(_) => Disconnect::Closed,
        }
    }

    fn route(&self, id: Option<u64>, answer: Answer) {
        let waiter = match (&mut *self.pending(), id) {
            (Pending::Open(waiting), Some(id)) => waiting.remove(&id),
            _ => None,
        };
        if let Some(waiter) = waiter {
            // The receiver is gone if its future was dropped in this very moment: nothing to do.
            drop(waiter.send(answer));
        } else {
            tracing::debug!(?id, "answer to a command nobody waits for any more");
        }
    }
}

/// Removes a command from the table when its future ends, in whatever way.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Pending::Open(waiting) = &mut *self.shared.pending() {
            waiting.remove(&self.id);
        }
    }
}

/// A QMP connection after the greeting and capability negotiation.
///
/// Commands may be issued from several tasks at once. Dropping a command's future, at any point,
/// is harmless: QEMU may still carry the command out, and its answer is dropped when it comes.
/// Dropping the connection closes the socket, which lets the next client in.
#[derive(Debug)]
pub struct Qmp {
    shared: Arc<Shared>,
    requests: mpsc::UnboundedSender<Vec<u8>>,
    next_id: AtomicU64,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Qmp {
    /// Reads the greeting and leaves capability negotiation mode, all within `limit`.
    ///
    /// # Errors
    ///
    /// [`QmpError::NoGreeting`] if QEMU is busy with another client, [`QmpError::BadGreeting`] if
    /// the peer is no QMP server.
    pub async fn connect(
        stream: UnixStream,
        limit: Duration,
    ) -> Result<(Self, Greeting), QmpError> {
        let (read, write) = stream.into_split();
        let mut lines = Lines::new(read);
        let greeting = match timeout(limit, lines.next()).await {
            Err(_) => return Err(QmpError::NoGreeting { limit }),
            Ok(Err(reason)) => {
                return Err(QmpError::Disconnected {
                    command: "the greeting",
                    reason,
                });
            }
            Ok(Ok(Message::Greeting(greeting))) => greeting,
            Ok(Ok(other)) => {
                let detail = match other {
                    Message::Event(event) => format!("it began with the event {}", event.name),
                    _ => "it began with an answer".to_owned(),
                };
                return Err(QmpError::BadGreeting { detail });
            }
        };

        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending::Open(HashMap::new())),
            events: Mutex::new(Some(events)),
        });
        let (requests, queue) = mpsc::unbounded_channel();
        let reader = tokio::spawn(read_messages(lines, Arc::clone(&shared)));
        let writer = tokio::spawn(write_requests(write, queue, Arc::clone(&shared)));
        let qmp = Self {
            shared,
            requests,
            next_id: AtomicU64::new(1),
            reader,
            writer,
        };
        qmp.execute(qapi_qmp::qmp_capabilities { enable: None }, limit)
            .await?;
        Ok((qmp, greeting))
    }

    /// Runs one command and waits at most `limit` for its answer.
    ///
    /// # Errors
    ///
    /// [`QmpError::Refused`] with QEMU's own description; [`QmpError::Timeout`], after which the
    /// command may still take effect; [`QmpError::Disconnected`].
    pub async fn execute<C: Command>(
        &self,
        command: C,
        limit: Duration,
    ) -> Result<C::Ok, QmpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut line = serde_json::to_vec(&Request {
            execute: C::NAME,
            arguments: &command,
            id,
        })
        .map_err(|source| QmpError::Encode {
            command: C::NAME,
            source,
        })?;
        line.push(b'\n');

        let disconnected = |reason| QmpError::Disconnected {
            command: C::NAME,
            reason,
        };
        let (sender, answer) = oneshot::channel();
        match &mut *self.shared.pending() {
            Pending::Ended(reason) => return Err(disconnected(reason.clone())),
            Pending::Open(waiting) => drop(waiting.insert(id, sender)),
        }
        let _waiting = Waiting {
            shared: &self.shared,
            id,
        };
        if self.requests.send(line).is_err() {
            return Err(disconnected(self.shared.ended()));
        }
        tracing::trace!(command = C::NAME, id, "sent");
        match timeout(limit, answer).await {
            Err(_) => Err(QmpError::Timeout {
                command: C::NAME,
                limit,
            }),
            Ok(Err(_)) => Err(disconnected(self.shared.ended())),
            Ok(Ok(Answer::Error { class, desc })) => Err(QmpError::Refused {
                command: C::NAME,
                class,
                desc,
            }),
            Ok(Ok(Answer::Return(raw))) => {
                serde_json::from_str(raw.get()).map_err(|source| QmpError::Decode {
                    command: C::NAME,
                    source,
                })
            }
        }
    }

    /// Events from now on. Those before the call are not replayed.
    pub fn subscribe(&self) -> EventStream {
        let receiver = match &*self.shared.events() {
            Some(events) => events.subscribe(),
            // Ended: a channel whose sender is gone reports just that.
            None => broadcast::channel(1).1,
        };
        EventStream {
            receiver,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Waits until the connection ends and says why.
    pub async fn ended(&self) -> Disconnect {
        let mut events = self.subscribe();
        loop {
            match events.receiver.recv().await {
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return self.shared.ended(),
            }
        }
    }

    /// Closes the socket and waits until it is closed, so that the next client is served at once.
    pub async fn close(mut self) {
        self.abort();
        // An aborted task ends with `JoinError`, which is what we want here.
        let _ = (&mut self.reader).await;
        let _ = (&mut self.writer).await;
    }

    fn abort(&self) {
        self.shared.end(Disconnect::Local);
        self.reader.abort();
        self.writer.abort();
    }
}

impl Drop for Qmp {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Events of one connection, from [`Qmp::subscribe`].
#[derive(Debug)]
pub struct EventStream {
    receiver: broadcast::Receiver<Event>,
    shared: Arc<Shared>,
}

impl EventStream {
    /// The next event. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`QmpError::EventsLost`] once if this subscriber fell behind (the stream goes on),
    /// [`QmpError::Disconnected`] when the connection has ended.
    pub async fn next(&mut self) -> Result<Event, QmpError> {
        match self.receiver.recv().await {
            Ok(event) => Ok(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                Err(QmpError::EventsLost { missed })
            }
            Err(broadcast::error::RecvError::Closed) => Err(QmpError::Disconnected {
                command: "an event",
                reason: self.shared.ended(),
            }),
        }
    }

    /// The next event that `wanted` accepts; others are passed over.
    ///
    /// `name` is for the error text only.
    ///
    /// # Errors
    ///
    /// [`QmpError::NoEvent`] after `limit`, and those of [`EventStream::next`].
    pub async fn wait_for(
        &mut self,
        name: &'static str,
        limit: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Result<Event, QmpError> {
        let search = async {
            loop {
                let event = self.next().await?;
                if wanted(&event) {
                    return Ok(event);
                }
            }
        };
        timeout(limit, search)
            .await
            .unwrap_or(Err(QmpError::NoEvent { event: name, limit }))
    }
}

/// The read half, cut into messages.
struct Lines {
    socket: OwnedReadHalf,
    framer: LineFramer,
    chunk: Vec<u8>,
    filled: std::ops::Range<usize>,
}

impl Lines {
    fn new(socket: OwnedReadHalf) -> Self {
        Self {
            socket,
            framer: LineFramer::new(MAX_LINE),
            chunk: vec![0; CHUNK],
            filled: 0..0,
        }
    }

    async fn next(&mut self) -> Result<Message, Disconnect> {
        loop {
            let mut input = &self.chunk[self.filled.clone()];
            let frame = self.framer.next_frame(&mut input);
            self.filled.start = self.filled.end - input.len();
            match frame {
                Some(Frame::Line(line)) => {
                    return Message::parse(&line).map_err(|detail| Disconnect::NotQmp { detail });
                }
                Some(Frame::TooLong | Frame::Sentinel) => {
                    return Err(Disconnect::LineTooLong { limit: MAX_LINE });
                }
                None => {}
            }
            match self.socket.read(&mut self.chunk).await {
                Ok(0) if self.framer.in_line() => return Err(Disconnect::MidLine),
                Ok(0) => return Err(Disconnect::Closed),
                Ok(count) => self.filled = 0..count,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Err(Disconnect::Closed);
                }
                Err(error) => return Err(Disconnect::Io(Arc::new(error))),
            }
        }
    }
}

async fn read_messages(mut lines: Lines, shared: Arc<Shared>) {
    let reason = loop {
        match lines.next().await {
            Ok(Message::Answer { id, answer }) => shared.route(id, answer),
            Ok(Message::Event(event)) => {
                tracing::trace!(name = event.name, "event");
                if let Some(events) = &*shared.events() {
                    // An error only says that nobody has subscribed.
                    drop(events.send(event));
                }
            }
            Ok(Message::Greeting(_)) => {
                break Disconnect::NotQmp {
                    detail: "a second greeting".to_owned(),
                };
            }
            Err(reason) => break reason,
        }
    };
    shared.end(reason);
}

async fn write_requests(
    mut socket: OwnedWriteHalf,
    mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    shared: Arc<Shared>,
) {
    while let Some(line) = queue.recv().await {
        if let Err(error) = socket.write_all(&line).await {
            // The reading side sees the end too, and knows better why.
            if error.kind() != std::io::ErrorKind::BrokenPipe {
                shared.end(Disconnect::Io(Arc::new(error)));
            }
            return;
        }
    }
}
