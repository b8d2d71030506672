//! The engine and the simulators' oracle read the same page: stories drawn at random, in which
//! readings come in time, late, too late, from memories, doubted, implausible or not at all, must
//! come out the same by both.
//!
//! The two share no code. Where they differ, one of them has misread `docs/alarms.md`, or the page
//! leaves something open. Of one vital of one device and limit rules only: of more, `tests/drills`
//! tell. `PROPTEST_CASES=100000` draws more of them than the 2,000 of every run.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use pulseward::engine::alerts::{AlertEvent, Phase, Trigger};
use pulseward::engine::profile::{self as engine, RuleKind, Side};

use pulseward::vitals::{Priority, Quantity, Vital};
use pulseward_sim::oracle::alarms::{ExpectedAlert, Step, expect, moment};
use pulseward_sim::oracle::profile as oracle;
use pulseward_sim::oracle::vital::{Worth, quantity};
use pulseward_sim::proto::v1;

use crate::scenarios::{level, limit, spot};
use crate::story::{Line, Story, seconds};

const SECOND: i64 = 1_000_000;
/// Seconds between the readings of a batch.
const STEP: i64 = 5;
/// What a reading may say: normal, beyond the first limit, beyond the second, implausible, doubted,
/// and that there is none.
const WORDS: [&str; 6] = ["80", "110", "140", "300", "~110", "x"];

/// A batch of readings that are measured [`STEP`] after each other.
#[derive(Clone, Debug)]
struct Batch {
    /// How long after the one before it comes, in seconds.
    after: i64,
    /// How old its last reading is then, in seconds.
    age: i64,
    is_historical: bool,
    words: Vec<&'static str>,
}

fn batch() -> impl Strategy<Value = Batch> {
    let words = vec(
        prop_oneof![
            4 => Just(WORDS[1]),
            2 => Just(WORDS[0]),
            1 => select(&WORDS[2..]),
        ],
        1..5,
    );
    let after = select(&[5, 5, 5, 10, 30, 100, 400][..]);
    let age = prop_oneof![3 => Just(0), 2 => select(&[5, 10, 30, 60, 130, 200, 700][..])];
    (after, age, any::<bool>(), words).prop_map(|(after, age, is_historical, words)| {
        let is_historical = is_historical && age > 0;
        Batch { after, age, is_historical, words }
    })
}

fn rule() -> impl Strategy<Value = engine::Rule> {
    let (medium, high) = (Priority::Medium, Priority::High);
    let levels = select(vec![
        vec![level(medium, 100, 100, (10, 15))],
        vec![level(medium, 100, 90, (20, 15)), level(high, 130, 130, (10, 15))],
        vec![level(medium, 100, 100, (30, 300)), level(high, 130, 120, (0, 300))],
        vec![spot(medium, 100, 100, (2, 3, 300))],
        vec![level(medium, 100, 100, (10, 15)), spot(high, 130, 130, (2, 2, 60))],
    ]);
    let (clear_delay, actionable_for) = (select(&[0, 10][..]), select(&[150, 600][..]));
    (levels, clear_delay, actionable_for).prop_map(|(levels, clear_delay, actionable_for)| {
        let rule = limit("hr-high", Vital::HeartRate, Side::Above, levels, clear_delay);
        engine::Rule { actionable_for: std::time::Duration::from_secs(actionable_for), ..rule }
    })
}

/// The rule in the oracle's words.
fn as_read(rule: &engine::Rule) -> oracle::Rule {
    let RuleKind::Limit(limit) = &rule.kind else { unreachable!("limits only") };
    let micros = |it: std::time::Duration| i64::try_from(it.as_micros()).expect("short");
    let number = |value: Quantity| quantity(value.to_f64());
    let level = |level: &engine::Level| oracle::Level {
        priority: wire(level.priority),
        limit: number(level.limit),
        clear_limit: number(level.clear_limit),
        sustained: level
            .sustained
            .map(|it| oracle::Sustained { delay: micros(it.delay), max_gap: micros(it.max_gap) }),
        spot: level.spot.map(|it| oracle::Spot {
            n: it.n.into(),
            of: it.of.into(),
            within: micros(it.within),
        }),
    };
    oracle::Rule {
        id: rule.id.as_str().into(),
        actionable_for: micros(rule.actionable_for),
        kind: oracle::Kind::Limit(oracle::LimitRule {
            vitals: vec![v1::Vital::HeartRate],
            is_above: limit.side == Side::Above,
            levels: limit.levels.iter().map(level).collect(),
            clear_delay: micros(limit.clear_delay),
        }),
    }
}

const fn wire(priority: Priority) -> v1::Priority {
    match priority {
        Priority::Low => v1::Priority::Low,
        Priority::Medium => v1::Priority::Medium,
        Priority::High => v1::Priority::High,
    }
}

/// What both were given.
struct Told {
    story: Story,
    steps: Vec<Step>,
}

