//! What systemd is told, where it supervises the process (`Type=notify`).
//!
//! Promises: `READY=1` as soon as the stages run, also while broker or database are away, because a
//! service that waits for them is no failed one; `STATUS=` is what `/readyz` says, in a line;
//! `WATCHDOG=1` every second as long as the runtime turns, so that a process that hangs as a whole
//! is ended and started again; `STOPPING=1` when it drains. Without systemd nothing is sent.
//!
//! It does not restart anything itself, and a part that is not ready is no reason to withhold the
//! watchdog: a restart brings no broker back.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::readiness::{Readiness, State};

/// Well below the time after which systemd would give the process up: 30 s in the unit shipped.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Where systemd says that it listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Tells how the service stands until `stopping`, and that it stops.
pub(super) async fn tell(readiness: Readiness, stopping: CancellationToken) {
    if std::env::var_os(SOCKET).is_none() {
        return;
    }
    let mut status = status_of(&readiness);
    if !sent(&[NotifyState::Ready, NotifyState::Status(&status)]) {
        return;
    }
    let mut tick = tokio::time::interval(TELL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            _ = tick.tick() => {}
        }
        let now = status_of(&readiness);
        if now == status {
            sent(&[NotifyState::Watchdog]);
        } else {
            status = now;
            sent(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
        }
    }
    sent(&[NotifyState::Stopping, NotifyState::Status("stopping: draining what was received")]);
}

/// Whether it could be said; if not, the log tells.
fn sent(what: &[NotifyState<'_>]) -> bool {
    let sent = sd_notify::notify(what);
    if let Err(error) = &sent {
        warn!(%error, "can't tell systemd how the service stands");
    }
    sent.is_ok()
}

/// In a line: ready, or which parts are not simply so.
fn status_of(readiness: &Readiness) -> String {
    let parts = readiness.parts();
    let told = parts.iter().filter(|(_, state)| *state != State::Ready).map(|(name, state)| {
        format!("{name} {}: {}", state.name(), state.reason().unwrap_or_default())
    });
    let told = told.collect::<Vec<_>>().join("; ");
    // A line break would end the status.
    if told.is_empty() { "ready".to_owned() } else { told.replace('\n', " ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_a_line_that_names_what_is_not_simply_ready() {
        let readiness = Readiness::new();
        let (broker, store) = (readiness.register("mqtt"), readiness.register("store"));
        broker.ready();
        store.degraded("away:\nno route");
        assert_eq!(status_of(&readiness), "store degraded: away: no route");
        store.ready();
        assert_eq!(status_of(&readiness), "ready");
    }
}
