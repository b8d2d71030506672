//! Payloads, good and bad, through the engine's own door: what devices mean arrives in either
//! encoding, and nothing that they send can break it.
//!
//! `properties` takes any message through protobuf and JSON and back. `fuzz` takes good payloads,
//! spoils them in ways that bytes are spoiled in, and looks at every answer. Both follow from
//! seeds. Without further ado the tests are small; the environment makes the fuzzing larger, or
//! runs one seed:
//!
//! | variable | meaning |
//! |---|---|
//! | `PULSEWARD_FUZZ_PAYLOADS` | so many payloads |
//! | `PULSEWARD_FUZZ_SEED` | from this seed |
//!
//! `PULSEWARD_FUZZ_PAYLOADS=1000000 cargo nextest run --release --test payloads fuzz` is the full
//! size. A failure says its seed and the payload in hexadecimal.

mod fuzz;
mod json;
mod messages;
mod properties;
#[expect(dead_code, reason = "the simulation draws more kinds of numbers than are needed here")]
#[path = "../simulation/random.rs"]
mod random;
mod spoil;

use bytes::Bytes;
use pulseward::engine::input::{Encoding, Publish};

/// A message of the device `wearable-1` at `north`.
fn publish(kind: &str, payload: impl Into<Bytes>, encoding: Option<Encoding>) -> Publish {
    Publish {
        topic: format!("pulseward/v1/north/wearable-1/{kind}"),
        payload: payload.into(),
        encoding,
        correlation: None,
        retained: false,
    }
}
