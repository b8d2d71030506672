//! Lists of the registry: requests to questions, and pages to answers with the tokens of the next.

use super::Violations;
use super::page_token::Listing;
use super::registry::{binding, device, patient, site};
use crate::clock::Timestamp;
use crate::engine::input::Sites;
use crate::engine::output::{DeviceRow, PatientRow, SiteRow};
use crate::engine::profile::Violation;
use crate::engine::query::{
    Bindings, BindingsOf, BindingsQuestion, DevicesQuestion, Page, PatientsQuestion,
    RegistryQuestion, SitesQuestion, WornBy,
};
use crate::proto::v1;
use crate::proto::v1::list_bindings_request::Of;
use crate::proto::v1::list_devices_request::WornBy as WireWornBy;
use crate::vitals::{DeviceId, DeviceKey, PatientId, SiteId};

/// An id has no more.
const PREFIX_BYTES_MAX: usize = 64;

/// A question, and the list of which it asks for a page.
type Converted = Result<(RegistryQuestion, Listing), Vec<Violation>>;

pub(in crate::grpc) fn sites(request: &v1::ListSitesRequest, sites: &Sites) -> Converted {
    let mut wrong = Violations::default();
    let listing = Listing::of("ListSites", sites, &[]);
    let limit = wrong.list_page_size(request.page_size);
    let behind = wrong.place(&request.page_token, listing, |id| SiteId::new(id).ok());
    wrong.finish(|| {
        let question = SitesQuestion { behind: behind?, limit: limit? };
        Some((RegistryQuestion::Sites(question), listing))
    })
}

pub(in crate::grpc) fn patients(request: &v1::ListPatientsRequest, sites: &Sites) -> Converted {
    let v1::ListPatientsRequest { site_id, id_prefix, page_size, page_token } = request;
    let mut wrong = Violations::default();
    let listing = Listing::of("ListPatients", sites, &[site_id, id_prefix]);
    let site = wrong.optional_id("site_id", site_id);
    let id_prefix = wrong.id_prefix(id_prefix);
    let limit = wrong.list_page_size(*page_size);
    let behind = wrong.place(page_token, listing, |id| PatientId::new(id).ok());
    wrong.finish(|| {
        let (site, id_prefix, behind, limit) = (site?, id_prefix?, behind?, limit?);
        let question = PatientsQuestion { site, id_prefix, behind, limit };
        Some((RegistryQuestion::Patients(question), listing))
    })
}

pub(in crate::grpc) fn devices(request: &v1::ListDevicesRequest, sites: &Sites) -> Converted {
    let v1::ListDevicesRequest { site_id, id_prefix, page_size, page_token, worn_by } = request;
    let mut wrong = Violations::default();
    let (kind, patient_id) = match worn_by {
        Some(WireWornBy::PatientId(patient)) => ("patient", patient.as_str()),
        Some(WireWornBy::Nobody(true)) => ("nobody", ""),
        Some(WireWornBy::Nobody(false)) | None => ("", ""),
    };
    let listing = Listing::of("ListDevices", sites, &[site_id, id_prefix, kind, patient_id]);
    let site = wrong.optional_id("site_id", site_id);
    let id_prefix = wrong.id_prefix(id_prefix);
    let worn = match kind {
        "patient" => wrong.id("patient_id", patient_id).map(|id| Some(WornBy::Patient(id))),
        "nobody" => Some(Some(WornBy::Nobody)),
        _ => Some(None),
    };
    let limit = wrong.list_page_size(*page_size);
    let behind = wrong.place(page_token, listing, |id| DeviceId::new(id).ok());
    wrong.finish(|| {
        let (site, id_prefix) = (site?, id_prefix?);
        let question =
            DevicesQuestion { site, worn: worn?, id_prefix, behind: behind?, limit: limit? };
        Some((RegistryQuestion::Devices(question), listing))
    })
}

pub(in crate::grpc) fn bindings(request: &v1::ListBindingsRequest, sites: &Sites) -> Converted {
    let mut wrong = Violations::default();
    let (of, listing) = match &request.of {
        Some(Of::DeviceId(id)) => (
            wrong.id("device_id", id).map(BindingsOf::Device),
            Listing::of("ListBindings", sites, &["device", id]),
        ),
        Some(Of::PatientId(id)) => (
            wrong.id("patient_id", id).map(BindingsOf::Patient),
            Listing::of("ListBindings", sites, &["patient", id]),
        ),
        None => (
            wrong.refuse("device_id", "required, or patient_id"),
            Listing::of("ListBindings", sites, &[]),
        ),
    };
    let limit = wrong.list_page_size(request.page_size);
    let behind = wrong.place(&request.page_token, listing, read_binding);
    wrong.finish(|| {
        let question = BindingsQuestion { of: of?, behind: behind?, limit: limit? };
        Some((RegistryQuestion::Bindings(question), listing))
    })
}

fn read_binding(place: &str) -> Option<(Timestamp, DeviceKey)> {
    let (begin, device) = place.split_once('/')?;
    Some((Timestamp::from_micros(begin.parse().ok()?)?, DeviceKey(device.parse().ok()?)))
}

impl Violations {
    /// The outer `None`: wrong; the inner one: none was given.
    fn optional_id<Id>(&mut self, field: &str, text: &str) -> Option<Option<Id>>
    where
        Id: std::str::FromStr<Err = crate::vitals::InvalidId>,
    {
        if text.is_empty() { Some(None) } else { self.id(field, text).map(Some) }
    }

    fn id_prefix(&mut self, text: &str) -> Option<String> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.len() > PREFIX_BYTES_MAX || !text.bytes().all(is_part) {
            return self.refuse("id_prefix", "no id begins so: at most 64 of A-Z a-z 0-9 . _ -");
        }
        Some(text.to_owned())
    }
}

