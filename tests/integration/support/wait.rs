//! Waiting for a condition, never for time to pass.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a passing test never spends it.
const DEADLINE: Duration = Duration::from_secs(30);
/// Short enough not to show in a test's duration.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Polls until `condition` gives a value, and returns it.
///
/// # Panics
/// After 30 s, with `what` was waited for.
pub(crate) async fn wait_for<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    wait_within(DEADLINE, what, condition).await
}

/// [`wait_for`] with another deadline.
///
/// # Panics
/// After the deadline, with `what` was waited for.
pub(crate) async fn wait_within<T>(
    deadline: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let attempt = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(deadline, attempt)
        .await
        .unwrap_or_else(|_| panic!("waited {deadline:?} in vain for {what}"))
}

/// Polls until `condition` holds.
///
/// # Panics
/// After 30 s, with `what` was waited for.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    wait_for(what, async || condition().await.then_some(())).await;
}

/// [`wait_for`] outside of a runtime, for servers' start and stop, which `Drop` needs too.
///
/// # Panics
/// After 30 s, with `what` was waited for.
pub(crate) fn wait_blocking<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begun.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}
