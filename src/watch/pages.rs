//! Pages of text over the ward: an alert's story, a patient's limits, the keys.
//!
//! Pure: from what the service answered to lines. What could not be told is said on the page.

use super::words;
use crate::proto::v1;
use crate::proto::v1::ProfileOwner;
use crate::vitals::Vital;

/// What a page is about, to be asked for anew.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Subject {
    /// An alert, by its id.
    Alert(String),
    /// A patient's limits.
    Limits(String),
    Keys,
}

/// An open page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Page {
    pub(super) subject: Subject,
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    /// The first line shown.
    pub(super) top: usize,
}

/// Every key, and what it does.
pub(super) const KEYS: &[(&str, &str)] = &[
    ("up, down, j, k", "another patient; the page, where one is open"),
    ("PageUp, PageDown", "ten at once"),
    ("Home, End", "the first, the last"),
    ("Tab", "another alert of the patient"),
    ("Enter", "the alert's story: events, readings that decided it, rule"),
    ("l", "the patient's limits in force"),
    ("a", "acknowledge the alert, with a note if you like"),
    ("p", "pause its signal, for a length and with a reason"),
    ("r", "reset it, once its condition has ended"),
    ("n", "add a note"),
    ("?", "this page"),
    ("Esc", "back; in a dialog: do nothing"),
    ("q, ctrl-c", "leave"),
];

const LEGEND: &[&str] = &[
    "!!! HIGH: immediate response   !! MEDIUM: prompt response   ! LOW: awareness",
    "latched: over, waits to be reset   -- no value   . never measured",
    "(76) older than a minute   76? doubted by the device or the service",
    "NOT LIVE: what you see was so, and may be so no longer. Look at the patient.",
];

impl Page {
    /// A page that waits for its answer.
    pub(super) fn waiting(subject: Subject, title: String) -> Self {
        Self { subject, title, lines: vec!["asking the service ...".to_owned()], top: 0 }
    }

    pub(super) fn keys() -> Self {
        let keys = KEYS.iter().map(|(key, does)| format!("{key:<18} {does}"));
        let legend = std::iter::once("").chain(LEGEND.iter().copied()).map(str::to_owned);
        let lines = keys.chain(legend).collect();
        Self { subject: Subject::Keys, title: "Keys and signs".to_owned(), lines, top: 0 }
    }

    /// Moves by so many lines, as far as there are some.
    pub(super) fn scroll(&mut self, by: isize) {
        let last = self.lines.len().saturating_sub(1);
        self.top = self.top.saturating_add_signed(by).min(last);
    }
}

/// An alert's story, in lines.
pub(super) fn story(told: &v1::GetAlertResponse) -> Vec<String> {
    let mut lines = told.alert.as_ref().map(standing).unwrap_or_default();
    lines.extend(["".to_owned(), "Events".to_owned()]);
    lines.extend(told.events.iter().flat_map(event));
    lines.extend(["".to_owned(), "Readings that decided it".to_owned()]);
    lines.extend(told.readings.iter().map(reading));
    if let Some(rule) = &told.rule {
        lines.extend(["".to_owned(), "Rule when it was raised".to_owned()]);
        lines.extend(effective_rule(rule));
    }
    lines.extend(missing(told));
    lines
}

/// A patient's rules, in lines.
pub(super) fn limits(profile: &v1::EffectiveProfile) -> Vec<String> {
    match profile.rules.as_slice() {
        [] => vec!["no rule is in force".to_owned()],
        rules => rules.iter().flat_map(effective_rule).collect(),
    }
}

