//! `pulseward enroll` against the real service: what a sheet says is so afterwards, a second time
//! changes nothing, a dry run never does, and a line that can't be does not hold up the others.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pulseward::proto::v1;
use pulseward::proto::v1::registry_service_client::RegistryServiceClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::support::house::House;
use crate::support::sql::Sql;

/// Enough lines for many to be under way at a time.
const LINES: usize = 1_000;

/// A house without a ward, and a place for sheets.
struct Desk {
    house: House,
    dir: TempDir,
}

impl Desk {
    async fn open() -> Self {
        let dir = TempDir::with_prefix("sheets-").expect("temporary directory");
        Self { house: House::start(Sql::sqlite()).await, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the command over a sheet `ward.csv` of this text.
    async fn enroll(&self, text: &str, options: &[&str]) -> Output {
        std::fs::write(self.path("ward.csv"), text).expect("written");
        let grpc = self.house.grpc_url().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_pulseward"));
        command.current_dir(self.dir.path()).args(["enroll", "ward.csv", "--grpc", &grpc]);
        command.args(options).output().expect("runs")
    }

    async fn registry(&self) -> RegistryServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(self.house.grpc_url().await).expect("an address");
        RegistryServiceClient::new(endpoint.connect_lazy())
    }

    /// How many commands the service has been given in this run.
    async fn commands(&self) -> f64 {
        self.house.metric("pulseward_inputs_total{kind=\"command\"}").await
    }

    /// Ends the service, and counts what the store holds.
    async fn ends_with(&mut self, sites: usize, patients: usize, devices: usize, bindings: usize) {
        assert!(self.house.service.terminate().success());
        let mut counts = Vec::new();
        // What people measure by hand has a device of its own, from the first.
        let worn = "devices WHERE device_key >= 0";
        for table in ["sites", "patients", worn, "bindings"] {
            counts.push(self.house.sql.number(&format!("SELECT count(*) FROM {table}")).await);
        }
        assert_eq!(counts, [sites, patients, devices, bindings]);
    }
}

const SITES: [&str; 3] = ["--create-sites", "--time-zone", "Europe/Berlin"];
const SCHEDULE: [&str; 4] = ["--measures", "heart_rate=1s", "--upload-interval", "1m"];

fn check(output: &Output, code: i32, last_line: &str) {
    let (told, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{told}{errors}");
    assert_eq!(told.lines().last().unwrap_or_default(), last_line, "{told}{errors}");
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Of every four devices, two are worn by the same patient.
fn ward() -> String {
    let lines = (0..LINES).map(|line| {
        let patient = line - line % 4 / 3;
        format!("north,p-{patient},d-{line},2026-01-31T08:00:00+01:00\n")
    });
    format!("site,patient_id,device_id,from\n{}", lines.collect::<String>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_is_enrolled_and_a_second_time_or_a_dry_run_changes_nothing() {
    let mut desk = Desk::open().await;
    let (ward, patients) = (ward(), LINES - LINES / 4);
    let all = [&SITES[..], &SCHEDULE].concat();
    let dry = [&all[..], &["--dry-run"]].concat();

    check(&desk.enroll(&ward, &dry).await, 0, "ward.csv: 1000 lines: 1000 would enroll");
    assert_eq!(desk.commands().await, 0.0, "a dry run only asks");
    let output = desk.enroll(&ward, &all).await;
    check(&output, 0, "ward.csv: 1000 lines: 1000 enrolled");
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines[0], "ward.csv: site north created");
    let since = "2026-01-31T07:00:00Z";
    let first = format!("enrolled: device d-0 on patient p-0 since {since}; new: patient, device");
    let fourth = format!("enrolled: device d-3 on patient p-2 since {since}; new: device");
    assert_eq!(lines[1], format!("ward.csv:2: {first}"));
    assert_eq!(lines[4], format!("ward.csv:5: {fourth}"));
    assert_eq!(lines.len(), LINES + 2);

    let commands = desk.commands().await;
    assert_eq!(commands, f64::from(u32::try_from(1 + patients + 2 * LINES).expect("few")));
    for options in [&all, &dry] {
        check(&desk.enroll(&ward, options).await, 0, "ward.csv: 1000 lines: 1000 unchanged");
    }
    assert_eq!(desk.commands().await, commands, "nothing was to be done");
    desk.ends_with(1, patients, LINES, LINES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_enrolled_is_bound_with_its_schedule() {
    let desk = Desk::open().await;
    let sheet = "site;patient_id;device_id;measures\r\nnorth;p;d;spo2=2s,heart_rate=1s\r\n";
    check(&desk.enroll(sheet, &SITES).await, 0, "ward.csv: 1 line: 1 enrolled");
    let of = Some(v1::list_bindings_request::Of::DeviceId("d".to_owned()));
    let request = v1::ListBindingsRequest { of, ..v1::ListBindingsRequest::default() };
    let listed = desk.registry().await.list_bindings(request).await.expect("served").into_inner();
    let [binding] = &listed.bindings[..] else { panic!("{listed:?}") };
    assert_eq!((&*binding.patient_id, binding.until), ("p", None));
    let schedule = binding.schedule.clone().expect("given");
    let expected = schedule.expected_intervals.iter().map(|it| (it.vital(), it.interval));
    let every = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let expected: Vec<_> = expected.collect();
    assert_eq!(expected, [(v1::Vital::Spo2, every(2)), (v1::Vital::HeartRate, every(1))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_with_a_mistake_in_its_last_line_sends_nothing() {
    let mut desk = Desk::open().await;
    let mut ward = ward();
    ward.push_str("north,p-1,d 1,\n");
    let output = desk.enroll(&ward, &SITES).await;
    check(&output, 1, "");
    let told = "ward.csv:1002:11: device_id: \"d 1\" is not an id: 1 to 64 of A-Z a-z 0-9 . _ -\n\
                nothing was enrolled\n";
    assert_eq!(text(&output.stderr), told);
    assert_eq!(desk.commands().await, 0.0);
    desk.ends_with(0, 0, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_can_not_be_is_told_with_its_reason_and_the_others_go_on() {
    let mut desk = Desk::open().await;
    let before = "site,patient_id,device_id,from\n\
                  north,p-1,d-1,2026-01-31T08:00:00Z\n\
                  south,p-2,d-2,2026-01-31T08:00:00Z\n";
    let all = [&SITES[..], &SCHEDULE].concat();
    check(&desk.enroll(before, &all).await, 0, "ward.csv: 2 lines: 2 enrolled");

    let sheet = "site,patient_id,device_id,from\n\
                 # somebody else wears it\n\
                 north,p-3,d-1,\n\
                 north,p-1,d-3,\n\
                 east,p-4,d-4,\n\
                 north,p-2,d-5,\n\
                 north,p-6,d-2,\n\
                 south,p-7,d-6,2026-01-31T08:00:00Z\n\
                 north,,gateway-1,\n";
    let report = desk.path("report.csv").display().to_string();
    let options = ["--report", &report, "--quiet", "--allow-unbound"];
    let options = [&SCHEDULE[..], &options].concat();
    let dry = [&options[..], &["--dry-run"]].concat();
    let would = desk.enroll(sheet, &dry).await;
    check(&would, 1, "ward.csv: 7 lines: 3 conflict, 1 refused, 3 would enroll");
    let output = desk.enroll(sheet, &options).await;
    check(&output, 1, "ward.csv: 7 lines: 3 conflict, 3 enrolled, 1 refused");
    let wrong = [
        "ward.csv:3: conflict: device d-1 is bound to patient p-1 since 2026-01-31T08:00:00Z; \
         unbind it first",
        "ward.csv:5: refused: there is no site east; see --create-sites",
        "ward.csv:6: conflict: patient p-2 is at site south",
        "ward.csv:7: conflict: device d-2 is at site south",
    ];
    for told in [&would, &output] {
        let lines: Vec<_> = text(&told.stdout).lines().collect();
        assert_eq!(lines[..lines.len() - 1], wrong);
    }
    check_report(Path::new(&report));
    desk.ends_with(2, 3, 5, 4).await;
}

fn check_report(path: &Path) {
    let report = std::fs::read_to_string(path).expect("written");
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), 8, "{report}");
    let columns = "line,site,patient_id,device_id,outcome,patient,device,binding,from,reason";
    assert_eq!(lines[0], columns);
    assert!(lines[1].starts_with("3,north,p-3,d-1,conflict,,,,,device d-1 is bound"), "{report}");
    assert!(lines[2].starts_with("4,north,p-1,d-3,enrolled,,new,new,20"), "{report}");
    assert_eq!(lines[6], "8,south,p-7,d-6,enrolled,new,new,new,2026-01-31T08:00:00Z,");
    assert_eq!(lines[7], "9,north,,gateway-1,enrolled,,new,,,");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_service_keeps_its_reason() {
    let mut desk = Desk::open().await;
    let sheet = "site,patient_id,device_id\nnorth,p-1,d-1\n";
    let options = ["--create-sites", "--time-zone", "Middle Earth", "--quiet"];
    let output = desk.enroll(sheet, &options).await;
    let told = text(&output.stdout).lines().next().expect("told");
    let expected = "ward.csv:2: refused: time_zone: not an IANA time zone such as Europe/Berlin \
                    (InvalidArgument); time_zone: not an IANA time zone such as Europe/Berlin";
    assert_eq!((told, output.status.code()), (expected, Some(1)));
    desk.ends_with(0, 0, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_comes_back_is_bound_again_and_not_into_its_past() {
    let mut desk = Desk::open().await;
    let sheet = "site,patient_id,device_id,from\nnorth,p-1,d-1,2026-01-31T08:00:00Z\n";
    let all = [&SITES[..], &SCHEDULE].concat();
    check(&desk.enroll(sheet, &all).await, 0, "ward.csv: 1 line: 1 enrolled");
    let unbind = v1::UnbindDeviceRequest { device_id: "d-1".to_owned(), ..Default::default() };
    desk.registry().await.unbind_device(unbind).await.expect("unbound");
    let other = sheet.replace("p-1", "p-2");
    let output = desk.enroll(&other, &all).await;
    check(&output, 1, "ward.csv: 1 line: 1 conflict");
    let expected = "ward.csv:2: conflict: device d-1 was bound to patient p-1 until ";
    assert!(text(&output.stdout).starts_with(expected), "{output:?}");
    let now = other.replace("2026-01-31T08:00:00Z", "");
    check(&desk.enroll(&now, &all).await, 0, "ward.csv: 1 line: 1 enrolled");
    check(&desk.enroll(&now, &all).await, 0, "ward.csv: 1 line: 1 unchanged");
    desk.ends_with(1, 2, 1, 2).await;
}

#[test]
fn a_service_that_is_not_there_is_named() {
    let dir = TempDir::new().expect("temporary directory");
    let sheet = dir.path().join("ward.csv");
    std::fs::write(&sheet, "site,patient_id,device_id\nnorth,p-1,d-1\n").expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulseward"));
    command.arg("enroll").arg(&sheet).args(["--grpc", "http://127.0.0.1:1"]);
    let output = command.output().expect("runs");
    check(&output, 1, "");
    let told = "pulseward: can't connect to the service at http://127.0.0.1:1: ";
    assert!(text(&output.stderr).starts_with(told), "{output:?}");
}
