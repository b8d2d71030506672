//! Refused messages through the door: listed, sent through again; and readings by hand.

use prost::Message;

use super::*;
use crate::engine::input::{Encoding, Publish, Redrive, RefusedSpan};
use crate::engine::output::{RedrivenMessage, Reject, RejectReason, RejectedReading, Reply};
use crate::engine::query::{Found, Question};
use crate::position::{JournalId, MessageId, Partition, Position};
use crate::store::{DeadLetter, RejectedMessage, RejectedPage, RejectedQuery, StoredRefusal};

fn message(position: u64) -> MessageId {
    let (journal_id, position) = (JournalId(uuid::Uuid::from_u128(7)), Position(position));
    MessageId { journal_id, partition: Partition::FIRST, position }
}

const TOPIC: &str = "pulseward/v1/north/d-1/readings";

/// A message whose third reading was refused.
fn refused(position: u64) -> RejectedMessage {
    RejectedMessage {
        id: message(position),
        topic: TOPIC.to_owned(),
        received_at: Timestamp::from_seconds(5),
        refusals: vec![StoredRefusal {
            index: Some(2),
            count: 1,
            reason: RejectReason::UnboundDevice,
            detail: "bound to nobody".to_owned(),
        }],
        encoding: Some(Encoding::Json),
        payload: Some("{}".into()),
        redriven_from: None,
        redriven_at: None,
        erased_at: None,
    }
}

fn letter(message: RejectedMessage) -> Result<DeadLetter, HistoryError> {
    Ok(DeadLetter { message, redrives_stored: 4 })
}

fn sent(position: u64, accepted: u32, refusals: Vec<Reject>) -> Result<Reply, Closed> {
    let refused = u32::try_from(refusals.len()).expect("few");
    let told =
        RedrivenMessage { message: message(position), number: 5, accepted, duplicate: 2, refused };
    Ok(Ok(Done::Redriven { told, refusals }))
}

fn redrive(positions: &[u64]) -> v1::RedriveRejectedMessagesRequest {
    let message_ids = positions.iter().map(|position| message(*position).to_string()).collect();
    v1::RedriveRejectedMessagesRequest { message_ids, request_id: String::new() }
}

#[tokio::test]
async fn refused_messages_are_listed_with_what_was_refused() {
    let door = open().await;
    let next_page_token = Some("page-2".to_owned());
    door.rejected.answer(Ok(RejectedPage { messages: vec![refused(9)], next_page_token }));
    let request = v1::ListRejectedMessagesRequest {
        site_id: "north".into(),
        device_id: "d-1".into(),
        reason: v1::RejectReason::UnboundDevice.into(),
        from: wire(1),
        until: wire(9),
        with_payload: true,
        page_size: 7,
        page_token: "page-1".into(),
    };
    let page = door.ingest().list_rejected_messages(request).await.expect("a page").into_inner();
    assert_eq!(page.next_page_token, "page-2");
    let expected = v1::RejectedMessage {
        message_id: message(9).to_string(),
        topic: TOPIC.into(),
        received_at: wire(5),
        rejected: vec![v1::Rejected {
            index: 2,
            reason: v1::RejectReason::UnboundDevice.into(),
            detail: "bound to nobody".into(),
        }],
        payload: b"{}".to_vec(),
        rejected_total: 1,
        ..v1::RejectedMessage::default()
    };
    assert_eq!(page.messages, [expected]);
    let query = RejectedQuery {
        sites: Sites::All,
        site: Some(id("north")),
        device: Some(id("d-1")),
        reasons: Some(vec![RejectReason::UnboundDevice]),
        from: Timestamp::from_seconds(1),
        until: Timestamp::from_seconds(9),
        with_payload: true,
        page_size: 7,
        page_token: Some("page-1".to_owned()),
    };
    assert_eq!(door.rejected.seen(), [query]);
    door.close().await;
}

#[tokio::test]
async fn without_the_database_refused_messages_are_unavailable() {
    let door = open().await;
    let away = || HistoryError::Unavailable { reason: "connecting".to_owned() };
    door.rejected.answer(Err(away()));
    let request = v1::ListRejectedMessagesRequest::default();
    let status = door.ingest().list_rejected_messages(request).await.expect_err("away");
    check(&status, Code::Unavailable, "HISTORY_UNAVAILABLE");
    door.letters.answer(Err(away()));
    let status = door.ingest().redrive_rejected_messages(redrive(&[1])).await.expect_err("away");
    check(&status, Code::Unavailable, "HISTORY_UNAVAILABLE");
    assert_eq!(door.commands.seen(), []);
    door.close().await;
}

