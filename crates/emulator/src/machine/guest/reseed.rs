//! New random values for a guest that goes on from saved state.
//!
//! Saved state holds the kernel's random generator. Two guests resumed from it draw the same values until
//! each renews its generator's key, and nothing in a guest notices that it was resumed. Where the machine
//! has a generation id, QEMU tells the kernel. Everywhere else the guest is sent random bytes of this host,
//! with the greeting, so that they are the first thing that it hears, before its clock and its secrets. A guest
//! that cannot use them fails its start, which then boots it instead.
//!
//! What a guest draws before it has heard the greeting is that of the saved state, as it is with a generation
//! id until the guest has served that interrupt: it was idle when it was saved, and still has its old secrets.
//!
//! The process on the rotation port is sent them on every machine: behind a greeting they cost no round
//! trip. The guest agent has no command for it, so a program is run for it, and only where it is needed.

use qemu::{Exec, GuestAgent};
use secrets::Secret;

use super::{COMMAND_LIMIT, GuestError, OUTPUT_LIMIT, describe, presentable};

/// Every Debian system has it, and it makes system calls that have no program of their own.
const PERL: &str = "/usr/bin/perl";
/// Reads a seed in hexadecimal, mixes it into the kernel's pool and renews the generator by it. The numbers
/// are `RNDADDENTROPY` and `RNDRESEEDCRNG` of `linux/random.h`, the same on all architectures of ours.
const RENEW: &str = r"
    my $seed = pack 'H*', scalar <STDIN>;
    length $seed == 32 or die qq(the seed is incomplete\n);
    open my $random, '+<', '/dev/urandom' or die qq(cannot open /dev/urandom: $!\n);
    my $pool = pack 'iia*', 256, 32, $seed;
    ioctl $random, 0x40085203, $pool or die qq(the pool does not take it: $!\n);
    ioctl $random, 0x5207, 0 or die qq(the generator does not take a new key: $!\n);
";

/// What a guest gets that goes on from saved state.
pub(crate) struct Resumed {
    /// 32 random bytes of this host.
    seed: Secret,
    /// QEMU tells the guest's kernel by itself.
    has_generation_id: bool,
}

impl Resumed {
    /// For a guest of a machine that has a generation id, or has none.
    pub(crate) fn new(has_generation_id: bool) -> Result<Self, getrandom::Error> {
        Ok(Self {
            seed: Secret::generate()?,
            has_generation_id,
        })
    }

    /// The seed in hexadecimal.
    pub(super) fn seed(&self) -> &str {
        self.seed.expose()
    }

    /// Whether its kernel renews its generator without us.
    pub(super) fn renews_by_itself(&self) -> bool {
        self.has_generation_id
    }
}

/// Has a program of the guest renew its generator.
pub(super) async fn by_agent(agent: &mut GuestAgent, resumed: &Resumed) -> Result<(), GuestError> {
    let exec = Exec {
        path: PERL,
        args: &["-e", RENEW],
        input: Some(resumed.seed().as_bytes()),
        capture: true,
        output_limit: OUTPUT_LIMIT,
    };
    let result = agent
        .exec(exec, COMMAND_LIMIT)
        .await
        .map_err(|source| GuestError::Agent {
            action: "renew its random numbers",
            source,
        })?;
    if result.success() {
        return Ok(());
    }
    Err(GuestError::Reseed {
        status: describe(result.outcome),
        output: presentable(&result.stderr, None).replace(resumed.seed(), "[redacted]"),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn every_guest_that_goes_on_gets_a_seed_of_its_own() {
        let [one, other] = [Resumed::new(false), Resumed::new(false)].map(Result::unwrap);
        assert_ne!(one.seed(), other.seed());
        assert_eq!(one.seed().len(), 64);
    }

    /// Only its first half, which needs no right that a test lacks.
    #[test]
    fn the_program_reads_the_seed_as_it_is_sent() {
        let (first, _) = RENEW.split_once("open my").unwrap();
        for (seed, works) in [("5a".repeat(32), true), ("5a".repeat(31), false)] {
            let mut perl = Command::new("perl")
                .args(["-e", first])
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut input = perl.stdin.take().unwrap();
            input.write_all(seed.as_bytes()).unwrap();
            drop(input);
            assert_eq!(perl.wait().unwrap().success(), works, "{seed}");
        }
    }
}
