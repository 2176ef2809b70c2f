//! Mails: written into a table, in place of being sent. No mail leaves the machine.
//!
//! [`mailbox`](super::mailbox) shows them, in the order of `"number"`.

use deadpool_postgres::GenericClient;

use super::{access::Project, clock, error::ApiError, store};
use crate::random;

/// What a mail is about. Links lead to pages of the app.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// Signing in, by the link or by typing the code.
    SignIn { link: &'a str, code: &'a str },
    /// Setting a new password.
    PasswordReset { link: &'a str },
    /// Proving that the address is one's own.
    Verification { link: &'a str },
    /// Joining a team.
    Invitation { link: &'a str, team: &'a str },
}

/// A mail's subject and its two forms.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
    /// Where its button leads, if it is one of our own.
    pub(super) link: Option<String>,
    /// What the recipient types, or else the code in the link.
    pub(super) code: Option<String>,
}

/// Writes one of our own mails into the outbox.
///
/// # Errors
/// When the database refuses.
pub(super) async fn send(
    db: &impl GenericClient,
    project: &Project,
    recipient: &str,
    content: &Content<'_>,
) -> Result<(), ApiError> {
    let letter = content.letter(&project.display_name);
    write(db, project, recipient, &letter).await
}

/// Writes a mail into the outbox.
///
/// # Errors
/// When the database refuses.
pub(super) async fn write(
    db: &impl GenericClient,
    project: &Project,
    recipient: &str,
    letter: &Letter,
) -> Result<(), ApiError> {
    store::execute(
        db,
        "write a mail",
        r#"INSERT INTO "Mail" ("id", "projectId", "recipient", "subject", "text", "html", "link", "code",
             "createdAtMillis")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
        &[
            &random::uuid()?,
            &project.id,
            &recipient,
            &one_line(&letter.subject),
            &letter.text,
            &letter.html,
            &letter.link,
            &letter.code,
            &clock::now_millis(),
        ],
    )
    .await?;
    Ok(())
}

impl Content<'_> {
    fn letter(&self, project: &str) -> Letter {
        let project = one_line(project);
        let (subject, what, button, link, code) = match self {
            Self::SignIn { link, code } => (
                format!("Sign in to {project}: your code is {}", code.to_uppercase()),
                format!("Somebody, probably you, wants to sign in to {project} with this address."),
                "Sign in",
                link,
                Some(code.to_uppercase()),
            ),
            Self::PasswordReset { link } => (
                format!("Reset your password at {project}"),
                format!("Somebody, probably you, wants to set a new password at {project}."),
                "Set a new password",
                link,
                None,
            ),
            Self::Verification { link } => (
                format!("Verify your email address at {project}"),
                format!("Please confirm that this address belongs to your account at {project}."),
                "Verify the address",
                link,
                None,
            ),
            Self::Invitation { link, team } => {
                let team = one_line(team);
                (
                    format!("You are invited to join {team}"),
                    format!("You are invited to join the team {team} at {project}."),
                    "Join the team",
                    link,
                    None,
                )
            }
        };
        let typed = code
            .as_ref()
            .map(|code| format!("Or type this code: {code}\n\n"));
        let typed_html = code.as_ref().map(|code| {
            format!(
                "<p>Or type this code: <strong>{}</strong></p>",
                escape(code)
            )
        });
        let end =
            "The link works once, for seven days. If you did not ask for this mail, ignore it.";
        Letter {
            text: format!(
                "{what}\n\n{button}: {link}\n\n{}{end}\n",
                typed.unwrap_or_default()
            ),
            html: format!(
                "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title></head>\
                 <body><p>{}</p><p><a href=\"{}\">{button}</a></p>{}<p>{end}</p></body></html>",
                escape(&subject),
                escape(&what),
                escape(link),
                typed_html.unwrap_or_default()
            ),
            code: code.or_else(|| code_in(link)),
            link: Some((*link).to_owned()),
            subject,
        }
    }
}

/// The address `url` with a code in its query, before a fragment if there is one.
pub(super) fn link_with_code(url: &str, code: &str) -> String {
    let (address, fragment) = match url.split_once('#') {
        Some((address, fragment)) => (address, format!("#{fragment}")),
        None => (url, String::new()),
    };
    let separator = if address.contains('?') { '&' } else { '?' };
    format!("{address}{separator}code={code}{fragment}")
}

