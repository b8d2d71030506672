//! A story as text: what the rules say, one column per time step, and what happened below.

use std::fmt::Write as _;

use pulseward::engine::alerts::{AlertEvent, Condition, Phase, Signal, Trigger};
use pulseward::vitals::{Priority, Value, Vital};

use crate::story::{Line, Sent, Story, seconds};
use crate::words;

/// Every so many characters the ruler names the time.
const TICK: usize = 10;
/// Width of the names on the left.
const MARGIN: usize = 26;

/// The whole diagram.
pub(crate) fn draw(story: &Story) -> String {
    let mut text = String::new();
    for rule in &story.rules {
        text.push_str(&words::of(rule));
    }
    text.push('\n');
    ruler(&mut text, story);
    readings(&mut text, story);
    for rule in shown(story) {
        standings(&mut text, story, &rule);
    }
    text.push('\n');
    for (at, line) in &story.lines {
        row(&mut text, &time(story, *at), 9, &describe(story, *at, line));
    }
    if story.lines.is_empty() {
        text.push_str("nothing happened to any alert\n");
    }
    text
}

fn row(text: &mut String, name: &str, margin: usize, cells: &str) {
    let line = format!("{name:margin$}{cells}");
    writeln!(text, "{}", line.trim_end()).expect("a String takes all");
}

// --- Time -----------------------------------------------------------------------------------------

fn time(story: &Story, at: i64) -> String {
    let since = at - story.begin;
    let (sign, since) = if since < 0 { ("-", -since) } else { ("", since) };
    let (days, hours) = (since / 86_400, since / 3600 % 24);
    let (minutes, seconds) = (since / 60 % 60, since % 60);
    let text = match (story.step, seconds) {
        (86_400.., _) if hours == 0 && minutes == 0 => format!("day {days}"),
        (86_400.., _) => format!("day {days} {hours}:{minutes:02}"),
        (60.., 0) => format!("{}:{minutes:02} h", since / 3600),
        (60.., _) => format!("{}:{minutes:02}:{seconds:02}", since / 3600),
        _ => format!("{}:{seconds:02}", since / 60),
    };
    format!("{sign}{text}")
}

fn ruler(text: &mut String, story: &Story) {
    let columns = story.columns.len();
    let each = if story.width == 1 { TICK } else { TICK.div_ceil(story.width) };
    let (mut names, mut ticks) = (String::new(), String::new());
    let mut at = story.begin;
    for column in 0..columns {
        let is_named = column % each == 0;
        if is_named {
            let gap = (column * story.width).saturating_sub(names.chars().count());
            names.extend(std::iter::repeat_n(' ', gap));
            names.push_str(&time(story, at));
        }
        ticks.push(if is_named { '|' } else { ' ' });
        ticks.extend(std::iter::repeat_n(' ', story.width - 1));
        at += story.step;
    }
    row(text, "", MARGIN, &names);
    row(text, "", MARGIN, &ticks);
}

/// The column in which something at `at` stands.
fn column(story: &Story, at: i64) -> usize {
    usize::try_from((at - story.begin) / story.step).unwrap_or(0)
}

// --- Readings -------------------------------------------------------------------------------------

fn readings(text: &mut String, story: &Story) {
    let mut rows: Vec<(u32, Vital)> = Vec::new();
    for sent in &story.sent {
        if !rows.contains(&(sent.device, sent.vital)) {
            rows.push((sent.device, sent.vital));
        }
    }
    let several = rows.iter().any(|(device, _)| *device != rows[0].0);
    for (device, vital) in rows {
        let of_row = |it: &&Sent| it.device == device && it.vital == vital;
        let (prompt, late): (Vec<_>, Vec<_>) =
            story.sent.iter().filter(of_row).partition(|it| it.received == it.measured);
        let name = if several {
            format!("{} of device {device}", words::vital(vital))
        } else {
            words::vital(vital).to_owned()
        };
        if !prompt.is_empty() {
            row(text, &name, MARGIN, &cells(story, &prompt));
        }
        if !late.is_empty() {
            row(text, &format!("{name}, sent late"), MARGIN, &cells(story, &late));
            row(text, "  arrives", MARGIN, &arrivals(story, &late));
        }
    }
}

fn cells(story: &Story, sent: &[&Sent]) -> String {
    let mut cells = vec![String::new(); story.columns.len()];
    for it in sent {
        let column = column(story, it.measured);
        if let Some(cell) = cells.get_mut(column) {
            *cell = if story.width == 1 { it.mark.sign.to_string() } else { it.mark.text.clone() };
        }
    }
    let width = story.width;
    cells.iter().map(|cell| format!("{cell:width$}")).collect()
}

fn arrivals(story: &Story, sent: &[&Sent]) -> String {
    let mut cells = vec![' '; story.columns.len() * story.width];
    for it in sent {
        if let Some(cell) = cells.get_mut(column(story, it.received) * story.width) {
            *cell = '^';
        }
    }
    cells.into_iter().collect()
}

