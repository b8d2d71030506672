//! `pulseward rejected …`: lists refused messages, and sends them through the intake again.
//!
//! A thin client of `IngestService`: the service decides who may and what becomes of each message,
//! and that none goes through twice; a call that broke off is simply made again. Payloads are never
//! asked for: they hold vitals, and terminals keep what they show.

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tonic::Status;

use crate::clock::Timestamp;
use crate::engine::output::RejectReason;
use crate::grpc_client::{self, Connection, Service};
use crate::position::MessageId;
use crate::proto::v1;
use crate::proto::v1::ingest_service_client::IngestServiceClient;
use crate::repeat;
use crate::vitals::{DeviceId, SiteId};

/// The service itself ends a call after 30 s; what it took in goes on being carried out.
const CALL_TIMEOUT: Duration = Duration::from_secs(40);
/// Messages asked for at once.
const PAGE_SIZE: i32 = 500;
/// Messages sent through by one call: few enough to be done long before it times out, also where
/// every commit waits for a slow disk.
const REDRIVEN_AT_ONCE: usize = 50;

/// What can be done with refused messages.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// List refused messages, latest first: when, which, on what topic, and why.
    List {
        /// Which.
        #[command(flatten)]
        filters: Filters,
        /// The service.
        #[command(flatten)]
        service: Service,
    },
    /// Send refused messages through the intake again, at their original measured times.
    Redrive(Redrive),
}

/// What is sent through again.
#[derive(Debug, Args)]
pub struct Redrive {
    /// Ids of messages, as `pulseward rejected list` shows them.
    // So that nobody sends everything through by leaving something out.
    #[arg(
        value_name = "MESSAGE",
        required_unless_present_any = ["filters", "all"],
        conflicts_with_all = ["filters", "all"]
    )]
    pub messages: Vec<MessageId>,
    /// Every message that these leave over and that has not been sent through.
    #[command(flatten)]
    pub filters: Filters,
    /// Every message that has not been sent through.
    #[arg(long, conflicts_with = "filters")]
    pub all: bool,
    /// The service.
    #[command(flatten)]
    pub service: Service,
    /// Only list what would be sent through.
    #[arg(long)]
    pub dry_run: bool,
}

/// Which refused messages.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "filters", multiple = true)]
pub struct Filters {
    /// Only of this site.
    #[arg(long, value_name = "SITE")]
    pub site: Option<SiteId>,
    /// Only of this device.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceId>,
    /// Only for this reason, such as unknown_device.
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Option<RejectReason>,
    /// Only received from here on, such as 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only received before this.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
}

fn reason(name: &str) -> Result<RejectReason, String> {
    RejectReason::from_name(name).ok_or_else(|| {
        let known: Vec<_> = RejectReason::ALL.iter().map(|reason| reason.name()).collect();
        format!("none of {}", known.join(", "))
    })
}

impl Filters {
    fn request(&self) -> v1::ListRejectedMessagesRequest {
        let wire = crate::grpc::wire_timestamp;
        v1::ListRejectedMessagesRequest {
            site_id: self.site.as_ref().map(ToString::to_string).unwrap_or_default(),
            device_id: self.device.as_ref().map(ToString::to_string).unwrap_or_default(),
            reason: self.reason.map_or(0, |reason| i32::from(reason as u8)),
            from: self.from.map(wire),
            until: self.until.map(wire),
            page_size: PAGE_SIZE,
            ..v1::ListRejectedMessagesRequest::default()
        }
    }
}

/// Why a task was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service can't be reached.
    #[error(transparent)]
    Connect(#[from] grpc_client::NotConnected),
    /// The service refused.
    #[error("{action}: {} ({:?})", .status.message(), .status.code())]
    Refused {
        /// What was asked.
        action: &'static str,
        /// What it answered.
        status: Box<Status>,
    },
    /// Nobody takes what is printed.
    #[error("printing")]
    Print(#[from] io::Error),
}

/// What became of messages that were to be sent through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages that went through, or would.
    pub sent: usize,
    /// Of those, messages of which something was refused again.
    pub refused_again: usize,
    /// Messages that were not sent.
    pub skipped: usize,
    /// Readings admitted.
    pub accepted: u64,
    /// Readings that had been admitted before.
    pub duplicate: u64,
}

/// Lists refused messages, a line each.
///
/// # Errors
/// When the service is not there or refuses, or nobody takes the lines.
pub async fn list(filters: &Filters, service: &Service, out: &mut impl Write) -> Result<(), Error> {
    let mut pages = Pages::of(filters, connect(service).await?);
    while let Some(messages) = pages.next().await? {
        for message in &messages {
            writeln!(out, "{}", line(message))?;
        }
    }
    Ok(())
}

