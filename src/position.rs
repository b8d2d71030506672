//! Where something stands: partition, position in its journal, and the cursor a follower keeps.
//!
//! A [`Position`] names one journal entry (one input with all its outputs) and grows by one with
//! each entry. An [`OutputId`] names one output of an entry. Both only ever grow within a
//! [`JournalId`]; across two journal ids they can't be compared, which is why a [`Cursor`]
//! carries the id.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The number of a partition of patients: its own input order, engine and journal. One so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition(pub u16);

impl Partition {
    /// The only partition of a service on one machine.
    pub const FIRST: Self = Self(0);
}

/// The identity of a data directory's history; every restore begins a new one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JournalId(pub Uuid);

impl JournalId {
    /// A new identity, never seen before.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a journal entry. The first entry is 1; 0 stands before every entry, so that
/// "everything after position 0" is the whole journal.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position(pub u64);

impl Position {
    /// Before the first entry.
    pub const START: Self = Self(0);

    /// The position of the entry after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One output: the entry it stands in, and its index among that entry's outputs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct OutputId {
    /// The entry.
    pub position: Position,
    /// Its place among the outputs of that entry, from 0.
    pub index: u32,
}

/// How far a follower has come: everything up to and including `position` is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The history that `position` belongs to.
    pub journal_id: JournalId,
    /// The partition.
    pub partition: Partition,
    /// The last entry done.
    pub position: Position,
}
