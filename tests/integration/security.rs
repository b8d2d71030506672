//! `docs/security.md`: the installation that it describes is encrypted, each device is nobody but
//! itself, and what is wrong is told.

mod database;
mod trial;

use std::path::Path;

use serde_json::Value;

use self::trial::{Page, Trial};
use crate::support::http;
use crate::support::service::Service;
use crate::support::wait::{wait_for, wait_until};

/// How a part of the service stands: its state, and why.
async fn part(service: &Service, name: &str) -> (String, String) {
    let answer = http::get(service.http().await, "/readyz").await.expect("answers");
    let told: Value = serde_json::from_str(&answer.body).expect("JSON");
    let parts = told["parts"].as_array().expect("parts");
    let part = parts.iter().find(|part| part["name"] == name).expect("such a part");
    let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

/// Waits until a part says this.
async fn until_told(service: &Service, name: &str, expected: &str) {
    wait_for(&format!("{name} to tell: {expected}"), async || {
        let (_, reason) = part(service, name).await;
        reason.contains(expected).then_some(())
    })
    .await;
}

async fn grpc_port(service: &Service) -> u16 {
    service.listener("grpc").await.port()
}

#[test]
fn what_the_page_shows_is_what_we_ship_and_every_block_is_tried() {
    let page = Page::read();
    let shipped = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
        std::fs::read_to_string(path).expect("shipped")
    };
    assert_eq!(page.block("file: mosquitto-tls.conf"), shipped("mosquitto-tls.conf"));
    assert_eq!(page.block("file: acl"), shipped("mosquitto.acl"));
    let tried = [
        "run: authority",
        "run: certificates",
        "file: mosquitto-tls.conf",
        "file: acl",
        "run: passwords",
        "file: pulseward.toml",
        "run: enroll",
        "run: publish",
        "run: refused",
    ];
    assert_eq!(page.markers(), tried);
}

/// From the authority to the stored reading, as printed.
#[tokio::test]
async fn the_page_installs_a_house_in_which_each_device_is_only_itself() {
    let trial = Trial::prepare();
    let _broker = trial.broker();
    let service = trial.service(&[]);
    service.ready().await;
    let grpc_port = grpc_port(&service).await;
    let enrolled = trial.run_at(&trial.page.block("run: enroll"), grpc_port);
    assert!(enrolled.contains("watch-0043"), "{enrolled}");

    let publish = trial.page.block("run: publish");
    trial.run(&publish);
    until_metric(&service, "pulseward_readings_admitted_total", 2.0).await;

    let definitions = publish.split("with_password -t").next().expect("the functions");
    let refused = trial.page.block("run: refused");
    let told = trial.run(&format!("{definitions}\n{refused}"));
    assert_eq!(told, trial.page.printed_by("run: refused"));
    assert!(!service.log().contains(trial.text("watch-0042.password").trim()));
    // What was refused has not come through by another way: the next messages are the next.
    trial.run(&publish);
    until_metric(&service, "pulseward_mqtt_messages_total", 4.0).await;
}

