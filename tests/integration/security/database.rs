//! TLS to Postgres: spoken where it is asked for, with nobody who can't be verified, and told of
//! where it fails.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::{part, until_told};
use crate::support::house::House;
use crate::support::postgres::{self, Database, PrivateServer};
use crate::support::publishing::Publishing;
use crate::support::recording::Recording;
use crate::support::service::{Service, Settings};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

/// Whom the database knows by a certificate.
const ROLE: &str = "ward";
/// Whom it knows by a password, and that password.
const CLERK: (&str, &str) = ("clerk", "a password of a test");
/// Nobody of them without TLS.
const RULES: &str = "hostssl all ward 127.0.0.1/32 cert\n\
                     hostssl all clerk 127.0.0.1/32 scram-sha-256\n\
                     host all ward,clerk 127.0.0.1/32 reject\n";

/// An authority, what it issued, and a Postgres that shows some of it.
struct Trial {
    server: PrivateServer,
    dir: TempDir,
    authority: String,
}

impl Trial {
    async fn prepare() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "An authority");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let authority = rcgen::CertifiedIssuer::self_signed(params, key).expect("an authority");
        let issue = |name: &str| {
            let mut params =
                rcgen::CertificateParams::new([name.to_owned()]).expect("a name of a machine");
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &authority).expect("issued");
            (certificate.pem(), key.serialize_pem())
        };
        let server = PrivateServer::start();
        let (clerk, password) = CLERK;
        let roles = format!(
            "CREATE ROLE {ROLE} LOGIN SUPERUSER; \
             CREATE ROLE {clerk} LOGIN SUPERUSER PASSWORD '{password}'"
        );
        let admin = postgres::connect(&server.url()).await;
        admin.batch_execute(&roles).await.expect("roles");
        let (certificate, key) = issue("localhost");
        server.speak_tls((&certificate, &key), &authority.pem(), RULES).await;
        let dir = TempDir::with_prefix("database-").expect("temporary directory");
        let trial = Self { server, dir, authority: authority.pem() };
        let (certificate, key) = issue(ROLE);
        trial.write("ca.pem", &trial.authority);
        trial.write("service.pem", &certificate);
        trial.write("service.key", &key);
        trial
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("written");
    }

    /// What a service is told of a database that it calls by this name.
    fn variables(&self, host: &str, database: &Database) -> Vec<(&'static str, String)> {
        let text = |name: &str| self.path(name).display().to_string();
        let url = database.url().replace("pulseward@127.0.0.1", &format!("{ROLE}@{host}"));
        vec![
            ("PULSEWARD_STORE__URL", format!("{url}?sslmode=verify-full")),
            ("PULSEWARD_STORE__TLS__CA", text("ca.pem")),
            ("PULSEWARD_STORE__TLS__CERTIFICATE", text("service.pem")),
            ("PULSEWARD_STORE__TLS__KEY", text("service.key")),
        ]
    }
}

fn service(environment: Vec<(&'static str, String)>) -> Service {
    let mqtt_url = "mqtt://127.0.0.1:1".to_owned();
    Service::launch(&Settings { mqtt_url, store_url: None, environment })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_and_read_goes_over_tls_and_the_role_is_known_by_its_certificate() {
    let trial = Trial::prepare().await;
    let database = Database::create_on(&trial.server.url()).await;
    let recording = Recording::new(1, 1, 60);
    let variables = trial.variables("localhost", &database);
    let house = House::start_under(Sql::Postgres(database), variables, Vec::new()).await;
    house.until_store_is("ready").await;
    house.enroll(&recording).await;
    Publishing::start(&house.broker.url(), recording.messages()).finish().await;
    house.stored(recording.readings().len()).await;
    house.check_stored(&recording).await;
    let patient = Recording::patient_of(&recording.devices[0]);
    assert!(!house.list_readings(&patient).await.expect("history").is_empty());

    let connections = |of: &str| {
        format!(
            "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
             WHERE usename = '{ROLE}' AND {of}"
        )
    };
    for name in ["pulseward writer", "pulseward history"] {
        let of = format!("ssl AND application_name = '{name}'");
        assert!(house.sql.number(&connections(&of)).await > 0, "{name}");
    }
    assert_eq!(house.sql.number(&connections("NOT ssl")).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_verified_is_told_of_and_tried_again_with_the_files_of_then() {
    let trial = Trial::prepare().await;
    let database = Database::create_on(&trial.server.url()).await;
    let stranger = rcgen::generate_simple_self_signed(["stranger".to_owned()]).expect("made");
    trial.write("ca.pem", &stranger.cert.pem());
    let distrustful = service(trial.variables("localhost", &database));
    let untrusted = "TLS with the database: the peer's certificate is refused: it was issued by \
                     none of the authorities that are trusted (ca)";
    until_told(&distrustful, "store", untrusted).await;
    trial.write("ca.pem", &trial.authority);
    wait_until("the store to be reached", async || part(&distrustful, "store").await.0 == "ready")
        .await;
    drop(distrustful);

    let misled = service(trial.variables("127.0.0.1", &database));
    until_told(&misled, "store", "not valid for name \"127.0.0.1\"").await;
    drop(misled);

    let mut anonymous = trial.variables("localhost", &database);
    anonymous.retain(|(name, _)| !name.ends_with("CERTIFICATE") && !name.ends_with("KEY"));
    let anonymous = service(anonymous);
    until_told(&anonymous, "store", "requires a valid client certificate").await;
    drop(anonymous);

    let plain = PrivateServer::start();
    let database = Database::create_on(&plain.url()).await;
    let refused = service(trial.variables("localhost", &database));
    until_told(&refused, "store", "server does not support TLS").await;
}

/// The exchange of the password is bound to the certificate of the server, so that nobody between
/// the two could pass it on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_bound_to_the_connection_that_it_was_meant_for() {
    let trial = Trial::prepare().await;
    let database = Database::create_on(&trial.server.url()).await;
    let (clerk, password) = CLERK;
    trial.write("password", password);
    let url = database.url().replace("pulseward@127.0.0.1", &format!("{clerk}@localhost"));
    let variables = vec![
        ("PULSEWARD_STORE__URL", format!("{url}?channel_binding=require&sslmode=verify-full")),
        ("PULSEWARD_STORE__TLS__CA", trial.path("ca.pem").display().to_string()),
        ("PULSEWARD_STORE__PASSWORD_FILE", trial.path("password").display().to_string()),
    ];
    let service = service(variables.clone());
    wait_until("the store to be reached", async || part(&service, "store").await.0 == "ready")
        .await;
    let verified = Command::new(env!("CARGO_BIN_EXE_pulseward"))
        .args(["audit", "verify", "--config"])
        .arg(service.dir().join("pulseward.toml"))
        .envs(variables)
        .output()
        .expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
