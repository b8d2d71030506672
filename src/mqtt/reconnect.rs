//! How a client comes back to the broker: the waits between attempts, and what people are told.
//!
//! An outage is one WARN when it begins and one INFO when it ends, however many attempts lie
//! between. What only a person can mend, such as a wrong password, is an ERROR at each attempt.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use metrics::{counter, gauge};
use rumqttc::v5::mqttbytes::v5::ConnAck;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use super::Settings;
use super::connection::{Connection, Hello, Lost};
use crate::telemetry::{names, with_causes};

/// The way back to the broker for one client.
pub(super) struct Reconnect {
    /// `source` or `verdicts`.
    client: &'static str,
    settings: Settings,
    hello: Hello,
    /// Failures since a connection last proved good.
    failures: u32,
    /// Since when there has been no connection, if people were told.
    outage: Option<Instant>,
    connected_at: Option<Instant>,
    /// Why there is no connection, for readiness.
    trouble: Trouble,
}

/// Why there is no connection; `None` while there is one, and before the first attempt.
pub(super) type Trouble = watch::Sender<Option<String>>;

impl Reconnect {
    pub(super) fn new(
        client: &'static str,
        settings: Settings,
        hello: Hello,
        trouble: Trouble,
    ) -> Self {
        let (outage, connected_at) = (None, None);
        Self { client, settings, hello, failures: 0, outage, connected_at, trouble }
    }

    /// Connects, however long it takes. Not cancel safe: dropping it drops the attempt under way,
    /// but no connection.
    pub(super) async fn establish(&mut self) -> (Connection, ConnAck) {
        loop {
            if self.failures > 0 {
                sleep(self.wait()).await;
            }
            match Connection::open(&self.settings, &self.hello).await {
                Ok(opened) => {
                    self.connected();
                    return opened;
                }
                Err(why) => self.failed(&why),
            }
        }
    }

    /// To be told when a connection is lost.
    pub(super) fn lost(&mut self, why: &Lost) {
        counter!(names::MQTT_CONNECTIONS_LOST_TOTAL, "client" => self.client).increment(1);
        gauge!(names::MQTT_CONNECTED, "client" => self.client).set(0.0);
        let lasted = self.connected_at.take().map_or(Duration::ZERO, |since| since.elapsed());
        // A broker that accepts and at once hangs up is no better than one that is away.
        if lasted >= self.settings.reconnect_max {
            self.failures = 0;
        }
        self.failed(why);
    }

    /// To be told when the client ends of its own accord.
    pub(super) fn stopped(&mut self) {
        gauge!(names::MQTT_CONNECTED, "client" => self.client).set(0.0);
        info!(client = self.client, broker = %self.settings.url, "MQTT disconnected");
    }

    fn failed(&mut self, why: &Lost) {
        self.failures = self.failures.saturating_add(1);
        let (client, broker) = (self.client, &self.settings.url);
        let reason = with_causes(why);
        self.trouble.send_replace(Some(reason.clone()));
        if why.needs_a_person() {
            error!(client, %broker, reason, "no MQTT connection; trying again");
        } else if self.outage.is_none() {
            warn!(client, %broker, reason, "no MQTT connection; trying again");
        } else {
            debug!(client, %broker, reason, failures = self.failures, "still no MQTT connection");
        }
        self.outage.get_or_insert_with(Instant::now);
    }

    fn connected(&mut self) {
        self.trouble.send_replace(None);
        gauge!(names::MQTT_CONNECTED, "client" => self.client).set(1.0);
        let away = self.outage.take().map(|since| since.elapsed());
        info!(client = self.client, broker = %self.settings.url, ?away, "MQTT connected");
        self.connected_at = Some(Instant::now());
    }

    fn wait(&self) -> Duration {
        let longest =
            backoff(self.settings.reconnect_min, self.settings.reconnect_max, self.failures);
        longest.div_f64(1.0 + fraction())
    }
}

/// The longest wait after so many failures: doubling from `min` up to `max`. The wait itself lies
/// between half of it and all of it, so that clients that were cut off together do not come back
/// together.
fn backoff(min: Duration, max: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    min.saturating_mul(1 << doublings).min(max)
}

/// A random number from 0 to 1, from the keys that the standard library draws for its hash maps.
fn fraction() -> f64 {
    let random = RandomState::new().hash_one(()) >> 32;
    f64::from(u32::try_from(random).expect("32 bits are left")) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(5));
        for (failures, millis) in [(1, 100), (2, 200), (6, 3200), (7, 5000), (u32::MAX, 5000)] {
            assert_eq!(backoff(min, max, failures), Duration::from_millis(millis), "{failures}");
        }
    }

    #[test]
    fn a_fraction_lies_between_0_and_1() {
        assert!((0..1000).all(|_| (0.0..=1.0).contains(&fraction())));
    }
}
