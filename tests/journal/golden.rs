//! Bytes that were once released decode for ever, and today's encoder still makes them.
//!
//! One file per kind of input and output under `tests/fixtures/journal`. With
//! `PULSEWARD_WRITE_GOLDEN` set, files that are missing are written; one that is there never is,
//! because journals in the field hold bytes like it. An entry's layout changes only with a new
//! version: new files beside the old, which then keep being decoded, and an encoder for the new.
//! Version 1 was never released; its journals are refused by name.

mod samples;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use pulseward::engine::input::{Action, Event, Poisoned};
use pulseward::engine::output::{Output, RegistryChange};
use pulseward::engine::restore::Chunk;
use pulseward::journal::entry::{self, Entry};
use pulseward::position::Position;

use self::samples::samples;

const WRITE: &str = "PULSEWARD_WRITE_GOLDEN";
const POSITION: Position = Position(42);

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal")
}

fn write_missing(path: &PathBuf, sample: &Entry) {
    if std::env::var_os(WRITE).is_some() && !path.exists() {
        fs::write(path, entry::encode(&sample.input, &sample.outputs, Vec::new()))
            .expect("written");
    }
}

#[test]
fn every_golden_entry_decodes_and_encodes_back_byte_for_byte() {
    for (name, sample) in samples() {
        let path = directory().join(format!("entry-{name}.v3.bin"));
        write_missing(&path, &sample);
        let golden = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}; set {WRITE}"));
        let decoded = entry::decode(POSITION, &golden).expect("a released version");
        assert_eq!(decoded, sample, "{name}");
        let encoded = entry::encode(&decoded.input, &decoded.outputs, Vec::new());
        assert_eq!(encoded, golden, "{name}");
    }
}

#[test]
fn no_golden_entry_is_without_its_sample() {
    let expected: BTreeSet<_> =
        samples().into_iter().map(|(name, _)| format!("entry-{name}.v3.bin")).collect();
    let there = fs::read_dir(directory())
        .expect("listed")
        .map(|file| file.expect("listed").file_name().into_string().expect("an ordinary name"));
    let there: BTreeSet<_> = there.filter(|name| name.starts_with("entry-")).collect();
    assert_eq!(there, expected);
}

/// A number for each kind, so that a new kind does not compile until it is counted here and has
/// its sample.
fn kind_of_event(event: &Event) -> u8 {
    match event {
        Event::Started { .. } => 0,
        Event::Settings(_) => 1,
        Event::Tick => 2,
        Event::Link(_) => 3,
        Event::Publish(_) => 4,
        Event::Command(command) => match command.action {
            Action::CreateSite { .. } => 5,
            Action::CreatePatient { .. } => 6,
            Action::CreateDevice { .. } => 7,
            Action::BindDevice(_) => 8,
            Action::UnbindDevice { .. } => 9,
            Action::PutProfile { .. } => 10,
            Action::UpdatePatient { .. } => 11,
            Action::ReplaceDevice(_) => 12,
            Action::TransferPatient { .. } => 13,
            Action::PausePatient { .. } => 14,
            Action::WorkOnAlert { .. } => 15,
            Action::Redrive(_) => 17,
            Action::RecordReadings { .. } => 18,
            Action::ErasePatient { .. } => 31,
        },
        Event::Reconcile(_) => 16,
        Event::Intake(_) => 19,
        Event::Poisoned(Poisoned::Publish(_)) => 20,
        Event::Poisoned(Poisoned::Command(_)) => 21,
        Event::Access(_) => 22,
        Event::AuditHead(_) => 23,
        Event::Restored(chunk) => match **chunk {
            Chunk::Sites(_) => 24,
            Chunk::Profiles(_) => 25,
            Chunk::Patients(_) => 26,
            Chunk::Devices(_) => 27,
            Chunk::Alerts(_) => 28,
            Chunk::Settle { .. } => 29,
            Chunk::End(_) => 30,
            Chunk::Erased(_) => 32,
        },
    }
}

fn kind_of_output(output: &Output) -> u8 {
    match output {
        Output::Reading(_) => 0,
        Output::Alert(_) => 1,
        Output::Reject(_) => 2,
        Output::Verdict(_) => 3,
        Output::Registry(change) => match **change {
            RegistryChange::Site(_) => 4,
            RegistryChange::Patient(_) => 5,
            RegistryChange::Device(_) => 6,
            RegistryChange::Binding(_) => 7,
            RegistryChange::Profile(_) => 8,
        },
        Output::Monitoring(_) => 9,
        Output::Redriven(_) => 10,
        Output::DeviceSequences(_) => 11,
        Output::DeviceNumbers(_) => 12,
        Output::Audit(_) => 13,
        Output::Erased(_) => 14,
    }
}

#[test]
fn every_kind_of_input_and_output_has_a_sample() {
    let samples = samples();
    let events: BTreeSet<_> =
        samples.iter().map(|(_, sample)| kind_of_event(&sample.input.event)).collect();
    assert_eq!(events, (0..=32).collect());
    let outputs = samples.iter().flat_map(|(_, sample)| &sample.outputs);
    assert_eq!(outputs.map(kind_of_output).collect::<BTreeSet<_>>(), (0..=14).collect());
}

#[test]
fn bytes_of_another_kind_or_a_later_version_are_named_as_such() {
    let (_, sample) = &samples()[0];
    let bytes = entry::encode(&sample.input, &sample.outputs, Vec::new());
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        entry::decode(POSITION, &bytes).expect_err("refused").to_string()
    };
    let newer = refused(&|bytes| bytes[1] = 4);
    assert_eq!(newer, "entry 42: version 4 is newer than this service knows (3)");
    let older = refused(&|bytes| bytes[1] = 2);
    assert_eq!(
        older,
        "entry 42: written by a pre-release of the service (version 2); it can't be read"
    );
    assert_eq!(refused(&|bytes| bytes[0] = 0), "entry 42: kind 0x00 is not an entry's");
    assert_eq!(refused(&|bytes| bytes.truncate(1)), "entry 42: only 1 bytes");
    assert_eq!(refused(&|bytes| bytes.truncate(9)), "entry 42: reading its body");
}
