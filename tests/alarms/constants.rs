//! The table of fixed constants, read from where they stand: name, value, place and reason.
//!
//! The reason is the constant's own documentation, so that there is one of it.

use std::fmt::Write as _;

/// File under `src/engine`, and names of constants in it.
const NAMED: &[(&str, &[&str])] = &[
    ("admit.rs", &["CLOCK_AHEAD_MAX", "LIVE_WINDOW_GRACE"]),
    ("admit/by_hand.rs", &["ENTRY_DELAY", "REMEMBERED_MAX"]),
    ("admit/unnumbered.rs", &["IDENTITY_WINDOW", "IDENTITIES_MAX", "PAYLOADS_MAX"]),
    ("admit/sequences.rs", &["BOOTS_MAX", "PACKED_BYTES_MAX"]),
    ("admit/skew.rs", &["BUCKET"]),
    ("admit/account.rs", &["TELL_EVERY"]),
    ("patient.rs", &["STALE_INTERVALS", "STALE_AFTER"]),
    ("rules/track.rs", &["DOUBTFUL"]),
    ("rules/trend.rs", &["SLICES_MAX", "TRIMMED_FROM"]),
    ("rules/baseline.rs", &["SLICES_MAX", "BINS_MAX", "LEARNED_Z_MAX", "RECKONED_EACH"]),
    ("rules/technical.rs", &["BATTERY_HYSTERESIS"]),
    ("status.rs", &["SKEW_MAX", "BEHIND_MESSAGES"]),
    ("outage/ingest.rs", &["INGEST_DELAY"]),
    ("attention.rs", &["DRAIN_MAX"]),
    ("late.rs", &["FOLDS_MAX"]),
    ("alerts/life.rs", &["ESCALATION_LEVEL_MAX"]),
    ("alerts/work.rs", &["PAUSE_MAX", "CLOSED_MAX"]),
    ("alerts/flood.rs", &["STARTS_MAX", "WINDOW"]),
    ("input.rs", &["BIND_AHEAD_MAX"]),
    ("registry.rs", &["BINDINGS_MAX"]),
    (
        "profile.rs",
        &["RULES_MAX", "LEVELS_MAX", "SPOT_READINGS_MAX", "DELAY_MAX", "ACTIONABLE_FOR", "MAX_AGE"],
    ),
];

/// The table in Markdown.
pub(crate) fn table() -> String {
    let mut text = String::from("| constant | value | where | what for |\n|---|---|---|---|\n");
    for (file, names) in NAMED {
        let path = format!("{}/src/engine/{file}", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&path).expect("the source is there");
        for name in *names {
            let (value, reason) = find(&source, name)
                .unwrap_or_else(|| panic!("{file} has no constant {name}; change this list"));
            writeln!(text, "| `{name}` | {value} | `{file}` | {reason} |").expect("fits");
        }
    }
    text
}

/// The value of a constant, and its documentation.
fn find(source: &str, name: &str) -> Option<(String, String)> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declares = format!("const {name}: ");
    let at = lines.iter().position(|line| line.contains(&declares))?;
    let (_, value) = lines[at].trim_end_matches(';').split_once(" = ")?;
    let above = lines[..at].iter().rev().map_while(|line| line.strip_prefix("///"));
    let mut reason: Vec<&str> = above.map(str::trim).collect();
    reason.reverse();
    Some((in_words(value), reason.join(" ").replace("[`", "`").replace("`]", "`")))
}

/// A value as people write it: products multiplied, spans in their largest unit.
fn in_words(value: &str) -> String {
    let product = |text: &str| -> Option<u64> {
        text.split('*').map(|factor| factor.trim().parse::<u64>().ok()).product()
    };
    let seconds = value.strip_prefix("Duration::from_secs(").and_then(|it| it.strip_suffix(')'));
    if let Some(seconds) = seconds.and_then(product) {
        return crate::words::span(std::time::Duration::from_secs(seconds));
    }
    if let Some(number) = value.strip_prefix("Quantity::whole(").and_then(|it| it.strip_suffix(')'))
    {
        return number.to_owned();
    }
    if let Some(spot) = value.strip_prefix("Spot { n: ") {
        let mut parts = spot.trim_end_matches(" }").split(", ");
        let (n, of, within) = (parts.next(), parts.next(), parts.next());
        let of = of.and_then(|it| it.strip_prefix("of: "));
        let within = within.and_then(|it| it.strip_prefix("within: ")).map(in_words);
        if let (Some(n), Some(of), Some(within)) = (n, of, within) {
            return format!("{n} of {of} within {within}");
        }
    }
    product(value).map_or_else(|| format!("`{value}`"), |number| number.to_string())
}
