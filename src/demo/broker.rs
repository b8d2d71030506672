//! The demo's broker: in this process, in memory, on a free port of the loopback interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use mqtt5::broker::config::{StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerConfig, BrokerShutdownHandle, MqttBroker};

/// The service asks for as much.
const SESSION_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);

/// A running broker.
pub(super) struct Embedded {
    url: String,
    shutdown: BrokerShutdownHandle,
    running: tokio::task::JoinHandle<mqtt5::error::Result<()>>,
}

impl Embedded {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let storage = StorageConfig::default().with_backend(StorageBackend::Memory);
        let config = BrokerConfig::default()
            .with_bind_address(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .with_session_expiry(SESSION_EXPIRY)
            .with_storage(storage);
        let mut broker =
            MqttBroker::with_config(config).await.context("starting the embedded broker")?;
        let address = broker.local_addr().context("the embedded broker has no address")?;
        let shutdown = broker.shutdown_handle();
        let mut ready = broker.ready_receiver();
        let running = tokio::spawn(async move { broker.run().await });
        ready.wait_for(|ready| *ready).await.context("the embedded broker did not start")?;
        Ok(Self { url: format!("mqtt://{address}"), shutdown, running })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.shutdown();
        self.running.await?.context("stopping the embedded broker")
    }
}
