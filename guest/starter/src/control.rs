//! The language of the backend's control socket, over which rotations reach the database.
//!
//! The backend keeps a database connection open, with its statements prepared; a rotation borrows it,
//! which under emulation saves the hundred milliseconds that a connection of its own would cost. One
//! line each way, ASCII, at most [`MAX_LINE`] bytes:
//!
//! ```text
//! > ROTATE <pck> <ssk> <sak> <cron>     begin a transaction and update the rows
//! < PREPARED                            exactly one key set changed; not yet committed
//! > COMMIT
//! < COMMITTED
//!
//! > CURRENT                             which secrets are in force?
//! < VALUES <pck> <ssk> <sak> <cron>
//!
//! < FAILED <why>                        in place of any answer; the transaction is rolled back
//! ```
//!
//! Closing the connection after `PREPARED` rolls back, so a rotation that dies takes nothing with it.

use zeroize::Zeroizing;

use crate::{key::Key, secrets::Secrets};

/// Longest line in bytes, newline included.
pub const MAX_LINE: usize = 512;

/// What a rotation asks of the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Update the secrets in a transaction that stays open.
    Rotate(Box<Secrets>),
    /// Commit that transaction.
    Commit,
    /// Tell the secrets in force.
    Current,
}

/// What the backend answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The secrets are updated but not committed.
    Prepared,
    /// The transaction is committed.
    Committed,
    /// The secrets in force.
    Values(Box<Secrets>),
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
        match (line, line.strip_prefix("ROTATE ")) {
            ("COMMIT", _) => Ok(Self::Commit),
            ("CURRENT", _) => Ok(Self::Current),
            (_, Some(words)) => Ok(Self::Rotate(Box::new(parse_secrets(words)?))),
            (_, None) => Err(NotUnderstood),
        }
    }

    /// The line to send, newline included.
    pub fn to_line(&self) -> Zeroizing<String> {
        match self {
            Self::Rotate(secrets) => secrets_line("ROTATE", secrets),
            Self::Commit => Zeroizing::new("COMMIT\n".to_owned()),
            Self::Current => Zeroizing::new("CURRENT\n".to_owned()),
        }
    }
}

impl Reply {
    /// Understands a line, without its newline.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(line: &str) -> Result<Self, NotUnderstood> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("PREPARED", "") => Ok(Self::Prepared),
            ("COMMITTED", "") => Ok(Self::Committed),
            ("VALUES", words) => Ok(Self::Values(Box::new(parse_secrets(words)?))),
            ("FAILED", why) => Ok(Self::Failed(why.to_owned())),
            _ => Err(NotUnderstood),
        }
    }

    /// The line to send, newline included. A reason is cut to fit and kept to one line.
    pub fn to_line(&self) -> Zeroizing<String> {
        match self {
            Self::Prepared => Zeroizing::new("PREPARED\n".to_owned()),
            Self::Committed => Zeroizing::new("COMMITTED\n".to_owned()),
            Self::Values(secrets) => secrets_line("VALUES", secrets),
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
                Zeroizing::new(line)
            }
        }
    }
}

fn parse_secrets(words: &str) -> Result<Secrets, NotUnderstood> {
    let mut words = words.split(' ');
    let mut key = || {
        let word = words.next().ok_or(NotUnderstood)?;
        Key::parse(word.as_bytes()).map_err(|_| NotUnderstood)
    };
    let secrets = Secrets {
        pck: key()?,
        ssk: key()?,
        sak: key()?,
        cron: key()?,
    };
    words
        .next()
        .is_none()
        .then_some(secrets)
        .ok_or(NotUnderstood)
}

fn secrets_line(word: &str, secrets: &Secrets) -> Zeroizing<String> {
    let Secrets {
        pck,
        ssk,
        sak,
        cron,
    } = secrets;
    let mut line = Zeroizing::new(String::with_capacity(MAX_LINE));
    line.push_str(word);
    for key in [pck, ssk, sak, cron] {
        line.push(' ');
        line.push_str(key.expose());
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = Key> {
        "[0-9a-f]{64}".prop_map(|text| Key::parse(text.as_bytes()).unwrap())
    }

    fn any_secrets() -> impl Strategy<Value = Secrets> {
        (any_key(), any_key(), any_key(), any_key()).prop_map(|(pck, ssk, sak, cron)| Secrets {
            pck,
            ssk,
            sak,
            cron,
        })
    }

    #[test]
    fn lines_with_too_little_or_too_much_are_refused() {
        let key = "0".repeat(64);
        for line in [
            "ROTATE",
            &format!("ROTATE {key} {key} {key}"),
            &format!("ROTATE {key} {key} {key} {key} {key}"),
            &format!("ROTATE {key} {key} {key} {key} "),
            "COMMIT now",
            "COMMIT ",
            "CURRENT ",
            "commit",
            "",
        ] {
            assert_eq!(Request::parse(line), Err(NotUnderstood), "{line}");
        }
    }

    proptest! {
        #[test]
        fn requests_come_back(secrets in any_secrets()) {
            for request in [Request::Rotate(Box::new(secrets)), Request::Commit, Request::Current] {
                let line = request.to_line();
                prop_assert!(line.len() <= MAX_LINE);
                prop_assert_eq!(Request::parse(line.trim_end_matches('\n')), Ok(request));
            }
        }

        #[test]
        fn replies_come_back(secrets in any_secrets(), why in "[^\\pC]{0,100}") {
            for reply in [Reply::Prepared, Reply::Committed, Reply::Values(Box::new(secrets)), Reply::Failed(why)] {
                let line = reply.to_line();
                prop_assert!(line.len() <= MAX_LINE);
                prop_assert_eq!(Reply::parse(line.trim_end_matches('\n')), Ok(reply));
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
