//! What a benchmark found: one row a figure, with what it is compared with and what it should be.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

use super::distribution::median;
use super::machine::Machine;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// How it was run.
    pub run: Run,
    /// What was found.
    pub rows: Vec<Row>,
}

/// How a benchmark was run.
#[derive(Debug, Serialize)]
pub struct Run {
    /// When it began, UTC.
    pub began_at: String,
    /// How long it took, s.
    pub took_s: f64,
    /// Whether at small size, for a look rather than for a figure.
    pub is_quick: bool,
    /// Rounds of each comparison.
    pub rounds: usize,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The part that it belongs to.
    pub part: &'static str,
    /// What was measured.
    pub name: String,
    /// In what.
    pub unit: &'static str,
    /// The service's; the median of its rounds, where there are several.
    pub value: f64,
    /// What it is compared with, in the same unit.
    pub reference: Option<f64>,
    /// The value over the reference.
    pub ratio: Option<f64>,
    /// The same of each round, or each round's value where there is no reference: the spread.
    pub rounds: Vec<f64>,
    /// What it should be.
    #[serde(serialize_with = "as_text")]
    pub target: Option<Target>,
    /// Whether it is.
    pub is_met: Option<bool>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The ratio is no more.
    RatioAtMost(f64),
    /// The ratio is no less.
    RatioAtLeast(f64),
    /// The value is less.
    Below(f64),
}

impl Target {
    fn is_met(self, value: f64, ratio: Option<f64>) -> bool {
        match self {
            Self::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio <= most),
            Self::RatioAtLeast(least) => ratio.is_some_and(|ratio| ratio >= least),
            Self::Below(limit) => value < limit,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(most) => write!(f, "≤ {most}×"),
            Self::RatioAtLeast(least) => write!(f, "≥ {least}×"),
            Self::Below(limit) => write!(f, "< {limit}"),
        }
    }
}

fn as_text<S: Serializer>(target: &Option<Target>, serializer: S) -> Result<S::Ok, S::Error> {
    target.map(|target| target.to_string()).serialize(serializer)
}

impl Row {
    /// The median of what rounds measured.
    pub(super) fn of(
        part: &'static str,
        name: impl Into<String>,
        unit: &'static str,
        rounds: &[f64],
    ) -> Self {
        Self {
            part,
            name: name.into(),
            unit,
            value: median(rounds),
            reference: None,
            ratio: None,
            rounds: rounds.to_vec(),
            target: None,
            is_met: None,
        }
    }

    /// Compared with what as many rounds of something else measured, each right before ours.
    pub(super) fn beside(mut self, references: &[f64]) -> Self {
        let reference = median(references);
        let pairs = self.rounds.iter().zip(references);
        self.rounds = pairs.map(|(value, reference)| value / reference).collect();
        (self.reference, self.ratio) = (Some(reference), Some(self.value / reference));
        self
    }

    /// With what it should be.
    pub(super) fn should_be(mut self, target: Target) -> Self {
        self.is_met = Some(target.is_met(self.value, self.ratio));
        self.target = Some(target);
        self
    }

    fn cells(&self) -> [String; 8] {
        let text = |value: Option<f64>| value.map(figure).unwrap_or_default();
        [
            self.part.to_owned(),
            self.name.clone(),
            format!("{} {}", figure(self.value), self.unit),
            text(self.reference),
            text(self.ratio),
            spread(&self.rounds),
            self.target.map(|target| target.to_string()).unwrap_or_default(),
            match self.is_met {
                Some(true) => "yes".to_owned(),
                Some(false) => "NO".to_owned(),
                None => String::new(),
            },
        ]
    }
}

/// From the least to the most of several.
fn spread(rounds: &[f64]) -> String {
    if rounds.len() < 2 {
        return String::new();
    }
    let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} to {}", figure(least), figure(most))
}

/// Three digits, and no fewer than before the point.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

const HEADINGS: [&str; 8] =
    ["part", "figure", "value", "reference", "ratio", "spread", "target", "met"];

impl Report {
    /// Whether no target was missed.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.rows.iter().all(|row| row.is_met != Some(false))
    }

    fn table(&self) -> String {
        let lines: Vec<[String; 8]> = std::iter::once(HEADINGS.map(str::to_owned))
            .chain(self.rows.iter().map(Row::cells))
            .collect();
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
        };
        let widths: [usize; 8] = std::array::from_fn(width);
        let mut table = String::new();
        for line in &lines {
            let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let _infallible = writeln!(table, "{}", line.trim_end());
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        let Run { began_at, took_s, is_quick, rounds } = &self.run;
        let quick = if *is_quick { ", --quick: too small for figures" } else { "" };
        writeln!(f, "run:       {began_at}, {took_s:.0} s, {rounds} rounds of each{quick}\n")?;
        write!(f, "{}", self.table())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: &Row, ratio: f64, is_met: bool) {
        assert_eq!((row.ratio, row.is_met), (Some(ratio), Some(is_met)), "{row:?}");
    }

    #[test]
    fn a_ratio_is_of_medians_and_its_spread_of_pairs() {
        let row = Row::of("latency", "p99", "ms", &[4.0, 6.0, 100.0]).beside(&[2.0, 2.0, 20.0]);
        check(&row.clone().should_be(Target::RatioAtMost(3.0)), 3.0, true);
        assert_eq!(row.rounds, [2.0, 3.0, 5.0]);
        assert_eq!(row.cells()[5], "2.00 to 5.00");
    }

    #[test]
    fn a_target_is_missed_on_its_own_side_only() {
        let row = Row::of("ingest", "readings", "/s", &[70.0]).beside(&[100.0]);
        check(&row.clone().should_be(Target::RatioAtLeast(0.8)), 0.7, false);
        check(&row.clone().should_be(Target::RatioAtMost(0.8)), 0.7, true);
        check(&row.should_be(Target::Below(70.0)), 0.7, false);
    }

    #[test]
    fn a_report_with_a_missed_target_is_not_met() {
        let row = Row::of("restart", "ready", "s", &[12.0]);
        let report = |row: Row| {
            let run = Run { began_at: String::new(), took_s: 1.0, is_quick: true, rounds: 1 };
            Report { machine: Machine::default(), run, rows: vec![row] }
        };
        assert!(report(row.clone()).is_met(), "without a target");
        assert!(report(row.clone().should_be(Target::Below(20.0))).is_met());
        let missed = report(row.should_be(Target::Below(10.0)));
        assert!(!missed.is_met());
        let text = missed.to_string();
        assert!(text.contains("restart  ready   12.0 s") && text.ends_with("NO\n"), "{text}");
        let json = serde_json::to_value(&missed).expect("JSON");
        assert_eq!(json["rows"][0]["target"], "< 10");
    }
}
