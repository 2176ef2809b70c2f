//! `mail`: what the backend has mailed, for the developer who is also its user.

use std::time::Duration;

use emulator::Code;
use emulator::mail::{Mail, MailQuery, MailSummary, Mailbox};
use serde::Serialize;

use super::Context;
use crate::arguments::MailArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Detail, Render, tell};
use crate::render::mail::MailList;
use crate::render::text::{one_line, printable};

pub(super) async fn run(context: &Context<'_>, arguments: MailArguments) -> Result<Exit, Failure> {
    let open = context.emulator.mailbox(&context.progress);
    let mailbox = context.guarded(Box::pin(open)).await?;
    context
        .abandonable(Box::pin(read(context, &mailbox, arguments)))
        .await
}

async fn read(
    context: &Context<'_>,
    mailbox: &Mailbox,
    arguments: MailArguments,
) -> Result<Exit, Failure> {
    match arguments {
        MailArguments::List { recipient, limit } => {
            let query = MailQuery {
                to: recipient.to.as_deref(),
                after: None,
                limit,
            };
            let mails = mailbox.list(&query).await.map_err(engine)?;
            context.output.report(&MailList { mails })?;
        }
        MailArguments::Show { id, part } => {
            report(context, mailbox.read(&id).await.map_err(engine)?, part.code)?;
        }
        MailArguments::Latest {
            recipient,
            wait,
            part,
        } => {
            let to = recipient.to;
            let newest = mailbox.newest(to.as_deref()).await.map_err(engine)?;
            let mail = match (wait, newest) {
                (Some(seconds), newest) => {
                    wait_for(context, mailbox, to, newest.as_ref(), seconds).await?
                }
                (None, Some(newest)) => mailbox.read(&newest.id).await.map_err(engine)?,
                (None, None) => return Err(Failure::NoMail { to }),
            };
            report(context, mail, part.code)?;
        }
    }
    Ok(Exit::Success)
}

/// The first mail that comes after `newest`, within a time.
async fn wait_for(
    context: &Context<'_>,
    mailbox: &Mailbox,
    to: Option<String>,
    newest: Option<&MailSummary>,
    seconds: u32,
) -> Result<Mail, Failure> {
    let whom = to
        .as_ref()
        .map_or_else(String::new, |to| format!(" to {to}"));
    tell(&format!(
        "Waiting for a mail{}, for {seconds} s at most.\n",
        printable(&whom)
    ));
    let next = next(context, mailbox, to.as_deref(), newest);
    match tokio::time::timeout(Duration::from_secs(seconds.into()), next).await {
        Ok(mail) => mail,
        Err(_) => Err(Failure::NoMailCame { to, seconds }),
    }
}

/// The same without a limit.
async fn next(
    context: &Context<'_>,
    mailbox: &Mailbox,
    to: Option<&str>,
    newest: Option<&MailSummary>,
) -> Result<Mail, Failure> {
    let after = newest.map(|mail| mail.id.as_str());
    match mailbox.wait(to, after).await {
        Err(error) if error.code() == Code::KeyRefused => {
            // The secrets were rotated meanwhile.
            let mailbox = context.emulator.mailbox(&context.progress).await?;
            mailbox.wait(to, after).await.map_err(engine)
        }
        result => result.map_err(engine),
    }
}

fn engine(error: emulator::mail::MailError) -> Failure {
    emulator::AppsError::from(error).into()
}

fn report(context: &Context<'_>, mail: Mail, only_code: bool) -> Result<(), Failure> {
    if !only_code {
        return context.output.report(&mail);
    }
    let MailSummary { code, subject, .. } = mail.summary;
    let code = code.ok_or(Failure::NoMailCode { subject })?;
    context.output.report(&MailCode { code })
}

/// What `--code` reports.
#[derive(Debug, Serialize)]
struct MailCode {
    code: String,
}

impl Render for MailCode {
    fn render(&self, _: Detail) -> String {
        format!("{}\n", one_line(&self.code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_line_whatever_is_in_it() {
        let code = "AB\n12\u{1b}[2J".to_owned();
        let shown = MailCode { code }.render(Detail::Brief);
        assert_eq!(shown, "AB 12\u{fffd}[2J\n");
    }
}
