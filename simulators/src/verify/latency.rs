//! How long things took, from when they were due.
//!
//! Counting from the due time of an open-loop schedule, and not from the moment of publishing, is
//! what corrects for coordinated omission: what a slow broker kept from being published was late.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::report::{AlertPoint, Latencies, Percentiles, SeriesPoint};
use crate::oracle::profile::Micros;
use crate::oracle::survey::Survey;

/// Latencies up to this are told apart; longer ones count as this.
const LATENCY_MAX: Duration = Duration::from_hours(24);
/// Three digits: percentiles are exact to a thousandth.
const DIGITS: u8 = 3;
/// Points of a plot. More can't be told apart on a screen.
const POINTS_MAX: usize = 2000;
/// Stretches of time of the PUBACKs' plot.
const STRETCHES: usize = 240;

/// Latencies, in microseconds.
#[derive(Clone, Debug)]
struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        let most = u64::try_from(LATENCY_MAX.as_micros()).expect("a day");
        Self(Histogram::new_with_max(most, DIGITS).expect("the bounds are constants"))
    }
}

impl Latency {
    fn add(&mut self, micros: Micros) {
        self.0.saturating_record(u64::try_from(micros).unwrap_or(0));
    }

    fn percentiles(&self) -> Percentiles {
        if self.0.is_empty() {
            return Percentiles::default();
        }
        let at = |percentile| ms(self.0.value_at_percentile(percentile));
        Percentiles {
            count: self.0.len(),
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p999: at(99.9),
            max: ms(self.0.max()),
        }
    }

    /// Percentile and milliseconds, ever denser towards the tail.
    fn curve(&self) -> Vec<(f64, f64)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let nines = (0..=40_u32).map(|step| 100.0 - 100.0 * 10_f64.powf(-f64::from(step) / 10.0));
        nines.map(|percentile| (percentile, ms(self.0.value_at_percentile(percentile)))).collect()
    }
}

fn ms(micros: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 microseconds")]
    let micros = micros as f64;
    micros / 1000.0
}

/// Gathers the latencies of alerts.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    by_priority: BTreeMap<String, Latency>,
    all: Latency,
    points: Vec<AlertPoint>,
}

impl Gathered {
    /// An alert of this priority was due then, and told so much later.
    pub(super) fn add(&mut self, survey: &Survey, due: Micros, latency: Micros, priority: &str) {
        self.by_priority.entry(priority.to_owned()).or_default().add(latency);
        self.all.add(latency);
        self.points.push(AlertPoint {
            at: seconds(due - survey.span.0),
            ms: ms(u64::try_from(latency).unwrap_or(0)),
            priority: priority.to_owned(),
        });
    }

    /// With those of the PUBACKs.
    pub(super) fn report(self, survey: &Survey) -> Latencies {
        let (puback, puback_series, puback_curve) = pubacks(survey);
        Latencies {
            alerts: self
                .by_priority
                .iter()
                .map(|(name, latency)| (name.clone(), latency.percentiles()))
                .collect(),
            puback,
            alert_points: thinned(self.points),
            puback_series,
            alert_curve: self.all.curve(),
            puback_curve,
        }
    }
}

/// Seconds, for people and plots.
pub(super) fn seconds(micros: Micros) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 microseconds")]
    let micros = micros as f64;
    micros / 1e6
}

/// The slowest of each stretch, where there are too many to be shown.
fn thinned(mut points: Vec<AlertPoint>) -> Vec<AlertPoint> {
    points.sort_by(|one, other| one.at.total_cmp(&other.at));
    let stretch = points.len().div_ceil(POINTS_MAX).max(1);
    let slowest = |points: &[AlertPoint]| {
        points.iter().max_by(|one, other| one.ms.total_cmp(&other.ms)).cloned()
    };
    points.chunks(stretch).filter_map(slowest).collect()
}

type Curve = Vec<(f64, f64)>;

fn pubacks(survey: &Survey) -> (Percentiles, Vec<SeriesPoint>, Curve) {
    let (from, until) = survey.span;
    let length = (until - from).max(1);
    let stretches = Micros::try_from(STRETCHES).unwrap_or(1);
    let mut all = Latency::default();
    let mut series: BTreeMap<Micros, Vec<u64>> = BTreeMap::new();
    for message in &survey.messages {
        let Some(acknowledged) = message.acknowledged() else { continue };
        let latency = (acknowledged - message.due).max(0);
        all.add(latency);
        let stretch = ((message.due - from) * stretches / length).clamp(0, stretches - 1);
        series.entry(stretch).or_default().push(u64::try_from(latency).unwrap_or(0));
    }
    let point = |(stretch, mut latencies): (Micros, Vec<u64>)| {
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        SeriesPoint {
            at: seconds(stretch * length / stretches),
            p50: ms(at(50)),
            p99: ms(at(99)),
            max: ms(at(100)),
        }
    };
    (all.percentiles(), series.into_iter().map(point).collect(), all.curve())
}
