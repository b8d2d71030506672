//! A stand-in for the service, for tests: a registry in memory and alert streams told in advance.
//!
//! It keeps the contract's manners (codes, reasons, durable answers at once) and nothing else:
//! it judges no reading.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::TcpListener;
use tonic::codegen::BoxStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::proto::v1;
use crate::proto::v1::alert_service_server::{AlertService, AlertServiceServer};
use crate::proto::v1::ingest_service_server::{IngestService, IngestServiceServer};
use crate::proto::v1::profile_service_server::{ProfileService, ProfileServiceServer};
use crate::proto::v1::registry_service_server::{RegistryService, RegistryServiceServer};

type Answer<T> = Result<Response<T>, Status>;

/// What the service says on one stream, before it cuts it with the status.
pub(crate) type Told = (Vec<v1::WatchAlertsResponse>, Status);

/// What the service holds and has been asked.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sites: BTreeMap<String, v1::Site>,
    pub(crate) patients: BTreeMap<String, v1::Patient>,
    pub(crate) devices: BTreeMap<String, v1::Device>,
    pub(crate) bindings: BTreeMap<String, v1::Binding>,
    pub(crate) profiles: Vec<v1::PutProfileRequest>,
    /// Whether lookups are UNIMPLEMENTED, as in a service that only takes changes.
    pub(crate) has_no_lookups: bool,
    /// The streams to come; after the last, a stream stays silent.
    pub(crate) streams: VecDeque<Told>,
    pub(crate) resumed_after: Vec<String>,
    /// The answers to come about devices; after the last, nothing is known of any.
    pub(crate) reports: VecDeque<v1::DeviceReport>,
    /// The answers to come to replacements; after the last, they are made.
    pub(crate) replacement_failures: VecDeque<Status>,
    pub(crate) replaced: Vec<v1::ReplaceDeviceRequest>,
}

/// A fake service on a port of its own. It ends with the test's runtime.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// Serves; gives the address.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = Server::builder()
            .add_service(RegistryServiceServer::new(self.clone()))
            .add_service(ProfileServiceServer::new(self.clone()))
            .add_service(AlertServiceServer::new(self.clone()))
            .add_service(IngestServiceServer::new(self.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(server);
        format!("http://{address}")
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with it")
    }

    fn lookups(&self) -> Result<MutexGuard<'_, State>, Status> {
        let state = self.state();
        if state.has_no_lookups { Err(Status::unimplemented("not served")) } else { Ok(state) }
    }
}

/// Keeps `new` under `id`, unless something is there.
fn create<T: Clone>(rows: &mut BTreeMap<String, T>, id: String, new: T) -> Answer<T> {
    if rows.contains_key(&id) {
        return Err(Status::already_exists(format!("{id} exists already")));
    }
    rows.insert(id, new.clone());
    Ok(Response::new(new))
}

#[tonic::async_trait]
impl RegistryService for Fake {
    async fn create_site(&self, request: Request<v1::CreateSiteRequest>) -> Answer<v1::Site> {
        let v1::CreateSiteRequest { site_id, display_name, .. } = request.into_inner();
        let site = v1::Site { site_id: site_id.clone(), display_name, ..v1::Site::default() };
        create(&mut self.state().sites, site_id, site)
    }

    async fn create_patient(
        &self,
        request: Request<v1::CreatePatientRequest>,
    ) -> Answer<v1::Patient> {
        let v1::CreatePatientRequest { patient_id, site_id, .. } = request.into_inner();
        if !self.state().sites.contains_key(&site_id) {
            return Err(Status::not_found(format!("no site {site_id}")));
        }
        let id = patient_id.clone();
        let patient = v1::Patient { patient_id, site_id, ..v1::Patient::default() };
        create(&mut self.state().patients, id, patient)
    }

    async fn create_device(&self, request: Request<v1::CreateDeviceRequest>) -> Answer<v1::Device> {
        let v1::CreateDeviceRequest { device_id, site_id, .. } = request.into_inner();
        let id = device_id.clone();
        let device = v1::Device { device_id, site_id, ..v1::Device::default() };
        create(&mut self.state().devices, id, device)
    }

