//! Looking at what there is, whenever something says that it may have changed.

use std::sync::Arc;

use emulator::Emulator;

use crate::desk::{Desk, Stale};
use crate::live::Live;
use crate::wire::failure::Failure;
use crate::wire::status::Status;

/// Keeps what is shown true, for as long as the app runs.
pub(crate) async fn keep_looking(desk: Arc<Desk>) {
    loop {
        let stale = desk.stale().await;
        let emulator = desk.emulator();
        if stale.status {
            look_at_status(&desk, &emulator).await;
        }
    }
}

async fn look_at_status(desk: &Desk, emulator: &Emulator) {
    match emulator.status().await {
        Ok(status) => Live::publish(&desk.live.status, Status::new(status, None)),
        Err(error) => {
            let failure = Failure::from(error);
            desk.live.status.send_modify(|shown| {
                let mut status = shown.take().unwrap_or_else(|| Status::unknown(emulator.name()));
                status.failure = Some(failure);
                *shown = Some(status);
            });
        }
    }
}
