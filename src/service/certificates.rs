//! The certificates of all doors, each with its keeper.

use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::{Error, settings};
use crate::clock::Clock;
use crate::config::Config;
use crate::readiness::Readiness;
use crate::tls::{self, Keeper, Load};
use crate::{grpc, mqtt, store};

/// What keeps them current, as far as there are any.
pub(super) struct Certificates {
    broker: Option<Keeper<tls::client::Files>>,
    database: Option<Keeper<tls::client::Files>>,
    callers: Option<Keeper<tls::server::Files>>,
    browsers: Option<Keeper<tls::server::Files>>,
}

impl Certificates {
    /// Reads them, and sets them in the settings of who uses them.
    pub(super) fn open(
        config: &Config,
        clock: &Arc<dyn Clock>,
        readiness: &Readiness,
        mqtt: &mut mqtt::Settings,
        grpc: &mut grpc::Settings,
    ) -> Result<Self, Error> {
        let mut certificates = Self { broker: None, database: None, callers: None, browsers: None };
        if let Some((files, server_name)) = settings::mqtt_tls(&config.mqtt)? {
            let part = readiness.register("mqtt certificates");
            let (keeper, files) =
                Keeper::open("mqtt", files, Arc::clone(clock), part).map_err(Error::MqttTls)?;
            mqtt.tls = Some(mqtt::Tls { files, server_name });
            certificates.broker = Some(keeper);
        }
        if let Some(files) = settings::grpc_tls(&config.grpc) {
            let part = readiness.register("grpc certificates");
            let (keeper, current) =
                Keeper::open("grpc", files, Arc::clone(clock), part).map_err(Error::GrpcTls)?;
            grpc.tls = Some(current);
            certificates.callers = Some(keeper);
        }
        Ok(certificates)
    }

    /// Reads those for Postgres, and sets them in its settings; nothing without TLS there.
    pub(super) fn open_store(
        &mut self,
        config: &Config,
        clock: &Arc<dyn Clock>,
        readiness: &Readiness,
        store: &mut store::Settings,
    ) -> Result<(), Error> {
        let Some(files) = settings::store_tls(&config.store, &store.url) else { return Ok(()) };
        let part = readiness.register("store certificates");
        let (keeper, current) =
            Keeper::open("store", files, Arc::clone(clock), part).map_err(Error::StoreTls)?;
        store.tls = Some(current);
        self.database = Some(keeper);
        Ok(())
    }

    /// Reads those of HTTP; `None` without TLS there.
    pub(super) fn open_http(
        &mut self,
        config: &Config,
        clock: &Arc<dyn Clock>,
        readiness: &Readiness,
    ) -> Result<Option<tls::Current<ServerConfig>>, Error> {
        let Some(files) = settings::http_tls(&config.http) else { return Ok(None) };
        let part = readiness.register("http certificates");
        let (keeper, current) =
            Keeper::open("http", files, Arc::clone(clock), part).map_err(Error::HttpTls)?;
        self.browsers = Some(keeper);
        Ok(Some(current))
    }

    /// Keeps them until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (broker, database) = (keep(self.broker, &stop), keep(self.database, &stop));
        let (callers, browsers) = (keep(self.callers, &stop), keep(self.browsers, &stop));
        tokio::join!(broker, database, callers, browsers, stop.cancelled());
    }
}

async fn keep<L: Load>(keeper: Option<Keeper<L>>, stop: &CancellationToken) {
    if let Some(keeper) = keeper {
        keeper.run(stop.clone()).await;
    }
}