    async fn get_device(&self, request: Request<v1::GetDeviceRequest>) -> Answer<v1::Device> {
        let id = request.into_inner().device_id;
        let device = self.lookups()?.devices.get(&id).cloned();
        device.map(Response::new).ok_or_else(|| Status::not_found(id))
    }

    async fn bind_device(&self, request: Request<v1::BindDeviceRequest>) -> Answer<v1::Binding> {
        let v1::BindDeviceRequest { device_id, patient_id, from, schedule, .. } =
            request.into_inner();
        let id = device_id.clone();
        if self.state().bindings.contains_key(&id) {
            let details = ErrorDetails::with_error_info("DEVICE_BOUND", "pulseward", []);
            let text = format!("{id} is bound");
            return Err(Status::with_error_details(Code::FailedPrecondition, text, details));
        }
        let binding = v1::Binding { device_id, patient_id, from, schedule, until: None };
        create(&mut self.state().bindings, id, binding)
    }

    async fn replace_device(
        &self,
        request: Request<v1::ReplaceDeviceRequest>,
    ) -> Answer<v1::ReplaceDeviceResponse> {
        let request = request.into_inner();
        let mut state = self.state();
        if let Some(failure) = state.replacement_failures.pop_front() {
            return Err(failure);
        }
        let began = v1::Binding { from: request.at, ..v1::Binding::default() };
        state.replaced.push(request);
        let response = v1::ReplaceDeviceResponse { began: Some(began), ..Default::default() };
        Ok(Response::new(response))
    }

    async fn list_bindings(
        &self,
        request: Request<v1::ListBindingsRequest>,
    ) -> Answer<v1::ListBindingsResponse> {
        let Some(v1::list_bindings_request::Of::DeviceId(id)) = request.into_inner().of else {
            return Err(Status::unimplemented("only by device"));
        };
        let bindings = self.lookups()?.bindings.get(&id).cloned().into_iter().collect();
        Ok(Response::new(v1::ListBindingsResponse { bindings, ..Default::default() }))
    }
}

#[tonic::async_trait]
impl IngestService for Fake {
    async fn get_device_report(
        &self,
        request: Request<v1::GetDeviceReportRequest>,
    ) -> Answer<v1::DeviceReport> {
        let report = self.state().reports.pop_front();
        let report = report.ok_or_else(|| Status::not_found(request.into_inner().device_id));
        report.map(Response::new)
    }
}

#[tonic::async_trait]
impl ProfileService for Fake {
    async fn put_profile(
        &self,
        request: Request<v1::PutProfileRequest>,
    ) -> Answer<v1::ProfileVersion> {
        let request = request.into_inner();
        if request.profile.as_ref().is_none_or(|profile| profile.rules.is_empty()) {
            let field = ("profile.rules", "at least one");
            let details = ErrorDetails::with_bad_request_violation(field.0, field.1);
            let text = "1 violation";
            return Err(Status::with_error_details(Code::InvalidArgument, text, details));
        }
        self.state().profiles.push(request);
        Ok(Response::new(v1::ProfileVersion::default()))
    }
}

#[tonic::async_trait]
impl AlertService for Fake {
    async fn watch_alerts(
        &self,
        request: Request<v1::WatchAlertsRequest>,
    ) -> Answer<BoxStream<v1::WatchAlertsResponse>> {
        let mut state = self.state();
        state.resumed_after.push(request.into_inner().resume_after);
        let stream: BoxStream<v1::WatchAlertsResponse> = match state.streams.pop_front() {
            Some((told, end)) => {
                let told = told.into_iter().map(Ok).chain([Err(end)]);
                Box::pin(tokio_stream::iter(told.collect::<Vec<_>>()))
            }
            None => Box::pin(tokio_stream::pending()),
        };
        Ok(Response::new(stream))
    }
}
