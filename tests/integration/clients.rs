//! The clients of `docs/clients`, as whoever copies them runs them: they watch, lose the connection,
//! resume with nothing missed and nothing twice, and acknowledge.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use pulseward_sim::publish::Message;
use tempfile::TempDir;

use crate::support::from_tests_run;
use crate::support::house::House;
use crate::support::network::Network;
use crate::support::process::Process;
use crate::support::publishing::publish;
use crate::support::recording::Recording;
use crate::support::sql::Sql;
use crate::support::tokens::Issuer;
use crate::support::wait::wait_until;

const NOTE: &str = "seen by the example";

/// What a client is told apart by: a phase of an alert, and how often it came.
type Told = BTreeMap<(String, String), usize>;

/// The Python client, ready to be run: its directory, and its interpreter.
fn python() -> (TempDir, String) {
    let python = from_tests_run("PULSEWARD_TEST_CLIENTS_PYTHON");
    let dir = TempDir::with_prefix("python-").expect("temporary directory");
    let mut generate = Command::new(&python);
    generate.args(["-m", "grpc_tools.protoc", "-I", "proto"]);
    generate.arg(format!("--python_out={}", dir.path().display()));
    generate.arg(format!("--grpc_python_out={}", dir.path().display()));
    generate.args(contracts(Path::new("proto")));
    run(&mut generate);
    std::fs::copy("docs/clients/python/watch.py", dir.path().join("watch.py")).expect("copied");
    (dir, python)
}

