//! The parts against real servers: a Mosquitto and a Postgres of their own, and the real binary.
//!
//! One test binary, so that it links once. Servers come from `tests/run`, which names them in
//! environment variables; a test that misses one says so. Each test takes its own broker, its own
//! database and its own directories, and may run beside any other.

mod audit;
mod backup;
mod clients;
mod command_line;
mod compose;
mod crash;
mod cuts;
mod dashboards;
mod deployment;
mod disk;
mod documents;
mod door;
mod drain;
mod enroll;
mod erase;
mod exactly_once;
mod gateway;
mod house;
mod image;
mod in_browser;
mod interruptions;
mod metrics;
mod mqtt;
mod poison;
mod postgres_away;
mod redrive;
mod refusals;
mod refused_rows;
mod requests;
mod restore;
mod security;
mod serve;
mod status;
mod store;
mod supervised;
mod support;
mod support_claims;
#[cfg(feature = "otlp")]
mod traces;
mod vitals;
mod ward_page;
mod watch;
#[cfg(feature = "demo")]
mod watch_screen;
