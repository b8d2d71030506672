//! A data directory that is lost with readings that were acknowledged and not stored, and the house
//! that goes on without it: rebuilt from the database by the real command, with alerts that go on,
//! devices that send again, and every reading that is lost told by its number.

use std::path::PathBuf;
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use pulseward::proto::v1;
use pulseward::proto::v1::alert_service_client::AlertServiceClient;
use pulseward::proto::v1::ingest_service_client::IngestServiceClient;
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::enroll::Wearing;
use pulseward_sim::publish::Message;
use pulseward_sim::sample::{Batch, Sample, Vital};
use pulseward_sim::ward;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::support::house::House;
use crate::support::publishing::publish;
use crate::support::recording::{RULES, SITE};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;
use crate::support::watcher::Watcher;

/// Readings of a message, one a second.
const READINGS: u64 = 5;
const BOOT: u64 = 7;
const DEVICES: [&str; 2] = ["monitor-01", "monitor-02"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_data_directory_is_rebuilt_and_the_house_goes_on_on_postgres() {
    goes_on(Sql::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_data_directory_is_rebuilt_and_the_house_goes_on_on_sqlite() {
    goes_on(Sql::sqlite()).await;
}

async fn goes_on(sql: Sql) {
    let mut ward = Ward::open(sql).await;
    // Thirty readings of each device are stored: both alerts are open, one is acknowledged.
    ward.publish(&[(0, 0..6, 130.0), (1, 0..6, 130.0)]).await;
    ward.house.stored(60).await;
    let alerts = ward.open_alerts().await;
    ward.acknowledge(&alerts[0]).await;
    ward.until_stored_signal(&alerts[0], "acknowledged").await;
    let watcher = Watcher::new();
    let stream = watcher.follow(ward.house.grpc_url().await).await;
    // Twenty more are acknowledged to the devices, and the database takes none of them.
    let hold = ward.house.sql.hold().await;
    ward.publish(&[(0, 6..8, 130.0), (1, 6..8, 130.0)]).await;
    ward.admitted(80.0).await;
    ward.house.service.kill9();
    drop(stream.await.expect("no panic"));
    hold.release().await;
    assert_eq!(ward.house.sql.number("SELECT count(*) FROM readings").await, 60);

    ward.restores(&watcher).await;

    // The first device sends again from what is stored on, but for one message; the second goes on.
    ward.publish(&[(0, 4..6, 130.0), (0, 7..9, 130.0), (1, 8..9, 130.0)]).await;
    ward.house.stored(60 + 15).await;
    assert_eq!(ward.missing(0).await, [(31, 35)]);
    assert_eq!(ward.missing(1).await, [(31, 40)], "to the reading");
    ward.publish(&[(0, 9..10, 80.0), (1, 9..10, 80.0)]).await;
    ward.house.stored(60 + 15 + 10).await;
    assert!(ward.house.service.terminate().success());
    ward.check_stories(&alerts).await;
    let distinct = "SELECT count(*) FROM (SELECT DISTINCT device_key, measured_at FROM readings) d";
    assert_eq!(ward.house.sql.number(distinct).await, 85, "nothing is stored twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_cut_off_is_run_again() {
    let mut ward = Ward::open(Sql::sqlite()).await;
    ward.publish(&[(0, 0..2, 80.0)]).await;
    ward.house.stored(10).await;
    assert!(ward.house.service.terminate().success());
    std::fs::remove_dir_all(ward.journal()).expect("lost");
    check(&ward.restore(&["--yes"]), 0, "Restored: ");
    let cursor = "SELECT journal_id, position FROM journal_cursor";
    let after = ward.house.sql.rows(cursor).await;

    // Cut off before the database knew.
    let parent = "SELECT parent_journal_id, parent_position FROM journals WHERE how = 'restored'";
    let [id, position] = &ward.house.sql.rows(parent).await[0][..] else { panic!("a parent") };
    let back = format!("UPDATE journal_cursor SET journal_id = '{id}', position = {position}");
    ward.house.sql.rows(&back).await;
    ward.house.sql.rows("DELETE FROM journals WHERE how = 'restored'").await;
    check(&ward.restore(&[]), 0, "only the database does not know it yet");
    check(&ward.restore(&["--yes"]), 0, "Restored: ");
    assert_eq!(ward.house.sql.rows(cursor).await, after, "the same journal");

    // Cut off before the journal was whole.
    ward.house.sql.rows(&back).await;
    std::fs::write(ward.journal().join("restoring"), "").expect("marked");
    ward.house.service.relaunch();
    assert!(!ward.house.service.wait().success());
    assert!(ward.house.service.log().contains("was cut off: run `pulseward restore"));
    check(&ward.restore(&["--yes"]), 0, "Restored: ");
    assert_ne!(ward.house.sql.rows(cursor).await, after, "another journal");
    ward.house.service.restart().await;
    ward.publish(&[(0, 1..3, 80.0)]).await;
    ward.house.stored(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_restored_from_nothing_or_over_something() {
    let ward = Ward::open(Sql::sqlite()).await;
    check(&ward.restore(&["--yes"]), 1, "another process holds it");
    let mut other = Ward::open(Sql::sqlite()).await;
    assert!(other.house.service.terminate().success());
    check(&other.restore(&["--yes"]), 1, "holds a journal. If it can still be opened");
    let files = |dir: PathBuf| std::fs::read_dir(dir).expect("listed").count();
    assert!(files(other.journal()) > 2, "nothing was touched");
    std::fs::remove_dir_all(other.journal()).expect("removed");
    other.house.sql.rows("DELETE FROM journal_cursor").await;
    check(&other.restore(&["--yes"]), 1, "there is nothing to restore from");
    assert!(!other.journal().exists());
}

fn check(output: &Output, code: i32, told: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(told), "{said}");
}

/// A house with two patients, whose devices measure their heart rate.
struct Ward {
    house: House,
    start: Timestamp,
}

impl Ward {
    async fn open(sql: Sql) -> Self {
        let house = House::start(sql).await;
        let whole = TimestampRound::new().smallest(Unit::Second);
        let now = Timestamp::now().round(whole).expect("in range");
        let start = now - SignedDuration::from_mins(10);
        let mut enroller = house.enroller().await;
        enroller.site(SITE, "Intensive care").await.expect("site");
        enroller.put_profile(SITE, ward::profile(RULES)).await.expect("profile");
        for device in DEVICES {
            let patient = format!("patient-of-{device}");
            enroller.patient(&patient, SITE).await.expect("patient");
            enroller.device(device, SITE).await.expect("device");
            let wearing = Wearing {
                device,
                patient: &patient,
                from: start - SignedDuration::from_mins(1),
                upload_interval: SignedDuration::from_hours(24),
                upload_interval_min: SignedDuration::from_hours(24),
                measures_every: SignedDuration::from_secs(1),
            };
            enroller.bind(&wearing).await.expect("binding");
        }
        Self { house, start }
    }

    /// Publishes messages of devices, by their place in the story, with heart rates.
    async fn publish(&self, parts: &[(usize, std::ops::Range<u64>, f64)]) {
        let messages = parts.iter().flat_map(|(device, range, rate)| {
            range.clone().map(|number| self.message(DEVICES[*device], number, *rate))
        });
        publish(&self.house.broker.url(), messages.collect()).await;
    }

    fn message(&self, device: &str, number: u64, value: f64) -> Message {
        let sample = |place: u64| Sample {
            measured_at: self.start
                + SignedDuration::from_secs((number * READINGS + place).cast_signed()),
            vital: Vital::HeartRate,
            value,
        };
        let batch = Batch {
            device: device.into(),
            boot_id: BOOT,
            first_seq: number * READINGS + 1,
            samples: (0..READINGS).map(sample).collect(),
        };
        encode::message(SITE, batch, Encoding::Protobuf, Timestamp::now())
    }

    async fn admitted(&self, count: f64) {
        wait_until("readings to be admitted", async || {
            self.house.metric("pulseward_readings_admitted_total").await >= count
        })
        .await;
    }

    async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.house.grpc_url().await).expect("an address").connect_lazy()
    }

    /// The ids of the patients' open alerts, by patient.
    async fn open_alerts(&self) -> Vec<String> {
        let sql = "SELECT alert_id FROM alerts JOIN patients USING (patient_key) \
                   WHERE NOT is_over ORDER BY patient_id";
        let alerts: Vec<_> = self.house.sql.rows(sql).await.into_iter().flatten().collect();
        assert_eq!(alerts.len(), 2, "{alerts:?}");
        alerts
    }

    async fn acknowledge(&self, alert: &str) {
        let mut client = AlertServiceClient::new(self.channel().await);
        let request = v1::AcknowledgeAlertRequest {
            alert_id: alert.to_owned(),
            etag: "1".to_owned(),
            ..v1::AcknowledgeAlertRequest::default()
        };
        client.acknowledge_alert(request).await.expect("acknowledged");
    }

    async fn until_stored_signal(&self, alert: &str, signal: &str) {
        let sql = format!("SELECT signal FROM alerts WHERE alert_id = '{alert}'");
        wait_until("the alert's row", async || self.house.sql.rows(&sql).await[0][0] == signal)
            .await;
    }

    /// Spans of numbers that a device's report calls missing.
    async fn missing(&self, device: usize) -> Vec<(u64, u64)> {
        let mut client = IngestServiceClient::new(self.channel().await);
        let device_id = DEVICES[device].to_owned();
        let report = client.get_device_report(v1::GetDeviceReportRequest { device_id }).await;
        let report = report.expect("reported").into_inner();
        report.gaps.iter().map(|gap| (gap.first_seq, gap.last_seq)).collect()
    }

    fn journal(&self) -> PathBuf {
        self.house.service.dir().join("journal")
    }

    fn restore(&self, options: &[&str]) -> Output {
        let dir = self.house.service.dir();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pulseward"));
        command.current_dir(dir).args(["restore", "--from-store", "--config", "pulseward.toml"]);
        command.args(options).output().expect("runs")
    }

    /// Loses the data directory, restores it by the command, and starts the service again.
    async fn restores(&mut self, watcher: &Watcher) {
        check(&self.restore(&["--yes"]), 1, "holds a journal");
        std::fs::remove_dir_all(self.journal()).expect("lost");
        let told = self.restore(&[]);
        check(&told, 0, "Nothing was changed");
        check(&told, 0, "2 devices with their numbers, 2 open alerts");
        assert!(!self.journal().exists());
        check(&self.restore(&["--yes", "--report", "lost.csv"]), 0, "Restored: ");
        let report = std::fs::read_to_string(self.house.service.dir().join("lost.csv"));
        let report = report.expect("written");
        let lines: Vec<_> = report.lines().skip(1).map(|line| line.rsplit_once(',')).collect();
        let stored = |device| format!("{SITE},{device},patient-of-{device},{BOOT},30,0");
        assert_eq!(lines.len(), 2);
        for (line, device) in lines.into_iter().zip(DEVICES) {
            assert_eq!(line.expect("columns").0, stored(device));
        }
        let lineage = "SELECT how, parent_position IS NULL FROM journals ORDER BY began_at";
        let how: Vec<_> =
            self.house.sql.rows(lineage).await.into_iter().map(|row| row[0].clone()).collect();
        assert_eq!(how, ["first", "restored"]);
        self.house.service.restart().await;
        let refused = watcher.stream(self.house.grpc_url().await).await;
        assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
        let again = Watcher::new();
        let stream = again.follow(self.house.grpc_url().await).await;
        assert_eq!(again.told().snapshot.len(), 3, "both alerts, and that messages may be lost");
        // It ends with the service.
        drop(stream);
    }

    /// Each alert started once and goes on over the restore; what was done about it still holds.
    async fn check_stories(&self, alerts: &[String]) {
        let expected: [&[&str]; 2] = [
            &[
                "start reading on",
                "acknowledge request acknowledged",
                "indeterminate restored acknowledged",
                "update reading acknowledged",
                "end reading off",
            ],
            &[
                "start reading on",
                "indeterminate restored on",
                "update reading on",
                "end reading off",
            ],
        ];
        for (alert, expected) in alerts.iter().zip(expected) {
            let sql = format!(
                "SELECT phase, cause, signal FROM alert_events WHERE alert_id = '{alert}' \
                 ORDER BY revision"
            );
            let story = self.house.sql.rows(&sql).await;
            let story: Vec<_> = story.iter().map(|row| row.join(" ")).collect();
            assert_eq!(story, expected);
        }
        let starts = "SELECT count(*) FROM alert_events WHERE phase = 'start' \
                      AND rule_version > 0";
        assert_eq!(self.house.sql.number(starts).await, 2, "no alert began anew");
    }
}
