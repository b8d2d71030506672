//! Health (`grpc.health.v1`) and reflection v1: what probes and tools ask.
//!
//! A service is SERVING if at least one of its calls is. What lies behind the door (the broker, the
//! database) is told by `/readyz`, not here: the calls that need it say so themselves.
//!
//! Health is open to everybody, because probes have no token, and tells no more than that there is a
//! service. Reflection, which tells of the whole contract, is for who is let in.

use tonic::server::NamedService;
use tonic_health::ServingStatus::{NotServing, Serving};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use super::{alerts, audit, ingest, profiles, registry, vitals};
use crate::proto;
use crate::proto::v1::alert_service_server::AlertServiceServer;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::ingest_service_server::IngestServiceServer;
use crate::proto::v1::profile_service_server::ProfileServiceServer;
use crate::proto::v1::registry_service_server::RegistryServiceServer;
use crate::proto::v1::vitals_service_server::VitalsServiceServer;

/// The whole server, in the health protocol's words.
const OVERALL: &str = "";
/// Every name that probes may ask for.
const NAMES: [&str; 7] = [
    OVERALL,
    AlertServiceServer::<alerts::Service>::NAME,
    AuditServiceServer::<audit::Service>::NAME,
    IngestServiceServer::<ingest::Service>::NAME,
    ProfileServiceServer::<profiles::Service>::NAME,
    RegistryServiceServer::<registry::Service>::NAME,
    VitalsServiceServer::<vitals::Service>::NAME,
];

/// What the health service tells.
pub(super) struct Health(HealthReporter);

impl Health {
    pub(super) fn new() -> Self {
        Self(HealthReporter::new())
    }

    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
    }

    pub(super) async fn serving(&self) {
        for name in NAMES {
            self.0.set_service_status(name, Serving).await;
        }
    }

    /// Tells watchers that nothing is served any more, and ends their streams, which would keep the
    /// server from draining.
    pub(super) async fn close(mut self) {
        for name in NAMES {
            self.0.set_service_status(name, NotServing).await;
            self.0.clear_service_status(name).await;
        }
    }
}

pub(super) fn reflection() -> ServerReflectionServer<impl ServerReflection> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptor sets were written by the compilers of these very services")
}
