//! The installation that the page describes, in a directory of its own: its files and commands cut
//! out of the page, its ports replaced by free ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::from_tests_run;
use crate::support::port;
use crate::support::process::{Process, Signal};
use crate::support::service::Service;
use crate::support::wait::wait_blocking;

/// The page.
pub(super) struct Page(String);

impl Page {
    pub(super) fn read() -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
        Self(std::fs::read_to_string(path).expect("the page is there"))
    }

    /// Every marker on it, in order.
    pub(super) fn markers(&self) -> Vec<&str> {
        self.0.lines().filter_map(|it| it.strip_prefix("<!-- ")?.strip_suffix(" -->")).collect()
    }

    /// What stands in the block below a marker.
    pub(super) fn block(&self, marker: &str) -> String {
        self.nth_block(marker, 0)
    }

    /// What the page says that the commands below a marker print: the block after theirs.
    pub(super) fn printed_by(&self, marker: &str) -> String {
        self.nth_block(marker, 1)
    }

    fn nth_block(&self, marker: &str, index: usize) -> String {
        let marker = format!("<!-- {marker} -->\n");
        let (_, below) = self.0.split_once(&marker).unwrap_or_else(|| panic!("no {marker}"));
        // Fences come in pairs, and what stands between those of a pair is a block.
        let between = below.split("```").nth(2 * index + 1).expect("a block follows");
        between.split_once('\n').expect("behind its language").1.to_owned()
    }
}

/// The directory of the page, with its authority, certificates and passwords.
pub(super) struct Trial {
    pub(super) page: Page,
    dir: TempDir,
    /// Where the broker listens: for passwords, and for certificates.
    ports: (u16, u16),
}

impl Trial {
    /// Everything up to where the broker is started.
    pub(super) fn prepare() -> Self {
        let page = Page::read();
        let dir = TempDir::with_prefix("security-").expect("temporary directory");
        let trial = Self { page, dir, ports: (port::candidate(), port::candidate()) };
        trial.write("acl", &trial.page.block("file: acl"));
        for marker in ["run: authority", "run: certificates", "run: passwords"] {
            trial.run(&trial.page.block(marker));
        }
        trial
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("written");
    }

    pub(super) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("readable")
    }

    /// Runs commands of the page, and returns what they printed and said.
    ///
    /// # Panics
    /// If they fail.
    pub(super) fn run(&self, commands: &str) -> String {
        self.run_at(commands, 0)
    }

    /// The same, with the service at this port of gRPC.
    pub(super) fn run_at(&self, commands: &str, grpc_port: u16) -> String {
        let output = self.sh(commands, grpc_port);
        let told = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{}\n{commands}\n{told}", output.status);
        told
    }

    fn sh(&self, commands: &str, grpc_port: u16) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_pulseward"));
        let programs = program.parent().expect("in a directory").display();
        let path = std::env::var("PATH").unwrap_or_default();
        let commands = self.at_our_ports(commands).replace(":50051", &format!(":{grpc_port}"));
        Command::new("sh")
            .args(["-eu", "-c", &commands])
            .current_dir(self.dir.path())
            .env("PATH", format!("{programs}:{path}"))
            .output()
            .expect("sh runs")
    }

    fn at_our_ports(&self, text: &str) -> String {
        let (passwords, certificates) = (self.ports.0.to_string(), self.ports.1.to_string());
        text.replace("8883", &passwords).replace("8884", &certificates)
    }

    /// The page's broker.
    pub(super) fn broker(&self) -> Broker<'_> {
        // As root, Mosquitto would become a user that may not read our directory.
        let config = self.at_our_ports(&self.page.block("file: mosquitto-tls.conf"));
        self.write("mosquitto-tls.conf", &format!("{config}\nuser root\n"));
        Broker { process: self.launch(), trial: self }
    }

    fn launch(&self) -> Process {
        let mut command = Command::new(from_tests_run("PULSEWARD_TEST_MOSQUITTO"));
        command.current_dir(self.dir.path()).arg("-c").arg("mosquitto-tls.conf");
        let log = self.path("mosquitto.log");
        let before = running(&log);
        let process = Process::spawn("mosquitto", &mut command, &log);
        wait_blocking("mosquitto to listen", || (running(&log) > before).then_some(()));
        process
    }

    /// The page's service, with further variables of its environment; not waited for.
    pub(super) fn service(&self, variables: &[(&'static str, String)]) -> Service {
        let tls = format!("\"{}/", self.path("tls").display());
        let config = self.at_our_ports(&self.page.block("file: pulseward.toml"));
        let ours = [
            ("PULSEWARD_GRPC__LISTEN", "127.0.0.1:0".to_owned()),
            ("PULSEWARD_HTTP__LISTEN", "127.0.0.1:0".to_owned()),
            ("PULSEWARD_LOG__FORMAT", "json".to_owned()),
        ];
        let environment = ours.into_iter().chain(variables.iter().cloned()).collect();
        Service::launch_configured(&config.replace("\"tls/", &tls), environment)
    }

    /// The address of the listener that wants certificates, by another name of this machine.
    pub(super) fn broker_at(&self, host: &str) -> String {
        format!("mqtts://{host}:{}", self.ports.1)
    }
}

fn running(log: &Path) -> usize {
    std::fs::read_to_string(log).unwrap_or_default().matches(" running\n").count()
}

/// A broker with the page's configuration. Dropping it ends it.
pub(super) struct Broker<'a> {
    process: Process,
    trial: &'a Trial,
}

impl Broker<'_> {
    /// Ends it, and starts it again with its files as they are now.
    pub(super) fn restart(&mut self) {
        self.process.stop(Signal::Terminate);
        self.process = self.trial.launch();
    }
}
