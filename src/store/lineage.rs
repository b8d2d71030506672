//! Whose rows a database holds, where some are missing, and how it passes from one journal to
//! another.
//!
//! Ordinarily a database belongs to one journal and goes on where it stands ([`super::cursor`]).
//! Where the two do not fit, a person decides, by `pulseward restore --from-store` or by
//! `pulseward serve --accept-gap`. Either ends in [`hand_over`]: the cursor, the lineage and the
//! gap in one transaction, and only if the database still stands where it was looked at.
//!
//! What no decision makes possible is refused: a database that is ahead of its journal, for
//! positions would be given twice; and one whose keys name others than the journal's do, for then a
//! patient's rows would be another's.

use std::collections::BTreeSet;

use tokio::runtime::Handle;
use tracing::{info, warn};

use super::cursor::{Extent, Mismatch};
use super::ledger::{Cells, Change, Ledger, LedgerError, Query, Type};
use super::restore::{StoredCursor, open_ledger};
use super::row::{self, BEGIN_ERASURE, Cell, FORGET, GAPS, JOURNALS, Origin, Row};
use super::{Error, Settings};
use crate::clock::Timestamp;
use crate::engine::State;
use crate::engine::output::Erased;
use crate::engine::projection::RowKind;
use crate::journal::Journal;
use crate::position::{Cursor, JournalId, Partition, Position};
use crate::vitals::{PatientId, PatientKey};

/// Rows of the projection that share a transaction: few enough to be done in a second or two.
const PROJECTED_ROWS: usize = 5_000;
/// How often the log says how far the projection is.
const TELL_EVERY_ROWS: usize = 250_000;

/// How a journal came to be a database's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It was rebuilt from the rows of the one before.
    Restored,
    /// A person accepted it in the place of another.
    Accepted,
}

impl How {
    const fn name(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Accepted => "accepted",
        }
    }
}

/// Rows that are not in the database and never will be, as a person has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where the database stood; `None` if it was empty.
    pub after: Option<Cursor>,
    /// The journal's first entry whose rows the database has behind the gap.
    pub before: Position,
    /// Why they are missing.
    pub reason: GapReason,
    /// From about when they were received, if that is known.
    pub missing_from: Option<Timestamp>,
    /// Until when.
    pub missing_until: Option<Timestamp>,
}

/// Why rows are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The journal let go of the entries before the database had them: it was restored from an old
    /// backup, or is a new one.
    AgedOut,
    /// The database was written from another journal.
    OtherJournal,
}

impl GapReason {
    /// Its name in the store and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AgedOut => "aged_out",
            Self::OtherJournal => "other_journal",
        }
    }
}

