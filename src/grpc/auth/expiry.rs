//! Until when a caller is known.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// The clock is looked at so often, because wall time may be set while somebody waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// When what a caller is known by ends.
#[derive(Clone)]
pub(in crate::grpc) struct Expiry {
    until: Timestamp,
    clock: Arc<dyn Clock>,
}

impl Expiry {
    /// Good until then, by this clock.
    pub(in crate::grpc) fn new(until: Timestamp, clock: Arc<dyn Clock>) -> Self {
        Self { until, clock }
    }

    /// Waits until it has passed. Cancel safe.
    pub(in crate::grpc) async fn passed(&self) {
        loop {
            let left = self.until.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            // Timers are no finer than a millisecond; never too early.
            tokio::time::sleep(left.clamp(Duration::from_millis(1), LOOK_EVERY)).await;
        }
    }
}
