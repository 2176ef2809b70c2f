//! Are new secrets stored where they should be, and were those of the running emulator?
//!
//! A keychain that is locked looks like an empty one when it is read, so it is asked whether it takes
//! new entries ([`Forecast`]).

use ::secrets::StoreKind;
use failure::{Remedy, chain};

use super::Check;
use super::checks::Subject;
use crate::instance::error::InstanceError as Error;
use crate::instance::rotate::SecretPlace;
use crate::vault::places::{Forecast, without_keychain};

/// Where the secrets of the next start go.
pub(super) fn check(forecast: &Result<Forecast, Error>) -> Check {
    let subject = Subject::new("secrets", "Secrets");
    match forecast {
        Err(error) => subject.error(error),
        Ok(Forecast {
            store,
            keychain: Some(error),
        }) => Check {
            evidence: Some(chain(error)),
            ..subject.warning(
                format!("{error}; new secrets are stored in {}", store.describe()),
                error.remedy().unwrap_or(Remedy::UnlockKeychain),
            )
        },
        Ok(Forecast {
            store: StoreKind::RuntimeFile,
            keychain: None,
        }) => subject.warning(without_keychain(), Remedy::NoneFileIsPrivate),
        Ok(Forecast {
            store,
            keychain: None,
        }) => subject.ok(format!("new secrets are stored in {}", store.describe())),
    }
}

/// Where the secrets of the running emulator are, if there is something wrong with that.
pub(super) fn check_in_force(place: &SecretPlace) -> Option<Check> {
    let subject = Subject::new("secrets_in_force", "Secrets in use");
    let warning = place.warning.clone()?;
    Some(subject.warning(warning, Remedy::RotateOnceStored))
}

#[cfg(test)]
mod tests {
    use ::secrets::{KeychainError, StoreError};

    use super::*;
    use crate::observe::doctor::Verdict;
    use crate::vault::VaultError;

    #[test]
    fn secrets_outside_a_keychain_are_a_warning_where_one_failed() {
        let kind = StoreKind::Keychain;
        let source = || KeychainError::NoStorageAccess("SS Error: object locked".into());
        let look = |store, error: Option<StoreError>| {
            check(&Ok(Forecast {
                store,
                keychain: error.map(VaultError::from),
            }))
        };
        for store in [StoreKind::Keychain, StoreKind::KernelKeyring] {
            assert_eq!(look(store, None).verdict, Verdict::Ok);
        }
        let locked = StoreError::Locked {
            kind,
            source: source(),
        };
        let check = look(StoreKind::KernelKeyring, Some(locked));
        assert_eq!(check.verdict, Verdict::Warning);
        assert_eq!(
            check.detail,
            "your keychain is locked; new secrets are stored in the kernel keyring"
        );
        assert!(check.evidence.unwrap().contains("object locked"));
        assert_eq!(check.remedy, Some(Remedy::UnlockKeychain));
        let none = StoreError::NoKeyring {
            kind,
            source: source(),
        };
        let check = look(StoreKind::KernelKeyring, Some(none));
        assert!(check.detail.contains("no default keyring"), "{check:?}");
        assert_eq!(check.remedy, Some(Remedy::CreateKeyring));
    }

    #[test]
    fn a_file_is_a_warning_even_where_nothing_failed() {
        let check = check(&Ok(Forecast {
            store: StoreKind::RuntimeFile,
            keychain: None,
        }));
        assert_eq!(check.verdict, Verdict::Warning);
        assert_eq!(check.remedy, Some(Remedy::NoneFileIsPrivate));
    }

    #[test]
    fn secrets_in_use_are_a_warning_where_there_is_something_to_know() {
        let place = |warning: Option<&str>| SecretPlace {
            store: StoreKind::KernelKeyring,
            warning: warning.map(str::to_owned),
        };
        assert_eq!(check_in_force(&place(None)), None);
        let check = check_in_force(&place(Some("your keychain is locked"))).unwrap();
        assert_eq!(check.remedy, Some(Remedy::RotateOnceStored));
    }
}
