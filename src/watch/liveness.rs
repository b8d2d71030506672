//! Whether what is shown is live; and if not, since when and why.
//!
//! Pure: told what was heard and when. Live means: the stream has come to the present, the service
//! has said within [`SILENCE_MAX`] that it is there, and it is connected to its broker. Anything
//! less is NOT LIVE, from the last moment at which it was not less. A machine that sleeps does not
//! count the time: what was heard before it slept says nothing, however short ago it seems.

use std::time::{Duration, Instant};

use crate::clock::Timestamp;

/// A service that says nothing for this long is taken for gone. The contract says 25 s, and a screen
/// looks once a second.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(24);
/// An engine that is this far behind what has arrived is not live either: alarms come as late.
const LAG_MAX: Duration = Duration::from_secs(10);
/// Where the wall's clock has gone so much further than ours, this machine was asleep, or somebody
/// has set its clock, which costs a heartbeat of NOT LIVE and nothing else.
const ASLEEP_MIN: Duration = Duration::from_secs(5);

/// What is known of the way to the patients.
#[derive(Clone, Debug)]
pub(super) struct Liveness {
    link: Link,
    /// When the service was last heard; at first, when we began to listen.
    heard: Instant,
    /// Since when the service does not hear the devices, or hears them late, and which.
    deaf: Option<(Instant, &'static str)>,
    /// The service's clock, and when it was told.
    clock: Option<(Timestamp, Instant)>,
    /// Both clocks of this machine when they were last looked at.
    looked: Option<(Instant, Timestamp)>,
    /// This machine was asleep, and nothing was heard since.
    has_slept: bool,
}

/// The stream.
#[derive(Clone, Debug, PartialEq)]
enum Link {
    /// It has not come to the present.
    Behind(&'static str),
    /// It tells what happens.
    Present,
    /// It was cut, and is being taken up again.
    Cut(String),
}

/// What a heartbeat says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat {
    /// The service's clock.
    pub(super) service_time: Option<Timestamp>,
    /// Whether the service hears its broker.
    pub(super) ingest_connected: bool,
    /// How far the engine is behind what has arrived.
    pub(super) engine_lag: Duration,
}

/// What to show.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// What is shown is so.
    Live,
    /// What is shown was so.
    NotLive {
        /// What is shown is of then.
        since: Instant,
        /// Why.
        why: String,
    },
}

impl Liveness {
    /// Before anything was heard.
    pub(super) fn new(now: Instant) -> Self {
        let link = Link::Behind("connecting");
        Self { link, heard: now, deaf: None, clock: None, looked: None, has_slept: false }
    }

    /// A stream was opened; it is not at the present yet.
    pub(super) fn opened(&mut self) {
        self.link = Link::Behind("catching up");
    }

    /// The stream has come to the present.
    pub(super) fn present(&mut self, now: Instant) {
        self.link = Link::Present;
        self.heard = now;
        self.has_slept = false;
    }

    /// Looks at both clocks of this machine, every second at least: the one that stands still while
    /// it sleeps, by which everything here is counted, and the wall's.
    pub(super) fn look(&mut self, now: Instant, time: Timestamp) {
        if let Some((looked, looked_at)) = self.looked {
            let awake = now.saturating_duration_since(looked);
            self.has_slept |= time.since(looked_at) >= awake + ASLEEP_MIN;
        }
        self.looked = Some((now, time));
    }

    /// The stream was cut.
    pub(super) fn cut(&mut self, why: String) {
        self.link = Link::Cut(why);
    }

    pub(super) fn heartbeat(&mut self, heartbeat: Heartbeat, now: Instant) {
        // What is past is not news of the present: that counts from the end of catching up.
        if self.link == Link::Present {
            self.heard = now;
            self.has_slept = false;
        }
        if let Some(time) = heartbeat.service_time {
            self.clock = Some((time, now));
        }
        self.deaf = why_deaf(&heartbeat).map(|why| match self.deaf {
            Some((since, _)) => (since, why),
            None => (now, why),
        });
    }

    /// Whether the stream has come to the present and was not cut since.
    pub(super) fn is_present(&self) -> bool {
        self.link == Link::Present
    }

    /// How it is now.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let silent = now.saturating_duration_since(self.heard);
        let (since, why) = match (&self.link, self.deaf) {
            (Link::Cut(why), _) => (self.heard, why.clone()),
            (Link::Behind(why), _) => (self.heard, (*why).to_owned()),
            (Link::Present, _) if self.has_slept => {
                (self.heard, "this machine was asleep".to_owned())
            }
            (Link::Present, _) if silent >= SILENCE_MAX => {
                (self.heard, "the service says nothing".to_owned())
            }
            (Link::Present, Some((since, why))) => (since, why.to_owned()),
            (Link::Present, None) => return Verdict::Live,
        };
        Verdict::NotLive { since, why }
    }

    /// What the service's clock says at that moment; nothing before it has said so once.
    pub(super) fn service_time(&self, at: Instant) -> Option<Timestamp> {
        let (time, told) = self.clock?;
        Some(match at.checked_duration_since(told) {
            Some(since) => time.plus(since),
            None => time.minus(told.duration_since(at)),
        })
    }
}

