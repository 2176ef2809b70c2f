//! Fresh secrets for a running guest: in the store first, then in the guest, then proved.

use std::time::{Duration, Instant};

use secrets::{SecretName, SecretSet, Slot as Kept};

use super::guest::Guest;
use super::readiness::{Endpoint, Prober, Proof};
use crate::machine::error::MachineError as Error;
use crate::vault::places::Vault;
use progress::{Phase, Stopwatch};

/// Gives a running guest fresh secrets and proves them, with all services healthy.
///
/// The new values are in the store before the guest holds them, and the
/// previous ones stay there until the proof: a crash at any point leaves a
/// store that has what the guest has.
pub(crate) async fn rotate(
    endpoints: &[Endpoint],
    guest: &mut Guest,
    vault: &Vault,
    limit: Duration,
    watch: &mut Stopwatch<'_>,
) -> Result<(), Error> {
    let fresh = replace(endpoints, guest, vault, Kept::Pending, limit, watch).await?;
    Ok(vault.promote(&fresh, watch.reporter()).await?)
}

/// Puts fresh secrets into `kept`, gives them to the guest and proves them, all within `limit`.
pub(super) async fn replace(
    endpoints: &[Endpoint],
    guest: &mut Guest,
    vault: &Vault,
    kept: Kept,
    limit: Duration,
    watch: &mut Stopwatch<'_>,
) -> Result<SecretSet, Error> {
    let (reporter, begun) = (watch.reporter(), Instant::now());
    let fresh = SecretSet::generate().map_err(Error::Random)?;
    let known = vault.known(reporter).await?;
    vault.save(kept, &fresh, reporter).await?;
    watch
        .phase(
            Phase::Rotate,
            guest.rotate(&fresh, limit.saturating_sub(begun.elapsed())),
        )
        .await?;
    let left = limit.saturating_sub(begun.elapsed());
    let proof = prove(endpoints, &fresh, &known, Proof::First, left);
    watch.phase(Phase::Ready, proof).await?;
    Ok(fresh)
}

/// Proves that the guest answers to `fresh` and to none of the sets before, with all services
/// healthy.
pub(super) async fn prove(
    endpoints: &[Endpoint],
    fresh: &SecretSet,
    before: &[SecretSet],
    proof: Proof,
    limit: Duration,
) -> Result<(), Error> {
    let prober = Prober::new()?;
    let placeholder = SecretName::Pck.placeholder();
    let mut old = vec![&placeholder];
    old.extend(before.iter().map(|set| set.get(SecretName::Pck)));
    let backend = endpoints.iter().find(|endpoint| endpoint.id == "backend");
    match backend {
        Some(backend) => {
            let new = fresh.get(SecretName::Pck);
            prober
                .rotated_and_healthy(proof, backend.port, new, &old, endpoints, limit)
                .await?;
        }
        None => prober.all_healthy(endpoints, limit).await?,
    }
    Ok(())
}
