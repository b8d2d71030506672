//! A story: one small ward in front of the real engine, told column by column.
//!
//! A scenario enrols, measures, waits and works on alerts; the story passes each step through the
//! engine's public door, as the service does, and takes note of what was sent and of what came of
//! it. It decides nothing: what stands in a diagram is what the engine said.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use pulseward::clock::Timestamp;
use pulseward::engine::alerts::{Alert, AlertEvent, Condition, Signal};
use pulseward::engine::audit::Origin;
use pulseward::engine::input::{
    Action, AlertAction, Command, Event, Input, NewBinding, Principal, ProfileOwner, Publish, Role,
    Schedule, Sites,
};
use pulseward::engine::output::{MonitoringChange, Output, Refusal, Reject};
use pulseward::engine::profile::{LimitRule, Profile, Rule, RuleKind};
use pulseward::engine::{State, apply};
use pulseward::proto::v1 as proto;
use pulseward::vitals::{DeviceId, PatientId, Priority, Quantity, SiteId, Vital};

/// The ward of all stories.
pub(crate) const SITE: &str = "north";
/// When the first story began, in seconds since 1970.
const DAWN: i64 = 1_767_600_000;

/// What stands in one cell of a row of readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// One character for narrow columns.
    pub(crate) sign: char,
    /// The value, for wide ones.
    pub(crate) text: String,
}

/// A reading that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) device: u32,
    pub(crate) vital: Vital,
    pub(crate) measured: i64,
    pub(crate) received: i64,
    pub(crate) mark: Mark,
}

/// Where a rule's alert stood at the end of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) condition: Condition,
    pub(crate) signal: Signal,
    pub(crate) priority: Priority,
}

/// A line of the list below a diagram.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    /// Something happened to an alert.
    Alert(Box<AlertEvent>),
    /// A patient is watched otherwise.
    Watched(MonitoringChange),
    /// A request was refused.
    Refused(String),
    /// A reading was refused.
    Rejected(Reject),
    /// Something was done that is no alert event.
    Said(String),
}

/// See the module.
pub(crate) struct Story {
    pub(crate) state: State,
    /// Seconds from one column to the next.
    pub(crate) step: i64,
    /// Characters of a column: 1 shows marks, more show values.
    pub(crate) width: usize,
    /// When the diagram begins.
    pub(crate) begin: i64,
    pub(crate) now: i64,
    pub(crate) rules: Vec<Rule>,
    pub(crate) sent: Vec<Sent>,
    /// Where each rule stood at the end of each column.
    pub(crate) columns: Vec<BTreeMap<String, Standing>>,
    pub(crate) lines: Vec<(i64, Line)>,
    /// Whether changes of monitoring are listed.
    pub(crate) tells_monitoring: bool,
    sequence: u64,
    /// The alert that was seen last, for who works on one that is over.
    last_seen: Option<Alert>,
}

impl Story {
    /// A site with these rules, a column every so many seconds.
    pub(crate) fn new(step: i64, rules: Vec<Rule>) -> Self {
        let mut story = Self {
            state: State::default(),
            step,
            width: 1,
            begin: DAWN,
            now: DAWN,
            rules: Vec::new(),
            sent: Vec::new(),
            columns: Vec::new(),
            lines: Vec::new(),
            tells_monitoring: false,
            sequence: 0,
            last_seen: None,
        };
        story.create_site(SITE);
        story.put(rules);
        story
    }

    /// The same, with room for values in its columns.
    pub(crate) fn wide(step: i64, width: usize, rules: Vec<Rule>) -> Self {
        Self { width, ..Self::new(step, rules) }
    }

    // --- The registry -------------------------------------------------------------------------

    pub(crate) fn create_site(&mut self, id: &str) {
        self.done(Action::CreateSite {
            site: site(id),
            display_name: String::new(),
            time_zone: "UTC".to_owned(),
        });
    }

    /// Replaces everyone's rules.
    pub(crate) fn put(&mut self, rules: Vec<Rule>) {
        if self.rules.is_empty() {
            self.rules.clone_from(&rules);
        }
        self.done(Action::PutProfile {
            owner: ProfileOwner::Default,
            profile: Profile { rules },
            expected_version: None,
        });
    }

    pub(crate) fn create_device(&mut self, number: u32) {
        self.done(Action::CreateDevice { device: device(number), site: site(SITE) });
    }

