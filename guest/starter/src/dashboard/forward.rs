//! Calls of a page that is signed in, passed on to the backend's API.
//!
//! Nothing of the request goes on but what is named here: no key, no origin and no cookie.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header::CONTENT_TYPE},
    response::Response,
};

use super::{
    Site,
    backend::BackendError,
    session::{Token, passed_on},
};

/// Header that names the project.
static PROJECT: HeaderName = HeaderName::from_static("x-stack-project-id");

/// `/api/v1/…`, with whichever method.
pub(super) async fn pass_on(
    State(site): State<Arc<Site>>,
    token: Token,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, BackendError> {
    let project = headers
        .get(&PROJECT)
        .cloned()
        .unwrap_or(HeaderValue::from_static(crate::backend::access::INTERNAL));
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    // A request for a proxy names a host as well, which is nothing to the backend.
    *request.uri_mut() = uri
        .path_and_query()
        .map_or_else(Uri::default, |path| Uri::from(path.clone()));
    *request.headers_mut() = token.access_to(project);
    if let Some(kind) = headers.get(CONTENT_TYPE) {
        request.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    site.backend.send(request).await.map(passed_on)
}
