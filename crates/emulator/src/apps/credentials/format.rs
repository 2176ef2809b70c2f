//! How a project's keys are written down: for a shell, for a `.env` file, as JSON.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{AppKind, Names, ProjectCredentials};

/// A way to write a project's keys down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Lines for a shell: `export NAME='value'`.
    Env,
    /// Lines of a `.env` file: `NAME=value`.
    Dotenv,
    /// The same, for Next.js.
    Next,
    /// The same, for Vite.
    Vite,
    /// The same, for Expo.
    Expo,
    /// One object, with the super secret admin key and the config file's settings.
    Json,
}

impl Format {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Env,
        Self::Dotenv,
        Self::Next,
        Self::Vite,
        Self::Expo,
        Self::Json,
    ];

    /// The kind of app whose names are used. `None` for JSON, which has the backend's.
    pub const fn kind(self) -> Option<AppKind> {
        match self {
            Self::Env | Self::Dotenv => Some(AppKind::Plain),
            Self::Next => Some(AppKind::Next),
            Self::Vite => Some(AppKind::Vite),
            Self::Expo => Some(AppKind::Expo),
            Self::Json => None,
        }
    }
}

impl From<AppKind> for Format {
    /// Lines of a `.env` file for that kind of app.
    fn from(kind: AppKind) -> Self {
        match kind {
            AppKind::Plain => Self::Dotenv,
            AppKind::Next => Self::Next,
            AppKind::Vite => Self::Vite,
            AppKind::Expo => Self::Expo,
        }
    }
}

/// How many values the text of [`Format::Json`] has.
pub const JSON_FIELDS: usize = 6;

/// The fields have the names that the backend gives them.
#[derive(Serialize)]
struct Fields<'a> {
    api_url: &'a str,
    branch_config_override_string: &'a str,
    project_id: &'a str,
    publishable_client_key: &'a str,
    secret_server_key: &'a str,
    super_secret_admin_key: &'a str,
}

impl ProjectCredentials {
    /// The keys as text, with a newline at its end; for the user who asked and nobody else.
    ///
    /// JSON has the backend's names, whatever `names` says.
    pub fn text(&self, format: Format, names: Names) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        let Some(kind) = format.kind() else {
            text.push_str(&self.json());
            text.push('\n');
            return text;
        };
        // No value has a quote in it, or anything else that a shell knows.
        let (before, open, close) = match format {
            Format::Env => ("export ", "='", "'\n"),
            _ => ("", "=", "\n"),
        };
        for variable in self.variables(kind, names) {
            let parts = [before, &variable.name, open, variable.expose(), close];
            text.extend(parts);
        }
        text
    }

    fn json(&self) -> Zeroizing<String> {
        let fields = Fields {
            api_url: &self.api_url,
            branch_config_override_string: &self.branch_config_override_string,
            project_id: &self.project_id,
            publishable_client_key: self.publishable_client_key.expose(),
            secret_server_key: self.secret_server_key.expose(),
            super_secret_admin_key: self.super_secret_admin_key.expose(),
        };
        // A struct of text can always be written as JSON.
        Zeroizing::new(serde_json::to_string(&fields).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrets::SecretText;

    fn credentials() -> ProjectCredentials {
        let secret = |text: &str| SecretText::from_text(text.to_owned()).unwrap();
        ProjectCredentials {
            project_id: "p-1".into(),
            publishable_client_key: secret("pck_1"),
            secret_server_key: secret("ssk_1"),
            super_secret_admin_key: secret("sak_1"),
            branch_config_override_string: "{\"a\": 1}".into(),
            api_url: "http://127.0.0.1:8102".into(),
        }
    }

    #[test]
    fn each_format_names_and_quotes_as_its_reader_expects() {
        let lines = |format| -> Vec<String> {
            let text = credentials().text(format, Names::Old);
            text.lines().map(str::to_owned).collect()
        };
        assert_eq!(lines(Format::Env)[0], "export STACK_PROJECT_ID='p-1'");
        assert_eq!(
            lines(Format::Dotenv),
            [
                "STACK_PROJECT_ID=p-1",
                "STACK_PUBLISHABLE_CLIENT_KEY=pck_1",
                "STACK_API_URL=http://127.0.0.1:8102",
                "STACK_SECRET_SERVER_KEY=ssk_1",
            ]
        );
        assert_eq!(lines(Format::Next)[0], "NEXT_PUBLIC_STACK_PROJECT_ID=p-1");
        assert_eq!(lines(Format::Vite)[0], "VITE_STACK_PROJECT_ID=p-1");
        assert_eq!(lines(Format::Expo)[0], "EXPO_PUBLIC_STACK_PROJECT_ID=p-1");
    }

    #[test]
    fn the_secret_never_gets_a_public_prefix_and_the_admin_key_is_in_json_alone() {
        for format in [
            Format::Env,
            Format::Dotenv,
            Format::Next,
            Format::Vite,
            Format::Expo,
        ] {
            let text = credentials().text(format, Names::Both);
            assert_eq!(text.matches("ssk_1").count(), 2, "{format:?}");
            assert!(!text.contains("_STACK_SECRET"), "{format:?}");
            assert!(!text.contains("_HEXCLAVE_SECRET"), "{format:?}");
            assert!(!text.contains("sak_1"), "{format:?}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&credentials().text(Format::Json, Names::Both)).unwrap();
        assert_eq!(json["super_secret_admin_key"], "sak_1");
        assert_eq!(json.as_object().unwrap().len(), JSON_FIELDS);
        assert_eq!(json["branch_config_override_string"], "{\"a\": 1}");
    }
}
