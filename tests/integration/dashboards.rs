//! What we ship for Prometheus and Grafana: every rule and every panel names metrics that the
//! service exports, with labels that they have, and every query of the database runs.
//!
//! `promtool` reads the rules and the queries as Prometheus does; which names and labels there are
//! it can't know, so that the catalogue is asked here.

use std::path::{Path, PathBuf};
use std::process::Command;

use pulseward::telemetry::catalogue::{Kind, Metric};
use pulseward::telemetry::names;
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::support::from_tests_run;
use crate::support::house::House;
use crate::support::postgres::Database;
use crate::support::publishing::publish;
use crate::support::recording::{Recording, SITE};
use crate::support::sql::Sql;

/// Labels that Prometheus gives a series itself.
const PROMETHEUS_LABELS: [&str; 4] = ["instance", "job", "le", "quantile"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped(name: &str) -> String {
    let path = root().join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs promtool, which must be content.
fn promtool(arguments: &[&str], path: &Path) {
    let output = Command::new(from_tests_run("PULSEWARD_TEST_PROMTOOL"))
        .args(arguments)
        .arg(path)
        .output()
        .expect("promtool runs");
    let told = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
}

#[test]
fn prometheus_takes_the_configuration_and_the_rules() {
    let prometheus = root().join("deploy/prometheus");
    promtool(&["check", "config"], &prometheus.join("prometheus.yml"));
    promtool(&["check", "rules", "--lint-fatal"], &prometheus.join("rules.yml"));
}

#[test]
fn each_rule_fires_when_it_should_and_not_before() {
    let cases = root().join("tests/fixtures/prometheus/rules_test.yml");
    promtool(&["test", "rules"], &cases);
    let cases = std::fs::read_to_string(cases).expect("there");
    for alert in alerts() {
        assert!(cases.contains(&alert.name), "no case makes {} fire", alert.name);
    }
}

/// A rule, as far as it is checked here.
struct Alert {
    name: String,
    lines: String,
}

fn alerts() -> Vec<Alert> {
    let rules = shipped("prometheus/rules.yml");
    let of = |rule: &str| {
        let name = rule.lines().next().expect("a line").trim().to_owned();
        Alert { name, lines: rule.to_owned() }
    };
    rules.split("- alert: ").skip(1).map(of).collect()
}

#[test]
fn each_rule_names_a_section_of_the_page_that_says_what_to_do() {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).expect("the page is there");
    for Alert { name, lines } in alerts() {
        let runbook = format!("runbook: docs/metrics.md#{}\n", name.to_lowercase());
        assert!(lines.contains(&runbook), "{name} names no section");
        let (_, section) = page
            .split_once(&format!("### {name}\n\n"))
            .unwrap_or_else(|| panic!("nothing says what to do about {name}"));
        let severity = section.split(['*', '.']).nth(1).expect("a severity");
        let is_said = |line: &&str| line.trim().starts_with("labels:") && line.contains(severity);
        let has_several =
            section.starts_with("*ticket*, and *page*") || name == "PulsewardFollowerBehind";
        assert!(has_several || lines.lines().any(|line| is_said(&line)), "{name}: {severity}");
    }
    for line in page.lines().filter_map(|line| line.strip_prefix("### Pulseward")) {
        let is_there = alerts().iter().any(|alert| alert.name == format!("Pulseward{line}"));
        assert!(is_there, "Pulseward{line} is told of, and there is no such rule");
    }
}

/// A dashboard's panels, with what each asks.
fn panels(name: &str) -> Vec<(String, Value)> {
    let board: Value = serde_json::from_str(&shipped(name)).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let title = |panel: &Value| panel["title"].as_str().expect("a title").to_owned();
    let asks = |panel: &Value| {
        panel["targets"].as_array().cloned().unwrap_or_default().into_iter().map({
            let title = title(panel);
            move |target| (title.clone(), target)
        })
    };
    panels.iter().flat_map(|panel| asks(panel).collect::<Vec<_>>()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// What the panels ask Prometheus, as Grafana sends it.
fn panel_expressions() -> Vec<String> {
    let asked = panels("grafana/dashboards/service.json");
    let asked = asked.iter().map(|(_, target)| text(&target["expr"]));
    let asked: Vec<_> = asked
        .map(|expr| expr.replace("$__rate_interval", "1m").replace("$instance", ".*"))
        .collect();
    assert!(asked.len() > 20, "{} queries", asked.len());
    asked
}

#[test]
fn prometheus_can_read_what_the_panels_ask() {
    let rule = |(number, expr): (usize, &String)| {
        let expr = serde_json::to_string(expr).expect("a text");
        format!("      - {{ record: \"panel:{number}\", expr: {expr} }}\n")
    };
    let rules: String = panel_expressions().iter().enumerate().map(rule).collect();
    let dir = TempDir::with_prefix("panels-").expect("temporary directory");
    let path: PathBuf = dir.path().join("rules.yml");
    std::fs::write(&path, format!("groups:\n  - name: panels\n    rules:\n{rules}"))
        .expect("written");
    promtool(&["check", "rules"], &path);
}

/// The metric that a query names, by its row of the catalogue.
fn row_of(name: &str) -> Option<&'static Metric> {
    names::ALL.iter().find(|metric| {
        let parts: &[&str] = match metric.kind {
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Summary => &["", "_sum", "_count"],
            Kind::Counter | Kind::Gauge | Kind::GaugeOnceKnown => &[""],
        };
        name.strip_prefix(metric.name).is_some_and(|part| parts.contains(&part))
    })
}

/// Every metric of ours that a query names, with what stands in its braces.
fn selectors(query: &str) -> Vec<(&str, &str)> {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    query
        .match_indices("pulseward_")
        .map(|(at, _)| {
            let rest = &query[at..];
            let end = rest.find(|c| !is_of_a_name(c)).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            let inside = behind.strip_prefix('{').and_then(|it| it.split_once('}'));
            (name, inside.map_or("", |(inside, _)| inside))
        })
        .collect()
}

fn check_selector(name: &str, inside: &str) {
    let metric = row_of(name).unwrap_or_else(|| panic!("no metric is called {name}"));
    for matcher in inside.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let (label, says) = matcher.split_once('=').expect("a matcher");
        if PROMETHEUS_LABELS.contains(&label) {
            continue;
        }
        for value in says.trim_start_matches('~').trim_matches('"').split('|') {
            assert!(metric.admits(label, value), "{name} never has {label}=\"{value}\"");
        }
    }
}

#[test]
fn rules_and_panels_name_what_the_service_exports() {
    let rules: String = alerts().iter().map(|alert| alert.lines.clone()).collect();
    let board: Value =
        serde_json::from_str(&shipped("grafana/dashboards/service.json")).expect("JSON");
    let variables = board["templating"]["list"].as_array().expect("variables").iter();
    let variables = variables.map(|variable| text(&variable["definition"]));
    let mut checked = 0;
    for query in panel_expressions().into_iter().chain(variables).chain([rules]) {
        for (name, inside) in selectors(&query) {
            check_selector(name, inside);
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked} selectors");
}

#[test]
fn a_selector_that_the_service_does_not_have_is_found_out() {
    let found = selectors("rate(pulseward_commit_seconds_bucket{le=\"1\"}[5m]) > pulseward_ready");
    assert_eq!(found, [("pulseward_commit_seconds_bucket", "le=\"1\""), ("pulseward_ready", "")]);
    let wrong = [
        ("pulseward_redy", ""),
        ("pulseward_commit_seconds", ""),
        ("pulseward_ready", "client=\"source\""),
        ("pulseward_mqtt_connected", "client=~\"source|sink\""),
    ];
    for (name, inside) in wrong {
        let found = std::panic::catch_unwind(|| check_selector(name, inside));
        assert!(found.is_err(), "{name}{{{inside}}} passes");
    }
}

#[test]
fn each_panel_has_a_data_source_that_is_provisioned() {
    let sources = shipped("grafana/provisioning/datasources/pulseward.yml");
    for name in ["grafana/dashboards/service.json", "grafana/dashboards/ward.json"] {
        for (title, target) in panels(name) {
            let uid = format!("uid: {}\n", text(&target["datasource"]["uid"]));
            let kind = format!("type: {}\n", text(&target["datasource"]["type"]));
            assert!(sources.contains(&uid) && sources.contains(&kind), "{title}: {uid}{kind}");
        }
    }
}

/// A query of the ward as Grafana sends it.
fn expand(sql: &str, patient: &str) -> String {
    let mut sql = sql.replace("$site", SITE).replace("$patient", patient);
    while let Some((before, rest)) = sql.split_once("$__timeFilter(") {
        let (column, after) = rest.split_once(')').expect("closed");
        sql = format!(
            "{before}{column} BETWEEN '2000-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'{after}"
        );
    }
    assert!(!sql.contains('$'), "Grafana has more to replace than this test: {sql}");
    sql
}

/// What the page of SQL makes: a role that only reads, by this name.
async fn make_reader(database: &Database, role: &str) {
    const PAGE: &str = include_str!("../../docs/sql.md");
    let (_, block) = PAGE.split_once("```sql role\n").expect("the role's block");
    let (block, _) = block.split_once("```").expect("a block ends");
    let config: tokio_postgres::Config = database.url().parse().expect("a url");
    let owner = format!("FOR ROLE {}", config.get_user().expect("a user"));
    let sql = block.replace("FOR ROLE pulseward", &owner).replace("grafana", role);
    database.connect().await.batch_execute(&sql).await.expect("granted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_ward_runs_as_the_reader_and_the_ward_is_seen() {
    let recording = Recording::new(7, 2, 4 * 60);
    let database = Database::create().await;
    let role = format!("reader_{}", uuid::Uuid::new_v4().simple());
    let mut config: tokio_postgres::Config = database.url().parse().expect("a url");
    let house = House::start(Sql::Postgres(database)).await;
    house.enroll(&recording).await;
    publish(&house.broker.url(), recording.messages()).await;
    house.stored(recording.readings().len()).await;
    let Sql::Postgres(database) = &house.sql else { unreachable!("it is") };
    make_reader(database, &role).await;
    let (client, connection) =
        config.user(&role).password("change me").connect(NoTls).await.expect("the role connects");
    tokio::spawn(connection);

    let patient = Recording::patient_of(&recording.devices[0]);
    let board: Value =
        serde_json::from_str(&shipped("grafana/dashboards/ward.json")).expect("JSON");
    let variables = board["templating"]["list"].as_array().expect("variables").iter();
    let variables = variables.map(|it| (text(&it["name"]), text(&it["query"])));
    let asked = panels("grafana/dashboards/ward.json").into_iter();
    let asked = asked.map(|(title, target)| (title, text(&target["rawSql"])));
    let mut seen = Vec::new();
    for (title, sql) in variables.chain(asked) {
        let sql = expand(&sql, &patient);
        let answer = client.simple_query(&sql).await;
        let answer = answer.unwrap_or_else(|error| panic!("{title}: {error:?}\n{sql}"));
        if answer.iter().any(|it| matches!(it, SimpleQueryMessage::Row(_))) {
            seen.push(title);
        }
    }
    // What a recording of the past minutes has: the others run, and have nothing to show.
    for title in [
        "site",
        "patient",
        "How patients are watched",
        "Heart and pulse rate",
        "Oxygen saturation",
        "Respiratory rate",
        "Last values",
        "Devices on the patient",
    ] {
        assert!(seen.iter().any(|it| it == title), "{title} shows nothing; seen: {seen:?}");
    }
    let admin = database.connect().await;
    admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.expect("dropped");
}
