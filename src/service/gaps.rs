//! Before anything runs: a gap between database and journal, if whoever starts the service accepts
//! one.
//!
//! It is minded here, and not by the follower while everybody works, because only here the engine's
//! state stands still: what the database is brought up to is what the journal's end says.

use metrics::counter;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::Error;
use crate::clock::{Clock, SystemClock};
use crate::journal::Journal;
use crate::partition::Recovered;
use crate::store::{self, Gap, OnGap};
use crate::telemetry::names;

/// Accepts a gap, if there is one and it may be; if it may not, that is the store's end and nobody
/// else's (V9). Off the runtime's threads: it may take minutes.
pub(super) async fn mind(
    settings: &store::Settings,
    journal: &Journal,
    recovered: Recovered,
) -> Result<(Recovered, Result<Option<Gap>, store::Error>), Error> {
    if settings.on_gap == OnGap::Refuse {
        return Ok((recovered, Ok(None)));
    }
    let (settings, journal, runtime) = (settings.clone(), journal.clone(), Handle::current());
    let minding = spawn_blocking(move || {
        let now = SystemClock.now();
        let gap = store::accept_gap(&settings, runtime, &journal, &recovered.state, now);
        (recovered, gap)
    });
    let (recovered, gap) =
        minding.await.map_err(|_| Error::Panicked { stage: "accepting a gap" })?;
    if let Ok(Some(gap)) = &gap {
        tell(gap);
    }
    Ok((recovered, gap))
}

fn tell(gap: &Gap) {
    let reason = gap.reason.name();
    counter!(names::STORE_GAPS_ACCEPTED_TOTAL, "reason" => reason).increment(1);
    let after = gap.after.map(|after| after.position.0);
    let before = gap.before.0;
    warn!(after, before, reason, "a gap was accepted: rows between are missing for good");
}
