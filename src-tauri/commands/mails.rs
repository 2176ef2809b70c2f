//! Mails that the backend would have sent: their list for as long as the page shows it, and one of them.

use std::sync::Arc;

use emulator::mail::{Mail, MailQuery, MailSummary, Mailbox};
use emulator::{Code, Emulator, Error};
use progress::Silent;
use tauri::State;
use tauri::ipc::Channel;

use crate::app_state::AppState;
use crate::wire::failure::Answer;
use crate::wire::mails::MailUpdate;

/// The newest mails that are listed.
const MOST: u16 = 200;

/// Sends the list of mails, and again whenever it changes.
#[tauri::command]
#[specta::specta]
pub(crate) async fn follow_mails(
    state: State<'_, Arc<AppState>>,
    on_update: Channel<MailUpdate>,
) -> Answer<u32> {
    let follower = follow(state.emulator(), on_update);
    Ok(state
        .followers
        .add(tauri::async_runtime::spawn(Box::pin(follower))))
}

async fn follow(emulator: Arc<Emulator>, page: Channel<MailUpdate>) {
    let mut list = Following {
        emulator,
        mailbox: None,
        known: None,
    };
    loop {
        let update = match list.next().await {
            Ok(mails) => MailUpdate::Mails { mails },
            Err(error) => {
                tracing::debug!(error = %emulator::chain(&error), "the mails cannot be read");
                let last = MailUpdate::Failed {
                    failure: error.into(),
                };
                // A page that is gone need not know.
                drop(page.send(last));
                return;
            }
        };
        if let Err(error) = page.send(update) {
            tracing::debug!(%error, "the page is gone");
            return;
        }
    }
}

/// The list as the page has it, and where the next one comes from.
struct Following {
    emulator: Arc<Emulator>,
    mailbox: Option<Mailbox>,
    known: Option<Vec<MailSummary>>,
}

impl Following {
    /// The list, once it is another one.
    async fn next(&mut self) -> Result<Vec<MailSummary>, Error> {
        let query = MailQuery {
            limit: MOST,
            ..MailQuery::default()
        };
        loop {
            let is_new = self.mailbox.is_none();
            let mailbox = match self.mailbox.take() {
                Some(mailbox) => mailbox,
                None => Box::pin(self.emulator.mailbox(&Silent)).await?,
            };
            match mailbox.changed_list(&query, self.known.as_deref()).await {
                Ok(mails) => {
                    self.mailbox = Some(mailbox);
                    self.known = Some(mails.clone());
                    return Ok(mails);
                }
                // The secrets were rotated meanwhile.
                Err(error) if !is_new && error.code() == Code::KeyRefused => {}
                Err(error) => return Err(emulator::AppsError::from(error).into()),
            }
        }
    }
}

/// Ends following.
#[tauri::command]
#[specta::specta]
pub(crate) async fn unfollow_mails(state: State<'_, Arc<AppState>>, follower: u32) -> Answer {
    state.followers.remove(follower);
    Ok(())
}

/// One mail.
#[tauri::command]
#[specta::specta]
pub(crate) async fn read_mail(state: State<'_, Arc<AppState>>, id: String) -> Answer<Mail> {
    let emulator = state.emulator();
    let mailbox = Box::pin(emulator.mailbox(&Silent)).await?;
    let mail = mailbox.read(&id).await;
    Ok(mail.map_err(|error| emulator::Error::from(emulator::AppsError::from(error)))?)
}
