//! Who may be here: connections that wait, and requests under way, each kind with its own bound.
//!
//! A connection *waits* until the head of its first request is read, and between its requests. One
//! that waits is worth nothing, so that it has a deadline, and of more than [`WAITING_MAX`] the one
//! that waits longest is dropped for the newest. What holds a place is a request: one about health
//! holds one of [`HEALTH_MAX`], a call of the ward page one of [`CALLS_MAX`], and neither kind
//! takes the other's. So a thousand screens, or a flood of connections that say nothing, keep no
//! supervisor from asking how we are.
//!
//! A file of the page needs no place: it lies in memory, and its connection goes on waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::telemetry::names;

/// Connections without a request under way. Each takes some 20 KiB, over TLS 60 KiB.
pub(super) const WAITING_MAX: usize = 512;
/// A supervisor and a few scrapers need a handful.
pub(super) const HEALTH_MAX: usize = 64;
/// One of them asks one thing after the other. So one connection cannot take all places.
pub(super) const HEALTH_PER_CONNECTION_MAX: usize = 4;
/// A thousand screens with two streams each, and as many calls again. Each caller is bounded beside
/// this, by what the port of gRPC bounds them by.
pub(super) const CALLS_MAX: usize = 4096;

/// The head of a first request comes with the connection; on a bad radio link, seconds later.
pub(super) const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Health is asked and told in milliseconds.
pub(super) const HEALTH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is kept between two requests; also, how long a file may take. A file of
/// 200 KiB is through in it at 30 kbit/s.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a request asks about, as far as it holds a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Health and metrics.
    Health,
    /// A call of the ward page.
    Call,
}

/// All places of a server.
pub(super) struct Places {
    waiting: Mutex<Waiting>,
    waiting_max: usize,
    health: Arc<Semaphore>,
    health_timeout: Duration,
    calls: Arc<Semaphore>,
}

/// Who waits. The one who waits longest has the lowest number.
#[derive(Default)]
struct Waiting {
    leave: BTreeMap<u64, CancellationToken>,
    last: u64,
}

impl Places {
    pub(super) fn new() -> Self {
        Self::of(WAITING_MAX, HEALTH_MAX, CALLS_MAX)
    }

    fn of(waiting_max: usize, health_max: usize, calls_max: usize) -> Self {
        let [health, calls] = [health_max, calls_max].map(|most| Arc::new(Semaphore::new(most)));
        let health_timeout = HEALTH_TIMEOUT;
        Self { waiting: Mutex::default(), waiting_max, health, health_timeout, calls }
    }

    /// Has one more wait, and whoever waits longest leave, if need be.
    fn enter(&self, leave: CancellationToken) -> u64 {
        let mut waiting = lock(&self.waiting);
        if waiting.leave.len() >= self.waiting_max
            && let Some((_, oldest)) = waiting.leave.pop_first()
        {
            oldest.cancel();
            crowded_out("connections");
        }
        waiting.last += 1;
        let number = waiting.last;
        waiting.leave.insert(number, leave);
        number
    }

    fn exit(&self, number: u64) {
        lock(&self.waiting).leave.remove(&number);
    }

    fn take(&self, kind: Kind) -> Option<OwnedSemaphorePermit> {
        let (of, places) = match kind {
            Kind::Health => ("health", &self.health),
            Kind::Call => ("calls", &self.calls),
        };
        let taken = Arc::clone(places).try_acquire_owned().ok();
        if taken.is_none() {
            crowded_out(of);
        }
        taken
    }
}

fn crowded_out(of: &'static str) {
    counter!(names::HTTP_CROWDED_OUT_TOTAL, "of" => of).increment(1);
}

impl Standing {
    const fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Health => &mut self.health,
            Kind::Call => &mut self.calls,
        }
    }

    const fn is_idle(&self) -> bool {
        self.health == 0 && self.calls == 0
    }
}

/// A connection, as the places know it.
pub(super) struct Guest {
    places: Arc<Places>,
    /// Cancelled when it has to make room.
    leave: CancellationToken,
    standing: Mutex<Standing>,
    /// When it is over; `None` while a call of the page is under way.
    until: watch::Sender<Option<Instant>>,
}

#[derive(Default)]
struct Standing {
    health: usize,
    calls: usize,
    /// By which number it waits, if it does.
    number: Option<u64>,
}

impl Guest {
    /// A new connection, which waits.
    pub(super) fn new(places: &Arc<Places>) -> Arc<Self> {
        let guest = Self {
            places: Arc::clone(places),
            leave: CancellationToken::new(),
            standing: Mutex::default(),
            until: watch::Sender::new(None),
        };
        guest.wait(&mut lock(&guest.standing), FIRST_REQUEST_TIMEOUT);
        Arc::new(guest)
    }