/// Why a gap was not accepted.
#[derive(Debug, thiserror::Error)]
enum AcceptError {
    /// The database.
    #[error("looking for a gap")]
    Ledger(#[from] LedgerError),
    /// It can't be accepted.
    #[error(transparent)]
    Refused(Error),
}

const READ_CURSOR: &str = "SELECT journal_id, CAST(position AS bigint), received_at, updated_at
    FROM @journal_cursor WHERE partition = #1";

/// Where a database stands. Blocking.
pub(super) fn stored_cursor(
    ledger: &mut dyn Ledger,
    partition: Partition,
) -> Result<Option<StoredCursor>, LedgerError> {
    let query = Query {
        sql: READ_CURSOR,
        types: &[Type::Uuid, Type::Int, Type::Time, Type::Time],
        values: vec![row::partition_cell(partition)],
    };
    let Some(mut row) = ledger.one(&query)? else { return Ok(None) };
    let journal_id = JournalId(row.uuid()?);
    let position = Position(row.int()?.cast_unsigned());
    let (received_at, updated_at) = (row.time_or_null()?, row.time()?);
    let cursor = Cursor { journal_id, partition, position };
    Ok(Some(StoredCursor { cursor, received_at: received_at.unwrap_or(updated_at) }))
}

/// Every transaction is later than the one before, also where the clock has stepped back.
const MOVE_CURSOR: &str = "UPDATE @journal_cursor SET journal_id = #1, position = #2,
    updated_at = CASE WHEN updated_at < #3 THEN #3 ELSE updated_at END
    WHERE partition = #4 AND journal_id = #5 AND position = #6";

const BEGIN_CURSOR: &str =
    "INSERT INTO @journal_cursor (journal_id, position, updated_at, partition)
    SELECT #1, #2, #3, #4 WHERE NOT EXISTS (SELECT 1 FROM @journal_cursor WHERE partition = #4)";

/// Moves a database from where it stands to a journal's position, with what else is to be noted;
/// false if it does not stand there. Blocking.
pub(super) fn hand_over(
    ledger: &mut dyn Ledger,
    from: Option<Cursor>,
    to: Cursor,
    how: How,
    mut changes: Vec<Change>,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let position = |position: Position| Cell::Int(position.0.cast_signed());
    let partition = row::partition_cell(to.partition);
    if from.is_none_or(|from| from.journal_id != to.journal_id) {
        changes.push(Change::Add(
            &JOURNALS,
            vec![
                Cell::Uuid(to.journal_id.0),
                partition.clone(),
                Cell::Text(how.name().to_owned()),
                Cell::Time(now),
                from.map_or(Cell::Null, |from| Cell::Uuid(from.journal_id.0)),
                from.map_or(Cell::Null, |from| position(from.position)),
            ],
        ));
    }
    let mut values =
        vec![Cell::Uuid(to.journal_id.0), position(to.position), Cell::Time(now), partition];
    changes.push(match from {
        Some(from) => {
            values.extend([Cell::Uuid(from.journal_id.0), position(from.position)]);
            Change::Guard(MOVE_CURSOR, values)
        }
        None => Change::Guard(BEGIN_CURSOR, values),
    });
    ledger.change(&changes)
}

/// Where database and journal do not fit, and a person has said that what is missing may be
/// missing: brings the registry, open alerts and devices' numbers up to the state, notes the gap,
/// and moves the cursor to just before the journal's first entry. `None` where they fit, or where
/// the database fails meanwhile: then nothing is accepted, and the follower says what it finds.
///
/// Blocking: from a thread that may wait.
///
/// # Errors
/// [`Error`] where it can't be accepted: the follower's own, with which it ends.
pub fn accept_gap(
    settings: &Settings,
    runtime: Handle,
    journal: &Journal,
    state: &State,
    now: Timestamp,
) -> Result<Option<Gap>, Error> {
    match try_accept(settings, runtime, journal, state, now) {
        Ok(gap) => Ok(gap),
        Err(AcceptError::Refused(error)) => Err(error),
        Err(error @ AcceptError::Ledger(_)) => {
            let reason = super::chain(&error);
            warn!(reason, "no gap was accepted, because the database failed");
            Ok(None)
        }
    }
}

fn try_accept(
    settings: &Settings,
    runtime: Handle,
    journal: &Journal,
    state: &State,
    now: Timestamp,
) -> Result<Option<Gap>, AcceptError> {
    let mut ledger = open_ledger(settings, runtime)?;
    let ledger = &mut *ledger;
    let stored = stored_cursor(ledger, journal.partition())?;
    let extent = Extent::of(journal);
    let reason = match extent.compare(stored.map(|stored| stored.cursor)) {
        Ok(_) => return Ok(None),
        Err(Mismatch::Behind) => GapReason::AgedOut,
        Err(Mismatch::Foreign) => GapReason::OtherJournal,
        Err(mismatch @ Mismatch::Ahead) => {
            let cursor = stored.map(|stored| stored.cursor);
            return Err(AcceptError::Refused(extent.error(mismatch, cursor)));
        }
    };
    if let Some(conflict) = check_keys(ledger, state)? {
        let (database, journal) = (stored.map(|it| it.cursor.journal_id), journal.journal_id());
        return Err(AcceptError::Refused(Error::KeysDiffer { database, journal, conflict }));
    }
    let gap = Gap {
        after: stored.map(|stored| stored.cursor),
        before: journal.first(),
        reason,
        missing_from: stored.map(|stored| stored.received_at),
        missing_until: first_receipt(journal)?,
    };
    project(ledger, state, journal.cursor(journal.last()))?;
    if finish(ledger, journal, state, &gap, now)? { Ok(Some(gap)) } else { Ok(None) }
}

/// When the first entry that is still there was received.
fn first_receipt(journal: &Journal) -> Result<Option<Timestamp>, AcceptError> {
    let before = Position(journal.first().0 - 1);
    let entries =
        journal.read(before, 1).map_err(|error| AcceptError::Refused(Error::Journal(error)))?;
    Ok(entries.first().map(|entry| entry.input.received_at))
}

/// The first row of the database's registry that is not the state's: under the same key another
/// name, under another key the same name, or a key that the state would give to somebody else.
fn check_keys(ledger: &mut dyn Ledger, state: &State) -> Result<Option<String>, LedgerError> {
    for (kind, name, sql) in [
        (RowKind::Site, "site", "SELECT CAST(site_key AS bigint), site_id FROM @sites ORDER BY 1"),
        (
            RowKind::Patient,
            "patient",
            "SELECT CAST(patient_key AS bigint), patient_id FROM @patients ORDER BY 1",
        ),
        (
            RowKind::Device,
            "device",
            "SELECT CAST(device_key AS bigint), device_id FROM @devices WHERE device_key <> -1
             ORDER BY 1",
        ),
    ] {
        let query = Query { sql, types: &[Type::Int, Type::Text], values: Vec::new() };
        let mut conflict = None;
        ledger.read(&query, &mut |mut row: Cells| {
            let (key, id) = (row.key()?, row.text()?);
            let known = state.id_of(kind, key);
            // Who was erased here since is still there by their id, until they are erased there.
            let is_erased = kind == RowKind::Patient && known == Some(&*erased_id(key));
            if known != Some(id.as_str()) && !is_erased && conflict.is_none() {
                conflict = Some(match known {
                    Some(known) => format!("{name} {key} is {id} there and {known} here"),
                    None => format!("{name} {key} is {id} there and nobody here"),
                });
            }
            Ok(())
        })?;
        if conflict.is_some() {
            return Ok(conflict);
        }
    }
    Ok(None)
}

fn erased_id(key: u32) -> String {
    PatientId::erased(PatientKey(key)).to_string()
}

/// Writes what the state knows, in transactions of some thousand rows. A row that stands there
/// already is the same or older; done by half it may be done again.
fn project(ledger: &mut dyn Ledger, state: &State, at: Cursor) -> Result<(), LedgerError> {
    let erasures = new_erasures(ledger, state)?;
    let rows = state.projection().filter_map(|output| row::standing(&output, at.position));
    let rows = rows.map(|(identity, row)| Change::Put(identity.table(), row));
    // Before the rows that overwrite who they were, and behind those that may be theirs.
    let begin = erasures.iter().map(|erased| begin_erasure(erased, at));
    let forget = erasures.iter().flat_map(|erased| forget(erased));
    let profiles = state.profiles().map(|row| row::missing_profile(&row));
    let alerts = state.open_alerts().map(row::alert);
    let alerts = alerts.map(|(identity, row)| Change::Put(identity.table(), row));
    let redrives = row::redrives(Partition::FIRST, state.redrives());
    let redrives = Change::Put(redrives.0.table(), redrives.1);
    let mut written = 0;
    let mut changes = Vec::with_capacity(PROJECTED_ROWS);
    let rows = begin.chain(rows).chain(profiles).chain(alerts).chain([redrives]).chain(forget);
    for change in rows {
        changes.push(change);
        if changes.len() == PROJECTED_ROWS {
            written += changes.len();
            ledger.change(&changes)?;
            changes.clear();
            if written.is_multiple_of(TELL_EVERY_ROWS) {
                info!(rows = written, "bringing the database up to what the service knows");
            }
        }
    }
    ledger.change(&changes)?;
    Ok(())
}

/// The erasures of which the database has not heard.
fn new_erasures<'s>(
    ledger: &mut dyn Ledger,
    state: &'s State,
) -> Result<Vec<&'s Erased>, LedgerError> {
    let query = Query {
        sql: "SELECT CAST(patient_key AS bigint) FROM @erasures",
        types: &[Type::Int],
        values: Vec::new(),
    };
    let mut known = BTreeSet::new();
    ledger.read(&query, &mut |mut row| {
        known.insert(PatientKey(row.key()?));
        Ok(())
    })?;
    Ok(state.erased().filter(|erased| !known.contains(&erased.tombstone.key)).collect())
}

