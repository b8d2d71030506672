//! Admission: which readings of a batch count, for whom, and what they may do.
//!
//! Each decoded reading is numbered, timed and bound, or refused with a reason. The order of the
//! checks is: range, duplicate, clock, age, binding; so what is impossible is told as such however
//! often it comes, and what was admitted once stays a duplicate however old it becomes. Readings
//! that are admitted go to the store as they are, with flags, and to the rules as what they are:
//!
//! - *live*: within the binding's live window and newer than any of its channel before it;
//! - *delayed*: as new, but older than the live window: may raise, and ends nothing;
//! - *late*: marked historical, out of order, amending another, or of a binding that has ended
//!   since: folds by itself, see [`super::late`].
//!
//! Readings of a test or a demonstration are kept and judged by nothing. [`place`] asks what is
//! known of the device alone, [`take`] what they are to the patient, and [`account`] keeps what
//! became of them all; [`by_hand`] is the way of what people measure.

pub(super) mod account;
pub(super) mod by_hand;
mod newest;
mod place;
mod sequences;
mod skew;
mod take;
mod unnumbered;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::account::Account;
use self::place::Placing;
pub(super) use self::place::is_final;
pub use self::sequences::{InvalidNumbers, check_packed};
use self::take::Wearing;
pub(super) use self::unnumbered::digest;
use super::decode::Batch;
use super::output::{BindingRow, DeviceNumbers, DeviceRow, Output, RejectReason};
use super::state::State;
use super::status::DeviceState;
use crate::clock::Timestamp;
use crate::vitals::DeviceKey;

/// Readings measured further ahead of the service's clock are refused.
pub(super) const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(30);
/// Beyond its upload interval, a reading this much older is still in time.
pub(super) const LIVE_WINDOW_GRACE: Duration = Duration::from_secs(2 * 60);

/// One device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Device {
    /// What it is.
    pub(super) row: DeviceRow,
    /// Whose it was, is and will be, by rising start; apart from each other.
    pub(super) bindings: Vec<BindingRow>,
    /// When the newest reading admitted from it was measured, or the end of a time in which it
    /// measured who was erased since: no binding reaches behind it.
    pub(super) newest: Option<Timestamp>,
    /// What it last said of itself, and what is known of its clock.
    pub(super) state: DeviceState,
    /// What became of everything that came from it.
    pub(super) account: Account,
}

impl Device {
    /// A device that is nobody's and has sent nothing.
    pub(super) fn new(row: DeviceRow) -> Self {
        Self {
            row,
            bindings: Vec::new(),
            newest: None,
            state: DeviceState::default(),
            account: Account::default(),
        }
    }

    /// Whose it was at `instant`: the place of the binding.
    pub(super) fn binding_at(&self, instant: Timestamp) -> Option<usize> {
        let covers = |binding: &BindingRow| {
            binding.from <= instant && binding.until.is_none_or(|until| instant < until)
        };
        self.bindings.iter().rposition(covers)
    }

    /// The binding that lasts, if one does.
    pub(super) fn bound(&self) -> Option<&BindingRow> {
        self.bindings.last().filter(|binding| binding.until.is_none())
    }

    /// What has come from it.
    pub(super) fn numbers(&self) -> DeviceNumbers {
        let packed = self.account.sequences().to_packed();
        DeviceNumbers { device: self.row.key, newest: self.newest, packed }
    }

    /// The gateway in front of it, as far as is known.
    pub(super) const fn gateway(&self) -> Option<DeviceKey> {
        self.state.gateway
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Readings admitted.
    pub(super) accepted: u32,
    /// Readings that had been admitted before, or refused before for what they are.
    pub(super) duplicate: u32,
    /// Readings refused, by their place in the batch.
    pub(super) refused: Vec<(u32, RejectReason, String)>,
}

/// A batch on its way in.
pub(super) struct Arriving<'m> {
    /// The batch.
    pub(super) batch: Batch,
    /// The message as it came: an unnumbered batch is recognised by it too.
    pub(super) payload: &'m [u8],
    /// What is known of it, if it came before and is sent through again.
    pub(super) again: Option<Again>,
}

/// What is known of a batch that is sent through again. It tells what was measured, and nothing of
/// how its device is now.
pub(super) struct Again {
    /// When it came.
    pub(super) received_at: Timestamp,
    /// Its readings, by their places and ascending, that were refused for what they are: that their
    /// numbers or their payload have come means just this.
    pub(super) forgiven: Vec<u32>,
}

/// Admits what counts of a batch from a known device.
pub(super) fn admit(
    state: &mut State,
    device: DeviceKey,
    arriving: Arriving<'_>,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Tally {
    let mode = arriving.batch.mode;
    let Placing { placed, tally, told, numbers } = place::place_all(state, device, arriving, now);
    // Room at once for what every batch leads to: a list that grows is copied again and again.
    outputs.reserve(placed.len() + usize::from(told.is_some()) + usize::from(numbers.is_some()));
    for run in placed.chunk_by(|one, other| one.binding == other.binding) {
        let wearing = Wearing::of(state, device, run[0].binding, mode);
        state.with_patient(wearing.patient, now, outputs, |patient, cx| {
            take::take_all(patient, cx, &wearing, run);
        });
    }
    outputs.extend(told.map(|told| Output::DeviceSequences(Box::new(told))));
    outputs.extend(numbers.map(Output::DeviceNumbers));
    tally
}

/// An alert that tells of a device's clock was rebuilt.
pub(super) fn restore_clock_fault(state: &mut State, device: DeviceKey) {
    if let Some(row) = state.devices.get_mut(device.index()) {
        row.state.restore_clock_fault();
    }
}

/// A message of a device that is no batch, or that could not be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Other {
    /// Whether it was refused as a whole.
    pub(super) is_refused: bool,
    /// Whether it shows that the device was there: not what the broker may have sent for it.
    pub(super) is_seen: bool,
}

/// Takes note of such a message of a known device.
pub(super) fn take_note(
    state: &mut State,
    device: DeviceKey,
    other: Other,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let row = state.devices.get_mut(device.index()).expect("the caller looked it up");
    let told = row.account.take_note(other, now, device);
    outputs.extend(told.map(|told| Output::DeviceSequences(Box::new(told))));
}