    /// Begins a request of this kind; `None` if there are too many of the kind under way. Must be
    /// called within a Tokio runtime.
    pub(super) fn begin(self: &Arc<Self>, kind: Kind) -> Option<UnderWay> {
        let mut standing = lock(&self.standing);
        if kind == Kind::Health && standing.health == HEALTH_PER_CONNECTION_MAX {
            crowded_out("health");
            return None;
        }
        let place = self.places.take(kind)?;
        let place = match kind {
            Kind::Health => Place::for_a_while(place, self.places.health_timeout),
            Kind::Call => Place::AsLongAsItTakes { _permit: place },
        };
        *standing.of(kind) += 1;
        self.stop_waiting(&mut standing);
        self.set_time(&standing, kind);
        Some(UnderWay { guest: Arc::clone(self), kind, _place: place })
    }

    /// A call may take for ever. Health has its time from the first that was asked, however much is
    /// asked after it.
    fn set_time(&self, standing: &Standing, begun: Kind) {
        self.until.send_modify(|until| match (begun, standing.calls, standing.health) {
            (Kind::Health, 0, 2..) => {}
            (_, 0, _) => *until = Some(Instant::now() + self.places.health_timeout),
            _ => *until = None,
        });
    }

    /// It asked for something that needs no place: its waiting begins anew.
    pub(super) fn ask(&self) {
        let mut standing = lock(&self.standing);
        if standing.is_idle() {
            self.stop_waiting(&mut standing);
            self.wait(&mut standing, IDLE_TIMEOUT);
        }
    }

    fn end(&self, kind: Kind) {
        let mut standing = lock(&self.standing);
        *standing.of(kind) -= 1;
        if standing.is_idle() {
            self.wait(&mut standing, IDLE_TIMEOUT);
        } else if kind == Kind::Call {
            self.set_time(&standing, kind);
        }
    }

    fn wait(&self, standing: &mut Standing, span: Duration) {
        standing.number = Some(self.places.enter(self.leave.clone()));
        self.until.send_replace(Some(Instant::now() + span));
    }

    fn stop_waiting(&self, standing: &mut Standing) {
        if let Some(number) = standing.number.take() {
            self.places.exit(number);
        }
    }

    /// Whether nothing is under way.
    pub(super) fn waits(&self) -> bool {
        lock(&self.standing).is_idle()
    }

    /// Returns once its time is over. Cancel safe.
    pub(super) async fn over(&self) {
        let mut until = self.until.subscribe();
        loop {
            let at = *until.borrow_and_update();
            tokio::select! {
                () = passed(at) => return,
                // The sender is ours, and lives as long as we do.
                _ = until.changed() => {}
            }
        }
    }

    /// Returns once it has to make room for others. Cancel safe.
    pub(super) async fn crowded_out(&self) {
        self.leave.cancelled().await;
    }
}

async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.stop_waiting(&mut lock(&self.standing));
    }
}

/// A request under way, until this is dropped.
pub(super) struct UnderWay {
    guest: Arc<Guest>,
    kind: Kind,
    _place: Place,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.guest.end(self.kind);
    }
}

/// A place that is held.
enum Place {
    /// By what may take for ever.
    AsLongAsItTakes {
        _permit: OwnedSemaphorePermit,
    },
    ForAWhile {
        _held: ForAWhile,
    },
}

/// A place that is given up when its time is over, also where nobody takes the answer: with HTTP/2 a
/// peer may leave an answer with us while its connection lives.
struct ForAWhile {
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    _done: DropGuard,
}

impl Place {
    fn for_a_while(permit: OwnedSemaphorePermit, span: Duration) -> Self {
        let (permit, done) = (Arc::new(Mutex::new(Some(permit))), CancellationToken::new());
        let (held, is_done) = (Arc::clone(&permit), done.clone());
        tokio::spawn(async move {
            if timeout(span, is_done.cancelled()).await.is_err() {
                lock(&held).take();
            }
        });
        Self::ForAWhile { _held: ForAWhile { permit, _done: done.drop_guard() } }
    }
}

impl Drop for ForAWhile {
    fn drop(&mut self) {
        lock(&self.permit).take();
    }
}

