//! The chart's facts, the mistakes that others made with it, and what holds for any observations.
//!
//! Observations are written as words over a healthy patient on air, `spo2 91, oxygen`; a word that
//! is no number, `spo2 -`, takes the parameter away. A score answers in words too.

use proptest::prelude::*;

use super::*;

/// Boundary vectors: one line a case, the points in the order of [`PARAMETERS`]. N090 to N093
/// hold the rounding that this module has chosen, the others the chart.
const VECTORS: &str = include_str!("vectors.csv");

fn healthy() -> Observations {
    Observations {
        respiratory_rate: Some(Quantity::whole(16)),
        spo2: Some(Quantity::whole(97)),
        oxygen: Some(false),
        systolic_pressure: Some(Quantity::whole(120)),
        pulse: Some(Quantity::whole(70)),
        consciousness: Some(Acvpu::Alert),
        temperature: Some(Quantity::whole(37)),
    }
}

fn quantity(word: &str) -> Option<Quantity> {
    word.parse().ok().and_then(Quantity::from_f64)
}

fn level(word: &str) -> Option<Acvpu> {
    Some(match word {
        "A" => Acvpu::Alert,
        "C" => Acvpu::Confusion,
        "V" => Acvpu::Voice,
        "P" => Acvpu::Pain,
        "U" => Acvpu::Unresponsive,
        _ => return None,
    })
}

/// The score of observations in words.
fn score(words: &str) -> News2 {
    let mut known = healthy();
    let mut scale = SpO2Scale::One;
    for word in words.split(", ") {
        match word.split_once(' ').unwrap_or((word, "")) {
            ("scale", "1") => scale = SpO2Scale::One,
            ("scale", "2") => scale = SpO2Scale::Two,
            ("air", "") => known.oxygen = Some(false),
            ("oxygen", "") => known.oxygen = Some(true),
            ("oxygen", "-") => known.oxygen = None,
            ("respiratory_rate", value) => known.respiratory_rate = quantity(value),
            ("spo2", value) => known.spo2 = quantity(value),
            ("systolic_pressure", value) => known.systolic_pressure = quantity(value),
            ("pulse", value) => known.pulse = quantity(value),
            ("consciousness", value) => known.consciousness = level(value),
            ("temperature", value) => known.temperature = quantity(value),
            _ => panic!("no parameter: {word}"),
        }
    }
    News2::of(&known, scale)
}

const fn name(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => "low",
        Risk::LowMedium => "low-medium",
        Risk::Medium => "medium",
        Risk::High => "high",
    }
}

/// Everything that a score says, in words.
fn answers(score: &News2) -> Vec<String> {
    let mut answers: Vec<String> = score
        .points()
        .map(|(parameter, points)| match points {
            Some(points) => format!("{parameter} {points}"),
            None => format!("{parameter} missing"),
        })
        .collect();
    answers.push(format!("risk {}", name(score.risk())));
    let bound = if score.is_complete() { "" } else { "at least " };
    answers.push(format!("total {bound}{}", score.total()));
    answers
}

#[test]
fn every_boundary_of_the_chart_is_where_the_chart_has_it() {
    let mut count = 0;
    for line in VECTORS.lines().skip(1) {
        let [
            id,
            _,
            scale,
            rate,
            spo2,
            gas,
            systolic,
            pulse,
            level,
            temperature,
            points,
            total,
            risk,
        ] = line.split(',').collect::<Vec<_>>()[..]
        else {
            panic!("not a vector: {line}")
        };
        let found = score(&format!(
            "scale {scale}, respiratory_rate {rate}, spo2 {spo2}, {gas}, systolic_pressure \
             {systolic}, pulse {pulse}, consciousness {level}, temperature {temperature}"
        ));
        let each: Vec<String> =
            found.points.iter().map(|points| points.unwrap_or(9).to_string()).collect();
        assert_eq!(each.join(" "), points, "{id}");
        assert_eq!((found.total().to_string().as_str(), name(found.risk())), (total, risk), "{id}");
        assert_eq!(found.has_single_three(), points.contains('3'), "{id}");
        assert!(found.is_complete(), "{id}");
        count += 1;
    }
    assert_eq!(count, 113);
}

