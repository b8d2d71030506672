//! The helpers keep their word: what they start is private, comes back where it was, and goes.

use std::net::TcpStream;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};

use crate::support::mosquitto::{self, Mosquitto};
use crate::support::postgres::{Database, PrivateServer, connect};
use crate::support::wait::{wait_until, wait_within};

fn mqtt_client(broker: &Mosquitto) -> (AsyncClient, EventLoop) {
    AsyncClient::new(MqttOptions::new("support-claims", "127.0.0.1", broker.port()), 10)
}

/// Polls until the broker sends what `wanted` picks.
async fn until_incoming(events: &mut EventLoop, mut wanted: impl FnMut(&Incoming) -> bool) {
    let search = async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.expect("link holds")
                && wanted(&packet)
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), search).await.expect("the broker answers");
}

#[tokio::test]
async fn a_persistent_broker_keeps_retained_messages_over_a_stop() {
    let settings = mosquitto::Settings { persistent: true, ..Default::default() };
    let mut broker = Mosquitto::start_with(settings);
    let (client, mut events) = mqtt_client(&broker);
    client.publish("kept", QoS::AtLeastOnce, true, "here").await.expect("queued");
    until_incoming(&mut events, |packet| matches!(packet, Incoming::PubAck(_))).await;

    let port = broker.port();
    broker.restart();
    assert_eq!(broker.port(), port);

    let (client, mut events) = mqtt_client(&broker);
    client.subscribe("kept", QoS::AtLeastOnce).await.expect("queued");
    until_incoming(
        &mut events,
        |packet| matches!(packet, Incoming::Publish(publish) if publish.payload == "here"),
    )
    .await;
}

#[test]
fn two_brokers_stand_beside_each_other_and_go_with_their_tests() {
    let (one, mut other) = (Mosquitto::start(), Mosquitto::start());
    assert_ne!(one.url(), other.url());
    let port = one.port();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    drop(one);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    other.kill();
    assert!(other.log().contains("Opening ipv4 listen socket"), "{}", other.log());
}

#[tokio::test]
async fn a_database_is_empty_and_goes_with_its_test() {
    let database = Database::create().await;
    let name = database.url().rsplit('/').next().expect("has a path").to_owned();
    let connection = database.connect().await;
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    let row = connection.query_one(tables, &[]).await.expect("answers");
    assert_eq!(row.get::<_, i64>(0), 0);
    drop(database);

    let other = Database::create().await;
    let count = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let row = other.connect().await.query_one(count, &[&name]).await.expect("answers");
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_private_server_keeps_what_was_committed_over_a_kill() {
    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let before = database.connect().await;
    before
        .batch_execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        .await
        .expect("ok");

    server.kill();
    wait_until("the connection to break", async || before.is_closed()).await;
    server.restart();

    let after = database.connect().await;
    let row = after.query_one("SELECT n FROM kept", &[]).await.expect("answers");
    assert_eq!(row.get::<_, i32>(0), 7);
    server.stop();
    assert!(TcpStream::connect(server_address(&server)).is_err());
    server.restart();
    connect(&server.url()).await;
}

fn server_address(server: &PrivateServer) -> String {
    let url = server.url();
    let authority = url.split('@').nth(1).expect("has a user");
    authority.split('/').next().expect("has a host").to_owned()
}

#[tokio::test]
#[should_panic(expected = "waited 20ms in vain for the impossible")]
async fn waiting_in_vain_names_what_was_waited_for() {
    wait_within(Duration::from_millis(20), "the impossible", async || None::<()>).await;
}
