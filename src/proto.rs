//! The wire's messages and services: what is generated from `proto/pulseward/v1`.
//!
//! Lints are silenced here, once, for all generated code. Nothing but the edge (`grpc`, and the
//! decoding of payloads) uses these types; they are converted to the domain's as soon as they
//! arrive. The proto files are the reference: their comments give units, bounds and errors.

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

/// The compiled contract as a `google.protobuf.FileDescriptorSet`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pulseward.v1.binpb"));
