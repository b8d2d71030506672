//! Whether a database may go on from where it stands. The one decision of the follower.

use super::Error;
use crate::journal::Journal;
use crate::position::{Cursor, JournalId, Position};

/// What a journal has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    journal_id: JournalId,
    first: Position,
    last: Position,
}

impl Extent {
    pub(super) fn of(journal: &Journal) -> Self {
        Self { journal_id: journal.journal_id(), first: journal.first(), last: journal.last() }
    }
}

/// How a database does not fit a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It was written from another journal.
    Foreign,
    /// It has rows of entries that the journal does not have.
    Ahead,
    /// It needs entries that the journal no longer has.
    Behind,
}

impl Extent {
    /// The entry after which to go on, given the cursor that the database holds, if it holds one.
    pub(super) fn compare(&self, stored: Option<Cursor>) -> Result<Position, Mismatch> {
        if stored.is_some_and(|stored| stored.journal_id != self.journal_id) {
            return Err(Mismatch::Foreign);
        }
        let cursor = stored.map_or(Position::START, |stored| stored.position);
        if cursor > self.last {
            return Err(Mismatch::Ahead);
        }
        if cursor.next() < self.first { Err(Mismatch::Behind) } else { Ok(cursor) }
    }

    /// The same in words.
    pub(super) fn error(&self, mismatch: Mismatch, stored: Option<Cursor>) -> Error {
        let Self { journal_id: journal, first, last } = *self;
        let cursor = stored.map_or(Position::START, |stored| stored.position);
        match mismatch {
            Mismatch::Foreign => {
                let database = stored.map_or(journal, |stored| stored.journal_id);
                Error::ForeignJournal { database, journal }
            }
            Mismatch::Ahead => Error::CursorAhead { journal, cursor, last },
            Mismatch::Behind => Error::CursorBehind { journal, cursor, first },
        }
    }
}

/// The entry after which to go on, or why not.
pub(super) fn resume(stored: Option<Cursor>, extent: Extent) -> Result<Position, Error> {
    extent.compare(stored).map_err(|mismatch| extent.error(mismatch, stored))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::position::Partition;

    fn check(stored: Option<(u128, u64)>, journal: (u64, u64), expected: Result<u64, &str>) {
        let stored = stored.map(|(id, position)| Cursor {
            journal_id: JournalId(Uuid::from_u128(id)),
            partition: Partition::FIRST,
            position: Position(position),
        });
        let extent = Extent {
            journal_id: JournalId(Uuid::from_u128(1)),
            first: Position(journal.0),
            last: Position(journal.1),
        };
        match (resume(stored, extent), expected) {
            (Ok(position), Ok(expected)) => assert_eq!(position, Position(expected)),
            (Err(error), Err(expected)) => {
                let text = error.to_string();
                assert!(text.contains(expected), "{text}");
            }
            (result, expected) => panic!("{result:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_new_database_begins_at_the_start() {
        check(None, (1, 0), Ok(0));
        check(None, (1, 9), Ok(0));
    }

    #[test]
    fn a_known_database_goes_on_where_it_stands() {
        check(Some((1, 5)), (1, 9), Ok(5));
        check(Some((1, 9)), (1, 9), Ok(9));
        check(Some((1, 5)), (6, 9), Ok(5));
    }

    #[test]
    fn a_foreign_database_is_refused_with_both_names() {
        check(Some((2, 5)), (1, 9), Err("journal 00000000-0000-0000-0000-000000000002"));
        check(Some((2, 5)), (1, 9), Err("journal 00000000-0000-0000-0000-000000000001"));
    }

    #[test]
    fn a_cursor_outside_the_journal_is_refused() {
        check(Some((1, 10)), (1, 9), Err("which ends at 9"));
        check(Some((1, 4)), (6, 9), Err("which begins at 6"));
        check(None, (6, 9), Err("which begins at 6"));
    }
}
