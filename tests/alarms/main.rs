//! `docs/alarms.md` tells what the engine does, with diagrams: this makes them, by running it.
//!
//! Each scenario runs through the engine's public door and is drawn as text. The page holds each
//! drawing between markers, and the test fails where the page says something else than the engine
//! does now. `PULSEWARD_WRITE_DOCS=1` rewrites the page instead; what changed is then for people to
//! read, and to sign off.

mod constants;
mod draw;
mod oracle;
#[path = "../support/page.rs"]
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
    page::check("alarms.md", &diagrams);
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
