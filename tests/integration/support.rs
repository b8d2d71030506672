//! What every test here stands on: real servers that are its own, and waiting without sleeping.
//!
//! Each helper owns what it started and ends it when dropped, also when the test panics.

pub(crate) mod device;
pub(crate) mod house;
pub(crate) mod http;
pub(crate) mod journal;
pub(crate) mod live_ward;
pub(crate) mod mosquitto;
pub(crate) mod network;
pub(crate) mod port;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod publishing;
pub(crate) mod random;
pub(crate) mod recording;
pub(crate) mod service;
pub(crate) mod sql;
pub(crate) mod wait;
pub(crate) mod watcher;

/// The value of an environment variable that `tests/run` sets.
pub(crate) fn from_tests_run(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run tests/run"))
}
