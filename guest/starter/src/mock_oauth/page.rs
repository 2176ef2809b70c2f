//! The pages: plain HTML, no script, with a style sheet of their own.

use std::fmt::Write as _;

use super::{people::Person, request::AuthorizationRequest};

/// The style sheet.
pub(super) const STYLE: &str = include_str!("style.css");

/// What was typed into the form, to be shown again when something is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Typed<'a> {
    pub(super) email: &'a str,
    pub(super) name: &'a str,
    pub(super) is_unverified: bool,
    /// What is wrong.
    pub(super) fault: Option<&'a str>,
}

/// The page that asks whom to be.
pub(super) fn ask(request: &AuthorizationRequest, people: &[Person], typed: &Typed<'_>) -> String {
    let provider = escape(provider_name(&request.client_id));
    let action = escape(&format!("/authorize?{}", request.query()));
    let mut body = format!(
        "<h1>Sign in with {provider}</h1>\n\
         <p class=\"note\"><strong>Mock provider.</strong> This page stands in for {provider}. Nothing leaves \
         your machine, and no password is needed: choose who to be.</p>\n"
    );
    // Written to a string, which cannot fail.
    if !people.is_empty() {
        let _ = write!(
            body,
            "<form method=\"post\" action=\"{action}\" class=\"people\">\n<h2>Continue as</h2>\n"
        );
        for person in people {
            let _ = writeln!(body, "{}", button_of(person));
        }
        body.push_str("</form>\n<p class=\"or\">or as somebody else</p>\n");
    }
    let fault = typed.fault.map_or_else(String::new, |fault| {
        format!("<p class=\"fault\" role=\"alert\">{}</p>\n", escape(fault))
    });
    let unverified = if typed.is_unverified { " checked" } else { "" };
    let _ = write!(
        body,
        "<form method=\"post\" action=\"{action}\">\n{fault}\
         <label for=\"email\">Email address</label>\n\
         <input id=\"email\" name=\"email\" type=\"email\" maxlength=\"256\" required autocomplete=\"off\" \
         placeholder=\"ada@example.com\" value=\"{}\">\n\
         <label for=\"name\">Display name <span>(optional)</span></label>\n\
         <input id=\"name\" name=\"name\" maxlength=\"100\" autocomplete=\"off\" placeholder=\"Ada\" value=\"{}\">\n\
         <label class=\"check\"><input type=\"checkbox\" name=\"unverified\" value=\"yes\"{unverified}> \
         The provider has not verified this address</label>\n\
         <div class=\"buttons\"><button class=\"main\">Continue</button>\
         <button name=\"decision\" value=\"deny\" formnovalidate>Deny access</button></div>\n</form>\n",
        escape(typed.email),
        escape(typed.name),
    );
    page(&format!("Sign in with {provider}"), &body)
}

fn button_of(person: &Person) -> String {
    let name = person.display_name.as_deref().unwrap_or(&person.email);
    let initial: String = name.chars().take(1).flat_map(char::to_uppercase).collect();
    let state = if person.email_verified {
        ""
    } else {
        " · not verified"
    };
    let second = if person.display_name.is_some() {
        format!("{}{state}", person.email)
    } else {
        state.trim_start_matches(" · ").to_owned()
    };
    let second = if second.is_empty() {
        String::new()
    } else {
        format!("<small>{}</small>", escape(&second))
    };
    format!(
        "<button name=\"person\" value=\"{}\"><span class=\"initial\" aria-hidden=\"true\">{}</span>\
         <span class=\"who\"><b>{}</b>{second}</span></button>",
        escape(&person.id),
        escape(&initial),
        escape(name),
    )
}

/// The page for a request that cannot be answered to its client.
pub(super) fn refusal(text: &str) -> String {
    let body = format!(
        "<h1>Request refused</h1>\n<p class=\"fault\" role=\"alert\">{}</p>\n\
         <p>Start again from your app. Only the backend of this emulator can be signed in to here.</p>\n",
        escape(text)
    );
    page("Request refused", &body)
}

/// The page at `/`.
pub(super) fn about() -> String {
    let body = "<h1>Mock OAuth provider</h1>\n\
        <p>Stands in for Google, GitHub and every other provider that your config file names below \
        <code>auth.oauth.providers</code>. An app that signs in with one of them leads here, and you choose who \
        to be. Nothing leaves your machine.</p>\n\
        <p>An access token of a connected account opens <code>/userinfo</code>.</p>\n\
        <p><a href=\"/.well-known/oauth-authorization-server\">Endpoints of this server</a></p>\n";
    page("Mock OAuth provider", body)
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A provider's name as people know it.
fn provider_name(id: &str) -> &str {
    match id {
        "apple" => "Apple",
        "bitbucket" => "Bitbucket",
        "discord" => "Discord",
        "facebook" => "Facebook",
        "github" => "GitHub",
        "gitlab" => "GitLab",
        "google" => "Google",
        "linkedin" => "LinkedIn",
        "microsoft" => "Microsoft",
        "spotify" => "Spotify",
        "twitch" => "Twitch",
        "x" => "X",
        other => other,
    }
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

    fn request() -> AuthorizationRequest {
        AuthorizationRequest {
            client_id: "github".to_owned(),
            redirect_uri: "http://127.0.0.1:1/\"><b>".to_owned(),
            state: "<script>".to_owned(),
            challenge: String::new(),
            scope: String::new(),
        }
    }

    fn person(name: Option<&str>, is_verified: bool) -> Person {
        Person {
            id: "id".to_owned(),
            email: "ada@example.com".to_owned(),
            email_verified: is_verified,
            display_name: name.map(str::to_owned),
        }
    }

    #[test]
    fn people_are_offered_by_name_and_address() {
        let people = [person(Some("Ada"), true), person(None, false)];
        let page = ask(&request(), &people, &Typed::default());
        assert!(page.contains("<b>Ada</b><small>ada@example.com</small>"));
        assert!(page.contains("<b>ada@example.com</b><small>not verified</small>"));
        assert!(page.contains("Sign in with GitHub"));
        let page = ask(&request(), &[], &Typed::default());
        assert!(!page.contains("Continue as"));
    }

    proptest! {
        #[test]
        fn nothing_that_was_typed_is_markup(text in "[<>\"'&a-z]{0,30}") {
            let typed = Typed { email: &text, name: &text, is_unverified: true, fault: Some(&text) };
            let people = [person(Some(&text), true)];
            let page = ask(&request(), &people, &typed);
            let plain = ask(&request(), &[person(Some("a"), true)], &Typed { fault: Some(""), ..Typed::default() });
            // As many tags as without it.
            prop_assert_eq!(page.matches('<').count(), plain.matches('<').count());
            prop_assert_eq!(page.matches('>').count(), plain.matches('>').count());
            // And as many quotes, but for that of ` checked`, which has none.
            prop_assert_eq!(page.matches('"').count(), plain.matches('"').count());
        }
    }
}
