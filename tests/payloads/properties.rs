//! Any message means the same in both encodings, and what is said of it is what it says.

use proptest::prelude::*;
use prost::Message;
use pulseward::engine::decode;
use pulseward::engine::input::{Encoding, Settings};
use pulseward::proto::v1 as proto;

use crate::messages::{any_batch, any_status};
use crate::random::Random;
use crate::{json, publish};

fn decode_batch(payload: Vec<u8>, encoding: Encoding) -> Result<decode::Batch, decode::Refused> {
    decode::batch(&publish("readings", payload, Some(encoding)), &Settings::default())
}

proptest! {
    #[test]
    fn a_batch_means_the_same_in_both_encodings(batch in any_batch(), seed in any::<u64>()) {
        let text = json::batch(&batch, &mut Random::new(seed));
        let mut from_json = decode_batch(text.clone().into_bytes(), Encoding::Json);
        if let Ok(batch) = &mut from_json {
            batch.encoding = Encoding::Protobuf;
        }
        let from_protobuf = decode_batch(batch.encode_to_vec(), Encoding::Protobuf);
        prop_assert_eq!(from_json, from_protobuf, "{}", text);
    }

    #[test]
    fn a_batch_is_told_good_from_bad_reading_by_reading(batch in any_batch()) {
        let Ok(decoded) = decode_batch(batch.encode_to_vec(), Encoding::Protobuf) else {
            return Ok(());
        };
        let mut places: Vec<_> = decoded.readings.iter().map(|it| it.index).collect();
        places.extend(decoded.refused.iter().map(|(index, ..)| *index));
        places.sort_unstable();
        prop_assert!(places.into_iter().eq(0..u32::try_from(batch.readings.len()).expect("few")));
        prop_assert_eq!((decoded.boot_id, decoded.first_seq), (batch.boot_id, batch.first_seq));
        prop_assert_eq!(decoded.want_verdict, batch.want_verdict);
        prop_assert_eq!(decoded.unknown_fields, 0);
        for reading in &decoded.readings {
            let sent = &batch.readings[reading.index as usize];
            prop_assert_eq!(i32::from(reading.vital.number()), sent.vital);
            prop_assert_eq!(reading.historical, sent.historical);
            prop_assert_eq!(reading.measurement_id, sent.measurement_id);
            prop_assert_eq!(reading.sequence, batch.first_seq + u64::from(reading.index));
        }
    }

    #[test]
    fn a_status_means_the_same_in_both_encodings(status in any_status(), seed in any::<u64>()) {
        let text = json::status(&status, &mut Random::new(seed));
        let settings = Settings::default();
        let read = |payload: Vec<u8>, encoding| {
            decode::status(&publish("status", payload, Some(encoding)), &settings)
        };
        let from_json = read(text.clone().into_bytes(), Encoding::Json);
        let from_protobuf = read(status.encode_to_vec(), Encoding::Protobuf);
        prop_assert_eq!(from_json, from_protobuf, "{}", text);
    }

    #[test]
    fn fields_of_a_later_contract_change_nothing(
        batch in any_batch(),
        later in 20..1000_u32,
        content in any::<Vec<u8>>(),
    ) {
        let mut payload = batch.encode_to_vec();
        prost::encoding::bytes::encode(later, &content, &mut payload);
        let today = decode_batch(batch.encode_to_vec(), Encoding::Protobuf);
        let tomorrow = decode_batch(payload, Encoding::Protobuf).map(|batch| {
            assert_eq!(batch.unknown_fields, 1);
            decode::Batch { unknown_fields: 0, ..batch }
        });
        prop_assert_eq!(tomorrow, today);
    }
}

#[test]
fn a_batch_of_the_generated_ones_is_not_always_refused() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut kept = 0;
    for _ in 0..100 {
        let batch: proto::ReadingBatch = any_batch().new_tree(&mut runner).expect("one").current();
        let decoded = decode_batch(batch.encode_to_vec(), Encoding::Protobuf);
        kept += decoded.map_or(0, |batch| batch.readings.len());
    }
    assert!(kept > 100, "{kept}");
}
