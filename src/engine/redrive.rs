//! Redrive: a refused message goes through the intake again, after what was wrong was put right.
//!
//! The message comes from the store, where refusals are kept, inside the command. It meets the
//! settings and bindings of now, and keeps its measured times. Its readings are retrospective,
//! however young: they fold by themselves, so that no live alarm is raised or ended by what
//! somebody who looks after devices puts in order (V8). What it says of its device's clock and
//! gateway was true then, and is left aside; nobody sends a verdict, for the gateway may have
//! forgotten the message long ago.
//!
//! **Once.** A message is sent through at most once, whoever asks at the same time, and however far
//! the store is behind: the store says in the command how many redrives it knew of when it read the
//! message, and [`Redrives`] holds the last [`REMEMBERED_MAX`]. If redrives that happened after
//! the message came are known to neither, the command is refused until the store has caught up.
//! It is refused too while the journal is full: what it holds is a message, and what room is left
//! is for commands that work on alarms.
//! What is refused again stands as a new message that can be sent through in its turn; each reading
//! of a message has been admitted, or is refused in exactly one that was not yet redriven.
//! So a redrive stores nothing twice, also of a device that keeps no numbers. Should the device
//! itself send the readings again, they are recognised as any others are.
//!
//! **Final refusals.** What was refused for what it is (too old, a unit that was not known) counts
//! as come, so that its device need not send it again. When it is sent through again, because the
//! service keeps more now or knows more, that it has come is no reason to leave it out: it is
//! *forgiven*. Two messages may hold the same such reading, for it is told each time it comes: the
//! last [`FORGIVEN_MAX`] that were admitted are remembered. Where it is not known which readings of
//! a message were refused for what they are, nothing of it goes through.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::admit::{self, Again, Arriving, Tally};
use super::decode::{self, Batch, Decoded, Refused};
use super::input::{Principal, Redrive, RefusedSpan, Sites};
use super::output::{Done, Output, RedrivenMessage, Refusal, Reject, Reply};
use super::state::State;
use super::{find_device, reject, reject_readings};
use crate::clock::Timestamp;
use crate::mqtt::topic::{Kind, Topic};
use crate::position::MessageId;
use crate::vitals::DeviceKey;

/// Redrives remembered until the store has written them: it is behind by some tens of
/// milliseconds, or while it is away, when nothing can be read from it to be sent through.
const REMEMBERED_MAX: usize = 1024;

/// Readings remembered that were admitted although they had been refused finally: more than a
/// message has. Beyond it a copy of such a reading, in another message that was refused too, would
/// be stored twice.
const FORGIVEN_MAX: usize = 16_384;

/// The messages that were sent through last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Redrives {
    last: VecDeque<(MessageId, Timestamp)>,
    /// How many there were, the forgotten included.
    count: u64,
    /// When the last of the forgotten ones happened.
    forgotten_at: Option<Timestamp>,
    /// What was forgiven last, by identity: see [`Opened::leave_out`].
    forgiven: VecDeque<u128>,
}

impl Redrives {
    /// So many, of which the store knows every one.
    pub(super) fn restored(count: u64, now: Timestamp) -> Self {
        Self { count, forgotten_at: (count > 0).then_some(now), ..Self::default() }
    }

    /// How many there were.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Refuses a message that was sent through before, or of which that can't be told.
    fn check(&self, redrive: &Redrive) -> Result<(), Refusal> {
        if self.last.iter().any(|(message, _)| *message == redrive.message) {
            return Err(refuse("ALREADY_REDRIVEN", "the message was sent through again before"));
        }
        let forgotten = self.count - self.last.len() as u64;
        let is_unknown = redrive.redrives_stored < forgotten
            && self.forgotten_at.is_some_and(|at| redrive.received_at <= at);
        if is_unknown {
            let description = "the database is too far behind to tell whether the message was \
                               sent through again before; try again later";
            return Err(refuse("REDRIVES_NOT_STORED", description));
        }
        Ok(())
    }

    /// Takes note of one; gives its number.
    fn remember(&mut self, message: MessageId, now: Timestamp) -> u64 {
        if self.last.len() == REMEMBERED_MAX {
            self.forgotten_at = self.last.pop_front().map(|(_, at)| at);
        }
        self.last.push_back((message, now));
        self.count += 1;
        self.count
    }