/// The code that [`link_with_code`] has put into a link.
fn code_in(link: &str) -> Option<String> {
    let address = link.split_once('#').map_or(link, |(address, _)| address);
    let (_, query) = address.split_once('?')?;
    // The last one: an app's own address may have an entry of that name, too.
    let (_, code) = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "code")
        .last()?;
    Some(code.into_owned())
}

/// A name that goes into a subject: a line of its own would be a header.
fn one_line(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The text of a mail that only has an HTML form: without tags, a line for each block.
pub(super) fn text_of(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        rest = after;
        match name.as_str() {
            // What is in these is not for reading.
            "style" | "script" | "title" if !tag.starts_with('/') => {
                let end = format!("</{name}");
                let at = after.to_ascii_lowercase().find(&end);
                rest = at.map_or("", |at| &after[at..]);
            }
            "p" | "br" | "div" | "tr" | "li" | "h1" | "h2" | "h3" | "table" | "ul" => {
                text.push('\n');
            }
            _ => {}
        }
    }
    text.push_str(rest);
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&nbsp;", " ")
        .replace("&amp;", "&");
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("\n") + "\n"
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_keep_what_they_had() {
        for (url, expected) in [
            ("http://a/b", "http://a/b?code=c"),
            ("http://a/b?x=1", "http://a/b?x=1&code=c"),
            ("http://a/b?x=1#f", "http://a/b?x=1&code=c#f"),
            ("http://a/b#f?", "http://a/b?code=c#f?"),
        ] {
            assert_eq!(link_with_code(url, "c"), expected);
        }
    }

    #[test]
    fn the_code_of_a_link_is_found_again() {
        for url in [
            "http://a/b",
            "http://a/b?code=other",
            "http://a/b?x=1#f?code=other",
        ] {
            let code = code_in(&link_with_code(url, "c1"));
            assert_eq!(code.as_deref(), Some("c1"), "{url}");
        }
        assert_eq!(code_in("http://a/b?x=1"), None);
        assert_eq!(code_in("http://a/b#?code=1"), None);
    }

    #[test]
    fn a_letter_names_its_link_and_the_code_that_is_typed() {
        let link = "http://a/?code=ab12cdrest";
        let sign_in = Content::SignIn {
            link,
            code: "ab12cd",
        };
        let letter = sign_in.letter("P");
        assert_eq!(letter.link.as_deref(), Some(link));
        assert_eq!(letter.code.as_deref(), Some("AB12CD"));
        let letter = Content::PasswordReset { link }.letter("P");
        assert_eq!(letter.code.as_deref(), Some("ab12cdrest"));
    }

    #[test]
    fn names_cannot_make_headers_or_markup() {
        let letter = Content::Invitation {
            link: "http://a/?x=\"><script>",
            team: "T\r\nBcc: x@y.z <b>",
        }
        .letter("P<i>");
        assert!(!letter.subject.contains(['\r', '\n']), "{}", letter.subject);
        assert!(!letter.html.contains("<script>") && !letter.html.contains("<b>"));
        assert!(!letter.html.contains("<i>"), "{}", letter.html);
    }

    #[test]
    fn the_text_of_html_is_what_people_read() {
        let html = "<html><head><title>T</title><style>a > b {}</style></head><body>\n<p>Hi &amp; <b>welcome</b></p><br/>\
                    <a href='x'>1 &lt; 2</a><SCRIPT>x()</SCRIPT></body></html>";
        assert_eq!(text_of(html), "Hi & welcome\n1 < 2\n");
        assert_eq!(text_of("plain"), "plain\n");
    }

    proptest! {
        #[test]
        fn any_html_is_handled(html in "[<>/a-zA-Z&; é\\n]{0,60}|.{0,60}") {
            let _ = text_of(&html);
        }
    }

    #[test]
    fn a_code_is_shown_as_it_is_typed() {
        let letter = Content::SignIn {
            link: "http://a/",
            code: "ab12cd",
        }
        .letter("P");
        assert!(letter.subject.contains("AB12CD"));
        assert!(letter.text.contains("AB12CD") && letter.text.contains("http://a/"));
        assert!(letter.html.contains("AB12CD"));
    }
}
