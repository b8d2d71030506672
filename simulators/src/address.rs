//! Where the service listens for gRPC, as people name it.

use tonic::transport::{Endpoint, Error};

/// A text that is no address.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} is no gRPC address; one is like http://127.0.0.1:50051")]
pub struct InvalidAddress {
    /// What was given.
    pub url: String,
    /// What is wrong with it.
    #[source]
    pub reason: Error,
}

/// The service at `url`, not connected yet.
///
/// # Errors
/// If `url` is no address.
pub fn endpoint(url: &str) -> Result<Endpoint, InvalidAddress> {
    let endpoint = Endpoint::from_shared(url.to_owned());
    endpoint.map_err(|reason| InvalidAddress { url: url.to_owned(), reason })
}
