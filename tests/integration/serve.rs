//! `pulseward serve` as its supervisor sees it: it gets ready, tells how it is, ends when asked.

use crate::support::http;
use crate::support::mosquitto::Mosquitto;
use crate::support::service::{Service, Settings};
use crate::support::wait::wait_until;

fn settings(broker: &Mosquitto) -> Settings {
    Settings { mqtt_url: broker.url(), store_url: None, environment: Vec::new() }
}

#[tokio::test]
async fn a_service_gets_ready_and_ends_in_order_when_asked() {
    let broker = Mosquitto::start();
    let mut service = Service::start(&settings(&broker)).await;
    let address = service.http().await;
    assert_eq!(http::get(address, "/healthz").await.expect("answers").body, "ok\n");
    let metrics = http::get(address, "/metrics").await.expect("answers");
    assert!(metrics.head.contains("text/plain; version=0.0.4"), "{}", metrics.head);
    assert!(metrics.body.contains("pulseward_build_info{version="), "{}", metrics.body);

    let exit = service.terminate();
    assert!(exit.success(), "{exit}:\n{}", service.log());
    assert!(http::get(address, "/healthz").await.is_err());
}

#[tokio::test]
async fn a_killed_service_starts_again_over_its_own_data() {
    let broker = Mosquitto::start();
    let mut service = Service::start(&settings(&broker)).await;
    let before = service.http().await;
    service.kill9();
    wait_until("nobody to listen", async || http::get(before, "/healthz").await.is_err()).await;
    service.restart().await;
    let answer = http::get(service.http().await, "/readyz").await.expect("answers");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(service.dir().join("pulseward.toml").exists());
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_start_with_its_name() {
    let broker = Mosquitto::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("port 0 is free");
    let address = taken.local_addr().expect("bound").to_string();
    let mut settings = settings(&broker);
    settings.environment.push(("PULSEWARD_HTTP__LISTEN", address.clone()));
    let mut service = Service::launch(&settings);
    assert_eq!(service.wait().code(), Some(1));
    let expected = format!("can't listen for HTTP on {address}");
    assert!(service.log().contains(&expected), "{}", service.log());
}
