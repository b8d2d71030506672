//! Scenario files: TOML whose every key is known, else it is named with its place.

use std::collections::BTreeMap;
use std::ops::Range;

use clap::ValueEnum as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Error, FaultKind, Scenario};

/// Unlike names are no help: "did you mean" is said from this likeness (of 0 to 1) on.
const LIKENESS_MIN: f64 = 0.5;
/// Keys by their table; of tables that come in lists too. The tables themselves are keys of "".
pub(super) const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "site",
            "devices",
            "rate",
            "duration",
            "speed",
            "seed",
            "connections",
            "watchers",
            "encoding",
            "measuring",
            "gateways",
            "limits",
            "episode",
            "faults",
            "fault",
        ],
    ),
    ("measuring", &["every", "slow_rounds", "hour"]),
    ("gateways", &["batch", "upload_interval", "buffer_mib", "patience"]),
    ("limits", &["delay", "max_gap", "clear_delay", "silence"]),
    ("episode", &["kind", "patients", "at", "for", "near_miss"]),
    ("fault", &["kind", "at", "for", "rate"]),
];

pub(super) fn parse(file: &str, text: &str) -> Result<Scenario, Error> {
    let wrong = |span: Option<Range<usize>>, problem: &str| Error::Wrong {
        place: place(file, text, span.unwrap_or_default().start),
        problem: problem.to_owned(),
    };
    let refused = |error: toml::de::Error| wrong(error.span(), error.message());
    let tables = DeTable::parse(text).map_err(refused)?;
    if let Some((span, problem)) = unknown("", tables.get_ref()) {
        return Err(wrong(Some(span), &problem));
    }
    toml::from_str(text).map_err(refused)
}

/// The first key that is not known, and what is.
fn unknown(name: &str, table: &DeTable<'_>) -> Option<(Range<usize>, String)> {
    let known = known(name);
    table.iter().find_map(|(key, value)| {
        let text = key.get_ref().as_ref();
        if !known.contains(&text) {
            let full = if name.is_empty() { text.to_owned() } else { format!("{name}.{text}") };
            return Some((key.span(), format!("{full}: unknown key{}", hint(text, &known))));
        }
        if name.is_empty() { unknown_within(text, value) } else { None }
    })
}

fn unknown_within(name: &str, value: &Spanned<DeValue<'_>>) -> Option<(Range<usize>, String)> {
    match value.get_ref() {
        DeValue::Table(table) => unknown(name, table),
        DeValue::Array(items) => items.iter().find_map(|item| unknown_within(name, item)),
        _ => None,
    }
}

fn known(name: &str) -> Vec<&'static str> {
    if name == "faults" {
        return FaultKind::ALL.iter().map(|kind| kind.name()).collect();
    }
    let keys = KEYS.iter().find(|(table, _)| *table == name);
    keys.map_or_else(Vec::new, |(_, keys)| keys.to_vec())
}

/// The known name most like `unknown`, or where none is, all of them.
fn hint(unknown: &str, known: &[&str]) -> String {
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(unknown, name);
    match known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))) {
        Some(nearest) if likeness(nearest) >= LIKENESS_MIN => format!("; did you mean {nearest}?"),
        _ => format!("; known are {}", known.join(", ")),
    }
}

/// Line and column count from 1; columns are characters.
fn place(file: &str, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let line_from = before.rfind('\n').map_or(0, |newline| newline + 1);
    format!("{file}:{line}:{}", before[line_from..].chars().count() + 1)
}

/// `duplicates=0.01,storms`, or `all`.
pub(super) fn faults(list: &str) -> Result<BTreeMap<FaultKind, f64>, Error> {
    let mut rates = BTreeMap::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, rate) = match item.split_once('=') {
            Some((name, rate)) => (name.trim(), Some(rate.trim())),
            None => (item, None),
        };
        if name == "all" && rate.is_none() {
            rates.extend(FaultKind::ALL.map(|kind| (kind, kind.usual_rate())));
            continue;
        }
        let kind = fault(name)?;
        rates.insert(kind, rate.map_or(Ok(kind.usual_rate()), |rate| share(name, rate))?);
    }
    Ok(rates)
}

fn fault(name: &str) -> Result<FaultKind, Error> {
    FaultKind::from_str(name, false).map_err(|_| {
        let known = FaultKind::ALL.map(FaultKind::name);
        let problem = format!("{name:?} is no fault{}", hint(name, &known));
        Error::Wrong { place: "--faults".to_owned(), problem }
    })
}

fn share(name: &str, rate: &str) -> Result<f64, Error> {
    let rate: Option<f64> = rate.parse().ok();
    rate.filter(|rate| (0.0..=1.0).contains(rate)).ok_or_else(|| Error::Wrong {
        place: "--faults".to_owned(),
        problem: format!("{name}: a rate is 0 to 1, as in {name}=0.01"),
    })
}
