//! The catalogue of metrics, `docs/metrics.md`, and what a real service exports: one and the same.
//!
//! `PULSEWARD_WRITE_DOCS=1` rewrites the page's tables instead of comparing them.

use std::collections::{BTreeMap, BTreeSet};

use pulseward::telemetry::catalogue::{self, Kind, Metric};
use pulseward::telemetry::names;

use crate::support::house::House;
use crate::support::http;
use crate::support::page;
use crate::support::postgres::{Database, PrivateServer};
use crate::support::publishing::{Publishing, publish};
use crate::support::recording::Recording;
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

/// Those that a house without TLS and tokens has nothing to tell of.
const NOT_IN_THE_HOUSE: [&str; 2] =
    [names::TOKEN_KEYS_READ_TIMESTAMP_SECONDS, names::TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS];

#[test]
fn the_page_shows_the_catalogue() {
    let tables = catalogue::tables(names::ALL).into_iter().collect::<BTreeMap<_, _>>();
    page::check("metrics.md", &tables);
}

/// A line of `/metrics`: of which metric it is, its labels, and its value.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// No label of ours holds a quote or a comma.
fn parse(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').expect("closed").split(',').filter(|it| !it.is_empty());
    let pair = |label: &str| {
        let (name, value) = label.split_once('=').expect("a pair");
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    let value = value.parse().expect("a number");
    Sample { name: name.to_owned(), labels: labels.map(pair).collect(), value }
}

async fn exported(house: &House) -> Vec<Sample> {
    let address = house.service.http().await;
    let body = http::get(address, "/metrics").await.expect("answers").body;
    body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(parse).collect()
}

/// The row of the catalogue that a sample belongs to.
fn row_of(name: &str) -> Option<&'static Metric> {
    names::ALL.iter().find(|metric| match metric.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| name.strip_suffix(suffix) == Some(metric.name)),
        Kind::Summary => {
            name == metric.name
                || ["_sum", "_count"]
                    .iter()
                    .any(|suffix| name.strip_suffix(suffix) == Some(metric.name))
        }
        Kind::Counter | Kind::Gauge | Kind::GaugeOnceKnown => name == metric.name,
    })
}

fn check_known(sample: &Sample) {
    let metric = row_of(&sample.name).unwrap_or_else(|| panic!("{sample:?} is not told of"));
    for (name, value) in &sample.labels {
        let is_prometheus_own = name == "le" || name == "quantile";
        assert!(is_prometheus_own || metric.admits(name, value), "{sample:?}");
    }
}

/// Every series that is to be there from the start.
fn check_complete(samples: &[Sample]) {
    let held: BTreeSet<_> = samples
        .iter()
        .filter_map(|sample| {
            let metric = row_of(&sample.name)?;
            // In the order of the catalogue, and without Prometheus' own.
            let says = |name| sample.labels.get(name).map(|value| (name, value.as_str()));
            let of: Vec<_> = metric.labels.iter().filter_map(|label| says(label.name)).collect();
            Some((metric.name, of))
        })
        .collect();
    for metric in names::ALL.iter().filter(|metric| metric.is_there_from_the_start()) {
        for series in metric.series() {
            assert!(held.contains(&(metric.name, series.clone())), "no {}{series:?}", metric.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_exports_the_whole_catalogue_and_nothing_else() {
    let recording = Recording::new(5, 3, 2 * 60);
    let house = House::start(Sql::postgres().await).await;
    check_complete(&exported(&house).await);

    house.enroll(&recording).await;
    publish(&house.broker.url(), recording.messages()).await;
    house.stored(recording.readings().len()).await;
    wait_until("everything to be known, and everybody to be done", async || {
        let samples = exported(&house).await;
        samples.iter().for_each(check_known);
        let known: BTreeSet<_> =
            samples.iter().filter_map(|it| Some(row_of(&it.name)?.name)).collect();
        let is_known = |it: &Metric| known.contains(it.name) || NOT_IN_THE_HOUSE.contains(&it.name);
        names::ALL.iter().all(is_known)
            && value(&samples, names::OLDEST_UNSTORED_READING_SECONDS, "", "") == 0.0
            && value(&samples, names::READY, "", "") == 1.0
    })
    .await;
    let samples = exported(&house).await;
    let count = format!("{}_count", names::STAGE_LATENCY_SECONDS);
    for stage in ["applied", "committed", "streamed", "stored"] {
        let counted = value(&samples, &count, "stage", stage);
        assert_eq!(counted, recording.len() as f64, "{stage}");
        let slowest = samples.iter().find(|it| {
            it.labels.get("stage").is_some_and(|it| it == stage)
                && it.labels.get("quantile").is_some_and(|it| it == "0.999")
        });
        let slowest = slowest.expect("told").value;
        assert!(slowest > 0.0 && slowest < 60.0, "{stage}: {slowest}");
    }
}

/// The value of the one series of this name, and of this label if one is given.
fn value(samples: &[Sample], name: &str, label: &str, says: &str) -> f64 {
    let mut found = samples.iter().filter(|it| {
        it.name == name && (label.is_empty() || it.labels.get(label).is_some_and(|it| it == says))
    });
    let sample = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "several {name}");
    sample.value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_the_oldest_unstored_reading_gets_older() {
    let recording = Recording::new(6, 2, 60);
    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let house = House::start(Sql::Postgres(database)).await;
    house.enroll(&recording).await;
    let mut publishing = Publishing::start(&house.broker.url(), recording.messages());
    let third = recording.len() / 3;
    publishing.allow(third);
    house.stored(recording.readings_of(third).len()).await;
    server.stop();
    house.until_store_is("degraded").await;
    publishing.allow(recording.len());
    publishing.acknowledged(recording.len()).await;
    wait_until("readings to wait for two seconds", async || {
        let samples = exported(&house).await;
        let behind = |metric: &str, follower| value(&samples, metric, "follower", follower);
        value(&samples, names::OLDEST_UNSTORED_READING_SECONDS, "", "") > 2.0
            && behind(names::FOLLOWER_LAG_SECONDS, "store") > 2.0
            && behind(names::FOLLOWER_LAG_ENTRIES, "store") > 0.0
            && behind(names::FOLLOWER_LAG_ENTRIES, "hub") == 0.0
            && value(&samples, names::STORE_CONNECTED, "", "") == 0.0
    })
    .await;
    server.restart();
    wait_until("nothing to wait any more", async || {
        let samples = exported(&house).await;
        value(&samples, names::OLDEST_UNSTORED_READING_SECONDS, "", "") == 0.0
            && value(&samples, names::STORE_CONNECTED, "", "") == 1.0
    })
    .await;
    publishing.finish().await;
}
