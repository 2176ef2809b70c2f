//! A mail as it would travel: a header and two forms of the same text (RFC 5322, RFC 2046).

use base64ct::{Base64, Encoding as _};

/// The sender's address. The real backend's development settings have the same.
const SENDER: &str = "noreply@example.com";
/// Longest header line that is written as it is, in bytes. RFC 5322 allows 998.
const LONGEST: usize = 900;
/// Bytes of text in one encoded word; with them it has 72 of the 75 characters that RFC 2047 allows.
const ENCODED: usize = 45;

/// What the header is made of.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    pub(super) id: String,
    /// Who it is from: the project's name.
    pub(super) project: String,
    pub(super) recipient: String,
    pub(super) subject: String,
    /// As RFC 5322 writes dates.
    pub(super) date: String,
}

impl Envelope {
    /// The sender as a header has it: `"Name" <address>`.
    pub(super) fn from(&self) -> String {
        let plain = self
            .project
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte));
        let name = if plain && self.project.len() <= LONGEST {
            let escaped = self.project.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"")
        } else {
            encoded(&self.project)
        };
        format!("{name} <{SENDER}>")
    }

    /// The recipient as a header has it: `<address>`.
    pub(super) fn to(&self) -> String {
        // No address that the backend takes has any of these.
        let address = self.recipient.replace(|c: char| c.is_control(), "");
        format!("<{address}>")
    }

    /// Name and value of each line of the header, on one line each.
    pub(super) fn header(&self) -> [(&'static str, String); 7] {
        let plain = self
            .subject
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte));
        let subject = if plain && self.subject.len() <= LONGEST {
            self.subject.clone()
        } else {
            encoded(&self.subject)
        };
        let boundary = self.boundary();
        [
            ("From", self.from()),
            ("To", self.to()),
            ("Subject", subject),
            ("Date", self.date.clone()),
            (
                "Message-Id",
                format!("<{}@stack-emulator.localhost>", self.id),
            ),
            ("Mime-Version", "1.0".to_owned()),
            (
                "Content-Type",
                format!("multipart/alternative; boundary=\"{boundary}\""),
            ),
        ]
    }

    /// All of it.
    pub(super) fn source(&self, text: &str, html: &str) -> String {
        let mut lines = Vec::new();
        for (name, value) in self.header() {
            // Only encoded words are long, and there a line may be broken.
            let folded = value.replace("?= =?", "?=\r\n =?");
            lines.push(format!("{name}: {folded}"));
        }
        let boundary = self.boundary();
        lines.push(String::new());
        for (kind, content) in [("plain", text), ("html", html)] {
            lines.extend([
                format!("--{boundary}"),
                format!("Content-Type: text/{kind}; charset=utf-8"),
                "Content-Transfer-Encoding: 8bit".to_owned(),
                String::new(),
                with_line_ends(content),
            ]);
        }
        lines.extend([format!("--{boundary}--"), String::new()]);
        lines.join("\r\n")
    }

    /// How long [`source`](Self::source) is in bytes, with texts that are so long once lines end as in a mail.
    pub(super) fn size(&self, text: usize, html: usize) -> usize {
        self.source("", "").len() + text + html
    }

    /// Who writes a mail does not know its ID yet, and so cannot have this in it.
    fn boundary(&self) -> String {
        format!("=_{}", self.id)
    }
}

/// A text in words that headers can carry (RFC 2047).
fn encoded(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
        let end = ends.take_while(|end| *end <= ENCODED).last();
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(format!(
            "=?utf-8?b?{}?=",
            Base64::encode_string(word.as_bytes())
        ));
        rest = after;
    }
    words.join(" ")
}

/// A text whose lines end as in a mail.
fn with_line_ends(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(project: &str, subject: &str) -> Envelope {
        Envelope {
            id: "m-1".into(),
            project: project.into(),
            recipient: "ada@example.com".into(),
            subject: subject.into(),
            date: "Mon, 30 Nov 2026 09:08:43 +0000".into(),
        }
    }

    #[test]
    fn a_mail_is_a_header_and_two_forms() {
        let source = envelope("My \"App\"", "Hi").source("a\nb\r\n", "<p>a</p>");
        assert_eq!(
            source,
            "From: \"My \\\"App\\\"\" <noreply@example.com>\r\nTo: <ada@example.com>\r\nSubject: Hi\r\n\
             Date: Mon, 30 Nov 2026 09:08:43 +0000\r\nMessage-Id: <m-1@stack-emulator.localhost>\r\n\
             Mime-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"=_m-1\"\r\n\r\n\
             --=_m-1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\na\r\nb\r\n\r\n\
             --=_m-1\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>a</p>\r\n\
             --=_m-1--\r\n"
        );
    }

    #[test]
    fn what_is_not_ascii_is_encoded() {
        let envelope = envelope("Käse", "Grüße");
        assert_eq!(
            envelope.from(),
            "=?utf-8?b?S8Okc2U=?= <noreply@example.com>"
        );
        assert_eq!(envelope.header()[2].1, "=?utf-8?b?R3LDvMOfZQ==?=");
    }

    proptest! {
        #[test]
        fn no_name_or_subject_makes_a_line_of_its_own(project in "\\PC{0,80}|.{0,400}", subject in ".{0,1200}") {
            let source = envelope(&project, &subject).source("", "");
            let (header, _) = source.split_once("\r\n\r\n").unwrap();
            let lines: Vec<&str> = header.split("\r\n").collect();
            prop_assert_eq!(lines.iter().filter(|line| !line.starts_with(' ')).count(), 7, "{}", header);
            for line in lines {
                prop_assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
            }
        }

        #[test]
        fn the_size_is_that_of_the_source(subject in ".{0,200}", text in "[a\\r\\né]{0,40}", html in "[a\\r\\né]{0,40}") {
            let envelope = envelope("P", &subject);
            let size = envelope.size(with_line_ends(&text).len(), with_line_ends(&html).len());
            prop_assert_eq!(size, envelope.source(&text, &html).len());
        }

        #[test]
        fn encoded_words_give_the_text_back(text in ".{0,300}") {
            let mut bytes = Vec::new();
            for word in encoded(&text).split_terminator(' ') {
                prop_assert!(word.len() <= 75);
                let inner = word.strip_prefix("=?utf-8?b?").unwrap().strip_suffix("?=").unwrap();
                let part = Base64::decode_vec(inner).unwrap();
                prop_assert!(std::str::from_utf8(&part).is_ok());
                bytes.extend(part);
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }
    }
}
