//! A project as the API shows it: the settings of its config file, in the API's names and with the
//! real backend's defaults.

use serde::Serialize;
use serde_json::{Map, Value};

use super::access::Project;

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
        // The database only holds what was JSON when it was written; anything else shows as defaults.
        let config = serde_json::from_str(&project.config).unwrap_or(Value::Null);
        Self {
            config: ConfigView::of(&config),
            display_name: &project.display_name,
            id: &project.id,
        }
    }
}

impl ConfigView {
    fn of(config: &Value) -> Self {
        let flag = |path: &str, default| {
            lookup(config, path)
                .and_then(Value::as_bool)
                .unwrap_or(default)
        };
        let mut providers: Vec<ProviderView> = entries(config, "auth.oauth.providers")
            .filter(|(_, provider)| {
                lookup(provider, "allowSignIn").and_then(Value::as_bool) != Some(false)
            })
            .map(|(id, _)| ProviderView { id: id.clone() })
            .collect();
        providers.sort_by(|a, b| a.id.cmp(&b.id));
        Self {
            domains: entries(config, "domains.trustedDomains")
                .filter_map(|(_, domain)| {
                    Some(DomainView {
                        domain: lookup(domain, "baseUrl")?.as_str()?.to_owned(),
                        handler_path: lookup(domain, "handlerPath")
                            .and_then(Value::as_str)
                            .unwrap_or("/handler")
                            .to_owned(),
                    })
                })
                .collect(),
            enabled_oauth_providers: providers,
            allow_team_api_keys: flag("apiKeys.enabled.team", false),
            allow_user_api_keys: flag("apiKeys.enabled.user", false),
            client_user_deletion_enabled: flag("users.allowClientUserDeletion", false),
            client_team_creation_enabled: flag("teams.allowClientTeamCreation", false),
            passkey_enabled: flag("auth.passkey.allowSignIn", false),
            magic_link_enabled: flag("auth.otp.allowSignIn", false),
            credential_enabled: flag("auth.password.allowSignIn", false),
            sign_up_enabled: flag("auth.allowSignUp", true),
        }
    }
}

/// Finds a setting. Config files may write `auth: { password: { … } }`, `"auth.password": { … }`, or any
/// mix, so at each level every leading part of the path is tried as a name.
fn lookup<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    let object = value.as_object()?;
    let ends = path
        .match_indices('.')
        .map(|(index, _)| index)
        .chain([path.len()]);
    ends.into_iter().find_map(|end| {
        let rest = path.get(end + 1..).unwrap_or_default();
        lookup(object.get(&path[..end])?, rest)
    })
}

fn entries<'a>(config: &'a Value, path: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    lookup(config, path)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_config_has_the_defaults() {
        let expected = ConfigView {
            sign_up_enabled: true,
            ..ConfigView::default()
        };
        assert_eq!(ConfigView::of(&json!({})), expected);
        assert_eq!(ConfigView::of(&Value::Null), expected);
    }

    #[test]
    fn nested_and_dotted_names_mean_the_same() {
        for config in [
            json!({ "auth": { "password": { "allowSignIn": true }, "allowSignUp": false } }),
            json!({ "auth.password.allowSignIn": true, "auth": { "allowSignUp": false } }),
            json!({ "auth.password": { "allowSignIn": true }, "auth.allowSignUp": false }),
        ] {
            let view = ConfigView::of(&config);
            assert!(view.credential_enabled && !view.sign_up_enabled, "{config}");
        }
    }

    #[test]
    fn providers_and_domains_are_listed() {
        let view = ConfigView::of(&json!({
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
