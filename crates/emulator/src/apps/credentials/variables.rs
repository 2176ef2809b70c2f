//! The names under which an app finds its project's keys.
//!
//! Each has two: the project is called Hexclave now, and was called Stack. Newer versions of the SDK read
//! `HEXCLAVE_…`, older ones `STACK_…`, and those that know both refuse to go on where they differ.

use serde::{Deserialize, Serialize};

use super::ProjectCredentials;

/// What kind of app is asked for: it decides about prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppKind {
    /// Any program: names without a prefix.
    Plain,
    /// Next.js: what pages may see has the prefix `NEXT_PUBLIC_`.
    Next,
    /// Vite: `VITE_`.
    Vite,
    /// Expo: `EXPO_PUBLIC_`.
    Expo,
}

impl AppKind {
    const fn public_prefix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Next => "NEXT_PUBLIC_",
            Self::Vite => "VITE_",
            Self::Expo => "EXPO_PUBLIC_",
        }
    }
}

/// Which of their two names variables have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// `HEXCLAVE_…`.
    New,
    /// `STACK_…`.
    Old,
    /// Both, with equal values.
    #[default]
    Both,
}

impl Names {
    /// How the names begin, behind a public prefix; the newer first.
    const fn stems(self) -> &'static [&'static str] {
        match self {
            Self::New => &[NEW],
            Self::Old => &[OLD],
            Self::Both => &[NEW, OLD],
        }
    }
}

const NEW: &str = "HEXCLAVE_";
const OLD: &str = "STACK_";

/// The other name of a variable that has two, of whatever prefix: `VITE_STACK_PROJECT_ID` is also
/// `VITE_HEXCLAVE_PROJECT_ID`.
pub(in crate::apps) fn twin(name: &str) -> Option<String> {
    let kinds = [AppKind::Plain, AppKind::Next, AppKind::Vite, AppKind::Expo];
    kinds.into_iter().find_map(|kind| {
        let prefix = kind.public_prefix();
        let stemmed = name.strip_prefix(prefix)?;
        let old = stemmed.strip_prefix(NEW).map(|rest| (OLD, rest));
        let (stem, rest) = old.or_else(|| Some((NEW, stemmed.strip_prefix(OLD)?)))?;
        Some(format!("{prefix}{stem}{rest}"))
    })
}

/// A variable for an app. `Debug` shows its name alone.
#[derive(Clone, PartialEq, Eq)]
pub struct AppVariable {
    /// Its name.
    pub name: String,
    value: secrets::SecretText,
}

impl AppVariable {
    /// The value. Say where it goes at each call.
    pub fn expose(&self) -> &str {
        self.value.expose()
    }
}

impl std::fmt::Debug for AppVariable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=[redacted]", self.name)
    }
}

impl ProjectCredentials {
    /// What an app of `kind` needs. The secret server key never gets a prefix:
    /// bundlers put what has one into pages.
    pub fn variables(&self, kind: AppKind, names: Names) -> Vec<AppVariable> {
        let mut variables = Vec::new();
        for stem in names.stems() {
            variables.extend(self.public(kind.public_prefix(), stem));
            let name = format!("{stem}SECRET_SERVER_KEY");
            variables.extend(variable(&name, self.secret_server_key.expose()));
        }
        variables
    }

    /// What a child process gets, whatever kind of app it is: all of them.
    pub fn all_variables(&self, names: Names) -> Vec<AppVariable> {
        let mut variables = self.variables(AppKind::Plain, names);
        for kind in [AppKind::Next, AppKind::Vite, AppKind::Expo] {
            for stem in names.stems() {
                variables.extend(self.public(kind.public_prefix(), stem));
            }
        }
        variables
    }

