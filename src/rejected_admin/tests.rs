//! Refused messages at a service that has some.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use clap::Parser;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response};

use super::*;
use crate::proto::v1::ingest_service_server::{IngestService, IngestServiceServer};

/// Lists in pages of two, and sends through what it is asked to: the first of a call went through
/// before, the second is refused again.
#[derive(Clone, Default)]
struct Fake {
    messages: Vec<v1::RejectedMessage>,
    listed: Arc<Mutex<Vec<v1::ListRejectedMessagesRequest>>>,
    sent: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl IngestService for Fake {
    async fn list_rejected_messages(
        &self,
        request: Request<v1::ListRejectedMessagesRequest>,
    ) -> Result<Response<v1::ListRejectedMessagesResponse>, Status> {
        let request = request.into_inner();
        let begin = request.page_token.parse().unwrap_or(0);
        self.listed.lock().unwrap().push(request);
        let messages: Vec<_> = self.messages.iter().skip(begin).take(2).cloned().collect();
        let end = begin + messages.len();
        let more = end < self.messages.len();
        let next_page_token = if more { end.to_string() } else { String::new() };
        Ok(Response::new(v1::ListRejectedMessagesResponse { messages, next_page_token }))
    }

    async fn redrive_rejected_messages(
        &self,
        request: Request<v1::RedriveRejectedMessagesRequest>,
    ) -> Result<Response<v1::RedriveRejectedMessagesResponse>, Status> {
        let ids = request.into_inner().message_ids;
        let mut answer = v1::RedriveRejectedMessagesResponse {
            accepted: 7,
            duplicate: 1,
            ..v1::RedriveRejectedMessagesResponse::default()
        };
        if let Some(message_id) = ids.first().cloned() {
            let (reason, detail) = ("ALREADY_REDRIVEN".to_owned(), "before".to_owned());
            answer.skipped.push(v1::SkippedMessage { message_id, reason, detail });
        }
        if let Some(message_id) = ids.get(1).cloned() {
            answer.rejected.push(v1::RejectedMessage { message_id, ..message(9, "t") });
        }
        self.sent.lock().unwrap().extend(ids);
        Ok(Response::new(answer))
    }
}

fn id(number: u64) -> String {
    format!("{}-0000-{number:016x}", "0".repeat(32))
}

fn message(number: u64, topic: &str) -> v1::RejectedMessage {
    v1::RejectedMessage {
        message_id: id(number),
        topic: topic.to_owned(),
        received_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        reason: v1::RejectReason::UnknownDevice.into(),
        detail: "no device d".to_owned(),
        ..v1::RejectedMessage::default()
    }
}

async fn serve(fake: &Fake) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address: SocketAddr = listener.local_addr().expect("bound");
    let server = Server::builder().add_service(IngestServiceServer::new(fake.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    format!("http://{address}")
}

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    task: Task,
}

fn parse(words: &str) -> Result<Task, clap::Error> {
    let words = std::iter::once("rejected").chain(words.split_whitespace());
    Line::try_parse_from(words).map(|line| line.task)
}

async fn redriven(words: &str, fake: &Fake) -> (Summary, String) {
    let url = serve(fake).await;
    let Ok(Task::Redrive(task)) = parse(&format!("redrive --grpc {url} {words}")) else {
        panic!("{words}")
    };
    let mut out = Vec::new();
    let summary = redrive(&task, &mut out).await.expect("answered");
    (summary, String::from_utf8(out).expect("text"))
}

fn some() -> Fake {
    let parts = v1::RejectedMessage {
        rejected: vec![v1::Rejected {
            index: 4,
            reason: v1::RejectReason::TooOld.into(),
            detail: "old".to_owned(),
        }],
        rejected_total: 40,
        ..message(3, "a\nb")
    };
    let redriven_at = Some(prost_types::Timestamp { seconds: 2, nanos: 0 });
    let done = v1::RejectedMessage { redriven_at, ..message(2, "t") };
    Fake { messages: vec![parts, done, message(1, "t")], ..Fake::default() }
}

#[tokio::test]
async fn every_page_is_listed_a_line_for_each_message() {
    let fake = some();
    let url = serve(&fake).await;
    let filters = Filters { reason: Some(RejectReason::UnknownDevice), ..Filters::default() };
    let mut out = Vec::new();
    list(&filters, &Service::at(url), &mut out).await.expect("listed");
    let expected = format!(
        "1970-01-01T00:00:01Z {} a\u{fffd}b readings: 40, first too_old: old\n\
         1970-01-01T00:00:01Z {} t unknown_device: no device d, sent through again\n\
         1970-01-01T00:00:01Z {} t unknown_device: no device d\n",
        id(3),
        id(2),
        id(1)
    );
    assert_eq!(String::from_utf8(out).expect("text"), expected);
    let asked = fake.listed.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    let reason = i32::from(RejectReason::UnknownDevice as u8);
    assert!(asked.iter().all(|request| request.reason == reason && !request.with_payload));
}

#[tokio::test]
async fn what_the_filters_leave_over_goes_through_earliest_first() {
    let fake = some();
    let (summary, told) = redriven("--site north", &fake).await;
    assert_eq!(*fake.sent.lock().unwrap(), [id(1), id(3)]);
    let expected = format!(
        "{} skipped: before (ALREADY_REDRIVEN)\n{} refused again: unknown_device: no device d\n\
         messages: 1 sent through, 1 skipped, 1 refused again at least in part; \
         readings: 7 admitted, 1 admitted before\n",
        id(1),
        id(3)
    );
    assert_eq!(told, expected);
    assert!(!summary.is_complete());
}

#[tokio::test]
async fn named_messages_go_through_many_at_once() {
    let fake = some();
    let ids: Vec<_> = (1..=51).map(id).collect();
    let (summary, told) = redriven(&ids.join(" "), &fake).await;
    assert_eq!(*fake.sent.lock().unwrap(), ids);
    assert_eq!(
        summary,
        Summary { sent: 49, refused_again: 1, skipped: 2, accepted: 14, duplicate: 2 }
    );
    assert!(told.contains(&format!("{} went through\n", id(3))), "{told}");
    assert!(fake.listed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_dry_run_lists_and_sends_nothing() {
    let fake = some();
    let (summary, told) = redriven("--all --dry-run", &fake).await;
    assert!(fake.sent.lock().unwrap().is_empty());
    assert_eq!((summary.sent, told.lines().count()), (2, 3), "{told}");
    assert!(told.ends_with("messages that would be sent through: 2; nothing was sent\n"));
}

#[test]
fn nothing_is_sent_by_leaving_something_out() {
    let one = id(1);
    for right in ["--all", "--device d-1", "--from 2026-01-31T08:00:00Z --site x", &one] {
        assert!(parse(&format!("redrive {right}")).is_ok(), "{right}");
    }
    for wrong in ["", "--dry-run", "--all --site x", "not-an-id", "--reason mood"] {
        assert!(parse(&format!("redrive {wrong}")).is_err(), "{wrong}");
    }
    assert!(parse(&format!("redrive {one} --site x")).is_err());
    assert!(parse("list").is_ok());
}
