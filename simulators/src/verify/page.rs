//! The report as one page of HTML, which needs nothing but itself.
//!
//! The verdict stands on top, then what is wrong, by name, then what there was, then how long it
//! took. It follows the reader's choice of light or dark.

use std::fmt::Write as _;

use super::plot::{Plot, Series};
use super::report::{Percentiles, Report};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2430;--soft:#667085;--line:#d0d5dd;--page:#fff;--good:#067647;\
--bad:#b42318;--a:#1570ef;--b:#dc6803;--c:#7a5af8;--mark:#98a2b3}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#98a2b3;--line:#344054;--page:#11151c;\
--good:#47cd89;--bad:#f97066;--a:#53b1fd;--b:#fdb022;--c:#a48afb;--mark:#667085}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:70rem;\
margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}\
.good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}\
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.2rem .8rem .2rem 0;text-align:left;\
border-bottom:1px solid var(--line);vertical-align:top}td.n,th.n{text-align:right;\
font-variant-numeric:tabular-nums}svg{width:100%;height:auto;font:11px system-ui,sans-serif}\
svg text{fill:var(--soft)}ul{margin:.2rem 0 .8rem;padding-left:1.2rem}code,pre{font-size:.85rem}\
details{margin:.6rem 0}pre{overflow:auto}";

/// The page of a report.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut html = String::new();
    head(&mut html, report);
    faults(&mut html, report);
    readings(&mut html, report);
    alerts(&mut html, report);
    watchers(&mut html, report);
    latencies(&mut html, report);
    plots(&mut html, report);
    let scenario = serde_json::to_string_pretty(&report.run.scenario).unwrap_or_default();
    push(
        &mut html,
        &format!(
            "<details><summary>The scenario</summary><pre>{}</pre></details></body></html>\n",
            escaped(&scenario)
        ),
    );
    html
}

fn push(html: &mut String, text: &str) {
    html.push_str(text);
}

/// Text that is no markup.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn head(html: &mut String, report: &Report) {
    let run = &report.run;
    let (class, verdict) = if report.is_good {
        ("good", "All is as it must be")
    } else {
        ("bad", "Not as it must be")
    };
    let cut = if run.record_is_whole { "" } else { " The record ends in the middle of an entry." };
    push(
        html,
        &format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Pulseward: {verdict}</title><style>{STYLE}</style></head><body>\
         <h1 class=\"{class}\">{verdict}</h1>\
         <p>Site {}, seed {}, began {}, {:.0} s. {} devices, {} patients, {} messages, {} \
         acknowledged, {} unheard.{cut}</p>",
            escaped(&run.site),
            run.seed,
            escaped(&run.began_at),
            run.seconds,
            run.devices,
            run.patients,
            run.messages,
            run.acknowledged,
            run.unheard
        ),
    );
}

fn faults(html: &mut String, report: &Report) {
    push(html, "<h2>Verdict</h2><table><tr><th>What</th><th class=\"n\">Count</th></tr>");
    let faults = report.faults();
    for (name, finding) in &faults {
        let class = if finding.count == 0 { "n good" } else { "n bad" };
        push(
            html,
            &format!(
                "<tr><td>{}</td><td class=\"{class}\">{}</td></tr>",
                escaped(name),
                finding.count
            ),
        );
    }
    push(html, "</table>");
    for (name, finding) in faults.iter().filter(|(_, finding)| finding.count > 0) {
        let items: String =
            finding.examples.iter().map(|it| format!("<li>{}</li>", escaped(it))).collect();
        push(
            html,
            &format!("<h3 class=\"bad\">{} {}</h3><ul>{items}</ul>", finding.count, escaped(name)),
        );
    }
}

fn table(html: &mut String, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    // The first column names the row; all others are numbers.
    let class = |place: usize| if place == 0 { "" } else { " class=\"n\"" };
    let cells = |tag: &str, cells: &[String]| -> String {
        let cell = |(place, text): (usize, &String)| {
            format!("<{tag}{}>{}</{tag}>", class(place), escaped(text))
        };
        cells.iter().enumerate().map(cell).collect()
    };
    let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
    push(html, &format!("<table><tr>{}</tr>", cells("th", &heads)));
    for row in rows {
        push(html, &format!("<tr>{}</tr>", cells("td", &row)));
    }
    push(html, "</table>");
}

fn readings(html: &mut String, report: &Report) {
    let it = &report.readings;
    push(
        html,
        &format!(
            "<h2>Readings</h2><p>{} must be stored and {} may be: of those, nobody can know from \
         outside. {} are stored as they were sent. {} were sent again.</p>",
            it.must, it.may, it.stored, it.repeated
        ),
    );
    let row = |(reason, it): (&String, &super::report::RefusedMessages)| {
        vec![reason.clone(), it.must.to_string(), it.may.to_string(), it.found.to_string()]
    };
    table(
        html,
        &["Messages refused for", "must", "must or may", "stored"],
        it.refused.iter().map(row),
    );
}

