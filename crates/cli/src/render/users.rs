//! What `users` shows. Addresses and names are as strangers wrote them.

use std::fmt::Write as _;

use emulator::users::User;
use serde::Serialize;

use super::images::ago;
use super::style::{FAINT, STRONG};
use super::text::{Facts, one_line, pad, paint, widest};
use crate::output::{Detail, Render};

/// What `users list` reports.
#[derive(Debug, Serialize)]
pub(crate) struct UserList {
    pub(crate) users: Vec<User>,
}

impl Render for UserList {
    fn render(&self, _: Detail) -> String {
        if self.users.is_empty() {
            return "No users.\n".to_owned();
        }
        let row = |user: &User| {
            [
                one_line(user.primary_email.as_deref().unwrap_or("no address")),
                one_line(user.display_name.as_deref().unwrap_or("")),
                ago(user.signed_up_at_ms),
                one_line(&user.id),
            ]
        };
        let cells: Vec<_> = self.users.iter().map(row).collect();
        let width = |column: usize| widest(cells.iter().map(|row| row[column].as_str()));
        let [email_width, name_width, time_width] = [0, 1, 2].map(width);
        let mut text = String::new();
        for [email, name, time, id] in &cells {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}  {}  {}  {id}",
                paint(STRONG, &pad(email, email_width)),
                pad(name, name_width),
                paint(FAINT, &pad(time, time_width)),
            );
        }
        text
    }
}

/// What there is to say of one user.
pub(crate) fn facts(user: &User) -> Facts {
    let mut facts = Facts::default();
    if let Some(email) = &user.primary_email {
        let state = if user.primary_email_verified {
            ""
        } else {
            " (not verified)"
        };
        facts.add("Address", format!("{}{state}", one_line(email)));
    }
    if let Some(name) = &user.display_name {
        facts.add("Name", one_line(name));
    }
    facts.add("ID", one_line(&user.id));
    facts
}

#[cfg(test)]
mod tests {
    use super::super::text::plain;
    use super::*;

    #[test]
    fn a_list_is_a_line_for_each_user_whatever_the_name() {
        let user = |name: Option<&str>| User {
            id: "u-1".into(),
            primary_email: name.map(|_| "ada@example.com".into()),
            primary_email_verified: false,
            display_name: name.map(Into::into),
            has_password: true,
            signed_up_at_ms: 0,
        };
        let users = vec![user(Some("Ada\n\u{1b}[2J")), user(None)];
        let text = plain(&UserList { users }.render(Detail::Brief));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.starts_with("ada@example.com  Ada \u{fffd}[2J  "),
            "{text}"
        );
        let facts = plain(&facts(&user(Some("Ada"))).render());
        assert!(facts.contains("ada@example.com (not verified)"), "{facts}");
    }
}
