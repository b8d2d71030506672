//! Makes sites, patients, devices, bindings and profiles known to the service, over gRPC.
//!
//! Enrolling is repeatable: what is there already is left as it is. A binding that is there
//! already must do, though: be with the same patient, begin early enough and hold its device's
//! readings for live long enough; else the readings would be refused or not raise alarms, and
//! enrolling fails instead. Nothing is ever changed or removed here.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::address::{InvalidAddress, endpoint};
use crate::caller::{Authorised, Caller};
use crate::convert;
use crate::proto::v1;
use crate::proto::v1::profile_service_client::ProfileServiceClient;
use crate::proto::v1::registry_service_client::RegistryServiceClient;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A call that is answered only once it is durable may wait for a slow disk.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// What the service's ErrorInfo says when a device is bound already.
const DEVICE_BOUND: &str = "DEVICE_BOUND";

/// Whether something had to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    New,
    /// It was there already, and does.
    Existing,
    /// It was there already, and the service could not say whether it does.
    Unchecked,
}

/// A device on a patient.
#[derive(Clone, Debug, PartialEq)]
pub struct Wearing<'a> {
    /// The device's id.
    pub device: &'a str,
    /// The patient's id.
    pub patient: &'a str,
    /// Readings measured from here on are the patient's.
    pub from: Timestamp,
    /// The longest time between measuring and sending, as a new binding says it.
    pub upload_interval: SignedDuration,
    /// The least that an existing binding must say instead.
    pub upload_interval_min: SignedDuration,
    /// How often each vital is measured.
    pub measures_every: SignedDuration,
}

/// Why enrolling failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The service can't be reached.
    #[error("connecting to the service at {url}")]
    Connect {
        /// Where it was looked for.
        url: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The service refused a call.
    #[error("{action}: {refusal}")]
    Refused {
        /// What was asked.
        action: String,
        /// What it answered: code, message and wrong fields.
        refusal: String,
    },
    /// What is there already does not do.
    #[error("{what}")]
    Unfit {
        /// What is there, what is needed, and what to do.
        what: String,
    },
}

/// A connection to the service's registry and profiles.
#[derive(Clone, Debug)]
pub struct Enroller {
    registry: RegistryServiceClient<Authorised>,
    profiles: ProfileServiceClient<Authorised>,
}

