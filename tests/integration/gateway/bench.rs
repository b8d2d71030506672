//! The bench that the page speaks of: a broker, the service, `ward-7` with its watches, and a
//! directory in which the page's files and commands are tried.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use jiff::{SignedDuration, Timestamp};
use pulseward_sim::enroll::Wearing;
use tempfile::TempDir;

use super::blocks::Page;
use crate::support::from_tests_run;
use crate::support::house::House;
use crate::support::sql::Sql;
use crate::support::wait::{wait_blocking, wait_until};

pub(super) const SITE: &str = "ward-7";

/// Who wears a device.
pub(super) fn patient_of(device: &str) -> String {
    format!("patient-of-{device}")
}

/// The bench. Dropping it ends every part of it.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) house: House,
    pub(super) page: Page,
    pub(super) dir: Workplace,
}

impl Bench {
    /// A bench where these devices are worn.
    pub(super) async fn start(devices: &[&str]) -> Self {
        let house = House::start(Sql::sqlite()).await;
        house.enroller().await.site(SITE, "Ward 7").await.expect("site");
        let page = Page::read();
        let dir = Workplace::new(&page, house.broker.port());
        let bench = Self { house, page, dir };
        for device in devices {
            bench.enroll(device).await;
            bench.bind(device).await;
        }
        bench
    }

    pub(super) async fn enroll(&self, device: &str) {
        let mut enroller = self.house.enroller().await;
        enroller.patient(&patient_of(device), SITE).await.expect("patient");
        enroller.device(device, SITE).await.expect("device");
    }

    /// Binds a device from an hour ago on.
    pub(super) async fn bind(&self, device: &str) {
        let wearing = Wearing {
            device,
            patient: &patient_of(device),
            from: Timestamp::now() - SignedDuration::from_hours(1),
            upload_interval: SignedDuration::ZERO,
            upload_interval_min: SignedDuration::ZERO,
            measures_every: SignedDuration::from_secs(1),
        };
        self.house.enroller().await.bind(&wearing).await.expect("binding");
    }

    /// What is stored of a device, as `vital value unit absent quality`, in that order.
    pub(super) async fn stored(&self, device: &str) -> Vec<String> {
        let sql = format!(
            "SELECT vital || ' ' || coalesce(value, '-') || ' ' || unit || ' ' || \
             coalesce(absent_reason, '-') || ' ' || quality \
             FROM readings_named WHERE device_id = '{device}' ORDER BY 1"
        );
        self.house.sql.rows(&sql).await.concat().iter().map(|row| row.trim().to_owned()).collect()
    }

    /// Waits until exactly this is stored of a device.
    pub(super) async fn until_stored(&self, device: &str, expected: &[&str]) {
        wait_until(&format!("readings of {device} to be stored"), async || {
            self.stored(device).await.len() >= expected.len()
        })
        .await;
        assert_eq!(self.stored(device).await, expected, "{device}");
    }
}

/// A directory with the page's files and this repository's protos, and commands run in it.
#[derive(Debug)]
pub(super) struct Workplace {
    dir: TempDir,
    port: u16,
}

impl Workplace {
    pub(super) fn new(page: &Page, port: u16) -> Self {
        let dir = TempDir::with_prefix("gateway-").expect("temporary directory");
        for file in ["publish.py", "gateway.py", "gateway.c"] {
            std::fs::write(dir.path().join(file), page.block(&format!("file: {file}")))
                .expect("file written");
        }
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
        std::os::unix::fs::symlink(proto, dir.path().join("proto")).expect("link made");
        write_python(dir.path());
        Self { dir, port }
    }

    /// Where a file of it is.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Runs commands of the page as a device, and returns what they printed.
    ///
    /// # Panics
    /// If they fail, with what they said.
    pub(super) fn run(&self, device: &str, commands: &str) -> String {
        let mut example = self.start(device, commands);
        let exit = example.wait();
        let (printed, said) = (example.printed(), example.said());
        assert!(exit.success(), "{exit}\n{commands}\nprinted:\n{printed}\nsaid:\n{said}");
        printed
    }

    /// Starts commands of the page as a device.
    pub(super) fn start(&self, device: &str, commands: &str) -> Example {
        let output = |name| std::fs::File::create(self.path(name)).expect("file made");
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("sh")
            .args(["-eu", "-c", commands])
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("MQTT_HOST", "127.0.0.1")
            .env("MQTT_PORT", self.port.to_string())
            .env("SITE", SITE)
            .env("DEVICE", device)
            .stdin(Stdio::piped())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .process_group(0)
            .spawn()
            .expect("sh runs");
        Example { child, dir: self.dir.path().to_owned() }
    }
}

/// The page's `python3` is the one that has what the page installs.
fn write_python(dir: &Path) {
    let python = from_tests_run("PULSEWARD_TEST_PYTHON");
    let wrapper = dir.join("bin/python3");
    std::fs::create_dir(dir.join("bin")).expect("directory made");
    std::fs::write(&wrapper, format!("#!/bin/sh\nexec '{python}' \"$@\"\n")).expect("written");
    std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).expect("executable");
}

/// Commands under way. Dropping them kills them, with all that they started.
#[derive(Debug)]
pub(super) struct Example {
    child: Child,
    dir: PathBuf,
}

impl Example {
    /// Gives it lines to read.
    pub(super) fn tell(&mut self, lines: &str) {
        let stdin = self.child.stdin.as_mut().expect("not closed yet");
        stdin.write_all(lines.as_bytes()).expect("it reads");
    }

    /// Waits for its end, after which it has nothing more to read.
    pub(super) fn wait(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        wait_blocking("an example to end", || self.child.try_wait().expect("our own child"))
    }

    /// Ends it as a power cut does.
    pub(super) fn kill(mut self) {
        self.kill_all();
    }

    /// What it wrote to standard output so far.
    pub(super) fn printed(&self) -> String {
        std::fs::read_to_string(self.dir.join("stdout")).expect("text")
    }

    /// What it wrote to standard error so far.
    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("stderr")).expect("text")
    }

    fn kill_all(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let kill = format!("kill -s KILL -- -{}", self.child.id());
            let _gone_already = Command::new("sh").args(["-c", &kill]).status();
        }
        let _reaped_already = self.child.wait();
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.kill_all();
        if std::thread::panicking() {
            eprintln!("--- the example said at last:\n{}---", self.said());
        }
    }
}
