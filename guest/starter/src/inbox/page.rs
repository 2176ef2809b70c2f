//! The inbox's page, and what it asks for beyond the REST interface: the mails of all mailboxes, and a mail's HTML.
//!
//! A mail's HTML is somebody else's. It is shown in a frame that is sandboxed by its own policy, wherever it is opened:
//! without scripts and forms, of another origin than the page, and with nothing loaded from anywhere.

use std::{
    io,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    extract::{Path as InPath, Query, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{Failure, api::json, mails};
use crate::backend::database::Database;

/// The page's files: path, name in the folder, kind.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "index.html", "text/html; charset=utf-8"),
    ("/assets/inbox.css", "inbox.css", "text/css; charset=utf-8"),
    (
        "/assets/inbox.js",
        "inbox.js",
        "text/javascript; charset=utf-8",
    ),
    ("/assets/icon.svg", "icon.svg", "image/svg+xml"),
];

/// What a mail's HTML may do. Links open in a window of their own, which is an ordinary one.
const MAIL_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
     style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'self'";
/// Stands before a mail's HTML. A browser takes no notice of a second `doctype`.
const MAIL_START: &str = "<!doctype html><meta charset=\"utf-8\"><base target=\"_blank\">";

/// Mails in a list that asks for no number.
const USUAL: i64 = 100;
/// Most mails in a list.
const MOST: i64 = 1000;
/// Longest text that is searched for, in bytes.
const LONGEST_SEARCH: usize = 320;

/// A file of the inbox's page cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}, a file of the inbox's page; was the image built without it?")]
pub struct PageError {
    path: PathBuf,
    source: io::Error,
}

pub(super) fn router(folder: &Path) -> Result<Router<Database>, PageError> {
    let mut router = Router::new()
        .route("/page/mails", get(list).delete(delete_all))
        .route("/page/mails/{mailbox}/{id}/html", get(html));
    for (path, name, kind) in FILES {
        let file = folder.join(name);
        // Read once: no rotation changes these files, and a start asks for the page.
        let content = std::fs::read(&file).map_err(|source| PageError { path: file, source })?;
        let content = axum::body::Bytes::from(content);
        let kind = HeaderValue::from_static(kind);
        router = router.route(
            path,
            get(async move || ([(header::CONTENT_TYPE, kind)], content)),
        );
    }
    Ok(router)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    search: String,
    limit: Option<i64>,
}

/// A mail in the page's list.
#[derive(Serialize)]
struct Entry<'a> {
    mailbox: &'a str,
    id: &'a str,
    project: &'a str,
    to: &'a str,
    subject: &'a str,
    link: Option<&'a str>,
    code: Option<&'a str>,
    created_at_millis: i64,
    seen: bool,
}

#[derive(Serialize)]
struct List<'a> {
    mails: Vec<Entry<'a>>,
    /// Whether there are older ones.
    more: bool,
}

async fn list(
    State(database): State<Database>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let limit = wanted.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Failure::Request(format!("limit must be from 1 to {MOST}.")));
    }
    if wanted.search.len() > LONGEST_SEARCH || wanted.search.contains('\0') {
        return Err(Failure::Request(format!(
            "search must be a text of {LONGEST_SEARCH} bytes at most."
        )));
    }
    let mails = mails::newest(&database, &wanted.search, limit + 1).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let entries = mails.iter().take(shown).map(|mail| Entry {
        mailbox: &mail.mailbox,
        id: &mail.envelope.id,
        project: &mail.envelope.project,
        to: &mail.envelope.recipient,
        subject: &mail.envelope.subject,
        link: mail.link.as_deref(),
        code: mail.code.as_deref(),
        created_at_millis: mail.created_at_millis,
        seen: mail.seen,
    });
    Ok(json(&List {
        mails: entries.collect(),
        more: mails.len() > shown,
    }))
}

async fn delete_all(State(database): State<Database>) -> Result<Response, Failure> {
    mails::delete_all(&database).await?;
    Ok(json(&"OK"))
}

async fn html(
    State(database): State<Database>,
    InPath((mailbox, id)): InPath<(String, String)>,
) -> Result<Response, Failure> {
    let (_, body) = mails::one(&database, &mailbox, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, MAIL_POLICY),
    ];
    Ok((headers, format!("{MAIL_START}{}", body.html)).into_response())
}