/// The alert as it stands.
fn standing(alert: &v1::Alert) -> Vec<String> {
    let (priority, signal) = (words::priority(alert.priority()), words::signal(alert.signal()));
    let condition = words::condition(alert.condition());
    let mark = words::mark(alert.priority());
    let owner = owner(alert.limit_owner.as_ref());
    let mut lines = vec![
        format!("{mark} {priority}, condition {condition}, signal {signal}"),
        format!("rule {} version {}, {owner}", alert.rule_id, alert.rule_version),
    ];
    if let Some(limit) = alert.limit {
        let (vital, unit) = (words::vital(alert.vital), words::unit(&alert.unit));
        lines.push(format!("limit {limit} {unit} on {vital}").trim_end().to_owned());
    }
    for (name, at) in
        [("onset", alert.onset_at), ("raised", alert.raised_at), ("ended", alert.ended_at)]
    {
        let at = words::timestamp(at).map(words::date_and_time);
        lines.extend(at.map(|at| format!("{name:<6} {at}")));
    }
    lines.extend(score(alert));
    if !alert.assignee.is_empty() {
        lines.push(format!("taken care of by {}", alert.assignee));
    }
    lines
}

fn score(alert: &v1::Alert) -> Option<String> {
    let score = alert.score.as_ref()?;
    let part = |it: &v1::ScoreParameter| format!("{} {}", words::vital(it.vital), it.points);
    let parts: Vec<_> = score.parameters.iter().map(part).collect();
    let missing: Vec<_> = score.missing.iter().map(|it| words::vital(*it)).collect();
    let missing = match missing.as_slice() {
        [] => String::new(),
        missing => format!("; missing: {}", missing.join(", ")),
    };
    Some(format!("score {}: {}{missing}", score.total, parts.join(", ")))
}

fn event(event: &v1::AlertEvent) -> Vec<String> {
    let at = words::timestamp(event.determined_at).map(words::date_and_time).unwrap_or_default();
    let priority = event.alert.as_ref().map(|it| words::priority(it.priority())).unwrap_or("");
    let mut line = format!("  {at} {:<13} {priority:<6}", words::phase(event.phase()));
    let by = match event.actor.as_str() {
        "" => words::cause(event.cause()).to_owned(),
        actor => format!("by {actor}"),
    };
    let values: Vec<_> = event.readings.iter().map(deciding).collect();
    for part in [by, values.join(", ")] {
        if !part.is_empty() {
            line.push_str(&format!(" {part}"));
        }
    }
    let note = (!event.note.is_empty()).then(|| format!("            \"{}\"", event.note));
    std::iter::once(line).chain(note).collect()
}

fn deciding(reading: &v1::DecidingReading) -> String {
    let vital = words::vital(reading.vital);
    let unit = Vital::from_number(reading.vital).map_or("", |vital| vital.unit().ucum());
    match reading.quantity {
        Some(quantity) => format!("{vital} {quantity} {}", words::unit(unit)).trim_end().to_owned(),
        None => format!("{vital} {}", words::consciousness(reading.consciousness)),
    }
}

fn reading(reading: &v1::StoredReading) -> String {
    use v1::stored_reading::Value;
    let at = words::timestamp(reading.measured_at).map(words::date_and_time).unwrap_or_default();
    let value = match reading.value {
        Some(Value::Quantity(quantity)) => format!("{quantity} {}", words::unit(&reading.unit)),
        Some(Value::Consciousness(level)) => words::consciousness(level).to_owned(),
        Some(Value::Absent(reason)) => words::absent(reason).to_owned(),
        None => "?".to_owned(),
    };
    format!("  {at} {:<18} {value} ({})", words::vital(reading.vital), reading.device_id)
}

/// In the words that `pulseward profile check` has for it.
fn effective_rule(rule: &v1::EffectiveRule) -> Vec<String> {
    let profile = v1::Profile { rules: rule.rule.clone().into_iter().collect() };
    let summary = match crate::grpc::profile(&profile) {
        Ok(profile) => crate::profile_file::summary::summary(&profile),
        Err(_) => "a rule that this version does not know\n".to_owned(),
    };
    let mut lines: Vec<_> = summary.lines().map(|line| format!("  {line}")).collect();
    let not_monitored = rule.not_monitored_because.as_str();
    lines.push(format!("      version {}, {}", rule.version, owner(rule.owner.as_ref())));
    if !not_monitored.is_empty() {
        lines.push(format!("      NOT MONITORED: {not_monitored}"));
    }
    lines
}