fn why_deaf(heartbeat: &Heartbeat) -> Option<&'static str> {
    if !heartbeat.ingest_connected {
        Some("the service takes no messages from its broker")
    } else if heartbeat.engine_lag >= LAG_MAX {
        Some("the service is behind what has arrived")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Heartbeat = Heartbeat {
        service_time: Some(Timestamp::from_seconds(1000)),
        ingest_connected: true,
        engine_lag: Duration::ZERO,
    };

    fn after(begun: Instant, seconds: u64) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    /// Since how many seconds after the beginning it is not live, and why.
    fn not_live(liveness: &Liveness, begun: Instant, second: u64) -> Option<(u64, String)> {
        match liveness.verdict(after(begun, second)) {
            Verdict::Live => None,
            Verdict::NotLive { since, why } => Some((since.duration_since(begun).as_secs(), why)),
        }
    }

    fn live() -> (Instant, Liveness) {
        let begun = Instant::now();
        let mut liveness = Liveness::new(begun);
        liveness.opened();
        liveness.present(begun);
        (begun, liveness)
    }

    #[test]
    fn nothing_is_live_before_the_stream_has_come_to_the_present() {
        let begun = Instant::now();
        let mut liveness = Liveness::new(begun);
        assert_eq!(not_live(&liveness, begun, 1), Some((0, "connecting".to_owned())));
        liveness.opened();
        liveness.heartbeat(GOOD, after(begun, 2));
        assert_eq!(not_live(&liveness, begun, 3), Some((0, "catching up".to_owned())));
        liveness.present(after(begun, 4));
        assert_eq!(not_live(&liveness, begun, 5), None);
    }

    #[test]
    fn silence_shows_within_25_s_of_the_last_heartbeat_and_since_then() {
        let (begun, mut liveness) = live();
        liveness.heartbeat(GOOD, after(begun, 10));
        assert_eq!(not_live(&liveness, begun, 33), None);
        let (since, why) = not_live(&liveness, begun, 34).expect("silent for 24 s");
        assert_eq!((since, why.as_str()), (10, "the service says nothing"));
        liveness.heartbeat(GOOD, after(begun, 36));
        assert_eq!(not_live(&liveness, begun, 37), None, "it was only slow");
    }

    #[test]
    fn a_cut_shows_at_once_and_lasts_until_what_was_missed_is_told() {
        let (begun, mut liveness) = live();
        liveness.heartbeat(GOOD, after(begun, 10));
        liveness.cut("no connection".to_owned());
        assert_eq!(not_live(&liveness, begun, 12), Some((10, "no connection".to_owned())));
        liveness.opened();
        liveness.heartbeat(GOOD, after(begun, 15));
        assert_eq!(not_live(&liveness, begun, 16), Some((10, "catching up".to_owned())));
        liveness.present(after(begun, 17));
        assert_eq!(not_live(&liveness, begun, 18), None);
    }

    #[test]
    fn a_service_that_hears_no_devices_is_not_live_however_often_it_says_so() {
        let (begun, mut liveness) = live();
        for second in [10, 20, 30] {
            let deaf = Heartbeat { ingest_connected: false, ..GOOD };
            liveness.heartbeat(deaf, after(begun, second));
        }
        let (since, why) = not_live(&liveness, begun, 31).expect("deaf");
        assert_eq!(since, 10);
        assert!(why.contains("broker"), "{why}");
        let late = Heartbeat { engine_lag: LAG_MAX, ..GOOD };
        liveness.heartbeat(late, after(begun, 40));
        assert!(not_live(&liveness, begun, 41).expect("late").1.contains("behind"));
        liveness.heartbeat(GOOD, after(begun, 50));
        assert_eq!(not_live(&liveness, begun, 51), None);
    }

    #[test]
    fn what_was_heard_before_this_machine_slept_says_nothing() {
        let (begun, mut liveness) = live();
        let wall = |seconds| Timestamp::from_seconds(5000 + seconds);
        liveness.heartbeat(GOOD, after(begun, 10));
        for (second, slept) in [(10, 0), (11, 0), (12, 2)] {
            liveness
                .look(after(begun, second), wall(i64::try_from(second).expect("small") + slept));
            assert_eq!(not_live(&liveness, begun, second), None, "no clocks are quite the same");
        }
        // An hour, of which our clock knows nothing.
        for second in [13, 14] {
            liveness.look(after(begun, second), wall(3600));
            let (_, why) = not_live(&liveness, begun, second).expect("it was asleep");
            assert_eq!(why, "this machine was asleep");
        }
        liveness.heartbeat(GOOD, after(begun, 15));
        assert_eq!(not_live(&liveness, begun, 16), None, "the service is heard again");
    }

    #[test]
    fn the_services_clock_runs_on_between_heartbeats() {
        let (begun, mut liveness) = live();
        assert_eq!(liveness.service_time(begun), None);
        liveness.heartbeat(GOOD, after(begun, 10));
        for (second, expected) in [(13, 1003), (8, 998)] {
            let time = liveness.service_time(after(begun, second));
            assert_eq!(time, Some(Timestamp::from_seconds(expected)));
        }
    }
}
