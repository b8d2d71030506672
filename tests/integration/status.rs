//! What devices say of themselves, and what the broker says for those that can't any more: Last
//! Wills, retained statuses and gateways, with a real Mosquitto between them and the service.
//!
//! The rules are those of the default profile for adults, but nobody waits for their delays.

use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use pulseward::profile_file;
use pulseward::proto::v1::{AlertEvent, DeviceStatus};
use pulseward_sim::enroll::Wearing;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::support::device::{Device, online};
use crate::support::house::House;
use crate::support::mosquitto::Mosquitto;
use crate::support::recording::{Recording, SITE};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;
use crate::support::watcher::Watcher;

/// A house, and somebody who watches it.
struct Scene {
    house: House,
    watcher: Watcher,
    stream: JoinHandle<Status>,
}

impl Scene {
    /// With these devices, each worn by a patient.
    async fn begin(devices: &[&str]) -> Self {
        Self::begin_at(House::broker(), devices).await
    }

    async fn begin_at(broker: Mosquitto, devices: &[&str]) -> Self {
        let url = broker.url();
        let house = House::start_at(broker, url, Sql::sqlite()).await;
        let grpc = house.grpc_url().await;
        put_rules(&grpc);
        enroll(&house, devices).await;
        let watcher = Watcher::new();
        let stream = watcher.follow(grpc).await;
        Self { house, watcher, stream }
    }

    async fn connect(&self, device: &str, boot_id: u64) -> Device {
        self.connect_as(device, device, boot_id).await
    }

    async fn connect_as(&self, client_id: &str, device: &str, boot_id: u64) -> Device {
        Device::connect(self.house.broker.port(), client_id, device, boot_id).await
    }

    /// Waits until this run of the service has taken so many messages in.
    async fn taken_in(&self, count: u32) {
        let what = format!("{count} messages to be taken in");
        wait_until(&what, async || {
            let messages = self.house.metric("pulseward_inputs_total{kind=\"publish\"}").await;
            assert!(messages <= f64::from(count), "{messages} messages");
            messages >= f64::from(count)
        })
        .await;
    }

    /// Waits until exactly this was told of patients' alerts.
    async fn told(&self, story: &[&str]) {
        let what = format!("{story:?} to be told");
        self.watcher.until(&what, |told| told.events.len() >= story.len()).await;
        assert_eq!(story_of(&self.watcher.told().events), story);
    }

    /// Waits until exactly this was told of what is no patient's: gateways, and ourselves.
    async fn told_of_others(&self, story: &[&str]) {
        let what = format!("{story:?} to be told of others");
        self.watcher.until(&what, |told| told.others.len() >= story.len()).await;
        assert_eq!(story_of(&self.watcher.told().others), story);
    }

    /// Ends the service; nothing more is told.
    async fn service_ends(&mut self) {
        assert!(self.house.service.terminate().success());
        let ended = std::mem::replace(&mut self.stream, tokio::spawn(std::future::pending()));
        drop(ended.await.expect("no panic"));
    }

    /// Starts the service again, before anybody listens to it.
    async fn service_begins(&mut self) {
        self.house.service.restart().await;
        self.stream = self.watcher.follow(self.house.grpc_url().await).await;
    }
}

/// `phase rule device`, one event after the other.
fn story_of(events: &[AlertEvent]) -> Vec<String> {
    let line = |event: &AlertEvent| {
        let alert = event.alert.as_ref().expect("an event carries its alert");
        let phase = event.phase().as_str_name().trim_start_matches("ALERT_PHASE_").to_lowercase();
        let covered = match alert.covered {
            0 => String::new(),
            covered => format!(" covers {covered}"),
        };
        format!("{phase} {} {}{covered}", alert.rule_id, alert.device_id).trim_end().to_owned()
    };
    events.iter().map(line).collect()
}

/// The default profile for adults, in which what devices say holds at once.
fn rules() -> String {
    let mut text = profile_file::ADULT.to_owned();
    for (rule, delay) in [("device-offline", "2 min"), ("gateway-offline", "60 s")] {
        let rule = text.find(&format!("id = \"{rule}\"")).expect("it has the rule");
        let delay = format!("delay = \"{delay}\"");
        let at = rule + text[rule..].find(&delay).expect("the rule has this delay");
        text.replace_range(at..at + delay.len(), "delay = \"0 s\"");
    }
    text
}

fn put_rules(grpc_url: &str) {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), rules()).expect("written");
    let mut put = Command::new(env!("CARGO_BIN_EXE_pulseward"));
    put.args(["profile", "put", "--everyone", "--grpc", grpc_url]).arg(file.path());
    let output = put.output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn enroll(house: &House, devices: &[&str]) {
    let mut enroller = house.enroller().await;
    enroller.site(SITE, "Intensive care").await.expect("site");
    for device in devices {
        let patient = Recording::patient_of(device);
        enroller.patient(&patient, SITE).await.expect("patient");
        enroller.device(device, SITE).await.expect("device");
        let wearing = Wearing {
            device,
            patient: &patient,
            from: Timestamp::now() - SignedDuration::from_mins(1),
            upload_interval: SignedDuration::ZERO,
            upload_interval_min: SignedDuration::ZERO,
            measures_every: SignedDuration::from_secs(1),
        };
        enroller.bind(&wearing).await.expect("binding");
    }
}