/// What is held is whole at every moment, so that a panic elsewhere spoils nothing.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn places(waiting_max: usize) -> Arc<Places> {
        Arc::new(Places::of(waiting_max, 1, 2))
    }

    fn must_leave(guest: &Guest) -> bool {
        guest.crowded_out().now_or_never().is_some()
    }

    #[tokio::test]
    async fn who_waits_longest_makes_room_for_the_newest() {
        let places = places(2);
        let guests = [(); 3].map(|()| Guest::new(&places));
        assert_eq!(guests.each_ref().map(|guest| must_leave(guest)), [true, false, false]);
        drop(guests);
        assert!(lock(&places.waiting).leave.is_empty(), "who is gone is forgotten");
    }

    #[tokio::test]
    async fn who_has_a_request_under_way_is_not_sent_away_and_waits_anew_after_it() {
        let places = places(2);
        let (screen, waits) = (Guest::new(&places), Guest::new(&places));
        let stream = screen.begin(Kind::Call).expect("a place");
        let later = Guest::new(&places);
        assert!(!must_leave(&screen) && !must_leave(&waits));
        drop(stream);
        assert!(must_leave(&waits), "it waits longer than the screen");
        later.ask();
        let _last = Guest::new(&places);
        assert!(must_leave(&screen) && !must_leave(&later));
    }

    #[tokio::test]
    async fn calls_take_no_place_of_health() {
        let places = places(8);
        let guest = Guest::new(&places);
        let calls = [(); 3].map(|()| guest.begin(Kind::Call));
        assert_eq!(calls.each_ref().map(Option::is_some), [true, true, false]);
        let health = guest.begin(Kind::Health);
        assert!(health.is_some() && guest.begin(Kind::Health).is_none());
        drop(calls);
        assert!(guest.begin(Kind::Call).is_some());
    }

    /// How long a guest has from now on; `None` for ever.
    fn has(guest: &Guest) -> Option<Duration> {
        guest.until.borrow().map(|at| at.duration_since(Instant::now()))
    }

    #[tokio::test]
    async fn each_kind_has_its_time() {
        let (places, second) = (places(8), Duration::from_secs(1));
        let about = |span: Option<Duration>, most: Duration| {
            assert!(span.is_some_and(|span| span > most - second && span <= most), "{span:?}");
        };
        let guest = Guest::new(&places);
        about(has(&guest), FIRST_REQUEST_TIMEOUT);
        let call = guest.begin(Kind::Call);
        assert_eq!(has(&guest), None, "a stream may live for days");
        let health = guest.begin(Kind::Health);
        assert_eq!(has(&guest), None, "nor is it ended by what is asked beside it");
        drop((call, health));
        about(has(&guest), IDLE_TIMEOUT);
        guest.ask();
        about(has(&guest), IDLE_TIMEOUT);
        let _health = guest.begin(Kind::Health);
        about(has(&guest), HEALTH_TIMEOUT);
    }

    #[tokio::test]
    async fn answers_about_health_that_nobody_takes_keep_no_place_and_no_connection() {
        let health_timeout = Duration::from_millis(20);
        let places = Places { health_timeout, ..Places::of(8, HEALTH_PER_CONNECTION_MAX, 1) };
        let places = Arc::new(places);
        let (hoarder, other) = (Guest::new(&places), Guest::new(&places));
        let hoarded = [(); HEALTH_PER_CONNECTION_MAX].map(|()| hoarder.begin(Kind::Health));
        assert!(hoarded.iter().all(Option::is_some) && other.begin(Kind::Health).is_none());
        hoarder.over().await;
        // A stream beside them keeps the connection, and no place of health.
        let stream = hoarder.begin(Kind::Call);
        let free = places.health.acquire().await;
        assert!(stream.is_some() && free.is_ok());
    }

    #[tokio::test]
    async fn one_connection_does_not_take_all_places_of_health() {
        let places = Arc::new(Places::of(8, HEALTH_PER_CONNECTION_MAX + 1, 1));
        let (hoarder, other) = (Guest::new(&places), Guest::new(&places));
        let hoarded: Vec<_> =
            (0..=HEALTH_PER_CONNECTION_MAX).filter_map(|_| hoarder.begin(Kind::Health)).collect();
        assert_eq!(hoarded.len(), HEALTH_PER_CONNECTION_MAX);
        assert!(other.begin(Kind::Health).is_some());
    }

    #[tokio::test]
    async fn what_begins_in_time_is_not_over() {
        let guest = Guest::new(&places(8));
        let over = || guest.over().now_or_never().is_some();
        guest.until.send_replace(Some(Instant::now()));
        guest.over().await;
        let mut waiting = std::pin::pin!(guest.over());
        let call = guest.begin(Kind::Call);
        assert!(waiting.as_mut().now_or_never().is_none() && !over());
        drop(call);
        assert!(!over(), "it waits anew");
        guest.until.send_replace(Some(Instant::now()));
        waiting.await;
    }
}
