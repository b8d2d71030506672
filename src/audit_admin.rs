//! `pulseward audit verify`: recomputes the audit chain in the database and names its first broken
//! link.
//!
//! It reads the database itself, by the configuration of the service, and not through the service:
//! whoever checks a record should not have to trust the one who keeps it. What it prints last is
//! the head of each chain, which is to be kept elsewhere, and given back the next time: only so are
//! events found missing that were the latest, or a chain that was written anew.

use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::store::audit::verify::{ExportedHead, VerifiedChain, VerifyError, verify};
use crate::store::{self, open_history};

/// How often the progress is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(200);
/// Spans of erased events that are named on a line.
const SPANS_NAMED_MAX: usize = 20;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Recompute the chain of audit events in the database; name its first broken link, or print
    /// where it ends.
    Verify(Verify),
}

/// What is verified, and against what.
#[derive(Debug, Args)]
pub struct Verify {
    /// The configuration of the service, whose database is read.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// A head that an earlier run printed: the chain must still contain it. May be given several
    /// times.
    #[arg(long = "head", value_name = "HEAD")]
    pub heads: Vec<ExportedHead>,
}

/// Why the chain was not found whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is broken, or can't be read.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Nobody takes what is printed.
    #[error("printing")]
    Print(#[from] io::Error),
}

/// Verifies all chains of a store, and prints what it found.
///
/// # Errors
/// When a chain is broken, the database is not there, or nobody takes the lines.
pub async fn run(
    settings: &store::Settings,
    heads: &[ExportedHead],
    out: &mut impl Write,
) -> Result<(), Error> {
    let bar = bar();
    let history = open_history(settings);
    let chains = verify(&*history, heads, |events| bar.inc(events)).await;
    bar.finish_and_clear();
    let chains = chains?;
    if chains.is_empty() {
        writeln!(out, "there are no audit events")?;
    }
    for chain in &chains {
        tell(chain, out)?;
    }
    Ok(())
}

fn tell(chain: &VerifiedChain, out: &mut impl Write) -> io::Result<()> {
    let VerifiedChain { partition, head, erased, erased_spans } = chain;
    writeln!(out, "partition {}: {} events, the chain is whole", partition.0, head.number)?;
    if *erased > 0 {
        writeln!(out, "erased details: {erased} events: {}", spans(erased_spans))?;
    }
    writeln!(out, "head {}", ExportedHead { partition: *partition, head: *head })
}

fn spans(spans: &[RangeInclusive<u64>]) -> String {
    let span = |span: &RangeInclusive<u64>| match (span.start(), span.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let named: Vec<_> = spans.iter().take(SPANS_NAMED_MAX).map(span).collect();
    let more = if spans.len() > SPANS_NAMED_MAX { ", ..." } else { "" };
    format!("{}{more}", named.join(", "))
}

/// Drawn on stderr, and only on a terminal. How many events there are is known at the end.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} events, {per_sec}");
    let bar = ProgressBar::new_spinner()
        .with_style(style.expect("the template is fixed, and a test draws it"));
    bar.enable_steady_tick(DRAWN_EVERY);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audit::{Digest, Head};
    use crate::position::Partition;

    #[test]
    fn a_chain_is_told_with_what_was_erased_and_its_head() {
        drop(bar());
        let head = Head { number: 40, digest: Digest([0xab; 32]) };
        let erased_spans = vec![5..=5, 17..=18];
        let chain = VerifiedChain { partition: Partition(0), head, erased: 3, erased_spans };
        let mut out = Vec::new();
        tell(&chain, &mut out).expect("a vector takes it");
        let expected = format!(
            "partition 0: 40 events, the chain is whole\nerased details: 3 events: 5, 17-18\n\
             head 0:40:{}\n",
            "ab".repeat(32)
        );
        assert_eq!(String::from_utf8(out).expect("text"), expected);
        let many: Vec<_> = (0..30).map(|n| n * 2..=n * 2).collect();
        assert!(spans(&many).ends_with("38, ..."), "{}", spans(&many));
    }
}
