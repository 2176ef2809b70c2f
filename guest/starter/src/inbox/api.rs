//! The REST interface of Inbucket, version 1, as far as it is about mailboxes: what test suites read mails with.
//!
//! A mailbox is named as Inbucket does it unless it is told otherwise: by what stands before the `@`, in lower case,
//! without a `+tag`. A whole address is taken, too.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{
    Failure,
    mails::{self, Mail},
};
use crate::{backend::database::Database, report};

/// Most mails of a mailbox that are listed: as many as Inbucket keeps.
const MOST: i64 = 500;

pub(super) fn router() -> Router<Database> {
    Router::new()
        .route("/api/v1/mailbox/{name}", get(list).delete(purge))
        .route(
            "/api/v1/mailbox/{name}/{id}",
            get(read).patch(change).delete(delete),
        )
        .route("/api/v1/mailbox/{name}/{id}/source", get(source))
}

/// A mail in a list.
#[derive(Serialize)]
struct Head<'a> {
    mailbox: &'a str,
    id: &'a str,
    from: String,
    to: [String; 1],
    subject: &'a str,
    date: &'a str,
    #[serde(rename = "posix-millis")]
    posix_millis: i64,
    size: usize,
    seen: bool,
}

/// A mail by itself.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    body: Texts<'a>,
    header: BTreeMap<&'static str, [String; 1]>,
    /// The backend's mails have none.
    attachments: [(); 0],
}

#[derive(Serialize)]
struct Texts<'a> {
    text: &'a str,
    html: &'a str,
}

impl<'a> Head<'a> {
    fn of(mail: &'a Mail) -> Self {
        Self {
            mailbox: &mail.mailbox,
            id: &mail.envelope.id,
            from: mail.envelope.from(),
            to: [mail.envelope.to()],
            subject: &mail.envelope.subject,
            date: &mail.date,
            posix_millis: mail.created_at_millis,
            size: mail.size,
            seen: mail.seen,
        }
    }
}

async fn list(
    State(database): State<Database>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let mails = mails::in_mailbox(&database, &name, MOST).await?;
    let heads: Vec<Head<'_>> = mails.iter().map(Head::of).collect();
    Ok(json(&heads))
}

async fn read(
    State(database): State<Database>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let (mail, body) = mails::one(&database, &name, &id).await?;
    let header = mail.envelope.header().into_iter();
    Ok(json(&Message {
        head: Head::of(&mail),
        body: Texts {
            text: &body.text,
            html: &body.html,
        },
        header: header.map(|(name, value)| (name, [value])).collect(),
        attachments: [],
    }))
}

async fn source(
    State(database): State<Database>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let (mail, body) = mails::one(&database, &name, &id).await?;
    // axum's own content type for text.
    Ok(mail.envelope.source(&body.text, &body.html).into_response())
}

/// `PATCH` with `{"seen":true}`. As with Inbucket, a mail cannot become unseen again.
async fn change(
    State(database): State<Database>,
    Path((name, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    struct Change {
        #[serde(default)]
        seen: bool,
    }
    let change: Change = serde_json::from_slice(&body).map_err(|error| {
        Failure::Request(format!("The body must be {{\"seen\":true}}: {error}"))
    })?;
    if change.seen {
        mails::mark_seen(&database, &name, &id).await?;
    }
    Ok(json(&"OK"))
}

async fn delete(
    State(database): State<Database>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Failure> {
    mails::delete(&database, &name, &id).await?;
    Ok(json(&"OK"))
}

async fn purge(
    State(database): State<Database>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    mails::delete_mailbox(&database, &name).await?;
    Ok(json(&"OK"))
}

pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => {
            let kind = HeaderValue::from_static("application/json; charset=utf-8");
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            report::log("cannot write an answer", &error);
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
