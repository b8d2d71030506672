//! A verdict as the packet that a gateway receives.
//!
//! The payload is a `BatchVerdict`, in the encoding of the batch: protobuf, or its proto3 JSON
//! mapping (64-bit integers as strings, enums by name, every field written).

use std::time::Duration;

use prost::Message;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use serde::Serialize;

use super::topic;
use crate::engine::output::{RejectReason, RejectedReading, Verdict};
use crate::proto::v1;

/// The packet that brings a verdict to its gateway; the broker drops it after `expiry`.
pub(super) fn packet(verdict: &Verdict, expiry: Duration) -> Publish {
    let (content_type, payload) = if verdict.json {
        ("application/json", json(verdict))
    } else {
        ("application/protobuf", protobuf(verdict))
    };
    let properties = PublishProperties {
        // Rounded up, because MQTT counts in whole seconds and 0 would be none at all.
        message_expiry_interval: Some(u32::try_from(expiry.as_secs() + 1).unwrap_or(u32::MAX)),
        correlation_data: verdict.correlation.clone(),
        content_type: Some(content_type.to_owned()),
        ..PublishProperties::default()
    };
    let topic = topic::verdicts_of(&verdict.site, &verdict.device);
    Publish::new(topic, QoS::AtLeastOnce, payload, Some(properties))
}

fn protobuf(verdict: &Verdict) -> Vec<u8> {
    let message = v1::BatchVerdict {
        boot_id: verdict.boot_id,
        first_seq: verdict.first_seq,
        accepted: verdict.accepted,
        duplicate: verdict.duplicate,
        rejected: verdict.rejected.iter().map(rejected).collect(),
        rejected_total: verdict.rejected_total,
    };
    message.encode_to_vec()
}

fn rejected(reading: &RejectedReading) -> v1::Rejected {
    v1::Rejected {
        index: reading.index,
        reason: reason(reading.reason).into(),
        detail: reading.detail.clone(),
    }
}

fn reason(reason: RejectReason) -> v1::RejectReason {
    match reason {
        RejectReason::MalformedPayload => v1::RejectReason::MalformedPayload,
        RejectReason::UnknownVital => v1::RejectReason::UnknownVital,
        RejectReason::UnknownUnit => v1::RejectReason::UnknownUnit,
        RejectReason::NotANumber => v1::RejectReason::NotANumber,
        RejectReason::NoValue => v1::RejectReason::NoValue,
        RejectReason::ImpossibleValue => v1::RejectReason::ImpossibleValue,
        RejectReason::UnknownDevice => v1::RejectReason::UnknownDevice,
        RejectReason::WrongSite => v1::RejectReason::WrongSite,
        RejectReason::UnboundDevice => v1::RejectReason::UnboundDevice,
        RejectReason::ClockAhead => v1::RejectReason::ClockAhead,
        RejectReason::TooOld => v1::RejectReason::TooOld,
        RejectReason::TooLarge => v1::RejectReason::TooLarge,
        RejectReason::TooManyReadings => v1::RejectReason::TooManyReadings,
        RejectReason::Poisoned => v1::RejectReason::Poisoned,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonVerdict<'a> {
    boot_id: String,
    first_seq: String,
    accepted: u32,
    duplicate: u32,
    rejected: Vec<JsonRejected<'a>>,
    rejected_total: u32,
}

#[derive(Serialize)]
struct JsonRejected<'a> {
    index: u32,
    reason: &'static str,
    detail: &'a str,
}

fn json(verdict: &Verdict) -> Vec<u8> {
    let mapped = JsonVerdict {
        boot_id: verdict.boot_id.to_string(),
        first_seq: verdict.first_seq.to_string(),
        accepted: verdict.accepted,
        duplicate: verdict.duplicate,
        rejected: verdict.rejected.iter().map(json_rejected).collect(),
        rejected_total: verdict.rejected_total,
    };
    serde_json::to_vec(&mapped).expect("numbers and strings have a JSON form")
}

