//! The ward where there is no terminal: one line for each event, flushed at once.
//!
//! A line is a time in RFC 3339, a word, and `key=value` pairs; a value with other characters than
//! those of ids and times is quoted as in JSON. Lines go where logs go, so they hold no vital, no
//! reading and no note: who wants the story asks for the alert by its id.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::liveness::Verdict;
use super::ward::Ward;
use super::{Ends, Error, News, words};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::proto::v1;
use crate::proto::v1::watch_alerts_response::{Message, event};

/// How often it is looked whether the service has fallen silent.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Prints until `stop` completes, or nobody reads on.
pub(super) async fn run(
    ends: &mut Ends,
    out: impl Write,
    stop: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let mut printer = Printer::new(out);
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        let printed = tokio::select! {
            Some(news) = ends.news.recv() => printer.take(news, Instant::now(), SystemClock.now()),
            _ = look.tick() => printer.look(Instant::now(), SystemClock.now()),
            error = Ends::broken(&mut ends.tasks) => return Err(error),
            stopped = &mut stop => return stopped,
        };
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed.map_err(Error::Print)?,
        }
    }
}

/// Prints what happens.
struct Printer<W> {
    out: W,
    ward: Ward,
    /// Whether the last thing said is that it is live. At first nobody thinks so.
    is_said_live: bool,
}

impl<W: Write> Printer<W> {
    fn new(out: W) -> Self {
        Self { out, ward: Ward::new(Instant::now()), is_said_live: false }
    }

    fn take(&mut self, news: News, now: Instant, time: Timestamp) -> io::Result<()> {
        match news {
            News::Opened => self.ward.liveness.opened(),
            News::Cut(why) => self.ward.liveness.cut(why),
            News::Alerts(message) => {
                // Before the message: what a stream catches up with is told as not live.
                for line in lines(&message, time) {
                    writeln!(self.out, "{line}")?;
                }
                self.ward.take(*message, now);
            }
            News::Vitals(_) | News::VitalsCut(_) | News::Answer(_) => {}
        }
        self.look(now, time)
    }

    /// Says whether it is live, where that has changed.
    fn look(&mut self, now: Instant, time: Timestamp) -> io::Result<()> {
        self.ward.liveness.look(now, time);
        match self.ward.liveness.verdict(now) {
            Verdict::Live if !self.is_said_live => {
                writeln!(self.out, "{time} live")?;
                self.is_said_live = true;
            }
            Verdict::NotLive { since, why } if self.is_said_live => {
                let silent = now.saturating_duration_since(since).as_secs();
                let why = value(&why);
                writeln!(self.out, "{time} NOT-LIVE silent_seconds={silent} reason={why}")?;
                self.is_said_live = false;
            }
            _ => {}
        }
        self.out.flush()
    }
}

/// What a message says.
fn lines(message: &Message, time: Timestamp) -> Vec<String> {
    match message {
        Message::Snapshot(snapshot) => {
            let open = snapshot.alerts.iter().map(|it| alert_line(time, "open", it, ""));
            let patients = snapshot.patients.iter().map(|it| monitoring_line(time, it));
            patients.chain(open).collect()
        }
        Message::Event(event) => match &event.change {
            Some(event::Change::Alert(event)) => event_line(event, time).into_iter().collect(),
            Some(event::Change::Monitoring(it)) => {
                let since = words::timestamp(it.since).unwrap_or(time);
                vec![monitoring_line(since, it)]
            }
            None => Vec::new(),
        },
        Message::LeftScope(left) => vec![format!("{time} left patient={}", left.patient_id)],
        Message::Live(_) | Message::Heartbeat(_) => Vec::new(),
    }
}

fn event_line(event: &v1::AlertEvent, time: Timestamp) -> Option<String> {
    let at = words::timestamp(event.determined_at).unwrap_or(time);
    let alert = event.alert.as_ref()?;
    Some(alert_line(at, words::phase(event.phase()), alert, &event.actor))
}

fn alert_line(at: Timestamp, word: &str, alert: &v1::Alert, by: &str) -> String {
    let mut line = format!("{at} {word} priority={}", words::priority(alert.priority()));
    let version = alert.rule_version.to_string();
    let pairs = [
        ("rule", alert.rule_id.as_str()),
        ("version", version.as_str()),
        ("patient", alert.patient_id.as_str()),
        ("site", alert.site_id.as_str()),
        ("device", alert.device_id.as_str()),
        ("condition", words::condition(alert.condition())),
        ("signal", words::signal(alert.signal())),
        ("by", by),
        ("alert", alert.alert_id.as_str()),
    ];
    for (key, text) in pairs.into_iter().filter(|(_, text)| !text.is_empty()) {
        line.push_str(&format!(" {key}={}", value(text)));
    }
    line
}

