//! Queries: what a caller may learn of the state as it stands now.
//!
//! Promises: a query changes nothing and is not journaled; like a command it is answered only once
//! everything that the answer is based on is durable, which is up to whoever asks the engine.
//! What lies outside the caller's sites is answered exactly like what does not exist.

mod bindings;
mod lists;
mod live;
mod lookups;
mod profiles;

pub use self::bindings::{Bindings, BindingsOf, BindingsQuestion};
pub use self::lists::{DevicesQuestion, Page, PatientsQuestion, SitesQuestion, WornBy};
pub use self::live::{LivePage, LiveQuestion, NewestReading};
pub use self::lookups::{Found, RegistryQuestion};
pub use self::profiles::{Effective, FoundProfile, ProfileQuestion, RuleInForce, no_profile};
use super::input::{Principal, Repeatable, Role};
use super::output::{Done, IntakeCounts, Refusal, Reply};
use super::registry;
use super::requests;
use super::state::State;
use super::status;
use crate::clock::Timestamp;
use crate::position::MessageId;
use crate::vitals::{DeviceEvent, DeviceId, SiteId};

/// Spans of missing numbers that a report lists at most.
pub const GAPS_LISTED_MAX: usize = 100;

/// Rows that are looked at for one page at most: where few of them are wanted, a page is short.
/// Other inputs wait for so long.
const ROWS_LOOKED_AT_MAX: usize = 5000;

/// What a caller asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Who asks, verified.
    pub principal: Principal,
    /// What.
    pub question: Question,
}

/// The questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What is known of a device's intake.
    DeviceReport(DeviceId),
    /// What the registry holds.
    Registry(RegistryQuestion),
    /// Whether a message was sent through before by the same request, and what that was answered.
    Redriven(Repeatable, MessageId),
    /// What is put of profiles.
    Profile(ProfileQuestion),
    /// What was measured last.
    Live(LiveQuestion),
}

/// What is known of a device's intake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceReport {
    /// The device.
    pub device: DeviceId,
    /// Where it belongs.
    pub site: SiteId,
    /// When anything was received from it last, if ever.
    pub last_seen_at: Option<Timestamp>,
    /// What it last said of itself, if it did.
    pub status: Option<DeviceStatus>,
    /// How far its clock is ahead of the service's, in milliseconds; negative if behind.
    pub clock_skew_ms: Option<i32>,
    /// The start it counts in now; 0 if it keeps no numbers.
    pub boot_id: u64,
    /// The highest number of that start that has come, if any has.
    pub highest_seq: Option<u64>,
    /// The latest spans below it that have not come, first and last number, ascending; at most
    /// [`GAPS_LISTED_MAX`].
    pub gaps: Vec<(u64, u64)>,
    /// Numbers below it that have not come.
    pub missing: u64,
    /// How much there was since it was enrolled.
    pub counts: IntakeCounts,
}

/// What a device last said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Whether it is connected.
    pub is_online: bool,
    /// The number of its start; 0 if it keeps none.
    pub boot_id: u64,
    /// Since when this is so.
    pub at: Timestamp,
    /// The gateway in front of it, as far as is known.
    pub gateway: Option<DeviceId>,
    /// Charge of its battery in percent, if it has one.
    pub battery_percent: Option<u8>,
    /// Whether its sensor is on the patient, if it can tell.
    pub is_attached: Option<bool>,
    /// Whether it reports that a sensor is broken.
    pub has_fault: bool,
    /// What it asserts of the patient, if anything.
    pub event: Option<DeviceEvent>,
    /// The version of its firmware; empty if it didn't say.
    pub firmware: String,
}

/// Answers a query, or says why not.
///
/// # Errors
/// [`Refusal`] if there is no such thing, or not for this caller.
pub fn answer(state: &State, query: &Query) -> Reply {
    match &query.question {
        Question::DeviceReport(device) => report(state, &query.principal, device)
            .map(|report| Done::DeviceReport(Box::new(report))),
        Question::Registry(question) => lookups::answer(state, &query.principal, question)
            .map(|found| Done::Found(Box::new(found))),
        Question::Redriven(request, message) => {
            requests::recall_part(state, &query.principal, request, *message)
                .map(|done| Done::Found(Box::new(Found::Redriven(done.map(Box::new)))))
        }
        Question::Profile(question) => profiles::answer(state, &query.principal, question)
            .map(|found| Done::Profile(Box::new(found))),
        Question::Live(question) => {
            live::answer(state, &query.principal, question).map(|page| Done::Live(Box::new(page)))
        }
    }
}

fn report(state: &State, caller: &Principal, device: &DeviceId) -> Result<DeviceReport, Refusal> {
    let roles = [Role::Viewer, Role::Clinician, Role::DeviceAdmin, Role::Admin];
    registry::allow(caller, "read device reports", &roles)?;
    let device = state.device(registry::find_device(state, caller, device)?);
    let standing = device.account.standing();
    let listed_from = standing.missing.len().saturating_sub(GAPS_LISTED_MAX);
    Ok(DeviceReport {
        device: device.row.id.clone(),
        site: state.site(device.row.site).row.id.clone(),
        last_seen_at: device.account.last_seen_at(),
        status: status::told(state, device),
        clock_skew_ms: device.account.clock_skew_ms(),
        boot_id: standing.boot_id,
        highest_seq: standing.highest,
        gaps: standing.missing[listed_from..].to_vec(),
        missing: standing.missing_count,
        counts: *device.account.counts(),
    })
}
