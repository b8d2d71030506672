//! Simulated fleets and replays for Pulseward.
//!
//! pulseward-sim stands where gateways and clinicians stand: it publishes over MQTT and enrols and
//! watches over gRPC. **It never links the service's code.** What it shares with the service is the
//! contract in `proto/`, so that what it checks is checked from outside.
//!
//! ```text
//!  recorded CSV ─ bidmc ─▶ replay ─┐                        ┌─▶ oracle (what must alert)
//!                                  ├─▶ encode ─▶ publish ─MQTT─▶ service
//!  seeded physiology ──▶ ward, fleet ┘                              │
//!        enroll ──gRPC──▶ service                 score ◀── watch ◀─gRPC
//! ```
//!
//! - [`sample`]: samples, batches, and the numbers that make a batch recognisable
//! - [`bidmc`], [`replay`]: recorded vitals, placed in time and sent at any speed
//! - [`ward`]: a small ward of seeded patients, some of whom deteriorate on schedule
//! - [`fleet`]: a fleet of any size with episodes and faults, and a record of all that went in and
//!   came out
//! - [`oracle`]: what must be stored and alerted for what was sent, by the plain reading of the contract
//! - [`encode`], [`publish`]: protobuf or JSON, QoS 1, sent once acknowledged
//! - [`record`]: what was sent and what a watcher was told, kept as it happened
//! - [`caller`]: who calls the service over gRPC
//! - [`enroll`]: sites, patients, devices, bindings and profiles, over gRPC
//! - [`watch`], [`score`]: the alert stream as a clinician sees it, held against the oracle
//! - [`verify`]: a recorded run held against what the service stored, raised and told
//! - [`mod@bench`]: how fast the whole service is, beside its surroundings without it
//!
//! **Invariants.** A reading counts as sent only once its PUBACK has come. A reading keeps its
//! number at every attempt and in every re-run of the same start. What is expected is computed
//! from what was sent, never from what was planned.

pub mod address;
pub mod bench;
pub mod bidmc;
pub mod caller;
mod clock;
mod convert;
pub mod encode;
pub mod enroll;
#[cfg(test)]
mod fake;
pub mod fleet;
pub mod oracle;
pub mod proto;
pub mod publish;
mod random;
pub mod record;
pub mod replay;
pub mod sample;
pub mod score;
pub mod verify;
pub mod ward;
pub mod watch;