fn json_rejected(reading: &RejectedReading) -> JsonRejected<'_> {
    JsonRejected {
        index: reading.index,
        reason: reason(reading.reason).as_str_name(),
        detail: &reading.detail,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::vitals::{DeviceId, SiteId};

    /// A verdict on the batch that begins at `first_seq`, with one refusal.
    pub(in crate::mqtt) fn verdict(first_seq: u64) -> Verdict {
        Verdict {
            site: SiteId::new("s1").expect("valid"),
            device: DeviceId::new("d1").expect("valid"),
            boot_id: u64::MAX,
            first_seq,
            accepted: 2,
            duplicate: 1,
            rejected: vec![RejectedReading {
                index: 3,
                reason: RejectReason::ClockAhead,
                detail: "measured 1 h ahead".into(),
            }],
            rejected_total: 1,
            correlation: Some("batch 7".into()),
            json: false,
        }
    }

    #[test]
    fn a_verdict_is_a_batch_verdict_with_the_batchs_correlation() {
        let packet = packet(&verdict(9), Duration::from_secs(600));
        assert_eq!(packet.topic, "pulseward/v1/s1/d1/verdicts");
        assert_eq!(packet.qos, QoS::AtLeastOnce);
        let properties = packet.properties.expect("set");
        assert_eq!(properties.content_type.as_deref(), Some("application/protobuf"));
        assert_eq!(properties.correlation_data.as_deref(), Some(&b"batch 7"[..]));
        assert_eq!(properties.message_expiry_interval, Some(601));
        let message = v1::BatchVerdict::decode(packet.payload).expect("a BatchVerdict");
        assert_eq!((message.boot_id, message.first_seq), (u64::MAX, 9));
        assert_eq!((message.accepted, message.duplicate, message.rejected_total), (2, 1, 1));
        assert_eq!(message.rejected[0].reason(), v1::RejectReason::ClockAhead);
    }

    #[test]
    fn a_json_batch_is_answered_in_the_json_mapping() {
        let packet = packet(&Verdict { json: true, ..verdict(9) }, Duration::ZERO);
        let properties = packet.properties.expect("set");
        assert_eq!(properties.content_type.as_deref(), Some("application/json"));
        assert_eq!(
            packet.payload,
            concat!(
                r#"{"bootId":"18446744073709551615","firstSeq":"9","accepted":2,"duplicate":1,"#,
                r#""rejected":[{"index":3,"reason":"REJECT_REASON_CLOCK_AHEAD","#,
                r#""detail":"measured 1 h ahead"}],"rejectedTotal":1}"#
            )
        );
    }

    #[test]
    fn reasons_have_the_same_numbers_on_the_wire() {
        for ours in RejectReason::ALL {
            assert_eq!(reason(ours) as i32, ours as i32, "{ours:?}");
        }
    }
    fn any_verdict() -> impl Strategy<Value = Verdict> {
        let reason = proptest::sample::select(&RejectReason::ALL[..]);
        let rejected = (any::<u32>(), reason, ".*")
            .prop_map(|(index, reason, detail)| RejectedReading { index, reason, detail });
        let rejected = proptest::collection::vec(rejected, 0..5);
        (any::<[u64; 2]>(), any::<[u32; 3]>(), rejected).prop_map(|(numbers, counts, rejected)| {
            Verdict {
                boot_id: numbers[0],
                first_seq: numbers[1],
                accepted: counts[0],
                duplicate: counts[1],
                rejected_total: counts[2],
                rejected,
                ..verdict(0)
            }
        })
    }

    /// What a gateway reads that knows the JSON mapping.
    fn read(json: &Value) -> Option<v1::BatchVerdict> {
        let long = |name: &str| json[name].as_str()?.parse().ok();
        let number = |object: &Value, name: &str| u32::try_from(object[name].as_u64()?).ok();
        let rejected = |it: &Value| {
            Some(v1::Rejected {
                index: number(it, "index")?,
                reason: v1::RejectReason::from_str_name(it["reason"].as_str()?)?.into(),
                detail: it["detail"].as_str()?.to_owned(),
            })
        };
        Some(v1::BatchVerdict {
            boot_id: long("bootId")?,
            first_seq: long("firstSeq")?,
            accepted: number(json, "accepted")?,
            duplicate: number(json, "duplicate")?,
            rejected: json["rejected"].as_array()?.iter().map(rejected).collect::<Option<_>>()?,
            rejected_total: number(json, "rejectedTotal")?,
        })
    }

    proptest! {
        #[test]
        fn a_verdict_says_the_same_in_both_encodings(verdict in any_verdict()) {
            let from_protobuf = v1::BatchVerdict::decode(&*protobuf(&verdict)).expect("its own");
            let from_json: Value = serde_json::from_slice(&json(&verdict)).expect("its own");
            prop_assert_eq!(from_protobuf.boot_id, verdict.boot_id);
            prop_assert_eq!(from_protobuf.rejected.len(), verdict.rejected.len());
            prop_assert_eq!(read(&from_json), Some(from_protobuf));
        }
    }
}
