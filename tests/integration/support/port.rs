//! Ports for servers that can't be told "any free one".
//!
//! A port that is free now may be taken a moment later, so nothing here promises one: a server is
//! started on a candidate, and when it can't bind it, on the next.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

/// Above the well-known servers, below what systems hand out to outgoing connections.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// How many ports a server may find taken.
pub(crate) const ATTEMPTS_MAX: usize = 20;

/// A port that was free a moment ago, another one each time.
pub(crate) fn candidate() -> u16 {
    loop {
        let random = RandomState::new().hash_one(std::process::id());
        let port = RANGE.start + u16::try_from(random % RANGE.len() as u64).expect("below 12,000");
        if is_free(port) {
            return port;
        }
    }
}

/// Whether a server could bind this port now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