    /// Patient `number` puts on device `number`, which measures these vitals every so many seconds.
    pub(crate) fn wear(&mut self, number: u32, every: &[(Vital, u64)]) {
        self.wear_uploading(number, every, 0);
    }

    pub(crate) fn wear_uploading(&mut self, number: u32, every: &[(Vital, u64)], upload: u64) {
        self.done(Action::CreatePatient { patient: patient(number), site: site(SITE) });
        self.create_device(number);
        self.bind(number, number, every, upload);
    }

    pub(crate) fn bind(&mut self, worn: u32, by: u32, every: &[(Vital, u64)], upload: u64) {
        let interval = |(vital, seconds): &(Vital, u64)| (*vital, Duration::from_secs(*seconds));
        let schedule = Schedule {
            upload_interval: Duration::from_secs(upload),
            expected_intervals: every.iter().map(interval).collect(),
        };
        let (device, patient) = (device(worn), patient(by));
        self.done(Action::BindDevice(NewBinding { device, patient, from: None, schedule }));
    }

    // --- Readings -----------------------------------------------------------------------------

    /// The first device measures a vital: one word a column, as [`parse`] reads it.
    pub(crate) fn play(&mut self, vital: Vital, words: &str) {
        self.play_all(&[(1, vital, words)]);
    }

    /// Several devices or vitals beside each other, each with as many words.
    pub(crate) fn play_all(&mut self, rows: &[(u32, Vital, &str)]) {
        let words: Vec<Vec<&str>> =
            rows.iter().map(|(.., words)| words.split_whitespace().collect()).collect();
        for column in 0..words[0].len() {
            for ((device, vital, _), words) in rows.iter().zip(&words) {
                self.measure(*device, *vital, words[column]);
            }
            self.next();
        }
    }

    /// One reading, measured and sent now; `.` is none.
    pub(crate) fn measure(&mut self, device: u32, vital: Vital, word: &str) {
        self.send(device, vital, self.now, word, false);
    }

    /// Readings from `from` seconds after the begin on, one a column, sent now as one batch.
    pub(crate) fn catch_up(&mut self, vital: Vital, from: i64, words: &str, historical: bool) {
        let mut readings = Vec::new();
        for (index, word) in (0..).zip(words.split_whitespace()) {
            let at = self.begin + from + index * self.step;
            readings.extend(self.note(1, vital, at, word, historical));
        }
        self.publish(1, readings);
    }

    fn send(&mut self, device: u32, vital: Vital, at: i64, word: &str, historical: bool) {
        if let Some(reading) = self.note(device, vital, at, word, historical) {
            self.publish(device, vec![reading]);
        }
    }

    fn note(
        &mut self,
        device: u32,
        vital: Vital,
        measured: i64,
        word: &str,
        historical: bool,
    ) -> Option<proto::Reading> {
        let reading = parse(vital, measured, word)?;
        let mark = self.mark(vital, word);
        self.sent.push(Sent { device, vital, measured, received: self.now, mark });
        Some(proto::Reading { historical, ..reading })
    }

    fn publish(&mut self, device_number: u32, readings: Vec<proto::Reading>) {
        let first_seq = self.sequence;
        self.sequence += readings.len() as u64;
        self.publish_numbered(device_number, first_seq, readings);
    }

    /// The last batch of one reading once more, as a broker or a gateway repeats it.
    pub(crate) fn repeat_last(&mut self, vital: Vital, word: &str) {
        let reading = parse(vital, self.now, word).expect("a reading");
        self.publish_numbered(1, self.sequence - 1, vec![reading]);
    }

    fn publish_numbered(&mut self, number: u32, first_seq: u64, readings: Vec<proto::Reading>) {
        let batch = proto::ReadingBatch { boot_id: 7, first_seq, readings, ..Default::default() };
        let topic = format!("pulseward/v1/{SITE}/{}/readings", device(number));
        self.deliver(topic, batch.encode_to_vec());
    }

    /// A device says something of itself.
    pub(crate) fn status(&mut self, number: u32, status: &proto::DeviceStatus) {
        let topic = format!("pulseward/v1/{SITE}/{}/status", device(number));
        self.deliver(topic, status.encode_to_vec());
    }

