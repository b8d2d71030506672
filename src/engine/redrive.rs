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
//! What is refused again stands as a new message that can be sent through in its turn; each reading
//! of a message has been admitted, or is refused in exactly one that was not yet redriven.
//! So a redrive stores nothing twice, also of a device that keeps no numbers. Should the device
//! itself send the readings again, they are recognised as any others are.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::admit::{self, Again, Arriving, Tally};
use super::decode::{self, Batch, Refused};
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

/// The messages that were sent through last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Redrives {
    last: VecDeque<(MessageId, Timestamp)>,
    /// How many there were, the forgotten included.
    count: u64,
    /// When the last of the forgotten ones happened.
    forgotten_at: Option<Timestamp>,
}

impl Redrives {
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
    let batch = match decode::batch(&redrive.publish, &state.general.settings) {
        Ok(batch) => batch,
        Err(refused) => return Ok(Err(refused)),
    };
    let opened = Opened::of(batch, &redrive.refused)?;
    Ok(find_device(state, topic).map(|device| (device, opened)))
}

/// The readings of a message that had been refused.
struct Opened {
    batch: Batch,
    /// How many others it has: they were admitted when it came.
    admitted: u32,
}

impl Opened {
    fn of(mut batch: Batch, refused: &[RefusedSpan]) -> Result<Self, Refusal> {
        let total = batch.readings.len() + batch.refused.len();
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        let is_scattered =
            |span: &RefusedSpan| span.count > 1 && span.first.saturating_add(span.count) < total;
        // The numbers of a device tell what was admitted; without them nothing does.
        if batch.boot_id == 0 && refused.iter().any(is_scattered) {
            let description = "the device keeps no numbers, and too many readings of the message \
                               were refused to say which; let the device send it again";
            return Err(refuse("REFUSALS_UNKNOWN", description));
        }
        let was_refused = |index: u32| {
            let holds =
                |span: &RefusedSpan| index == span.first || (span.count > 1 && index > span.first);
            refused.is_empty() || refused.iter().any(holds)
        };
        batch.readings.retain(|reading| was_refused(reading.index));
        batch.refused.retain(|(index, ..)| was_refused(*index));
        for reading in &mut batch.readings {
            reading.historical = true;
        }
        batch.sent_at = None;
        let left = batch.readings.len() + batch.refused.len();
        let admitted = total - u32::try_from(left).unwrap_or(total);
        Ok(Self { batch, admitted })
    }
}

fn admit(
    state: &mut State,
    redrive: &Redrive,
    device: DeviceKey,
    opened: Opened,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Tally {
    let Opened { batch, admitted } = opened;
    let again = Some(Again { received_at: redrive.received_at });
    let arriving = Arriving { batch, payload: &redrive.publish.payload, again };
    let mut tally = admit::admit(state, device, arriving, now, outputs);
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
