//! The ward page's port of the real service: its files, its gate, its streams, and that health is
//! told beside them.

mod browser;

use std::path::Path;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use pulseward::proto::v1;
use pulseward::proto::v1::watch_alerts_response::Message as Told;
use tonic::Code;

use self::browser::{Browser, Called, shake_hands};
use crate::support::house::House;
use crate::support::http;
use crate::support::mosquitto::Mosquitto;
#[cfg(feature = "demo")]
use crate::support::process::{Process, Signal};
use crate::support::service::{Service, Settings};
use crate::support::sql::Sql;
use crate::support::tokens::Issuer;
use crate::support::wait::{wait_for, wait_until};

/// What a browser is told with everything that belongs to the page.
const PROTECTED: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src \
         'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

async fn serve(environment: Vec<(&'static str, String)>) -> (Mosquitto, Service) {
    let broker = Mosquitto::start();
    let settings = Settings { mqtt_url: broker.url(), store_url: None, environment };
    let service = Service::start(&settings).await;
    (broker, service)
}

async fn watch(browser: &mut Browser, token: Option<&str>) -> Called {
    browser.call_own("AlertService/WatchAlerts", &v1::WatchAlertsRequest::default(), token).await
}

async fn told(called: &mut Called) -> Told {
    let next = called.next::<v1::WatchAlertsResponse>().await;
    next.expect("it goes on").message.expect("of some kind")
}

#[tokio::test]
async fn the_page_is_served_as_it_was_built_with_every_protection_a_browser_knows() {
    let (_broker, service) = serve(Vec::new()).await;
    let mut browser = Browser::open(service.http().await).await;
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("page/dist");
    let index = std::fs::read(dist.join("index.html")).expect("there");

    let moved = browser.get("/", &[]).await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (307, "/ward/"));
    let page = browser.get("/ward/", &[]).await;
    assert_eq!((page.status, &page.body[..]), (StatusCode::OK, &index[..]));
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-cache");
    let nothing = browser.get("/ward/none.js", &[]).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    for answer in [&moved, &page, &nothing] {
        for (name, value) in PROTECTED {
            assert_eq!(answer.header(name), value, "{answer:?}");
        }
        let permissions = answer.header("permissions-policy");
        assert!(permissions.split(", ").all(|it| it.ends_with("=()")), "{permissions}");
        assert!(permissions.contains("camera=()"));
    }

    let known = browser.get("/ward/", &[("if-none-match", page.header("etag"))]).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(known.header("etag"), page.header("etag"));
    let other = browser.get("/ward/", &[("if-none-match", "\"other\"")]).await;
    assert_eq!(other.status, StatusCode::OK);

    // As they are, since clients tidy such paths up before they send them.
    for path in ["/ward/../Cargo.toml", "/ward/%2e%2e/%2e%2e/Cargo.toml", "/ward//etc/passwd"] {
        let answer = http::get(service.http().await, path).await.expect("answers");
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("[package]"), "{path}");
    }
}