#[tokio::test]
async fn a_message_is_sent_through_as_it_came_with_what_was_refused_of_it() {
    let door = open().await;
    door.letters.answer(letter(refused(9)));
    door.commands.answer(sent(9, 1, vec![]));
    let answer = door.ingest().redrive_rejected_messages(redrive(&[9])).await.expect("sent");
    let expected = v1::RedriveRejectedMessagesResponse {
        accepted: 1,
        duplicate: 2,
        ..v1::RedriveRejectedMessagesResponse::default()
    };
    assert_eq!(answer.into_inner(), expected);
    assert_eq!(door.letters.seen(), [(message(9), Sites::All)]);
    let expected = Action::Redrive(Redrive {
        message: message(9),
        publish: Publish {
            topic: TOPIC.to_owned(),
            payload: "{}".into(),
            encoding: Some(Encoding::Json),
            correlation: None,
            retained: false,
        },
        received_at: Timestamp::from_seconds(5),
        refused: vec![RefusedSpan { first: 2, count: 1, reason: RejectReason::UnboundDevice }],
        redrives_stored: 4,
    });
    assert_eq!(only_action(&door), expected);
    door.close().await;
}

#[tokio::test]
async fn each_message_has_its_own_outcome_in_the_order_asked_for() {
    let door = open().await;
    let before = RejectedMessage { redriven_at: Some(Timestamp::EPOCH), ..refused(2) };
    let bare = RejectedMessage { payload: None, ..refused(3) };
    door.letters.answer(Err(HistoryError::UnknownMessage));
    door.letters.answer(letter(before));
    door.letters.answer(letter(bare));
    door.letters.answer(letter(refused(4)));
    door.letters.answer(letter(refused(5)));
    door.letters.answer(letter(refused(6)));
    let raced = Refusal::FailedPrecondition {
        reason: "ALREADY_REDRIVEN",
        description: "another caller was faster".to_owned(),
    };
    door.commands.answer(Ok(Err(raced)));
    let again = Reject {
        topic: TOPIC.to_owned(),
        index: Some(2),
        reason: RejectReason::TooOld,
        detail: "too old".to_owned(),
        count: 1,
    };
    door.commands.answer(sent(5, 0, vec![again]));
    door.commands.answer(Ok(Err(Refusal::Poisoned)));
    let request = redrive(&[1, 2, 3, 4, 5, 6]);
    let answer = door.ingest().redrive_rejected_messages(request).await.expect("answered");
    let answer = answer.into_inner();
    let skipped: Vec<_> =
        answer.skipped.iter().map(|it| (it.message_id.clone(), it.reason.as_str())).collect();
    let of = |position, reason| (message(position).to_string(), reason);
    let expected = [
        of(1, "MESSAGE_NOT_FOUND"),
        of(2, "ALREADY_REDRIVEN"),
        of(3, "PAYLOAD_NOT_KEPT"),
        of(4, "ALREADY_REDRIVEN"),
        of(6, "POISONED"),
    ];
    assert_eq!(skipped, expected);
    assert_eq!((answer.accepted, answer.duplicate, answer.rejected.len()), (0, 2, 1));
    let rejected = &answer.rejected[0];
    assert_eq!(rejected.message_id, message(5).to_string());
    assert_eq!(rejected.rejected[0].reason(), v1::RejectReason::TooOld);
    assert_eq!((rejected.rejected_total, rejected.payload.len()), (1, 0));
    door.close().await;
}

