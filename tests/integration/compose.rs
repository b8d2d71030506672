//! `docker-compose.yml`, as far as a machine without images can try it: every file that it mounts is
//! there or is made by `deploy/make-secrets`, and the broker, the database's role, the service and
//! the simulated ward work together with those very files, on ports of their own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::SignedDuration;
use pulseward_sim::caller::Caller;
use pulseward_sim::fleet::{self, Fleet, Scenario};
use pulseward_sim::replay::Show;
use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

use crate::support::from_tests_run;
use crate::support::port;
use crate::support::postgres::{PrivateServer, connect};
use crate::support::process::Process;
use crate::support::service::Service;
use crate::support::sql;
use crate::support::wait::{wait_blocking, wait_until};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn compose() -> Yaml {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).expect("there");
    YamlLoader::load_from_str(&text).expect("YAML").remove(0)
}

/// The services by name; what they take from an anchor is filled in.
fn services() -> BTreeMap<String, Yaml> {
    let compose = compose();
    let services = compose["services"].as_hash().expect("services");
    let own = |(name, service): (&Yaml, &Yaml)| {
        let mut all = service["<<"].as_hash().cloned().unwrap_or_default();
        all.extend(service.as_hash().expect("a service").clone());
        (name.as_str().expect("a name").to_owned(), Yaml::Hash(all))
    };
    services.iter().map(own).collect()
}

fn texts(list: &Yaml) -> Vec<String> {
    list.as_vec().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// The files of this directory that a service mounts, and where.
fn mounts(service: &Yaml) -> Vec<(String, String)> {
    let volumes = texts(&service["volumes"]).into_iter();
    let parts = volumes.map(|it| it.split(':').map(str::to_owned).collect::<Vec<_>>());
    let files = parts.filter(|parts| parts[0].starts_with("./"));
    files
        .map(|parts| {
            assert_eq!(parts.get(2).map(String::as_str), Some("ro"), "{parts:?} can be written to");
            (parts[0].clone(), parts[1].clone())
        })
        .collect()
}

/// What the script makes, in a directory of its own.
struct Secrets(TempDir);

impl Secrets {
    fn make() -> Self {
        let secrets = Self(TempDir::with_prefix("secrets-").expect("temporary directory"));
        secrets.make_again();
        secrets
    }

    fn make_again(&self) -> String {
        let output = self.run(&std::env::var("PATH").unwrap_or_default());
        let told = told(&output);
        assert!(output.status.success(), "{told}");
        told
    }

    /// Runs the script, which finds its tools in these directories.
    fn run(&self, path: &str) -> Output {
        let mut script = Command::new(root().join("deploy/make-secrets"));
        script.arg(self.0.path()).env("PATH", path).output().expect("the script runs")
    }

    /// Where a file of the compose file is.
    fn path(&self, source: &str) -> PathBuf {
        source
            .strip_prefix("./deploy/secrets/")
            .map_or_else(|| root().join(source), |name| self.0.path().join(name))
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).expect("made").trim().to_owned()
    }

    /// Neither a file that is not whole, nor the ward's password where its hash belongs.
    fn check_nothing_half_made(&self) {
        let entries = std::fs::read_dir(self.0.path()).expect("a directory");
        for entry in entries.map(|entry| entry.expect("an entry").file_name()) {
            assert!(!entry.to_string_lossy().starts_with('.'), "{entry:?} is left");
        }
        let password = std::fs::read_to_string(self.0.path().join("simulator_password"));
        let Ok(password) = password else { return };
        for (path, content) in self.files() {
            let is_told = String::from_utf8_lossy(&content).contains(password.trim());
            let is_its_own = path.ends_with("simulator_password");
            assert!(is_its_own || !is_told, "{} tells the password", path.display());
            assert!(!content.is_empty(), "{} is empty", path.display());
        }
        let token = std::fs::read_to_string(self.0.path().join("admin_token"));
        let is_signed = |token: &str| token.trim().rsplit('.').next().map(str::len) == Some(43);
        assert!(token.is_err() || token.is_ok_and(|token| is_signed(&token)), "no signature");
    }

    /// Everything in it, by name.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for dir in ["", "tls", "broker"] {
            for entry in std::fs::read_dir(self.0.path().join(dir)).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_file() {
                    let content = std::fs::read(&path).expect("readable");
                    files.insert(path, content);
                }
            }
        }
        files
    }
}

