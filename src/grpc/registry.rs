//! `RegistryService`: who and what there is. All of it is the engine's to tell, but how far an
//! erasure is, which is the store's.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::calls::Call;
use super::commands::{Commands, Desk, unexpected};
use super::convert::{Change, erasures, lists, lookups, registry as convert};
use super::status;
use crate::engine::input::Role;
use crate::engine::output::{Done, Refusal, RegistryChange};
use crate::engine::query::{Found, Question, RegistryQuestion};
use crate::proto::v1;
use crate::proto::v1::registry_service_server::RegistryService;
use crate::store::History;
use crate::vitals::PatientKey;

/// Answers calls about the registry.
pub(super) struct Service {
    desk: Desk,
    history: Arc<dyn History>,
}

impl Service {
    pub(super) fn new(commands: Arc<dyn Commands>, history: Arc<dyn History>) -> Self {
        Self { desk: Desk::new(commands), history }
    }

    async fn find(&self, call: &Call, question: RegistryQuestion) -> Result<Found, Status> {
        match self.desk.look_up(call, Question::Registry(question)).await? {
            Done::Found(found) => Ok(*found),
            _ => Err(unexpected("row of the registry")),
        }
    }
}

#[tonic::async_trait]
impl RegistryService for Service {
    async fn create_site(
        &self,
        request: Request<v1::CreateSiteRequest>,
    ) -> Result<Response<v1::Site>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::create_site(&request), &request.request_id)
                    .map_err(status::invalid)?;
                let done = self.desk.carry_out(call, change).await?;
                match done {
                    Done::Registry { change: RegistryChange::Site(row), .. } => {
                        Ok(convert::site(row))
                    }
                    _ => Err(unexpected("site")),
                }
            })
            .await
    }

    async fn get_site(
        &self,
        request: Request<v1::GetSiteRequest>,
    ) -> Result<Response<v1::Site>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let question = lookups::get_site(&request).map_err(status::invalid)?;
                match self.find(call, question).await? {
                    Found::Site(row) => Ok(convert::site(row)),
                    _ => Err(unexpected("site")),
                }
            })
            .await
    }

    async fn get_patient(
        &self,
        request: Request<v1::GetPatientRequest>,
    ) -> Result<Response<v1::Patient>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let question = lookups::get_patient(&request).map_err(status::invalid)?;
                match self.find(call, question).await? {
                    Found::Patient(row, site) => Ok(convert::patient(&row, site.to_string())),
                    _ => Err(unexpected("patient")),
                }
            })
            .await
    }

    async fn get_device(
        &self,
        request: Request<v1::GetDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let question = lookups::get_device(&request).map_err(status::invalid)?;
                match self.find(call, question).await? {
                    Found::Device(row, site) => Ok(convert::device(&row, site.to_string())),
                    _ => Err(unexpected("device")),
                }
            })
            .await
    }

    async fn list_sites(
        &self,
        request: Request<v1::ListSitesRequest>,
    ) -> Result<Response<v1::ListSitesResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let asked = lists::sites(&request, &call.principal.sites);
                let (question, listing) = asked.map_err(status::invalid)?;
                match self.find(call, question).await? {
                    Found::Sites(page) => Ok(lists::site_page(page, listing)),
                    _ => Err(unexpected("sites")),
                }
            })
            .await
    }

    async fn list_patients(
        &self,
        request: Request<v1::ListPatientsRequest>,
    ) -> Result<Response<v1::ListPatientsResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let asked = lists::patients(&request, &call.principal.sites);
                let (question, listing) = asked.map_err(status::invalid)?;
                match self.find(call, question).await? {
                    Found::Patients(page) => {
                        call.told_of(page.rows.iter().map(|(row, _)| &row.id));
                        Ok(lists::patient_page(&page, listing))
                    }
                    _ => Err(unexpected("patients")),
                }
            })
            .await
    }

    async fn list_devices(
        &self,
        request: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let asked = lists::devices(&request, &call.principal.sites);
                let (question, listing) = asked.map_err(status::invalid)?;
                match self.find(call, question).await? {
                    Found::Devices(page) => Ok(lists::device_page(&page, listing)),
                    _ => Err(unexpected("devices")),
                }
            })
            .await
    }

    async fn list_bindings(
        &self,
        request: Request<v1::ListBindingsRequest>,
    ) -> Result<Response<v1::ListBindingsResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let asked = lists::bindings(&request, &call.principal.sites);
                let (question, listing) = asked.map_err(status::invalid)?;
                match self.find(call, question).await? {
                    Found::Bindings(found) => {
                        call.told_of(found.bindings.iter().map(|(_, _, patient)| patient));
                        Ok(lists::binding_page(&found, listing))
                    }
                    _ => Err(unexpected("bindings")),
                }
            })
            .await
    }

    async fn create_patient(
        &self,
        request: Request<v1::CreatePatientRequest>,
    ) -> Result<Response<v1::Patient>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::create_patient(&request), &request.request_id)
                    .map_err(status::invalid)?;
                let done = self.desk.carry_out(call, change).await?;
                patient(&done)
            })
            .await
    }

    async fn update_patient(
        &self,
        request: Request<v1::UpdatePatientRequest>,
    ) -> Result<Response<v1::Patient>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::update_patient(&request), &request.request_id)
                    .map_err(status::invalid)?;
                let done = self.desk.carry_out(call, change).await?;
                patient(&done)
            })
            .await
    }

    async fn transfer_patient(
        &self,
        request: Request<v1::TransferPatientRequest>,
    ) -> Result<Response<v1::Patient>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::transfer_patient(&request), &request.request_id)
                    .map_err(status::invalid)?;
                let done = self.desk.carry_out(call, change).await?;
                patient(&done)
            })
            .await
    }

    async fn pause_patient(
        &self,
        request: Request<v1::PausePatientRequest>,
    ) -> Result<Response<v1::Patient>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::pause_patient(&request), &request.request_id)
                    .map_err(status::invalid)?;
                let done = self.desk.carry_out(call, change).await?;
                patient(&done)
            })
            .await
    }

    async fn create_device(
        &self,
        request: Request<v1::CreateDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::create_device(&request), &request.request_id)
                    .map_err(status::invalid)?;
                let done = self.desk.carry_out(call, change).await?;
                match &done {
                    Done::Registry { change: RegistryChange::Device(row), .. } => {
                        Ok(convert::device(row, request.site_id))
                    }
                    _ => Err(unexpected("device")),
                }
            })
            .await
    }

    async fn bind_device(
        &self,
        request: Request<v1::BindDeviceRequest>,
    ) -> Result<Response<v1::Binding>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::bind_device(&request), &request.request_id)
                    .map_err(status::invalid)?;
                let done = self.desk.carry_out(call, change).await?;
                binding(&done, request.device_id)
            })
            .await
    }

    async fn unbind_device(
        &self,
        request: Request<v1::UnbindDeviceRequest>,
    ) -> Result<Response<v1::Binding>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::unbind_device(&request), &request.request_id)
                    .map_err(status::invalid)?;
                let done = self.desk.carry_out(call, change).await?;
                binding(&done, request.device_id)
            })
            .await
    }

    async fn replace_device(
        &self,
        request: Request<v1::ReplaceDeviceRequest>,
    ) -> Result<Response<v1::ReplaceDeviceResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::replace_device(&request), &request.request_id)
                    .map_err(status::invalid)?;
                match self.desk.carry_out(call, change).await? {
                    Done::Replaced { ended, began, patient } => {
                        let (device, new_device) = (request.device_id, request.new_device_id);
                        Ok(v1::ReplaceDeviceResponse {
                            ended: Some(convert::binding(&ended, device, &patient)),
                            began: Some(convert::binding(&began, new_device, &patient)),
                        })
                    }
                    _ => Err(unexpected("replacement")),
                }
            })
            .await
    }

    async fn erase_patient(
        &self,
        request: Request<v1::ErasePatientRequest>,
    ) -> Result<Response<v1::Erasure>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(erasures::erase_patient(&request), &request.request_id)
                    .map_err(status::invalid)?;
                match self.desk.carry_out(call, change).await? {
                    Done::Erased(erased) => Ok(erasures::begun(&erased)),
                    _ => Err(unexpected("erasure")),
                }
            })
            .await
    }

    async fn get_erasure(
        &self,
        request: Request<v1::GetErasureRequest>,
    ) -> Result<Response<v1::Erasure>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let (role, action) = (call.principal.role, "look at erasures");
                if !matches!(role, Role::Admin | Role::Auditor) {
                    return Err(status::refused(Refusal::PermissionDenied { role, action }));
                }
                let (number, sites) = (request.patient_number, call.principal.sites.clone());
                let erasure = self.history.erasure(PatientKey(number), sites).await;
                let missing = |error| status::no_history(error, &number.to_string());
                Ok(erasures::stored(erasure.map_err(missing)?))
            })
            .await
    }
}

fn patient(done: &Done) -> Result<v1::Patient, Status> {
    match done {
        Done::Registry { change: RegistryChange::Patient(row), site: Some(site), .. } => {
            Ok(convert::patient(row, site.to_string()))
        }
        _ => Err(unexpected("patient")),
    }
}

fn binding(done: &Done, device_id: String) -> Result<v1::Binding, Status> {
    match done {
        Done::Registry { change: RegistryChange::Binding(row), patient: Some(patient), .. } => {
            Ok(convert::binding(row, device_id, patient))
        }
        _ => Err(unexpected("binding")),
    }
}
