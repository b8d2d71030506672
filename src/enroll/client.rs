//! The service as enrolling sees it: what it holds, and the few calls that change it.

use std::time::Duration;

use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use super::Error;
use super::plan::{Binding, Found};
use super::sheet::Entry;
use crate::clock::Timestamp;
use crate::engine::input::Schedule;
use crate::grpc;
use crate::grpc_client::{Connection, Service};
use crate::proto::v1;
use crate::proto::v1::list_bindings_request::Of;
use crate::proto::v1::registry_service_client::RegistryServiceClient;
use crate::repeat;
use crate::vitals::{SiteId, Vital};

/// A call that is answered only once it is durable may wait for a slow disk.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a call did not do what it was to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The service says no, and why.
    Refused(String),
    /// It is not there, or does not answer. A change may have been made.
    Gone(String),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let violations = status.get_details_bad_request().map(|request| request.field_violations);
        let fields = violations.into_iter().flatten();
        let fields: String =
            fields.map(|it| format!("; {}: {}", it.field, it.description)).collect();
        let told = format!("{} ({:?}){fields}", status.message(), status.code());
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
                Self::Gone(told)
            }
            _ => Self::Refused(told),
        }
    }
}

/// A connection to the registry. Clones share it.
#[derive(Clone)]
pub(super) struct Client {
    registry: RegistryServiceClient<Connection>,
}

impl Client {
    /// Connects to the service.
    pub(super) async fn connect(service: &Service) -> Result<Self, Error> {
        let connection = service.connect(CALL_TIMEOUT).await?;
        Ok(Self { registry: RegistryServiceClient::new(connection) })
    }

    /// Whether there is a site.
    pub(super) async fn has_site(&self, site: &SiteId) -> Result<bool, Failure> {
        let request = v1::GetSiteRequest { site_id: site.to_string() };
        let answer = self.registry.clone().get_site(request).await;
        Ok(if_there(answer)?.is_some())
    }

    /// Adds a site, which is shown by its id.
    pub(super) async fn create_site(&self, site: &SiteId, time_zone: &str) -> Result<(), Failure> {
        repeat::until_answered(async |request_id| {
            let request = v1::CreateSiteRequest {
                site_id: site.to_string(),
                display_name: site.to_string(),
                time_zone: time_zone.to_owned(),
                request_id,
            };
            self.registry.clone().create_site(request).await
        })
        .await?;
        Ok(())
    }

    /// What there is of an entry.
    pub(super) async fn find(&self, entry: &Entry) -> Result<Found, Failure> {
        let (patient_at, (device_at, binding)) =
            tokio::try_join!(self.patient_at(entry), self.device(entry))?;
        Ok(Found { patient_at, device_at, binding })
    }

    async fn patient_at(&self, entry: &Entry) -> Result<Option<String>, Failure> {
        let Some(patient) = &entry.patient else { return Ok(None) };
        let request = v1::GetPatientRequest { patient_id: patient.to_string() };
        let patient = if_there(self.registry.clone().get_patient(request).await)?;
        Ok(patient.map(|patient| patient.site_id))
    }

    /// The device's site and its latest binding.
    async fn device(&self, entry: &Entry) -> Result<(Option<String>, Option<Binding>), Failure> {
        let device_id = entry.device.to_string();
        let request = v1::GetDeviceRequest { device_id: device_id.clone() };
        let device = if_there(self.registry.clone().get_device(request).await)?;
        let Some(device) = device else { return Ok((None, None)) };
        let request = v1::ListBindingsRequest {
            of: Some(Of::DeviceId(device_id)),
            page_size: 1,
            ..v1::ListBindingsRequest::default()
        };
        let latest = if_there(self.registry.clone().list_bindings(request).await)?;
        let latest = latest.and_then(|bindings| bindings.bindings.into_iter().next());
        Ok((Some(device.site_id), latest.map(binding).transpose()?))
    }

    /// Adds an entry's patient.
    pub(super) async fn create_patient(&self, entry: &Entry) -> Result<(), Failure> {
        let Some(patient) = &entry.patient else { return Ok(()) };
        repeat::until_answered(async |request_id| {
            let request = v1::CreatePatientRequest {
                patient_id: patient.to_string(),
                site_id: entry.site.to_string(),
                request_id,
            };
            self.registry.clone().create_patient(request).await
        })
        .await?;
        Ok(())
    }

    /// Adds an entry's device.
    pub(super) async fn create_device(&self, entry: &Entry) -> Result<(), Failure> {
        repeat::until_answered(async |request_id| {
            let request = v1::CreateDeviceRequest {
                device_id: entry.device.to_string(),
                site_id: entry.site.to_string(),
                request_id,
            };
            self.registry.clone().create_device(request).await
        })
        .await?;
        Ok(())
    }

    /// Binds an entry's device to its patient; since when.
    pub(super) async fn bind(&self, entry: &Entry) -> Result<Option<Timestamp>, Failure> {
        let Some(patient) = &entry.patient else { return Ok(None) };
        let bound = repeat::until_answered(async |request_id| {
            let request = v1::BindDeviceRequest {
                device_id: entry.device.to_string(),
                patient_id: patient.to_string(),
                from: entry.from.map(grpc::wire_timestamp),
                schedule: Some(grpc::wire_schedule(&entry.schedule)),
                request_id,
            };
            self.registry.clone().bind_device(request).await
        })
        .await?
        .into_inner();
        Ok(bound.from.and_then(timestamp))
    }
}

/// What was asked for, if it exists.
fn if_there<T>(answer: Result<Response<T>, Status>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}

fn binding(wire: v1::Binding) -> Result<Binding, Failure> {
    let newer = || Failure::Refused("it answers what this version does not understand".to_owned());
    Ok(Binding {
        patient: wire.patient_id,
        from: wire.from.and_then(timestamp).ok_or_else(newer)?,
        until: wire.until.and_then(timestamp),
        schedule: wire.schedule.map_or(Some(Schedule::default()), schedule).ok_or_else(newer)?,
    })
}

fn schedule(wire: v1::Schedule) -> Option<Schedule> {
    let expected = |expected: v1::ExpectedInterval| {
        let vital = Vital::ALL.into_iter().find(|it| i32::from(it.number()) == expected.vital)?;
        Some((vital, Duration::try_from(expected.interval?).ok()?))
    };
    Some(Schedule {
        upload_interval: Duration::try_from(wire.upload_interval.unwrap_or_default()).ok()?,
        expected_intervals: wire
            .expected_intervals
            .into_iter()
            .map(expected)
            .collect::<Option<_>>()?,
    })
}

fn timestamp(wire: prost_types::Timestamp) -> Option<Timestamp> {
    let micros = wire.seconds.checked_mul(1_000_000)?.checked_add(i64::from(wire.nanos) / 1000)?;
    Timestamp::from_micros(micros)
}
