//! Which settings a config file may have, so that a name that is spelt wrong is told instead of doing nothing.
//!
//! The names are those of the configuration that an app can override, as `@stackframe/stack-shared` 2.8.108
//! publishes it (`dist/config/schema.js`). What the starter goes by is described to the last name; sections
//! that only the full backend goes by, such as payments, are allowed as a whole.

use serde_json::Value;

use Shape::{Anything, Fields, Flag, Map, OneOf, Text};

/// What is expected at a place.
enum Shape {
    /// `true` or `false`.
    Flag,
    /// A string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// An object with these names.
    Fields(&'static [(&'static str, Self)]),
    /// An object whose names are the app's to choose, or a list.
    Map(&'static Self),
    /// The starter has no use for it.
    Anything,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The names that lead there, as the file spells them: `"auth.password"` is one.
    pub(super) names: Vec<String>,
    /// The setting and what is wrong with it.
    pub(super) text: String,
}

const PROVIDERS: &[&str] = &[
    "google",
    "github",
    "microsoft",
    "spotify",
    "facebook",
    "discord",
    "gitlab",
    "bitbucket",
    "linkedin",
    "apple",
    "x",
    "twitch",
];

const ALLOW_SIGN_IN: Shape = Fields(&[("allowSignIn", Flag)]);

const AUTH: Shape = Fields(&[
    ("allowSignUp", Flag),
    ("password", ALLOW_SIGN_IN),
    ("otp", ALLOW_SIGN_IN),
    ("passkey", ALLOW_SIGN_IN),
    (
        "oauth",
        Fields(&[
            (
                "accountMergeStrategy",
                OneOf(&["link_method", "raise_error", "allow_duplicates"]),
            ),
            ("providers", Map(&PROVIDER)),
        ]),
    ),
    ("signUpRules", Anything),
    ("signUpRulesDefaultAction", OneOf(&["allow", "reject"])),
]);

const PROVIDER: Shape = Fields(&[
    ("type", OneOf(PROVIDERS)),
    ("allowSignIn", Flag),
    ("allowConnectedAccounts", Flag),
    ("isShared", Flag),
    ("clientId", Text),
    ("clientSecret", Text),
    ("facebookConfigId", Text),
    ("microsoftTenantId", Text),
    ("appleBundles", Anything),
]);

const RBAC: Shape = Fields(&[
    (
        "permissions",
        Map(&Fields(&[
            ("description", Text),
            ("scope", OneOf(&["team", "project"])),
            ("containedPermissionIds", Map(&Flag)),
        ])),
    ),
    (
        "defaultPermissions",
        Fields(&[
            ("teamCreator", Map(&Flag)),
            ("teamMember", Map(&Flag)),
            ("signUp", Map(&Flag)),
        ]),
    ),
]);

const SETTINGS: Shape = Fields(&[
    ("auth", AUTH),
    ("rbac", RBAC),
    (
        "teams",
        Fields(&[
            ("createPersonalTeamOnSignUp", Flag),
            ("allowClientTeamCreation", Flag),
        ]),
    ),
    ("users", Fields(&[("allowClientUserDeletion", Flag)])),
    (
        "apiKeys",
        Fields(&[("enabled", Fields(&[("team", Flag), ("user", Flag)]))]),
    ),
    (
        "domains",
        Fields(&[
            ("allowLocalhost", Flag),
            (
                "trustedDomains",
                Map(&Fields(&[("baseUrl", Text), ("handlerPath", Text)])),
            ),
        ]),
    ),
    ("onboarding", Fields(&[("requireEmailVerification", Flag)])),
    ("project", Fields(&[("requirePublishableClientKey", Flag)])),
    ("analytics", Anything),
    ("apps", Anything),
    ("customDashboards", Anything),
    ("dataVault", Anything),
    ("dbSync", Anything),
    ("emails", Anything),
    ("payments", Anything),
    ("sourceOfTruth", Anything),
]);

/// Finds the first setting of a file that there is not, or that has a value of another kind.
pub(super) fn check(config: &Value) -> Result<(), Fault> {
    Place::default().check(&SETTINGS, config)
}

/// Where in the file something is.
#[derive(Default)]
struct Place {
    /// The names as the file spells them.
    names: Vec<String>,
}

impl Place {
    fn check(&mut self, shape: &Shape, value: &Value) -> Result<(), Fault> {
        match (shape, value) {
            // The file may say that something is not set.
            (_, Value::Null)
            | (Anything, _)
            | (Flag, Value::Bool(_))
            | (Text, Value::String(_)) => Ok(()),
            (OneOf(texts), Value::String(text)) if texts.contains(&text.as_str()) => Ok(()),
            (Map(inner), Value::Array(values)) => values.iter().try_for_each(|value| {
                // What is in a list has no name to be found by: its position is the list's.
                Self::default().check(inner, value).map_err(|fault| Fault {
                    names: self.names.clone(),
                    text: format!("in `{}`, {}", self.names.join("."), fault.text),
                })
            }),
            (Fields(_) | Map(_), Value::Object(members)) => {
                members.iter().try_for_each(|(name, value)| {
                    self.names.push(name.clone());
                    let inner = self.follow(shape, name)?;
                    self.check(inner, value)?;
                    self.names.pop();
                    Ok(())
                })
            }
            _ => Err(self.fault(&format!("must be {}", shape.in_words()))),
        }
    }

