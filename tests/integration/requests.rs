//! Changes that people ask for, through the whole house: repeated after a crash they get the first
//! answer, two at once both get a true one, and with the database away all of them go on.

use std::time::Duration;

use pulseward::proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::desk::{Answer, Desk, by_hand, newest, told};
use crate::support::house::House;
use crate::support::postgres::{Database, PrivateServer};
use crate::support::recording::SITE;
use crate::support::sql::Sql;
use crate::support::wait::wait_until;
use crate::support::watcher::Watcher;

/// A clinician waits no longer for any of it, on a machine that does much else besides.
const PATIENCE: Duration = Duration::from_secs(5);

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("every error says its reason").reason
}

/// Every call that changes something, by its name, on the alert of an alarming patient: each asked
/// under a name of its own that begins with `prefix`. Called twice it asks for the same things.
struct Work {
    prefix: String,
    alert: v1::Alert,
    reading: v1::RecordReadingsRequest,
}

impl Work {
    fn on(alert: v1::Alert, prefix: &str) -> Self {
        let calmer = by_hand(&alert.patient_id, 170.0, &format!("{prefix}-record"));
        Self { prefix: prefix.to_owned(), alert, reading: calmer }
    }

    fn id(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    async fn ask_all(&self, desk: &Desk) -> Vec<(&'static str, Answer)> {
        let mut answers = self.ask_alerts(desk).await;
        answers.extend(self.ask_registry(desk).await);
        answers
    }

    async fn ask_alerts(&self, desk: &Desk) -> Vec<(&'static str, Answer)> {
        let (mut alerts, mut vitals) = (desk.alerts.clone(), desk.vitals.clone());
        let (alert_id, etag) = (self.alert.alert_id.clone(), self.alert.etag.clone());
        let duration = Some(prost_types::Duration { seconds: 600, nanos: 0 });
        let acknowledge = v1::AcknowledgeAlertRequest {
            alert_id: alert_id.clone(),
            etag: etag.clone(),
            note: "seen".to_owned(),
            request_id: self.id("acknowledge"),
        };
        let pause = v1::PauseAlertRequest {
            alert_id: alert_id.clone(),
            etag,
            duration,
            note: String::new(),
            request_id: self.id("pause"),
        };
        let assign = v1::AssignAlertRequest {
            alert_id: alert_id.clone(),
            assignee: "ben".to_owned(),
            request_id: self.id("assign"),
            etag: String::new(),
        };
        let note = v1::AddAlertNoteRequest {
            alert_id,
            note: "turned on the side".to_owned(),
            request_id: self.id("note"),
        };
        vec![
            ("acknowledge", told(alerts.acknowledge_alert(acknowledge).await)),
            ("pause", told(alerts.pause_alert(pause).await)),
            ("assign", told(alerts.assign_alert(assign).await)),
            ("note", told(alerts.add_alert_note(note).await)),
            ("record", told(vitals.record_readings(self.reading.clone()).await)),
        ]
    }

    async fn ask_registry(&self, desk: &Desk) -> Vec<(&'static str, Answer)> {
        let mut registry = desk.registry.clone();
        let (patient, other) = (self.id("newcomer"), self.id("elsewhere"));
        let (device, spare) = (self.id("watch"), self.id("spare"));
        let create_device = |device: &str| v1::CreateDeviceRequest {
            device_id: device.to_owned(),
            site_id: SITE.to_owned(),
            request_id: self.id(&format!("create-{device}")),
        };
        let bind = v1::BindDeviceRequest {
            device_id: device.clone(),
            patient_id: patient.clone(),
            request_id: self.id("bind"),
            ..v1::BindDeviceRequest::default()
        };
        let replace = v1::ReplaceDeviceRequest {
            device_id: device.clone(),
            new_device_id: spare.clone(),
            request_id: self.id("replace"),
            ..v1::ReplaceDeviceRequest::default()
        };
        let unbind = v1::UnbindDeviceRequest {
            device_id: spare.clone(),
            request_id: self.id("unbind"),
            ..v1::UnbindDeviceRequest::default()
        };
        let update = v1::UpdatePatientRequest {
            patient_id: patient.clone(),
            age_group: v1::AgeGroup::Adult.into(),
            request_id: self.id("update"),
            ..v1::UpdatePatientRequest::default()
        };
        let transfer = v1::TransferPatientRequest {
            patient_id: patient.clone(),
            site_id: other.clone(),
            request_id: self.id("transfer"),
        };
        let pause = v1::PausePatientRequest {
            patient_id: patient.clone(),
            request_id: self.id("pause-patient"),
            ..v1::PausePatientRequest::default()
        };
        vec![
            ("site", desk.site(&other, &self.id("site")).await),
            ("patient", desk.patient(&patient, &self.id("patient")).await),
            ("device", told(registry.create_device(create_device(&device)).await)),
            ("spare", told(registry.create_device(create_device(&spare)).await)),
            ("bind", told(registry.bind_device(bind).await)),
            ("replace", told(registry.replace_device(replace).await)),
            ("unbind", told(registry.unbind_device(unbind).await)),
            ("update", told(registry.update_patient(update).await)),
            ("transfer", told(registry.transfer_patient(transfer).await)),
            ("pause patient", told(registry.pause_patient(pause).await)),
            ("profile", desk.put_profile(&self.id("profile")).await),
        ]
    }
}

/// Every answer is one of success.
fn all_done(answers: &[(&'static str, Answer)]) {
    for (what, answer) in answers {
        assert!(answer.is_ok(), "{what}: {answer:?}");
    }
}

fn texts(answers: Vec<(&'static str, Answer)>) -> Vec<(&'static str, String)> {
    answers.into_iter().map(|(what, answer)| (what, answer.expect(what))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_repeated_after_a_crash_gets_its_first_answer_and_changes_nothing() {
    let mut house = House::start(Sql::sqlite()).await;
    let desk = Desk::of(&house).await;
    desk.open_ward().await;
    let watcher = Watcher::new();
    let stream = watcher.follow(house.grpc_url().await).await;
    let work = Work::on(desk.alarm("alarming", &watcher).await, "r");
    let first = texts(work.ask_all(&desk).await);
    house.service.kill9();
    drop(stream.await.expect("no panic"));
    house.service.restart().await;
    let events = "SELECT count(*) FROM alert_events";
    let repeated = "SELECT count(*) FROM audit_events WHERE reason = 'REPEATED'";
    let alarming = "SELECT count(*) FROM audit_events WHERE method LIKE '%/AddAlertNote'";
    wait_until("all to be stored", async || house.sql.number(alarming).await == 1).await;
    let before = house.sql.number(events).await;

    let desk = Desk::of(&house).await;
    let again = texts(work.ask_all(&desk).await);
    assert_eq!(again, first);
    wait_until("the repeats to be on record", async || {
        house.sql.number(repeated).await == first.len()
    })
    .await;
    assert_eq!(house.sql.number(events).await, before, "nothing happened to any alert");

    let other = desk.site("another", &work.id("site")).await.expect_err("another request");
    assert_eq!((other.code(), &*reason(&other)), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
    assert!(house.service.terminate().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_answer_a_crash_took_is_carried_out_once() {
    const PATIENTS: usize = 40;
    let mut house = House::start(Sql::sqlite()).await;
    let desk = Desk::of(&house).await;
    desk.open_ward().await;
    let mut unanswered = Vec::new();
    for round in 0..4 {
        let desk = Desk::of(&house).await;
        let asked: Vec<_> = (0..PATIENTS / 4)
            .map(|number| {
                let (desk, name) = (desk.clone(), format!("p-{round}-{number}"));
                tokio::spawn(async move { (desk.patient(&name, &name).await.is_ok(), name) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(round * 2)).await;
        house.service.kill9();
        for answer in asked {
            unanswered.push(answer.await.expect("no panic").1);
        }
        house.service.restart().await;
    }
    let desk = Desk::of(&house).await;
    for name in &unanswered {
        let first = desk.patient(name, name).await.expect("new, or a repeat");
        assert_eq!(desk.patient(name, name).await.expect("a repeat"), first);
    }
    let added = "SELECT count(*) FROM audit_events
        WHERE method LIKE '%/CreatePatient' AND outcome = 'done' AND reason = ''";
    wait_until("all to be stored", async || house.sql.number(added).await >= PATIENTS).await;
    assert_eq!(house.sql.number(added).await, PATIENTS, "each once");
    assert_eq!(house.sql.number("SELECT count(*) FROM patients").await, PATIENTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_reset_or_give_away_an_alert_at_once_both_are_told_the_truth() {
    let house = House::start(Sql::sqlite()).await;
    let desk = Desk::of(&house).await;
    desk.open_ward().await;
    let watcher = Watcher::new();
    let stream = watcher.follow(house.grpc_url().await).await;
    let alert = desk.alarm("p-1", &watcher).await;
    let assign = |to: &str| {
        let (mut alerts, alert) = (desk.alerts.clone(), alert.clone());
        let request = v1::AssignAlertRequest {
            alert_id: alert.alert_id,
            assignee: to.to_owned(),
            etag: alert.etag,
            request_id: String::new(),
        };
        async move { alerts.assign_alert(request).await.map(tonic::Response::into_inner) }
    };
    let (one, other) = tokio::join!(assign("ben"), assign("eve"));
    let (done, refused) = one_of(one, other);
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Aborted, "ALERT_REASSIGNED"));
    assert!(refused.message().contains(&done.assignee), "{refused}");

    desk.record("p-1", 80.0, "").await.expect("calm");
    wait_until("the signal to latch", async || {
        newest(&watcher, "p-1").await.signal() == v1::SignalState::Latched
    })
    .await;
    let latched = newest(&watcher, "p-1").await;
    let reset = || {
        let (mut alerts, alert) = (desk.alerts.clone(), latched.clone());
        let request = v1::ResetAlertRequest {
            alert_id: alert.alert_id,
            etag: alert.etag,
            request_id: String::new(),
        };
        async move { alerts.reset_alert(request).await.map(tonic::Response::into_inner) }
    };
    let (one, other) = tokio::join!(reset(), reset());
    let (done, refused) = one_of(one, other);
    assert!(done.closed, "{done:?}");
    assert_eq!((refused.code(), &*reason(&refused)), (Code::FailedPrecondition, "ALERT_ENDED"));
    drop(house);
    drop(stream.await.expect("no panic"));
}

fn one_of(one: Result<v1::Alert, Status>, other: Result<v1::Alert, Status>) -> (v1::Alert, Status) {
    match (one, other) {
        (Ok(done), Err(refused)) | (Err(refused), Ok(done)) => (done, refused),
        both => panic!("{both:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_database_away_every_change_is_answered_in_time_and_stored_once_later() {
    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let mut house = House::start(Sql::Postgres(database)).await;
    let desk = Desk::of(&house).await;
    desk.open_ward().await;
    let watcher = Watcher::new();
    let stream = watcher.follow(house.grpc_url().await).await;
    server.stop();
    house.until_store_is("degraded").await;

    let in_time = tokio::time::timeout(PATIENCE * 5, async {
        // Also an alert that the database has never heard of.
        let work = Work::on(desk.alarm("alarming", &watcher).await, "away");
        let first = work.ask_all(&desk).await;
        all_done(&first);
        assert_eq!(texts(work.ask_all(&desk).await), texts(first), "repeats too");
        let latecomer = Watcher::new();
        let late = latecomer.follow(house.grpc_url().await).await;
        assert_eq!(latecomer.told().snapshot.len(), 1, "who begins to watch sees what is open");
        (work, late)
    });
    let (work, late) = in_time.await.expect("nobody waits for the database");
    let calm = desk.record("alarming", 80.0, "calm").await;
    calm.expect("taken");
    wait_until("the signal to latch", async || {
        newest(&watcher, "alarming").await.signal() == v1::SignalState::Latched
    })
    .await;
    let reset = v1::ResetAlertRequest {
        alert_id: work.alert.alert_id.clone(),
        etag: newest(&watcher, "alarming").await.etag,
        request_id: "away-reset".to_owned(),
    };
    let reset = desk.alerts.clone().reset_alert(reset).await.expect("reset").into_inner();
    assert!(reset.closed, "{reset:?}");

    server.restart();
    house.until_store_is("ready").await;
    let phases = format!(
        "SELECT phase, count(*) FROM alert_events WHERE alert_id = '{}' GROUP BY 1 ORDER BY 1",
        work.alert.alert_id
    );
    let one = |phase: &str| vec![phase.to_owned(), "1".to_owned()];
    let twice = vec!["update".to_owned(), "2".to_owned()];
    let expected =
        [one("acknowledge"), one("end"), one("pause"), one("reset"), one("start"), twice];
    wait_until("the alert's story to be stored", async || {
        house.sql.rows(&phases).await.len() == expected.len()
    })
    .await;
    assert_eq!(house.sql.rows(&phases).await, expected);
    for (count, of) in [
        (1, "patients WHERE patient_id = 'away-newcomer' AND age_group = 'adult'"),
        (2, "devices WHERE device_id IN ('away-watch', 'away-spare')"),
        (2, "bindings b JOIN patients p USING (patient_key) WHERE patient_id = 'away-newcomer'"),
        (1, "sites WHERE site_id = 'away-elsewhere'"),
        (3, "readings"),
        (16, "audit_events WHERE reason = 'REPEATED'"),
    ] {
        let count_of = format!("SELECT count(*) FROM {of}");
        wait_until(&count_of, async || house.sql.number(&count_of).await == count).await;
    }
    assert!(house.service.terminate().success());
    drop(stream.await.expect("no panic"));
    drop(late.await.expect("no panic"));
}
