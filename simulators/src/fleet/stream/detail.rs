//! What a fault is in detail: drawn for each, from the stream of randomness of its kind.

use std::collections::VecDeque;

use prost::bytes::Bytes;

use super::super::device::{Batch, Flaw};
use super::super::episode::millis;
use super::super::fault::Window;
use super::super::scenario::Scenario;
use crate::random::Random;

/// A clock that is somewhat wrong, in milliseconds: far from the 30 s beyond which it is refused.
pub(super) const SKEW_MS: (i64, i64) = (2_000, 20_000);
/// A clock that is far ahead, in milliseconds: so far that no delay on the way brings it back.
const FAR_AHEAD_MS: (i64, i64) = (3_600_000, 3 * 3_600_000);
/// What a device kept from before the run, in milliseconds: measured so long before.
const KEPT_BEFORE_MS: (i64, i64) = (3 * 3_600_000, 20 * 3_600_000);

/// A time offline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offline {
    pub(super) window: Window,
    /// Whether what was measured meanwhile is marked historical.
    pub(super) is_marked: bool,
    /// From when before the run something is sent on top.
    pub(super) kept_from_ms: Option<i64>,
}

/// A time offline, with what it is about.
pub(super) fn offline((window, mut random): (Window, Random)) -> Offline {
    let is_marked = random.chance(0.5);
    let before = random.within(KEPT_BEFORE_MS.0, KEPT_BEFORE_MS.1);
    let kept_from_ms = random.chance(0.5).then_some(-before);
    Offline { window, is_marked, kept_from_ms }
}

/// A clock that is wrong for a time, with how far it is ahead in milliseconds.
pub(super) fn skew((window, mut random): (Window, Random), scenario: &Scenario) -> (Window, i64) {
    let some = random.within(SKEW_MS.0, SKEW_MS.1);
    let far = random.within(FAR_AHEAD_MS.0, FAR_AHEAD_MS.1) + millis(scenario.duration);
    let ahead_ms = match random.share() {
        ahead if ahead < 0.4 => some,
        behind if behind < 0.8 => -some,
        _ => far,
    };
    (window, ahead_ms)
}

pub(super) fn mark_historical(batch: &mut Batch, is_marked: bool) {
    batch.readings.iter_mut().for_each(|reading| reading.is_historical = is_marked);
}

/// Half of the time a message that is none, else a reading that is none.
pub(super) fn garbage(random: &mut Random) -> Result<Bytes, Flaw> {
    if random.chance(0.5) {
        let flaw = usize::try_from(random.bits() % Flaw::ALL.len() as u64).unwrap_or(0);
        return Err(Flaw::ALL[flaw]);
    }
    Ok(match random.bits() % 3 {
        0 => Bytes::from_static(b"{\"bootId\": \"7\", \"readings\": ["),
        1 => Bytes::from_static(&[0xff; 24]),
        // A field of readings that says it is longer than what follows.
        _ => Bytes::from_static(&[0x42, 0x7f, 0x08, 0x00]),
    })
}

/// The last batches again, in other pieces.
pub(super) fn recut(recent: &VecDeque<Batch>, random: &mut Random) -> Vec<Batch> {
    let Some(first) = recent.front() else { return Vec::new() };
    let all: Vec<_> = recent.iter().flat_map(|batch| &batch.readings).cloned().collect();
    let count = i64::try_from(all.len()).unwrap_or(0);
    let from = random.within(0, count / 2);
    let until = random.within(count / 2 + 1, count).min(count);
    let cut = random.within(from, until);
    let piece = |from: i64, until: i64| {
        let (from, until) = (usize::try_from(from).ok()?, usize::try_from(until).ok()?);
        let readings = all.get(from..until).filter(|readings| !readings.is_empty())?.to_vec();
        Some(Batch { first_seq: first.first_seq + from as u64, readings, ..first.clone() })
    };
    [piece(from, cut), piece(cut, until)].into_iter().flatten().collect()
}
