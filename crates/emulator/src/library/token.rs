//! Where the token for GitHub comes from.
//!
//! In this order: `GITHUB_TOKEN`, the keychain, the `gh` tool if it is
//! installed. Without one, public releases can be had all the same, at a low
//! rate; artifacts of workflow runs cannot.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use images::Token;
use serde::Serialize;

use crate::config::variables::Settings;
use crate::instance::Emulator;
use crate::instance::error::InstanceError as Error;
use crate::vault::VaultError;

/// `gh` reads a file or a keychain; one that waits for a user to unlock that is
/// not waited for.
const GH_LIMIT: Duration = Duration::from_secs(5);

/// Where the token comes from that GitHub is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// `GITHUB_TOKEN` in the environment.
    Environment,
    /// The keychain.
    Keychain,
    /// The `gh` tool.
    Gh,
    /// There is none.
    None,
}

impl Emulator {
    /// Where the token would come from now. Asks the keychain and `gh`, and so
    /// may take as long as they are given.
    pub async fn github_token_source(&self) -> Result<TokenSource, Error> {
        let mut refused = None;
        let keychain = async {
            from_keychain(&self.settings).await.unwrap_or_else(|error| {
                refused = Some(error);
                None
            })
        };
        let found = find(&self.settings, keychain).await;
        match (found, refused) {
            (Some((_, source)), _) => Ok(source),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(TokenSource::None),
        }
    }
}

/// The token to use, or `None` to go without one.
///
/// `keychain` is asked only if the environment has none. The token that `gh`
/// keeps is for GitHub itself, so it is not given to another host's API.
pub async fn github_token(
    settings: &Settings,
    keychain: impl Future<Output = Option<Token>>,
) -> Option<Token> {
    find(settings, keychain).await.map(|(token, _)| token)
}

async fn find(
    settings: &Settings,
    keychain: impl Future<Output = Option<Token>>,
) -> Option<(Token, TokenSource)> {
    if let Some(token) = &settings.github_token {
        return Some((token.clone(), TokenSource::Environment));
    }
    if let Some(token) = keychain.await {
        return Some((token, TokenSource::Keychain));
    }
    match &settings.github_api {
        None => Some((
            from_gh(&host::programs::find("gh")?).await?,
            TokenSource::Gh,
        )),
        Some(_) => None,
    }
}

/// The token in the keychain, which is for GitHub itself and not for a mirror.
pub(crate) async fn from_keychain(settings: &Settings) -> Result<Option<Token>, VaultError> {
    if settings.github_api.is_some() {
        return Ok(None);
    }
    let token = crate::vault::github_token().await?;
    Ok(token.and_then(|token| Token::new(token.expose().to_owned())))
}

/// The token that `gh` keeps for github.com, if `program` is `gh` and has one.
async fn from_gh(program: &Path) -> Option<Token> {
    let output = tokio::process::Command::new(program)
        .args(["auth", "token", "--hostname", "github.com"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(GH_LIMIT, output).await;
    // Not installed, not logged in, or not answering: all mean no token.
    let output = output.ok()?.ok()?;
    output
        .status
        .success()
        .then(|| Token::new(String::from_utf8(output.stdout).ok()?))
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let home = [("HOME", "/home/ada")];
        let variables = home.iter().chain(pairs);
        let owned = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Settings::from_variables(owned).unwrap()
    }

    #[tokio::test]
    async fn the_environment_goes_before_the_keychain() {
        let asked = std::cell::Cell::new(false);
        let keychain = || async {
            asked.set(true);
            Token::new("kept".to_owned())
        };
        let named = settings(&[("GITHUB_TOKEN", "named")]);
        assert!(github_token(&named, keychain()).await.is_some());
        assert!(
            !asked.get(),
            "a keychain may ask the user, so only if need be"
        );
        assert!(github_token(&settings(&[]), keychain()).await.is_some());
        assert!(asked.get());
    }

    #[tokio::test]
    async fn what_gh_keeps_goes_to_github_alone() {
        let mirror = settings(&[("STACK_EMULATOR_GITHUB_API", "http://127.0.0.1:9/")]);
        assert!(github_token(&mirror, async { None }).await.is_none());
    }

    #[tokio::test]
    async fn gh_is_asked_and_may_be_missing_or_logged_out() {
        let dir = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
            path
        };
        let knows = program(
            "knows",
            r#"[ "$*" = "auth token --hostname github.com" ] && echo gho_x"#,
        );
        assert!(from_gh(&knows).await.is_some());
        assert!(from_gh(&program("logged-out", "exit 1")).await.is_none());
        assert!(from_gh(&program("silent", "exit 0")).await.is_none());
        assert!(from_gh(Path::new("/no/such/gh")).await.is_none());
    }
}
