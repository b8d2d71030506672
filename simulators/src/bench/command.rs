//! What `pulseward-sim bench` does: measures, then tells people and programs.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};

use super::arguments::Arguments;
use super::{Report, Settings};

/// Measures and writes what was found; whether every target was met, or nobody asks. Ends early,
/// with an error and without servers left, once `interrupted` completes.
///
/// # Errors
/// If it can't be measured or written.
pub async fn run(arguments: &Arguments, interrupted: impl Future<Output = ()>) -> Result<bool> {
    let settings = Settings::from(arguments);
    let report = tokio::select! {
        report = super::run(&settings) => report?,
        () = interrupted => bail!("interrupted"),
    };
    writeln!(std::io::stdout(), "{report}").context("writing the table")?;
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(is_met(&report) || arguments.no_targets)
}

fn is_met(report: &Report) -> bool {
    let missed = report.rows.iter().filter(|row| row.is_met == Some(false));
    for row in missed {
        let _written = writeln!(std::io::stderr(), "missed: {} {}", row.part, row.name);
    }
    report.is_met()
}
