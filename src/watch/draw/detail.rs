//! Whoever is chosen: their open alerts, and each vital with its age, limit and line.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::{Moment, alert_style, fit};
use crate::proto::v1;
use crate::proto::v1::SignalState;
use crate::vitals::Vital;
use crate::watch::app::App;
use crate::watch::rows::{Place, Row};
use crate::watch::vitals::{TRACE_LENGTH, Trace};
use crate::watch::words;

/// Alerts shown at once; the one that keys are about is among them.
const ALERTS_SHOWN: usize = 3;
const RULE_WIDTH: usize = 16;
const VITAL_WIDTH: usize = 17;
/// Room for `limit 110 /min`.
const LIMIT_WIDTH: usize = 15;
/// Everything on a vital's line before its bars.
const BEFORE_SPARKLINE: u16 = 60;

pub(super) fn lines(app: &App, row: &Row<'_>, width: u16, moment: Moment) -> Vec<Line<'static>> {
    let mut lines = vec![title(row, width, moment)];
    lines.extend(alerts(app, row, moment));
    if let Place::Patient(patient) = &row.place {
        for (vital, trace) in app.ward.vitals(patient) {
            lines.push(self::vital(row, vital, trace, width, moment));
        }
    }
    lines
}

fn title(row: &Row<'_>, width: u16, moment: Moment) -> Line<'static> {
    let name = row.place.name();
    let watched = row.monitoring.map(|it| {
        let since = words::timestamp(it.since).zip(moment.service_time);
        let since = since.map(|(since, now)| format!(" for {}", words::span(now.since(since))));
        let (state, site) = (words::monitoring(it.state()), &it.site_id);
        format!(", {site}: {state}{}", since.unwrap_or_default())
    });
    let title = format!("-- {name}{} ", watched.unwrap_or_default());
    Line::styled(format!("{title:-<w$}", w = usize::from(width)), Modifier::BOLD)
}

fn alerts(app: &App, row: &Row<'_>, moment: Moment) -> Vec<Line<'static>> {
    let chosen = app.chosen_alert(row).map(|it| it.alert_id.as_str());
    let at = row.alerts.iter().position(|it| Some(it.alert_id.as_str()) == chosen).unwrap_or(0);
    let from = (at + 1).saturating_sub(ALERTS_SHOWN);
    let shown = row.alerts.iter().skip(from).take(ALERTS_SHOWN);
    let mut lines: Vec<_> =
        shown.map(|it| alert(it, Some(it.alert_id.as_str()) == chosen, moment)).collect();
    let hidden = row.alerts.len().saturating_sub(ALERTS_SHOWN);
    if hidden > 0 {
        lines.push(Line::raw(format!("    and {hidden} more: Tab")));
    }
    lines
}

fn alert(alert: &v1::Alert, is_chosen: bool, moment: Moment) -> Line<'static> {
    let arrow = if is_chosen { "> " } else { "  " };
    let (mark, priority) = (words::mark(alert.priority()), words::priority(alert.priority()));
    let raised = words::timestamp(alert.raised_at).zip(moment.service_time);
    let age = raised.map(|(raised, now)| format!("since {}", words::span(now.since(raised))));
    let facts = [Some(signal(alert)), age, limit(alert)].into_iter().flatten();
    let remarks = words::remarks(alert).into_iter().map(str::to_owned);
    let rule = fit(&alert.rule_id, RULE_WIDTH);
    let facts: Vec<_> = facts.chain(remarks).collect();
    Line::from(vec![
        Span::raw(arrow),
        Span::styled(format!("{mark:<3} {priority:<6}"), alert_style(alert)),
        Span::raw(format!(" {rule} {}", facts.join(", "))),
    ])
}

fn signal(alert: &v1::Alert) -> String {
    let word = words::signal(alert.signal());
    match words::timestamp(alert.paused_until) {
        Some(until) if alert.signal() == SignalState::Paused => {
            format!("{word} until {}", words::time_of_day(until))
        }
        _ => format!("signal {word}"),
    }
}

fn limit(alert: &v1::Alert) -> Option<String> {
    let limit = alert.limit?;
    Some(format!("limit {limit} {}", words::unit(&alert.unit)).trim_end().to_owned())
}

fn vital(row: &Row<'_>, vital: Vital, trace: &Trace, width: u16, moment: Moment) -> Line<'static> {
    let alert = row.alerts.iter().find(|it| it.vital == i32::from(vital.number()));
    let limit = alert.and_then(|it| limit(it)).unwrap_or_default();
    let name = fit(&vital.name().replace('_', " "), VITAL_WIDTH);
    let value = match trace.absent() {
        Some(why) => fit(why, 14),
        None => format!("{:>8} {:<5}", trace.value(), trace.unit()),
    };
    let doubt = if trace.is_doubted() { '?' } else { ' ' };
    let age = words::span(trace.age(moment.service_time, moment.now));
    let bars = usize::from(width.saturating_sub(BEFORE_SPARKLINE)).min(TRACE_LENGTH);
    let style = alert.map_or(Style::new(), |it| Style::new().fg(super::colour(it.priority())));
    Line::from(vec![
        Span::raw(format!("    {name}")),
        Span::styled(format!("{value}{doubt}"), style),
        Span::raw(format!("{age:>7}  {limit:<LIMIT_WIDTH$}{}", trace.sparkline(bars))),
    ])
}