/// The TypeScript client, built in a checkout of its own.
fn typescript() -> (TempDir, PathBuf) {
    // Its scripts find the contract beside it, as in the checkout.
    let checkout = TempDir::with_prefix("typescript-").expect("temporary directory");
    let dir = checkout.path().join("docs/clients/typescript");
    std::fs::create_dir_all(dir.join("src")).expect("made");
    for file in ["package.json", "package-lock.json", "tsconfig.json", "src/watch.ts"] {
        let from = Path::new("docs/clients/typescript").join(file);
        std::fs::copy(from, dir.join(file)).expect("copied");
    }
    let proto = checkout.path().join("proto/pulseward/v1");
    std::fs::create_dir_all(&proto).expect("made");
    for contract in contracts(Path::new("proto")) {
        let name = Path::new(&contract).file_name().expect("a file").to_owned();
        std::fs::copy(&contract, proto.join(name)).expect("copied");
    }
    let npm = |arguments: &[&str]| run(Command::new("npm").args(arguments).current_dir(&dir));
    npm(&["ci", "--prefer-offline", "--no-audit", "--no-fund"]);
    npm(&["run", "generate"]);
    npm(&["run", "build"]);
    (checkout, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_misses_nothing_and_acknowledges() {
    let (dir, python) = python();
    check(|port| {
        let mut client = Command::new(&python);
        client.current_dir(dir.path()).args(["watch.py", &format!("127.0.0.1:{port}")]);
        client
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_client_misses_nothing_and_acknowledges() {
    let (_checkout, dir) = typescript();
    check(|port| {
        let mut client = Command::new("node");
        client.current_dir(&dir).args(["dist/watch.js", &format!("http://127.0.0.1:{port}")]);
        client
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_comes_back_with_a_new_token() {
    let (dir, python) = python();
    check_renewal(|port, authority| {
        let mut client = Command::new(&python);
        client.current_dir(dir.path()).args(["watch.py", &format!("localhost:{port}")]);
        client.arg("--ca").arg(authority);
        client
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_client_comes_back_with_a_new_token() {
    let (_checkout, dir) = typescript();
    check_renewal(|port, authority| {
        let mut client = Command::new("node");
        client.current_dir(&dir).args(["dist/watch.js", &format!("https://localhost:{port}")]);
        client.env("NODE_EXTRA_CA_CERTS", authority);
        client
    })
    .await;
}

/// The client that `command` makes, given the port of the service and who vouches for it, goes on
/// when its token has expired and another is in its file; one that is refused at first ends.
async fn check_renewal(command: impl Fn(u16, &Path) -> Command) {
    let files = TempDir::with_prefix("token-").expect("temporary directory");
    let file = |name: &str| files.path().join(name);
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(file("own.pem"), own.cert.pem()).expect("written");
    std::fs::write(file("own.key"), own.signing_key.serialize_pem()).expect("written");
    let issuer = Issuer::new();
    let mut environment = issuer.environment();
    environment.push(("PULSEWARD_AUTH__LEEWAY", "0s".to_owned()));
    for (key, name) in
        [("PULSEWARD_GRPC__TLS__CERTIFICATE", "own.pem"), ("PULSEWARD_GRPC__TLS__KEY", "own.key")]
    {
        environment.push((key, file(name).display().to_string()));
    }
    let house = House::start_under(Sql::sqlite(), environment, Vec::new()).await;
    let port = house.service.listener("grpc").await.port();
    let mut client = command(port, &file("own.pem"));
    client.arg("--token-file").arg(file("token"));

    std::fs::write(file("token"), "not a token").expect("written");
    let mut stranger = Process::spawn("a stranger", &mut client, &file("stranger.log"));
    assert!(!stranger.wait().success(), "{}", stranger.log());

    let good_for = |seconds: i64| {
        let expiry = Timestamp::now().as_second() + seconds;
        issuer.token_with("nurse", "viewer", &["north"], |claims| claims["exp"] = expiry.into())
    };
    std::fs::write(file("token"), good_for(8)).expect("written");
    let client = Process::spawn("the client", &mut client, &file("client.log"));
    wait_until("the client to be live", async || said(&client, "LIVE")).await;
    wait_until("the token to expire", async || said(&client, "NOT LIVE")).await;
    std::fs::write(file("token"), good_for(3600)).expect("written");
    let lives = || client.log().lines().filter(|line| line.starts_with("LIVE")).count();
    wait_until("the client to be live again", async || lives() == 2).await;
    assert!(!client.log().contains("eyJ"), "a token is told: {}", client.log());
}

/// The files of the contract below a directory.
fn contracts(proto: &Path) -> Vec<String> {
    let files = std::fs::read_dir(proto.join("pulseward/v1")).expect("read");
    let files = files.map(|file| file.expect("read").path());
    let contracts = files.filter(|file| file.extension().is_some_and(|it| it == "proto"));
    contracts.map(|file| file.display().to_string()).collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{said}{complained}");
}

/// The client that `command` makes, given the port of the service: what it says of alerts is what
/// stands in the store.
async fn check(command: impl FnOnce(u16) -> Command) {
    let recording = Recording::new(23, 3, 4 * 60);
    let house = House::start(Sql::sqlite()).await;
    house.enroll(&recording).await;
    let network = Network::to(house.service.listener("grpc").await.port()).await;
    let mut command = command(network.port());
    let client = Process::spawn(
        "the client",
        command.args(["--site", "icu", "--acknowledge", NOTE]),
        &house.service.dir().join("client.log"),
    );
    wait_until("the client to be live", async || said(&client, "LIVE")).await;

    let (first, second) = halves(&recording);
    publish(&house.broker.url(), first).await;
    wait_until("an acknowledgement in the store", async || acknowledged(&house).await > 0).await;
    network.cut().await;
    wait_until("the client to notice", async || said(&client, "NOT LIVE")).await;
    publish(&house.broker.url(), second).await;
    house.stored(recording.readings().len()).await;
    network.heal();

    // Its own acknowledgements are events as well, until it has made the last.
    wait_until("the client to know what is stored", async || {
        let known = told(&client);
        known == in_store(&house).await && known.keys().any(|(phase, _)| phase == "end")
    })
    .await;
    assert!(told(&client).values().all(|count| *count == 1), "{:?}", told(&client));
}

fn halves(recording: &Recording) -> (Vec<Message>, Vec<Message>) {
    let mut first = recording.messages();
    let second = first.split_off(first.len() / 2);
    (first, second)
}

fn said(client: &Process, what: &str) -> bool {
    client.log().lines().any(|line| line.starts_with(what))
}

async fn acknowledged(house: &House) -> usize {
    let acknowledged = format!(
        "SELECT count(*) FROM alert_events WHERE phase = 'acknowledge' AND note = '{NOTE}'"
    );
    house.sql.number(&acknowledged).await
}

/// What the client has told of phases of alerts.
fn told(client: &Process) -> Told {
    let log = client.log();
    let lines = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut told = Told::new();
    for line in lines {
        // PHASE priority rule patient alert
        if let [phase, "low" | "medium" | "high", _, _, alert] = line[..] {
            *told.entry((phase.to_lowercase(), alert.to_owned())).or_default() += 1;
        }
    }
    told
}

async fn in_store(house: &House) -> Told {
    let mut stored = Told::new();
    for row in house.sql.rows("SELECT phase, alert_id FROM alert_events").await {
        let [phase, alert] = &row[..] else { panic!("{row:?}") };
        *stored.entry((phase.clone(), alert.clone())).or_default() += 1;
    }
    stored
}
