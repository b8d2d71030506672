//! Live vitals over the wire: how a stream begins, goes on and ends, and that it is on record.

use tokio_stream::StreamExt;
use tonic::{Code, Status, Streaming};

use super::fakes::{Door, open_watching, settings};
use super::{check, fields, id};
use crate::engine::audit::{Method, Outcome};
use crate::engine::output::{Done, Quality, Refusal};
use crate::engine::query::{LivePage, NewestReading, Question};
use crate::hub::vitals::tests::House;
use crate::proto::v1;
use crate::proto::v1::stored_reading::Value as WireValue;
use crate::proto::v1::watch_vitals_response::Message;
use crate::vitals::{AbsentReason, DeviceKey, PatientKey, Quantity, Value, Vital};

fn knows(door: &Door, readings: Vec<NewestReading>, next_behind: Option<&str>) {
    let page = LivePage { readings, next_behind: next_behind.map(id) };
    door.commands.queries.answer(Ok(Ok(Done::Live(Box::new(page)))));
}

fn newest(number: u32, value: Value) -> NewestReading {
    NewestReading {
        patient: id(&format!("p-{number}")),
        patient_key: PatientKey(number),
        device: id(&format!("d-{number}")),
        device_key: DeviceKey(number),
        vital: Vital::HeartRate,
        measured_at: House::time(0),
        value,
        quality: Quality::QUESTIONABLE,
    }
}

fn of_north() -> v1::WatchVitalsRequest {
    v1::WatchVitalsRequest {
        site_ids: vec!["north".into()],
        patient_ids: vec!["p-7".into()],
        vitals: vec![],
        per_second_max: 10.0,
    }
}

/// The next message that is no heartbeat.
async fn next(watch: &mut Streaming<v1::WatchVitalsResponse>) -> Result<Message, Status> {
    loop {
        let next = tokio::time::timeout(std::time::Duration::from_secs(30), watch.next()).await;
        match next.expect("in time").expect("it never just stops")?.message.expect("one") {
            Message::Heartbeat(_) => {}
            message => return Ok(message),
        }
    }
}

#[tokio::test]
async fn a_stream_begins_with_what_is_known_page_by_page_and_goes_on_with_what_comes_in() {
    let mut house = House::new();
    let door = open_watching(house.handle(), settings()).await;
    let rate = |rate| Value::Quantity(Quantity::whole(rate));
    knows(&door, vec![newest(1, rate(80))], Some("p-1"));
    knows(&door, vec![newest(2, Value::Absent(AbsentReason::SensorOff))], None);
    let watch = door.vitals().watch_vitals(of_north()).await.expect("opened");
    let mut watch = watch.into_inner();
    let Message::Reading(first) = next(&mut watch).await.expect("told") else {
        panic!("a reading")
    };
    assert_eq!((&*first.patient_id, first.conflated), ("p-1", 0));
    let reading = first.reading.expect("a reading");
    assert_eq!((reading.value, &*reading.unit), (Some(WireValue::Quantity(80.0)), "/min"));
    assert_eq!(reading.flags, [i32::from(v1::ReadingFlag::Questionable)]);
    assert_eq!((&*reading.device_id, reading.received_at, reading.stored_at), ("d-1", None, None));
    let Message::Reading(second) = next(&mut watch).await.expect("told") else { panic!("another") };
    let absent = Some(WireValue::Absent(v1::AbsentReason::SensorOff.into()));
    assert_eq!((&*second.patient_id, second.reading.expect("one").value), ("p-2", absent));
    assert!(matches!(next(&mut watch).await, Ok(Message::Begun(_))));

    house.enroll(3, "north");
    house.measure(3, 5, 120);
    let Message::Reading(live) = next(&mut watch).await.expect("told") else { panic!("a reading") };
    let reading = live.reading.expect("a reading");
    assert_eq!((&*live.patient_id, reading.value), ("p3", Some(WireValue::Quantity(120.0))));
    assert!(reading.received_at.is_some());
    house.move_to(3, "south");
    let Message::LeftScope(left) = next(&mut watch).await.expect("told") else { panic!("left") };
    assert_eq!(left.patient_id, "p3");

    let asked: Vec<_> = door.commands.queries.seen().into_iter().map(|it| it.question).collect();
    let behind = |question: &Question| match question {
        Question::Live(asked) => (asked.sites.len(), asked.patients.len(), asked.behind.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!([behind(&asked[0]), behind(&asked[1])], [(1, 1, None), (1, 1, Some(id("p-1")))]);
    drop(watch);
    let recorded = door.commands.recorded_in_time(2).await;
    let outcomes: Vec<_> = recorded.iter().map(|it| (it.method, it.outcome)).collect();
    let on_record = |outcome| (Method::WatchVitals, outcome);
    assert_eq!(outcomes, [on_record(Outcome::Opened), on_record(Outcome::Closed)]);
    assert_eq!(recorded[0].about.patients, [id("p-7")]);
    assert_eq!(recorded[0].about.site, Some(id("north")));
    door.close().await;
}

#[tokio::test]
async fn a_stream_of_what_is_not_the_callers_never_opens_and_that_is_on_record() {
    let house = House::new();
    let door = open_watching(house.handle(), settings()).await;
    let refusal = Refusal::NotFound { kind: "patient", id: "p-7".to_owned() };
    door.commands.queries.answer(Ok(Err(refusal)));
    let status = door.vitals().watch_vitals(of_north()).await.expect_err("not there");
    check(&status, Code::NotFound, "PATIENT_NOT_FOUND");
    let wrong = v1::WatchVitalsRequest { per_second_max: 99.0, ..of_north() };
    let status = door.vitals().watch_vitals(wrong).await.expect_err("wrong");
    assert_eq!(fields(&status), ["per_second_max"]);
    let reasons: Vec<_> = door.commands.recorded().into_iter().map(|it| it.reason).collect();
    assert_eq!(reasons, ["PATIENT_NOT_FOUND", "INVALID_FIELDS"]);
    door.close().await;
}

#[tokio::test]
async fn a_stream_ends_with_why() {
    let house = House::new();
    let door = open_watching(house.handle(), settings()).await;
    knows(&door, vec![], None);
    let mut watch = door.vitals().watch_vitals(of_north()).await.expect("opened").into_inner();
    assert!(matches!(next(&mut watch).await, Ok(Message::Begun(_))));
    door.stopping.cancel();
    let status = next(&mut watch).await.expect_err("ends");
    check(&status, Code::Unavailable, "SERVICE_STOPPING");
    let closed = door.commands.recorded_in_time(2).await.remove(1);
    assert_eq!((closed.outcome, &*closed.reason), (Outcome::Closed, "SERVICE_STOPPING"));
    door.close().await;
}
