//! A page with parts that tests make: found by their markers, compared, and rewritten on demand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

const OPEN: &str = "<!-- diagram: ";
const OPENED: &str = " -->";
const CLOSE: &str = "<!-- end -->";

/// Set to 1, this makes a test rewrite its page instead of failing.
const WRITE: &str = "PULSEWARD_WRITE_DOCS";

/// Where the page of this name is.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// Asserts that the page shows every diagram as it is now, or makes it so if that is asked for.
///
/// # Panics
/// With what differs, and what to do.
pub(crate) fn check(name: &str, diagrams: &BTreeMap<&str, String>) {
    let path = path(name);
    let held = std::fs::read_to_string(&path).expect("the page is there");
    let now = fill(&held, diagrams).unwrap_or_else(|wrong| panic!("{wrong}"));
    if std::env::var_os(WRITE).is_some_and(|it| it == "1") {
        return std::fs::write(&path, now).expect("the page can be written");
    }
    let differences = differences(&held, &now);
    assert!(
        differences.is_empty(),
        "docs/{name} says (-) what is not so (+):\n{differences}\n\
         read it, and if it is meant, run this test with {WRITE}=1"
    );
}

/// The page with every diagram as it is now.
///
/// # Errors
/// What the page and the diagrams do not agree on: a marker that nothing fills, a diagram that no
/// marker asks for, one that is asked for twice.
fn fill(page: &str, diagrams: &BTreeMap<&str, String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut shown = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        writeln!(filled, "{line}").expect("a String takes all");
        let Some(name) = line.strip_prefix(OPEN).and_then(|it| it.strip_suffix(OPENED)) else {
            continue;
        };
        let Some(diagram) = diagrams.get(name) else {
            return Err(format!("the page asks for {name}, and no scenario tells it"));
        };
        if !lines.any(|line| line == CLOSE) {
            return Err(format!("after {name} there is no {CLOSE}"));
        }
        shown.push(name);
        writeln!(filled, "{}\n{CLOSE}", diagram.trim_end()).expect("a String takes all");
    }
    for name in diagrams.keys() {
        match shown.iter().filter(|it| *it == name).count() {
            1 => {}
            0 => return Err(format!("{name} is told, and the page does not show it")),
            count => return Err(format!("the page shows {name} {count} times")),
        }
    }
    Ok(filled)
}

/// Where two pages differ, a block of changed lines each, with the heading above it.
fn differences(held: &str, now: &str) -> String {
    let (held, now): (Vec<_>, Vec<_>) = (held.lines().collect(), now.lines().collect());
    let mut text = String::new();
    let (mut left, mut right) = (0, 0);
    while left < held.len() || right < now.len() {
        if left < held.len() && right < now.len() && held[left] == now[right] {
            (left, right) = (left + 1, right + 1);
            continue;
        }
        let (left_end, right_end) = rejoin(&held, &now, left, right);
        let of = held[..left].iter().rev().find_map(|line| line.strip_prefix(OPEN));
        writeln!(text, "in {}", of.map_or("the page", |it| it.trim_end_matches(OPENED)))
            .expect("a String takes all");
        for line in &held[left..left_end] {
            writeln!(text, "  - {line}").expect("a String takes all");
        }
        for line in &now[right..right_end] {
            writeln!(text, "  + {line}").expect("a String takes all");
        }
        (left, right) = (left_end, right_end);
    }
    text
}

/// The nearest places from which on both have the same line again.
fn rejoin(held: &[&str], now: &[&str], left: usize, right: usize) -> (usize, usize) {
    let most = (held.len() - left) + (now.len() - right);
    for distance in 1..=most {
        for ahead in 0..=distance {
            let (l, r) = (left + ahead, right + distance - ahead);
            if l < held.len() && r < now.len() && held[l] == now[r] && !held[l].is_empty() {
                return (l, r);
            }
        }
    }
    (held.len(), now.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&'static str]) -> BTreeMap<&'static str, String> {
        names.iter().map(|name| (*name, format!("of {name}"))).collect()
    }

    #[test]
    fn what_is_between_the_markers_is_replaced_and_nothing_else() {
        let page = "a\n<!-- diagram: one -->\nold\n<!-- end -->\nb\n";
        let filled = fill(page, &told(&["one"]));
        assert_eq!(filled.as_deref(), Ok("a\n<!-- diagram: one -->\nof one\n<!-- end -->\nb\n"));
    }

    #[test]
    fn a_marker_without_a_scenario_and_a_scenario_without_a_marker_are_errors() {
        let page = "<!-- diagram: one -->\n<!-- end -->\n";
        for names in [&["two"][..], &["one", "two"], &[]] {
            fill(page, &told(names)).expect_err("they do not agree");
        }
        fill(&page.repeat(2), &told(&["one"])).expect_err("shown twice");
        fill("<!-- diagram: one -->\n", &told(&["one"])).expect_err("never closed");
    }

    #[test]
    fn a_difference_names_its_diagram_and_both_sides() {
        let held = "x\n<!-- diagram: one -->\n1\n2\n3\n<!-- end -->\n";
        let now = "x\n<!-- diagram: one -->\n1\nzwei\n3\n<!-- end -->\n";
        assert_eq!(differences(held, now), "in one\n  - 2\n  + zwei\n");
        assert_eq!(differences(held, held), "");
    }
}