    fn public(&self, prefix: &str, stem: &str) -> Vec<AppVariable> {
        [
            ("PROJECT_ID", self.project_id.as_str()),
            (
                "PUBLISHABLE_CLIENT_KEY",
                self.publishable_client_key.expose(),
            ),
            ("API_URL", self.api_url.as_str()),
        ]
        .into_iter()
        .filter_map(|(name, value)| variable(&format!("{prefix}{stem}{name}"), value))
        .collect()
    }
}

/// `None` never: all three kinds of values have been checked to be plain text.
fn variable(name: &str, value: &str) -> Option<AppVariable> {
    Some(AppVariable {
        name: name.to_owned(),
        value: secrets::SecretText::from_text(value.to_owned())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrets::SecretText;

    fn credentials() -> ProjectCredentials {
        let secret = |text: &str| SecretText::from_text(text.into()).unwrap();
        ProjectCredentials {
            project_id: "p-1".into(),
            publishable_client_key: secret("pck_1"),
            secret_server_key: secret("ssk_1"),
            super_secret_admin_key: secret("sak_1"),
            branch_config_override_string: "{}".into(),
            api_url: "http://127.0.0.1:26701".into(),
        }
    }

    fn lines(variables: &[AppVariable]) -> Vec<String> {
        let line = |v: &AppVariable| format!("{}={}", v.name, v.expose());
        variables.iter().map(line).collect()
    }

    #[test]
    fn the_names_are_the_contract_s() {
        assert_eq!(
            lines(&credentials().variables(AppKind::Next, Names::Old)),
            [
                "NEXT_PUBLIC_STACK_PROJECT_ID=p-1",
                "NEXT_PUBLIC_STACK_PUBLISHABLE_CLIENT_KEY=pck_1",
                "NEXT_PUBLIC_STACK_API_URL=http://127.0.0.1:26701",
                "STACK_SECRET_SERVER_KEY=ssk_1",
            ]
        );
        assert_eq!(
            lines(&credentials().variables(AppKind::Vite, Names::New)),
            [
                "VITE_HEXCLAVE_PROJECT_ID=p-1",
                "VITE_HEXCLAVE_PUBLISHABLE_CLIENT_KEY=pck_1",
                "VITE_HEXCLAVE_API_URL=http://127.0.0.1:26701",
                "HEXCLAVE_SECRET_SERVER_KEY=ssk_1",
            ]
        );
        let all = lines(&credentials().all_variables(Names::Both));
        assert_eq!(all.len(), 26);
        for name in [
            "STACK_API_URL",
            "HEXCLAVE_API_URL",
            "VITE_STACK_PROJECT_ID",
            "NEXT_PUBLIC_HEXCLAVE_PROJECT_ID",
            "EXPO_PUBLIC_STACK_API_URL",
        ] {
            assert!(all.iter().any(|line| line.starts_with(&format!("{name}="))));
        }
    }

    #[test]
    fn both_names_have_one_value() {
        let all = credentials().all_variables(Names::Both);
        for variable in &all {
            let twin = twin(&variable.name).unwrap();
            let other = all.iter().find(|other| other.name == twin).unwrap();
            assert_eq!(other.expose(), variable.expose(), "{twin}");
        }
        for name in ["PATH", "MY_STACK_PROJECT_ID", "STACKED", "NEXT_PUBLIC_X"] {
            assert_eq!(twin(name), None, "{name}");
        }
    }

    #[test]
    fn no_secret_gets_a_prefix_and_the_admin_key_goes_nowhere() {
        for line in lines(&credentials().all_variables(Names::Both)) {
            assert!(!line.ends_with("=sak_1"), "{line}");
            assert!(
                !line.ends_with("=ssk_1")
                    || line.starts_with("STACK_")
                    || line.starts_with("HEXCLAVE_"),
                "{line}"
            );
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!(
            "{:?} {:?}",
            credentials(),
            credentials().all_variables(Names::Both)
        );
        for value in ["pck_1", "ssk_1", "sak_1"] {
            assert!(!shown.contains(value), "{shown}");
        }
    }
}
