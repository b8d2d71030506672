//! What the demo shows: one plain line for each thing that happens.
#![expect(clippy::print_stdout, reason = "showing is what this is for")]

use std::time::Duration;

use pulseward_sim::score::Score;
use pulseward_sim::watch::{Seen, SeenAlerts};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::service::Addresses;

/// How often the ward's state is told when nothing happens.
const EVERY: Duration = Duration::from_secs(5);
/// How often the stream is looked at: sooner than a person would notice.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn started(addresses: Addresses) {
    println!("pulseward demo: simulated patients, not people; not a medical device");
    println!("grpc http://{}   metrics http://{}/metrics", addresses.grpc, addresses.http);
}

/// Tells what happens until `stop`.
pub(super) async fn show(seen: SeenAlerts, stop: CancellationToken) {
    let began = Instant::now();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_told = began;
    let mut shown = Seen::default();
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = seen.now();
        let second = began.elapsed().as_secs();
        for raised in &now.raised[shown.raised.len()..] {
            println!("{second:>4} s  ALERT {} {}", raised.patient, raised.rule);
        }
        for _ in shown.ended..now.ended {
            println!("{second:>4} s  an alert ended");
        }
        shown = now;
        if last_told.elapsed() >= EVERY {
            last_told = Instant::now();
            let open = shown.raised.len().saturating_sub(shown.ended);
            println!("{second:>4} s  {open} open alerts, {} so far", shown.raised.len());
        }
    }
}

/// Names what was raised and not due, and what was due and not raised.
pub(super) fn differences(score: &Score) {
    for missing in &score.missing {
        println!("MISSED {} {} with onset {}", missing.patient, missing.rule, missing.onset);
    }
    for raised in &score.unexpected {
        println!("NOT DUE {} {} with onset {}", raised.patient, raised.rule, raised.onset);
    }
    if score.repeated > 0 {
        println!("{} alerts were started twice", score.repeated);
    }
}
