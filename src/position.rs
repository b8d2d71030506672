//! Where something stands: partition, position in its journal, and the cursor a follower keeps.
//!
//! A [`Position`] names one journal entry (one input with all its outputs) and grows by one with
//! each entry. An [`OutputId`] names one output of an entry. Both only ever grow within a
//! [`JournalId`]; across two journal ids they can't be compared, which is why a [`Cursor`]
//! carries the id.

use std::fmt;
use std::str::FromStr;

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

/// A message from the broker, by the entry that it became.
///
/// Its text is opaque to callers, and stable. Within a journal texts sort as their messages were
/// received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// The history that `position` belongs to.
    pub journal_id: JournalId,
    /// The partition.
    pub partition: Partition,
    /// The entry.
    pub position: Position,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (journal, partition) = (self.journal_id.0.simple(), self.partition.0);
        write!(f, "{journal}-{partition:04x}-{:016x}", self.position.0)
    }
}

/// A text is not a [`MessageId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a message")]
pub struct InvalidMessageId;

impl FromStr for MessageId {
    type Err = InvalidMessageId;

    fn from_str(text: &str) -> Result<Self, InvalidMessageId> {
        let mut parts = text.split('-');
        let (Some(journal), Some(partition), Some(position), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidMessageId);
        };
        let id = Self {
            journal_id: JournalId(Uuid::try_parse(journal).map_err(|_| InvalidMessageId)?),
            partition: Partition(u16::from_str_radix(partition, 16).map_err(|_| InvalidMessageId)?),
            position: Position(u64::from_str_radix(position, 16).map_err(|_| InvalidMessageId)?),
        };
        // One text for each message: no other spelling of the same numbers.
        if id.to_string() == text { Ok(id) } else { Err(InvalidMessageId) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(position: u64) -> MessageId {
        let journal_id = JournalId(Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef));
        MessageId { journal_id, partition: Partition(3), position: Position(position) }
    }

    #[test]
    fn the_text_of_a_message_leads_back_to_it_and_sorts_as_it_was_received() {
        let text = "0123456789ab4def8123456789abcdef-0003-000000000000002a";
        assert_eq!(id(42).to_string(), text);
        assert_eq!(text.parse(), Ok(id(42)));
        assert!(id(9).to_string() < id(10).to_string());
        assert!(id(u64::MAX - 1).to_string() < id(u64::MAX).to_string());
    }

    #[test]
    fn no_other_text_names_a_message() {
        let text = id(42).to_string();
        let (upper, long) = (text.to_uppercase(), format!("{text}0"));
        let hyphened = text.replacen("0123", "0123-", 1);
        for wrong in ["", "42", "a-b-c", "--", &upper, &long, &hyphened, &text[1..]] {
            assert_eq!(wrong.parse::<MessageId>(), Err(InvalidMessageId), "{wrong:?}");
        }
    }
}