    /// Takes note of readings that were admitted although they had been refused finally.
    fn forgive(&mut self, identities: impl IntoIterator<Item = u128>) {
        self.forgiven.extend(identities);
        let excess = self.forgiven.len().saturating_sub(FORGIVEN_MAX);
        self.forgiven.drain(..excess);
    }
}

fn refuse(reason: &'static str, description: &str) -> Refusal {
    Refusal::FailedPrecondition { reason, description: description.to_owned() }
}

/// Sends a message through the intake again.
pub(super) fn execute(
    state: &mut State,
    caller: &Principal,
    redrive: &Redrive,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    let topic = authorised_topic(state, caller, redrive)?;
    if state.is_intake_held() {
        let description = "the journal is full, so that no messages are taken: wait until it has \
                           room again";
        return Err(refuse("INTAKE_HELD", description));
    }
    state.general.redrives.check(redrive)?;
    let opened = open(state, redrive, topic)?;
    let number = state.general.redrives.remember(redrive.message, now);
    let begun = outputs.len();
    let told = match opened {
        Ok((device, opened)) => {
            let tally = admit(state, redrive, device, opened, now, outputs);
            RedrivenMessage {
                message: redrive.message,
                number,
                accepted: tally.accepted,
                duplicate: tally.duplicate,
                refused: u32::try_from(tally.refused.len()).unwrap_or(u32::MAX),
            }
        }
        Err(refused) => {
            outputs.push(reject(&redrive.publish, None, refused));
            let (accepted, duplicate, refused) = (0, 0, 1);
            RedrivenMessage { message: redrive.message, number, accepted, duplicate, refused }
        }
    };
    let refusals = outputs[begun..].iter().filter_map(refusal).collect();
    outputs.push(Output::Redriven(Box::new(told.clone())));
    Ok(Done::Redriven { told, refusals })
}

/// The topic of a message that the caller may send through: one that names a site of theirs, or
/// none that is known if all sites are theirs.
fn authorised_topic<'t>(
    state: &State,
    caller: &Principal,
    redrive: &'t Redrive,
) -> Result<Topic<'t>, Refusal> {
    let topic = Topic::parse(&redrive.publish.topic).ok();
    let site = topic.and_then(|topic| state.site_key(topic.site));
    let is_theirs = match site {
        Some(site) => caller.sites.include(&state.site(site).row.id),
        None => caller.sites == Sites::All,
    };
    if !is_theirs {
        return Err(Refusal::NotFound { kind: "message", id: redrive.message.to_string() });
    }
    topic.filter(|topic| topic.kind == Kind::Readings).ok_or_else(|| {
        let description = "only readings are sent through again: a status says what was then";
        refuse("NOT_READINGS", description)
    })
}

/// What is to be admitted of the message, or why it is refused as a whole again.
fn open(
    state: &State,
    redrive: &Redrive,
    topic: Topic<'_>,
) -> Result<Result<(DeviceKey, Opened), Refused>, Refusal> {
    let found = decode::batch(&redrive.publish, &state.general.settings)
        .and_then(|batch| Ok((find_device(state, topic)?, batch)));
    match found {
        Ok((device, batch)) => Ok(Ok((device, Opened::of(batch, &redrive.refused)?))),
        Err(refused) if redrive.refused.is_empty() => Ok(Err(refused)),
        Err(_) => {
            // A refusal of the whole would not tell them from those that were admitted.
            let description = "only some readings of the message had been refused, and now it \
                               would be as a whole: put right first what that is for";
            Err(refuse("REFUSED_AS_A_WHOLE", description))
        }
    }
}

/// Which readings of a message had been refused, and which of them for what they are.
struct Refusals<'r> {
    /// None if the whole message was refused.
    spans: &'r [RefusedSpan],
    /// Where those begin that are not listed one by one, and whether they are final.
    rest: Option<(u32, bool)>,
}

impl<'r> Refusals<'r> {
    /// Of a message of so many readings; refused where nothing tells which they were.
    fn of(spans: &'r [RefusedSpan], total: u32, is_numbered: bool) -> Result<Self, Refusal> {
        let rest = || spans.iter().filter(|span| span.count > 1);
        let Some(first) = rest().map(|span| span.first).min() else {
            return Ok(Self { spans, rest: None });
        };
        let behind = spans.iter().filter(|span| span.first >= first).map(|span| span.count);
        let are_all = behind.fold(first, u32::saturating_add) >= total;
        let is_final = rest().any(|span| admit::is_final(span.reason));
        let is_mixed = is_final && !rest().all(|span| admit::is_final(span.reason));
        // Numbers tell those that may still be admitted from those that were. They tell neither
        // from those that were refused for good, whose numbers have come too.
        if is_mixed || (!are_all && (is_final || !is_numbered)) {
            let description = "too many readings of the message were refused to say which; let \
                               the device send them again, with new numbers if it keeps any";
            return Err(refuse("REFUSALS_UNKNOWN", description));
        }
        Ok(Self { spans, rest: Some((first, is_final)) })
    }

