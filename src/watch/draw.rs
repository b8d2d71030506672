//! Draws the screen: pure, from the state to cells.
//!
//! What matters is never told by colour alone: priorities have marks, what is chosen has an arrow,
//! NOT LIVE has words. Where the window is too small the list is shortened, never the first line.

mod detail;
mod overlay;
mod table;

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::App;
use super::liveness::Verdict;
use super::rows::rows;
use super::words;
use crate::clock::Timestamp;
use crate::proto::v1;
use crate::proto::v1::{MonitoringState, Priority, SignalState};

const HELP: &str =
    " a acknowledge  p pause  r reset  n note  Enter story  l limits  ? keys  q leave";

/// The moment that is drawn.
#[derive(Clone, Copy)]
struct Moment {
    now: Instant,
    /// What the service's clock says then, if that is known.
    service_time: Option<Timestamp>,
}

/// Draws everything, as it stands at `now`.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App, now: Instant) {
    let moment = Moment { now, service_time: app.ward.liveness.service_time(now) };
    let rows = rows(&app.ward);
    let chosen = app.chosen(&rows);
    let detail = chosen.map(|at| detail::lines(app, &rows[at], frame.area().width, moment));
    let detail = detail.unwrap_or_default();
    let [head, list, below, notice, help] = parts(frame.area(), detail.len());
    frame.render_widget(Paragraph::new(self::head(app, moment)), head);
    match &app.page {
        Some(page) => overlay::page(frame, page, list.union(below)),
        None => {
            table::draw(frame, app, &rows, chosen, list, moment);
            frame.render_widget(Paragraph::new(detail), below);
        }
    }
    frame.render_widget(Paragraph::new(notice_line(app)), notice);
    frame.render_widget(Paragraph::new(HELP).style(Modifier::REVERSED), help);
    if let Some(over) = &app.over {
        overlay::over(frame, app, over, moment);
    }
    if is_dimmed(app, now) {
        frame.buffer_mut().set_style(list.union(below), Modifier::DIM);
    }
}

/// What was so is not drawn like what is so.
fn is_dimmed(app: &App, now: Instant) -> bool {
    app.over.is_none() && app.ward.liveness.verdict(now) != Verdict::Live
}

/// Head, list, detail, notice and help. The detail takes at most half of what there is.
fn parts(area: Rect, detail: usize) -> [Rect; 5] {
    let detail = u16::try_from(detail).unwrap_or(u16::MAX).min(area.height / 2);
    let heights = [2, 0, detail, 1, 1];
    let mut heights = heights.map(Constraint::Length);
    heights[1] = Constraint::Min(0);
    Layout::vertical(heights).areas(area)
}

fn head(app: &App, moment: Moment) -> Vec<Line<'static>> {
    vec![live_line(app, moment), counts_line(app)]
}

/// Whether it is live, first of all.
fn live_line(app: &App, moment: Moment) -> Line<'static> {
    let clock = moment.service_time.map(words::time_of_day).unwrap_or_default();
    match app.ward.liveness.verdict(moment.now) {
        Verdict::Live => Line::from(vec![
            Span::styled(" LIVE ", Style::new().fg(Color::Black).bg(Color::Green)),
            Span::raw(format!(" {clock}  {}", app.scope)),
        ]),
        Verdict::NotLive { since, why } => {
            let age = words::span(moment.now.saturating_duration_since(since));
            let since = app.ward.liveness.service_time(since).map(words::time_of_day);
            let since = since.map(|since| format!("{since}, ")).unwrap_or_default();
            let words = format!(" NOT LIVE since {since}{age}: {why}");
            Line::styled(words, loud(Color::Red)).style(loud(Color::Red))
        }
    }
}

/// White on a colour, for what must not be overlooked.
fn loud(colour: Color) -> Style {
    Style::new().fg(Color::White).bg(colour).add_modifier(Modifier::BOLD)
}

fn counts_line(app: &App) -> Line<'static> {
    let mut spans = vec![Span::raw(format!(" {}   open: ", patients(app)))];
    for priority in [Priority::High, Priority::Medium, Priority::Low] {
        let count = app.ward.open().filter(|alert| alert.priority() == priority).count();
        let text = format!("{} {count} {}", words::mark(priority), words::priority(priority));
        let style = if count > 0 { Style::new().fg(colour(priority)) } else { Style::new() };
        spans.extend([Span::styled(text, style), Span::raw("  ")]);
    }
    Line::from(spans)
}

/// How many patients, and how many of them are watched in full.
fn patients(app: &App) -> String {
    let total = app.ward.patients().count();
    let monitored = |it: &&v1::PatientMonitoring| it.state() == MonitoringState::Monitored;
    let monitored = app.ward.patients().filter(monitored).count();
    format!("{total} patients, {monitored} fully monitored")
}

/// What was done last; before it, that vitals are not so new as the first line says of alerts.
fn notice_line(app: &App) -> Line<'static> {
    let cut = app.vitals_cut.as_ref().map(|why| format!(" vitals NOT LIVE: {why} "));
    let cut = cut.map(|words| Span::styled(words, loud(Color::Red)));
    let notice = Span::raw(format!(" {}", app.notice));
    cut.into_iter().chain([notice]).collect()
}

/// IEC 60601-1-8: red high, yellow medium, cyan low.
const fn colour(priority: Priority) -> Color {
    match priority {
        Priority::High => Color::Red,
        Priority::Medium => Color::Yellow,
        Priority::Low | Priority::Unspecified => Color::Cyan,
    }
}

/// An alert that signals is drawn on its colour, another one in it.
fn alert_style(alert: &v1::Alert) -> Style {
    let colour = colour(alert.priority());
    match (alert.signal(), alert.priority()) {
        (SignalState::On, Priority::High) => loud(colour),
        (SignalState::On, _) => Style::new().fg(Color::Black).bg(colour),
        _ => Style::new().fg(colour),
    }
}

/// Exactly so wide: what does not fit ends in an ellipsis.
fn fit(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return format!("{text:<width$}");
    }
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests;