fn monitoring_line(at: Timestamp, patient: &v1::PatientMonitoring) -> String {
    let state = words::monitoring(patient.state());
    let (id, site) = (value(&patient.patient_id), value(&patient.site_id));
    format!("{at} monitoring patient={id} site={site} state={}", value(state))
}

/// As it is, or in quotes: a value never ends a line or begins another pair.
fn value(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:+-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{alert, event, live, monitored, snapshot};
    use super::*;
    use crate::proto::v1::watch_alerts_response;

    const TIME: Timestamp = Timestamp::from_seconds(1_769_847_300);

    fn printed(news: Vec<News>) -> String {
        let mut printer = Printer::new(Vec::new());
        for news in news {
            printer.take(news, Instant::now(), TIME).expect("a Vec takes all");
        }
        String::from_utf8(printer.out).expect("text")
    }

    fn told(message: Message) -> News {
        News::Alerts(Box::new(message))
    }

    #[test]
    fn each_event_is_a_line_of_pairs() {
        let patients = vec![monitored("p-1", "north")];
        let snapshot = snapshot(0, vec![alert("a", "p-1", v1::Priority::Low)], patients);
        let high = event(alert("a", "p-1", v1::Priority::High));
        let text = printed(vec![told(snapshot), told(live()), told(high)]);
        let lines: Vec<_> = text.lines().collect();
        let alert = "rule=spo2-low version=1 patient=p-1 condition=active signal=ON alert=a";
        assert_eq!(
            lines,
            [
                "2026-01-31T08:15:00Z monitoring patient=p-1 site=north state=monitored".to_owned(),
                format!("2026-01-31T08:15:00Z open priority=LOW {alert}"),
                "2026-01-31T08:15:00Z live".to_owned(),
                format!("2026-01-31T08:15:00Z escalate priority=HIGH {alert}"),
            ]
        );
    }

    #[test]
    fn a_cut_is_a_line_and_what_was_missed_comes_before_live_is_said_again() {
        let missed = event(alert("b", "p-1", v1::Priority::High));
        let cut = News::Cut("the service\nstops".to_owned());
        let text = printed(vec![told(live()), cut, News::Opened, told(missed), told(live())]);
        let words: Vec<_> = text.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(words, ["live", "NOT-LIVE", "escalate", "live"]);
        assert!(text.contains(r#"reason="the service\nstops""#), "{text}");
    }

    #[test]
    fn a_machine_that_wakes_up_is_not_live_before_the_service_is_heard() {
        let mut printer = Printer::new(Vec::new());
        let (now, heartbeat) = (Instant::now(), watch_alerts_response::Heartbeat::default());
        let heartbeat = watch_alerts_response::Heartbeat { ingest_connected: true, ..heartbeat };
        printer.take(told(live()), now, TIME).expect("a Vec takes all");
        let woken = TIME.plus(Duration::from_secs(3600));
        printer.look(now + LOOK_EVERY, woken).expect("a Vec takes all");
        let heard = told(Message::Heartbeat(heartbeat));
        printer.take(heard, now + LOOK_EVERY, woken).expect("a Vec takes all");
        let text = String::from_utf8(printer.out).expect("text");
        let words: Vec<_> = text.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(words, ["live", "NOT-LIVE", "live"], "{text}");
    }

    #[test]
    fn no_vital_no_reading_and_no_note_is_printed() {
        let reading = v1::DecidingReading { quantity: Some(83.25), ..Default::default() };
        let told_event = v1::AlertEvent {
            alert: Some(v1::Alert { limit: Some(90.0), ..alert("a", "p-1", v1::Priority::High) }),
            readings: vec![reading],
            note: "daughter called".to_owned(),
            actor: "dr weber".to_owned(),
            ..v1::AlertEvent::default()
        };
        let line = event_line(&told_event, TIME).expect("a line");
        assert!(line.contains(r#" by="dr weber""#), "{line}");
        assert!(!line.contains("83.25") && !line.contains("daughter"), "{line}");
    }
}
