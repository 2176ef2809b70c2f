//! What `mail` shows. All of it but the labels was written by strangers.

use std::fmt::Write as _;

use emulator::mail::{Mail, MailSummary};
use serde::Serialize;

use super::images::ago;
use super::style::{ADDRESS, FAINT, STRONG};
use super::text::{Facts, one_line, pad, paint, printable, widest};
use crate::output::{Detail, Render};

/// What `mail list` reports.
#[derive(Debug, Serialize)]
pub(crate) struct MailList {
    pub(crate) mails: Vec<MailSummary>,
}

// Writing to a string cannot fail, so the results of `writeln!` are dropped.
impl Render for MailList {
    fn render(&self, _: Detail) -> String {
        if self.mails.is_empty() {
            return "No mails.\n".to_owned();
        }
        let cells = self.mails.iter().map(|mail| {
            [
                one_line(&mail.id),
                ago(mail.created_at_ms),
                one_line(&mail.to),
                one_line(&mail.subject),
            ]
        });
        let cells: Vec<_> = cells.collect();
        let width = |column: usize| widest(cells.iter().map(|row| row[column].as_str()));
        let [id_width, time_width, to_width] = [0, 1, 2].map(width);
        let mut text = String::new();
        for [id, time, to, subject] in &cells {
            let _ = writeln!(
                text,
                "{}  {}  {}  {subject}",
                paint(STRONG, &pad(id, id_width)),
                paint(FAINT, &pad(time, time_width)),
                pad(to, to_width)
            );
        }
        text
    }
}

impl Render for Mail {
    fn render(&self, _: Detail) -> String {
        let mail = &self.summary;
        let mut facts = Facts::default();
        facts.add("To", one_line(&mail.to));
        facts.add("Subject", paint(STRONG, &one_line(&mail.subject)));
        facts.add("Sent", ago(mail.created_at_ms));
        if let Some(code) = &mail.code {
            facts.add("Code", one_line(code));
        }
        if let Some(link) = &mail.link {
            facts.add("Link", paint(ADDRESS, &one_line(link)));
        }
        facts.add("ID", one_line(&mail.id));
        let text = printable(&self.text);
        format!("{}\n{}\n", facts.render(), text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::plain;
    use super::*;

    fn summary(subject: &str) -> MailSummary {
        MailSummary {
            id: "m-1".into(),
            project_id: "p-1".into(),
            to: "ada@example.com".into(),
            subject: subject.into(),
            link: Some("http://localhost:3000/?code=x".into()),
            code: Some("AB12CD".into()),
            created_at_ms: 0,
        }
    }

    #[test]
    fn a_list_is_a_line_for_each_mail_whatever_its_subject() {
        let mails = vec![summary("Hi\n\u{1b}[2Jthere"), summary("Other")];
        let text = plain(&MailList { mails }.render(Detail::Brief));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains("ada@example.com  Hi \u{fffd}[2Jthere\n"),
            "{text}"
        );
        let none = MailList { mails: vec![] };
        assert_eq!(none.render(Detail::Brief), "No mails.\n");
    }

    #[test]
    fn a_mail_has_its_code_and_its_text_and_nothing_for_the_terminal() {
        let mail = Mail {
            summary: summary("Hi"),
            text: "One\nTwo\u{1b}]0;x\u{7}\n\n".into(),
            html: "<p>".into(),
        };
        let rendered = mail.render(Detail::Brief);
        let text = plain(&rendered);
        assert!(text.contains("  Code     AB12CD\n"), "{text}");
        assert!(
            text.ends_with("\n\nOne\nTwo\u{fffd}]0;x\u{fffd}\n"),
            "{text}"
        );
        assert!(
            !rendered.contains("\u{1b}]") && !text.contains("<p>"),
            "{text}"
        );
    }
}