pub(in crate::grpc) fn site_page(
    page: Page<SiteRow, SiteId>,
    listing: Listing,
) -> v1::ListSitesResponse {
    v1::ListSitesResponse {
        next_page_token: listing.token(page.next_behind.map(|id| id.to_string())),
        sites: page.rows.into_iter().map(site).collect(),
    }
}

pub(in crate::grpc) fn patient_page(
    page: &Page<(PatientRow, SiteId), PatientId>,
    listing: Listing,
) -> v1::ListPatientsResponse {
    let told = |(row, site): &(PatientRow, SiteId)| patient(row, site.to_string());
    v1::ListPatientsResponse {
        patients: page.rows.iter().map(told).collect(),
        next_page_token: listing.token(page.next_behind.as_ref().map(PatientId::to_string)),
    }
}

pub(in crate::grpc) fn device_page(
    page: &Page<(DeviceRow, SiteId), DeviceId>,
    listing: Listing,
) -> v1::ListDevicesResponse {
    let told = |(row, site): &(DeviceRow, SiteId)| device(row, site.to_string());
    v1::ListDevicesResponse {
        devices: page.rows.iter().map(told).collect(),
        next_page_token: listing.token(page.next_behind.as_ref().map(DeviceId::to_string)),
    }
}

pub(in crate::grpc) fn binding_page(
    found: &Bindings,
    listing: Listing,
) -> v1::ListBindingsResponse {
    let place = |(begin, device): (Timestamp, DeviceKey)| format!("{}/{device}", begin.micros());
    let bindings = found.bindings.iter();
    v1::ListBindingsResponse {
        bindings: bindings
            .map(|(row, device, patient)| binding(row, device.to_string(), patient))
            .collect(),
        next_page_token: listing.token(found.next_behind.map(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(of: Of, page_size: i32, page_token: &str) -> v1::ListBindingsRequest {
        v1::ListBindingsRequest { of: Some(of), page_size, page_token: page_token.to_owned() }
    }

    fn device_1() -> Of {
        Of::DeviceId("d-1".to_owned())
    }

    fn fields(converted: Converted) -> Vec<String> {
        converted.expect_err("wrong").into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_page_token_of_bindings_leads_to_the_next_page_of_the_same_and_nowhere_else() {
        let (question, listing) =
            bindings(&request(device_1(), 7, ""), &Sites::All).expect("valid");
        let of = BindingsOf::Device("d-1".parse().unwrap());
        let first = BindingsQuestion { of, behind: None, limit: 7 };
        assert_eq!(question, RegistryQuestion::Bindings(first.clone()));
        let last = (Timestamp::from_seconds(-20), DeviceKey(3));
        let found = Bindings { bindings: vec![], next_behind: Some(last) };
        let token = binding_page(&found, listing).next_page_token;
        let next = BindingsQuestion { behind: Some(last), ..first };
        let asked = bindings(&request(device_1(), 7, &token), &Sites::All);
        assert_eq!(asked, Ok((RegistryQuestion::Bindings(next), listing)));
        for of in [Of::DeviceId("d-2".into()), Of::PatientId("d-1".into())] {
            assert_eq!(fields(bindings(&request(of, 7, &token), &Sites::All)), ["page_token"]);
        }
        let other_scope = Sites::Only(vec!["north".parse().unwrap()]);
        let asked = bindings(&request(device_1(), 7, &token), &other_scope);
        assert_eq!(fields(asked), ["page_token"]);
    }

    #[test]
    fn a_page_has_a_default_size_and_a_largest_one() {
        for (asked, size) in [(0, 100), (1, 1), (1000, 1000), (i32::MAX, 1000)] {
            let request = v1::ListSitesRequest { page_size: asked, page_token: String::new() };
            let (question, _) = sites(&request, &Sites::All).expect("valid");
            let expected = SitesQuestion { behind: None, limit: size };
            assert_eq!(question, RegistryQuestion::Sites(expected));
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = request(Of::DeviceId("a b".into()), -1, "x");
        let all = ["device_id", "page_size", "page_token"];
        assert_eq!(fields(bindings(&wrong, &Sites::All)), all);
        let none = v1::ListBindingsRequest::default();
        assert_eq!(fields(bindings(&none, &Sites::All)), ["device_id"]);
        let (site_id, id_prefix) = ("a b".to_owned(), "x/".to_owned());
        let (page_size, page_token) = (-1, "x".to_owned());
        let asked = v1::ListPatientsRequest {
            site_id: site_id.clone(),
            id_prefix: id_prefix.clone(),
            page_size,
            page_token: page_token.clone(),
        };
        let all = ["site_id", "id_prefix", "page_size", "page_token"];
        assert_eq!(fields(patients(&asked, &Sites::All)), all);
        let worn_by = Some(WireWornBy::PatientId(String::new()));
        let asked = v1::ListDevicesRequest { site_id, id_prefix, page_size, page_token, worn_by };
        let all = ["site_id", "id_prefix", "patient_id", "page_size", "page_token"];
        assert_eq!(fields(devices(&asked, &Sites::All)), all);
    }

    #[test]
    fn not_nobody_is_as_if_nothing_was_said() {
        let asked = |worn_by| {
            let request = v1::ListDevicesRequest { worn_by, ..Default::default() };
            devices(&request, &Sites::All).expect("valid")
        };
        assert_eq!(asked(Some(WireWornBy::Nobody(false))), asked(None));
        assert_ne!(asked(Some(WireWornBy::Nobody(true))), asked(None));
    }
}
