//! What a project's config file allows, by the names that it has there.
//!
//! Config files may write `auth: { password: { … } }`, `"auth.password": { … }`, or any mix, so at each level
//! every leading part of a path is tried as a name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The settings of one project.
#[derive(Debug, Clone, PartialEq)]
pub struct Config(Value);

/// Whether a permission is had in a team or in the project as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// In a team.
    Team,
    /// In the project.
    Project,
}

/// At which occasion somebody is given permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// They made a team.
    TeamCreator,
    /// They joined a team.
    TeamMember,
    /// They signed up.
    SignUp,
}

/// A permission of the config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Permission {
    /// Its name.
    pub(super) id: String,
    /// What it is for, in the words of the file.
    pub(super) description: Option<String>,
    /// The permissions that come with it.
    pub(super) contained: BTreeSet<String>,
}

/// A provider that people sign in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OAuthProvider {
    /// What it is, such as `google`; its ID where the file does not say.
    pub(super) kind: String,
    /// Whether people sign in with it.
    pub(super) allows_sign_in: bool,
    /// Whether they connect accounts of it to theirs.
    pub(super) allows_connecting: bool,
}

/// What becomes of a provider's account whose address signs in to an account already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MergeStrategy {
    /// It is another way to sign in to that account, if both sides have verified the address.
    LinkMethod,
    /// Signing in is refused.
    RaiseError,
    /// It makes an account of its own, whose address does not sign in.
    AllowDuplicates,
}

/// What a member of a team may be allowed; these exist in every project.
const TEAM_PERMISSIONS: [&str; 6] = [
    "$update_team",
    "$delete_team",
    "$read_members",
    "$remove_members",
    "$invite_members",
    "$manage_api_keys",
];

impl Config {
    /// Takes the settings as the database has them. It holds only what was JSON when it was written;
    /// anything else counts as no settings.
    pub(super) fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or(Value::Null))
    }

    /// A switch, or `default` where the file says nothing.
    pub(super) fn flag(&self, path: &str, default: bool) -> bool {
        lookup(&self.0, path)
            .and_then(Value::as_bool)
            .unwrap_or(default)
    }

    /// Whether people sign in with passwords.
    pub(super) fn passwords(&self) -> bool {
        self.flag("auth.password.allowSignIn", false)
    }

    /// Whether people sign in with codes that they are sent.
    pub(super) fn one_time_codes(&self) -> bool {
        self.flag("auth.otp.allowSignIn", false)
    }

    /// Whether new accounts are made.
    pub(super) fn sign_up(&self) -> bool {
        self.flag("auth.allowSignUp", true)
    }

    /// Whether an app may make teams for the user that is signed in.
    pub(super) fn client_team_creation(&self) -> bool {
        self.flag("teams.allowClientTeamCreation", false)
    }

    /// Whether an app may delete the user that is signed in.
    pub(super) fn client_user_deletion(&self) -> bool {
        self.flag("users.allowClientUserDeletion", false)
    }

    /// Whether users have API keys.
    pub(super) fn user_api_keys(&self) -> bool {
        self.flag("apiKeys.enabled.user", false)
    }

    /// Whether teams have API keys.
    pub(super) fn team_api_keys(&self) -> bool {
        self.flag("apiKeys.enabled.team", false)
    }

    /// The sign-in providers that are not switched off, in the order of their names.
    pub(super) fn oauth_providers(&self) -> Vec<String> {
        self.providers()
            .filter(|(_, provider)| provider.allows_sign_in)
            .map(|(id, _)| id)
            .collect()
    }

    /// A sign-in provider of the file, also one that is switched off.
    pub(super) fn oauth_provider(&self, id: &str) -> Option<OAuthProvider> {
        self.providers()
            .find(|(known, _)| known == id)
            .map(|(_, provider)| provider)
    }

    fn providers(&self) -> impl Iterator<Item = (String, OAuthProvider)> {
        let mut found = BTreeMap::new();
        collect(&self.0, "auth.oauth.providers", &mut found);
        found.into_iter().map(|(id, fields)| {
            let fields = Value::Object(fields);
            let allows = |name| lookup(&fields, name).and_then(Value::as_bool) != Some(false);
            let provider = OAuthProvider {
                allows_sign_in: allows("allowSignIn"),
                allows_connecting: allows("allowConnectedAccounts"),
                kind: lookup(&fields, "type")
                    .and_then(Value::as_str)
                    .unwrap_or(&id)
                    .to_owned(),
            };
            (id, provider)
        })
    }

    /// What becomes of a provider's account whose address signs in to an account already.
    pub(super) fn account_merge_strategy(&self) -> MergeStrategy {
        let name = lookup(&self.0, "auth.oauth.accountMergeStrategy").and_then(Value::as_str);
        match name {
            Some("raise_error") => MergeStrategy::RaiseError,
            Some("allow_duplicates") => MergeStrategy::AllowDuplicates,
            // The real backend's default.
            _ => MergeStrategy::LinkMethod,
        }
    }

    /// Trusted domains: base URL, and the path of the app's handler pages.
    pub(super) fn trusted_domains(&self) -> Vec<(String, String)> {
        entries(&self.0, "domains.trustedDomains")
            .filter_map(|(_, domain)| {
                let base = lookup(domain, "baseUrl")?.as_str()?.to_owned();
                let handler = lookup(domain, "handlerPath").and_then(Value::as_str);
                Some((base, handler.unwrap_or("/handler").to_owned()))
            })
            .collect()
    }

    /// Whether a mail may have a link to this address: one of the machine itself, unless that is switched
    /// off, or one of a trusted domain.
    pub(super) fn is_trusted(&self, url: &str) -> bool {
        let Some(origin) = Origin::parse(url) else {
            return false;
        };
        if self.flag("domains.allowLocalhost", true) && origin.is_local() {
            return true;
        }
        self.trusted_domains()
            .iter()
            .filter_map(|(base, _)| Origin::parse(base))
            .any(|trusted| trusted == origin)
    }

    /// All permissions of a scope, in the order of their names: those of the file, and the built-in ones.
    pub(super) fn permissions(&self, scope: Scope) -> Vec<Permission> {
        let mut found: BTreeMap<String, Permission> = BTreeMap::new();
        if scope == Scope::Team {
            for id in TEAM_PERMISSIONS {
                found.insert(id.to_owned(), Permission::built_in(id));
            }
        }
        let name = match scope {
            Scope::Team => "team",
            Scope::Project => "project",
        };
        for (id, permission) in entries(&self.0, "rbac.permissions") {
            if lookup(permission, "scope").and_then(Value::as_str) != Some(name) {
                continue;
            }
            found.insert(
                id.clone(),
                Permission {
                    id: id.clone(),
                    description: lookup(permission, "description")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                    contained: names(permission, "containedPermissionIds"),
                },
            );
        }
        found.into_values().collect()
    }

    /// What is given at an occasion.
    pub(super) fn given_at(&self, occasion: Occasion) -> BTreeSet<String> {
        let path = match occasion {
            Occasion::TeamCreator => "rbac.defaultPermissions.teamCreator",
            Occasion::TeamMember => "rbac.defaultPermissions.teamMember",
            Occasion::SignUp => "rbac.defaultPermissions.signUp",
        };
        names(&self.0, path)
    }

    /// What somebody has who was given `granted`: these, and all that comes with them. What the file no
    /// longer knows is no permission any more.
    pub(super) fn effective(
        &self,
        scope: Scope,
        granted: impl IntoIterator<Item = String>,
    ) -> BTreeSet<String> {
        let known: BTreeMap<String, Permission> = self
            .permissions(scope)
            .into_iter()
            .map(|permission| (permission.id.clone(), permission))
            .collect();
        let mut found = BTreeSet::new();
        let mut open: Vec<String> = granted.into_iter().collect();
        while let Some(id) = open.pop() {
            if let Some(permission) = known.get(&id)
                && found.insert(id)
            {
                open.extend(permission.contained.iter().cloned());
            }
        }
        found
    }
}

