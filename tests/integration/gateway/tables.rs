//! The page's tables of vitals and reasons, and its message in bytes, against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prost::Message as _;
use prost_types::Timestamp;
use pulseward::engine::output::RejectReason;
use pulseward::proto::v1;
use pulseward::proto::v1::reading::{Measured, Value};
use pulseward::vitals::{Quantity, Unit, Vital};

use super::blocks::Page;
use crate::support::page;

#[test]
fn the_table_of_vitals_is_that_of_the_code() {
    let tables = BTreeMap::from([("vitals", vitals()), ("spellings", spellings())]);
    page::check("mqtt.md", &tables);
}

fn vitals() -> String {
    let mut table = String::from(
        "| no. | name | units (UCUM) | may be empty | possible | plausible |\n\
         |---|---|---|---|---|---|\n",
    );
    let codes = ucum_codes();
    for vital in Vital::ALL {
        let row = if vital == Vital::Consciousness {
            "none | | alert, confusion, voice, pain, unresponsive | all".to_owned()
        } else {
            row(vital, &codes)
        };
        writeln!(table, "| {} | `{}` | {row} |", vital.number(), vital.name()).expect("fits");
    }
    table
}

fn row(vital: Vital, codes: &BTreeSet<String>) -> String {
    let own = vital.unit().ucum();
    let measures = |code: &&String| {
        let unit = Unit::from_ucum(code).expect("a code");
        let is_first = unit.ucum() == code.as_str() && unit.ucum() != own;
        is_first && unit.convert(Quantity::whole(1), vital).is_some()
    };
    let others: String = codes.iter().filter(measures).map(|it| format!(", `{it}`")).collect();
    let omitted = if vital.unit_may_be_omitted() { "yes" } else { "**no**" };
    let (possible, plausible) = (vital.possible(), vital.plausible());
    format!(
        "**`{own}`**{others} | {omitted} | {} to {} | {} to {}",
        possible.low, possible.high, plausible.low, plausible.high
    )
}

/// Codes that are other codes, written differently. Annotations are not among them: any will do.
fn spellings() -> String {
    let mut same: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for code in ucum_codes() {
        let first = Unit::from_ucum(&code).expect("a code").ucum();
        if first != code {
            same.entry(first).or_default().push(format!("`{code}`"));
        }
    }
    let lines = same.iter().map(|(first, codes)| format!("| `{first}` | {} |\n", codes.join(", ")));
    format!("| unit | may also be written |\n|---|---|\n{}", lines.collect::<String>())
}

/// Every code that is accepted, found where they stand: whatever is quoted there, is a unit and has
/// no annotation.
fn ucum_codes() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/vitals/unit.rs");
    let source = std::fs::read_to_string(path).expect("the source is there");
    let (code, _tests) = source.split_once("#[cfg(test)]").expect("it has tests");
    let quoted = code.split('"').skip(1).step_by(2).filter(|code| !code.contains('{'));
    quoted.filter(|code| Unit::from_ucum(code).is_some()).map(str::to_owned).collect()
}

#[test]
fn the_table_of_reasons_has_them_all() {
    let told: BTreeSet<_> = Page::read()
        .rows("table: reasons")
        .iter()
        .map(|row| (row[0].parse().expect("a number"), row[1].trim_matches('`').to_owned()))
        .collect();
    let given = RejectReason::ALL.map(|reason| (reason as i32, reason.name().to_uppercase()));
    assert_eq!(told, BTreeSet::from(given));
}

/// The bytes that the page shows, which stand before what is said of them.
pub(super) fn bytes_of(page: &Page) -> Vec<u8> {
    let block = page.block("example: protobuf");
    let of_line = |line: &str| {
        let (bytes, _) = line.trim_start().split_once("  ").expect("bytes and what they are");
        bytes.split(' ').map(byte).collect::<Vec<_>>()
    };
    block.lines().flat_map(of_line).collect()
}

fn byte(hex: &str) -> u8 {
    assert_eq!(hex.len(), 2, "{hex}");
    u8::from_str_radix(hex, 16).expect("two hexadecimal digits")
}

#[test]
fn the_bytes_of_the_page_are_its_message() {
    let page = Page::read();
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let reading = |offset, vital: v1::Vital, value, unit: &str| v1::Reading {
        measured: Some(Measured::OffsetMs(offset)),
        vital: vital.into(),
        value: Some(value),
        unit: unit.to_owned(),
        ..v1::Reading::default()
    };
    let message = v1::ReadingBatch {
        boot_id: 7,
        first_seq: 120,
        sent_at: at(1_768_465_802),
        base_time: at(1_768_465_800),
        clock_sync: v1::ClockSync::Synchronised.into(),
        want_verdict: true,
        readings: vec![
            reading(0, v1::Vital::HeartRate, Value::Quantity(72.0), ""),
            reading(0, v1::Vital::BodyTemperature, Value::Quantity(98.6), "[degF]"),
            reading(1000, v1::Vital::Spo2, Value::Absent(v1::AbsentReason::SensorOff.into()), ""),
        ],
        ..v1::ReadingBatch::default()
    };
    assert_eq!(bytes_of(&page), message.encode_to_vec());
    assert_eq!(message.encoded_len(), 71);
    assert!(page.text().contains("The same in protobuf, 71 bytes:"));
}