#[tokio::test]
async fn a_caller_whom_the_engine_refuses_is_told() {
    let door = open().await;
    door.letters.answer(letter(refused(9)));
    let refusal = Refusal::PermissionDenied { role: Role::Viewer, action: "redrive" };
    door.commands.answer(Ok(Err(refusal)));
    let status = door.ingest().redrive_rejected_messages(redrive(&[9])).await;
    check(&status.expect_err("refused"), Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    door.close().await;
}

/// What the engine says of a message's part in a request.
fn before(done: Option<Done>) -> Result<Reply, Closed> {
    Ok(Ok(Done::Found(Box::new(Found::Redriven(done.map(Box::new))))))
}

#[tokio::test]
async fn a_repeated_call_gets_the_first_answers_and_sends_through_only_the_rest() {
    let door = open().await;
    let request = |positions| v1::RedriveRejectedMessagesRequest {
        request_id: "r-1".into(),
        ..redrive(positions)
    };
    let call = Repeatable::of_several(id("r-1"), &vec![message(1), message(2)]);
    // The store knows by now that the first went through, and no longer has its payload.
    let gone = RejectedMessage {
        redriven_at: Some(Timestamp::from_seconds(6)),
        payload: None,
        ..refused(1)
    };
    door.letters.answer(letter(gone));
    let first = sent(1, 3, vec![]).expect("open").expect("sent");
    door.commands.queries.answer(before(Some(first)));
    door.letters.answer(letter(refused(2)));
    door.commands.queries.answer(before(None));
    door.commands.answer(sent(2, 4, vec![]));
    let answer = door.ingest().redrive_rejected_messages(request(&[1, 2])).await.expect("sent");
    assert_eq!((answer.get_ref().accepted, answer.get_ref().skipped.len()), (7, 0));
    let commands = door.commands.seen();
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert_eq!(commands[0].request.as_ref(), Some(&call));
    let asked = [1, 2].map(|it| Question::Redriven(call.clone(), message(it)));
    let questions = door.commands.queries.seen().into_iter().map(|query| query.question);
    assert!(questions.eq(asked));
    assert_eq!(door.commands.recorded()[0].reason, "", "some of it was done now");
    door.letters.answer(letter(refused(1)));
    let first = sent(1, 3, vec![]).expect("open").expect("sent");
    door.commands.queries.answer(before(Some(first)));
    door.ingest().redrive_rejected_messages(request(&[1])).await.expect("sent");
    assert_eq!(door.commands.recorded()[1].reason, "REPEATED");
    door.close().await;
}

#[tokio::test]
async fn the_id_of_another_call_is_refused_before_anything_is_sent_through() {
    let door = open().await;
    door.letters.answer(letter(refused(1)));
    door.commands.queries.answer(Ok(Err(Refusal::RequestReused { id: "r-1".to_owned() })));
    let request = v1::RedriveRejectedMessagesRequest { request_id: "r-1".into(), ..redrive(&[1]) };
    let status = door.ingest().redrive_rejected_messages(request).await.expect_err("reused");
    check(&status, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(door.commands.seen(), []);
    door.close().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_about_messages_reaches_nobody() {
    let door = open().await;
    let status = door.ingest().redrive_rejected_messages(redrive(&[])).await.expect_err("wrong");
    assert_eq!(fields(&status), ["message_ids"]);
    let request = v1::RedriveRejectedMessagesRequest { request_id: "r 1".into(), ..redrive(&[]) };
    let status = door.ingest().redrive_rejected_messages(request).await.expect_err("wrong");
    assert_eq!(fields(&status), ["message_ids", "request_id"]);
    let request = v1::ListRejectedMessagesRequest { page_size: -1, ..Default::default() };
    let status = door.ingest().list_rejected_messages(request).await.expect_err("wrong");
    assert_eq!(fields(&status), ["page_size"]);
    assert_eq!((door.letters.seen(), door.rejected.seen()), (vec![], vec![]));
    door.close().await;
}

fn pulse() -> v1::Reading {
    let at = prost_types::Timestamp { seconds: 100, nanos: 0 };
    v1::Reading {
        measured: Some(v1::reading::Measured::MeasuredAt(at)),
        vital: v1::Vital::PulseRate.into(),
        value: Some(v1::reading::Value::Quantity(70.0)),
        ..v1::Reading::default()
    }
}

#[tokio::test]
async fn readings_by_hand_are_passed_on_as_they_are_and_answered_one_by_one() {
    let door = open().await;
    door.commands.answer(Ok(Ok(Done::Recorded {
        accepted: 1,
        duplicate: 1,
        rejected: vec![RejectedReading {
            index: 2,
            reason: RejectReason::NoValue,
            detail: "nothing".to_owned(),
        }],
    })));
    let readings = vec![pulse(), pulse(), v1::Reading { value: None, ..pulse() }];
    let request = v1::RecordReadingsRequest {
        patient_id: "p-1".into(),
        readings: readings.clone(),
        request_id: String::new(),
    };
    let answer = door.vitals().record_readings(request).await.expect("taken").into_inner();
    assert_eq!((answer.accepted, answer.duplicate), (1, 1));
    let expected = v1::Rejected {
        index: 2,
        reason: v1::RejectReason::NoValue.into(),
        detail: "nothing".into(),
    };
    assert_eq!(answer.rejected, [expected]);
    let Action::RecordReadings { patient, readings: bytes } = only_action(&door) else {
        panic!("another action")
    };
    assert_eq!(patient, id("p-1"));
    assert_eq!(v1::ReadingBatch::decode(bytes).expect("a batch").readings, readings);
    door.close().await;
}

#[tokio::test]
async fn readings_by_hand_need_a_patient_and_are_not_too_many() {
    let door = open().await;
    for (patient_id, count, wrong) in
        [("", 0, vec!["patient_id", "readings"]), ("p-1", 101, vec!["readings"])]
    {
        let request = v1::RecordReadingsRequest {
            patient_id: patient_id.into(),
            readings: vec![pulse(); count],
            request_id: String::new(),
        };
        let status = door.vitals().record_readings(request).await.expect_err("wrong");
        assert_eq!(fields(&status), wrong);
    }
    assert_eq!(door.commands.seen(), []);
    door.close().await;
}