impl Permission {
    fn built_in(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            description: None,
            contained: BTreeSet::new(),
        }
    }
}

/// Scheme, host and port of an address.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: String,
}

impl Origin {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        (scheme == "http" || scheme == "https").then_some(())?;
        let authority = rest.split(['/', '?', '#', '\\']).next()?;
        // Whoever writes `http://localhost@elsewhere/` means elsewhere, and hides it.
        (!authority.contains('@') && !authority.is_empty()).then_some(())?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
            _ => (authority, ""),
        };
        let default = if scheme == "http" { "80" } else { "443" };
        Some(Self {
            host: host.to_ascii_lowercase(),
            port: if port.is_empty() { default } else { port }.to_owned(),
            scheme,
        })
    }

    fn is_local(&self) -> bool {
        matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "[::1]")
            || self.host.ends_with(".localhost")
    }
}

/// Finds a setting.
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

/// Collects the objects below a path, however much of their own names is written with dots as well.
fn collect(value: &Value, path: &str, found: &mut BTreeMap<String, Map<String, Value>>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        if let Some(rest) = path.strip_prefix(name.as_str()) {
            match rest.strip_prefix('.') {
                Some(rest) => collect(inner, rest, found),
                None if rest.is_empty() => collect_entries(inner, found),
                None => {}
            }
        } else if let Some(rest) = name
            .strip_prefix(path)
            .and_then(|rest| rest.strip_prefix('.'))
        {
            collect_entry(rest, inner, found);
        }
    }
}

fn collect_entries(value: &Value, found: &mut BTreeMap<String, Map<String, Value>>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        collect_entry(name, inner, found);
    }
}

/// Takes in `id: { … }` or `"id.field": …`. What is `null` is not there.
fn collect_entry(name: &str, inner: &Value, found: &mut BTreeMap<String, Map<String, Value>>) {
    let (id, field) = name.split_once('.').unwrap_or((name, ""));
    if inner.is_null() {
        return;
    }
    let fields = found.entry(id.to_owned()).or_default();
    if !field.is_empty() {
        fields.insert(field.to_owned(), inner.clone());
    } else if let Some(entries) = inner.as_object() {
        fields.extend(entries.clone());
    }
}

