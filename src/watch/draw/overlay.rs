//! What lies over the ward: pages of text, dialogs, refusals.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::{Moment, loud};
use crate::proto::v1;
use crate::watch::app::{App, Over};
use crate::watch::dialog::Dialog;
use crate::watch::pages::Page;
use crate::watch::words;
use crate::watch::work::{Change, Refusal};

const WIDTH_MAX: u16 = 76;
/// A note of some length still fits, and most of the ward stays seen.
const HEIGHT_MAX: u16 = 13;

pub(super) fn page(frame: &mut Frame<'_>, page: &Page, area: Rect) {
    let title = format!(" {} (Esc: back) ", page.title);
    let lines: Vec<_> = page.lines.iter().skip(page.top).map(|it| Line::raw(it.clone())).collect();
    let text = Paragraph::new(lines).block(Block::bordered().title(title));
    frame.render_widget(text.wrap(Wrap { trim: false }), area);
}

pub(super) fn over(frame: &mut Frame<'_>, app: &App, over: &Over, moment: Moment) {
    let (title, style, lines) = match over {
        Over::Dialog(dialog) => {
            let title = format!("{} {}", dialog.task.title(), words::subject(&dialog.seen));
            (title, Style::new(), dialog_lines(app, dialog, moment))
        }
        Over::Refused(change, refusal) => {
            let title = format!("NOT {}", change.what.done().to_uppercase());
            (title, loud(Color::Red), refused_lines(app, change, refusal, moment))
        }
    };
    let area = middle(frame.area(), lines.len());
    let block = Block::bordered().title(format!(" {title} ")).border_style(style);
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

/// In the middle, with room for lines that wrap.
fn middle(area: Rect, lines: usize) -> Rect {
    let width = WIDTH_MAX.min(area.width);
    let wanted = u16::try_from(lines + 5).unwrap_or(HEIGHT_MAX).min(HEIGHT_MAX);
    let height = wanted.min(area.height);
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    Rect { x: area.x + x, y: area.y + y, width, height }
}

fn dialog_lines(app: &App, dialog: &Dialog, moment: Moment) -> Vec<Line<'static>> {
    let mut lines = vec![Line::raw(state("", Some(&dialog.seen), moment))];
    lines.extend(change_since(app, &dialog.seen, moment));
    lines.push(Line::raw(""));
    for (at, field) in dialog.fields.iter().enumerate() {
        let cursor = if at == dialog.focus { "_" } else { "" };
        lines.push(Line::raw(format!("{}: {}{cursor}", field.label, field.text)));
    }
    if let Some(complaint) = &dialog.complaint {
        lines.push(Line::styled(complaint.clone(), Style::new().fg(Color::Red)));
    }
    lines.push(Line::styled("Enter: do it   Tab: next field   Esc: leave it", Modifier::DIM));
    lines
}

fn refused_lines(
    app: &App,
    change: &Change,
    refusal: &Refusal,
    moment: Moment,
) -> Vec<Line<'static>> {
    let now = app.ward.alert(&change.seen.alert_id);
    vec![
        Line::raw(words::subject(&change.seen)),
        Line::styled(refusal.words(), Modifier::BOLD),
        Line::raw(""),
        Line::raw(state("you saw: ", Some(&change.seen), moment)),
        Line::raw(state("it is:   ", now, moment)),
        Line::raw(""),
        Line::styled("any key: back to the ward; nothing was asked for again", Modifier::DIM),
    ]
}

/// That somebody is about to answer what is no longer so.
fn change_since(app: &App, seen: &v1::Alert, moment: Moment) -> Option<Line<'static>> {
    let now = app.ward.alert(&seen.alert_id);
    let is_same = now.is_some_and(|it| {
        (it.priority(), it.condition(), it.signal())
            == (seen.priority(), seen.condition(), seen.signal())
    });
    (!is_same).then(|| Line::styled(state("CHANGED since: ", now, moment), loud(Color::Red)))
}

fn state(before: &str, alert: Option<&v1::Alert>, moment: Moment) -> String {
    let Some(alert) = alert else { return format!("{before}over") };
    let (mark, priority) = (words::mark(alert.priority()), words::priority(alert.priority()));
    let condition = words::condition(alert.condition());
    let signal = words::signal(alert.signal());
    let age = words::timestamp(alert.raised_at).zip(moment.service_time);
    let age = age.map(|(raised, now)| format!(", since {}", words::span(now.since(raised))));
    let age = age.unwrap_or_default();
    format!("{before}{mark} {priority}, {condition}, signal {signal}{age}")
}
