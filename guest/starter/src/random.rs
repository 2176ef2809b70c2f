//! Random values, each drawn straight from the kernel.
//!
//! A snapshot of the guest is resumed many times. The kernel is told (VM generation ID, and
//! [`crate::resident`]) and reseeds; a generator in our own memory would not, and every copy of the guest
//! would hand out the same keys.
//! So nothing here keeps state: one call, one `getrandom(2)`.

/// The alphabet of keys and request IDs, as the real backend uses it (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The kernel gave no random bytes; nothing that needs a secret may go on.
#[derive(Debug, thiserror::Error)]
#[error("the kernel's random source failed; no key or ID can be made")]
pub struct RandomError(#[source] getrandom::Error);

/// Fills `bytes` from the kernel.
///
/// # Errors
/// [`RandomError`] when the kernel refuses.
pub fn fill(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(RandomError)
}

/// Draws `N` bytes.
///
/// # Errors
/// See [`fill`].
pub fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// A token of 224 random bits in 45 characters, with a prefix such as `pck_`.
///
/// # Errors
/// See [`fill`].
pub fn token(prefix: &str) -> Result<String, RandomError> {
    Ok(prefix.to_owned() + &base32(&bytes::<28>()?))
}

/// A request ID: 80 random bits in 16 characters.
///
/// # Errors
/// See [`fill`].
pub fn request_id() -> Result<String, RandomError> {
    Ok(base32(&bytes::<10>()?))
}

/// A version 4 UUID in its usual text form.
///
/// # Errors
/// See [`fill`].
pub fn uuid() -> Result<String, RandomError> {
    let mut bits = u128::from_be_bytes(bytes()?);
    // RFC 9562, section 5.4: version in bits 48..52, variant in bits 64..66.
    bits = bits & !(0xf << 76) | (4 << 76);
    bits = bits & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let mut pending = 0_u16;
    let mut count = 0;
    for byte in bytes {
        pending = pending << 8 | u16::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[usize::from(pending >> count & 31)]));
        }
    }
    if count > 0 {
        text.push(char::from(
            ALPHABET[usize::from(pending << (5 - count) & 31)],
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_packs_bits_from_the_left() {
        assert_eq!(base32(&[]), "");
        assert_eq!(base32(&[0xff]), "zw");
        assert_eq!(base32(&[0, 0, 0, 0, 1]), "00000001");
    }

    #[test]
    fn shapes_are_those_of_the_real_backend() {
        let token = token("pck_").unwrap();
        assert_eq!(token.len(), 49);
        assert!(token[4..].bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_eq!(request_id().unwrap().len(), 16);
    }

    #[test]
    fn uuids_are_version_4_and_differ() {
        let (a, b) = (uuid().unwrap(), uuid().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(&a[14..15], "4");
        assert!(matches!(&a[19..20], "8" | "9" | "a" | "b"));
    }
}