    fn deliver(&mut self, topic: String, payload: Vec<u8>) {
        let payload = payload.into();
        let (encoding, correlation, retained) = (None, None, false);
        self.apply(Event::Publish(Publish { topic, payload, encoding, correlation, retained }));
    }

    fn mark(&self, vital: Vital, word: &str) -> Mark {
        let text = word.trim_start_matches('~').to_owned();
        let sign = match word.parse().ok().and_then(Quantity::from_f64) {
            _ if word.starts_with('x') => 'x',
            _ if word.starts_with('~') => '~',
            Some(value) if vital.means_no_sensor(value, None) => 'x',
            Some(value) if !vital.plausible().contains(value) => '?',
            Some(value) => {
                self.limits(vital).map(|rule| against(rule, value)).max().map_or('·', sign)
            }
            None => '·',
        };
        Mark { sign, text }
    }

    fn limits(&self, vital: Vital) -> impl Iterator<Item = &LimitRule> {
        self.rules.iter().filter_map(move |rule| match &rule.kind {
            RuleKind::Limit(limit) if limit.covers(vital) => Some(limit),
            _ => None,
        })
    }

    // --- Time ---------------------------------------------------------------------------------

    /// What was just told belongs to the time before the diagram.
    pub(crate) fn begin_here(&mut self) {
        self.begin = self.now;
        self.sent.clear();
        self.columns.clear();
        self.lines.clear();
    }

    /// The diagram begins at this column; times go on counting from the begin.
    pub(crate) fn begin_at_column(&mut self, column: usize) {
        self.columns.drain(..column);
        self.begin += self.step * i64::try_from(column).expect("few columns");
        let begin = self.begin;
        self.sent.retain(|sent| sent.measured >= begin);
        self.lines.retain(|(at, _)| *at >= begin);
    }

    /// The column is over; time goes on to the next.
    pub(crate) fn next(&mut self) {
        self.columns.push(self.standings());
        self.now += self.step;
        self.apply(Event::Tick);
    }

    /// So many columns in which nothing arrives.
    pub(crate) fn skip(&mut self, columns: usize) {
        for _ in 0..columns {
            self.next();
        }
    }

    /// The service is away for so many columns: nothing reaches the engine.
    pub(crate) fn be_away(&mut self, columns: i64) {
        for _ in 0..columns {
            self.columns.push(BTreeMap::new());
            self.now += self.step;
        }
    }

    fn standings(&self) -> BTreeMap<String, Standing> {
        let standing = |alert: &Alert| {
            let (condition, signal) = (alert.condition, alert.signal);
            (alert.rule.to_string(), Standing { condition, signal, priority: alert.priority })
        };
        self.state.open_alerts().map(standing).collect()
    }

    // --- People -------------------------------------------------------------------------------

    /// The one open alert of a rule, or of any if the name is empty.
    fn seen(&mut self, rule: &str) -> Alert {
        let found = self.state.open_alerts().find(|it| rule.is_empty() || it.rule.as_str() == rule);
        if let Some(alert) = found {
            self.last_seen = Some(alert.clone());
        }
        self.last_seen.clone().expect("an alert was seen")
    }

    /// A clinician acknowledges what they see.
    pub(crate) fn acknowledge(&mut self, rule: &str) {
        let revision = self.seen(rule).revision;
        self.acknowledge_as_of(rule, revision);
    }

    /// A clinician acknowledges what they saw then.
    pub(crate) fn acknowledge_as_of(&mut self, rule: &str, revision: u32) {
        self.work(rule, AlertAction::Acknowledge { revision, note: None });
    }

    /// A clinician pauses the alert that they see.
    pub(crate) fn pause(&mut self, rule: &str, seconds: u64) {
        let (revision, note) = (self.seen(rule).revision, None);
        self.work(
            rule,
            AlertAction::Pause { revision, duration: Duration::from_secs(seconds), note },
        );
    }

    /// A clinician resets the alert that they see.
    pub(crate) fn reset(&mut self, rule: &str) {
        let revision = self.seen(rule).revision;
        self.work(rule, AlertAction::Reset { revision });
    }

    pub(crate) fn work(&mut self, rule: &str, action: AlertAction) {
        let alert = self.seen(rule).id;
        self.ask(Action::WorkOnAlert { alert, action });
    }

    /// All signals of the first patient are paused until so many seconds after the begin.
    pub(crate) fn pause_patient(&mut self, until: i64) {
        let until = Some(Timestamp::from_seconds(self.begin + until));
        self.ask(Action::PausePatient { patient: patient(1), until, reason: None });
    }

