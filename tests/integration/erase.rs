//! Erasure and export through the whole house: the command line against the real service.

use std::process::{Command, Output, Stdio};

use jiff::{SignedDuration, Timestamp};
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::enroll::Wearing;
use pulseward_sim::publish::Message;
use pulseward_sim::sample::{Batch, Sample, Vital};

use crate::support::house::House;
use crate::support::publishing::publish;
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

const SITE: &str = "icu";
const READINGS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patient_is_exported_and_erased_from_the_command_line_on_postgres() {
    exported_and_erased(Sql::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patient_is_exported_and_erased_from_the_command_line_on_sqlite() {
    exported_and_erased(Sql::sqlite()).await;
}

async fn exported_and_erased(sql: Sql) {
    let mut house = House::start(sql).await;
    let mut enroller = house.enroller().await;
    enroller.site(SITE, "Intensive care").await.expect("site");
    let start = Timestamp::now() - SignedDuration::from_secs(100);
    for number in 1..=2 {
        let (patient, device) = (format!("patient-{number}"), format!("monitor-{number}"));
        enroller.patient(&patient, SITE).await.expect("patient");
        enroller.device(&device, SITE).await.expect("device");
        enroller.bind(&wearing(&device, &patient, start)).await.expect("bound");
    }
    publish(&house.broker.url(), vec![message(1, start), message(2, start)]).await;
    let rows = "SELECT count(*) FROM readings";
    let all = 2 * READINGS;
    wait_until("the readings", async || house.sql.number(rows).await == all).await;

    let config = house.service.dir().join("pulseward.toml").display().to_string();
    let out = house.service.dir().join("patient-1.jsonl").display().to_string();
    let exported =
        pulseward(&["export", "--patient", "patient-1", "--config", &config, "--out", &out]);
    assert!(exported.status.success(), "{exported:?}");
    let text = std::fs::read(&out).expect("written");
    let counts = pulseward::export::check(text.as_slice()).expect("whole");
    assert_eq!((counts["reading"], counts["binding"]), (READINGS as u64, 1));

    let dry = pulseward(&["erase", "--patient", "patient-1", "--dry-run", "--config", &config]);
    let told = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(told.contains(&format!("{READINGS} reading\n")), "{dry:?}");
    assert!(told.ends_with("nothing was deleted\n"), "{told}");

    let grpc = house.grpc_url().await;
    let erase = |more: &[&str]| pulseward(&[&["erase", "--grpc", &grpc], more].concat());
    let unasked = erase(&["--patient", "patient-1"]);
    assert!(!unasked.status.success(), "nobody was asked");
    assert_eq!(house.sql.number(rows).await, all);
    let erased = erase(&["--patient", "patient-1", "--yes"]);
    assert!(erased.status.success(), "{erased:?}");
    let line = String::from_utf8_lossy(&erased.stdout).into_owned();
    assert!(line.starts_with("patient-1,") && line.lines().count() == 1, "{line}");
    assert_eq!(house.sql.number(rows).await, READINGS);
    let first = "SELECT count(*) FROM readings WHERE patient_key = 0";
    assert_eq!(house.sql.number(first).await, 0);
    let verified = pulseward(&["audit", "verify", "--config", &config]);
    assert!(verified.status.success(), "the chain is whole: {verified:?}");
    let about = "SELECT count(*) FROM audit_events WHERE method LIKE '%/CreatePatient'";
    assert_eq!(house.sql.number(about).await, 2);
    let told = format!("{about} AND salt IS NULL AND detail IS NULL AND patients IS NULL");
    assert_eq!(house.sql.number(&told).await, 1, "of one of two");
    let gone = pulseward(&["export", "--patient", "patient-1", "--config", &config]);
    assert!(!gone.status.success() && gone.stdout.is_empty(), "{gone:?}");

    let again = erase(&["--patient", "patient-1", "--yes"]);
    assert!(!again.status.success(), "{again:?}");
    let list = house.service.dir().join("erased.csv");
    std::fs::write(&list, line).expect("written");
    enroller.patient("patient-1", SITE).await.expect("the id is free");
    let applied = erase(&["--from", &list.display().to_string(), "--yes"]);
    assert!(applied.status.success(), "{applied:?}");
    let told = String::from_utf8_lossy(&applied.stderr).into_owned();
    assert!(told.contains("0 erased, 1 passed over"), "{told}");
    house.service.kill9();
    house.service.restart().await;
    assert_eq!(house.sql.number(rows).await, READINGS, "also after a crash");
}

fn wearing<'a>(device: &'a str, patient: &'a str, from: Timestamp) -> Wearing<'a> {
    let interval = SignedDuration::from_mins(5);
    Wearing {
        device,
        patient,
        from,
        upload_interval: interval,
        upload_interval_min: interval,
        measures_every: SignedDuration::from_secs(1),
    }
}

fn message(number: u64, start: Timestamp) -> Message {
    let sample = |place: usize| Sample {
        measured_at: start + SignedDuration::from_secs(i64::try_from(place).expect("small") + 1),
        vital: Vital::HeartRate,
        value: 70.0,
    };
    let samples: Vec<_> = (0..READINGS).map(sample).collect();
    let device = format!("monitor-{number}");
    let batch = Batch { device: device.into(), boot_id: 1, first_seq: 0, samples };
    encode::message(SITE, batch, Encoding::Protobuf, Timestamp::now())
}

fn pulseward(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulseward"));
    // Nobody is there to be asked.
    command.args(arguments).stdin(Stdio::null()).output().expect("runs")
}