fn entries<'a>(config: &'a Value, path: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    lookup(config, path)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

/// The names in an object that are set to `true`.
fn names(config: &Value, path: &str) -> BTreeSet<String> {
    entries(config, path)
        .filter(|(_, value)| value.as_bool() == Some(true))
        .map(|(name, _)| name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_and_dotted_names_mean_the_same() {
        for config in [
            json!({ "auth": { "password": { "allowSignIn": true }, "allowSignUp": false } }),
            json!({ "auth.password.allowSignIn": true, "auth": { "allowSignUp": false } }),
            json!({ "auth.password": { "allowSignIn": true }, "auth.allowSignUp": false }),
        ] {
            let config = Config::parse(&config.to_string());
            assert!(config.passwords() && !config.sign_up(), "{config:?}");
        }
        let nothing = Config::parse("no JSON");
        assert!(nothing.sign_up() && !nothing.passwords());
    }

    #[test]
    fn permissions_come_with_what_they_contain_however_they_are_nested() {
        let config = Config(json!({ "rbac": { "permissions": {
            "owner": { "scope": "team", "containedPermissionIds": { "admin": true, "off": false } },
            "admin": { "scope": "team", "containedPermissionIds": { "$update_team": true, "owner": true } },
            "off": { "scope": "team" },
            "global": { "scope": "project", "description": "all" },
        } } }));
        let had = |ids: &[&str]| {
            let granted = ids.iter().map(|id| (*id).to_owned());
            Vec::from_iter(config.effective(Scope::Team, granted))
        };
        assert_eq!(had(&["owner"]), ["$update_team", "admin", "owner"]);
        assert_eq!(had(&["off", "gone"]), ["off"]);
        assert_eq!(had(&["global"]), [""; 0]);
        assert_eq!(config.permissions(Scope::Team).len(), 9);
        let global = &config.permissions(Scope::Project)[0];
        assert_eq!(global.description.as_deref(), Some("all"));
    }

    #[test]
    fn providers_are_on_unless_the_file_says_otherwise() {
        let config = Config(json!({ "auth": { "oauth": { "providers": {
            "google": { "type": "google" },
            "work": { "type": "microsoft", "allowSignIn": false },
            "x": { "allowConnectedAccounts": false },
        } } } }));
        let provider = |id| config.oauth_provider(id).unwrap();
        assert!(provider("google").allows_sign_in && provider("google").allows_connecting);
        assert!(!provider("work").allows_sign_in && provider("work").allows_connecting);
        assert!(provider("x").allows_sign_in && !provider("x").allows_connecting);
        assert_eq!(provider("work").kind, "microsoft");
        assert_eq!(provider("x").kind, "x");
        assert_eq!(config.oauth_provider("github"), None);
        assert_eq!(config.oauth_providers(), ["google", "x"]);
        for dotted in [
            json!({ "auth.oauth.providers.a": { "type": "google" }, "auth": { "oauth.providers.b.type": "x" } }),
            json!({ "auth": { "oauth": { "providers": { "a.type": "google", "b": {}, "c": null } } } }),
        ] {
            let config = Config(dotted);
            assert_eq!(config.oauth_providers(), ["a", "b"], "{config:?}");
            assert_eq!(config.oauth_provider("a").unwrap().kind, "google");
        }
        for (name, strategy) in [
            ("raise_error", MergeStrategy::RaiseError),
            ("allow_duplicates", MergeStrategy::AllowDuplicates),
            ("link_method", MergeStrategy::LinkMethod),
        ] {
            let config = Config(json!({ "auth.oauth.accountMergeStrategy": name }));
            assert_eq!(config.account_merge_strategy(), strategy);
        }
        assert_eq!(config.account_merge_strategy(), MergeStrategy::LinkMethod);
    }

    #[test]
    fn links_lead_to_this_machine_or_a_trusted_domain() {
        let config = Config(json!({ "domains": { "trustedDomains": {
            "a": { "baseUrl": "https://app.example.com" },
        } } }));
        for good in [
            "http://localhost:3000/handler",
            "https://LOCALHOST",
            "http://127.0.0.1:1/x?y#z",
            "http://app.localhost:3000/",
            "http://[::1]:3000/",
            "https://app.example.com/handler/magic-link",
            "https://app.example.com:443/",
        ] {
            assert!(config.is_trusted(good), "{good}");
        }
        for bad in [
            "",
            "/handler",
            "javascript:alert(1)",
            "https://example.com",
            "http://app.example.com",
            "https://app.example.com.evil.test",
            "http://localhost@evil.test/",
            "http://localhost:80@evil.test/",
            "http://localhost.evil.test/",
            "http://evil.test\\@localhost/",
        ] {
            assert!(!config.is_trusted(bad), "{bad}");
        }
        let strict = Config(json!({ "domains": { "allowLocalhost": false } }));
        assert!(!strict.is_trusted("http://localhost:3000/"));
    }

    proptest! {
        #[test]
        fn any_url_is_handled(url in ".{0,60}") {
            let _ = Config(Value::Null).is_trusted(&url);
        }
    }
}