    /// Whether a reading was refused finally; `None` if it was not refused.
    fn finality(&self, index: u32) -> Option<bool> {
        if self.spans.is_empty() {
            return Some(false);
        }
        let listed = self.spans.iter().find(|span| span.count == 1 && span.first == index);
        let rest = || self.rest.filter(|(first, _)| index >= *first);
        listed.map(|span| admit::is_final(span.reason)).or_else(|| Some(rest()?.1))
    }
}

/// The readings of a message that had been refused.
struct Opened {
    batch: Batch,
    /// How many others it has: they were admitted when it came.
    admitted: u32,
    /// Those that had been refused finally, by their places.
    forgiven: Vec<u32>,
}

impl Opened {
    fn of(mut batch: Batch, refused: &[RefusedSpan]) -> Result<Self, Refusal> {
        let total = batch.readings.len() + batch.refused.len();
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        let refusals = Refusals::of(refused, total, batch.boot_id != 0)?;
        batch.readings.retain(|reading| refusals.finality(reading.index).is_some());
        batch.refused.retain(|(index, ..)| refusals.finality(*index).is_some());
        for reading in &mut batch.readings {
            reading.historical = true;
        }
        batch.sent_at = None;
        let left = batch.readings.len() + batch.refused.len();
        let admitted = total - u32::try_from(left).unwrap_or(total);
        let indexes = batch.readings.iter().map(|reading| reading.index);
        let forgiven = indexes.filter(|index| refusals.finality(*index) == Some(true)).collect();
        Ok(Self { batch, admitted, forgiven })
    }

    /// Leaves out what has been forgiven before, in another message that held it too; gives the
    /// identities of what is left to be forgiven.
    fn leave_out(&mut self, redrives: &Redrives, device: DeviceKey) -> Vec<(u32, u128)> {
        if self.forgiven.is_empty() {
            return Vec::new();
        }
        let before: BTreeSet<u128> = redrives.forgiven.iter().copied().collect();
        let Self { batch, admitted, forgiven } = self;
        let mut left = Vec::with_capacity(forgiven.len());
        batch.readings.retain(|reading| {
            if forgiven.binary_search(&reading.index).is_err() {
                return true;
            }
            let identity = identity(device, batch.boot_id, reading);
            let is_new = !before.contains(&identity);
            if is_new {
                left.push((reading.index, identity));
            }
            *admitted += u32::from(!is_new);
            is_new
        });
        left
    }
}

/// By what a reading is the same in whatever message it comes.
fn identity(device: DeviceKey, boot_id: u64, reading: &Decoded) -> u128 {
    let itself = (reading.vital, reading.measured_at, reading.value);
    let by = if boot_id == 0 { Err(itself) } else { Ok((boot_id, reading.sequence)) };
    let bytes = postcard::to_stdvec(&(device, by))
        .expect("plain values into a growing buffer have no way to fail");
    admit::digest(&bytes)
}

fn admit(
    state: &mut State,
    redrive: &Redrive,
    device: DeviceKey,
    mut opened: Opened,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Tally {
    let mut forgiven = opened.leave_out(&state.general.redrives, device);
    let Opened { batch, admitted, .. } = opened;
    let places = forgiven.iter().map(|(index, _)| *index).collect();
    let again = Some(Again { received_at: redrive.received_at, forgiven: places });
    let arriving = Arriving { batch, payload: &redrive.publish.payload, again };
    let mut tally = admit::admit(state, device, arriving, now, outputs);
    let is_refused = |index| tally.refused.binary_search_by_key(&index, |(at, ..)| *at).is_ok();
    forgiven.retain(|(index, _)| !is_refused(*index));
    state.general.redrives.forgive(forgiven.into_iter().map(|(_, identity)| identity));
    tally.duplicate += admitted;
    reject_readings(&redrive.publish, &tally.refused, outputs);
    tally
}

fn refusal(output: &Output) -> Option<Reject> {
    match output {
        Output::Reject(reject) => Some((**reject).clone()),
        _ => None,
    }
}