impl Enroller {
    /// Connects to the service, such as `http://127.0.0.1:50051`.
    ///
    /// # Errors
    /// If `url` is no address, or nobody answers there.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_as(url, &Caller::default()).await
    }

    /// Connects to the service as somebody.
    ///
    /// # Errors
    /// As [`Enroller::connect`].
    pub async fn connect_as(url: &str, caller: &Caller) -> Result<Self, Error> {
        let endpoint = endpoint(url)?.connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT);
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|source| Error::Connect { url: url.to_owned(), source })?;
        let registry = RegistryServiceClient::new(caller.over(channel.clone()));
        Ok(Self { registry, profiles: ProfileServiceClient::new(caller.over(channel)) })
    }

    /// Adds a site.
    ///
    /// # Errors
    /// If the service refuses.
    pub async fn site(&mut self, site: &str, display_name: &str) -> Result<Outcome, Error> {
        let request = v1::CreateSiteRequest {
            site_id: site.to_owned(),
            display_name: display_name.to_owned(),
            ..v1::CreateSiteRequest::default()
        };
        made(&format!("creating site {site}"), self.registry.create_site(request).await)
    }

    /// Adds a patient to a site.
    ///
    /// # Errors
    /// If the service refuses.
    pub async fn patient(&mut self, patient: &str, site: &str) -> Result<Outcome, Error> {
        let request = v1::CreatePatientRequest {
            patient_id: patient.to_owned(),
            site_id: site.to_owned(),
            ..v1::CreatePatientRequest::default()
        };
        made(&format!("creating patient {patient}"), self.registry.create_patient(request).await)
    }

    /// Adds a device to a site.
    ///
    /// # Errors
    /// If the service refuses, or the device is there at another site, from where the service
    /// would refuse its readings.
    pub async fn device(&mut self, device: &str, site: &str) -> Result<Outcome, Error> {
        let request = v1::CreateDeviceRequest {
            device_id: device.to_owned(),
            site_id: site.to_owned(),
            ..v1::CreateDeviceRequest::default()
        };
        let answer = self.registry.create_device(request).await;
        let outcome = made(&format!("creating device {device}"), answer)?;
        if outcome == Outcome::Existing {
            self.check_site(device, site).await?;
        }
        Ok(outcome)
    }

    /// Binds a device to a patient.
    ///
    /// # Errors
    /// If the service refuses, or the device is bound already in a way that does not do.
    pub async fn bind(&mut self, wearing: &Wearing<'_>) -> Result<Outcome, Error> {
        match self.registry.bind_device(bind_request(wearing)).await {
            Ok(_) => Ok(Outcome::New),
            Err(status) if is_bound(&status) => self.check_binding(wearing).await,
            Err(status) => {
                let Wearing { device, patient, .. } = wearing;
                Err(refused(&format!("binding device {device} to patient {patient}"), &status))
            }
        }
    }

    /// Replaces a site's own profile.
    ///
    /// # Errors
    /// If the service refuses.
    pub async fn put_profile(&mut self, site: &str, profile: v1::Profile) -> Result<(), Error> {
        let owner = v1::profile_owner::Owner::SiteId(site.to_owned());
        let request = v1::PutProfileRequest {
            owner: Some(v1::ProfileOwner { owner: Some(owner) }),
            profile: Some(profile),
            ..v1::PutProfileRequest::default()
        };
        let answer = self.profiles.put_profile(request).await;
        answer
            .map_err(|status| refused(&format!("putting the profile of site {site}"), &status))?;
        Ok(())
    }

    async fn check_site(&mut self, device: &str, site: &str) -> Result<(), Error> {
        let request = v1::GetDeviceRequest { device_id: device.to_owned() };
        let there = match self.registry.get_device(request).await {
            Ok(answer) => answer.into_inner().site_id,
            Err(status) if status.code() == Code::Unimplemented => return Ok(()),
            Err(status) => return Err(refused(&format!("looking up device {device}"), &status)),
        };
        if there == site {
            return Ok(());
        }
        let what = format!("device {device} is enrolled at site {there}; take --site {there}");
        Err(Error::Unfit { what })
    }

    /// A service that can't list bindings is trusted: what it refuses is counted at its own end.
    async fn check_binding(&mut self, wearing: &Wearing<'_>) -> Result<Outcome, Error> {
        let device = wearing.device;
        let request = v1::ListBindingsRequest {
            of: Some(v1::list_bindings_request::Of::DeviceId(device.to_owned())),
            page_size: 1,
            ..v1::ListBindingsRequest::default()
        };
        let bindings = match self.registry.list_bindings(request).await {
            Ok(answer) => answer.into_inner().bindings,
            Err(status) if status.code() == Code::Unimplemented => return Ok(Outcome::Unchecked),
            Err(status) => {
                return Err(refused(&format!("listing the bindings of device {device}"), &status));
            }
        };
        match bindings.first().and_then(|latest| unfit(wearing, latest)) {
            Some(what) => Err(Error::Unfit { what }),
            None => Ok(Outcome::Existing),
        }
    }
}

fn bind_request(wearing: &Wearing<'_>) -> v1::BindDeviceRequest {
    let every = convert::to_duration(wearing.measures_every);
    let expected = |vital| v1::ExpectedInterval {
        vital: convert::to_vital(vital).into(),
        interval: Some(every),
    };
    let schedule = v1::Schedule {
        upload_interval: Some(convert::to_duration(wearing.upload_interval)),
        expected_intervals: crate::sample::Vital::STEADY.map(expected).to_vec(),
    };
    v1::BindDeviceRequest {
        device_id: wearing.device.to_owned(),
        patient_id: wearing.patient.to_owned(),
        from: Some(convert::to_timestamp(wearing.from)),
        schedule: Some(schedule),
        ..v1::BindDeviceRequest::default()
    }
}

/// What keeps the binding that is there from doing, if anything does.
fn unfit(wearing: &Wearing<'_>, there: &v1::Binding) -> Option<String> {
    let Wearing { device, patient, from, upload_interval_min: needed, .. } = wearing;
    let other = &there.patient_id;
    if other != patient {
        return Some(format!(
            "device {device} is bound to patient {other}, not to {patient}; unbind it first"
        ));
    }
    let since = there.from.and_then(convert::from_timestamp);
    if let Some(since) = since.filter(|since| since > from) {
        return Some(format!(
            "device {device} is bound only since {since}, and this begins at {from}; \
             begin later, or unbind it first"
        ));
    }
    let window = there.schedule.as_ref().and_then(|schedule| schedule.upload_interval);
    let window = window.and_then(convert::from_duration).unwrap_or_default();
    (window < *needed).then(|| {
        format!(
            "device {device} is bound with an upload interval of {window:#}, and these readings \
             need {needed:#} to raise alarms; begin later, or unbind it first"
        )
    })
}

