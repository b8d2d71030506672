//! Whatever lies between a device and the database fails under load: the broker, the service, and
//! the network on either side of the broker. What the broker has acknowledged to the devices is
//! stored, each reading once, and an interruption of our own calls no patient silent (V10).
//!
//! A ward measures all the while. Its gateway keeps what the broker has not acknowledged, and sends
//! it again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pulseward_sim::enroll::Wearing;
use pulseward_sim::proto::v1;

use crate::support::house::{House, assert_same};
use crate::support::live_ward::LiveWard;
use crate::support::network::Network;
use crate::support::recording::{Recording, SITE};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

/// A patient of whom nothing comes for so long is called silent, provided that we listen.
const SILENT_AFTER: Duration = Duration::from_secs(2);
/// Longer than that.
const LONG: Duration = Duration::from_millis(2500);
/// Long enough for some hundred messages to pile up.
const SHORT: Duration = Duration::from_millis(500);
/// What each part of what is sent takes on a slow network: a bad radio link.
const SLOW: Duration = Duration::from_millis(200);
/// Messages after which an interruption is over, or the next may come.
const WORK: usize = 300;

/// A ward at work, and everything that may fail.
struct Scene {
    house: House,
    ward: LiveWard,
    /// Between the service and the broker.
    inner: Network,
    /// Between the ward's gateway and the broker.
    outer: Network,
}

impl Scene {
    async fn begin(sql: Sql) -> Self {
        let broker = House::broker();
        let inner = Network::to(broker.port()).await;
        let outer = Network::to(broker.port()).await;
        let house = House::start_at(broker, inner.mqtt_url(), sql).await;
        enroll(&house).await;
        // Nobody is silent before the service has seen that nothing was left for it.
        wait_until("the service to have caught up", async || {
            house.metric("pulseward_inputs_total{kind=\"link\"}").await >= 2.0
        })
        .await;
        let ward = LiveWard::start(&outer.mqtt_url());
        let mut scene = Self { house, ward, inner, outer };
        scene.works().await;
        scene
    }

    /// Waits until messages come all the way again, and enough of them.
    async fn works(&mut self) {
        let before = self.taken_in().await;
        self.ward.sends(WORK).await;
        wait_until("messages to be taken in", async || {
            self.taken_in().await >= before + f64::from(u32::try_from(WORK).expect("few"))
        })
        .await;
    }

    /// Messages that this run of the service has taken in.
    async fn taken_in(&self) -> f64 {
        self.house.metric("pulseward_inputs_total{kind=\"publish\"}").await
    }

    /// Ends the ward's day, and asserts that every reading is stored once; the rules that have
    /// raised alerts, and how often, sorted.
    async fn end(mut self) -> Vec<(String, usize)> {
        self.works().await;
        let measured = self.ward.fall_silent().await;
        self.house.stored(measured.len()).await;
        // The rule does its work once there is something to tell.
        let devices = LiveWard::devices().len();
        let silent = "SELECT count(*) FROM alerts WHERE rule_id = 'silent' AND NOT is_over";
        wait_until("the silence of all to be told", async || {
            self.house.sql.number(silent).await == devices
        })
        .await;
        assert!(self.house.service.terminate().success());
        assert_same(&self.house.stored_readings().await, &measured);
        alerts(&self.house.sql).await
    }

    /// [`Scene::end`] where nothing but our own parts have failed: nobody is called silent before
    /// they are, and the broker has never lost our session.
    async fn end_in_peace(self) {
        let alerts = self.end().await;
        let own = ("pulseward.ingest".to_owned(), 1);
        let alerts: Vec<_> = alerts.into_iter().filter(|told| *told != own).collect();
        assert_eq!(alerts, [("silent".to_owned(), LiveWard::devices().len())]);
    }
}

async fn alerts(sql: &Sql) -> Vec<(String, usize)> {
    let rules = sql.rows("SELECT rule_id, count(*) FROM alerts GROUP BY rule_id ORDER BY 1").await;
    let told = |row: Vec<String>| (row[0].clone(), row[1].parse().expect("a number"));
    rules.into_iter().map(told).collect()
}

