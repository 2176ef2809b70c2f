//! The clipboard: what goes there, and that no secret stays.
//!
//! On X11 and Wayland the clipboard holds nothing itself: the program that copied is asked each time that something is
//! pasted. So a thread owns it for as long as the app runs. A secret is kept out of clipboard histories where
//! the desktop has a way to ask for that, and is taken back after [`KEPT_FOR`], and when the app ends, unless
//! something else was copied meanwhile.

use emulator::Code;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arboard::Error;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::wire::failure::Failure;

/// How long a secret may stay.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(45);

/// The thread that owns the clipboard, begun with the first copy.
#[derive(Debug, Default)]
pub(crate) struct Clipboard {
    owner: Mutex<Option<Owner>>,
}

#[derive(Debug)]
struct Owner {
    wishes: Sender<Wish>,
    thread: JoinHandle<()>,
}

struct Wish {
    text: Zeroizing<String>,
    secret: bool,
    answer: oneshot::Sender<Result<(), Error>>,
}

/// What can hold text for others; the system's clipboard, or one in a test.
trait Board {
    fn put(&mut self, text: &str, secret: bool) -> Result<(), Error>;
    fn text(&mut self) -> Result<String, Error>;
    fn clear(&mut self) -> Result<(), Error>;
}

impl Clipboard {
    /// Copies text that anybody may see.
    pub(crate) async fn copy_text(&self, text: &str) -> Result<(), Failure> {
        self.copy(Zeroizing::new(text.to_owned()), false).await
    }

    /// Copies what is to be gone after [`KEPT_FOR`].
    pub(crate) async fn copy_secret(&self, text: Zeroizing<String>) -> Result<(), Failure> {
        self.copy(text, true).await
    }

    async fn copy(&self, text: Zeroizing<String>, secret: bool) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        let wish = Wish {
            text,
            secret,
            answer,
        };
        self.send(wish)?;
        match answered.await {
            Ok(result) => result.map_err(|error| failed(&error)),
            Err(_) => Err(Failure::new(
                Code::Clipboard,
                "the clipboard's thread has ended",
            )),
        }
    }

    fn send(&self, wish: Wish) -> Result<(), Failure> {
        let mut owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = match &mut *owner {
            // One that could not be opened has ended, and is tried again.
            Some(owner) if !owner.thread.is_finished() => owner,
            none => none.insert(Owner::begin()?),
        };
        owner
            .wishes
            .send(wish)
            .map_err(|_| Failure::new(Code::Clipboard, "the clipboard's thread has ended"))
    }

    /// Takes a secret back that is still there; for the end of the app.
    pub(crate) fn close(&self) {
        let owner = self
            .owner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Owner { wishes, thread }) = owner {
            drop(wishes);
            if thread.join().is_err() {
                tracing::warn!("the clipboard's thread has panicked");
            }
        }
    }
}

