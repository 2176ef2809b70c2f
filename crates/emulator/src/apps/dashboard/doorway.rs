//! A page on the loopback that sends this user's browser on to a link.
//!
//! A browser is opened with an address as an argument, which every user of the host can read. So that address leads
//! here, and not to the link: who asks is told the link only if the connection is this user's own. Other users' are
//! closed unread, and nobody is answered twice.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use secrets::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::{DashboardError, DashboardLink};

/// How long the page is offered: as long as a link is good.
const OFFERED: Duration = Duration::from_secs(60);
/// How long a request may take. Browsers also open connections on which nothing comes.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// Connections at once.
const MOST: usize = 16;

/// The page, while it is offered.
#[derive(Debug)]
pub struct Doorway {
    listener: TcpListener,
    server: SocketAddrV4,
    /// Nobody finds the page by chance. It is no secret: arguments show it.
    path: String,
    link: DashboardLink,
}

impl DashboardLink {
    /// Offers a page that leads to the link.
    ///
    /// # Errors
    ///
    /// [`DashboardError::Doorway`], [`DashboardError::Random`].
    pub async fn doorway(self) -> Result<Doorway, DashboardError> {
        let bind = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            match listener.local_addr()? {
                SocketAddr::V4(server) => Ok((listener, server)),
                SocketAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
            }
        };
        let (listener, server) = bind.await.map_err(DashboardError::Doorway)?;
        let random = Secret::generate().map_err(DashboardError::Random)?;
        Ok(Doorway {
            listener,
            server,
            path: format!("/{}", &random.expose()[..32]),
            link: self,
        })
    }
}

impl Doorway {
    /// Its address, which is of no use to other users.
    pub fn address(&self) -> String {
        format!("http://{}{}", self.server, self.path)
    }

    /// Waits for the browser and sends it on.
    ///
    /// # Errors
    ///
    /// [`DashboardError::NobodyCame`] after a minute; [`DashboardError::Doorway`].
    pub async fn lead(self) -> Result<(), DashboardError> {
        match tokio::time::timeout(OFFERED, self.wait()).await {
            Ok(led) => led.map_err(DashboardError::Doorway),
            Err(_) => Err(DashboardError::NobodyCame {
                seconds: OFFERED.as_secs(),
            }),
        }
    }

    async fn wait(self) -> io::Result<()> {
        let mut asking = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if asking.len() < MOST => {
                    let (stream, client) = accepted?;
                    if is_own(client, self.server) {
                        asking.spawn(asked_for(stream, self.path.clone()));
                    }
                }
                Some(asked) = asking.join_next() => {
                    // What breaks off, is too slow or asks for something else is no reason to stop.
                    if let Ok(Some(mut stream)) = asked {
                        return answer(&mut stream, &redirect(&self.link)).await;
                    }
                }
            }
        }
    }
}

/// Whether a connection is this user's. Where that cannot be told it is not.
fn is_own(client: SocketAddr, server: SocketAddrV4) -> bool {
    let SocketAddr::V4(client) = client else {
        return false;
    };
    match host::ports::client_is_this_user(client, server) {
        Ok(is_own) => is_own,
        Err(error) => {
            tracing::warn!(%error, "cannot tell whose a connection is; it is refused");
            false
        }
    }
}

/// Reads a request, and gives the connection back if it asks for `path`.
async fn asked_for(mut stream: TcpStream, path: String) -> Option<TcpStream> {
    let read = async {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut chunk = [0; 1024];
            let length = stream.read(&mut chunk).await.ok()?;
            if length == 0 || head.len() + length > LONGEST_HEAD {
                return None;
            }
            head.extend_from_slice(&chunk[..length]);
        }
        Some(head)
    };
    let head = tokio::time::timeout(REQUEST_LIMIT, read).await.ok()??;
    if head.starts_with(format!("GET {path} HTTP/1.").as_bytes()) {
        return Some(stream);
    }
    // An icon, most likely.
    let nothing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let sent = tokio::time::timeout(REQUEST_LIMIT, answer(&mut stream, nothing));
    drop(sent.await);
    None
}

fn redirect(link: &DashboardLink) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "HTTP/1.1 303 See Other\r\nlocation: {}\r\ncache-control: no-store\r\n\
         referrer-policy: no-referrer\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        link.expose().as_str()
    ))
}

async fn answer(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn doorway() -> Doorway {
        let link = DashboardLink {
            base: "http://127.0.0.1:26700".to_owned(),
            code: Some(Zeroizing::new("c0de".to_owned())),
        };
        link.doorway().await.unwrap()
    }

    /// What comes back for a request; nothing, if the connection is closed.
    async fn ask(server: SocketAddrV4, path: &str) -> String {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    #[tokio::test]
    async fn the_browser_is_sent_on_once() {
        let doorway = doorway().await;
        let (address, server, path) = (doorway.address(), doorway.server, doorway.path.clone());
        assert!(!address.contains("c0de") && !format!("{doorway:?}").contains("c0de"));
        assert_eq!(address, format!("http://{server}{path}"));
        let led = tokio::spawn(doorway.lead());
        // As browsers do: one that is only opened, and one for the icon.
        let silent = TcpStream::connect(server).await.unwrap();
        for other in [
            "/favicon.ico",
            "/",
            &path[..path.len() - 1],
            &format!("{path}x"),
        ] {
            assert!(
                ask(server, other).await.starts_with("HTTP/1.1 404"),
                "{other}"
            );
        }
        let answer = ask(server, &path).await;
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        let location = "location: http://127.0.0.1:26700/handler/sign-in#code=c0de\r\n";
        assert!(answer.contains(location), "{answer}");
        led.await.unwrap().unwrap();
        assert!(TcpStream::connect(server).await.is_err(), "it is closed");
        drop(silent);
    }

    /// Only root can play another user; anybody else sees that they are let in themselves.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn another_user_is_told_nothing() {
        let doorway = doorway().await;
        let (server, path) = (doorway.server, doorway.path.clone());
        let led = tokio::spawn(doorway.lead());
        if rustix::process::geteuid().is_root() {
            let script = r#"exec 3<>"/dev/tcp/127.0.0.1/$1" && echo in >&2
                printf 'GET %s HTTP/1.1\r\n\r\n' "$2" >&3; cat <&3"#;
            let output = tokio::process::Command::new("setpriv")
                .args([
                    "--reuid=65534",
                    "--clear-groups",
                    "bash",
                    "-c",
                    script,
                    "bash",
                ])
                .args([&server.port().to_string(), &path])
                .output()
                .await
                .unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(errors.starts_with("in\n"), "{errors}");
            assert!(output.stdout.is_empty(), "{output:?}");
        }
        let answer = ask(server, &path).await;
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        led.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn no_two_have_the_same_address() {
        let (one, other) = (doorway().await, doorway().await);
        assert_ne!(one.path, other.path);
        assert_ne!(one.server, other.server);
    }

    #[tokio::test]
    async fn a_head_without_end_is_cut_off() {
        let doorway = doorway().await;
        let server = doorway.server;
        let led = tokio::spawn(doorway.lead());
        let mut stream = TcpStream::connect(server).await.unwrap();
        let long = vec![b'a'; LONGEST_HEAD + 1];
        // It may be closed before all is taken.
        let _ = stream.write_all(&long).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
        led.abort();
    }
}
