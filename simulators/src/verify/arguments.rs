//! The command line of `pulseward-sim verify`.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;

use super::Settings;

/// Hold a recorded run against what the service has stored and raised.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The record of the run, as `fleet` wrote it.
    #[arg(long, value_name = "DIR")]
    record: PathBuf,
    /// What the service stored: postgres://… or sqlite:PATH, as in its configuration.
    #[arg(long, value_name = "URL")]
    store: String,
    /// The service itself, for its alerts.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    grpc: String,
    /// A file with the token to ask with.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Write the report in JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the report as a page that needs nothing but itself.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How long after the due time of its message an alert may be told.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span)]
    late_after: SignedDuration,
    /// How far the service's clock may be off this machine's.
    #[arg(long, value_name = "SPAN", default_value = "250ms", value_parser = span)]
    clocks_apart: SignedDuration,
    /// How long to wait at most until the service has stored everything.
    #[arg(long, value_name = "SPAN", default_value = "2m", value_parser = span)]
    patience: SignedDuration,
}

impl From<Arguments> for Settings {
    fn from(arguments: Arguments) -> Self {
        Self {
            record: arguments.record,
            store: arguments.store,
            grpc: arguments.grpc,
            token_file: arguments.token_file,
            report: arguments.report,
            html: arguments.html,
            late_after: arguments.late_after,
            clocks_apart: arguments.clocks_apart,
            patience: arguments.patience,
        }
    }
}

fn span(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(span) if !span.is_negative() => Ok(span),
        _ => Err(format!("{text:?} is no span such as 90s, 15m or 2h")),
    }
}