/// Sends messages through the intake again, or only lists which it would; a line for each.
///
/// Not cancel safe: messages whose answer was not awaited may have gone through.
///
/// # Errors
/// When the service is not there or refuses, or nobody takes the lines. What was told by then is
/// done.
pub async fn redrive(task: &Redrive, out: &mut impl Write) -> Result<Summary, Error> {
    let mut client = connect(&task.service).await?;
    let ids = match task.messages.as_slice() {
        [] => unsent(&task.filters, client.clone(), task.dry_run, out).await?,
        named => named.iter().map(ToString::to_string).collect(),
    };
    if task.dry_run {
        writeln!(out, "messages that would be sent through: {}; nothing was sent", ids.len())?;
        return Ok(Summary { sent: ids.len(), ..Summary::default() });
    }
    let bar = bar(ids.len());
    let mut summary = Summary::default();
    for chunk in ids.chunks(REDRIVEN_AT_ONCE) {
        let answer = repeat::until_answered(async |request_id| {
            let message_ids = chunk.to_vec();
            let request = v1::RedriveRejectedMessagesRequest { message_ids, request_id };
            client.redrive_rejected_messages(request).await
        })
        .await;
        let answer = answer.map_err(|status| refused("sending messages through", status))?;
        let answer = answer.into_inner();
        bar.suspend(|| tell(chunk, &answer, out))?;
        summary.add(chunk.len(), &answer);
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    writeln!(out, "{summary}")?;
    Ok(summary)
}

/// The ids of the messages that the filters leave over and that were not sent through, earliest
/// first, as they were received; listed, if that is all that is wanted.
async fn unsent(
    filters: &Filters,
    client: IngestServiceClient<Connection>,
    is_told: bool,
    out: &mut impl Write,
) -> Result<Vec<String>, Error> {
    let mut pages = Pages::of(filters, client);
    let mut ids = Vec::new();
    while let Some(messages) = pages.next().await? {
        for message in messages.into_iter().filter(|message| message.redriven_at.is_none()) {
            if is_told {
                writeln!(out, "{}", line(&message))?;
            }
            ids.push(message.message_id);
        }
    }
    ids.reverse();
    Ok(ids)
}

/// Drawn on stderr, and only on a terminal.
fn bar(messages: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} messages, {eta} left");
    ProgressBar::new(messages as u64)
        .with_style(style.expect("the template is fixed, and a test draws it"))
}

fn tell(
    ids: &[String],
    answer: &v1::RedriveRejectedMessagesResponse,
    out: &mut impl Write,
) -> io::Result<()> {
    for id in ids {
        if let Some(skipped) = answer.skipped.iter().find(|it| it.message_id == *id) {
            writeln!(out, "{id} skipped: {} ({})", skipped.detail, skipped.reason)?;
        } else if let Some(again) = answer.rejected.iter().find(|it| it.message_id == *id) {
            writeln!(out, "{id} refused again: {}", why(again))?;
        } else {
            writeln!(out, "{id} went through")?;
        }
    }
    Ok(())
}

impl Summary {
    fn add(&mut self, asked: usize, answer: &v1::RedriveRejectedMessagesResponse) {
        self.sent += asked - answer.skipped.len().min(asked);
        self.refused_again += answer.rejected.len();
        self.skipped += answer.skipped.len();
        self.accepted += u64::from(answer.accepted);
        self.duplicate += u64::from(answer.duplicate);
    }

    /// Whether every message went through with all its readings.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.refused_again == 0 && self.skipped == 0
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, refused_again, skipped, accepted, duplicate } = self;
        write!(
            f,
            "messages: {sent} sent through, {skipped} skipped, {refused_again} refused again at \
             least in part; readings: {accepted} admitted, {duplicate} admitted before"
        )
    }
}

/// A message on one line. Of the topic only printable characters: it may be any text.
fn line(message: &v1::RejectedMessage) -> String {
    let at = message.received_at.and_then(crate::grpc::timestamp);
    let at = at.map(|at| at.to_string()).unwrap_or_default();
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let topic: String = message.topic.chars().map(printable).collect();
    let sent = if message.redriven_at.is_some() { ", sent through again" } else { "" };
    format!("{at} {} {topic} {}{sent}", message.message_id, why(message))
}

/// Why a message was refused: as a whole, or by its readings, of which the first is told.
fn why(message: &v1::RejectedMessage) -> String {
    let of = |reason: i32, detail: &str| {
        let reason = RejectReason::ALL.into_iter().find(|it| i32::from(*it as u8) == reason);
        format!("{}: {detail}", reason.map_or("unknown reason", RejectReason::name))
    };
    match message.rejected.first() {
        None => of(message.reason, &message.detail),
        Some(first) => {
            let first = of(first.reason, &first.detail);
            format!("readings: {}, first {first}", message.rejected_total)
        }
    }
}

async fn connect(service: &Service) -> Result<IngestServiceClient<Connection>, Error> {
    Ok(IngestServiceClient::new(service.connect(CALL_TIMEOUT).await?))
}

fn refused(action: &'static str, status: Status) -> Error {
    Error::Refused { action, status: Box::new(status) }
}

/// All messages of a request, page by page.
struct Pages {
    client: IngestServiceClient<Connection>,
    /// What asks for the next page; `None` behind the last.
    request: Option<v1::ListRejectedMessagesRequest>,
}

impl Pages {
    fn of(filters: &Filters, client: IngestServiceClient<Connection>) -> Self {
        Self { client, request: Some(filters.request()) }
    }

    async fn next(&mut self) -> Result<Option<Vec<v1::RejectedMessage>>, Error> {
        let Some(request) = self.request.take() else { return Ok(None) };
        let page = self.client.list_rejected_messages(request.clone()).await;
        let page = page.map_err(|status| refused("listing messages", status))?.into_inner();
        if !page.next_page_token.is_empty() {
            let page_token = page.next_page_token;
            self.request = Some(v1::ListRejectedMessagesRequest { page_token, ..request });
        }
        Ok(Some(page.messages))
    }
}

#[cfg(test)]
mod tests;
