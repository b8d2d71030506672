//! Databases of the run's Postgres, and private servers for tests that stop one.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::port;
use super::process::{Process, Signal};
use super::wait::wait_blocking;
use super::{disks_may_be_small, from_tests_run};

/// A database of one test, on the run's server. Dropping it drops the database, whoever is still
/// connected.
#[derive(Debug)]
pub(crate) struct Database {
    server_url: String,
    name: String,
}

impl Database {
    /// A new, empty database.
    pub(crate) async fn create() -> Self {
        Self::create_on(&from_tests_run("PULSEWARD_TEST_POSTGRES_URL")).await
    }

    /// A new, empty database on the server of `server_url`.
    pub(crate) async fn create_on(server_url: &str) -> Self {
        Self::create_like(server_url, "").await
    }

    /// The same, with options of `CREATE DATABASE`.
    pub(crate) async fn create_like(server_url: &str, options: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let admin = connect(server_url).await;
        let sql = format!("CREATE DATABASE {name} {options}");
        admin.batch_execute(&sql).await.expect("database created");
        Self { server_url: server_url.to_owned(), name }
    }

    /// Its address, for the configuration of the service.
    pub(crate) fn url(&self) -> String {
        with_database(&self.server_url, &self.name)
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.url()).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let url = self.server_url.clone();
        let drop_database = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A test's runtime can't be entered again from here, hence a runtime and thread of our
        // own. A server that is gone has taken the database with it.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("runtime").block_on(async {
                if let Ok(admin) = try_connect(&url).await {
                    admin.batch_execute(&drop_database).await.expect("database dropped");
                }
            });
        })
        .join();
        assert!(dropped.is_ok() || std::thread::panicking(), "database {} stays", self.name);
    }
}

/// A connection to the database of `url`; its task ends with it.
pub(crate) async fn connect(url: &str) -> Client {
    try_connect(url).await.expect("Postgres accepts a connection")
}

async fn try_connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The address `server_url` with its database replaced; options behind `?` stay.
fn with_database(server_url: &str, name: &str) -> String {
    let (address, options) = match server_url.split_once('?') {
        Some((address, options)) => (address, format!("?{options}")),
        None => (server_url, String::new()),
    };
    let authority_from = address.find("://").expect("a URL") + 3;
    let authority_to =
        address[authority_from..].find('/').map_or(address.len(), |slash| authority_from + slash);
    format!("{}/{name}{options}", &address[..authority_to])
}

/// A Postgres of one test, which may be stopped, killed and started again. Dropping it ends it and
/// removes its files.
#[derive(Debug)]
pub(crate) struct PrivateServer {
    // Declared before the directory, so that it ends before its files go.
    process: Process,
    port: u16,
    under: Vec<String>,
    dir: TempDir,
}

impl PrivateServer {
    /// A new, empty server. Durable, unlike the run's: a kill may lose nothing committed.
    pub(crate) fn start() -> Self {
        Self::start_under(|_| Vec::new())
    }

    /// The same, with a file system of this size of its own at [`PrivateServer::small_disk`]. It is
    /// empty again after a restart. `None` where [`disks_may_be_small`] says no.
    pub(crate) fn start_with_small_disk(mebibytes: u32) -> Option<Self> {
        if !disks_may_be_small() {
            return None;
        }
        Some(Self::start_under(|dir| with_small_disk(mebibytes, &dir.join(SMALL_DISK))))
    }

    fn start_under(under: impl Fn(&Path) -> Vec<String>) -> Self {
        let dir = TempDir::with_prefix("postgres-").expect("temporary directory");
        own(dir.path());
        initialise(dir.path());
        let under = under(dir.path());
        for _ in 0..port::ATTEMPTS_MAX {
            let port = port::candidate();
            if let Some(process) = launch(dir.path(), port, &under) {
                return Self { process, port, under, dir };
            }
        }
        panic!("no free port for Postgres");
    }

