//! Refused messages: requests to a query and to ids, what was refused to an answer.
//!
//! That a device is enrolled at another site is told to those only who may see all sites: to others
//! it is as unknown as one that is enrolled nowhere, in what they are shown and in what they ask
//! for.

use std::collections::BTreeSet;

use super::readings::PAGE_TOKEN_BYTES_MAX;
use super::{Violations, wire_timestamp};
use crate::engine::input::Sites;
use crate::engine::output::{Reject, RejectReason};
use crate::engine::profile::Violation;
use crate::engine::unknown_device;
use crate::mqtt::topic::Topic;
use crate::position::MessageId;
use crate::proto::v1;
use crate::store::{RejectedMessage, RejectedPage, RejectedQuery, StoredRefusal};

/// A page, if the caller names no size.
const PAGE_SIZE_DEFAULT: u32 = 100;
/// Messages to be sent through again by one call.
const MESSAGES_MAX: usize = 1_000;

/// The query of `request`, by a caller who may see `sites`.
pub(in crate::grpc) fn query(
    request: &v1::ListRejectedMessagesRequest,
    sites: Sites,
) -> Result<RejectedQuery, Vec<Violation>> {
    let mut wrong = Violations::default();
    let site = optional_id(&mut wrong, "site_id", &request.site_id);
    let device = optional_id(&mut wrong, "device_id", &request.device_id);
    let reasons = reason(&mut wrong, request.reason).map(|reason| meant(reason?, &sites));
    let times = wrong.range(request.from.as_ref(), request.until.as_ref());
    let page_size = wrong.page_size(request.page_size, PAGE_SIZE_DEFAULT);
    let page_token = wrong.optional_text("page_token", &request.page_token, PAGE_TOKEN_BYTES_MAX);
    wrong.finish(|| {
        let times = times?;
        Some(RejectedQuery {
            sites,
            site: site?,
            device: device?,
            reasons: reasons?,
            from: times.start,
            until: times.end,
            with_payload: request.with_payload,
            page_size: page_size?,
            page_token: page_token?,
        })
    })
}

/// The outer `None`: wrong; the inner one: empty, which means any.
fn optional_id<Id>(wrong: &mut Violations, field: &str, text: &str) -> Option<Option<Id>>
where
    Id: std::str::FromStr<Err = crate::vitals::InvalidId>,
{
    if text.is_empty() { Some(None) } else { wrong.id(field, text).map(Some) }
}

/// The outer `None`: wrong; the inner one: unspecified, which means any.
fn reason(wrong: &mut Violations, number: i32) -> Option<Option<RejectReason>> {
    if number == 0 {
        return Some(None);
    }
    let found = RejectReason::ALL.into_iter().find(|reason| i32::from(*reason as u8) == number);
    match found {
        Some(reason) => Some(Some(reason)),
        None => wrong.refuse("reason", format!("{number} is no reason of this version")),
    }
}

/// The reasons that a caller means by one, as it is told to them.
fn meant(reason: RejectReason, sites: &Sites) -> Option<Vec<RejectReason>> {
    Some(match (reason, sites) {
        (reason, Sites::All) => vec![reason],
        (RejectReason::WrongSite, Sites::Only(_)) => vec![],
        (RejectReason::UnknownDevice, Sites::Only(_)) => vec![reason, RejectReason::WrongSite],
        (reason, Sites::Only(_)) => vec![reason],
    })
}

/// The messages that are to be sent through again.
pub(in crate::grpc) fn message_ids(
    request: &v1::RedriveRejectedMessagesRequest,
) -> Result<Vec<MessageId>, Vec<Violation>> {
    let mut wrong = Violations::default();
    match request.message_ids.len() {
        0 => wrong.add("message_ids", "required"),
        count if count > MESSAGES_MAX => {
            wrong.add("message_ids", format!("{count} messages; at most {MESSAGES_MAX}"));
            return wrong.finish(|| None);
        }
        _ => {}
    }
    let mut seen = BTreeSet::new();
    let mut messages = Vec::with_capacity(request.message_ids.len());
    for (index, text) in request.message_ids.iter().enumerate() {
        match text.parse() {
            Err(_) => wrong.add(&format!("message_ids[{index}]"), "not the id of a message"),
            Ok(_) if !seen.insert(text) => {
                wrong.add(&format!("message_ids[{index}]"), "a second time");
            }
            Ok(message) => messages.push(message),
        }
    }
    wrong.finish(|| Some(messages))
}

