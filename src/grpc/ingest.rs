//! `IngestService`: what became of what devices sent: refused messages, listed and sent through the
//! intake again, and each device's report.
//!
//! Refused messages are read from the store: while the database is away the calls about them answer
//! UNAVAILABLE. Which messages a caller may see is decided where they are read, and again where they
//! are applied. A report comes from the engine, and is there whether or not the database is.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tonic::{Request, Response, Status};

use super::calls::Call;
use super::commands::{Commands, Desk, unexpected};
use super::convert::{rejected as convert, reports, with_request_id};
use super::status;
use crate::engine::audit::REPEATED;
use crate::engine::input::{Action, Publish, Redrive, Repeatable, Sites};
use crate::engine::output::{Done, RedrivenMessage, Refusal, Reject};
use crate::engine::query::{Found, Question};
use crate::position::MessageId;
use crate::proto::v1;
use crate::proto::v1::ingest_service_server::IngestService;
use crate::store::{DeadLetter, History, HistoryError, RejectedMessage};

/// Messages of one call that are on their way at once: they share commits of the journal, and
/// their payloads are in memory.
const REDRIVES_AT_ONCE: usize = 8;

/// Answers calls about what devices sent.
pub(super) struct Service {
    desk: Desk,
    history: Arc<dyn History>,
}

impl Service {
    pub(super) fn new(commands: Arc<dyn Commands>, history: Arc<dyn History>) -> Self {
        Self { desk: Desk::new(commands), history }
    }

    /// Sends one message through, or says why not. Each is a command and told as one, beside the
    /// call for all of them, some of which may never have become commands.
    async fn redrive(
        &self,
        call: &Call,
        request: Option<&Repeatable>,
        id: MessageId,
    ) -> Result<Outcome, Status> {
        let letter = match self.history.dead_letter(id, call.principal.sites.clone()).await {
            Ok(letter) => letter,
            Err(HistoryError::UnknownMessage) => return Ok(Outcome::Skipped(Skip::not_found())),
            Err(error) => return Err(status::no_history(error, &id.to_string())),
        };
        if let Some(done) = self.before(call, request, id).await? {
            return sent(letter.message, done, true);
        }
        let (action, message) = match opened(letter) {
            Ok(opened) => opened,
            Err(skip) => return Ok(Outcome::Skipped(skip)),
        };
        match self.desk.submit(call.command(action, request.cloned())).await? {
            Ok(done) => sent(message, done, false),
            Err(Refusal::FailedPrecondition { reason, description }) => {
                Ok(Outcome::Skipped(Skip { reason, detail: description }))
            }
            Err(Refusal::NotFound { .. }) => Ok(Outcome::Skipped(Skip::not_found())),
            Err(Refusal::Poisoned) => {
                let detail = "the message once ended this version of the service, and would again";
                Ok(Outcome::Skipped(Skip::new("POISONED", detail)))
            }
            Err(refusal) => Err(status::refused(refusal)),
        }
    }

    /// What the same request has done with a message before: by now the store may say that it was
    /// sent through, or hold it no longer, and the caller is to get the same answer.
    async fn before(
        &self,
        call: &Call,
        request: Option<&Repeatable>,
        id: MessageId,
    ) -> Result<Option<Done>, Status> {
        let Some(request) = request else { return Ok(None) };
        match self.desk.look_up(call, Question::Redriven(request.clone(), id)).await? {
            Done::Found(found) => match *found {
                Found::Redriven(done) => Ok(done.map(|done| *done)),
                _ => Err(unexpected("redrive")),
            },
            _ => Err(unexpected("redrive")),
        }
    }
}

fn sent(mut message: RejectedMessage, done: Done, is_repeated: bool) -> Result<Outcome, Status> {
    message.payload = None;
    match done {
        Done::Redriven { told, refusals } => {
            Ok(Outcome::Sent(Box::new(Sent { message, told, refusals, is_repeated })))
        }
        _ => Err(unexpected("redrive")),
    }
}

/// What became of a message.
enum Outcome {
    Sent(Box<Sent>),
    Skipped(Skip),
}

/// A message that went through.
struct Sent {
    message: RejectedMessage,
    told: RedrivenMessage,
    refusals: Vec<Reject>,
    /// By an earlier attempt of the same request.
    is_repeated: bool,
}

/// Why a message was not sent through: for programs, and for people.
struct Skip {
    reason: &'static str,
    detail: String,
}