fn with_battery(percent: u32, status: DeviceStatus) -> DeviceStatus {
    DeviceStatus { battery_percent: Some(percent), ..status }
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_dies_is_offline_until_it_is_back() {
    let scene = Scene::begin(&["d1", "d2"]).await;
    let mut device = scene.connect("d1", 7).await;
    device.says_that_it_is_online().await;
    device.dies().await;
    scene.told(&["start device-offline d1"]).await;

    let mut device = scene.connect("d1", 7).await;
    device.says_that_it_is_online().await;
    scene.told(&["start device-offline d1", "end device-offline d1"]).await;
    scene.taken_in(3).await;
}

/// A device that comes back under its own name before the broker has missed it: the broker sends
/// the Last Will of the connection that it gives up, and the device speaks after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_back_before_the_broker_has_missed_it_is_online() {
    let scene = Scene::begin(&["d1"]).await;
    let mut before = scene.connect("d1", 7).await;
    before.says_that_it_is_online().await;
    let mut after = scene.connect("d1", 7).await;
    after.says_that_it_is_online().await;
    scene.told(&["start device-offline d1", "end device-offline d1"]).await;
    scene.taken_in(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_will_of_an_older_boot_that_comes_late_is_ignored() {
    let scene = Scene::begin(&["d1"]).await;
    let mut before = scene.connect_as("d1-boot-7", "d1", 7).await;
    before.says_that_it_is_online().await;
    let mut after = scene.connect_as("d1-boot-8", "d1", 8).await;
    after.says_that_it_is_online().await;
    before.dies().await;
    scene.taken_in(3).await;
    after.says(with_battery(15, online(8, ago(0)))).await;
    scene.told(&["start battery-low d1"]).await;
    after.dies().await;
    scene.told(&["start battery-low d1", "start device-offline d1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_dies_while_the_service_is_down_is_told_of_once_it_is_up() {
    let mut scene = Scene::begin(&["d1"]).await;
    let mut device = scene.connect("d1", 7).await;
    device.says_that_it_is_online().await;
    scene.taken_in(1).await;
    scene.service_ends().await;
    let witness = scene.house.broker.log().len();
    device.dies().await;
    wait_until("the broker to have missed the device", async || {
        scene.house.broker.log()[witness..].contains("Client d1 closed its connection")
    })
    .await;
    scene.service_begins().await;
    scene.told(&["start device-offline d1"]).await;
    // The broker had kept our session, so that nothing is to be told of ourselves.
    scene.told_of_others(&[]).await;
    let name = "as pulseward (p";
    assert_eq!(scene.house.broker.log().matches(name).count(), 2, "{}", scene.house.broker.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_are_ordered_by_boot_and_time_and_not_by_arrival() {
    let scene = Scene::begin(&["d1"]).await;
    let mut device = scene.connect("d1", 7).await;
    device.says(with_battery(15, online(7, ago(20)))).await;
    for older in [online(7, ago(21)), online(6, ago(0))] {
        device.says(with_battery(90, older)).await;
    }
    scene.taken_in(3).await;
    scene.told(&["start battery-low d1"]).await;
    device.says(with_battery(90, online(7, ago(19)))).await;
    scene.told(&["start battery-low d1", "end battery-low d1"]).await;
    device.says(with_battery(15, online(8, ago(30)))).await;
    scene.taken_in(5).await;
    scene.told(&["start battery-low d1", "end battery-low d1", "start battery-low d1"]).await;
}

/// A broker that was set up anew has no session of ours; what devices have left there comes with
/// our first subscription.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_statuses_come_with_the_first_subscription_and_outdated_ones_do_nothing() {
    let devices = ["outdated", "newer", "dead-before", "dead"];
    let mut scene = Scene::begin_at(Mosquitto::start(), &devices).await;
    let mut gateway = scene.connect("gateway", 1).await;
    for device in devices {
        gateway.speaks_for(device, with_battery(80, online(7, ago(20)))).await;
    }
    scene.taken_in(4).await;
    scene.service_ends().await;
    scene.house.broker.restart();

    let mut gateway = scene.connect("gateway", 1).await;
    gateway.speaks_for("outdated", with_battery(10, online(7, ago(21)))).await;
    gateway.speaks_for("newer", with_battery(10, online(7, ago(19)))).await;
    let will = |boot_id| DeviceStatus { boot_id, ..DeviceStatus::default() };
    gateway.speaks_for("dead-before", will(6)).await;
    gateway.speaks_for("dead", will(7)).await;
    scene.service_begins().await;
    scene.taken_in(4).await;
    scene.watcher.until("two alerts", |told| told.events.len() >= 2).await;
    let mut story = story_of(&scene.watcher.told().events);
    story.sort();
    assert_eq!(story, ["start battery-low newer", "start device-offline dead"]);
    // What was published for us while the broker had no session of ours is gone.
    let gap = "pulseward.ingest-gap  covers 4";
    scene.told_of_others(&[&format!("start {gap}"), &format!("end {gap}")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_dies_is_one_alert_for_the_devices_behind_it_until_it_is_back() {
    let behind = ["d1", "d2", "d3"];
    let scene = Scene::begin(&["d1", "d2", "d3", "alone"]).await;
    scene.house.enroller().await.device("gateway", SITE).await.expect("device");
    let mut gateway = scene.connect("gateway", 7).await;
    gateway.says_that_it_is_online().await;
    for device in behind {
        let status = DeviceStatus { gateway: "gateway".to_owned(), ..online(3, ago(0)) };
        gateway.speaks_for(device, status).await;
    }
    scene.taken_in(4).await;
    gateway.dies().await;
    let offline = "gateway-offline gateway covers 3";
    scene.told_of_others(&[&format!("start {offline}")]).await;

    // A device's own Last Will adds nothing to that.
    let device = scene.connect("d1", 3).await;
    device.dies().await;
    scene.taken_in(6).await;
    let mut gateway = scene.connect("gateway", 8).await;
    gateway.says_that_it_is_online().await;
    scene.told_of_others(&[&format!("start {offline}"), &format!("end {offline}")]).await;
    // Now it is offline by itself.
    scene.told(&["start device-offline d1"]).await;
}
