//! When the system asks the process to end.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Error;

/// Cancels `stop` at the first SIGTERM or ctrl-c. Cancel safe.
///
/// # Errors
/// When the system does not let us listen for signals.
pub async fn stop_at_signal(stop: CancellationToken) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(signal = name, "stopping");
    stop.cancel();
    Ok(())
}
