//! The names under which an app finds its project's keys.

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
    pub fn variables(&self, kind: AppKind) -> Vec<AppVariable> {
        let mut variables = self.public(kind.public_prefix());
        variables.extend(variable(
            "STACK_SECRET_SERVER_KEY",
            self.secret_server_key.expose(),
        ));
        variables
    }

    /// What a child process gets, whatever kind of app it is: all of them.
    pub fn all_variables(&self) -> Vec<AppVariable> {
        let mut variables = self.variables(AppKind::Plain);
        for kind in [AppKind::Next, AppKind::Vite, AppKind::Expo] {
            variables.extend(self.public(kind.public_prefix()));
        }
        variables
    }

    fn public(&self, prefix: &str) -> Vec<AppVariable> {
        [
            ("STACK_PROJECT_ID", self.project_id.as_str()),
            (
                "STACK_PUBLISHABLE_CLIENT_KEY",
                self.publishable_client_key.expose(),
            ),
            ("STACK_API_URL", self.api_url.as_str()),
        ]
        .into_iter()
        .filter_map(|(name, value)| variable(&format!("{prefix}{name}"), value))
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
            lines(&credentials().variables(AppKind::Next)),
            [
                "NEXT_PUBLIC_STACK_PROJECT_ID=p-1",
                "NEXT_PUBLIC_STACK_PUBLISHABLE_CLIENT_KEY=pck_1",
                "NEXT_PUBLIC_STACK_API_URL=http://127.0.0.1:26701",
                "STACK_SECRET_SERVER_KEY=ssk_1",
            ]
        );
        let all = lines(&credentials().all_variables());
        assert_eq!(all.len(), 13);
        for name in [
            "STACK_API_URL",
            "VITE_STACK_PROJECT_ID",
            "EXPO_PUBLIC_STACK_API_URL",
        ] {
            assert!(all.iter().any(|line| line.starts_with(&format!("{name}="))));
        }
    }

    #[test]
    fn no_secret_gets_a_prefix_and_the_admin_key_goes_nowhere() {
        for line in lines(&credentials().all_variables()) {
            assert!(!line.ends_with("=sak_1"), "{line}");
            assert!(
                !line.ends_with("=ssk_1") || line.starts_with("STACK_"),
                "{line}"
            );
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?} {:?}", credentials(), credentials().all_variables());
        for value in ["pck_1", "ssk_1", "sak_1"] {
            assert!(!shown.contains(value), "{shown}");
        }
    }
}
