//! How far a benchmark has come: a bar on a terminal, else a line for each step. Both go to standard
//! error, so that standard output holds the table alone.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const TEMPLATE: &str = "{bar:30} {pos}/{len}  {wide_msg}  {elapsed}";

/// Shows steps, whose number is known.
#[derive(Debug)]
pub(super) struct Steps {
    bar: Option<ProgressBar>,
    done: u64,
    total: u64,
}

impl Steps {
    /// So many are to come.
    pub(super) fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(total));
        Self { bar, done: 0, total }
    }

    /// The next step begins.
    pub(super) fn begin(&mut self, what: &str) {
        self.done += 1;
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.done - 1);
                bar.set_message(what.to_owned());
            }
            None => write_line(&format!("{}/{}  {what}", self.done, self.total)),
        }
    }

    /// Says what came out of a step.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => write_line(&format!("      {line}")),
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).expect("the template is a constant");
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style)
}

/// A closed standard error is no reason to end a benchmark.
fn write_line(line: &str) {
    let _written = writeln!(std::io::stderr(), "{line}");
}