fn made<T>(action: &str, answer: Result<Response<T>, Status>) -> Result<Outcome, Error> {
    match answer {
        Ok(_) => Ok(Outcome::New),
        Err(status) if status.code() == Code::AlreadyExists => Ok(Outcome::Existing),
        Err(status) => Err(refused(action, &status)),
    }
}

fn is_bound(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
        && status.get_details_error_info().is_some_and(|info| info.reason == DEVICE_BOUND)
}

fn refused(action: &str, status: &Status) -> Error {
    let violations = status.get_details_bad_request().map(|request| request.field_violations);
    let fields: String = violations
        .iter()
        .flatten()
        .map(|violation| format!("; {}: {}", violation.field, violation.description))
        .collect();
    let refusal = format!("{} ({:?}){fields}", status.message(), status.code());
    Error::Refused { action: action.to_owned(), refusal }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn wearing<'a>(patient: &'a str, from: &str, minutes: i64) -> Wearing<'a> {
        Wearing {
            device: "d",
            patient,
            from: time(from),
            upload_interval: SignedDuration::from_mins(minutes),
            upload_interval_min: SignedDuration::from_mins(minutes),
            measures_every: SignedDuration::from_secs(1),
        }
    }

    async fn enroll(fake: &Fake, site: &str, wearing: &Wearing<'_>) -> Result<Outcome, Error> {
        let mut enroller = Enroller::connect(&fake.serve().await).await?;
        enroller.site(site, "Ward").await?;
        enroller.patient(wearing.patient, site).await?;
        enroller.device(wearing.device, site).await?;
        enroller.bind(wearing).await
    }

    const EARLY: &str = "2026-01-31T08:00:00Z";
    const LATE: &str = "2026-01-31T09:00:00Z";

    #[tokio::test]
    async fn a_binding_begins_as_asked_and_says_how_the_device_measures() {
        let fake = Fake::default();
        let outcome = enroll(&fake, "icu", &wearing("p", EARLY, 15)).await.expect("enrolled");
        assert_eq!(outcome, Outcome::New);
        let binding = fake.state().bindings["d"].clone();
        assert_eq!(binding.from, Some(convert::to_timestamp(time(EARLY))));
        let schedule = binding.schedule.expect("given");
        assert_eq!(schedule.upload_interval.expect("given").seconds, 15 * 60);
        assert_eq!(schedule.expected_intervals.len(), 4);
    }

    #[tokio::test]
    async fn enrolling_again_leaves_what_is_there() {
        let fake = Fake::default();
        enroll(&fake, "icu", &wearing("p", EARLY, 15)).await.expect("enrolled");
        let again = enroll(&fake, "icu", &wearing("p", LATE, 10)).await.expect("does as well");
        assert_eq!(again, Outcome::Existing);
        assert_eq!(fake.state().bindings["d"].from, Some(convert::to_timestamp(time(EARLY))));
    }

    async fn check_unfit(site: &str, wearing: &Wearing<'_>, why: &str) {
        let fake = Fake::default();
        enroll(&fake, "icu", &super::tests::wearing("p", LATE, 15)).await.expect("enrolled");
        let error = enroll(&fake, site, wearing).await.expect_err("does not do").to_string();
        assert!(error.contains(why), "{error}");
    }

    #[tokio::test]
    async fn a_binding_that_would_lose_readings_or_alarms_is_an_error() {
        check_unfit("icu", &wearing("q", LATE, 15), "bound to patient p, not to q").await;
        check_unfit("icu", &wearing("p", EARLY, 15), "bound only since 2026-01-31T09").await;
        check_unfit("icu", &wearing("p", LATE, 16), "upload interval of 15m").await;
        check_unfit("er", &wearing("p", LATE, 15), "at site icu; take --site icu").await;
    }

    #[tokio::test]
    async fn a_service_without_lookups_is_trusted() {
        let fake = Fake::default();
        fake.state().has_no_lookups = true;
        enroll(&fake, "icu", &wearing("p", LATE, 15)).await.expect("enrolled");
        let again = enroll(&fake, "er", &wearing("q", EARLY, 99)).await.expect("trusted");
        assert_eq!(again, Outcome::Unchecked);
    }

    #[tokio::test]
    async fn a_refusal_names_action_code_and_fields() {
        let fake = Fake::default();
        let mut enroller = Enroller::connect(&fake.serve().await).await.expect("it serves");
        let error = enroller.put_profile("icu", v1::Profile::default()).await.expect_err("empty");
        let expected = "putting the profile of site icu: 1 violation (InvalidArgument); \
                        profile.rules: at least one";
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused() {
        let error = Enroller::connect("127.0.0.1 50051").await.expect_err("no address");
        assert!(matches!(error, Error::Address { .. }), "{error}");
    }
}
