//! New random values for a machine that was resumed.
//!
//! Saved state holds the kernel's random generator as it was, so each machine that is resumed from it would
//! draw the same values, until the generator renews its key after up to a minute. A PC has a device that
//! tells its kernel of a resume (VM generation ID); QEMU's board for 64-bit ARM has none. So the host sends
//! bytes of its own with its greeting: they are mixed into the kernel's pool, and the generator takes a new
//! key from that at once, on all processors.
//!
//! The kernel is all that needs this. Programs of this crate keep no random state ([`crate::random`]), and a
//! server process of Postgres, which does, seeds itself from the kernel when a connection is opened
//! (`Database::fresh_uuid`); pooled connections are asked for no random value.

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use rustix::ioctl::{self, NoArg, opcode};
use zeroize::Zeroizing;

/// Length of a seed in bytes: that of the generator's key.
const BYTES: usize = 32;
/// What reaches the kernel's generator.
const GENERATOR: &str = "/dev/urandom";
/// Has the generator take a new key from the pool; of `linux/random.h`.
const RNDRESEEDCRNG: ioctl::Opcode = opcode::none(b'R', 0x07);

/// Random bytes of the host. `Debug` does not show them: who knows them and the snapshot can compute what
/// the generator gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(Zeroizing<[u8; BYTES]>);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// Why the generator has no new key.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The pool does not take the seed.
    #[error("the kernel's random pool does not take a seed")]
    Mix(#[source] io::Error),
    /// The generator does not take a new key from the pool.
    #[error("the kernel's random generator does not take a new key")]
    Renew(#[source] io::Error),
}

impl Seed {
    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        if text.len() != 2 * BYTES {
            return None;
        }
        let mut bytes = Zeroizing::new([0; BYTES]);
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(bytes))
    }

    /// Renews the kernel's generator with this seed.
    ///
    /// # Errors
    /// [`SeedError`]; the generator may then give what another machine was given.
    pub fn renew_generator(&self) -> Result<(), SeedError> {
        self.renew(Path::new(GENERATOR))
    }

    fn renew(&self, generator: &Path) -> Result<(), SeedError> {
        // Written, not credited: a guest that has come this far counts entropy no longer, and what is written
        // is in the pool when the call returns.
        let mut pool = File::options()
            .write(true)
            .open(generator)
            .map_err(SeedError::Mix)?;
        pool.write_all(&*self.0).map_err(SeedError::Mix)?;
        #[expect(unsafe_code, reason = "there is no safe way to say this to the kernel")]
        // SAFETY: the call has no argument, so the kernel reads and writes no memory of ours; what is no random
        // device refuses it.
        let renewed = unsafe { ioctl::ioctl(&pool, NoArg::<RNDRESEEDCRNG>::new()) };
        renewed.map_err(|errno| SeedError::Renew(errno.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_64_hex_digits_are_a_seed() {
        let digits = "0123456789abcdefABCDEF".repeat(3);
        let seed = Seed::from_hex(&digits.as_bytes()[..64]).unwrap();
        assert_eq!(seed.0[..4], [0x01, 0x23, 0x45, 0x67]);
        for wrong in [
            "",
            &digits[..63],
            &digits[..65],
            &"g".repeat(64),
            &"+1".repeat(32),
            &"ä".repeat(32),
        ] {
            assert_eq!(Seed::from_hex(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_seed_is_not_shown() {
        let seed = Seed::from_hex("7".repeat(64).as_bytes()).unwrap();
        assert!(!format!("{seed:?}").contains("77"));
    }

    #[test]
    fn what_is_no_generator_is_an_error_and_never_success() {
        let seed = Seed(Zeroizing::new([1; BYTES]));
        let gone = seed.renew(Path::new("/nonexistent")).unwrap_err();
        assert!(matches!(gone, SeedError::Mix(_)), "{gone}");
        let other = seed.renew(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(other, SeedError::Renew(_)), "{other}");
    }

    proptest! {
        #[test]
        fn digits_are_read_as_they_are_written(bytes: [u8; BYTES]) {
            let text = bytes.map(|byte| format!("{byte:02x}")).concat();
            let seed = Seed::from_hex(text.as_bytes()).unwrap();
            prop_assert_eq!(*seed.0, bytes);
        }
    }
}
