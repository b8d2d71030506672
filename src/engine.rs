//! The engine: a pure state machine from inputs to outputs.
//!
//! [`apply`] takes the state on by one input and says what it led to. It reads no clock, does no
//! I/O, draws no random numbers and follows no hash map's order: the same inputs give the same
//! outputs, byte for byte (V3). Time is the input's receipt. An input goes through, in order:
//! `decode` (bytes into readings, or reasons why not), `admit` (device into patient at the
//! measured time, numbers, clocks, ranges), `rules` (what the readings mean) and `alerts` (what
//! became of the alarm conditions); a command goes to `registry`, unless `requests` knows it for a
//! repeat, and `audit` tells of it.
//!
//! Before an input applies, `timers` due by then fire, each at its own deadline.
//!
//! The state is a value ([`state::State`]); [`snapshot`] takes it to a checkpoint and back, and
//! [`query`] tells callers of it.

mod admit;
pub mod alerts;
mod attention;
pub mod audit;
mod context;
pub mod decode;
mod directory;
mod ids;
pub mod input;
mod late;
mod monitoring;
mod ordered;
mod outage;
pub mod output;
mod packed;
mod patient;
mod poison;
pub mod profile;
pub mod projection;
pub mod query;
mod redrive;
mod registry;
pub mod requests;
pub mod restore;
mod rules;
pub mod snapshot;
pub mod state;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod timers;

pub use self::state::State;

use self::admit::{Arriving, Other};
use self::alerts::reconcile;
use self::decode::{Batch, Refused};
use self::input::{Command, Encoding, Event, Input, Publish};
use self::outage::ingest;
use self::output::{Output, Reject, RejectReason, RejectedReading, Reply, Verdict};
use crate::clock::Timestamp;
use crate::mqtt::topic::{Kind, Topic};
use crate::vitals::{DeviceId, DeviceKey, SiteId};

/// Takes the state on by one input. Appends what it led to to `outputs`; returns the answer, if
/// the input was a command.
pub fn apply(state: &mut State, input: &Input, outputs: &mut Vec<Output>) -> Option<Reply> {
    let now = state.general.now.map_or(input.received_at, |now| now.max(input.received_at));
    let begun = outputs.len();
    if let Event::Started { last_alive } = input.event {
        // Nobody was listening since, so that nobody fell silent since. What was due before then
        // was due all the same, whether or not somebody had looked at the time.
        let since = last_alive.unwrap_or(now).min(now);
        timers::advance(state, since, outputs);
        state.general.now = state.general.now.max(Some(since));
        state.general.attention.stop(since);
    }
    timers::advance(state, now, outputs);
    state.general.now = Some(now);
    // What time has ended is over for the input too, whoever looked at the time before it.
    state.general.closed.follow(&outputs[begun..]);
    let fired = outputs.len();
    let reply = dispatch(state, &input.event, now, outputs);
    state.general.closed.follow(&outputs[fired..]);
    reply
}

fn dispatch(
    state: &mut State,
    event: &Event,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Option<Reply> {
    match event {
        Event::Tick => state.requests.expire(now),
        Event::Started { last_alive } => ingest::started(state, *last_alive, now, outputs),
        Event::Link(link) => ingest::link(state, *link, now, outputs),
        Event::Intake(intake) => ingest::intake(state, *intake, now),
        Event::Settings(settings) => state.general.settings = settings.clone(),
        Event::Publish(publish) => receive(state, publish, now, outputs),
        Event::Reconcile(told) => reconcile::reconcile(state, told, now, outputs),
        Event::Command(command) => return Some(carry_out(state, command, now, outputs)),
        Event::Restored(chunk) => restore::take(state, chunk, now, outputs),
        Event::Poisoned(poisoned) => return poison::refuse(state, poisoned, now, outputs),
        Event::Access(access) => return Some(audit::tell_access(state, access, now, outputs)),
        Event::AuditHead(head) => state.general.audit = *head,
    }
    None
}

/// A command, with the event that tells of it; or the answer that it got before.
fn carry_out(
    state: &mut State,
    command: &Command,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    if let Some(recalled) = requests::recall(state, command, now) {
        return audit::tell_again(state, command, recalled, now, outputs);
    }
    let asked = audit::ask(state, command, now, outputs);
    let reply = registry::execute(state, command, now, outputs);
    let concerned = audit::tell(state, command, asked, &reply, now, outputs);
    if let Ok(done) = &reply {
        requests::remember(state, command, done, concerned, now);
    }
    reply
}

/// A message from the broker.
fn receive(state: &mut State, publish: &Publish, now: Timestamp, outputs: &mut Vec<Output>) {
    let topic = match decode::topic(publish) {
        Ok(topic) => topic,
        Err(refused) => return outputs.push(reject(publish, None, refused)),
    };
    match topic.kind {
        Kind::Readings => receive_readings(state, publish, topic, now, outputs),
        Kind::Status => {
            let taken = find_device(state, topic)
                .and_then(|device| status::receive(state, publish, device, now, outputs));
            if let Err(refused) = taken {
                outputs.push(reject(publish, None, refused));
            }
        }
        // Verdicts are our own.
        Kind::Verdicts => {}
    }
}

fn receive_readings(
    state: &mut State,
    publish: &Publish,
    topic: Topic<'_>,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let batch = match decode::batch(publish, &state.general.settings) {
        Ok(batch) => batch,
        Err(refused) => {
            outputs.push(reject(publish, None, refused.clone()));
            if let Ok(device) = find_device(state, topic) {
                let other = Other { is_refused: true, is_seen: true };
                admit::take_note(state, device, other, now, outputs);
            }
            return outputs.push(verdict(refuse_all(publish, topic, refused)));
        }
    };
    match find_device(state, topic) {
        Ok(device) => admit_batch(state, publish, topic, device, batch, now, outputs),
        Err(refused) => {
            outputs.push(reject(publish, None, refused.clone()));
            outputs.push(verdict(refuse_batch(publish, topic, &batch, refused)));
        }
    }
}

