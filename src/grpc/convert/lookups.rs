//! What is looked up in the registry by its id: requests to questions.

use super::Violations;
use crate::engine::profile::Violation;
use crate::engine::query::RegistryQuestion;
use crate::proto::v1;

type Converted = Result<RegistryQuestion, Vec<Violation>>;

pub(in crate::grpc) fn get_site(request: &v1::GetSiteRequest) -> Converted {
    let mut wrong = Violations::default();
    let site = wrong.id("site_id", &request.site_id);
    wrong.finish(|| Some(RegistryQuestion::Site(site?)))
}

pub(in crate::grpc) fn get_patient(request: &v1::GetPatientRequest) -> Converted {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    wrong.finish(|| Some(RegistryQuestion::Patient(patient?)))
}

pub(in crate::grpc) fn get_device(request: &v1::GetDeviceRequest) -> Converted {
    let mut wrong = Violations::default();
    let device = wrong.id("device_id", &request.device_id);
    wrong.finish(|| Some(RegistryQuestion::Device(device?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_required() {
        assert!(get_site(&v1::GetSiteRequest::default()).is_err());
        assert!(get_patient(&v1::GetPatientRequest::default()).is_err());
        assert!(get_device(&v1::GetDeviceRequest::default()).is_err());
    }
}
