//! The language of the backend's control socket, over which rotations reach the database.
//!
//! The backend keeps a database connection open, with its statements prepared; a rotation borrows it,
//! which under emulation saves the hundred milliseconds that a connection of its own would cost. One
//! line each way, ASCII, at most [`MAX_LINE`] bytes:
//!
//! ```text
//! > ROTATE <pck> <ssk> <sak>     begin a transaction and update the row
//! < PREPARED <previous pck>      exactly one row changed; not yet committed
//! > COMMIT
//! < COMMITTED
//!
//! > CURRENT                      which key is in force?
//! < PCK <pck>
//!
//! < FAILED <why>                 in place of any answer; the transaction is rolled back
//! ```
//!
//! Closing the connection after `PREPARED` rolls back, so a rotation that dies takes nothing with it.

use zeroize::Zeroizing;

use crate::key::Key;

/// Longest line in bytes, newline included.
pub const MAX_LINE: usize = 512;

/// What a rotation asks of the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Update the keys of project `internal` in a transaction that stays open.
    Rotate(NewKeys),
    /// Commit that transaction.
    Commit,
    /// Tell the publishable client key in force.
    Current,
}

/// The three keys that live in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKeys {
    /// Publishable client key.
    pub pck: Key,
    /// Secret server key.
    pub ssk: Key,
    /// Super secret admin key.
    pub sak: Key,
}

/// What the backend answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The row is updated but not committed; this was its publishable client key.
    Prepared(Key),
    /// The transaction is committed.
    Committed,
    /// The publishable client key in force.
    Current(Key),
    /// Nothing was changed, for this reason.
    Failed(String),
}

/// A line that is not part of the language. Its content is not repeated: it may hold keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a line of the control protocol")]
pub struct NotUnderstood;

impl Request {
    /// Understands a line, without its newline.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(line: &str) -> Result<Self, NotUnderstood> {
        let mut words = line.split(' ');
        let request = match words.next() {
            Some("ROTATE") => Self::Rotate(NewKeys {
                pck: key(words.next())?,
                ssk: key(words.next())?,
                sak: key(words.next())?,
            }),
            Some("COMMIT") => Self::Commit,
            Some("CURRENT") => Self::Current,
            _ => return Err(NotUnderstood),
        };
        words
            .next()
            .is_none()
            .then_some(request)
            .ok_or(NotUnderstood)
    }

    /// The line to send, newline included.
    pub fn to_line(&self) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Rotate(NewKeys { pck, ssk, sak }) => {
                format!(
                    "ROTATE {} {} {}\n",
                    pck.expose(),
                    ssk.expose(),
                    sak.expose()
                )
            }
            Self::Commit => "COMMIT\n".to_owned(),
            Self::Current => "CURRENT\n".to_owned(),
        })
    }
}

impl Reply {
    /// Understands a line, without its newline.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(line: &str) -> Result<Self, NotUnderstood> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "PREPARED" => Ok(Self::Prepared(key(Some(rest))?)),
            "COMMITTED" if rest.is_empty() => Ok(Self::Committed),
            "PCK" => Ok(Self::Current(key(Some(rest))?)),
            "FAILED" => Ok(Self::Failed(rest.to_owned())),
            _ => Err(NotUnderstood),
        }
    }

    /// The line to send, newline included. A reason is cut to fit and kept to one line.
    pub fn to_line(&self) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Prepared(pck) => format!("PREPARED {}\n", pck.expose()),
            Self::Committed => "COMMITTED\n".to_owned(),
            Self::Current(pck) => format!("PCK {}\n", pck.expose()),
            Self::Failed(why) => {
                let mut line = "FAILED ".to_owned();
                for character in why.chars() {
                    let character = if character.is_control() {
                        ' '
                    } else {
                        character
                    };
                    if line.len() + character.len_utf8() >= MAX_LINE {
                        break;
                    }
                    line.push(character);
                }
                line.push('\n');
                line
            }
        })
    }
}

fn key(word: Option<&str>) -> Result<Key, NotUnderstood> {
    Key::parse(word.unwrap_or_default().as_bytes()).map_err(|_| NotUnderstood)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = Key> {
        "[0-9a-f]{64}".prop_map(|text| Key::parse(text.as_bytes()).unwrap())
    }

    proptest! {
        #[test]
        fn requests_come_back(pck in any_key(), ssk in any_key(), sak in any_key()) {
            for request in [Request::Rotate(NewKeys { pck, ssk, sak }), Request::Commit, Request::Current] {
                let line = request.to_line();
                prop_assert!(line.len() <= MAX_LINE);
                prop_assert_eq!(Request::parse(line.trim_end_matches('\n')), Ok(request));
            }
        }

        #[test]
        fn replies_come_back(pck in any_key(), why in "[^\\pC]{0,100}") {
            for reply in [Reply::Prepared(pck.clone()), Reply::Committed, Reply::Current(pck), Reply::Failed(why)] {
                prop_assert_eq!(Reply::parse(reply.to_line().trim_end_matches('\n')), Ok(reply));
            }
        }

        #[test]
        fn a_reason_never_breaks_the_line(why in ".{0,2000}") {
            let line = Reply::Failed(why).to_line();
            prop_assert!(line.len() <= MAX_LINE);
            prop_assert_eq!(line.matches('\n').count(), 1);
        }

        #[test]
        fn any_line_is_handled(line in ".{0,300}") {
            let _ = (Request::parse(&line), Reply::parse(&line));
        }
    }
}