/// No entry of the journal tells of it any more: whatever is older than the erasure is theirs.
fn begin_erasure(erased: &Erased, at: Cursor) -> Change {
    let Cursor { journal_id, partition, .. } = at;
    let received_at = erased.tombstone.created_at;
    let origin = Origin { journal_id, partition, position: Position::START, index: 0, received_at };
    Change::Run(&BEGIN_ERASURE, row::erasure(origin, erased))
}

fn forget(erased: &Erased) -> impl Iterator<Item = Change> {
    let worn = row::erased_wear(erased).map(|(identity, row)| Change::Put(identity.table(), row));
    let row = row::forgotten(erased.tombstone.key);
    let forget = FORGET.iter().map(move |statement| Change::Run(statement, row.clone()));
    worn.chain(forget)
}

/// Alerts that are open there and not here ended in the gap, where nobody wrote down how.
const CLOSE_ALERTS: &str = "UPDATE @alerts SET condition = 'inactive', signal = 'off',
    paused_until = NULL, is_over = #1 WHERE alert_id = #2";

fn finish(
    ledger: &mut dyn Ledger,
    journal: &Journal,
    state: &State,
    gap: &Gap,
    now: Timestamp,
) -> Result<bool, AcceptError> {
    let open: BTreeSet<_> = state.open_alerts().map(|alert| alert.id.0).collect();
    let query = Query {
        sql: "SELECT alert_id FROM @alerts WHERE NOT is_over",
        types: &[Type::Uuid],
        values: Vec::new(),
    };
    let mut changes = Vec::new();
    ledger.read(&query, &mut |mut row| {
        let id = row.uuid()?;
        if !open.contains(&id) {
            changes.push(Change::Execute(CLOSE_ALERTS, vec![Cell::Bool(true), Cell::Uuid(id)]));
        }
        Ok(())
    })?;
    let to = journal.cursor(Position(gap.before.0 - 1));
    changes.push(Change::Put(&GAPS, gap_row(gap, to, now)));
    Ok(hand_over(ledger, gap.after, to, How::Accepted, changes, now)?)
}

fn gap_row(gap: &Gap, to: Cursor, now: Timestamp) -> Row {
    let position = |position: Position| Cell::Int(position.0.cast_signed());
    let time = |time: Option<Timestamp>| time.map_or(Cell::Null, Cell::Time);
    vec![
        row::partition_cell(to.partition),
        Cell::Uuid(to.journal_id.0),
        position(gap.before),
        Cell::Time(now),
        gap.after.map_or(Cell::Null, |after| Cell::Uuid(after.journal_id.0)),
        position(gap.after.map_or(Position::START, |after| after.position)),
        Cell::Text(gap.reason.name().to_owned()),
        time(gap.missing_from),
        time(gap.missing_until),
    ]
}
