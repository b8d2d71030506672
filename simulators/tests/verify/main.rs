//! The program `pulseward-sim verify`: what can't be told is neither good nor bad.

use std::path::Path;
use std::process::{Command, Output};

use jiff::SignedDuration;
use pulseward_sim::record::{Device, Run, Writer};

fn verify(record: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_pulseward-sim");
    let record = record.to_str().expect("UTF-8");
    let mut command = Command::new(program);
    command.args(["verify", "--record", record]).args(arguments);
    command.output().expect("the program runs")
}

/// A directory with the record of a run in which nothing happened.
fn recorded() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let run = Run {
        version: Run::version(),
        began_at: "2026-01-31T08:15:00Z".parse().expect("valid"),
        site: "icu".to_owned(),
        seed: 1,
        profile: Vec::new(),
        scenario: serde_json::Value::Null,
        devices: vec![Device {
            device_id: "d-1".to_owned(),
            patient_id: Some("p-1".to_owned()),
            is_enrolled: true,
            bound_from: "2026-01-31T07:15:00Z".parse().expect("valid"),
            upload_interval: SignedDuration::ZERO,
            measures_every: SignedDuration::from_secs(1),
        }],
    };
    Writer::create(dir.path(), &run).and_then(Writer::close).expect("a record");
    dir
}

#[test]
fn what_cannot_be_read_ends_with_exit_2_and_a_reason() {
    let nothing = tempfile::tempdir().expect("a directory");
    let record = recorded();
    let missing = format!("sqlite:{}", nothing.path().join("none.sqlite").display());
    let missing = ["--store", missing.as_str()];
    let cases: [(&Path, &[&str], &str); 6] = [
        (nothing.path(), &missing, "run.json"),
        (record.path(), &missing, "opening the file in SQLite"),
        (record.path(), &["--store", "postgres://127.0.0.1:1/x?connect_timeout=1"], "connecting"),
        (record.path(), &["--store", "mysql://x"], "is no store"),
        (record.path(), &["--store", "sqlite:x", "--late-after", "soon"], "is no span"),
        (record.path(), &["--store", "sqlite:x", "--grpc", "not an address"], "no gRPC address"),
    ];
    for (record, arguments, reason) in cases {
        let output = verify(record, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(reason), "{reason:?} is not in {said}");
    }
}
