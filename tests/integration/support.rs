//! What every test here stands on: real servers that are its own, and waiting without sleeping.
//!
//! Each helper owns what it started and ends it when dropped, also when the test panics.

pub(crate) mod desk;
pub(crate) mod device;
pub(crate) mod house;
pub(crate) mod http;
pub(crate) mod journal;
pub(crate) mod live_ward;
pub(crate) mod mosquitto;
pub(crate) mod network;
#[path = "../support/page.rs"]
pub(crate) mod page;
pub(crate) mod port;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod publishing;
pub(crate) mod random;
pub(crate) mod recording;
pub(crate) mod service;
pub(crate) mod small_disk;
pub(crate) mod sql;
#[cfg(feature = "demo")]
pub(crate) mod terminal;
pub(crate) mod tokens;
pub(crate) mod wait;
pub(crate) mod watcher;

/// The value of an environment variable that `tests/run` sets.
pub(crate) fn from_tests_run(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run tests/run"))
}

/// Whether a test may mount a small disk of its own. Where the system lets no ordinary user do so,
/// `tests/run` has found and said it; a test that can't mount one without that fails.
pub(crate) fn disks_may_be_small() -> bool {
    let variable = "PULSEWARD_TEST_SMALL_DISK";
    let may_be = std::env::var_os(variable).is_none_or(|value| value != "no");
    if !may_be {
        eprintln!("not tested: {variable}=no");
    }
    may_be
}
