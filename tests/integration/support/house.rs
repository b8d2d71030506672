//! The whole house: a broker with the configuration that we ship, a database, and the service
//! between them, with a ward enrolled over gRPC.

use std::time::Duration;

use jiff::SignedDuration;
use pulseward::proto::v1;
use pulseward::proto::v1::stored_reading::Value;
use pulseward::proto::v1::vitals_service_client::VitalsServiceClient;
use pulseward_sim::enroll::{Enroller, Outcome, Wearing};
use pulseward_sim::ward;
use tonic::Status;
use tonic::transport::Endpoint;

use super::http;
use super::mosquitto::{self, Mosquitto};
use super::recording::{EventRow, RULES, ReadingRow, Recording, SITE};
use super::service::{self, Service};
use super::sql::Sql;
use super::wait::{wait_for, wait_until, wait_within};
use super::watcher::micros;

/// For a backlog of thousands of messages in a test's build on a busy machine.
const CATCH_UP: Duration = Duration::from_secs(60);
/// A replay of the past is judged as if it were live.
const UPLOAD_INTERVAL: SignedDuration = SignedDuration::from_hours(24);
/// Small, so that the readings of a patient take several pages.
const PAGE_SIZE: i32 = 700;

/// The house. Dropping it ends every part of it.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) service: Service,
    pub(crate) broker: Mosquitto,
    pub(crate) sql: Sql,
}

impl House {
    /// A running house over an empty database.
    pub(crate) async fn start(sql: Sql) -> Self {
        let broker = Self::broker();
        let mqtt_url = broker.url();
        Self::start_at(broker, mqtt_url, sql).await
    }

    /// A broker with the configuration that we ship.
    pub(crate) fn broker() -> Mosquitto {
        Mosquitto::start_with(mosquitto::Settings { shipped: true, ..Default::default() })
    }

    /// [`House::start`] with a broker of the caller's, which the service finds at `mqtt_url`.
    pub(crate) async fn start_at(broker: Mosquitto, mqtt_url: String, sql: Sql) -> Self {
        let settings =
            service::Settings { mqtt_url, store_url: Some(sql.url()), environment: Vec::new() };
        Self { service: Service::start(&settings).await, broker, sql }
    }

