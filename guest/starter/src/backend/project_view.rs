//! A project as the API shows it: the settings of its config file, in the API's names and with the
//! real backend's defaults.

use serde::Serialize;

use super::{access::Project, config::Config};

/// The body of `projects/current`.
#[derive(Debug, Serialize)]
pub(super) struct ProjectView<'a> {
    config: ConfigView,
    display_name: &'a str,
    id: &'a str,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct ConfigView {
    domains: Vec<DomainView>,
    enabled_oauth_providers: Vec<ProviderView>,
    allow_team_api_keys: bool,
    allow_user_api_keys: bool,
    client_user_deletion_enabled: bool,
    client_team_creation_enabled: bool,
    passkey_enabled: bool,
    magic_link_enabled: bool,
    credential_enabled: bool,
    sign_up_enabled: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct DomainView {
    domain: String,
    handler_path: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ProviderView {
    id: String,
}

impl<'a> ProjectView<'a> {
    pub(super) fn of(project: &'a Project) -> Self {
        Self {
            config: ConfigView::of(&project.config),
            display_name: &project.display_name,
            id: &project.id,
        }
    }
}

impl ConfigView {
    fn of(config: &Config) -> Self {
        Self {
            domains: config
                .trusted_domains()
                .into_iter()
                .map(|(domain, handler_path)| DomainView {
                    domain,
                    handler_path,
                })
                .collect(),
            enabled_oauth_providers: config
                .oauth_providers()
                .into_iter()
                .map(|id| ProviderView { id })
                .collect(),
            allow_team_api_keys: config.team_api_keys(),
            allow_user_api_keys: config.user_api_keys(),
            client_user_deletion_enabled: config.client_user_deletion(),
            client_team_creation_enabled: config.client_team_creation(),
            passkey_enabled: config.flag("auth.passkey.allowSignIn", false),
            magic_link_enabled: config.one_time_codes(),
            credential_enabled: config.passwords(),
            sign_up_enabled: config.sign_up(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(config: &Value) -> ConfigView {
        ConfigView::of(&Config::parse(&config.to_string()))
    }

    #[test]
    fn an_empty_config_has_the_defaults() {
        let expected = ConfigView {
            sign_up_enabled: true,
            ..ConfigView::default()
        };
        assert_eq!(view(&json!({})), expected);
        assert_eq!(view(&Value::Null), expected);
    }

    #[test]
    fn providers_and_domains_are_listed() {
        let view = view(&json!({
            "auth": { "oauth": { "providers": {
                "google": { "type": "google" },
                "github": { "type": "github", "allowSignIn": true },
                "off": { "allowSignIn": false },
            } } },
            "domains": { "trustedDomains": { "a": { "baseUrl": "https://example.com" }, "b": {} } },
        }));
        let ids: Vec<_> = view
            .enabled_oauth_providers
            .iter()
            .map(|provider| provider.id.as_str())
            .collect();
        assert_eq!(ids, ["github", "google"]);
        assert_eq!(view.domains.len(), 1);
        assert_eq!(view.domains[0].handler_path, "/handler");
    }
}
