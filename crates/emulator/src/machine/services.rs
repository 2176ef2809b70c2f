//! The services of a machine, as a look sees them.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::readiness::{Endpoint, Prober};
use crate::machine::error::MachineError as Error;

/// How long a service may take to answer before it counts as not healthy here.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// Whether a service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Its health path answered 200, or it has none.
    Healthy,
    /// It gave another answer, or none in time.
    Failing,
    /// It was not asked, because nothing is to answer now.
    Unchecked,
}

/// A service and whether it answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct ServiceStatus {
    /// Stable identifier.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Address on this host.
    pub url: String,
    /// Whether `health` is [`Health::Healthy`].
    pub healthy: bool,
    /// Whether it answers, or was not asked.
    pub health: Health,
    /// How long its health path took to answer, in milliseconds.
    #[cfg_attr(feature = "specta", specta(type = Option<specta_typescript::Number>))]
    pub answer_ms: Option<f64>,
    /// Whether there is something at its address for a person to look at.
    pub browsable: bool,
}

impl ServiceStatus {
    pub(crate) fn new(endpoint: &Endpoint, health: Health, answer: Option<Duration>) -> Self {
        Self {
            id: endpoint.id.clone(),
            name: endpoint.name.clone(),
            url: endpoint.url(),
            healthy: health == Health::Healthy,
            health,
            answer_ms: answer.map(|time| time.as_secs_f64() * 1e3),
            browsable: endpoint.browsable,
        }
    }
}

/// Asks every service once, at the same time.
pub(crate) async fn probe(endpoints: &[Endpoint]) -> Result<Vec<ServiceStatus>, Error> {
    let prober = Prober::new()?;
    let mut asked = Vec::new();
    for endpoint in endpoints {
        let (prober, endpoint) = (prober.clone(), endpoint.clone());
        asked.push(tokio::spawn(async move {
            let begun = Instant::now();
            let health = if prober.is_healthy(&endpoint, PROBE_LIMIT).await {
                Health::Healthy
            } else {
                Health::Failing
            };
            let answered = endpoint.path.is_some() && health == Health::Healthy;
            ServiceStatus::new(&endpoint, health, answered.then(|| begun.elapsed()))
        }));
    }
    let mut services = Vec::new();
    for answer in asked {
        match answer.await {
            Ok(service) => services.push(service),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(services)
}