// --- Alerts ---------------------------------------------------------------------------------------

/// The rules that any column shows, in the order of the profile, the service's own last.
fn shown(story: &Story) -> Vec<String> {
    let has = |rule: &String| story.columns.iter().any(|column| column.contains_key(rule));
    let mut rules: Vec<String> = story.rules.iter().map(|rule| rule.id.to_string()).collect();
    for column in &story.columns {
        for rule in column.keys() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules.retain(has);
    rules
}

fn standings(text: &mut String, story: &Story, rule: &str) {
    let (mut condition, mut signal) = (String::new(), String::new());
    for column in &story.columns {
        let standing = column.get(rule);
        let of_condition = standing.map_or(' ', |it| match it.condition {
            Condition::Active => initial(it.priority),
            Condition::Indeterminate => '?',
            Condition::Inactive => '.',
        });
        let of_signal = standing.map_or(' ', |it| match it.signal {
            Signal::Off => '.',
            Signal::On => '#',
            Signal::Acknowledged => 'a',
            Signal::Paused { .. } => 'p',
            Signal::Latched => '=',
        });
        condition.extend(std::iter::repeat_n(of_condition, story.width));
        signal.extend(std::iter::repeat_n(of_signal, story.width));
    }
    row(text, rule, MARGIN, "");
    row(text, "  condition", MARGIN, &condition);
    row(text, "  signal", MARGIN, &signal);
}

const fn initial(priority: Priority) -> char {
    match priority {
        Priority::Low => 'L',
        Priority::Medium => 'M',
        Priority::High => 'H',
    }
}

// --- What happened --------------------------------------------------------------------------------

fn describe(story: &Story, at: i64, line: &Line) -> String {
    match line {
        Line::Alert(event) => alert(story, at, event),
        Line::Watched(change) => format!("{} is watched: {}", change.patient, change.state.name()),
        Line::Refused(text) => format!("refused: {text}"),
        Line::Rejected(reject) => format!("reading refused: {}", reject.reason.name()),
        Line::Said(text) => format!("({text})"),
    }
}

fn alert(story: &Story, at: i64, event: &AlertEvent) -> String {
    let AlertEvent { phase, trigger, alert, actor, note, .. } = event;
    let condition = match alert.condition {
        Condition::Active => "active",
        Condition::Inactive => "inactive",
        Condition::Indeterminate => "indeterminate",
    };
    let signal = match alert.signal {
        Signal::Off => "off".to_owned(),
        Signal::On => "on".to_owned(),
        Signal::Acknowledged => "acknowledged".to_owned(),
        Signal::Paused { until } => format!("paused until {}", time(story, seconds(until))),
        Signal::Latched => "latched".to_owned(),
    };
    let mut text = format!(
        "{} {} {} {condition}, {signal}; {}",
        phase.name(),
        alert.rule,
        alert.priority.name(),
        cause(story, trigger)
    );
    let mut add = |is_so: bool, what: String| {
        if is_so {
            text.push_str("; ");
            text.push_str(&what);
        }
    };
    let onset = seconds(alert.onset);
    let is_start = *phase == Phase::Start;
    add(is_start && onset != at, format!("onset {}", time(story, onset)));
    add(is_start && alert.retrospective, "retrospective".to_owned());
    let ended = alert.ended_at.map_or(at, seconds);
    add(ended != at, format!("ended {}", time(story, ended)));
    add(alert.delayed && matches!(phase, Phase::Start | Phase::Escalate), "delayed".to_owned());
    add(alert.unconfirmed, "unconfirmed".to_owned());
    add(*phase == Phase::Remind, format!("escalation level {}", alert.escalation_level));
    add(alert.covered > 0, format!("covers {}", alert.covered));
    add(actor.is_some(), format!("by {}", actor.as_deref().unwrap_or_default()));
    add(note.is_some(), format!("note: {}", note.as_deref().unwrap_or_default()));
    let assignee = alert.assignee.as_deref().unwrap_or_default();
    add(*phase == Phase::Update && !assignee.is_empty(), format!("assigned to {assignee}"));
    if let Some(score) = alert.score.as_ref().filter(|_| matches!(trigger, Trigger::Readings(_))) {
        add(true, format!("total {}, {} missing", score.total, score.missing.len()));
    }
    text
}

fn cause(story: &Story, trigger: &Trigger) -> String {
    match trigger {
        Trigger::Readings(readings) => match readings[..] {
            [reading] => {
                let measured = time(story, seconds(reading.measured_at));
                format!("{} {} of {measured}", words::vital(reading.vital), value(reading.value))
            }
            _ => format!("{} readings", readings.len()),
        },
        other => other.name().replace('_', " "),
    }
}

fn value(value: Value) -> String {
    match value {
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Consciousness(level) => format!("{level:?}"),
        Value::Absent(_) => "absent".to_owned(),
    }
}
