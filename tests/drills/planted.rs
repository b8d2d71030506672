//! The instruments themselves: faults are planted, one of each kind, and each is named.
//!
//! The service has no switch for faults. It is made to do what the oracle does not expect: by limits of
//! a patient's own, of which the fleet's record knows nothing, by a network that stands still before
//! the clinicians, and by hands in its database while it is down.

use jiff::SignedDuration;
use pulseward_sim::fleet::scenario::{Episode, EpisodeKind};
use pulseward_sim::proto::v1;
use pulseward_sim::proto::v1::profile_service_client::ProfileServiceClient;
use pulseward_sim::verify::report::Finding;
use tonic::transport::Endpoint;

use crate::drill::{Drill, Plan};

/// When all patients deteriorate.
const DETERIORATION: SignedDuration = SignedDuration::from_secs(4);
const LATE_AFTER: SignedDuration = SignedDuration::from_secs(1);
/// From before the first alert until well after [`LATE_AFTER`].
const STALL: (f64, f64) = (0.3, 0.75);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_faults_are_named_one_by_one() {
    let plan = Plan {
        seconds: 12,
        devices: 6,
        scenario: |scenario| {
            scenario.episodes = vec![Episode {
                kind: EpisodeKind::Desaturation,
                patients: 1.0,
                at: Some(DETERIORATION),
                length: None,
                near_miss: false,
            }];
        },
        ..Plan::named("planted")
    };
    let mut drill = Drill::begin(plan).await;
    put_limit(&drill.grpc, "ward-p00001", "spo2-low", v1::Vital::Spo2, v1::Side::Below, 20.0).await;
    put_limit(&drill.grpc, "ward-p00002", "hr-high", v1::Vital::HeartRate, v1::Side::Above, 30.0)
        .await;
    drill.at(STALL.0).await;
    drill.door.stall();
    drill.at(STALL.1).await;
    drill.door.heal();
    drill.fleet_ends().await;

    // It drains, so that all it will ever store is there.
    assert!(drill.house.service.terminate().success());
    let sql = &drill.house.sql;
    sql.execute(&format!("DELETE FROM pulseward.readings WHERE {}", one_of("ward-p00003"))).await;
    sql.execute(&format!(
        "INSERT INTO pulseward.readings SELECT * FROM pulseward.readings WHERE {}",
        one_of("ward-p00004")
    ))
    .await;
    let change = "UPDATE pulseward.readings SET value = value + 10000 WHERE";
    sql.execute(&format!("{change} {}", one_of("ward-p00005"))).await;
    drill.house.service.restart().await;

    let report = drill.judge(LATE_AFTER).await;
    assert!(!report.is_good);
    assert_names(&report.readings.lost, 1, "ward-p00003");
    assert_names(&report.readings.doubled, 1, "ward-p00004");
    assert_names(&report.readings.wrong_value, 1, "ward-p00005");
    assert_names(&report.alerts.missed, 1, "spo2-low of ward-p00001");
    assert_names(&report.alerts.false_alerts, 1, "hr-high of ward-p00002");
    assert!(report.alerts.late.count >= 3, "{:?}", report.alerts.late);
    let planted = [
        "readings lost",
        "readings doubled",
        "readings with a wrong value",
        "alerts missed",
        "false alerts",
        "alerts told late",
    ];
    let named: Vec<_> = report.faults().into_iter().filter(|(_, found)| found.count > 0).collect();
    let named: Vec<_> = named.iter().map(|(name, _)| &**name).collect();
    assert_eq!(named, planted, "and nothing else");
}

fn assert_names(finding: &Finding, count: u64, what: &str) {
    assert_eq!(finding.count, count, "{finding:?}");
    assert!(finding.examples[0].contains(what), "{finding:?}");
}

/// The first heart rate of a patient, in SQL.
fn one_of(patient: &str) -> String {
    format!(
        "(patient_key, vital, measured_at) = (\
           SELECT patient_key, vital, measured_at \
           FROM pulseward.readings JOIN pulseward.patients USING (patient_key) \
           WHERE patient_id = '{patient}' ORDER BY measured_at, vital LIMIT 1)"
    )
}

/// Gives a patient a limit of their own for a rule of the site's.
async fn put_limit(
    url: &str,
    patient: &str,
    rule: &str,
    vital: v1::Vital,
    side: v1::Side,
    limit: f64,
) {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let level = v1::LimitLevel {
        priority: v1::Priority::Medium.into(),
        limit,
        sustained: Some(v1::Sustained { delay: seconds(1), max_gap: seconds(3) }),
        ..v1::LimitLevel::default()
    };
    let limit = v1::LimitRule {
        vital: vital.into(),
        side: side.into(),
        levels: vec![level],
        ..v1::LimitRule::default()
    };
    let kind = Some(v1::rule::Kind::Limit(limit));
    let rule = v1::Rule { rule_id: rule.to_owned(), kind, ..v1::Rule::default() };
    let owner = v1::profile_owner::Owner::PatientId(patient.to_owned());
    let request = v1::PutProfileRequest {
        owner: Some(v1::ProfileOwner { owner: Some(owner) }),
        profile: Some(v1::Profile { rules: vec![rule] }),
        ..v1::PutProfileRequest::default()
    };
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("an address");
    let mut profiles = ProfileServiceClient::new(endpoint.connect_lazy());
    profiles.put_profile(request).await.expect("a profile");
}