#[tokio::test]
async fn every_file_that_the_page_refers_to_is_there() {
    let (_broker, service) = serve(Vec::new()).await;
    let mut browser = Browser::open(service.http().await).await;
    let page = browser.get("/ward/", &[]).await;
    let text = String::from_utf8(page.body.to_vec()).expect("text");
    let quoted = text.split('"').filter_map(|it| it.strip_prefix("./"));
    let names: Vec<_> =
        quoted.chain(text.split('"').filter_map(|it| it.strip_prefix("/ward/"))).collect();
    assert!(!names.is_empty(), "{text}");
    for name in names {
        let answer = browser.get(&format!("/ward/{name}"), &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        let is_code = name.ends_with(".js") || name.ends_with(".css");
        let is_named_so = answer.header("content-type").starts_with("text/");
        assert!(!is_code || is_named_so, "{name}: {}", answer.header("content-type"));
    }
}

#[tokio::test]
async fn callers_meet_the_same_gate_as_at_grpc_and_see_their_own_sites_only() {
    let issuer = Issuer::new();
    let house = House::start_under(Sql::sqlite(), issuer.environment(), Vec::new()).await;
    let mut browser = Browser::open(house.service.http().await).await;
    let root = issuer.token("root", "admin", &["*"]);
    for site in ["north", "south"] {
        let request = v1::CreateSiteRequest {
            site_id: site.into(),
            display_name: site.into(),
            time_zone: "UTC".into(),
            request_id: String::new(),
        };
        let mut made = browser.call_own("RegistryService/CreateSite", &request, Some(&root)).await;
        assert_eq!(made.next::<v1::Site>().await.expect("made").site_id, site);
        assert_eq!(made.ended().await, Code::Ok);
        let request = v1::CreatePatientRequest {
            patient_id: format!("p-{site}"),
            site_id: site.into(),
            ..Default::default()
        };
        let mut made =
            browser.call_own("RegistryService/CreatePatient", &request, Some(&root)).await;
        assert_eq!(made.ended().await, Code::Ok);
    }

    let mut none = watch(&mut browser, None).await;
    assert_eq!((none.status, none.ended().await), (StatusCode::OK, Code::Unauthenticated));
    let nurse = issuer.token("nora", "clinician", &["north"]);
    let list = v1::ListPatientsRequest::default();
    let evil = "https://evil.example";
    let mut foreign = browser.call("RegistryService/ListPatients", &list, evil, Some(&nurse)).await;
    assert_eq!(foreign.ended().await, Code::PermissionDenied);
    assert!(!foreign.headers.contains_key("access-control-allow-origin"));

    let mut listed = browser.call_own("RegistryService/ListPatients", &list, Some(&nurse)).await;
    let page = listed.next::<v1::ListPatientsResponse>().await.expect("listed");
    let ids: Vec<_> = page.patients.iter().map(|patient| patient.patient_id.as_str()).collect();
    assert_eq!(ids, ["p-north"]);
    assert_eq!(listed.ended().await, Code::Ok);
    let mut stream = watch(&mut browser, Some(&nurse)).await;
    let first = told(&mut stream).await;
    let seen = format!("{first:?}");
    assert!(matches!(first, Told::Snapshot(_)) && !seen.contains("south"), "{seen}");
}

/// Longer than anything that is asked about health may take.
#[tokio::test]
async fn a_stream_lives_on_and_health_is_told_beside_many_and_all_end_with_the_service() {
    let (_broker, mut service) = serve(Vec::new()).await;
    let address = service.http().await;
    let began = Instant::now();
    let mut streams = Vec::new();
    // More than may ask about health at once.
    for _ in 0..80 {
        let mut stream = watch(&mut Browser::open(address).await, None).await;
        assert!(matches!(told(&mut stream).await, Told::Snapshot(_)));
        streams.push(stream);
    }
    for _ in 0..80 {
        assert_eq!(http::get(address, "/healthz").await.expect("answers").body, "ok\n");
    }
    assert_eq!(http::get(address, "/metrics").await.expect("answers").status, 200);
    let mut last = None;
    while began.elapsed() < Duration::from_secs(11) {
        last = Some(told(&mut streams[0]).await);
    }
    assert!(matches!(last, Some(Told::Heartbeat(_))), "{last:?}");

    let ending = tokio::task::spawn_blocking(move || service.terminate());
    for stream in &mut streams {
        assert_eq!(stream.ended().await, Code::Unavailable);
    }
    assert!(ending.await.expect("no panic").success());
}

#[tokio::test]
async fn beyond_loopback_nothing_of_a_patient_is_told_in_plain_text() {
    let issuer = Issuer::new();
    let mut environment = issuer.environment();
    environment.push(("PULSEWARD_HTTP__LISTEN", "0.0.0.0:0".to_owned()));
    let (_broker, service) = serve(environment.clone()).await;
    let address = ([127, 0, 0, 1], service.http().await.port()).into();
    assert_eq!(http::get(address, "/healthz").await.expect("answers").status, 200);
    for path in ["/", "/ward/", "/pulseward.v1.AlertService/WatchAlerts"] {
        let answer = http::get(address, path).await.expect("answers");
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("set certificate and key in [http.tls]"), "{}", answer.body);
    }
    let told = service.logged("no ward page", 0).await;
    assert!(told["reason"].as_str().expect("a reason").contains("[http.tls]"), "{told}");

    // A proxy that speaks TLS passes on the name by which it was called.
    environment.push(("PULSEWARD_HTTP__ALLOW_PLAINTEXT", "true".to_owned()));
    let (_broker, service) = serve(environment).await;
    let address = ([127, 0, 0, 1], service.http().await.port()).into();
    let mut proxy = Browser::open(address).await;
    let token = issuer.token("nora", "clinician", &["north"]);
    let list = v1::ListPatientsRequest::default();
    let (plain, encrypted) = (proxy.origin.clone(), proxy.origin.replace("http://", "https://"));
    for (origin, expected) in [(&encrypted, Code::Ok), (&plain, Code::PermissionDenied)] {
        let call = "RegistryService/ListPatients";
        let mut called = proxy.call(call, &list, origin, Some(&token)).await;
        assert_eq!(called.ended().await, expected, "{origin}");
    }
}

