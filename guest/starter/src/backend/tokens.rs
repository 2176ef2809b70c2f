//! Access tokens: JSON web tokens that a project's keys sign (ES256), good for ten minutes.
//!
//! `jsonwebtoken` does the tokens and `p256` the signatures, which are deterministic (RFC 6979). That
//! matters here: a signature that draws a random number gives the private key away when two copies of one
//! snapshot draw the same.

use std::{
    collections::HashMap,
    sync::{Mutex, Once, PoisonError},
};

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result as JwtResult},
};
use p256::ecdsa::{
    self, Signature,
    signature::{Error as SignatureError, Signer, Verifier},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    access::{Project, PublicKey},
    error::ApiError,
    signing_keys::SigningKey,
    users::User,
};

/// How long a token is good, in seconds.
const LIFETIME: i64 = 10 * 60;

/// What a token says, in the real backend's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The user.
    pub(super) sub: String,
    /// The project.
    pub(super) project_id: String,
    branch_id: String,
    /// The session.
    pub(super) refresh_token_id: String,
    role: String,
    name: Option<String>,
    email: Option<String>,
    email_verified: bool,
    selected_team_id: Option<String>,
    signed_up_at: i64,
    /// Whether the user has not signed up yet.
    pub(super) is_anonymous: bool,
    is_restricted: bool,
    restricted_reason: Option<Reason>,
    requires_totp_mfa: bool,
    iss: String,
    iat: i64,
    aud: String,
    exp: i64,
}

/// Why a user may do less than others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reason {
    r#type: String,
}

impl Claims {
    /// What a token says of a user's session that is used at `now_millis`.
    pub(super) fn new(
        user: &User,
        project_id: &str,
        session_id: &str,
        base_url: &str,
        now_millis: i64,
    ) -> Self {
        let now = now_millis / 1000;
        Self {
            sub: user.id.clone(),
            project_id: project_id.to_owned(),
            branch_id: "main".to_owned(),
            refresh_token_id: session_id.to_owned(),
            role: "authenticated".to_owned(),
            name: user.display_name.clone(),
            email: user.primary_email.clone(),
            email_verified: user.primary_email_verified,
            selected_team_id: user.selected_team.as_ref().map(|team| team.id.clone()),
            signed_up_at: user.signed_up_at_millis / 1000,
            is_anonymous: user.is_anonymous,
            is_restricted: user.is_anonymous,
            restricted_reason: user.is_anonymous.then(|| Reason {
                r#type: "anonymous".to_owned(),
            }),
            requires_totp_mfa: false,
            iss: format!("{base_url}/api/v1/projects/{project_id}"),
            iat: now,
            aud: audience(project_id, user.is_anonymous),
            exp: now + LIFETIME,
        }
    }
}

/// Whom a token is for: an app's server that expects its own project's refuses anonymous users that way.
fn audience(project_id: &str, is_anonymous: bool) -> String {
    let suffix = if is_anonymous { ":anon" } else { "" };
    format!("{project_id}{suffix}")
}

/// Signs a token.
///
/// # Errors
/// When the database holds no key, but something else in its place.
pub(super) fn sign(claims: &Claims, key: &SigningKey) -> Result<String, ApiError> {
    use_our_signatures();
    let mut header = Header::new(Algorithm::ES256);
    header.typ = None;
    header.kid = Some(key.kid.clone());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&key.private)).map_err(
        |error| {
            crate::report::log("cannot sign a token", &error);
            ApiError::Plain(
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                "The project's signing key in the database is not usable.".to_owned(),
            )
        },
    )
}

/// Tokens whose signatures were found right, by a digest of token and key.
///
/// An app sends the same token for ten minutes, and under emulation a signature costs more than all else in
/// most requests. Whether one is right never changes, so it is safe to remember, over a resume as well; project,
/// key and clock are looked at each time. It holds no token and no key.
#[derive(Debug, Default)]
pub(super) struct Verified(Mutex<HashMap<[u8; 32], Claims>>);

/// How many are remembered; then all are forgotten.
const MEMORY: usize = 256;

impl Verified {
    /// Checks a token against a project's key and the clock.
    ///
    /// # Errors
    /// The real backend's for a token of another project, one that is none, and one whose time is over.
    pub(super) fn check(&self, token: &str, project: &Project) -> Result<Claims, ApiError> {
        self.check_at(token, project, super::clock::now_millis())
    }