/// A page, as a caller who may see `sites` is told it.
pub(in crate::grpc) fn page(page: RejectedPage, sites: &Sites) -> v1::ListRejectedMessagesResponse {
    v1::ListRejectedMessagesResponse {
        messages: page.messages.into_iter().map(|it| message(it, sites)).collect(),
        next_page_token: page.next_page_token.unwrap_or_default(),
    }
}

/// A message with what was refused of it. Its rows are of one kind: either one refusal of the
/// whole, or refusals of its readings.
fn message(mut message: RejectedMessage, sites: &Sites) -> v1::RejectedMessage {
    if *sites != Sites::All {
        hide_other_sites(&mut message);
    }
    let whole = message.refusals.iter().find(|refusal| refusal.index.is_none());
    let of_readings = || message.refusals.iter().filter(|refusal| refusal.index.is_some());
    v1::RejectedMessage {
        message_id: message.id.to_string(),
        topic: message.topic.clone(),
        received_at: Some(wire_timestamp(message.received_at)),
        reason: whole.map_or(0, |refusal| i32::from(refusal.reason as u8)),
        detail: whole.map_or_else(String::new, |refusal| refusal.detail.clone()),
        rejected: of_readings().take(Reject::LISTED_MAX).filter_map(rejected).collect(),
        payload: message.payload.clone().unwrap_or_default().into(),
        redriven_at: message.redriven_at.map(wire_timestamp),
        erased_at: message.erased_at.map(wire_timestamp),
        redriven_from: message.redriven_from.map(|from| from.to_string()).unwrap_or_default(),
        rejected_total: of_readings().map(|refusal| refusal.count).sum(),
    }
}

fn hide_other_sites(message: &mut RejectedMessage) {
    let device = Topic::parse(&message.topic).map_or("", |topic| topic.device);
    for refusal in &mut message.refusals {
        if refusal.reason == RejectReason::WrongSite {
            (refusal.reason, refusal.detail) = unknown_device(device);
        }
    }
}

fn rejected(refusal: &StoredRefusal) -> Option<v1::Rejected> {
    let (reason, detail) = (i32::from(refusal.reason as u8), refusal.detail.clone());
    Some(v1::Rejected { index: refusal.index?, reason, detail })
}

