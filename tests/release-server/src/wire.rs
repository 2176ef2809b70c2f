//! Connections that can be cut at an exact byte.
//!
//! The HTTP library decides when bytes go out, and drops what it has not sent
//! when a body fails. So a cut is made below it: the connection passes the rest
//! of a head and so many bytes after it, and then breaks. Under TLS, bytes are
//! those before they are encrypted.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The end of a head.
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// What a request can do to the connection that it came over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scissors(Arc<Mutex<Cut>>);

#[derive(Debug, Default)]
enum Cut {
    /// Everything passes.
    #[default]
    None,
    /// The head passes, of whose blank line `seen` bytes have; then `after` bytes more.
    AfterHead { seen: usize, after: u64 },
    /// So many bytes pass.
    After(u64),
}

impl Scissors {
    /// Cuts the connection `after` so many bytes of the body that comes next.
    pub(crate) fn cut(&self, after: u64) {
        *self.0.lock().expect("not poisoned") = Cut::AfterHead { seen: 0, after };
    }

    /// Cuts an HTTP/2 connection after so many bytes of any kind: its heads are
    /// frames among others.
    pub(crate) fn cut_frames(&self, after: u64) {
        *self.0.lock().expect("not poisoned") = Cut::After(after);
    }
}

impl Cut {
    /// How many of `bytes` may pass; `None` means that the end is here.
    fn allowed(&self, bytes: &[u8]) -> Option<usize> {
        match *self {
            Self::None => Some(bytes.len()),
            Self::After(0) => None,
            Self::After(left) => Some(bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))),
            // Byte by byte up to the blank line: heads are short.
            Self::AfterHead { .. } => Some(bytes.len().min(1)),
        }
    }

    /// These have passed.
    fn passed(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::After(left) => *left = left.saturating_sub(bytes.len() as u64),
            Self::AfterHead { seen, after } => {
                for byte in bytes {
                    *seen = if *byte == BLANK_LINE[*seen] {
                        *seen + 1
                    } else {
                        usize::from(*byte == BLANK_LINE[0])
                    };
                }
                if *seen == BLANK_LINE.len() {
                    *self = Self::After(*after);
                }
            }
        }
    }
}

/// Accepts connections that can be cut, with TLS if there is a `tls`.
pub(crate) struct Tap {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// A connection that can be cut.
pub(crate) struct Line {
    stream: Stream,
    scissors: Scissors,
}

/// What a connection is at the moment.
enum Stream {
    Plain(TcpStream),
    /// Boxed, as the next one: a TLS session has some kilobytes.
    Handshake(Box<tokio_rustls::Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What can be read and written.
trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Stream {
    /// The connection once its handshake is over. It is made by the task that reads
    /// first, so that no client can keep others from being accepted.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Duplex>>> {
        if let Self::Handshake(handshake) = self {
            let stream = ready!(Pin::new(handshake).poll(context))?;
            *self = Self::Tls(Box::new(stream));
        }
        match self {
            Self::Plain(stream) => Poll::Ready(Ok(Pin::new(stream))),
            Self::Tls(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            Self::Handshake(_) => Poll::Pending,
        }
    }
}

impl Listener for Tap {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let line = Line {
            stream: match &self.tls {
                None => Stream::Plain(stream),
                Some(tls) => Stream::Handshake(Box::new(tls.accept(stream))),
            },
            scissors: Scissors::default(),
        };
        (line, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Tap>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Tap>) -> Self {
        stream.io().scissors.clone()
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_open(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowed = self.scissors.0.lock().expect("not poisoned").allowed(bytes);
        let Some(allowed) = allowed else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let stream = ready!(self.stream.poll_open(context))?;
        let passed = ready!(stream.poll_write(context, &bytes[..allowed]))?;
        self.scissors
            .0
            .lock()
            .expect("not poisoned")
            .passed(&bytes[..passed]);
        Poll::Ready(Ok(passed))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_open(context))?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_open(context))?.poll_shutdown(context)
    }
}