    /// [`House::start`] with variables of the service's environment, and the command that runs it.
    pub(crate) async fn start_under(
        sql: Sql,
        environment: Vec<(&'static str, String)>,
        under: Vec<String>,
    ) -> Self {
        let broker = Self::broker();
        let settings =
            service::Settings { mqtt_url: broker.url(), store_url: Some(sql.url()), environment };
        let service = Service::launch_under(&settings, under);
        service.ready().await;
        Self { service, broker, sql }
    }

    /// Where its gRPC server listens in this run of the service.
    pub(crate) async fn grpc_url(&self) -> String {
        format!("http://{}", self.service.listener("grpc").await)
    }

    /// Makes the wearers of a recording's devices known, and puts the limits.
    pub(crate) async fn enroll(&self, recording: &Recording) {
        let mut enroller = self.enroller().await;
        enroller.site(SITE, "Intensive care").await.expect("site");
        enroller.put_profile(SITE, ward::profile(RULES)).await.expect("profile");
        for device in &recording.devices {
            let patient = Recording::patient_of(device);
            enroller.patient(&patient, SITE).await.expect("patient");
            enroller.device(device, SITE).await.expect("device");
            let wearing = Wearing {
                device,
                patient: &patient,
                from: recording.start - SignedDuration::from_mins(1),
                upload_interval: UPLOAD_INTERVAL,
                upload_interval_min: UPLOAD_INTERVAL,
                measures_every: SignedDuration::from_secs(1),
            };
            let bound = enroller.bind(&wearing).await.expect("binding");
            assert_eq!(bound, Outcome::New, "{device}");
        }
    }

    /// Who speaks to its registry.
    pub(crate) async fn enroller(&self) -> Enroller {
        Enroller::connect(&self.grpc_url().await).await.expect("gRPC answers")
    }

    /// What `/readyz` answers: its status, and how the store stands.
    pub(crate) async fn ready(&self) -> (u16, serde_json::Value) {
        let answer = http::get(self.service.http().await, "/readyz").await.expect("answers");
        let told: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let parts = told["parts"].as_array().expect("parts");
        let store = parts.iter().find(|part| part["name"] == "store").expect("the store is a part");
        (answer.status, store.clone())
    }

    /// The sum of the metrics whose line begins with `prefix`; 0 if there is none.
    pub(crate) async fn metric(&self, prefix: &str) -> f64 {
        let Ok(answer) = http::get(self.service.http().await, "/metrics").await else { return 0.0 };
        let lines = answer.body.lines().filter(|line| line.starts_with(prefix));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// [`House::metric`], once it is so large: what a follower has done may be counted after it.
    pub(crate) async fn metric_from(&self, prefix: &str, least: usize) -> f64 {
        let least = f64::from(u32::try_from(least).expect("tests count less"));
        wait_for(&format!("{prefix} to be {least}"), async || {
            Some(self.metric(prefix).await).filter(|value| *value >= least)
        })
        .await
    }

    /// Waits until so many readings are stored.
    pub(crate) async fn stored(&self, count: usize) {
        let what = format!("{count} readings to be stored");
        wait_within(CATCH_UP, &what, async || {
            (self.sql.number("SELECT count(*) FROM readings").await >= count).then_some(())
        })
        .await;
    }

    /// Every stored reading, by SQL, sorted.
    pub(crate) async fn stored_readings(&self) -> Vec<ReadingRow> {
        let sql = format!(
            "SELECT p.patient_id, d.device_id, v.name, {}, r.value, r.quality \
             FROM readings r JOIN vitals v USING (vital) \
             JOIN patients p USING (patient_key) JOIN devices d USING (device_key)",
            self.sql.micros("r.measured_at"),
        );
        let mut rows: Vec<_> =
            self.sql.rows(&sql).await.iter().map(|row| reading_row(row)).collect();
        rows.sort();
        rows
    }

    /// Every stored event of a patient's live alert, by SQL, sorted.
    pub(crate) async fn stored_events(&self) -> Vec<EventRow> {
        let sql = format!(
            "SELECT p.patient_id, a.rule_id, {}, {}, e.phase \
             FROM alert_events e JOIN alerts a USING (alert_id) JOIN patients p USING (patient_key) \
             WHERE NOT a.retrospective",
            self.sql.micros("a.onset"),
            self.sql.decided_by("e.readings"),
        );
        let mut rows: Vec<_> = self.sql.rows(&sql).await.iter().map(|row| event_row(row)).collect();
        rows.sort();
        rows
    }

    /// Asserts that nothing is stored but what a recording must lead to, and each of it once.
    pub(crate) async fn check_stored(&self, recording: &Recording) {
        assert_same(&self.stored_readings().await, &recording.readings());
        assert_same(&self.stored_events().await, &recording.events());
        let starts =
            "SELECT count(*) - count(DISTINCT alert_id) FROM alert_events WHERE phase = 'start'";
        assert_eq!(self.sql.number(starts).await, 0, "an alert began twice");
        let open = "SELECT count(*) FROM (SELECT patient_key, rule_id FROM alerts \
                    WHERE condition = 'active' GROUP BY 1, 2 HAVING count(*) > 1) AS twice";
        assert_eq!(self.sql.number(open).await, 0, "two alerts of one rule are open");
    }

    /// A patient's readings over gRPC, page by page.
    pub(crate) async fn list_readings(&self, patient: &str) -> Result<Vec<ReadingRow>, Status> {
        let endpoint = Endpoint::from_shared(self.grpc_url().await).expect("an address");
        let mut client = VitalsServiceClient::new(endpoint.connect_lazy());
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let mut request = v1::ListReadingsRequest {
            patient_id: patient.to_owned(),
            from: at(0),
            until: at(253_402_300_799),
            page_size: PAGE_SIZE,
            ..v1::ListReadingsRequest::default()
        };
        let mut rows = Vec::new();
        loop {
            let page = client.list_readings(request.clone()).await?.into_inner();
            rows.extend(page.readings.iter().map(|reading| listed_row(patient, reading)));
            if page.next_page_token.is_empty() {
                return Ok(rows);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Waits until `/readyz` says of the store what is wanted; it must say that the service is
    /// ready all along.
    pub(crate) async fn until_store_is(&self, state: &str) {
        wait_until(&format!("the store to be {state}"), async || {
            let (status, store) = self.ready().await;
            assert_eq!(status, 200, "{store}");
            store["state"] == state
        })
        .await;
    }
}

/// Asserts that two sorted lists are the same, and says where they part.
pub(crate) fn assert_same<T: PartialEq + std::fmt::Debug>(found: &[T], expected: &[T]) {
    let parts = found.iter().zip(expected).position(|(found, expected)| found != expected);
    let parts = parts.unwrap_or(found.len().min(expected.len()));
    assert!(
        found == expected,
        "{} found, {} expected; the first difference is at {parts}: found {:?}, expected {:?}",
        found.len(),
        expected.len(),
        found.get(parts),
        expected.get(parts),
    );
}

fn reading_row(row: &[String]) -> ReadingRow {
    let [patient, device, vital, measured_at, value, quality] = row else { panic!("{row:?}") };
    assert_eq!(quality, "0", "nothing is to be known about the worth of {row:?}");
    ReadingRow {
        patient: patient.clone(),
        device: device.clone(),
        vital: vital.clone(),
        measured_at: measured_at.parse().expect("a number"),
        ten_thousandths: ten_thousandths(value.parse().expect("a number")),
    }
}

fn event_row(row: &[String]) -> EventRow {
    let [patient, rule, onset, decided_by, phase] = row else { panic!("{row:?}") };
    EventRow {
        patient: patient.clone(),
        rule: rule.clone(),
        onset: onset.parse().expect("a number"),
        decided_by: decided_by.parse().expect("a number"),
        phase: phase.clone(),
    }
}

fn listed_row(patient: &str, reading: &v1::StoredReading) -> ReadingRow {
    let Some(Value::Quantity(value)) = reading.value else { panic!("{reading:?}") };
    ReadingRow {
        patient: patient.to_owned(),
        device: reading.device_id.clone(),
        vital: reading.vital().as_str_name().trim_start_matches("VITAL_").to_lowercase(),
        measured_at: micros(reading.measured_at),
        ten_thousandths: ten_thousandths(value),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "vitals are small")]
fn ten_thousandths(value: f64) -> i64 {
    (value * 10_000.0).round() as i64
}