    /// Asks for something; a refusal is part of the story.
    pub(crate) fn ask(&mut self, action: Action) {
        if let Err(refusal) = self.command(action) {
            let text = match &refusal {
                Refusal::FailedPrecondition { reason, .. } => format!("{reason}: {refusal}"),
                _ => refusal.to_string(),
            };
            self.lines.push((self.now, Line::Refused(text)));
        }
    }

    /// Asks for something that must succeed.
    pub(crate) fn done(&mut self, action: Action) {
        self.command(action).expect("accepted");
    }

    fn command(&mut self, action: Action) -> Result<(), Refusal> {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let origin = Origin { peer: "test".to_owned(), salt: [7; 16] };
        let command =
            Event::Command(Box::new(Command { principal, action, origin, request: None }));
        self.apply(command).expect("a command is answered").map(drop)
    }

    /// Puts a line into the list.
    pub(crate) fn say(&mut self, text: &str) {
        self.lines.push((self.now, Line::Said(text.to_owned())));
    }

    // --- The engine ---------------------------------------------------------------------------

    pub(crate) fn apply(&mut self, event: Event) -> Option<pulseward::engine::output::Reply> {
        let input = Input { received_at: Timestamp::from_seconds(self.now), event };
        let mut outputs = Vec::new();
        let reply = apply(&mut self.state, &input, &mut outputs);
        for output in outputs {
            match output {
                Output::Alert(event) => {
                    self.lines.push((seconds(event.determined_at), Line::Alert(event)));
                }
                Output::Monitoring(change) if self.tells_monitoring => {
                    self.lines.push((seconds(change.since), Line::Watched(*change)));
                }
                Output::Reject(reject) => self.lines.push((self.now, Line::Rejected(*reject))),
                _ => {}
            }
        }
        reply
    }
}

/// A reading: `97` a value, `~97` one that the device doubts, `x` none (the sensor is off), `xe`
/// none (an artefact), `A` to `U` a level of consciousness, `.` no reading.
fn parse(vital: Vital, measured: i64, word: &str) -> Option<proto::Reading> {
    use proto::reading::Value;
    let value = match word {
        "." => return None,
        "x" => Value::Absent(proto::AbsentReason::SensorOff as i32),
        "xe" => Value::Absent(proto::AbsentReason::Artefact as i32),
        "A" => Value::Consciousness(proto::Acvpu::Alert as i32),
        "C" => Value::Consciousness(proto::Acvpu::Confusion as i32),
        number => Value::Quantity(number.trim_start_matches('~').parse().expect("a number")),
    };
    let is_quantity = matches!(value, Value::Quantity(_));
    let is_doubted = word.starts_with('~');
    Some(proto::Reading {
        measured: Some(proto::reading::Measured::MeasuredAt(prost_types::Timestamp {
            seconds: measured,
            nanos: 0,
        })),
        vital: i32::from(vital.number()),
        value: Some(value),
        unit: if is_quantity { vital.unit().ucum().to_owned() } else { String::new() },
        quality: is_doubted.then_some(proto::Quality::Motion as i32).into_iter().collect(),
        ..proto::Reading::default()
    })
}

/// How far a value is beyond a rule's limits: 0 clear of all, 1 between, 2 and more by priority.
fn against(rule: &LimitRule, value: Quantity) -> u8 {
    let breached = rule.levels.iter().filter(|it| rule.side.is_beyond(value, it.limit));
    let between = rule.levels.iter().any(|it| rule.side.is_beyond(value, it.clear_limit));
    breached.map(|it| it.priority as u8 + 1).max().unwrap_or_else(|| u8::from(between))
}

const fn sign(far: u8) -> char {
    match far {
        0 => '·',
        1 => '-',
        2 => 'l',
        3 => 'm',
        _ => 'h',
    }
}

/// Whole seconds since 1970.
pub(crate) const fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

pub(crate) fn site(id: &str) -> SiteId {
    SiteId::new(id).expect("valid")
}

pub(crate) fn patient(number: u32) -> PatientId {
    PatientId::new(&format!("patient-{number}")).expect("valid")
}

pub(crate) fn device(number: u32) -> DeviceId {
    DeviceId::new(&format!("device-{number}")).expect("valid")
}