/// Whose limits they are.
fn owner(owner: Option<&ProfileOwner>) -> String {
    use v1::profile_owner::Owner;
    match owner.and_then(|it| it.owner.as_ref()) {
        Some(Owner::Everyone(_)) => "for everyone".to_owned(),
        Some(Owner::SiteId(site)) => format!("for site {site}"),
        Some(Owner::PatientId(patient)) => format!("for patient {patient}"),
        None => "built in".to_owned(),
    }
}

fn missing(told: &v1::GetAlertResponse) -> Option<String> {
    let parts: Vec<_> = told
        .missing()
        .map(|part| match part {
            v1::AlertPart::Events => "events",
            v1::AlertPart::Readings => "readings",
            v1::AlertPart::Rule => "the rule",
            v1::AlertPart::Unspecified => "something",
        })
        .collect();
    let said = format!("NOT ALL IS TOLD: missing, in whole or in part: {}", parts.join(", "));
    (!parts.is_empty()).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::tests::alert;

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn told() -> v1::GetAlertResponse {
        let spo2 = i32::from(Vital::Spo2.number());
        let deciding = v1::DecidingReading {
            vital: spo2,
            quantity: Some(84.0),
            ..v1::DecidingReading::default()
        };
        let start = v1::AlertEvent {
            phase: v1::AlertPhase::Start.into(),
            determined_at: at(1_769_847_300),
            alert: Some(alert("1", "p-1", v1::Priority::High)),
            readings: vec![deciding],
            ..v1::AlertEvent::default()
        };
        let acknowledge = v1::AlertEvent {
            phase: v1::AlertPhase::Acknowledge.into(),
            cause: v1::AlertCause::Request.into(),
            readings: Vec::new(),
            actor: "dr-weber".to_owned(),
            note: "at the bedside".to_owned(),
            ..start.clone()
        };
        let profile = crate::profile_file::adult();
        v1::GetAlertResponse {
            alert: Some(v1::Alert {
                limit: Some(90.0),
                unit: "%".to_owned(),
                vital: spo2,
                onset_at: at(1_769_847_285),
                ..alert("1", "p-1", v1::Priority::High)
            }),
            events: vec![start, acknowledge],
            rule: Some(v1::EffectiveRule {
                rule: crate::grpc::wire_profile(&profile).rules.into_iter().next(),
                version: 3,
                not_monitored_because: "too seldom".to_owned(),
                ..v1::EffectiveRule::default()
            }),
            missing: vec![v1::AlertPart::Readings.into()],
            ..v1::GetAlertResponse::default()
        }
    }

    #[test]
    fn a_story_tells_who_when_what_decided_it_and_by_which_rule() {
        let lines = story(&told());
        let has =
            |wanted: &str| assert!(lines.iter().any(|it| it == wanted), "{wanted}: {lines:#?}");
        has("!!! HIGH, condition active, signal ON");
        has("rule spo2-low version 1, built in");
        has("limit 90 % on spo2");
        has("onset  2026-01-31 08:14:45Z");
        has("  2026-01-31 08:15:00Z start         HIGH   spo2 84 %");
        has("  2026-01-31 08:15:00Z acknowledge   HIGH   by dr-weber");
        has("            \"at the bedside\"");
        has("      version 3, built in");
        has("      NOT MONITORED: too seldom");
    }

    #[test]
    fn what_could_not_be_told_is_said() {
        let last = story(&told()).pop().expect("lines");
        assert_eq!(last, "NOT ALL IS TOLD: missing, in whole or in part: readings");
        assert_eq!(missing(&v1::GetAlertResponse::default()), None);
    }

    #[test]
    fn a_score_names_its_parts_and_what_is_missing() {
        let part = v1::ScoreParameter { vital: 4, points: 3, measured_at: None };
        let score = v1::ScoreSummary {
            total: 3,
            parameters: vec![part],
            missing: vec![14],
            ..v1::ScoreSummary::default()
        };
        let alert = v1::Alert { score: Some(score), ..v1::Alert::default() };
        let told = super::score(&alert).expect("a score");
        assert_eq!(told, "score 3: respiratory rate 3; missing: consciousness");
    }

    #[test]
    fn no_rule_is_told_as_none() {
        assert_eq!(limits(&v1::EffectiveProfile::default()), ["no rule is in force"]);
    }
}
