//! Calls to the backend, one connection each: the machine may have been resumed since the last one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use axum::{
    body::{self, Body, Bytes},
    http::{
        HeaderMap, HeaderValue, Request, Response, StatusCode,
        header::{CONTENT_TYPE, HOST},
    },
    response::IntoResponse,
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;

use crate::report;

/// Largest answer in bytes: far above a list of all users of a test database.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// How long a call may take. The backend itself gives up after 30 s.
const LIMIT: Duration = Duration::from_secs(35);

/// Where the backend is.
#[derive(Debug)]
pub(super) struct Backend {
    address: SocketAddr,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackendError {
    /// Nobody listens.
    #[error("cannot connect to the backend; is stack-backend running?")]
    Connect(#[source] io::Error),
    /// The connection broke off, or what came was no HTTP.
    #[error("the backend's answer broke off")]
    Http(#[source] hyper::Error),
    /// The answer is too large, or was not sent whole.
    #[error("the backend's answer cannot be read")]
    Answer(#[source] axum::Error),
    /// It takes longer than 35 s.
    #[error("the backend takes too long")]
    Slow,
    /// A session without a token.
    #[error("the backend's answer is not what was asked for")]
    Unexpected,
}

impl IntoResponse for BackendError {
    fn into_response(self) -> Response<Body> {
        report::log("a call to the backend failed", &self);
        let body = json!({
            "code": "BACKEND_UNAVAILABLE",
            "error": format!("The dashboard has no answer from the backend: {self}."),
        });
        let mut response = (StatusCode::BAD_GATEWAY, body.to_string()).into_response();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

impl Backend {
    /// The backend on a port of this machine.
    pub(super) fn at(port: u16) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        }
    }

    /// Sends a request, whose address is a path alone, and reads the answer.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Bytes>, BackendError> {
        if let Ok(host) = HeaderValue::try_from(self.address.to_string()) {
            request.headers_mut().insert(HOST, host);
        }
        tokio::time::timeout(LIMIT, async {
            let stream = TcpStream::connect(self.address)
                .await
                .map_err(BackendError::Connect)?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(BackendError::Http)?;
            // It ends with the sender; what fails there fails here as well.
            tokio::spawn(connection);
            let response = sender
                .send_request(request)
                .await
                .map_err(BackendError::Http)?;
            let (parts, body) = response.into_parts();
            let bytes = body::to_bytes(Body::new(body), MAX_ANSWER)
                .await
                .map_err(BackendError::Answer)?;
            Ok(Response::from_parts(parts, bytes))
        })
        .await
        .map_err(|_| BackendError::Slow)?
    }

    /// Calls one of the endpoints that only an emulator has, with these entries as its body.
    pub(super) async fn own_endpoint(
        &self,
        method: &str,
        below: &str,
        headers: HeaderMap,
        body: &Map<String, Value>,
    ) -> Result<Response<Bytes>, BackendError> {
        let mut request = Request::new(Body::from(Value::Object(body.clone()).to_string()));
        *request.headers_mut() = headers;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let path = format!("/api/v1/internal/local-emulator/{below}");
        let (Ok(method), Ok(path)) = (method.parse(), path.parse()) else {
            return Err(BackendError::Unexpected);
        };
        (*request.method_mut(), *request.uri_mut()) = (method, path);
        self.send(request).await
    }
}
