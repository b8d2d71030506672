//! The small records that the journal keeps about itself, with kind and version as every
//! record has. Golden files under `tests/fixtures/journal` hold each version to its bytes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::position::{Cursor, JournalId, Partition, Position};

/// What a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The history it holds.
    pub(super) journal_id: JournalId,
    /// Whose it is.
    pub(super) partition: Partition,
    /// What it was rebuilt from, if a journal was lost before it: where the store stood.
    pub(super) restored_from: Option<Cursor>,
}

/// That a checkpoint is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointMark {
    /// What its blobs stand for.
    pub(super) position: Position,
    /// The generation of its blobs: what is newer is of one that was cut off.
    pub(super) generation: u64,
}

/// That a checkpoint was begun: kept from its first piece until it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointBegun {
    /// Its generation.
    pub(super) generation: u64,
}

/// A record with its kind, and the key under which it is kept.
pub(super) trait MetaRecord: Serialize + DeserializeOwned {
    const KEY: &'static str;
    const KIND: u8;
    const VERSION: u8;
}

impl MetaRecord for Identity {
    const KEY: &'static str = "identity";
    const KIND: u8 = b'I';
    const VERSION: u8 = 1;
}

/// Version 1, without the generation, was only ever written by pre-releases.
impl MetaRecord for CheckpointMark {
    const KEY: &'static str = "checkpoint";
    const KIND: u8 = b'C';
    const VERSION: u8 = 2;
}

impl MetaRecord for CheckpointBegun {
    const KEY: &'static str = "checkpoint-begun";
    const KIND: u8 = b'B';
    const VERSION: u8 = 1;
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("record {key}: begins with {found:02x?}, not with kind and a known version")]
    Header { key: &'static str, found: Vec<u8> },
    #[error("record {key}: reading its body")]
    Body {
        key: &'static str,
        #[source]
        source: postcard::Error,
    },
}

pub(super) fn encode<R: MetaRecord>(record: &R) -> Vec<u8> {
    postcard::to_extend(record, vec![R::KIND, R::VERSION])
        .expect("plain values into a growing buffer have no way to fail")
}

pub(super) fn decode<R: MetaRecord>(bytes: &[u8]) -> Result<R, DecodeError> {
    match bytes {
        [kind, version, body @ ..] if (*kind, *version) == (R::KIND, R::VERSION) => {
            postcard::from_bytes(body).map_err(|source| DecodeError::Body { key: R::KEY, source })
        }
        other => {
            let found = other.iter().take(2).copied().collect();
            Err(DecodeError::Header { key: R::KEY, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<R: MetaRecord + PartialEq + std::fmt::Debug>(record: &R, golden: &[u8]) {
        assert_eq!(encode(record), golden);
        assert_eq!(decode::<R>(golden).expect("golden"), *record);
    }

    #[test]
    fn released_records_decode_and_encode_to_their_golden_bytes() {
        let journal_id =
            JournalId(uuid::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
        let identity = Identity { journal_id, partition: Partition(300), restored_from: None };
        check(&identity, include_bytes!("../../tests/fixtures/journal/identity.v1.bin"));
        let lost = JournalId(uuid::Uuid::from_u128(0xfedc_ba98_7654_3210_fedc_ba98_7654_3210));
        let (partition, position) = (Partition(300), Position(1_234_567));
        let restored_from = Some(Cursor { journal_id: lost, partition, position });
        check(
            &Identity { restored_from, ..identity },
            include_bytes!("../../tests/fixtures/journal/identity-restored.v1.bin"),
        );
        check(
            &CheckpointMark { position: Position(1_234_567), generation: 300 },
            include_bytes!("../../tests/fixtures/journal/checkpoint.v2.bin"),
        );
        check(
            &CheckpointBegun { generation: 301 },
            include_bytes!("../../tests/fixtures/journal/checkpoint-begun.v1.bin"),
        );
    }

    #[test]
    fn a_record_of_another_kind_or_version_is_refused() {
        let mut bytes = encode(&CheckpointMark { position: Position(1), generation: 1 });
        assert!(decode::<Identity>(&bytes).is_err());
        for other in [1, 3] {
            bytes[1] = other;
            assert!(decode::<CheckpointMark>(&bytes).is_err());
        }
        assert!(decode::<CheckpointMark>(&[]).is_err());
    }
}