/// A certificate for localhost and the authority that issued it, in files.
fn certificate(dir: &Path) {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "An authority");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).expect("an authority");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &authority).expect("issued");
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("service.pem", certificate.pem()),
        ("service.key", key.serialize_pem()),
    ] {
        std::fs::write(dir.join(name), text).expect("written");
    }
}

#[tokio::test]
async fn over_tls_page_calls_and_streams_share_one_connection_and_certificates_are_replaced() {
    let dir = tempfile::TempDir::with_prefix("ward-page-").expect("temporary directory");
    certificate(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let issuer = Issuer::new();
    let mut environment = issuer.environment();
    environment.extend([
        ("PULSEWARD_HTTP__LISTEN", "0.0.0.0:0".to_owned()),
        ("PULSEWARD_HTTP__TLS__CERTIFICATE", file("service.pem")),
        ("PULSEWARD_HTTP__TLS__KEY", file("service.key")),
    ]);
    let broker = Mosquitto::start();
    let settings = Settings { mqtt_url: broker.url(), store_url: None, environment };
    let service = Service::launch(&settings);
    let url = service.logged("serving the ward page", 0).await;
    assert!(url["url"].as_str().expect("a URL").starts_with("https://"), "{url}");
    let (port, ca) = (service.http().await.port(), dir.path().join("ca.pem"));
    let mut browser = Browser::open_tls(port, &ca).await;
    wait_for("the service to be ready", async || {
        (browser.get("/readyz", &[]).await.status == StatusCode::OK).then_some(())
    })
    .await;
    let nurse = issuer.token("nora", "clinician", &["north"]);
    let mut stream = watch(&mut browser, Some(&nurse)).await;
    assert!(matches!(told(&mut stream).await, Told::Snapshot(_)));
    assert_eq!(browser.get("/ward/", &[]).await.status, StatusCode::OK);
    assert_eq!(browser.get("/healthz", &[]).await.body, "ok\n");
    let plain = browser.origin.replace("https://", "http://");
    let list = v1::ListPatientsRequest::default();
    let mut called =
        browser.call("RegistryService/ListPatients", &list, &plain, Some(&nurse)).await;
    assert_eq!(called.ended().await, Code::PermissionDenied, "a page that came without TLS");

    let shown = async || {
        let stream = shake_hands(port, &dir.path().join("ca.pem")).await;
        stream.get_ref().1.peer_certificates().expect("it has one")[0].to_vec()
    };
    let before = shown().await;
    certificate(dir.path());
    wait_for("the other certificate", async || {
        // Its authority is another, too, so that the handshake comes about with the new one only.
        let line = "certificates replaced, for connections from now on";
        service.log().contains(line).then_some(())
    })
    .await;
    assert_ne!(shown().await, before);
    assert!(matches!(told(&mut stream).await, Told::Live(_) | Told::Heartbeat(_)), "it goes on");
}

#[cfg(feature = "demo")]
#[tokio::test]
async fn the_demo_names_its_ward_page_which_shows_the_ward() {
    let dir = tempfile::TempDir::with_prefix("demo-").expect("temporary directory");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pulseward"));
    command.args(["demo", "--plain"]);
    let mut demo = Process::spawn("the demo", &mut command, &dir.path().join("log"));
    let url = wait_for("the page's address on a line of its own", async || {
        demo.log().lines().find_map(|line| line.strip_prefix("ward page ").map(str::to_owned))
    })
    .await;
    let address = url.strip_prefix("http://").and_then(|it| it.strip_suffix("/ward/"));
    let address = address.expect("an address").parse().expect("on this machine");
    let mut browser = Browser::open(address).await;
    assert_eq!(browser.get("/ward/", &[]).await.status, StatusCode::OK);
    let mut stream = watch(&mut browser, None).await;
    while !matches!(told(&mut stream).await, Told::Event(_)) {}
    // From when it runs, an interrupt is an end in order.
    wait_until("the ward to run", async || demo.log().contains(" so far\n")).await;
    drop(browser);
    demo.stop(Signal::Interrupt);
    let log = demo.log();
    assert!(log.lines().any(|line| line.starts_with("{\"sent\":")), "{log}");
}