/// Sends the batches. No two readings were measured at the same time: that would be an amendment.
fn tell(rule: &engine::Rule, batches: &[Batch]) -> Told {
    let mut story = Story::new(STEP, vec![rule.clone()]);
    story.wear(1, &[]);
    story.now += 7200;
    let (mut steps, mut measured) = (Vec::new(), BTreeSet::new());
    for (message, batch) in (0..).zip(batches) {
        story.now += batch.after;
        let last = story.now - batch.age;
        let first = last - STEP * (i64::try_from(batch.words.len()).expect("few") - 1);
        let times = (0..).map(|index| first + STEP * index);
        let words: Vec<_> = times
            .zip(&batch.words)
            .map(|(at, word)| (at, if measured.insert(at) { *word } else { "." }))
            .collect();
        let step = |(at, word): &(i64, &str)| step(message, (*at, story.now), word, batch);
        steps.extend(words.iter().filter_map(step));
        let words: Vec<_> = words.iter().map(|(_, word)| *word).collect();
        let from = first - story.begin;
        story.catch_up(Vital::HeartRate, from, &words.join(" "), batch.is_historical);
    }
    Told { story, steps }
}

fn step(message: u32, (measured, received): (i64, i64), word: &str, batch: &Batch) -> Option<Step> {
    let value = || quantity(word.trim_start_matches('~').parse().expect("a number"));
    let worth = match word {
        "." => return None,
        "x" => Worth::Absent(1),
        "300" => Worth::Implausible(value()),
        _ => Worth::Plausible(value()),
    };
    Some(Step {
        message,
        device: 1,
        measured_at: measured * SECOND,
        vital: v1::Vital::HeartRate,
        worth,
        is_doubted: word.starts_with('~'),
        is_historical: batch.is_historical,
        received: (received * SECOND, received * SECOND),
        upload_interval: 0,
        measures_every: None,
    })
}

/// An alert: onset, raised, priorities, end; all by the readings that made it so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Alert {
    is_retrospective: bool,
    onset: i64,
    priorities: Vec<(i32, i64)>,
    end: Option<i64>,
    is_unconfirmed: bool,
}

/// What the engine said.
fn said(story: &Story) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    for (_, line) in &story.lines {
        let Line::Alert(event) = line else { continue };
        match event.phase {
            Phase::Start => alerts.push(started(event, story.begin)),
            Phase::Escalate | Phase::Deescalate => {
                let priority = (wire(event.alert.priority).into(), decided(event, story.begin));
                live(&mut alerts).priorities.push(priority);
            }
            Phase::End => live(&mut alerts).end = Some(decided(event, story.begin)),
            _ => {}
        }
    }
    alerts.sort();
    alerts
}

fn live(alerts: &mut [Alert]) -> &mut Alert {
    alerts.iter_mut().rfind(|alert| !alert.is_retrospective).expect("one has started")
}

fn started(event: &AlertEvent, begin: i64) -> Alert {
    let alert = &event.alert;
    let is_retrospective = alert.retrospective;
    let ended_at = alert.ended_at.filter(|_| is_retrospective);
    Alert {
        is_retrospective,
        onset: seconds(alert.onset) - begin,
        priorities: vec![(wire(alert.priority).into(), decided(event, begin))],
        end: ended_at.map(|at| seconds(at) - begin),
        is_unconfirmed: alert.unconfirmed,
    }
}

fn decided(event: &AlertEvent, begin: i64) -> i64 {
    let Trigger::Readings(readings) = &event.trigger else { panic!("no reading: {event:?}") };
    seconds(readings[0].measured_at) - begin
}

/// What the oracle expects. Of a late breach the last, highest priority is told.
fn expected(alert: &ExpectedAlert, begin: i64) -> Alert {
    let second = |at: jiff::Timestamp| at.as_second() - begin;
    let priorities = alert.priorities.iter().map(|(priority, at)| (*priority, second(*at)));
    let mut priorities: Vec<_> = priorities.collect();
    if alert.is_retrospective {
        priorities.drain(..priorities.len() - 1);
    }
    Alert {
        is_retrospective: alert.is_retrospective,
        onset: second(alert.onset),
        priorities,
        end: alert.end_at.map(second),
        is_unconfirmed: alert.is_unconfirmed,
    }
}

proptest! {
    // PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

    #[test]
    fn the_oracle_expects_what_the_engine_says(rule in rule(), batches in vec(batch(), 1..14)) {
        let told = tell(&rule, &batches);
        let found = said(&told.story);
        let patient: Arc<str> = "patient-1".into();
        let judged = expect(&patient, &[as_read(&rule)], &told.steps, &[]).alerts;
        let begin = told.story.begin;
        prop_assert_eq!(moment(begin * SECOND).as_second(), begin);
        let all: Vec<_> = judged.iter().map(|alert| expected(alert, begin)).collect();
        for (alert, judged) in all.iter().zip(&judged) {
            if judged.is_certain {
                prop_assert!(found.contains(alert), "missed: {alert:?}\nsaid: {found:#?}");
            }
        }
        for alert in &found {
            let is_known = all.contains(alert) || alert.is_retrospective && judged.iter().any(|it| {
                !it.is_certain && it.is_retrospective
            });
            prop_assert!(is_known, "false: {alert:?}\nexpected: {judged:#?}");
        }
    }
}
