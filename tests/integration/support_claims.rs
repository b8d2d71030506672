//! The helpers keep their word: what they start is private, comes back where it was, and goes.

use std::net::TcpStream;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::mosquitto::{self, Mosquitto};
use crate::support::network::Network;
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

/// A server that says back what it hears, and a client of it through a network.
async fn echo_through_a_network() -> (Network, tokio::net::TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                drop(tokio::io::copy(&mut reads, &mut writes).await);
            });
        }
    });
    let network = Network::to(port).await;
    let client = tokio::net::TcpStream::connect(("127.0.0.1", network.port())).await;
    (network, client.expect("it listens"))
}

async fn say(client: &mut tokio::net::TcpStream, word: u8) {
    client.write_all(&[word]).await.expect("nobody has told us");
}

async fn hear(client: &mut tokio::net::TcpStream) -> std::io::Result<u8> {
    let heard = tokio::time::timeout(Duration::from_secs(30), client.read_u8()).await;
    heard.expect("an answer or an end")
}

#[tokio::test]
async fn a_stalled_network_lets_nothing_pass_and_then_everything_in_order() {
    let (network, mut client) = echo_through_a_network().await;
    say(&mut client, 1).await;
    assert_eq!(hear(&mut client).await.expect("it works"), 1);
    network.stall();
    say(&mut client, 2).await;
    let answer = tokio::time::timeout(Duration::from_millis(50), client.read_u8()).await;
    assert!(answer.is_err(), "{answer:?}");
    network.heal();
    say(&mut client, 3).await;
    assert_eq!(hear(&mut client).await.expect("it was held"), 2);
    assert_eq!(hear(&mut client).await.expect("it works"), 3);
}

#[tokio::test]
async fn a_network_that_is_cut_while_it_stands_still_loses_what_was_on_its_way() {
    let (network, mut client) = echo_through_a_network().await;
    network.stall();
    say(&mut client, 1).await;
    network.cut().await;
    let error = hear(&mut client).await.expect_err("it was reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    network.heal();
    let again = tokio::net::TcpStream::connect(("127.0.0.1", network.port())).await;
    let mut again = again.expect("it listens");
    say(&mut again, 2).await;
    assert_eq!(hear(&mut again).await.expect("it works"), 2);
}
