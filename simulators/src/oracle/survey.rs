//! The first look at a record: everything but the payloads.
//!
//! Who wore what and when, which messages were published and acknowledged when, what watchers were
//! told, and when the service cannot have been reached. All moments are microseconds since 1970,
//! by the run's clock. It judges nothing; the payloads are read in a second pass, which then knows
//! what came after each of them.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message as _;

use super::outages::{AWAY, BACK, Outages};
use super::profile::Micros;
use crate::proto::v1;
use crate::proto::v1::watch_alerts_response::Message as Response;
use crate::record::{self, Published, Run, What};

/// A PUBACK that takes longer says that the broker, or the way to it, was away.
const PUBACK_MAX: Micros = 5_000_000;
/// The service's heartbeat: what one says may be true since the one before.
const HEARTBEAT: Micros = 10_000_000;
/// No PUBACK has come.
const NEVER: Micros = Micros::MAX;

/// A message, in the order in which they were published first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number in the record.
    pub number: u64,
    /// The device of the topic.
    pub device: u32,
    /// When the schedule wanted it sent.
    pub due: Micros,
    /// When it was handed over first.
    pub published: Micros,
    /// When its PUBACK came.
    acknowledged: Micros,
    /// Whether anybody was subscribed.
    pub is_heard: bool,
}

impl Message {
    /// When its PUBACK came, if it did.
    #[must_use]
    pub const fn acknowledged(&self) -> Option<Micros> {
        if self.acknowledged == NEVER { None } else { Some(self.acknowledged) }
    }
}

/// What a watcher met.
#[derive(Clone, Debug, PartialEq)]
pub enum Met {
    /// A response.
    Told(Box<v1::WatchAlertsResponse>),
    /// One that can't be read.
    Unreadable,
    /// The end of its stream.
    Cut(String),
}

/// What a watcher met, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// When.
    pub at: Micros,
    /// Which watcher.
    pub watcher: u32,
    /// What.
    pub met: Met,
}

/// A device on a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The patient's place among the survey's.
    pub patient: u32,
    /// Measured from here on.
    pub from: Micros,
    /// And before this.
    pub until: Option<Micros>,
    /// When the service said so; the beginning of time for what stood before the run.
    pub known_from: Micros,
    /// When it said that it has ended.
    pub ended_at: Option<Micros>,
}

/// A device that took another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Whose, among the survey's patients.
    pub patient: u32,
    /// Which was worn.
    pub from: u32,
    /// Which is worn now.
    pub to: u32,
    /// When the service said so.
    pub at: Micros,
}

/// A record without its payloads.
#[derive(Clone, Debug)]
pub struct Survey {
    /// What the run was.
    pub run: Run,
    /// Its patients, by name.
    pub patients: Vec<std::sync::Arc<str>>,
    /// Who wore each device, in order.
    pub bindings: Vec<Vec<Binding>>,
    /// Who swapped.
    pub swaps: Vec<Swap>,
    /// The messages.
    pub messages: Vec<Message>,
    /// The place of each message's number among them.
    places: Vec<u32>,
    /// What watchers met.
    pub heard: Vec<Heard>,
    /// Lines for people.
    pub marks: Vec<(Micros, String)>,
    /// When nothing could reach the service.
    pub outages: Outages,
    /// The same, and the run's beginning: the service may have been started just before.
    pub standstills: Outages,
    /// The run's first and last moment.
    pub span: (Micros, Micros),
    /// Whether its last entry is whole.
    pub is_whole: bool,
    /// How far the service's clock may be off this record's.
    pub clocks_apart: Micros,
}

const NO_PLACE: u32 = u32::MAX;

/// Looks at the record in `dir`, of a service whose clock may be so far off the record's.
///
/// # Errors
/// If it can't be read.
pub fn survey(dir: &Path, clocks_apart: Micros) -> Result<Survey, record::Error> {
    let mut read = record::read(dir)?;
    let mut survey = Survey::new(read.run.clone(), clocks_apart);
    for entry in read.by_ref() {
        let entry = entry?;
        let at = survey.moment(entry.at_micros);
        survey.span.1 = survey.span.1.max(at);
        if let Some(what) = entry.what {
            survey.take(at, what);
        }
    }
    survey.is_whole = read.is_whole();
    let began = survey.span.0;
    survey.outages = outages(&survey);
    survey.standstills =
        Outages::new(survey.outages.spans().iter().copied().chain([(began, began)]).collect());
    Ok(survey)
}

impl Survey {
    fn new(run: Run, clocks_apart: Micros) -> Self {
        let worn = run.devices.iter().filter_map(|it| it.patient_id.as_deref());
        let patients: std::collections::BTreeSet<&str> = worn.collect();
        let patients: Vec<std::sync::Arc<str>> = patients.into_iter().map(Into::into).collect();
        let binding = |device: &record::Device| {
            let patient = device.patient_id.as_deref()?;
            let place = patients.binary_search_by(|it| (**it).cmp(patient)).ok()?;
            Some(Binding {
                patient: u32::try_from(place).ok()?,
                from: device.bound_from.as_microsecond(),
                until: None,
                known_from: Micros::MIN,
                ended_at: None,
            })
        };
        let bindings = run.devices.iter().map(|it| binding(it).into_iter().collect()).collect();
        let began = run.began_at.as_microsecond();
        Self {
            run,
            patients,
            bindings,
            swaps: Vec::new(),
            messages: Vec::new(),
            places: Vec::new(),
            heard: Vec::new(),
            marks: Vec::new(),
            outages: Outages::default(),
            standstills: Outages::default(),
            span: (began, began),
            is_whole: true,
            clocks_apart,
        }
    }

