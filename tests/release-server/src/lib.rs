//! A release server for tests: as much of GitHub's REST API as the emulator
//! uses, over real HTTP on the loopback, with faults on demand. It speaks plain
//! HTTP/1.1, or TLS with an authority of its own and the protocols it is told.
//!
//! Downloads redirect from the API's host to another one, as GitHub's do: the
//! API listens on 127.0.0.1, the storage on `[::1]` (or, without IPv6 and over
//! TLS, under the name `localhost`). What was asked is recorded with all headers, so that a
//! test can say which bytes were sent and where a token arrived.
//!
//! ```no_run
//! # use release_server::{Asset, Fault, FaultKind, Release, Scenario, Server};
//! let server = Server::start(Scenario {
//!     repository: "owner/name".into(),
//!     releases: vec![Release {
//!         tag: "v1".into(),
//!         assets: vec![Asset { id: 1, name: "disk".into(), file: "disk.qcow2".into(), ..Asset::default() }],
//!         ..Release::default()
//!     }],
//!     ..Scenario::default()
//! })?;
//! server.set_faults(vec![Fault::times(1, "/storage/asset/1", FaultKind::Cut { after: 100 })]);
//! println!("{}", server.api());
//! # Ok::<(), std::io::Error>(())
//! ```

#![allow(
    clippy::expect_used,
    reason = "a poisoned lock is the end of a test in any case"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener as StdListener};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

mod bulk;
mod fault;
mod files;
mod rest;
mod scenario;
mod state;
mod tls;
mod wire;
mod zip;

pub use fault::{Fault, FaultKind};
pub use scenario::{Artifact, Asset, Content, Pull, Release, Run, Scenario};
pub use state::Recorded;
use state::{Site, State};

/// A server; ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    state: Arc<State>,
    authority: Option<String>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Begins to serve `scenario` on ports of the system's choice.
    pub fn start(scenario: Scenario) -> io::Result<Self> {
        Self::serve(scenario, None)
    }

    /// As [`Server::start`], over TLS. Of `protocols` (`h2`, `http/1.1`) the
    /// first that a client offers too is spoken.
    pub fn start_tls(scenario: Scenario, protocols: &[&str]) -> io::Result<Self> {
        let (tls, authority) = tls::acceptor(protocols)?;
        let mut server = Self::serve(scenario, Some(tls))?;
        server.authority = Some(authority);
        Ok(server)
    }

    fn serve(scenario: Scenario, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let (api, storage, storage_host) = listen(tls.is_some())?;
        let bulk = bind(Ipv4Addr::LOCALHOST.into())?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State::new(
            scenario,
            format!("{scheme}://{}/", api.local_addr()?),
            format!(
                "{scheme}://{storage_host}:{}/",
                storage.local_addr()?.port()
            ),
            format!("http://{}/", bulk.local_addr()?),
        ));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let serving = state.clone();
        let (began, beginning) = std::sync::mpsc::sync_channel(1);
        // A thread and a runtime of its own, for the caller may be in one.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(began.send(Err(error))),
            };
            runtime.block_on(async move {
                let sites = [(api, Site::Api), (storage, Site::Storage)];
                for (listener, site) in sites {
                    let router = rest::router(serving.clone(), site)
                        .into_make_service_with_connect_info::<wire::Scissors>();
                    let tls = tls.clone();
                    match TcpListener::from_std(listener) {
                        Ok(listener) => drop(tokio::spawn(async move {
                            axum::serve(wire::Tap { listener, tls }, router).await
                        })),
                        Err(error) => return drop(began.send(Err(error))),
                    }
                }
                match TcpListener::from_std(bulk) {
                    Ok(listener) => drop(tokio::spawn(bulk::serve(listener, serving))),
                    Err(error) => return drop(began.send(Err(error))),
                }
                drop(began.send(Ok(())));
                // Dropped or sent: both mean the end.
                drop(stopped.await);
            });
            // Connections that stall on purpose would keep it for ever.
            runtime.shutdown_background();
        });
        beginning
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the server's thread ended")))?;
        Ok(Self {
            state,
            authority: None,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The authority that its certificate is of, in PEM; `None` without TLS.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Base of the REST API: `http://127.0.0.1:<port>/`, or `https`.
    pub fn api(&self) -> &str {
        &self.state.api
    }

    /// Base of the storage that downloads redirect to.
    pub fn storage(&self) -> &str {
        &self.state.storage
    }

    /// Base of what gives assets as fast as the system can; plain HTTP always.
    pub fn bulk(&self) -> &str {
        &self.state.bulk
    }

    /// From now on serves something else.
    pub fn set_scenario(&self, scenario: Scenario) {
        self.state.set_scenario(scenario);
    }

    /// From now on these go wrong, and nothing else.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.state.set_faults(faults);
    }

    /// What was asked so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests()
    }

    /// Forgets what was asked so far.
    pub fn forget_requests(&self) {
        self.state.forget_requests();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; there is nothing to add.
            drop(thread.join());
        }
    }
}

fn bind(address: IpAddr) -> io::Result<StdListener> {
    let listener = StdListener::bind((address, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn listen(tls: bool) -> io::Result<(StdListener, StdListener, &'static str)> {
    let api = bind(Ipv4Addr::LOCALHOST.into())?;
    Ok(match bind(Ipv6Addr::LOCALHOST.into()) {
        Ok(storage) if !tls => (api, storage, "[::1]"),
        // In a tunnel, `reqwest` 0.13 takes the brackets for a part of the
        // certificate's name.
        _ => (api, bind(Ipv4Addr::LOCALHOST.into())?, "localhost"),
    })
}
