//! `docs/alarms.md` tells what the engine does, with diagrams: this makes them, by running it.
//!
//! Each scenario runs through the engine's public door and is drawn as text. The page holds each
//! drawing between markers, and the test fails where the page says something else than the engine
//! does now. `PULSEWARD_WRITE_DOCS=1` rewrites the page instead; what changed is then for people to
//! read, and to sign off.

mod constants;
mod draw;
mod page;
mod scenarios;
mod story;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use pulseward::engine::alerts::Phase;

use crate::story::{Line, Story};

fn block(text: &str) -> String {
    format!("```text\n{}\n```", text.trim_end())
}

fn stories() -> BTreeMap<&'static str, Story> {
    let mut stories = BTreeMap::new();
    for (name, tell) in scenarios::ALL.iter().flat_map(|of_chapter| of_chapter.iter()) {
        assert!(stories.insert(*name, tell()).is_none(), "two scenarios are called {name}");
    }
    stories
}

#[test]
fn the_page_shows_what_the_engine_does() {
    let mut diagrams: BTreeMap<&str, String> = BTreeMap::new();
    for (name, story) in stories() {
        diagrams.insert(name, block(&draw::draw(&story)));
    }
    diagrams.insert("constants", constants::table());
    let path = page::path();
    let held = std::fs::read_to_string(&path).expect("the page is there");
    let now = page::fill(&held, &diagrams).unwrap_or_else(|wrong| panic!("{wrong}"));
    if std::env::var_os(page::WRITE).is_some_and(|it| it == "1") {
        return std::fs::write(&path, now).expect("the page can be written");
    }
    let differences = page::differences(&held, &now);
    assert!(
        differences.is_empty(),
        "docs/alarms.md says (-) what the engine does not do (+):\n{differences}\n\
         read it, and if it is meant, run this test with {}=1",
        page::WRITE
    );
}

#[test]
fn every_phase_is_shown_by_some_diagram() {
    let mut shown = BTreeSet::new();
    for story in stories().values() {
        for (_, line) in &story.lines {
            if let Line::Alert(event) = line {
                shown.insert(event.phase);
            }
        }
    }
    assert_eq!(shown, BTreeSet::from(Phase::ALL));
}