    /// The wall time of a moment of the run.
    #[must_use]
    pub fn moment(&self, micros: u64) -> Micros {
        self.span.0.saturating_add(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// The place of the message of this number, if it was published.
    #[must_use]
    pub fn place(&self, number: u64) -> Option<usize> {
        let place = *self.places.get(usize::try_from(number).ok()?)?;
        (place != NO_PLACE).then_some(place as usize)
    }

    fn take(&mut self, at: Micros, what: What) {
        match what {
            What::Published(published) => self.published(at, &published),
            What::Acknowledged(it) => {
                if let Some(place) = self.place(it.message) {
                    let message = &mut self.messages[place];
                    message.acknowledged = message.acknowledged.min(at);
                    message.is_heard |= it.heard;
                }
            }
            What::Told(told) => {
                let response = v1::WatchAlertsResponse::decode(told.response);
                let met = response.map_or(Met::Unreadable, |it| Met::Told(Box::new(it)));
                self.heard.push(Heard { at, watcher: told.watcher, met });
            }
            What::Cut(cut) => {
                self.heard.push(Heard { at, watcher: cut.watcher, met: Met::Cut(cut.status) });
            }
            What::Rebound(it) => self.rebound(at, it.from, it.to, it.effective_micros),
            What::Mark(mark) => self.marks.push((at, mark.text)),
        }
    }

    fn published(&mut self, at: Micros, published: &Published) {
        if self.place(published.message).is_some() {
            return;
        }
        let (Ok(number), Ok(place)) =
            (usize::try_from(published.message), u32::try_from(self.messages.len()))
        else {
            return;
        };
        if self.places.len() <= number {
            self.places.resize(number + 1, NO_PLACE);
        }
        self.places[number] = place;
        self.messages.push(Message {
            number: published.message,
            device: published.device,
            due: self.moment(published.due_micros),
            published: at,
            acknowledged: NEVER,
            is_heard: false,
        });
    }

    fn rebound(&mut self, at: Micros, from: u32, to: u32, effective: Micros) {
        let Some(old) = self.bindings.get_mut(from as usize).and_then(|it| it.last_mut()) else {
            return;
        };
        (old.until, old.ended_at) = (Some(effective), Some(at));
        let patient = old.patient;
        let binding =
            Binding { patient, from: effective, until: None, known_from: at, ended_at: None };
        if let Some(bindings) = self.bindings.get_mut(to as usize) {
            bindings.push(binding);
        }
        self.swaps.push(Swap { patient, from, to, at });
    }
}

fn outages(survey: &Survey) -> Outages {
    let mut spans = unwatched(&survey.heard, survey.span.1);
    spans.extend(disconnected(&survey.heard, survey.span.1));
    spans.extend(marked(&survey.marks, survey.span.1));
    for message in &survey.messages {
        let acknowledged = message.acknowledged.min(survey.span.1);
        if acknowledged - message.published > PUBACK_MAX {
            spans.push((message.published, acknowledged));
        }
    }
    Outages::new(spans)
}

/// Spans in which every watcher's stream was cut.
fn unwatched(heard: &[Heard], end: Micros) -> Vec<(Micros, Micros)> {
    let mut live = std::collections::BTreeSet::new();
    let (mut spans, mut since) = (Vec::new(), None);
    for Heard { at, watcher, met } in heard {
        match met {
            Met::Cut(_) if live.remove(watcher) && live.is_empty() => since = Some(*at),
            Met::Told(response) if matches!(response.message, Some(Response::Live(_))) => {
                live.insert(*watcher);
                spans.extend(since.take().map(|since| (since, *at)));
            }
            _ => {}
        }
    }
    spans.extend(since.map(|since| (since, end)));
    spans
}

/// Spans of which heartbeats say that no messages came.
fn disconnected(heard: &[Heard], end: Micros) -> Vec<(Micros, Micros)> {
    let (mut spans, mut since) = (Vec::new(), None);
    for Heard { at, met, .. } in heard {
        let Met::Told(response) = met else { continue };
        let Some(Response::Heartbeat(beat)) = &response.message else { continue };
        if beat.ingest_connected {
            spans.extend(since.take().map(|since| (since, *at)));
        } else {
            since.get_or_insert(*at - HEARTBEAT);
        }
    }
    spans.extend(since.map(|since| (since, end)));
    spans
}

fn marked(marks: &[(Micros, String)], end: Micros) -> Vec<(Micros, Micros)> {
    let mut away: BTreeMap<&str, Micros> = BTreeMap::new();
    let mut spans = Vec::new();
    for (at, text) in marks {
        if let Some(what) = text.strip_prefix(AWAY) {
            away.entry(what).or_insert(*at);
        } else if let Some(since) = text.strip_prefix(BACK).and_then(|what| away.remove(what)) {
            spans.push((since, *at));
        }
    }
    spans.extend(away.into_values().map(|since| (since, end)));
    spans
}
