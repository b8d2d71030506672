//! The ward: a row for each patient, the worst first.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Moment, alert_style, fit};
use crate::proto::v1;
use crate::vitals::Vital;
use crate::watch::app::App;
use crate::watch::rows::{Place, Row};
use crate::watch::words;

const PATIENT_WIDTH: usize = 15;
const MONITORING_WIDTH: usize = 11;
const RULE_WIDTH: usize = 14;
const SIGNAL_WIDTH: usize = 13;
const VITAL_WIDTH: usize = 6;
/// Of a window of 80 columns, everything but the vitals that only a wider one has room for.
const NARROW: u16 = 80;
/// A space, then the bars.
const SPARKLINE_WIDTH_MIN: usize = 10;

/// Of a column, the first of these vitals that the patient has.
type Column = &'static [Vital];
const COLUMNS: [Column; 3] =
    [&[Vital::HeartRate, Vital::PulseRate], &[Vital::RespiratoryRate], &[Vital::Spo2]];
const MORE_COLUMNS: [Column; 3] =
    [&[Vital::SystolicPressure], &[Vital::DiastolicPressure], &[Vital::BodyTemperature]];

pub(super) fn draw(
    frame: &mut Frame<'_>,
    app: &App,
    rows: &[Row<'_>],
    chosen: Option<usize>,
    area: Rect,
    moment: Moment,
) {
    let height = usize::from(area.height.saturating_sub(1));
    let columns = columns(area.width);
    let top = top(chosen.unwrap_or(0), rows.len(), height);
    let mut lines = vec![heading(&columns)];
    for (at, row) in rows.iter().enumerate().skip(top).take(height) {
        lines.push(line(app, row, chosen == Some(at), &columns, area.width, moment));
    }
    if rows.is_empty() {
        lines.push(Line::raw(" nobody is watched here"));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// So many columns as there is room for.
fn columns(width: u16) -> Vec<Column> {
    let spare = usize::from(width.saturating_sub(NARROW)) / VITAL_WIDTH;
    COLUMNS.into_iter().chain(MORE_COLUMNS.into_iter().take(spare)).collect()
}

/// The first row shown: the chosen one is always seen, and as much of the worst as fits.
fn top(chosen: usize, rows: usize, height: usize) -> usize {
    (chosen + 1).saturating_sub(height).min(rows.saturating_sub(height))
}

fn heading(columns: &[Column]) -> Line<'static> {
    let mut text = format!(
        "      {:<PATIENT_WIDTH$}{:<MONITORING_WIDTH$}{:<RULE_WIDTH$}{:<SIGNAL_WIDTH$}",
        "patient", "monitoring", "worst alert", "signal"
    );
    for column in columns {
        text.push_str(&format!("{:>VITAL_WIDTH$}", words::short(column[0])));
    }
    Line::styled(text, Modifier::UNDERLINED)
}

fn line(
    app: &App,
    row: &Row<'_>,
    is_chosen: bool,
    columns: &[Column],
    width: u16,
    moment: Moment,
) -> Line<'static> {
    let worst = row.alerts.first().copied();
    let arrow = if is_chosen { "> " } else { "  " };
    let mark = worst.map_or("", |alert| words::mark(alert.priority()));
    let style = worst.map_or(Style::new(), alert_style);
    let mut spans = vec![
        Span::raw(arrow),
        Span::styled(format!("{mark:<3}"), style),
        Span::raw(format!(" {} ", fit(&row.place.name(), PATIENT_WIDTH - 1))),
        Span::raw(format!("{:<MONITORING_WIDTH$}", monitoring(row))),
        Span::styled(alert(row), style),
    ];
    for column in columns {
        spans.push(cell(app, row, column, moment));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    spans.extend(sparkline(app, row, usize::from(width).saturating_sub(used)));
    let line = Line::from(spans);
    if is_chosen { line.patch_style(Modifier::BOLD) } else { line }
}

fn monitoring(row: &Row<'_>) -> &'static str {
    row.monitoring.map_or("", |it| words::monitoring(it.state()))
}

fn alert(row: &Row<'_>) -> String {
    let Some(worst) = row.alerts.first() else {
        return " ".repeat(RULE_WIDTH - 1 + SIGNAL_WIDTH);
    };
    let rule = match row.alerts.len() {
        1 => worst.rule_id.clone(),
        several => {
            let more = format!(" +{}", several - 1);
            let rule = RULE_WIDTH.saturating_sub(2 + more.len()).min(worst.rule_id.len());
            format!("{}{more}", fit(&worst.rule_id, rule))
        }
    };
    let signal = words::signal(worst.signal());
    format!("{} {signal:<w$}", fit(&rule, RULE_WIDTH - 1), w = SIGNAL_WIDTH - 1)
}

/// A vital, as wide as its column. What is not new stands in brackets; what is doubted, with `?`.
fn cell(app: &App, row: &Row<'_>, column: Column, moment: Moment) -> Span<'static> {
    let Place::Patient(patient) = &row.place else { return Span::raw("") };
    let found = column.iter().find_map(|it| Some((*it, app.ward.vital(patient, *it)?)));
    let Some((vital, trace)) = found else {
        return Span::raw(format!("{:>VITAL_WIDTH$}", "."));
    };
    let value = match (trace.is_fresh(moment.service_time, moment.now), trace.is_doubted()) {
        (false, _) => format!("({})", trace.value()),
        (true, true) => format!("{}?", trace.value()),
        (true, false) => trace.value(),
    };
    let style = of_vital(row, vital).map_or(Style::new(), |alert| {
        Style::new().fg(super::colour(alert.priority())).add_modifier(Modifier::BOLD)
    });
    let room = VITAL_WIDTH - 1;
    let value = if value.chars().count() > room { fit(&value, room) } else { value };
    Span::styled(format!(" {value:>room$}"), style)
}

/// The worst open alert on a vital.
fn of_vital<'w>(row: &Row<'w>, vital: Vital) -> Option<&'w v1::Alert> {
    row.alerts.iter().find(|it| it.vital == i32::from(vital.number())).copied()
}

/// How the vital of the worst alert went, else the heart rate, where there is room.
fn sparkline(app: &App, row: &Row<'_>, room: usize) -> Option<Span<'static>> {
    let Place::Patient(patient) = &row.place else { return None };
    let width = room.checked_sub(1).filter(|width| *width >= SPARKLINE_WIDTH_MIN)?;
    let vital = row.alerts.iter().find_map(|it| Vital::from_number(it.vital));
    let trace = app.ward.vital(patient, vital.unwrap_or(Vital::HeartRate))?;
    Some(Span::raw(format!(" {}", trace.sparkline(width))))
}
