//! What a metric is, apart from its value: the shape of the one table in [`names`](super::names).
//!
//! Everything that is said about a metric comes from its row: the constant by which the code names
//! it, the help that `/metrics` prints, the page `docs/metrics.md`, and what alert rules and
//! dashboards are checked against. Here is nothing that measures.

use std::fmt::Write as _;

use metrics::{Label as Pair, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

/// A row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The chapter of the page that tells of it.
    pub chapter: &'static str,
    /// Its name in `/metrics`.
    pub name: &'static str,
    /// How its value moves.
    pub kind: Kind,
    /// What it counts, or measures in.
    pub unit: &'static str,
    /// Its labels, each with what it may say.
    pub labels: &'static [Label],
    says: &'static str,
}

/// How a metric's value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down, and is 0 until something is known.
    Gauge,
    /// The same, which is not there until something is known: 0 would be a lie.
    GaugeOnceKnown,
    /// Fixed buckets, which add up over instances and restarts.
    Histogram,
    /// Quantiles of this process' last minute, with a sum and a count since its start.
    Summary,
}

impl Kind {
    /// Its type in Prometheus' words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::GaugeOnceKnown => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// A label of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

/// What a label may say. Never a patient or a device.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// One of these.
    These(&'static [&'static str]),
    /// One text of this process, described.
    Text(&'static str),
}

impl Metric {
    /// A row as the table's macro writes it.
    pub(super) const fn new(
        chapter: &'static str,
        (name, says): (&'static str, &'static str),
        (kind, unit): (Kind, &'static str),
        labels: &'static [Label],
    ) -> Self {
        Self { chapter, name, kind, unit, labels, says }
    }

    /// What it says, in one line.
    #[must_use]
    pub fn says(&self) -> &'static str {
        self.says.trim().trim_end_matches('.')
    }

    /// Whether it is in `/metrics` from the start of the service, with every value of its labels.
    /// A rule that asks for an increase sees the first one only if there was a 0 before it.
    #[must_use]
    pub fn is_there_from_the_start(&self) -> bool {
        let is_closed = |label: &Label| matches!(label.values, Values::These(_));
        self.kind != Kind::GaugeOnceKnown && self.labels.iter().all(is_closed)
    }

    /// Whether it may carry this label.
    #[must_use]
    pub fn admits(&self, label: &str, value: &str) -> bool {
        self.labels.iter().any(|known| {
            known.name == label
                && match known.values {
                    Values::These(values) => values.contains(&value),
                    Values::Text(_) => true,
                }
        })
    }

    /// Every combination of what its labels may say; one without labels has one.
    #[must_use]
    pub fn series(&self) -> Vec<Vec<(&'static str, &'static str)>> {
        self.labels.iter().fold(vec![Vec::new()], |series, label| {
            let Values::These(values) = label.values else { return Vec::new() };
            let with =
                |value| series.iter().map(move |of| [&of[..], &[(label.name, value)]].concat());
            values.iter().flat_map(|value| with(*value)).collect()
        })
    }

    /// Tells the installed recorder what it says, and begins it at 0 if it is there from the start.
    pub(super) fn begin(&self) {
        let help = self.says();
        match self.kind {
            Kind::Counter => describe_counter!(self.name, help),
            Kind::Gauge | Kind::GaugeOnceKnown => describe_gauge!(self.name, help),
            Kind::Histogram => describe_histogram!(self.name, help),
            // Told where it is rendered.
            Kind::Summary => return,
        }
        if !self.is_there_from_the_start() {
            return;
        }
        for of in self.series() {
            let of: Vec<Pair> = of.into_iter().map(|(name, says)| Pair::new(name, says)).collect();
            match self.kind {
                Kind::Counter => counter!(self.name, of).absolute(0),
                Kind::Gauge => gauge!(self.name, of).set(0.0),
                // It is there, without a sample, once it was named.
                Kind::Histogram => drop(histogram!(self.name, of)),
                Kind::GaugeOnceKnown | Kind::Summary => {}
            }
        }
    }
}

/// One table in Markdown for each chapter, as `docs/metrics.md` shows it.
#[must_use]
pub fn tables(metrics: &[Metric]) -> Vec<(&'static str, String)> {
    let of_chapter = |rows: &[Metric]| (rows[0].chapter, table(rows));
    metrics.chunk_by(|one, next| one.chapter == next.chapter).map(of_chapter).collect()
}

fn table(metrics: &[Metric]) -> String {
    let mut table = "| metric | type | labels | unit | says |\n|---|---|---|---|---|\n".to_owned();
    for metric in metrics {
        let (name, kind, unit) = (metric.name, metric.kind.name(), metric.unit);
        let labels: Vec<_> = metric.labels.iter().map(described).collect();
        let is_late = metric.kind == Kind::GaugeOnceKnown;
        let from = if is_late { " *(once known)*" } else { "" };
        let (labels, says) = (labels.join("; "), metric.says());
        writeln!(table, "| `{name}` | {kind} | {labels} | {unit} | {says}{from} |")
            .expect("a String takes all");
    }
    table
}

fn described(label: &Label) -> String {
    let values = match label.values {
        Values::These(values) => {
            values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" ")
        }
        Values::Text(what) => what.to_owned(),
    };
    format!("**{}**: {values}", label.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: Metric = Metric::new(
        "Chapter",
        ("pulseward_things_total", " Things."),
        (Kind::Counter, "things"),
        &[
            Label { name: "of", values: Values::These(&["a", "b"]) },
            Label { name: "how", values: Values::These(&["x", "y"]) },
        ],
    );

    #[test]
    fn every_combination_of_labels_is_a_series() {
        let expected: Vec<Vec<(&str, &str)>> = vec![
            vec![("of", "a"), ("how", "x")],
            vec![("of", "b"), ("how", "x")],
            vec![("of", "a"), ("how", "y")],
            vec![("of", "b"), ("how", "y")],
        ];
        assert_eq!(PAIR.series(), expected);
        assert_eq!(Metric { labels: &[], ..PAIR }.series(), [Vec::new()]);
    }

    #[test]
    fn a_label_that_may_say_anything_keeps_its_metric_from_beginning_at_0() {
        let label = Label { name: "version", values: Values::Text("this build's") };
        let open = Metric { labels: std::slice::from_ref(Box::leak(Box::new(label))), ..PAIR };
        assert!(PAIR.is_there_from_the_start());
        assert!(!open.is_there_from_the_start());
        assert!(open.admits("version", "0.1.0") && !open.admits("patient", "p-1"));
        assert!(PAIR.admits("of", "a") && !PAIR.admits("of", "x"));
    }

    #[test]
    fn a_chapter_is_a_table_with_a_row_for_each_metric() {
        let other = Metric { chapter: "Other", labels: &[], ..PAIR };
        let tables = tables(&[PAIR, PAIR, other]);
        assert_eq!(tables.len(), 2);
        let row = "| `pulseward_things_total` | counter | **of**: `a` `b`; **how**: `x` `y` \
                   | things | Things |\n";
        assert_eq!(tables[0].1.matches(row).count(), 2, "{}", tables[0].1);
    }
}