/// Mistakes seen in published NEWS2 code: the mistake, observations that show it, the right
/// answer, the wrong one.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("scale 2 for everyone on oxygen", "oxygen, spo2 90", "spo2 3", "spo2 0"),
    ("scale 2 chosen by a diagnosis", "scale 1, spo2 89", "spo2 3", "spo2 0"),
    ("scale 2 ignored", "scale 2, spo2 89", "spo2 0", "spo2 3"),
    ("no scale 2 at all", "scale 2, oxygen, spo2 97", "spo2 3", "spo2 0"),
    ("scale 2 penalises a high SpO2 on air", "scale 2, spo2 97", "spo2 0", "spo2 3"),

    ("a missing rate is 0 breaths", "respiratory_rate -", "respiratory_rate missing", "respiratory_rate 3"),
    ("a missing value is 0", "spo2 -", "spo2 missing", "spo2 3"),
    ("NaN is 0", "spo2 NaN", "spo2 missing", "spo2 3"),
    ("a missing value is normal", "pulse -", "pulse_rate missing", "pulse_rate 0"),
    ("a missing value scores 0 in the sum", "temperature -", "total at least 0", "total 0"),
    ("unknown oxygen is air", "oxygen -", "oxygen_flow missing", "oxygen_flow 0"),
    ("a pressure that cannot be read is 120/80", "systolic_pressure -/-", "systolic_pressure missing", "systolic_pressure 0"),
    ("a missing temperature is 98.6, read as Celsius", "temperature -", "body_temperature missing", "body_temperature 2"),
    ("a high temperature is taken for Fahrenheit", "temperature 98.6", "body_temperature 2", "body_temperature 0"),

    ("any single 3 is high", "respiratory_rate 25", "risk low-medium", "risk high"),
    ("no rule of the single 3", "respiratory_rate 25", "risk low-medium", "risk low"),
    ("a total of 3 to 4 is medium", "respiratory_rate 21, pulse 91", "risk low", "risk medium"),
    ("a total of 0 and one of 1 to 4 are merged", "respiratory_rate 9", "total 1", "total 0"),

    ("'A' is not alert", "consciousness A", "consciousness 0", "consciousness 3"),
    ("no new confusion", "consciousness C", "consciousness 3", "consciousness missing"),
    ("consciousness graded 0 to 3", "consciousness V", "consciousness 3", "consciousness 1"),

    ("36.05 falls between bands", "temperature 36.05", "body_temperature 0", "body_temperature missing"),
    ("91.5 falls between bands", "spo2 91.5", "spo2 2", "spo2 0"),
    ("91.9 is cut off to 91", "spo2 91.9", "spo2 2", "spo2 3"),
    ("a pressure above 255 wraps around", "systolic_pressure 356", "systolic_pressure 3", "systolic_pressure 2"),

    ("lower edges: systolic 110", "systolic_pressure 110", "systolic_pressure 1", "systolic_pressure 0"),
    ("lower edges: pulse 130", "pulse 130", "pulse_rate 2", "pulse_rate 3"),
    ("lower edges: pulse 110", "pulse 110", "pulse_rate 1", "pulse_rate 2"),
    ("lower edges: pulse 50", "pulse 50", "pulse_rate 1", "pulse_rate 0"),
    ("lower edges: 39.0 °C", "temperature 39.0", "body_temperature 1", "body_temperature 2"),
    ("lower edges: 38.0 °C", "temperature 38.0", "body_temperature 0", "body_temperature 1"),
    ("lower edges: 35.0 °C", "temperature 35.0", "body_temperature 3", "body_temperature 1"),
    ("below 35 °C is 2", "temperature 34.9", "body_temperature 3", "body_temperature 2"),
    ("strictly below 35 °C", "temperature 35.0", "body_temperature 3", "body_temperature 1"),

    ("a pulse of 50 or less is grouped with 111 to 130", "pulse 45", "pulse_rate 1", "pulse_rate 2"),
    ("a rate of 12 to 20 scores", "respiratory_rate 16", "respiratory_rate 0", "respiratory_rate 1"),
    ("a systolic pressure of 220 scores 1", "systolic_pressure 220", "systolic_pressure 3", "systolic_pressure 1"),
    ("a pulse of 41 to 50 scores 0", "pulse 41", "pulse_rate 1", "pulse_rate 0"),
    ("a rate of 9 to 11 is normal", "respiratory_rate 10", "respiratory_rate 1", "respiratory_rate 0"),
    ("SpO2 91 is in the band of 92", "spo2 91", "spo2 3", "spo2 2"),
    ("SpO2 95 is normal", "spo2 95", "spo2 1", "spo2 0"),
    ("oxygen scores only with a normal SpO2", "oxygen, spo2 91", "oxygen_flow 2", "oxygen_flow 0"),
    ("oxygen is left out of the total", "oxygen, spo2 91", "total 5", "total 3"),
];

#[test]
fn the_mistakes_of_others_are_not_ours() {
    for (mistake, words, right, wrong) in MISTAKES {
        let answers = answers(&score(words));
        assert!(answers.iter().any(|answer| answer == right), "{mistake}: {answers:?}");
        assert!(answers.iter().all(|answer| answer != wrong), "{mistake}: {answers:?}");
    }
}

fn check(words: &str, expected: &[&str]) {
    let answers = answers(&score(words));
    for answer in expected {
        assert!(answers.iter().any(|given| given == answer), "{words}: {answer}: {answers:?}");
    }
}

#[test]
fn with_oxygen_unknown_scale_two_counts_spo2_as_on_air() {
    check("scale 2, oxygen -, spo2 98", &["spo2 0", "oxygen_flow missing", "total at least 0"]);
    check("scale 2, oxygen -, spo2 84", &["spo2 2", "oxygen_flow missing", "total at least 2"]);
}

