//! How far a run has come, for people, on standard error: a bar on a terminal, elsewhere a line now
//! and then.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::replay::Show;

const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows one stage of a run.
#[derive(Debug)]
pub(super) struct Bar {
    view: View,
    what: &'static str,
    total: u64,
    last_line: std::sync::Mutex<Instant>,
    done: std::sync::atomic::AtomicU64,
}

#[derive(Debug)]
enum View {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Bar {
    /// Of a stage that has so many steps, called by what they are.
    pub(super) fn new(show: Show, what: &'static str, total: u64) -> Self {
        let view = match show {
            Show::Nothing => View::Nothing,
            Show::Terminal if std::io::stderr().is_terminal() => View::Bar(bar(what, total)),
            Show::Terminal => View::Lines,
        };
        let last_line = std::sync::Mutex::new(Instant::now());
        Self { view, what, total, last_line, done: 0.into() }
    }

    /// One step more is done.
    pub(super) fn step(&self) {
        let done = self.done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        self.set(done, "");
    }

    /// So many steps are done; and a word on the present.
    pub(super) fn set(&self, done: u64, word: &str) {
        match &self.view {
            View::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(word.to_owned());
            }
            View::Lines => self.line(done, word),
            View::Nothing => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }

    fn line(&self, done: u64, word: &str) {
        let mut last = self.last_line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= LINE_EVERY || done == self.total {
            *last = Instant::now();
            let Self { what, total, .. } = self;
            let _nobody_reads = writeln!(std::io::stderr(), "{done} of {total} {what}{word}");
        }
    }
}

fn bar(what: &str, total: u64) -> ProgressBar {
    let template = format!("{{bar:30}} {{human_pos}}/{{human_len}} {what}, {{eta}} to go{{msg}}");
    let style = ProgressStyle::with_template(&template).expect("our templates are good");
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style)
}