impl Skip {
    fn new(reason: &'static str, detail: &str) -> Self {
        Self { reason, detail: detail.to_owned() }
    }

    fn not_found() -> Self {
        Self::new("MESSAGE_NOT_FOUND", "no such message")
    }
}

impl Outcome {
    const fn is_repeated(&self) -> bool {
        matches!(self, Self::Sent(sent) if sent.is_repeated)
    }

    /// As a caller who may see `sites` is told it.
    fn add_to(
        self,
        id: MessageId,
        sites: &Sites,
        answer: &mut v1::RedriveRejectedMessagesResponse,
    ) {
        match self {
            Self::Sent(sent) => {
                let Sent { message, told, refusals, .. } = *sent;
                answer.accepted = answer.accepted.saturating_add(told.accepted);
                answer.duplicate = answer.duplicate.saturating_add(told.duplicate);
                if !refusals.is_empty() {
                    answer.rejected.push(convert::refused_again(message, refusals, sites));
                }
            }
            Self::Skipped(Skip { reason, detail }) => {
                let (message_id, reason) = (id.to_string(), reason.to_owned());
                answer.skipped.push(v1::SkippedMessage { message_id, reason, detail });
            }
        }
    }
}

/// What sends a message through, and the message without its payload; or why it is not sent.
fn opened(letter: DeadLetter) -> Result<(Action, RejectedMessage), Skip> {
    let DeadLetter { mut message, redrives_stored } = letter;
    if message.redriven_at.is_some() {
        let detail = "the message was sent through again before";
        return Err(Skip::new("ALREADY_REDRIVEN", detail));
    }
    if message.erased_at.is_some() {
        let detail = "the payload was erased, with a patient whom it may have been about";
        return Err(Skip::new("PAYLOAD_ERASED", detail));
    }
    let payload = message
        .payload
        .take()
        .ok_or_else(|| Skip::new("PAYLOAD_NOT_KEPT", "the payload of the message was not kept"))?;
    let publish = Publish {
        topic: message.topic.clone(),
        payload,
        encoding: message.encoding,
        correlation: None,
        retained: false,
    };
    let redrive = Redrive {
        message: message.id,
        publish,
        received_at: message.received_at,
        refused: message.refused_spans(),
        redrives_stored,
    };
    Ok((Action::Redrive(redrive), message))
}

#[tonic::async_trait]
impl IngestService for Service {
    async fn list_rejected_messages(
        &self,
        request: Request<v1::ListRejectedMessagesRequest>,
    ) -> Result<Response<v1::ListRejectedMessagesResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let sites = call.principal.sites.clone();
                let query = convert::query(&request, sites.clone()).map_err(status::invalid)?;
                let page = self.history.list_rejected(query).await;
                let page = page.map_err(|error| status::no_history(error, ""))?;
                Ok(convert::page(page, &sites))
            })
            .await
    }

    async fn redrive_rejected_messages(
        &self,
        request: Request<v1::RedriveRejectedMessagesRequest>,
    ) -> Result<Response<v1::RedriveRejectedMessagesResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let ids = convert::message_ids(&request);
                let asked = with_request_id(ids, &request.request_id).map_err(status::invalid)?;
                let (ids, request_id) = asked;
                let request = request_id.map(|id| Repeatable::of_several(id, &ids));
                let request = request.as_ref();
                let sent = stream::iter(ids).map(async |id| {
                    self.redrive(call, request, id).await.map(|outcome| (id, outcome))
                });
                let outcomes: Vec<_> = sent.buffered(REDRIVES_AT_ONCE).try_collect().await?;
                if outcomes.iter().all(|(_, outcome)| outcome.is_repeated()) {
                    call.remark = REPEATED;
                }
                let mut answer = v1::RedriveRejectedMessagesResponse::default();
                for (id, outcome) in outcomes {
                    outcome.add_to(id, &call.principal.sites, &mut answer);
                }
                Ok(answer)
            })
            .await
    }

    async fn get_device_report(
        &self,
        request: Request<v1::GetDeviceReportRequest>,
    ) -> Result<Response<v1::DeviceReport>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let question = reports::question(&request).map_err(status::invalid)?;
                match self.desk.look_up(call, question).await? {
                    Done::DeviceReport(report) => Ok(reports::report(*report)),
                    _ => Err(unexpected("device report")),
                }
            })
            .await
    }
}
