//! `docs/mqtt.md`, for makers of gateways: its examples run as printed, its tables say what the
//! code does, and each refusal is told as it says.
//!
//! What is run is what stands on the page, cut out of it, so that whoever copies it has what was
//! tried. The page is not only for Linux and not only for this test, so the examples take where the
//! broker is and who they are from the environment, as the page says.

mod bench;
mod blocks;
mod claims;
mod examples;
mod link;
mod refusals;
mod tables;
