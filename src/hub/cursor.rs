//! The cursor that a watcher keeps: opaque text, good for one journal and one filter.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::position::{JournalId, OutputId, Partition};

const VERSION: u8 = 1;

/// How far a watcher has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchCursor {
    /// The history it belongs to.
    pub journal_id: JournalId,
    /// The partition.
    pub partition: Partition,
    /// The last output seen.
    pub after: OutputId,
    /// Digest of the filter it was made under.
    pub filter: u64,
}

/// Why a text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It was not made by this service.
    #[error("not a cursor of this service")]
    Malformed,
    /// It was made by a version of the service that this one doesn't know.
    #[error("a cursor of version {0}, newer than this service knows")]
    Version(u8),
}

impl WatchCursor {
    /// Its text.
    #[must_use]
    pub fn encode(&self) -> String {
        let bytes = postcard::to_extend(self, vec![VERSION])
            .expect("plain values into a growing buffer have no way to fail");
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The cursor of a text.
    ///
    /// # Errors
    /// [`CursorError`] if [`WatchCursor::encode`] did not make it.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        match &*bytes {
            [VERSION, body @ ..] => postcard::from_bytes(body).map_err(|_| CursorError::Malformed),
            [version, ..] => Err(CursorError::Version(*version)),
            [] => Err(CursorError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;

    #[test]
    fn text_leads_back_to_the_cursor_and_other_text_to_an_error() {
        let cursor = WatchCursor {
            journal_id: JournalId::generate(),
            partition: Partition::FIRST,
            after: OutputId { position: Position(77), index: 3 },
            filter: 0xfeed,
        };
        assert_eq!(WatchCursor::decode(&cursor.encode()), Ok(cursor));
        assert_eq!(WatchCursor::decode("AAAA"), Err(CursorError::Version(0)));
        assert_eq!(WatchCursor::decode("nonsense?"), Err(CursorError::Malformed));
        assert_eq!(WatchCursor::decode(""), Err(CursorError::Malformed));
    }
}
