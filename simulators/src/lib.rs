//! Simulated fleets and replays for Pulseward, through the same doors as real ones.

pub mod proto;
