//! What is looked up in the registry: requests to questions, pages and their tokens.
//!
//! A page token of bindings says of which device it is, and where the page begins. It grants
//! nothing: who may see what is decided anew for every page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Violations;
use super::registry::binding;
use crate::engine::profile::Violation;
use crate::engine::query::{Bindings, BindingsQuestion, RegistryQuestion};
use crate::proto::v1;
use crate::proto::v1::list_bindings_request::Of;
use crate::vitals::DeviceId;

/// Bindings on a page whose size was not said.
const PAGE_SIZE_DEFAULT: u32 = 100;
/// Bindings on a page at most.
const PAGE_SIZE_MAX: u32 = 1000;

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

/// Asks for the bindings of a device; those of a patient are not for the engine to tell.
pub(in crate::grpc) fn list_bindings(request: &v1::ListBindingsRequest) -> Converted {
    let mut wrong = Violations::default();
    let device: Option<DeviceId> = match &request.of {
        Some(Of::DeviceId(device)) => wrong.id("device_id", device),
        Some(Of::PatientId(_)) | None => wrong.refuse("device_id", "required"),
    };
    let limit = match u32::try_from(request.page_size) {
        Ok(0) => Some(PAGE_SIZE_DEFAULT),
        Ok(size) => Some(size.min(PAGE_SIZE_MAX)),
        Err(_) => wrong.refuse("page_size", "negative"),
    };
    let among = match request.page_token.as_str() {
        "" => Some(None),
        token => match device.as_ref().map(|device| among(token, device)) {
            Some(None) => wrong.refuse("page_token", "of no page of this device's bindings"),
            found => found,
        },
    };
    wrong.finish(|| {
        let question = BindingsQuestion { device: device?, among: among?, limit: limit? };
        Some(RegistryQuestion::Bindings(question))
    })
}

pub(in crate::grpc) fn bindings(found: Bindings, device_id: &str) -> v1::ListBindingsResponse {
    let bindings = found.bindings.iter();
    v1::ListBindingsResponse {
        bindings: bindings
            .map(|(row, patient)| binding(row, device_id.to_owned(), patient))
            .collect(),
        next_page_token: found.next_among.map(|among| token(among, device_id)).unwrap_or_default(),
    }
}

fn token(among: u32, device_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{among}/{device_id}"))
}

fn among(token: &str, device: &DeviceId) -> Option<u32> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (among, of) = text.split_once('/')?;
    among.parse().ok().filter(|_| of == device.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(device: &str, page_size: i32, page_token: &str) -> v1::ListBindingsRequest {
        let of = Some(Of::DeviceId(device.to_owned()));
        v1::ListBindingsRequest { of, page_size, page_token: page_token.to_owned() }
    }

    #[test]
    fn a_page_token_leads_to_the_next_page_of_its_device_and_nowhere_else() {
        let asked = |device: &str, token: &str| list_bindings(&request(device, 7, token));
        let question = |among| {
            let device = "d-1".parse().unwrap();
            RegistryQuestion::Bindings(BindingsQuestion { device, among, limit: 7 })
        };
        assert_eq!(asked("d-1", ""), Ok(question(None)));
        let next = token(20, "d-1");
        assert_eq!(asked("d-1", &next), Ok(question(Some(20))));
        for wrong in [asked("d-2", &next), asked("d-1", "x"), asked("d-1", "MjA")] {
            let fields: Vec<_> =
                wrong.expect_err("refused").into_iter().map(|it| it.field).collect();
            assert_eq!(fields, ["page_token"]);
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = list_bindings(&request("a b", -1, "x")).expect_err("refused");
        let fields: Vec<_> = wrong.into_iter().map(|it| it.field).collect();
        assert_eq!(fields, ["device_id", "page_size"]);
        let none = list_bindings(&v1::ListBindingsRequest::default()).expect_err("refused");
        assert_eq!(none[0].field, "device_id");
        assert!(get_site(&v1::GetSiteRequest::default()).is_err());
        assert!(get_patient(&v1::GetPatientRequest::default()).is_err());
        assert!(get_device(&v1::GetDeviceRequest::default()).is_err());
    }
}