    fn check_at(
        &self,
        token: &str,
        project: &Project,
        now_millis: i64,
    ) -> Result<Claims, ApiError> {
        let Some(key) = &project.public_key else {
            return verify_at(token, project, now_millis);
        };
        let digest = digest_of(token, key);
        // What the map holds is whole at any time, even if a thread has panicked meanwhile.
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&digest).cloned();
        if let Some(claims) = known.filter(|claims| claims.project_id == project.id) {
            return in_time(claims, now_millis);
        }
        let claims = verify_at(token, project, now_millis)?;
        let mut memory = lock();
        if memory.len() >= MEMORY {
            memory.clear();
        }
        memory.insert(digest, claims.clone());
        Ok(claims)
    }
}

fn digest_of(token: &str, key: &PublicKey) -> [u8; 32] {
    let mut digest = Sha256::new();
    // None of them has a space in it.
    for part in [&key.kid, &key.x, &key.y, token] {
        digest.update(part.as_bytes());
        digest.update(b" ");
    }
    digest.finalize().into()
}

fn in_time(claims: Claims, now_millis: i64) -> Result<Claims, ApiError> {
    if claims.exp > now_millis / 1000 {
        return Ok(claims);
    }
    Err(ApiError::access_token_expired(
        claims.exp,
        &claims.project_id,
        &claims.sub,
        &claims.refresh_token_id,
    ))
}

fn verify_at(token: &str, project: &Project, now_millis: i64) -> Result<Claims, ApiError> {
    use_our_signatures();
    // Read without trust, for one purpose: to say that the token is another project's.
    let claimed: Claims = jsonwebtoken::dangerous::insecure_decode_claims(token)
        .map_err(|_| ApiError::unparsable_access_token())?;
    if claimed.project_id != project.id {
        return Err(ApiError::invalid_project_for_access_token(
            &project.id,
            &claimed.project_id,
        ));
    }
    let claims = trusted(token, project).ok_or_else(ApiError::unparsable_access_token)?;
    in_time(claims, now_millis)
}

/// The claims of a token that the project's key has signed.
fn trusted(token: &str, project: &Project) -> Option<Claims> {
    let key = project.public_key.as_ref()?;
    let header = jsonwebtoken::decode_header(token).ok()?;
    (header.kid.as_deref() == Some(key.kid.as_str())).then_some(())?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[false, true].map(|anonymous| audience(&project.id, anonymous)));
    // The caller looks at the clock: its error names the token.
    validation.validate_exp = false;
    let key = DecodingKey::from_ec_components(&key.x, &key.y).ok()?;
    let decoded = jsonwebtoken::decode::<Claims>(token, &key, &validation).ok()?;
    Some(decoded.claims)
}

/// Tells `jsonwebtoken` to use `p256`, once for the process.
fn use_our_signatures() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory,
        verifier_factory,
        key_utils: KeyUtils::new_unimplemented(),
    };
    static ONCE: Once = Once::new();
    // It fails only where another one was chosen, and nothing else in this program does.
    ONCE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

struct Es256Signer(ecdsa::SigningKey);
struct Es256Verifier(ecdsa::VerifyingKey);

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the crate's signature")]
fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> JwtResult<Box<dyn JwtSigner>> {
    if *algorithm != Algorithm::ES256 {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let key =
        ecdsa::SigningKey::from_slice(key.as_bytes()).map_err(|_| ErrorKind::InvalidEcdsaKey)?;
    Ok(Box::new(Es256Signer(key)))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the crate's signature")]
fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    if *algorithm != Algorithm::ES256 {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let key = ecdsa::VerifyingKey::from_sec1_bytes(key.try_get_as_bytes()?)
        .map_err(|_| ErrorKind::InvalidEcdsaKey)?;
    Ok(Box::new(Es256Verifier(key)))
}

impl Signer<Vec<u8>> for Es256Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let signature: Signature = self.0.try_sign(message)?;
        Ok(signature.to_bytes().to_vec())
    }
}

impl JwtSigner for Es256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

impl Verifier<Vec<u8>> for Es256Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.0.verify(message, &Signature::from_slice(signature)?)
    }
}

