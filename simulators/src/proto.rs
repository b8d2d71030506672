//! The wire's messages and clients: what is generated from `proto/pulseward/v1`.
//!
//! Lints are silenced here, once, for all generated code. The simulators compile the contract
//! themselves and never link the service's code: what they check, they check from outside.

/// The contract's first version.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    rustdoc::all,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("pulseward.v1");
}