    /// Where its small disk is, if it has one.
    pub(crate) fn small_disk(&self) -> PathBuf {
        self.dir.path().join(SMALL_DISK)
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of its first database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://pulseward@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it in order, without waiting for its clients.
    pub(crate) fn stop(&mut self) {
        self.process.stop(Signal::Interrupt);
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.stop(Signal::Kill);
    }

    /// Starts it again on the same port, after [`PrivateServer::stop`] if it still runs.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.process = wait_blocking("Postgres to have its port again", || {
            launch(self.dir.path(), self.port, &self.under)
        });
    }

    /// Lets this role in by its password only, from the next connection on.
    pub(crate) async fn ask_for_password(&self, role: &str) {
        self.admit(&format!("host all {role} 127.0.0.1/32 scram-sha-256\n")).await;
    }

    /// Speaks TLS, too, from the next connection on, and lets in by these rules before all others.
    /// The certificate and its authority, which also issues those of clients, are in PEM.
    pub(crate) async fn speak_tls(
        &self,
        (certificate, key): (&str, &str),
        authority: &str,
        rules: &str,
    ) {
        for (name, content) in
            [("server.crt", certificate), ("server.key", key), ("root.crt", authority)]
        {
            let path = self.dir.path().join("data").join(name);
            std::fs::write(&path, content).expect("written");
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
            own(&path);
        }
        let admin = connect(&self.url()).await;
        for setting in ["ssl = on", "ssl_ca_file = 'root.crt'"] {
            admin.batch_execute(&format!("ALTER SYSTEM SET {setting}")).await.expect("set");
        }
        self.admit(rules).await;
    }

    /// Puts rules before all others.
    async fn admit(&self, rules: &str) {
        let path = self.dir.path().join("data/pg_hba.conf");
        let others = std::fs::read_to_string(&path).expect("there");
        std::fs::write(&path, rules.to_owned() + &others).expect("written");
        let admin = connect(&self.url()).await;
        admin.batch_execute("SELECT pg_reload_conf()").await.expect("told");
    }

    /// Stops it and keeps all that it holds, for [`PrivateServer::go_back`]; then starts it again.
    pub(crate) fn remember(&mut self) {
        self.stop();
        self.copy_files("data", "remembered");
        self.restart();
    }

    /// Stops it and puts back what it held before; then starts it again.
    pub(crate) fn go_back(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.dir.path().join("data")).expect("removed");
        self.copy_files("remembered", "data");
        self.restart();
    }

    fn copy_files(&self, from: &str, to: &str) {
        let mut copy = Command::new("cp");
        copy.current_dir(self.dir.path()).args(["-a", from, to]);
        assert!(unprivileged(&mut copy).status().expect("cp runs").success());
    }
}

const SMALL_DISK: &str = "small";

/// What runs a command that sees a small disk at `path`, as an ordinary user in a namespace of
/// its own.
fn with_small_disk(mebibytes: u32, path: &Path) -> Vec<String> {
    let path = path.display();
    let script = format!(
        "mkdir -p {path:?} && mount -t tmpfs -o size={mebibytes}m,mode=0700 tmpfs {path:?} && \
         exec \"$@\""
    );
    let owner = Unprivileged::user();
    let (uid, gid) = (format!("--map-user={}", owner.uid), format!("--map-group={}", owner.gid));
    ["unshare", "--user", &uid, &gid, "--mount", "--keep-caps", "sh", "-c", &script, "sh"]
        .map(str::to_owned)
        .to_vec()
}

/// Postgres refuses root, so root runs it as somebody else.
#[derive(Clone, Copy)]
struct Unprivileged {
    uid: u32,
    gid: u32,
}

impl Unprivileged {
    /// The user that servers run as, if we are root.
    fn needed() -> Option<Self> {
        (id("-u", None)? == 0).then(|| {
            ["postgres", "nobody"]
                .into_iter()
                .find_map(|user| {
                    Some(Self { uid: id("-u", Some(user))?, gid: id("-g", Some(user))? })
                })
                .expect("there is a user postgres or nobody")
        })
    }
}

impl Unprivileged {
    /// Who servers run as.
    fn user() -> Self {
        let own = |what| id(what, None).expect("everybody has a number");
        Self::needed().unwrap_or_else(|| Self { uid: own("-u"), gid: own("-g") })
    }
}

/// Runs a command as servers run.
fn unprivileged(command: &mut Command) -> &mut Command {
    if let Some(user) = Unprivileged::needed() {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn id(what: &str, user: Option<&str>) -> Option<u32> {
    let output = Command::new("id").arg(what).args(user).output().expect("id runs");
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn own(path: &Path) {
    if let Some(user) = Unprivileged::needed() {
        chown(path, Some(user.uid), Some(user.gid)).expect("root may give away what it made");
    }
}

fn server_command(program: &str, dir: &Path, under: &[String]) -> Command {
    let program = PathBuf::from(from_tests_run("PULSEWARD_TEST_POSTGRES_BIN")).join(program);
    let mut words = under.iter().map(PathBuf::from).chain([program]);
    let mut command = Command::new(words.next().expect("at least the program"));
    command.args(words).current_dir(dir).env("LC_ALL", "C").arg("-D").arg(dir.join("data"));
    unprivileged(&mut command);
    command
}

/// Every connection from this machine is trusted: it holds nothing, and lives for one test.
fn initialise(dir: &Path) {
    let done = server_command("initdb", dir, &[])
        .args(["--username=pulseward", "--auth=trust", "--encoding=UTF8", "--locale=C"])
        .arg("--no-sync")
        .output()
        .expect("initdb runs");
    assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
}

/// Starts the server, and waits until it accepts connections; `None` if its port is taken.
fn launch(dir: &Path, port: u16, under: &[String]) -> Option<Process> {
    let log = dir.join("log");
    let ready_before = count_ready(&log);
    let mut command = server_command("postgres", dir, under);
    command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "unix_socket_directories="]);
    let mut process = Process::spawn("postgres", &mut command, &log);
    wait_blocking("Postgres to accept connections", || {
        if let Some(exit) = process.exit() {
            let said = process.log();
            // After a kill its children live on for a moment.
            let passes = ["could not bind", "pre-existing shared memory block"];
            let passes = passes.iter().any(|reason| said.contains(reason));
            assert!(passes, "Postgres ended ({exit}):\n{said}");
            return Some(false);
        }
        (count_ready(&log) > ready_before).then_some(true)
    })
    .then_some(process)
}

fn count_ready(log: &Path) -> usize {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    said.matches("database system is ready to accept connections").count()
}
