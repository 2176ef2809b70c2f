//! What goes wrong, where, and how often.

use serde::{Deserialize, Serialize};

/// A fault, for the requests whose path contains `path`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Part of the path, for instance `/storage/asset/1`.
    pub path: String,
    /// How many requests it befalls; `None` means all of them.
    #[serde(default)]
    pub times: Option<u32>,
    /// What befalls them.
    pub kind: FaultKind,
}

impl Fault {
    /// `kind` for each request whose path contains `path`.
    pub fn always(path: &str, kind: FaultKind) -> Self {
        Self {
            path: path.to_owned(),
            times: None,
            kind,
        }
    }

    /// `kind` for the next `times` such requests.
    pub fn times(times: u32, path: &str, kind: FaultKind) -> Self {
        Self {
            times: Some(times),
            ..Self::always(path, kind)
        }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// The connection breaks after this many bytes that follow the head; exact.
    /// Over HTTP/2, where heads and lengths are bytes among others, about so many.
    Cut {
        /// Bytes.
        after: u64,
    },
    /// Nothing more comes after this many bytes, and the connection stays open.
    Stall {
        /// Bytes.
        after: u64,
    },
    /// Bytes come slowly.
    Slow {
        /// Bytes a second.
        rate: u64,
    },
    /// Another status instead of the answer.
    Status {
        /// The status.
        status: u16,
        /// Headers, for instance `retry-after`.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// 403 with the headers of a used-up rate limit.
    RateLimited {
        /// Seconds until it is over.
        reset_in: u64,
    },
    /// A redirect to this address.
    Redirect {
        /// The address.
        to: String,
    },
    /// A redirect to itself.
    RedirectLoop,
    /// Answers with 206 although the file is not the one of `If-Range`.
    IgnoreIfRange,
    /// Answers with 200 and everything although a part was asked for.
    IgnoreRange,
    /// Tells neither `ETag` nor `Last-Modified`.
    NoValidator,
    /// One byte of the content is another one.
    Corrupt {
        /// Which, from 0.
        at: u64,
    },
    /// The content ends earlier, with a length to match.
    Shorter {
        /// Bytes missing.
        by: u64,
    },
    /// The content goes on, with a length to match.
    Longer {
        /// Zero bytes added.
        by: u64,
    },
    /// The length is not told; the end of the content is its end.
    Chunked,
}
