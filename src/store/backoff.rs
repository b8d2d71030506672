//! How long to wait before trying again: doubling waits with jitter, up to a cap.
//!
//! The jitter keeps several services that lost the same database from coming back as one.

use std::time::Duration;

use uuid::Uuid;

#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first.min(max) }
    }

    /// The next wait: between half of the current step and all of it.
    pub(super) fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        spread(step, random())
    }

    /// Something worked: begin again with the first wait.
    pub(super) fn reset(&mut self) {
        self.next = self.first.min(self.max);
    }
}

fn spread(step: Duration, share: u16) -> Duration {
    let half = step / 2;
    half + half * u32::from(share) / u32::from(u16::MAX)
}

/// The low bits of a version 4 UUID are random, and spare us a dependency for this one number.
fn random() -> u16 {
    let [.., high, low] = Uuid::new_v4().into_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_again_after_success() {
        let (first, max) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut backoff = Backoff::new(first, max);
        for step in [100, 200, 350, 350] {
            let step = Duration::from_millis(step);
            let wait = backoff.wait();
            assert!(step / 2 <= wait && wait <= step, "{wait:?} of {step:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= first);
    }

    #[test]
    fn jitter_spans_half_a_step() {
        let step = Duration::from_secs(2);
        assert_eq!(spread(step, 0), Duration::from_secs(1));
        assert_eq!(spread(step, u16::MAX), step);
    }
}
