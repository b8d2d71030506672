//! What must be stored and alerted, computed from what was sent by the plain reading of the
//! contract.
//!
//! This is the simulators' own reading of `docs/alarms.md` and `docs/mqtt.md`, written to be
//! checked by eye. **It shares no code with the service, and asks it nothing.**
//!
//! ```text
//! record ─▶ survey ─▶ ledger: decode ─▶ vital ─▶ numbers ─▶ whose ─▶ slots (what must be stored)
//!              │                                                     │
//!              ├─▶ outages                            alarms (track) ◀┤─▶ silence
//!              └─▶ what watchers were told               expected alerts
//! ```
//!
//! - [`survey`], [`outages`]: a record without its payloads, and when nothing could be reached
//! - [`ledger`]: which readings must be stored, whose they are, and which are refused, by reason
//! - [`decode`], [`vital`]: payloads as the contract reads them, and what a number is worth
//! - [`profile`]: the rules
//! - [`track`], [`alarms`]: the alerts of limit rules, live and retrospective
//! - [`silence`]: the alerts of silence rules
//! - [`steady`]: the same alarms for a ward that is never late
//!
//! **What it does not judge**, and says so: trends, baselines, scores, technical and asserted rules,
//! the service's own alerts, and answers of clinicians. **What nobody can know from outside**, such
//! as the moment at which the service received a message, makes a verdict "may" instead of "must".

pub mod alarms;
pub mod decode;
mod json;
pub mod ledger;
pub mod outages;
pub mod profile;
pub mod silence;
pub mod steady;
pub mod survey;
pub mod track;
pub mod vital;

pub use alarms::ExpectedAlert;
pub use ledger::Ledger;
