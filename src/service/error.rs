//! Why a service could not be built, or did not end well.

use crate::{grpc, http, journal, mqtt, partition, store};

/// What went wrong, by stage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal.
    #[error("the journal")]
    Journal(#[from] journal::Error),
    /// The engine and its journal.
    #[error("the partition")]
    Partition(#[from] partition::Error),
    /// The broker.
    #[error("the MQTT client")]
    Mqtt(#[from] mqtt::Error),
    /// The broker's address.
    #[error("[mqtt] url")]
    MqttAddress(#[from] mqtt::InvalidAddress),
    /// The name that the broker must have.
    #[error("[mqtt.tls] server_name, or the host in [mqtt] url, is no name of a machine")]
    MqttServerName,
    /// The certificates for the broker.
    #[error("[mqtt.tls]")]
    MqttTls(#[source] crate::tls::Error),
    /// The certificates for the database.
    #[error("[store.tls]")]
    StoreTls(#[source] crate::tls::Error),
    /// The certificates of the gRPC server.
    #[error("[grpc.tls]")]
    GrpcTls(#[source] crate::tls::Error),
    /// The certificate of the HTTP server.
    #[error("[http.tls]")]
    HttpTls(#[source] crate::tls::Error),
    /// The database.
    #[error("the store")]
    Store(#[from] store::Error),
    /// The database's URL.
    #[error("[store] url")]
    StoreUrl(#[from] store::UrlError),
    /// A password.
    #[error("a password file")]
    Secret(#[from] crate::config::SecretError),
    /// The secret of callers' tokens.
    #[error("[auth] hs256_secret_file")]
    TokenSecret(#[source] crate::config::SecretError),
    /// The gRPC server.
    #[error("the gRPC server")]
    Grpc(#[from] grpc::Error),
    /// The HTTP server.
    #[error("the HTTP server")]
    Http(#[from] http::Error),
    /// The system does not tell us when to end.
    #[error("can't listen for signals")]
    Signals(#[source] std::io::Error),
    /// Our own bug.
    #[error("{stage} panicked")]
    Panicked {
        /// Which stage.
        stage: &'static str,
    },
}

impl Error {
    /// Whether it only says that another stage has ended, whose own error may come later.
    pub(super) const fn is_consequence(&self) -> bool {
        matches!(self, Self::Mqtt(mqtt::Error::InboxClosed))
    }

    /// Its text with those of its causes.
    #[must_use]
    pub fn chain(&self) -> String {
        let first: &dyn std::error::Error = self;
        let causes = std::iter::successors(Some(first), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}