/// Waits until a counter, over all its labels, is exactly this.
async fn until_metric(service: &Service, name: &str, expected: f64) {
    wait_for(&format!("{name} to be {expected}"), async || {
        let answer = http::get(service.http().await, "/metrics").await.ok()?;
        let lines = answer.body.lines().filter(|line| line.starts_with(name));
        let sum: f64 = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        assert!(sum <= expected, "{name} is {sum}");
        (sum >= expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_device_hears_its_own_verdicts_and_nothing_else() {
    let trial = Trial::prepare();
    let _broker = trial.broker();
    // Both publish to whoever listens; the listener asks for everything.
    let told = trial.run(
        "as() { name=$1; shift; \"$@\" -V 5 -h localhost -p 8884 --cafile tls/ca.pem -q 1 \
             --cert tls/$name.pem --key tls/$name.key; }\n\
         as watch-0043 mosquitto_sub -i listener -c -x 60 -E -t 'pulseward/v1/#'\n\
         say() { printf %s \"$2\" | as pulseward mosquitto_pub -s -t \"pulseward/v1/ward-7/$1\"; }\n\
         say watch-0042/verdicts another\n\
         as watch-0043 mosquitto_pub -t pulseward/v1/ward-7/watch-0043/readings -m itself\n\
         say watch-0043/verdicts mine\n\
         as watch-0043 mosquitto_sub -i listener -c -x 60 -C 1 -W 20 -t 'pulseward/v1/#' -F '%t %p'\n",
    );
    assert_eq!(told.trim(), "pulseward/v1/ward-7/watch-0043/verdicts mine", "{told}");
}

#[tokio::test]
async fn a_broker_that_cannot_be_trusted_is_refused_with_its_reason() {
    let trial = Trial::prepare();
    let _broker = trial.broker();
    trial.run(
        "cp tls/ca.pem tls/good.pem; (\
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 \
            -subj /CN=Stranger -keyout tls/stranger.key -out tls/stranger.pem)",
    );
    let stranger = trial.path("tls/stranger.pem").display().to_string();
    let ca = ("PULSEWARD_MQTT__TLS__CA", stranger);
    let mut service = trial.service(&[ca]);
    until_told(&service, "mqtt", "issued by none of the authorities that are trusted (ca)").await;
    service.terminate();

    let by_address = ("PULSEWARD_MQTT__URL", trial.broker_at("127.0.0.1"));
    let mut service = trial.service(std::slice::from_ref(&by_address));
    until_told(&service, "mqtt", "not valid for name \"127.0.0.1\"").await;
    service.terminate();

    let name = ("PULSEWARD_MQTT__TLS__SERVER_NAME", "localhost".to_owned());
    let service = trial.service(&[by_address, name]);
    service.ready().await;
}

#[tokio::test]
async fn a_broker_whose_certificate_has_expired_is_refused_until_it_has_another() {
    let trial = Trial::prepare();
    let good = (trial.text("tls/broker.pem"), trial.text("tls/broker.key"));
    let authority = expired_broker(&trial);
    let mut broker = trial.broker();
    let service = trial.service(&[("PULSEWARD_MQTT__TLS__CA", authority)]);
    until_told(&service, "mqtt", "certificate expired").await;
    trial.write("tls/broker.pem", &good.0);
    trial.write("tls/broker.key", &good.1);
    broker.restart();
    service.ready().await;
}

/// Gives the broker a certificate of last year, and returns a file of the authority that issued it
/// and of the page's.
fn expired_broker(trial: &Trial) -> String {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "An older authority");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).expect("an authority");
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2025, 4, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &authority).expect("issued");
    trial.write("tls/broker.pem", &certificate.pem());
    trial.write("tls/broker.key", &key.serialize_pem());
    trial.write("tls/both.pem", &format!("{}{}", authority.pem(), trial.text("tls/ca.pem")));
    trial.path("tls/both.pem").display().to_string()
}

/// First none, then one that the broker does not trust, then the right one: each is found at the
/// next attempt, and the service is never restarted.
#[tokio::test]
async fn a_certificate_that_was_replaced_is_shown_at_the_next_connection() {
    let trial = Trial::prepare();
    let _broker = trial.broker();
    let good = (trial.text("tls/pulseward.pem"), trial.text("tls/pulseward.key"));
    trial.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 \
            -subj /CN=pulseward -keyout tls/pulseward.key -out tls/pulseward.pem",
    );
    let service = trial.service(&[]);
    until_told(&service, "mqtt", "it does not trust the authority of our certificate").await;
    trial.write("tls/pulseward.pem", &good.0);
    trial.write("tls/pulseward.key", &good.1);
    service.ready().await;
}

#[tokio::test]
async fn a_broker_that_wants_a_certificate_says_so_to_who_has_none() {
    let trial = Trial::prepare();
    let _broker = trial.broker();
    let config = trial.page.block("file: pulseward.toml");
    assert!(config.contains("certificate = \"tls/pulseward.pem\"\n"));
    let toml = format!(
        "[mqtt]\nurl = {:?}\n[mqtt.tls]\nca = {:?}\n",
        trial.broker_at("localhost"),
        trial.path("tls/ca.pem").display().to_string(),
    );
    let environment = vec![
        ("PULSEWARD_GRPC__LISTEN", "127.0.0.1:0".to_owned()),
        ("PULSEWARD_HTTP__LISTEN", "127.0.0.1:0".to_owned()),
        ("PULSEWARD_LOG__FORMAT", "json".to_owned()),
    ];
    let service = Service::launch_configured(&toml, environment);
    until_told(&service, "mqtt", "it wants a certificate, and none is configured").await;
}

#[tokio::test]
async fn a_broken_replacement_changes_nothing_and_is_told_of() {
    let trial = Trial::prepare();
    let _broker = trial.broker();
    let service = trial.service(&[]);
    service.ready().await;
    let good = trial.text("tls/pulseward.key");
    trial.write("tls/pulseward.key", "no key");
    until_told(&service, "grpc certificates", "holds no private key").await;
    assert_eq!(part(&service, "grpc certificates").await.0, "degraded");
    let port = grpc_port(&service).await;
    let listed = trial
        .run_at("pulseward rejected list --grpc https://localhost:50051 --ca tls/ca.pem", port);
    assert_eq!(listed, "", "callers are still answered");
    trial.write("tls/pulseward.key", &good);
    wait_until("the certificates to be good again", async || {
        part(&service, "grpc certificates").await.0 == "ready"
    })
    .await;
    assert_eq!(service.log().matches("certificates can't be used; the old stay").count(), 2);
}

#[tokio::test]
async fn a_machine_is_known_by_its_certificate_and_may_do_what_the_list_says() {
    let trial = Trial::prepare();
    let _broker = trial.broker();
    let service = trial.service(&[]);
    service.ready().await;
    let port = grpc_port(&service).await;
    trial.run_at(&trial.page.block("run: enroll"), port);
    let enroll = |name: &str| {
        let options = format!("--ca tls/ca.pem --certificate tls/{name}.pem --key tls/{name}.key");
        let command = format!(
            "printf 'site,patient_id,device_id\\nward-7,p-9,watch-9\\n' > more.csv\n\
             pulseward enroll more.csv --grpc https://localhost:50051 {options} 2>&1 || true"
        );
        trial.run_at(&command, port)
    };
    let viewer = enroll("dashboard");
    assert!(viewer.to_lowercase().contains("permission"), "{viewer}");
    let nobody = enroll("watch-0043");
    assert!(nobody.contains("the certificate is of nobody who may call"), "{nobody}");
}