#[test]
fn an_incomplete_score_still_reaches_its_band() {
    check("consciousness -, respiratory_rate 25, pulse 131", &["total at least 6", "risk medium"]);
    check("consciousness -, respiratory_rate 25", &["total at least 3", "risk low-medium"]);
}

#[test]
fn of_nothing_everything_is_missing() {
    let nothing = News2::of(&Observations::default(), SpO2Scale::One);
    assert_eq!(nothing.missing().collect::<Vec<_>>(), PARAMETERS);
    assert_eq!((nothing.total(), nothing.risk()), (0, Risk::Low));
}

/// Points fall to 0 and then rise.
fn check_rises_from_normal(chart: &str, points: fn(i64) -> u8) {
    let points: Vec<u8> = (0..=500).map(points).collect();
    let normal = points.iter().position(|points| *points == 0).expect("some value is normal");
    let (below, above) = points.split_at(normal);
    assert!(below.is_sorted_by(|lower, higher| lower >= higher), "{chart}");
    assert!(above.is_sorted(), "{chart}");
}

#[test]
fn further_from_normal_never_scores_less() {
    check_rises_from_normal("respiratory rate", respiratory_rate);
    check_rises_from_normal("SpO2, scale 1", spo2_on_scale_one);
    check_rises_from_normal("SpO2, scale 2 on air", |percent| spo2_on_scale_two(percent, false));
    check_rises_from_normal("SpO2, scale 2 on oxygen", |percent| spo2_on_scale_two(percent, true));
    check_rises_from_normal("systolic pressure", systolic_pressure);
    check_rises_from_normal("pulse", pulse);
    check_rises_from_normal("temperature", temperature);
}

fn values(low: i64, high: i64) -> impl Strategy<Value = Option<Quantity>> {
    let values = low * 10_000..=high * 10_000;
    proptest::option::weighted(0.8, values.prop_map(Quantity::from_ten_thousandths))
}

fn scales() -> impl Strategy<Value = SpO2Scale> {
    prop_oneof![Just(SpO2Scale::One), Just(SpO2Scale::Two)]
}

prop_compose! {
    fn observations()(
        respiratory_rate in values(0, 60),
        spo2 in values(60, 100),
        oxygen in any::<Option<bool>>(),
        systolic_pressure in values(40, 300),
        pulse in values(0, 250),
        consciousness in (1..=6).prop_map(Acvpu::from_number),
        temperature in values(30, 43),
    ) -> Observations {
        Observations {
            respiratory_rate, spo2, oxygen, systolic_pressure, pulse, consciousness, temperature,
        }
    }
}

/// The same observations with one parameter taken away.
fn without(parameter: Vital, known: &Observations) -> Observations {
    let mut known = *known;
    match parameter {
        Vital::RespiratoryRate => known.respiratory_rate = None,
        Vital::Spo2 => known.spo2 = None,
        Vital::OxygenFlow => known.oxygen = None,
        Vital::SystolicPressure => known.systolic_pressure = None,
        Vital::PulseRate => known.pulse = None,
        Vital::Consciousness => known.consciousness = None,
        _ => known.temperature = None,
    }
    known
}

proptest! {
    #[test]
    fn a_parameter_that_goes_missing_never_raises_the_score(
        known in observations(), scale in scales(),
    ) {
        let full = News2::of(&known, scale);
        for parameter in PARAMETERS {
            let less = News2::of(&without(parameter, &known), scale);
            prop_assert!(less.total() <= full.total() && less.risk() <= full.risk(), "{parameter}");
            prop_assert!(less.missing().any(|missing| missing == parameter));
        }
    }

    #[test]
    fn the_total_is_the_sum_and_at_most_20(known in observations(), scale in scales()) {
        let found = News2::of(&known, scale);
        let sum: u8 = found.points().filter_map(|(_, points)| points).sum();
        prop_assert!(found.total() == sum && sum <= 20);
        prop_assert_eq!(found.is_complete(), found.missing().count() == 0);
    }

    #[test]
    fn a_rounded_value_scores_as_the_value_it_was_rounded_from(
        known in observations(), scale in scales(),
    ) {
        let whole = |value: Option<Quantity>| value.map(|value| Quantity::whole(to_whole(value)));
        let tenths = |value| Quantity::from_ten_thousandths(to_tenths(value) * 1_000);
        let rounded = Observations {
            respiratory_rate: whole(known.respiratory_rate),
            spo2: whole(known.spo2),
            systolic_pressure: whole(known.systolic_pressure),
            pulse: whole(known.pulse),
            temperature: known.temperature.map(tenths),
            ..known
        };
        prop_assert_eq!(News2::of(&rounded, scale), News2::of(&known, scale));
    }

    #[test]
    fn rounding_keeps_within_half_a_step_and_takes_halves_up(value in -9_000_000..9_000_000_i64) {
        let rounded = to_whole(Quantity::from_ten_thousandths(value)) * 10_000;
        prop_assert!((-4_999..=5_000).contains(&(rounded - value)));
    }
}