async fn enroll(house: &House) {
    let mut enroller = house.enroller().await;
    enroller.site(SITE, "Intensive care").await.expect("site");
    enroller.put_profile(SITE, profile()).await.expect("profile");
    for device in LiveWard::devices() {
        let patient = Recording::patient_of(&device);
        enroller.patient(&patient, SITE).await.expect("patient");
        enroller.device(&device, SITE).await.expect("device");
        let wearing = Wearing {
            device: &device,
            patient: &patient,
            from: Timestamp::now() - SignedDuration::from_mins(1),
            upload_interval: SignedDuration::ZERO,
            upload_interval_min: SignedDuration::ZERO,
            measures_every: SignedDuration::from_millis(500),
        };
        enroller.bind(&wearing).await.expect("binding");
    }
}

fn profile() -> v1::Profile {
    let silence = v1::SilenceRule {
        vital: v1::Vital::HeartRate.into(),
        intervals: 3.0,
        priority: v1::Priority::Medium.into(),
        at_least: Some(SILENT_AFTER.try_into().expect("seconds")),
    };
    let kind = Some(v1::rule::Kind::Silence(silence));
    v1::Profile {
        rules: vec![v1::Rule { rule_id: "silent".to_owned(), kind, ..v1::Rule::default() }],
    }
}

async fn the_broker_restarts(sql: Sql) {
    let mut scene = Scene::begin(sql).await;
    scene.house.broker.stop();
    scene.ward.measures_for(LONG).await;
    scene.house.broker.restart();
    scene.works().await;
    scene.house.broker.restart();
    scene.end_in_peace().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_restart_under_load_loses_and_doubles_nothing_on_postgres() {
    the_broker_restarts(Sql::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_restart_under_load_loses_and_doubles_nothing_on_sqlite() {
    the_broker_restarts(Sql::sqlite()).await;
}

async fn the_service_restarts(sql: Sql) {
    let mut scene = Scene::begin(sql).await;
    assert!(scene.house.service.terminate().success());
    scene.ward.measures_for(LONG).await;
    scene.house.service.restart().await;
    scene.works().await;
    scene.house.service.kill9();
    scene.ward.measures_for(SHORT).await;
    scene.house.service.restart().await;
    scene.works().await;
    scene.house.service.restart().await;
    scene.end_in_peace().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_restart_under_load_loses_and_doubles_nothing_on_postgres() {
    the_service_restarts(Sql::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_restart_under_load_loses_and_doubles_nothing_on_sqlite() {
    the_service_restarts(Sql::sqlite()).await;
}

/// Cuts a network, lets it stand still, and cuts it while it stands still; then it is slow.
async fn fail(scene: &mut Scene, network: fn(&Scene) -> &Network, first: Duration) {
    network(scene).cut().await;
    scene.ward.measures_for(first).await;
    network(scene).heal();
    scene.works().await;
    network(scene).stall();
    scene.ward.measures_for(SHORT).await;
    network(scene).heal();
    scene.works().await;
    network(scene).stall();
    scene.ward.measures_for(SHORT).await;
    network(scene).cut().await;
    network(scene).heal();
    scene.works().await;
    network(scene).slow_down(SLOW);
    scene.works().await;
    network(scene).heal();
}

async fn the_service_is_cut_off(sql: Sql) {
    let mut scene = Scene::begin(sql).await;
    fail(&mut scene, |scene| &scene.inner, LONG).await;
    let lost = scene.house.metric("pulseward_mqtt_connections_lost_total{client=\"source\"}").await;
    assert_eq!(lost, 2.0, "a network that stood still for a moment is no loss");
    scene.end_in_peace().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_between_broker_and_service_loses_and_doubles_nothing_on_postgres() {
    the_service_is_cut_off(Sql::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_between_broker_and_service_loses_and_doubles_nothing_on_sqlite() {
    the_service_is_cut_off(Sql::sqlite()).await;
}

/// Here it is the patients of whom nothing comes: if that lasts, they are silent, and rightly
/// so. The service itself has nothing to tell.
async fn the_gateway_is_cut_off(sql: Sql) {
    let mut scene = Scene::begin(sql).await;
    fail(&mut scene, |scene| &scene.outer, SHORT).await;
    let alerts = scene.end().await;
    assert!(alerts.iter().all(|(rule, _)| rule == "silent"), "{alerts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_between_gateway_and_broker_loses_and_doubles_nothing_on_postgres() {
    the_gateway_is_cut_off(Sql::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_between_gateway_and_broker_loses_and_doubles_nothing_on_sqlite() {
    the_gateway_is_cut_off(Sql::sqlite()).await;
}
