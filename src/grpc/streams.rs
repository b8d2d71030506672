//! Streams on record: one event when a stream is opened, one when it has ended.
//!
//! Promises: the first is durable before the client gets anything; the second is told whatever ends
//! the stream, a client that just goes away included, for there is room kept for it from the
//! beginning. A stream is known by what its caller is known by, and [`responses`] end with it. A
//! stream that outlives the door's draining, or a crash, has no second one.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc::{self, OwnedPermit, error::TrySendError};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use tracing::warn;

use super::auth::{self, Expiry, OpenStream};
use super::calls::{Audited, Call, outcome_of};
use super::commands::{Commands, Desk};
use super::status;
use crate::engine::audit::{Access, Outcome};

/// Streams that are open at once, over all connections: each has room for its end. Beyond, another
/// is refused.
pub(super) const STREAMS_MAX: usize = 8192;
/// Ends that are put on record at once: they share commits of the journal.
const ENDS_AT_ONCE: usize = 256;

/// Opens streams.
#[derive(Clone)]
pub(super) struct Streams {
    desk: Desk,
    ends: mpsc::Sender<Access>,
    /// How many each caller has open.
    of_callers: auth::Streams,
}

/// Where the ends of streams are put on record.
pub(super) struct Ends {
    desk: Desk,
    ends: mpsc::Receiver<Access>,
}

/// The two ends of it: so many streams at once, and so many of each caller.
pub(super) fn channel(
    commands: Arc<dyn Commands>,
    streams_max: usize,
    of_callers: auth::Streams,
) -> (Streams, Ends) {
    let desk = Desk::new(commands);
    let (sender, receiver) = mpsc::channel(streams_max);
    (Streams { desk: desk.clone(), ends: sender, of_callers }, Ends { desk, ends: receiver })
}

impl Streams {
    /// Begins a stream and puts it on record, or the refusal of it.
    pub(super) async fn open<Q: Audited, S>(
        &self,
        request: Request<Q>,
        begin: impl FnOnce(&Call, Q) -> Result<S, Status>,
    ) -> Result<(S, Closing), Status> {
        self.open_after(request, async |call: &Call, request| begin(call, request)).await
    }

    /// The same of a stream for whose beginning others are asked. Cancel safe in that nothing is on
    /// record of a stream that never began.
    pub(super) async fn open_after<Q: Audited, S>(
        &self,
        request: Request<Q>,
        begin: impl AsyncFnOnce(&Call, Q) -> Result<S, Status>,
    ) -> Result<(S, Closing), Status> {
        let (call, request) = Call::receive(request)?;
        let begun = match call.check_role() {
            Ok(()) => begin(&call, request).await,
            Err(refused) => Err(refused),
        };
        let begun = begun.and_then(|stream| Ok((stream, self.reserve(&call)?)));
        match begun {
            Ok((stream, (permit, place))) => {
                // Before the beginning is on record: a client may be gone by then.
                let end = call.access(Outcome::Closed, String::new());
                let (end, expiry) = (Some((permit, end)), call.expiry());
                let mut closing = Closing { end, expiry, _place: place };
                match self.desk.record(call.access(Outcome::Opened, String::new())).await {
                    Ok(number) => closing.of(number),
                    Err(refused) => return Err(closing.never_opened(refused)),
                }
                Ok((stream, closing))
            }
            Err(refused) => {
                let (outcome, reason) = outcome_of(&refused);
                self.desk.record(call.access(outcome, reason)).await?;
                Err(refused)
            }
        }
    }

    /// Room for a stream's end, and the caller's place for it.
    fn reserve(&self, call: &Call) -> Result<(OwnedPermit<Access>, OpenStream), Status> {
        let place = self.of_callers.open(&call.principal.subject);
        let place = place.map_err(status::too_many_streams_of_caller)?;
        let permit = self.ends.clone().try_reserve_owned().map_err(|refused| match refused {
            TrySendError::Full(sender) => status::too_many_streams(sender.max_capacity()),
            TrySendError::Closed(_) => status::stopping(),
        })?;
        Ok((permit, place))
    }
}

/// What a stream's client is told, one response after the other.
pub(super) trait Feed: Send + 'static {
    type Response: Send;

    /// The next response. What ends the stream drops it.
    fn next(&mut self) -> impl Future<Output = Result<Self::Response, Status>> + Send;

    /// Where the client stands, if it can resume.
    fn last_cursor(&self) -> Option<String>;
}

pub(super) type Responses<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

/// The responses of an open stream, until the feed ends it, or what its caller is known by does. Its
/// last item says why.
pub(super) fn responses<F: Feed>(opened: (F, Closing)) -> Responses<F::Response> {
    // Handed on from response to response, so it is a pointer.
    let opened = Some(Box::new(opened));
    Box::pin(stream::unfold(opened, |open| async move {
        let mut open = open?;
        let (feed, closing) = &mut *open;
        let response = tokio::select! {
            response = feed.next() => response,
            () = closing.expired() => Err(status::token_expired(feed.last_cursor())),
        };
        if let Err(status) = &response {
            closing.because(status);
        }
        let rest = response.is_ok().then_some(open);
        Some((response, rest))
    }))
}

/// Tells of a stream's end when it is dropped.
pub(super) struct Closing {
    end: Option<(OwnedPermit<Access>, Access)>,
    expiry: Option<Expiry>,
    /// The caller may have another stream once this is dropped.
    _place: OpenStream,
}

impl Closing {
    /// Says by which event it was opened.
    fn of(&mut self, number: u64) {
        if let Some((_, end)) = &mut self.end {
            let text = &mut end.about.text;
            let separator = if text.is_empty() { "" } else { ", " };
            *text = format!("opened by event {number}{separator}{text}");
        }
    }

    /// What was never opened has no end.
    fn never_opened(mut self, refused: Status) -> Status {
        self.end = None;
        refused
    }

    /// Waits until what the caller is known by has ended, and the stream with it. Cancel safe.
    async fn expired(&self) {
        match &self.expiry {
            Some(expiry) => expiry.passed().await,
            None => std::future::pending().await,
        }
    }

    /// Says why the service ends the stream.
    fn because(&mut self, status: &Status) {
        if let Some((_, end)) = &mut self.end {
            end.reason = status::reason_of(status);
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some((permit, end)) = self.end.take() {
            drop(permit.send(end));
        }
    }
}

impl Ends {
    /// Puts ends on record until `stop`, and then those that have come by then; or until no stream
    /// can begin or end any more.
    pub(super) async fn run(self, stop: CancellationToken) {
        let Self { desk, mut ends } = self;
        stream::poll_fn(|context| ends.poll_recv(context))
            .take_until(stop.cancelled_owned())
            .for_each_concurrent(ENDS_AT_ONCE, |end| put_on_record(&desk, end))
            .await;
        stream::iter(std::iter::from_fn(|| ends.try_recv().ok()))
            .for_each_concurrent(ENDS_AT_ONCE, |end| put_on_record(&desk, end))
            .await;
    }
}

async fn put_on_record(desk: &Desk, end: Access) {
    if let Err(status) = desk.record(end).await {
        warn!(reason = status::reason_of(&status), "the end of a stream is not on record");
    }
}
