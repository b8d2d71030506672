//! Admission: which readings of a batch count, for whom, and what they may do.
//!
//! Each decoded reading is numbered, timed and bound, or refused with a reason. The order of the
//! checks is: duplicate, clock, age, binding, range. Readings that are admitted go to the store as
//! they are, with flags, and to the rules as what they are:
//!
//! - *live*: within the binding's live window and newer than any of its channel before it;
//! - *delayed*: as new, but older than the live window: may raise, and ends nothing;
//! - *late*: marked historical, out of order, or of a binding that has ended since: folds by
//!   itself, see [`super::late`].
//!
//! Readings of a test or a demonstration are kept and judged by nothing. [`place`] asks what is
//! known of the device alone, [`take`] what they are to the patient.

mod place;
pub(super) mod sequences;
mod take;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::sequences::Sequences;
use self::take::Wearing;
use super::decode::{Batch, Decoded};
use super::output::{BindingRow, DeviceRow, Output, RejectReason};
use super::state::State;
use super::status::DeviceState;
use crate::clock::Timestamp;
use crate::vitals::{DeviceKey, Vital};

/// Readings measured further ahead of the service's clock are refused.
pub(super) const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(30);
/// Beyond its upload interval, a reading this much older is still in time.
pub(super) const LIVE_WINDOW_GRACE: Duration = Duration::from_secs(2 * 60);
/// For how long an unnumbered reading is recognised when it comes again.
const IDENTITY_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Unnumbered readings recognised at most; the oldest measured are forgotten first.
const IDENTITIES_MAX: usize = 4096;

/// One device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Device {
    /// What it is.
    pub(super) row: DeviceRow,
    /// Whose it was, is and will be, by rising start; apart from each other.
    pub(super) bindings: Vec<BindingRow>,
    /// When the newest reading admitted from it was measured.
    pub(super) newest: Option<Timestamp>,
    /// What it last said of itself, and what is known of its clock.
    pub(super) state: DeviceState,
    /// Which of its numbered readings have been admitted.
    sequences: Sequences,
    /// When its unnumbered readings were measured, and received.
    identities: BTreeMap<(Timestamp, Vital), Timestamp>,
}

impl Device {
    /// A device that is nobody's and has sent nothing.
    pub(super) fn new(row: DeviceRow) -> Self {
        Self {
            row,
            bindings: Vec::new(),
            newest: None,
            state: DeviceState::default(),
            sequences: Sequences::default(),
            identities: BTreeMap::new(),
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

    /// The gateway in front of it, as far as is known.
    pub(super) const fn gateway(&self) -> Option<DeviceKey> {
        self.state.gateway
    }

    fn is_duplicate(&self, boot_id: u64, reading: &Decoded) -> bool {
        if boot_id == 0 {
            self.identities.contains_key(&(reading.measured_at, reading.vital))
        } else {
            self.sequences.contains(boot_id, reading.sequence)
        }
    }

    fn remember(&mut self, boot_id: u64, reading: &Decoded, now: Timestamp) {
        self.newest = self.newest.max(Some(reading.measured_at));
        if boot_id != 0 {
            return;
        }
        self.identities.insert((reading.measured_at, reading.vital), now);
        let expired = now.minus(IDENTITY_WINDOW);
        while let Some(oldest) = self.identities.first_entry() {
            if *oldest.get() >= expired && self.identities.len() <= IDENTITIES_MAX {
                break;
            }
            self.identities.pop_first();
        }
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Readings admitted.
    pub(super) accepted: u32,
    /// Readings that had been admitted before.
    pub(super) duplicate: u32,
    /// Readings refused, by their place in the batch.
    pub(super) refused: Vec<(u32, RejectReason, String)>,
}

/// Admits what counts of a batch from a known device.
pub(super) fn admit(
    state: &mut State,
    device: DeviceKey,
    batch: Batch,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Tally {
    let mode = batch.mode;
    let (placed, tally) = place::place_all(state, device, batch, now);
    for run in placed.chunk_by(|one, other| one.binding == other.binding) {
        let wearing = Wearing::of(state, device, run[0].binding, mode);
        state.with_patient(wearing.patient, now, outputs, |patient, cx| {
            take::take_all(patient, cx, &wearing, run);
        });
    }
    tally
}