impl Owner {
    fn begin() -> Result<Self, Failure> {
        let (wishes, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("clipboard".to_owned())
            .spawn(move || match arboard::Clipboard::new() {
                Ok(mut board) => own(&mut board, &receiver, KEPT_FOR),
                Err(error) => refuse(&receiver, error),
            })
            .map_err(|error| Failure::of(Code::Clipboard, "no thread for the clipboard", &error))?;
        Ok(Self { wishes, thread })
    }
}

fn failed(error: &Error) -> Failure {
    Failure::of(Code::Clipboard, "the clipboard cannot be used", error)
        .with_hint("Show the values and copy them by hand.")
}

/// Answers the one wish that this thread was begun for.
fn refuse(wishes: &Receiver<Wish>, error: Error) {
    if let Ok(wish) = wishes.recv() {
        // Nobody waits for it any more if that fails.
        wish.answer.send(Err(error)).ok();
    }
}

/// Does what is wished until nobody can wish any more.
fn own(board: &mut impl Board, wishes: &Receiver<Wish>, kept_for: Duration) {
    let mut secret: Option<(Zeroizing<String>, Instant)> = None;
    loop {
        let wish = match &secret {
            Some((_, until)) => {
                wishes.recv_timeout(until.saturating_duration_since(Instant::now()))
            }
            None => wishes.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match wish {
            Ok(wish) => {
                let result = board.put(&wish.text, wish.secret);
                if result.is_ok() {
                    let until = Instant::now() + kept_for;
                    secret = wish.secret.then_some((wish.text, until));
                }
                // Nobody waits for it any more if that fails; it is copied all the same.
                wish.answer.send(result).ok();
            }
            Err(end) => {
                if let Some((text, _)) = secret.take() {
                    take_back(board, &text);
                }
                if end == RecvTimeoutError::Disconnected {
                    return;
                }
            }
        }
    }
}

/// Clears the clipboard if it still holds `text`.
fn take_back(board: &mut impl Board, text: &str) {
    let held = match board.text() {
        Ok(held) => Zeroizing::new(held),
        // Something that is no text was copied, or nothing is there.
        Err(Error::ContentNotAvailable) => return,
        Err(error) => {
            tracing::warn!(%error, "the clipboard cannot be read; a secret may be on it still");
            return;
        }
    };
    if held.as_str() != text {
        return;
    }
    if let Err(error) = board.clear() {
        tracing::warn!(%error, "the clipboard cannot be cleared; a secret is on it still");
    }
}

impl Board for arboard::Clipboard {
    fn put(&mut self, text: &str, secret: bool) -> Result<(), Error> {
        let set = self.set();
        if secret {
            exclude(set).text(text)
        } else {
            set.text(text)
        }
    }

    fn text(&mut self) -> Result<String, Error> {
        self.get_text()
    }

    fn clear(&mut self) -> Result<(), Error> {
        arboard::Clipboard::clear(self)
    }
}

#[cfg(target_os = "linux")]
fn exclude(set: arboard::Set<'_>) -> arboard::Set<'_> {
    use arboard::SetExtLinux as _;
    set.exclude_from_history()
}

#[cfg(target_os = "macos")]
fn exclude(set: arboard::Set<'_>) -> arboard::Set<'_> {
    use arboard::SetExtApple as _;
    set.exclude_from_history()
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exclude(set: arboard::Set<'_>) -> arboard::Set<'_> {
    set
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A clipboard that anybody may write to.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Option<String>>>);

    impl Board for Shared {
        fn put(&mut self, text: &str, _: bool) -> Result<(), Error> {
            *self.0.lock().unwrap() = Some(text.to_owned());
            Ok(())
        }

        fn text(&mut self) -> Result<String, Error> {
            self.0
                .lock()
                .unwrap()
                .clone()
                .ok_or(Error::ContentNotAvailable)
        }

        fn clear(&mut self) -> Result<(), Error> {
            *self.0.lock().unwrap() = None;
            Ok(())
        }
    }

    struct Desk {
        board: Shared,
        wishes: Sender<Wish>,
        thread: JoinHandle<()>,
    }

    fn desk(kept_for: Duration) -> Desk {
        let board = Shared::default();
        let (wishes, receiver) = channel();
        let mut owned = board.clone();
        let thread = std::thread::spawn(move || own(&mut owned, &receiver, kept_for));
        Desk {
            board,
            wishes,
            thread,
        }
    }

    impl Desk {
        fn copy(&self, text: &str, secret: bool) {
            let (answer, answered) = oneshot::channel();
            let text = Zeroizing::new(text.to_owned());
            let wish = Wish {
                text,
                secret,
                answer,
            };
            self.wishes.send(wish).unwrap();
            answered.blocking_recv().unwrap().unwrap();
        }

        /// What is there after the app has ended.
        fn end(mut self) -> Option<String> {
            drop(self.wishes);
            self.thread.join().unwrap();
            self.board.text().ok()
        }
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_secret_goes_with_the_app_and_other_text_stays() {
        let secret = desk(LONG);
        secret.copy("ssk", true);
        assert_eq!(secret.end(), None);
        let text = desk(LONG);
        text.copy("ssk", true);
        text.copy("http://127.0.0.1:8101", false);
        assert_eq!(text.end().as_deref(), Some("http://127.0.0.1:8101"));
    }

    #[test]
    fn what_another_program_has_copied_is_not_touched() {
        let desk = desk(LONG);
        desk.copy("ssk", true);
        desk.board.clone().put("theirs", false).unwrap();
        assert_eq!(desk.end().as_deref(), Some("theirs"));
    }

    #[test]
    fn a_secret_is_taken_back_when_its_time_is_over() {
        /// Tells when it is cleared.
        struct Telling(Shared, Sender<()>);

        impl Board for Telling {
            fn put(&mut self, text: &str, secret: bool) -> Result<(), Error> {
                self.0.put(text, secret)
            }

            fn text(&mut self) -> Result<String, Error> {
                self.0.text()
            }

            fn clear(&mut self) -> Result<(), Error> {
                self.0.clear()?;
                self.1.send(()).unwrap();
                Ok(())
            }
        }

        let board = Shared::default();
        let (wishes, receiver) = channel();
        let (cleared, clearing) = channel();
        let mut telling = Telling(board.clone(), cleared);
        let thread =
            std::thread::spawn(move || own(&mut telling, &receiver, Duration::from_millis(1)));
        let (answer, answered) = oneshot::channel();
        let wish = Wish {
            text: Zeroizing::new("ssk".to_owned()),
            secret: true,
            answer,
        };
        wishes.send(wish).unwrap();
        answered.blocking_recv().unwrap().unwrap();
        clearing.recv().unwrap();
        assert!(board.clone().text().is_err());
        drop(wishes);
        thread.join().unwrap();
    }
}