    /// The shape below `shape` that `name` leads to; `a.b` means `b` in `a`.
    fn follow<'a>(&self, shape: &'a Shape, name: &str) -> Result<&'a Shape, Fault> {
        let mut at = shape;
        for step in name.split('.') {
            at = match at {
                Fields(fields) => match fields.iter().find(|(known, _)| *known == step) {
                    Some((_, inner)) => inner,
                    None => return Err(self.unknown(step, fields)),
                },
                Map(inner) => inner,
                Anything => at,
                Flag | Text | OneOf(_) => {
                    let text = format!("has nothing in it, but is {}", at.in_words());
                    return Err(self.fault(&text));
                }
            };
        }
        Ok(at)
    }

    fn unknown(&self, step: &str, fields: &[(&str, Shape)]) -> Fault {
        let nearest = fields
            .iter()
            .map(|(known, _)| (strsim::jaro_winkler(known, step), known))
            .filter(|(similar, _)| *similar > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = if let Some((_, known)) = nearest {
            format!("; did you mean `{known}`?")
        } else {
            let known: Vec<_> = fields.iter().map(|(known, _)| *known).collect();
            format!("; there are {}", known.join(", "))
        };
        self.fault(&format!("is not a setting: there is no `{step}`{hint}"))
    }

    fn fault(&self, text: &str) -> Fault {
        Fault {
            names: self.names.clone(),
            text: format!("`{}` {text}", self.names.join(".")),
        }
    }
}

impl Shape {
    fn in_words(&self) -> String {
        match self {
            Flag => "true or false".to_owned(),
            Text => "a string".to_owned(),
            OneOf(texts) => format!("one of '{}'", texts.join("', '")),
            Fields(_) | Map(_) => "an object".to_owned(),
            Anything => "anything".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_known_however_they_are_nested() {
        for config in [
            json!({}),
            json!({ "auth": { "password": { "allowSignIn": true }, "allowSignUp": false } }),
            json!({ "auth.password.allowSignIn": true, "auth": { "otp.allowSignIn": false } }),
            json!({ "auth.oauth.providers.github": { "allowSignIn": true, "type": "github" } }),
            json!({ "auth": { "oauth": { "providers": { "own": { "type": "google" } } } } }),
            json!({ "rbac.permissions.admin": { "scope": "team", "containedPermissionIds": { "$read_members": true } } }),
            json!({ "domains": { "trustedDomains": [{ "baseUrl": "https://app.test" }] } }),
            json!({ "payments": { "products": { "pro": { "prices": {} } } }, "emails.server.port": 25 }),
            json!({ "auth": null, "teams": { "allowClientTeamCreation": null } }),
        ] {
            assert_eq!(check(&config), Ok(()), "{config}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (config, names, text) in [
            (
                json!({ "auth": { "pasword": {} } }),
                vec!["auth", "pasword"],
                "`auth.pasword` is not a setting: there is no `pasword`; did you mean `password`?",
            ),
            (
                json!({ "auth.otp.allow": true }),
                vec!["auth.otp.allow"],
                "`auth.otp.allow` is not a setting: there is no `allow`; did you mean `allowSignIn`?",
            ),
            (
                json!({ "teams": { "zzz": 1 } }),
                vec!["teams", "zzz"],
                "`teams.zzz` is not a setting: there is no `zzz`; there are createPersonalTeamOnSignUp, allowClientTeamCreation",
            ),
            (
                json!({ "auth": { "allowSignUp": "yes" } }),
                vec!["auth", "allowSignUp"],
                "`auth.allowSignUp` must be true or false",
            ),
            (
                json!({ "auth": { "allowSignUp": { "x": true } } }),
                vec!["auth", "allowSignUp"],
                "`auth.allowSignUp` must be true or false",
            ),
            (
                json!({ "auth.allowSignUp.x": true }),
                vec!["auth.allowSignUp.x"],
                "`auth.allowSignUp.x` has nothing in it, but is true or false",
            ),
            (
                json!({ "teams": true }),
                vec!["teams"],
                "`teams` must be an object",
            ),
            (
                json!({ "rbac": { "permissions": { "a": { "scope": "user" } } } }),
                vec!["rbac", "permissions", "a", "scope"],
                "`rbac.permissions.a.scope` must be one of 'team', 'project'",
            ),
        ] {
            let fault = check(&config).unwrap_err();
            assert_eq!(fault.text, text);
            assert_eq!(fault.names, names);
        }
    }

    proptest! {
        #[test]
        fn the_names_of_a_fault_lead_to_a_member_of_the_file(
            name in "(auth|teams|rbac|users|x)(\\.(password|permissions|oauth|y)){0,2}",
            inner in "[a-z]{1,6}",
            value in prop_oneof![Just(json!(true)), Just(json!("x")), Just(json!([1])), Just(json!({ "allowSignIn": 1 }))],
        ) {
            let config = json!({ name: { inner: value } });
            if let Err(fault) = check(&config) {
                let mut at = &config;
                for name in &fault.names {
                    at = at.get(name).unwrap();
                }
            }
        }
    }
}
