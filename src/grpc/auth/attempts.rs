//! Refused calls on record: who tried to come in, from where, and why not.
//!
//! Promises: a refused call is on record before its caller hears of it, as every call is; but a
//! flood of strangers does not fill the journal. Of each address so many are recorded one by one each
//! minute, and of all addresses together [`ADDRESSES_AT_ONCE`] times as many. Those beyond are
//! counted, and once a minute one event tells how many there were and where they came from; so that
//! nothing is left out in silence, and nobody can make more than that of it.
//!
//! What a stranger asked for is not read. An IPv6 address counts by its first half, because one
//! machine has as many of the rest as it likes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::warn;
use uuid::Uuid;

use super::bucket::{Bucket, Rate};
use crate::clock::{Clock, Timestamp};
use crate::engine::audit::{About, Access, Method, Origin, Outcome};
use crate::engine::input::Principal;
use crate::grpc::commands::Desk;
use crate::grpc::status::reason_of;
use crate::telemetry::names;

/// Addresses of which each is remembered by itself. A hospital has fewer that go wrong at once;
/// beyond, they are one another's.
const ADDRESSES_MAX: usize = 256;
/// Addresses that may have all their refusals recorded at once.
const ADDRESSES_AT_ONCE: u32 = 4;
/// How often those that were only counted are told.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// The reason of the event that tells of them.
const NOT_RECORDED: &str = "REFUSED_AND_COUNTED";

/// A call that was not let in.
pub(super) struct Attempt {
    /// Who called, where that is known.
    pub(super) principal: Option<Principal>,
    /// From where: address and port.
    pub(super) peer: String,
    /// The same, where it is an address.
    pub(super) address: Option<IpAddr>,
    /// What.
    pub(super) method: Method,
}

/// Puts refused calls on record. Clones share the record.
#[derive(Clone)]
pub(in crate::grpc) struct Attempts {
    desk: Desk,
    clock: Arc<dyn Clock>,
    rate: Rate,
    seen: Arc<Mutex<Seen>>,
}

/// What came lately.
struct Seen {
    all: (Rate, Bucket),
    /// `None` is every address that has no place of its own.
    addresses: HashMap<Option<IpAddr>, Address>,
}

struct Address {
    bucket: Bucket,
    /// How many were only counted since that was told.
    counted: u64,
    /// What was called last.
    method: Method,
}

impl Attempts {
    /// So many of each address one by one each minute.
    pub(in crate::grpc) fn new(desk: Desk, clock: Arc<dyn Clock>, per_minute: u32) -> Self {
        let minute = Duration::from_secs(60);
        let all_per_minute = per_minute.saturating_mul(ADDRESSES_AT_ONCE);
        let all = Rate::new(all_per_minute, minute, all_per_minute);
        let all = (all, Bucket::full(clock.now()));
        let seen = Seen { all, addresses: HashMap::new() };
        let rate = Rate::new(per_minute, minute, per_minute);
        Self { desk, clock, rate, seen: Arc::new(Mutex::new(seen)) }
    }

    /// Puts a refused call on record, or counts it; gives what its caller is told. Cancel safe.
    pub(super) async fn record(&self, attempt: Attempt, refused: Status) -> Status {
        let reason = reason_of(&refused);
        counter!(names::GRPC_REFUSED_TOTAL, "reason" => reason.clone()).increment(1);
        let is_recorded = self.seen().take(&attempt, self.rate, self.clock.now());
        if !is_recorded {
            counter!(names::GRPC_REFUSED_UNRECORDED_TOTAL).increment(1);
            return refused;
        }
        let (outcome, reason) = crate::grpc::calls::outcome_of(&refused);
        let Attempt { principal, peer, method, .. } = attempt;
        let about = About::default();
        let access = Access { principal, origin: origin(peer), method, about, outcome, reason };
        match self.desk.record(access).await {
            Ok(_) => refused,
            Err(not_recorded) => not_recorded,
        }
    }

    /// Tells of those that were counted, again and again until `stop`, and then once more.
    pub(in crate::grpc) async fn run(self, stop: CancellationToken) {
        loop {
            let stopped = tokio::time::timeout(TELL_EVERY, stop.cancelled()).await.is_ok();
            self.tell().await;
            if stopped {
                return;
            }
        }
    }

    async fn tell(&self) {
        let told = self.seen().told(self.clock.now());
        let Some(access) = told else { return };
        let text = access.about.text.clone();
        match self.desk.record(access).await {
            Ok(_) => warn!(calls = text, "refused calls were counted and not recorded one by one"),
            Err(status) => {
                let reason = reason_of(&status);
                warn!(calls = text, reason, "refused calls that were counted are not on record");
            }
        }
    }

    /// What is held is whole at every moment, so that a panic elsewhere spoils nothing.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Whether a call is recorded by itself; counts it if not.
    fn take(&mut self, attempt: &Attempt, rate: Rate, now: Timestamp) -> bool {
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.retain(|_, it| it.counted > 0 || !it.bucket.is_full(now));
        }
        let mut key = attempt.address.map(counting);
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&key) {
            key = None;
        }
        let method = attempt.method;
        let new = Address { bucket: Bucket::full(now), counted: 0, method };
        let address = self.addresses.entry(key).or_insert(new);
        let (all_rate, all) = &mut self.all;
        let is_recorded =
            address.bucket.take(rate, now).is_ok() && all.take(*all_rate, now).is_ok();
        if !is_recorded {
            address.counted += 1;
            address.method = method;
        }
        is_recorded
    }

    /// What tells of those that were counted, if any were; and counts from 0 again.
    fn told(&mut self, now: Timestamp) -> Option<Access> {
        let mut counted: Vec<_> = self.addresses.iter().filter(|(_, it)| it.counted > 0).collect();
        // Those that tried most come first, because a text is cut.
        counted.sort_by_key(|(key, it)| (std::cmp::Reverse(it.counted), **key));
        let (_, first) = counted.first()?;
        let method = first.method;
        let peer = match counted.as_slice() {
            [(Some(only), _)] => only.to_string(),
            _ => String::new(),
        };
        let about = About { text: text(&counted), ..About::default() };
        for address in self.addresses.values_mut() {
            address.counted = 0;
        }
        self.addresses.retain(|_, it| !it.bucket.is_full(now));
        let (origin, reason) = (origin(peer), NOT_RECORDED.to_owned());
        let outcome = Outcome::Denied;
        Some(Access { principal: None, origin, method, about, outcome, reason })
    }
}

fn text(counted: &[(&Option<IpAddr>, &Address)]) -> String {
    let all = counted.iter().fold(0_u64, |all, (_, it)| all.saturating_add(it.counted));
    let mut text = format!("{all} refused calls, of any kind, not recorded one by one:");
    for (index, (key, address)) in counted.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let from = key.map_or_else(|| "other addresses".to_owned(), |key| key.to_string());
        write!(text, "{comma} {} from {from}", address.counted)
            .expect("a text takes what is written to it");
    }
    text
}

fn origin(peer: String) -> Origin {
    Origin { peer, salt: Uuid::new_v4().into_bytes() }
}

/// What of an address counts.
fn counting(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}