fn alerts(html: &mut String, report: &Report) {
    let it = &report.alerts;
    push(
        html,
        &format!(
            "<h2>Alerts</h2><p>{} must be raised and {} may be. {} are as they must or may be. {} were \
         held back by a flood, {} are unsure.</p>",
            it.must, it.may, it.matched, it.held_back, it.unsure
        ),
    );
    let heads = ["Rule", "kind", "must", "may", "raised", "of the past", "missed", "false"];
    let row = |(rule, it): (&String, &super::report::RuleCount)| {
        let judged =
            |count: u64| if it.is_judged { count.to_string() } else { "not judged".to_owned() };
        vec![
            rule.clone(),
            it.kind.clone(),
            judged(it.must),
            judged(it.may),
            it.raised.to_string(),
            it.retrospective.to_string(),
            judged(it.missed),
            judged(it.false_alerts),
        ]
    };
    table(html, &heads, it.rules.iter().map(row));
}

fn watchers(html: &mut String, report: &Report) {
    if report.watchers.is_empty() {
        return;
    }
    push(html, "<h2>Watchers</h2>");
    let heads = [
        "Watcher",
        "events",
        "cuts",
        "resumed",
        "snapshots",
        "repeated",
        "out of order",
        "missing",
    ];
    let row = |it: &super::report::Watcher| {
        let numbers = [
            it.events,
            it.cuts,
            it.resumed,
            it.snapshots,
            it.repeated.count,
            it.out_of_order.count,
            it.missing.count,
        ];
        let numbers = numbers.iter().map(ToString::to_string);
        std::iter::once(it.watcher.to_string()).chain(numbers).collect()
    };
    table(html, &heads, report.watchers.iter().map(row));
}

fn latencies(html: &mut String, report: &Report) {
    push(
        html,
        "<h2>Latency</h2><p class=\"soft\">Milliseconds, from the time at which the schedule \
                wanted the message sent.</p>",
    );
    let row = |name: String, it: &Percentiles| {
        let numbers = [it.p50, it.p90, it.p99, it.p999, it.max].map(|ms| format!("{ms:.1}"));
        [vec![name, it.count.to_string()], numbers.to_vec()].concat()
    };
    let rows = report.latency.alerts.iter().map(|(name, it)| row(format!("alert, {name}"), it));
    let puback = std::iter::once(row("PUBACK".to_owned(), &report.latency.puback));
    table(html, &["What", "count", "p50", "p90", "p99", "p99.9", "max"], rows.chain(puback));
}

fn plots(html: &mut String, report: &Report) {
    let latency = &report.latency;
    let marks: Vec<_> = report.run.marks.iter().map(|it| (it.at, it.text.clone())).collect();
    let points = |priority: &str| -> Vec<(f64, f64)> {
        let of = latency.alert_points.iter().filter(|it| it.priority == priority);
        of.map(|it| (it.at, it.ms)).collect()
    };
    let told = Plot {
        title: "Alerts: from due to told, by when they were due (s, ms)",
        series: vec![
            Series { name: "high", colour: "--bad", points: points("high"), is_line: false },
            Series { name: "medium", colour: "--b", points: points("medium"), is_line: false },
            Series { name: "low", colour: "--a", points: points("low"), is_line: false },
        ],
        marks: marks.clone(),
        spans: report.run.outages.clone(),
        width: report.run.seconds,
    };
    let series = |of: fn(&super::report::SeriesPoint) -> f64| -> Vec<(f64, f64)> {
        latency.puback_series.iter().map(|it| (it.at, of(it))).collect()
    };
    let puback = Plot {
        title: "Messages: from due to PUBACK (s, ms)",
        series: vec![
            Series { name: "p50", colour: "--a", points: series(|it| it.p50), is_line: true },
            Series { name: "p99", colour: "--b", points: series(|it| it.p99), is_line: true },
            Series { name: "max", colour: "--bad", points: series(|it| it.max), is_line: true },
        ],
        marks,
        spans: report.run.outages.clone(),
        width: report.run.seconds,
    };
    // Each nine has the same width, so that the tail is seen.
    let nines = |curve: &[(f64, f64)]| -> Vec<(f64, f64)> {
        curve.iter().map(|(percentile, ms)| (-(1.0 - percentile / 100.0).log10(), *ms)).collect()
    };
    let curve = Plot {
        title: "Percentiles: nines (1 is p90, 2 is p99, 3 is p99.9), ms",
        series: vec![
            Series {
                name: "alerts",
                colour: "--b",
                points: nines(&latency.alert_curve),
                is_line: true,
            },
            Series {
                name: "PUBACK",
                colour: "--a",
                points: nines(&latency.puback_curve),
                is_line: true,
            },
        ],
        marks: Vec::new(),
        spans: Vec::new(),
        width: 4.0,
    };
    for plot in [told, puback, curve] {
        let _infallible = write!(html, "{plot}");
    }
    push(html, "<h2>Alerts by rule</h2>");
    push(
        html,
        &super::plot::bars(report.alerts.rules.iter().map(|(rule, it)| (rule.as_str(), it.raised))),
    );
}