/// The message as it was refused again.
pub(in crate::grpc) fn refused_again(
    was: RejectedMessage,
    refusals: Vec<Reject>,
    sites: &Sites,
) -> v1::RejectedMessage {
    let refusals = refusals
        .into_iter()
        .map(|Reject { index, reason, detail, count, .. }| StoredRefusal {
            index,
            count,
            reason,
            detail,
        })
        .collect();
    message(RejectedMessage { refusals, payload: None, ..was }, sites)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::position::{JournalId, Partition, Position};

    fn id(position: u64) -> MessageId {
        let journal_id = JournalId(uuid::Uuid::from_u128(7));
        MessageId { journal_id, partition: Partition::FIRST, position: Position(position) }
    }

    fn fields(violations: &[Violation]) -> Vec<&str> {
        violations.iter().map(|violation| violation.field.as_str()).collect()
    }

    #[test]
    fn an_empty_request_asks_for_everything_and_every_wrong_field_is_named() {
        let empty = v1::ListRejectedMessagesRequest::default();
        let asked = query(&empty, Sites::All).expect("valid");
        assert_eq!((asked.from, asked.until), (Timestamp::MIN, Timestamp::MAX));
        assert_eq!((asked.site, asked.device, asked.reasons), (None, None, None));
        assert_eq!((asked.page_size, asked.with_payload), (100, false));
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let request = v1::ListRejectedMessagesRequest {
            site_id: "a b".into(),
            device_id: "a/b".into(),
            reason: 99,
            from: at(1),
            until: at(1),
            page_size: -1,
            ..empty
        };
        let wrong = query(&request, Sites::All).expect_err("wrong");
        assert_eq!(fields(&wrong), ["site_id", "device_id", "reason", "until", "page_size"]);
    }

    #[test]
    fn every_reason_can_be_asked_for() {
        for reason in RejectReason::ALL {
            let number = i32::from(reason as u8);
            let request = v1::ListRejectedMessagesRequest { reason: number, ..Default::default() };
            assert_eq!(query(&request, Sites::All).expect("valid").reasons, Some(vec![reason]));
        }
    }

    #[test]
    fn who_may_not_see_all_sites_is_not_told_that_a_device_is_at_another() {
        let topic = "pulseward/v1/north/d-1/readings";
        let of = |(reason, detail): (RejectReason, String)| RejectedMessage {
            id: id(9),
            topic: topic.to_owned(),
            received_at: Timestamp::EPOCH,
            refusals: vec![StoredRefusal { index: None, count: 1, reason, detail }],
            encoding: None,
            payload: None,
            redriven_from: None,
            erased_at: None,
            redriven_at: None,
        };
        let elsewhere = || of((RejectReason::WrongSite, "it is at another site".to_owned()));
        let north = Sites::Only(vec!["north".parse().expect("an id")]);
        let nowhere = message(of(unknown_device("d-1")), &north);
        assert_eq!(message(elsewhere(), &north), nowhere);
        let again = Reject {
            topic: topic.to_owned(),
            index: None,
            reason: RejectReason::WrongSite,
            detail: String::new(),
            count: 1,
        };
        assert_eq!(refused_again(elsewhere(), vec![again], &north), nowhere);
        assert_eq!(message(elsewhere(), &Sites::All).reason(), v1::RejectReason::WrongSite);

        use RejectReason::{TooOld, UnknownDevice, WrongSite};
        for (reason, found) in [
            (UnknownDevice, vec![UnknownDevice, WrongSite]),
            (WrongSite, vec![]),
            (TooOld, vec![TooOld]),
        ] {
            let number = i32::from(reason as u8);
            let request = v1::ListRejectedMessagesRequest { reason: number, ..Default::default() };
            assert_eq!(query(&request, north.clone()).expect("valid").reasons, Some(found));
        }
    }

    #[test]
    fn messages_are_named_once_each_and_not_too_many() {
        let ids = |message_ids: Vec<String>| {
            message_ids_of(&v1::RedriveRejectedMessagesRequest {
                message_ids,
                request_id: String::new(),
            })
        };
        let (one, two) = (id(1).to_string(), id(2).to_string());
        assert_eq!(ids(vec![one.clone(), two.clone()]), Ok(vec![id(1), id(2)]));
        assert_eq!(ids(vec![]), Err(vec!["message_ids".to_owned()]));
        assert_eq!(ids(vec![String::new(); 1001]), Err(vec!["message_ids".to_owned()]));
        let wrong = vec!["message_ids[1]".to_owned(), "message_ids[2]".to_owned()];
        assert_eq!(ids(vec![one.clone(), "x".to_owned(), one]), Err(wrong));
    }

    fn message_ids_of(
        request: &v1::RedriveRejectedMessagesRequest,
    ) -> Result<Vec<MessageId>, Vec<String>> {
        let named = |wrong: Vec<Violation>| wrong.into_iter().map(|it| it.field).collect();
        message_ids(request).map_err(named)
    }

    #[test]
    fn a_message_is_refused_as_a_whole_or_by_its_readings_which_are_all_counted() {
        let refusal = |index, count| StoredRefusal {
            index,
            count,
            reason: RejectReason::TooOld,
            detail: "why".to_owned(),
        };
        let refused = |refusals| RejectedMessage {
            id: id(9),
            topic: "t".to_owned(),
            received_at: Timestamp::from_seconds(5),
            refusals,
            encoding: None,
            payload: Some("payload".into()),
            redriven_from: Some(id(3)),
            redriven_at: Some(Timestamp::from_seconds(6)),
            erased_at: Some(Timestamp::from_seconds(7)),
        };
        let whole = message(refused(vec![refusal(None, 1)]), &Sites::All);
        assert_eq!((whole.reason(), whole.detail.as_str()), (v1::RejectReason::TooOld, "why"));
        assert_eq!((whole.rejected.len(), whole.rejected_total), (0, 0));
        assert_eq!((whole.message_id, whole.redriven_from), (id(9).to_string(), id(3).to_string()));
        assert_eq!(whole.redriven_at.map(|at| at.seconds), Some(6));
        assert_eq!(whole.erased_at.map(|at| at.seconds), Some(7));
        assert_eq!(&*whole.payload, b"payload");
        let many = (0..100).map(|index| refusal(Some(index), 1)).chain([refusal(Some(100), 400)]);
        let parts = message(refused(many.collect()), &Sites::All);
        assert_eq!((parts.reason(), parts.detail.as_str()), (v1::RejectReason::Unspecified, ""));
        assert_eq!((parts.rejected.len(), parts.rejected_total), (100, 500));
        assert_eq!(parts.rejected[7].index, 7);
    }
}
