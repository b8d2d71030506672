//! A nurse's desk: patients whose heart rate is taken by hand, the alerts that come of it, and every
//! change that a person can ask for, over real gRPC.

use pulseward::proto::v1;
use pulseward::proto::v1::alert_service_client::AlertServiceClient;
use pulseward::proto::v1::profile_service_client::ProfileServiceClient;
use pulseward::proto::v1::registry_service_client::RegistryServiceClient;
use pulseward::proto::v1::vitals_service_client::VitalsServiceClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::house::House;
use super::recording::SITE;
use super::wait::wait_for;
use super::watcher::Watcher;

/// Connections to the services of one run of the service.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) alerts: AlertServiceClient<Channel>,
    pub(crate) registry: RegistryServiceClient<Channel>,
    pub(crate) vitals: VitalsServiceClient<Channel>,
    pub(crate) profiles: ProfileServiceClient<Channel>,
}

/// The answer to any change, to be compared with another.
pub(crate) type Answer = Result<String, Status>;

impl Desk {
    /// To the present run of the house's service.
    pub(crate) async fn of(house: &House) -> Self {
        let channel = Endpoint::from_shared(house.grpc_url().await).expect("an address");
        let channel = channel.connect_lazy();
        Self {
            alerts: AlertServiceClient::new(channel.clone()),
            registry: RegistryServiceClient::new(channel.clone()),
            vitals: VitalsServiceClient::new(channel.clone()),
            profiles: ProfileServiceClient::new(channel),
        }
    }

    /// A site whose patients are alarmed by one fast heart rate, until it is reset.
    pub(crate) async fn open_ward(&self) {
        self.site(SITE, "").await.expect("site");
        self.put_profile("").await.expect("profile");
    }

    pub(crate) async fn site(&self, site: &str, request_id: &str) -> Answer {
        let request = v1::CreateSiteRequest {
            site_id: site.to_owned(),
            display_name: site.to_owned(),
            time_zone: "UTC".to_owned(),
            request_id: request_id.to_owned(),
        };
        told(self.registry.clone().create_site(request).await)
    }

    pub(crate) async fn patient(&self, patient: &str, request_id: &str) -> Answer {
        let request = v1::CreatePatientRequest {
            patient_id: patient.to_owned(),
            site_id: SITE.to_owned(),
            request_id: request_id.to_owned(),
        };
        told(self.registry.clone().create_patient(request).await)
    }

    pub(crate) async fn put_profile(&self, request_id: &str) -> Answer {
        let request = v1::PutProfileRequest {
            owner: Some(v1::ProfileOwner {
                owner: Some(v1::profile_owner::Owner::SiteId(SITE.to_owned())),
            }),
            profile: Some(profile()),
            request_id: request_id.to_owned(),
            ..v1::PutProfileRequest::default()
        };
        told(self.profiles.clone().put_profile(request).await)
    }

    /// A heart rate that a nurse took just now.
    pub(crate) async fn record(&self, patient: &str, rate: f64, request_id: &str) -> Answer {
        told(self.vitals.clone().record_readings(by_hand(patient, rate, request_id)).await)
    }

    /// Raises an alert of a new patient, and gives it.
    pub(crate) async fn alarm(&self, patient: &str, watcher: &Watcher) -> v1::Alert {
        self.patient(patient, "").await.expect("patient");
        self.record(patient, 180.0, "").await.expect("taken");
        newest(watcher, patient).await
    }
}

/// The answer's content as text.
pub(crate) fn told<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, Status>) -> Answer {
    answer.map(|answer| format!("{:?}", answer.into_inner()))
}

/// The alert of a patient as a watcher was told of it last, once there is one.
pub(crate) async fn newest(watcher: &Watcher, patient: &str) -> v1::Alert {
    wait_for(&format!("an alert of {patient}"), async || {
        let events = watcher.told().events.into_iter().rev();
        let mut alerts = events.filter_map(|event| event.alert);
        alerts.find(|alert| alert.patient_id == patient)
    })
    .await
}

/// A heart rate that was taken just now.
pub(crate) fn by_hand(patient: &str, rate: f64, request_id: &str) -> v1::RecordReadingsRequest {
    let now = jiff::Timestamp::now();
    let now = prost_types::Timestamp { seconds: now.as_second(), nanos: now.subsec_nanosecond() };
    let reading = v1::Reading {
        measured: Some(v1::reading::Measured::MeasuredAt(now)),
        vital: v1::Vital::HeartRate.into(),
        value: Some(v1::reading::Value::Quantity(rate)),
        ..v1::Reading::default()
    };
    v1::RecordReadingsRequest {
        patient_id: patient.to_owned(),
        readings: vec![reading],
        request_id: request_id.to_owned(),
    }
}

fn profile() -> v1::Profile {
    let level = v1::LimitLevel {
        priority: v1::Priority::High.into(),
        limit: 150.0,
        spot: Some(v1::Spot {
            n: 1,
            of: 1,
            within: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        }),
        ..v1::LimitLevel::default()
    };
    let limit = v1::LimitRule {
        vital: v1::Vital::HeartRate.into(),
        side: v1::Side::Above.into(),
        levels: vec![level],
        ..v1::LimitRule::default()
    };
    let rule = v1::Rule {
        rule_id: "hr-high".to_owned(),
        kind: Some(v1::rule::Kind::Limit(limit)),
        latching_from: v1::Priority::High.into(),
        ..v1::Rule::default()
    };
    v1::Profile { rules: vec![rule] }
}