fn find_device(state: &State, topic: Topic<'_>) -> Result<DeviceKey, Refused> {
    let Some(key) = state.device_key(topic.device) else {
        return Err(unknown_device(topic.device));
    };
    if state.site(state.device(key).row.site).row.id.as_str() != topic.site {
        // Which site is none of the gateway's business.
        let detail = format!("device {} is enrolled at another site", topic.device);
        return Err((RejectReason::WrongSite, detail));
    }
    Ok(key)
}

/// Why a message of a device that is not enrolled is refused.
#[must_use]
pub fn unknown_device(device: &str) -> Refused {
    (RejectReason::UnknownDevice, format!("no device {device} is enrolled"))
}

fn admit_batch(
    state: &mut State,
    publish: &Publish,
    topic: Topic<'_>,
    device: DeviceKey,
    batch: Batch,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    status::set_gateway(state, device, batch.gateway.as_ref());
    status::note_clock_sync(state, device, &batch, now, outputs);
    status::watch_clock(state, device, &batch, now, outputs);
    let (boot_id, first_seq) = (batch.boot_id, batch.first_seq);
    let (want_verdict, encoding) = (batch.want_verdict, batch.encoding);
    let arriving = Arriving { batch, payload: &publish.payload, again: None };
    let tally = admit::admit(state, device, arriving, now, outputs);
    reject_readings(publish, &tally.refused, outputs);
    if !want_verdict && tally.refused.is_empty() {
        return;
    }
    let rejected_total = u32::try_from(tally.refused.len()).unwrap_or(u32::MAX);
    let listed = tally.refused.into_iter().take(Verdict::REJECTED_MAX);
    outputs.push(verdict(Verdict {
        site: site_of(topic),
        device: device_of(topic),
        boot_id,
        first_seq,
        accepted: tally.accepted,
        duplicate: tally.duplicate,
        rejected: listed
            .map(|(index, reason, detail)| RejectedReading {
                index,
                reason,
                detail: bounded(detail),
            })
            .collect(),
        rejected_total,
        correlation: publish.correlation.clone(),
        json: encoding == Encoding::Json,
    }));
}

/// The refusals of single readings. Beyond so many one stands for all others that are final, and
/// one for those that are not: a redrive must know which numbers count as come for that alone.
fn reject_readings(
    publish: &Publish,
    refused: &[(u32, RejectReason, String)],
    outputs: &mut Vec<Output>,
) {
    let (listed, rest) = refused.split_at(refused.len().min(Reject::LISTED_MAX));
    for (index, reason, detail) in listed {
        outputs.push(reject(publish, Some(*index), (*reason, detail.clone())));
    }
    let (settled, open): (Vec<_>, Vec<_>) =
        rest.iter().partition(|(_, reason, _)| admit::is_final(*reason));
    for others in [settled, open] {
        outputs.extend(reject_together(publish, &others));
    }
}

fn reject_together(publish: &Publish, refused: &[&(u32, RejectReason, String)]) -> Option<Output> {
    let (index, reason, detail) = refused.first()?;
    let (topic, index, reason) = (publish.topic.clone(), Some(*index), *reason);
    let detail = match refused {
        [_] => bounded(detail.clone()),
        _ => format!("{} readings of the batch from here on", refused.len()),
    };
    let count = u32::try_from(refused.len()).unwrap_or(u32::MAX);
    Some(Output::Reject(Box::new(Reject { topic, index, reason, detail, count })))
}

/// No detail is longer than what `reading.proto` promises to devices with fixed buffers.
const DETAIL_BYTES_MAX: usize = 199;

fn bounded(mut detail: String) -> String {
    detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
    detail
}

fn reject(publish: &Publish, index: Option<u32>, (reason, detail): Refused) -> Output {
    let detail = bounded(detail);
    Output::Reject(Box::new(Reject {
        topic: publish.topic.clone(),
        index,
        reason,
        detail,
        count: 1,
    }))
}

/// The verdict on a message that could not be read.
fn refuse_all(publish: &Publish, topic: Topic<'_>, (reason, detail): Refused) -> Verdict {
    Verdict {
        site: site_of(topic),
        device: device_of(topic),
        boot_id: 0,
        first_seq: 0,
        accepted: 0,
        duplicate: 0,
        rejected: vec![RejectedReading { index: 0, reason, detail: bounded(detail) }],
        rejected_total: 1,
        correlation: publish.correlation.clone(),
        json: decode::encoding_of(publish) == Encoding::Json,
    }
}

/// The verdict on a batch that was refused as a whole, for one reason. Of an empty one too something
/// was refused: the message.
fn refuse_batch(publish: &Publish, topic: Topic<'_>, batch: &Batch, refused: Refused) -> Verdict {
    let count = batch.readings.len() + batch.refused.len();
    Verdict {
        boot_id: batch.boot_id,
        first_seq: batch.first_seq,
        rejected_total: u32::try_from(count).unwrap_or(u32::MAX).max(1),
        ..refuse_all(publish, topic, refused)
    }
}

fn verdict(verdict: Verdict) -> Output {
    Output::Verdict(Box::new(verdict))
}

fn site_of(topic: Topic<'_>) -> SiteId {
    SiteId::new(topic.site).expect("a parsed topic has valid ids")
}

fn device_of(topic: Topic<'_>) -> DeviceId {
    DeviceId::new(topic.device).expect("a parsed topic has valid ids")
}