impl JwtVerifier for Es256Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::{access::PublicKey, config::Config, signing_keys};

    const NOW: i64 = 1_800_000_000_000;

    fn project(id: &str, public_key: Option<PublicKey>) -> Project {
        Project {
            id: id.to_owned(),
            display_name: String::new(),
            config: Config::parse("{}"),
            public_key,
        }
    }

    fn claims(project_id: &str) -> Claims {
        Claims::new(
            &User::for_tests("u"),
            project_id,
            "s",
            "http://127.0.0.1:1",
            NOW,
        )
    }

    fn code(result: &Result<Claims, ApiError>) -> &'static str {
        match result {
            Ok(_) => "right",
            Err(ApiError::Known { code, .. }) => code,
            Err(ApiError::Plain(..)) => "plain",
        }
    }

    #[test]
    fn a_token_is_good_for_ten_minutes_at_its_project() {
        let (signing, public) = signing_keys::fresh_for_tests();
        let token = sign(&claims("p"), &signing).unwrap();
        let here = project("p", Some(public.clone()));
        assert_eq!(verify_at(&token, &here, NOW).unwrap(), claims("p"));
        let last = NOW + (LIFETIME - 1) * 1000;
        assert_eq!(code(&verify_at(&token, &here, last)), "right");
        let over = verify_at(&token, &here, last + 1000);
        assert_eq!(code(&over), "ACCESS_TOKEN_EXPIRED");
        let elsewhere = project("q", Some(public));
        let other = "INVALID_PROJECT_FOR_ACCESS_TOKEN";
        assert_eq!(code(&verify_at(&token, &elsewhere, NOW)), other);
        let keyless = project("p", None);
        assert_eq!(
            code(&verify_at(&token, &keyless, NOW)),
            "UNPARSABLE_ACCESS_TOKEN"
        );
        // The same key twice makes the same signature: nothing is drawn for it.
        assert_eq!(sign(&claims("p"), &signing).unwrap(), token);
    }

    #[test]
    fn what_is_remembered_is_as_good_as_what_is_not() {
        let (signing, public) = signing_keys::fresh_for_tests();
        let (_, other_key) = signing_keys::fresh_for_tests();
        let here = project("p", Some(public.clone()));
        let verified = Verified::default();
        let token = sign(&claims("p"), &signing).unwrap();
        let end = NOW + LIFETIME * 1000;
        for _ in 0..2 {
            assert_eq!(verified.check_at(&token, &here, NOW).unwrap(), claims("p"));
            let expired = verified.check_at(&token, &here, end);
            assert_eq!(code(&expired), "ACCESS_TOKEN_EXPIRED");
            let elsewhere = verified.check_at(&token, &project("q", Some(public.clone())), NOW);
            assert_eq!(code(&elsewhere), "INVALID_PROJECT_FOR_ACCESS_TOKEN");
            // With the project's next key the token is worth nothing.
            let replaced = verified.check_at(&token, &project("p", Some(other_key.clone())), NOW);
            assert_eq!(code(&replaced), "UNPARSABLE_ACCESS_TOKEN");
            let forged = format!("{}A", &token[..token.len() - 1]);
            let forged = verified.check_at(&forged, &here, NOW);
            assert!(forged.is_err() || token.ends_with('A'));
        }
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let (signing, public) = signing_keys::fresh_for_tests();
        let here = project("p", Some(public));
        let verified = Verified::default();
        for index in 0..=MEMORY {
            let user = User::for_tests(&index.to_string());
            let claims = Claims::new(&user, "p", "s", "http://127.0.0.1:1", NOW);
            let token = sign(&claims, &signing).unwrap();
            assert_eq!(verified.check_at(&token, &here, NOW).unwrap(), claims);
            assert!(verified.0.lock().unwrap().len() <= MEMORY);
        }
    }

    #[test]
    fn tokens_that_others_made_are_refused() {
        let (signing, public) = signing_keys::fresh_for_tests();
        let (mut forger, _) = signing_keys::fresh_for_tests();
        let here = project("p", Some(public));
        let refused = "UNPARSABLE_ACCESS_TOKEN";
        let foreign = sign(&claims("p"), &forger).unwrap();
        assert_eq!(code(&verify_at(&foreign, &here, NOW)), refused);
        forger.kid.clone_from(&signing.kid);
        let forged = sign(&claims("p"), &forger).unwrap();
        assert_eq!(code(&verify_at(&forged, &here, NOW)), refused);
        // Other algorithms, as a header may name them.
        let right = sign(&claims("p"), &signing).unwrap();
        let (_, rest) = right.split_once('.').unwrap();
        for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"] {
            let token = format!("{header}.{rest}");
            assert_eq!(code(&verify_at(&token, &here, NOW)), refused);
            let unsigned = format!("{header}.{}.", rest.split_once('.').unwrap().0);
            assert_eq!(code(&verify_at(&unsigned, &here, NOW)), refused);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_changed_token_is_right(at in 0_usize..700, letter in "[A-Za-z0-9_.-]") {
            let (signing, public) = signing_keys::fresh_for_tests();
            let token = sign(&claims("p"), &signing).unwrap();
            let at = at % token.len();
            let mut changed = token.clone();
            changed.replace_range(at..=at, &letter);
            let result = verify_at(&changed, &project("p", Some(public)), NOW);
            prop_assert_eq!(result.is_ok(), changed == token);
        }

        #[test]
        fn any_text_is_handled(token in ".{0,80}") {
            prop_assert!(verify_at(&token, &project("p", None), NOW).is_err());
        }
    }
}