fn told(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn every_file_that_is_mounted_is_shipped_or_made() {
    let secrets = Secrets::make();
    let compose = compose();
    for (name, service) in services() {
        for (source, _) in mounts(&service) {
            assert!(secrets.path(&source).exists(), "{name}: no {source}");
        }
        for secret in texts(&service["secrets"]) {
            let file = compose["secrets"][&*secret]["file"].as_str();
            let file = file.unwrap_or_else(|| panic!("{name}: {secret} is no secret"));
            assert!(secrets.path(file).exists(), "{name}: no {file}");
        }
        for volume in texts(&service["volumes"]).iter().filter(|it| !it.starts_with("./")) {
            let (volume, _) = volume.split_once(':').expect("a volume");
            let is_declared = compose["volumes"].as_hash().expect("volumes");
            assert!(is_declared.contains_key(&Yaml::from_str(volume)), "{name}: {volume}");
        }
    }
}

#[test]
fn images_are_pinned_root_is_read_only_and_nothing_secret_stands_in_the_file() {
    for (name, service) in services() {
        let image = service["image"].as_str().expect("an image");
        let (_, version) = image.split_once(':').expect("a version");
        assert!(version.contains('.') && version != "latest", "{name}: {image}");
        // The database's image gives its start away itself, and needs to write where it does so.
        if name != "timescaledb" {
            assert_eq!(service["read_only"].as_bool(), Some(true), "{name}");
            assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        }
        // The ward answers nobody.
        assert!(name == "ward" || !service["healthcheck"]["test"].is_badvalue(), "{name}");
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        for (key, value) in service["environment"].as_hash().into_iter().flatten() {
            let (key, value) = (key.as_str().expect("a key"), value.as_str().unwrap_or(""));
            let is_secret = ["PASSWORD", "SECRET", "TOKEN"].iter().any(|it| key.contains(it));
            assert!(!is_secret || value.starts_with("/run/secrets/"), "{name}: {key}");
        }
    }
}

#[test]
fn secrets_are_made_once_and_only_the_owner_reaches_them() {
    let secrets = Secrets::make();
    let before = secrets.files();
    assert!(!secrets.make_again().contains(".new"));
    assert_eq!(secrets.files(), before, "something was overwritten");
    let mode = std::fs::metadata(secrets.0.path()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_ne!(secrets.text("postgres_password"), secrets.text("grafana_reader_password"));

    // What was taken away is made anew, and fits the rest.
    std::fs::remove_file(secrets.path("./deploy/secrets/tls/broker.pem")).expect("there");
    secrets.make_again();
    let tls = |name| secrets.path("./deploy/secrets/tls/").join(name);
    let verified = Command::new("openssl")
        .args(["verify", "-CAfile"])
        .args([tls("ca.pem"), tls("broker.pem"), tls("pulseward.pem")])
        .output()
        .expect("openssl runs");
    assert!(verified.status.success(), "{}", told(&verified));
    let changed = secrets.files().into_iter().filter(|(path, is)| before.get(path) != Some(is));
    let changed: Vec<_> = changed.map(|(path, _)| path).collect();
    assert_eq!(changed, [tls("broker.key"), tls("broker.pem")]);
}

/// A directory with a tool in it that does `instead` where its arguments begin so, and otherwise is
/// itself; and the directories in which a script then finds its tools.
fn broken(tool: &str, arguments: &str, instead: &str) -> (TempDir, String) {
    let dir = TempDir::with_prefix("tools-").expect("temporary directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in '{arguments}'*) {instead} ;; esac\nPATH='{path}' exec {tool} \"$@\"\n"
    );
    let file = dir.path().join(tool);
    std::fs::write(&file, script).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("set");
    let path = format!("{}:{path}", dir.path().display());
    (dir, path)
}

#[test]
fn a_tool_that_fails_is_named_with_its_reason_and_leaves_nothing() {
    for (tool, arguments, file) in [
        ("openssl", "rand", "postgres_password"),
        ("openssl", "base64", "admin_token"),
        ("openssl", "dgst", "admin_token"),
        ("openssl", "req -x509", "tls/ca.pem"),
        ("openssl", "req -new", "tls/broker.pem"),
        ("openssl", "x509", "tls/broker.pem"),
        ("mosquitto_passwd", "-U", "broker/passwords"),
    ] {
        let secrets = Secrets(TempDir::with_prefix("secrets-").expect("temporary directory"));
        let (_tools, path) = broken(tool, arguments, "echo no entropy today >&2; exit 1");
        let output = secrets.run(&path);
        let told = told(&output);
        assert!(!output.status.success(), "{tool} {arguments}: {told}");
        assert!(told.contains(&format!("{file}: {tool} failed: no entropy today")), "{told}");
        assert!(!told.lines().any(|line| line == format!("make-secrets: {file}")), "{told}");
        assert!(!secrets.0.path().join(file).exists(), "{tool} {arguments} left {file}");
        secrets.check_nothing_half_made();
        secrets.make_again();
        secrets.check_nothing_half_made();
    }
}

#[test]
fn a_password_that_was_not_hashed_is_not_given_to_the_broker() {
    let secrets = Secrets(TempDir::with_prefix("secrets-").expect("temporary directory"));
    let (_tools, path) = broken("mosquitto_passwd", "-U", "exit 0");
    let output = secrets.run(&path);
    assert!(!output.status.success() && told(&output).contains("made no hash"), "{output:?}");
    secrets.check_nothing_half_made();
    let (_tools, path) = broken("openssl", "dgst", ": >\"$9\"; exit 0");
    std::fs::remove_file(secrets.0.path().join("admin_token")).expect("there");
    let output = secrets.run(&path);
    assert!(!output.status.success() && told(&output).contains("no signature"), "{output:?}");
    secrets.check_nothing_half_made();
}

/// The ports of a trial house, in the place of those in the files.
struct Ports {
    plain: u16,
    passwords: u16,
    certificates: u16,
}

/// The broker of the compose file: its files where it mounts them, in a directory of its own.
struct Broker {
    _process: Process,
    _dir: TempDir,
    ports: Ports,
}

impl Broker {
    fn start(secrets: &Secrets) -> Self {
        let dir = TempDir::with_prefix("compose-mosquitto-").expect("temporary directory");
        let service = &services()["mosquitto"];
        let home = service["working_dir"].as_str().expect("a directory");
        for (source, target) in mounts(service) {
            if let Ok(name) = Path::new(&target).strip_prefix(home) {
                let to = dir.path().join(name);
                std::fs::create_dir_all(to.parent().expect("a directory")).expect("made");
                std::fs::copy(secrets.path(&source), to).expect("copied");
            }
        }
        let ports = Ports {
            plain: port::candidate(),
            passwords: port::candidate(),
            certificates: port::candidate(),
        };
        let mut config = secrets.text("broker/mosquitto.conf");
        for (from, to) in
            [("1883 ", ports.plain), ("8883", ports.passwords), ("8884", ports.certificates)]
        {
            let to = if from.ends_with(' ') { format!("{to} ") } else { to.to_string() };
            config = config.replace(from, &to);
        }
        // As root, Mosquitto would become a user that may not read our directory.
        let path = dir.path().join("mosquitto.conf");
        std::fs::write(&path, format!("{config}\nuser root\n")).expect("written");
        let mut command = Command::new(from_tests_run("PULSEWARD_TEST_MOSQUITTO"));
        command.current_dir(dir.path()).arg("-c").arg(&path);
        let process = Process::spawn("mosquitto", &mut command, &dir.path().join("log"));
        wait_blocking("mosquitto to listen", || process.log().contains(" running\n").then_some(()));
        assert!(!process.log().contains("Error"), "{}", process.log());
        Self { _process: process, _dir: dir, ports }
    }

    /// Whether a message gets in over the listener for this machine.
    fn takes(&self, topic: &str, credentials: &[&str]) -> bool {
        let output = Command::new("mosquitto_pub")
            .args(["-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", &self.ports.plain.to_string()])
            .args(credentials)
            .args(["-t", topic, "-m", "{}"])
            .output()
            .expect("mosquitto_pub runs");
        output.status.success() && output.stderr.is_empty()
    }
}

/// The database of the compose file, with the role that its script makes.
async fn database(secrets: &Secrets) -> PrivateServer {
    let server = PrivateServer::start();
    let admin = connect(&server.url()).await;
    admin.batch_execute("CREATE DATABASE pulseward").await.expect("made");
    let psql = PathBuf::from(from_tests_run("PULSEWARD_TEST_POSTGRES_BIN"));
    let path = format!("{}:{}", psql.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new(root().join("deploy/postgres/reader.sh"))
        .env("PATH", path)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", server.port().to_string())
        .env("POSTGRES_USER", "pulseward")
        .env("POSTGRES_DB", "pulseward")
        .env("READER_PASSWORD_FILE", secrets.path("./deploy/secrets/grafana_reader_password"))
        .output()
        .expect("the script runs");
    assert!(output.status.success(), "{}", told(&output));
    server.ask_for_password("grafana").await;
    server
}

/// The service's configuration, at this house's ports and files.
fn configuration(secrets: &Secrets, ports: &Ports, dir: &Path) -> String {
    let files = secrets.0.path().display().to_string();
    std::fs::read_to_string(root().join("deploy/pulseward.toml"))
        .expect("there")
        .replace("8884", &ports.certificates.to_string())
        .replace("/etc/pulseward/tls", &format!("{files}/tls"))
        .replace("/run/secrets", &files)
        .replace("/var/lib/pulseward", &dir.display().to_string())
        .replace("127.0.0.1:50051", "127.0.0.1:0")
        .replace("127.0.0.1:8080", "127.0.0.1:0")
}

/// The fleet of the compose file, for a few seconds.
fn ward(secrets: &Secrets, broker: &Broker, grpc: String, record: &Path) -> Fleet {
    let scenario = Scenario {
        devices: 20,
        duration: SignedDuration::from_secs(4),
        site: "ward".to_owned(),
        ..Scenario::default()
    };
    let (password, port) = (secrets.text("simulator_password"), broker.ports.plain);
    let address = format!("mqtt://simulator:{password}@127.0.0.1:{port}");
    let token = secrets.path("./deploy/secrets/admin_token");
    let settings = fleet::Settings {
        scenario,
        broker: address.parse().expect("an address"),
        grpc: Some(grpc),
        caller: Caller::read(&token).expect("a token"),
        record: record.to_owned(),
        show: Show::Nothing,
    };
    Fleet::new(settings).expect("a fleet")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_house_works_with_the_files_of_the_compose_file() {
    let secrets = Secrets::make();
    let broker = Broker::start(&secrets);
    let server = database(&secrets).await;
    let dir = TempDir::with_prefix("compose-").expect("temporary directory");
    let store = format!("postgres://pulseward@127.0.0.1:{}/pulseward", server.port());
    let service = Service::launch_configured(
        &configuration(&secrets, &broker.ports, dir.path()),
        vec![("PULSEWARD_STORE__URL", store.clone())],
    );
    service.ready().await;

    let grpc = format!("http://{}", service.listener("grpc").await);
    // And anew, as its container does.
    let mut readings = 0;
    for run in ["first", "second"] {
        let fleet = ward(&secrets, &broker, grpc.clone(), &dir.path().join(run));
        let summary = fleet.run(std::future::pending()).await.expect("the ward runs");
        assert!(summary.readings > 0 && summary.readings == summary.acknowledged_readings);
        readings += summary.readings;
    }
    let reader = store
        .replace("pulseward@", &format!("grafana:{}@", secrets.text("grafana_reader_password")));
    wait_until("the reader to see every reading", async || {
        let count = sql::postgres_rows(&reader, "SELECT count(*) FROM readings").await;
        count[0][0] == readings.to_string()
    })
    .await;
    let refused = connect(&reader).await.batch_execute("DELETE FROM readings").await;
    assert!(refused.is_err(), "the reader can write");
}

#[test]
fn nobody_publishes_without_a_name_or_for_somebody_else() {
    let secrets = Secrets::make();
    let broker = Broker::start(&secrets);
    let password = secrets.text("simulator_password");
    let simulator = ["-u", "simulator", "-P", &password];
    assert!(broker.takes("pulseward/v1/ward/ward-d00001/status", &simulator));
    assert!(!broker.takes("pulseward/v1/north/watch-0042/status", &simulator));
    assert!(!broker.takes("pulseward/v1/ward/ward-d00001/status", &["-u", "simulator", "-P", "x"]));
    assert!(!broker.takes("pulseward/v1/ward/ward-d00001/status", &[]));
}
