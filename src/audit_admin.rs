//! `pulseward audit verify`: recomputes the audit chain in the database and names its first broken
//! link.
//!
//! It reads the database itself, by the configuration of the service, and not through the service:
//! whoever checks a record should not have to trust the one who keeps it. What it prints last is
//! the head of each chain, which is to be kept elsewhere, and given back the next time: only so are
//! events found missing that were the latest, or a chain that was written anew.

use std::fs::File;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::store::audit::verify::{ExportedHead, InvalidHead, VerifiedChain, VerifyError, verify};
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
    /// A file of heads, to be kept where those who administer the database can't write: the chain
    /// must still contain all of them. Where it does, the head that it has now is added.
    #[arg(long = "heads", value_name = "FILE")]
    pub kept: Option<PathBuf>,
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
    /// The file of heads can't be read.
    #[error("reading {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What stands in the file is no head.
    #[error("{path}, line {line}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: InvalidHead,
    },
    /// The file of heads takes no more.
    #[error("adding the head to {path}")]
    Keep {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Verifies all chains of a store, and prints what it found.
///
/// # Errors
/// When a chain is broken, the database is not there, nobody takes the lines, or the file of heads
/// can't be read or written.
pub async fn run(
    settings: &store::Settings,
    task: &Verify,
    out: &mut impl Write,
) -> Result<(), Error> {
    let mut heads = task.heads.clone();
    if let Some(path) = &task.kept {
        heads.extend(read_heads(path)?);
    }
    let bar = bar();
    let history = open_history(settings);
    let chains = verify(&*history, &heads, |events| bar.inc(events)).await;
    bar.finish_and_clear();
    let chains = chains?;
    if chains.is_empty() {
        writeln!(out, "there are no audit events")?;
    }
    for chain in &chains {
        tell(chain, out)?;
    }
    match &task.kept {
        Some(path) => {
            let keeping = |source| Error::Keep { path: path.clone(), source };
            keep_heads(path, &heads, &chains).map_err(keeping)
        }
        None => Ok(()),
    }
}

/// The heads of a file, a line each; none if there is no such file yet.
fn read_heads(path: &Path) -> Result<Vec<ExportedHead>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let head = |(line, text): (usize, &str)| {
        text.parse().map_err(|source| Error::Line { path: path.to_owned(), line: line + 1, source })
    };
    text.lines().enumerate().map(head).collect()
}

/// Adds what is not there yet, and never changes what is: the file may be one that only grows.
fn keep_heads(
    path: &Path,
    heads: &[ExportedHead],
    chains: &[VerifiedChain],
) -> Result<(), io::Error> {
    let ends = chains.iter().map(|it| ExportedHead { partition: it.partition, head: it.head });
    let new: String = ends.filter(|it| !heads.contains(it)).map(|it| format!("{it}\n")).collect();
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(new.as_bytes())?;
    file.sync_all()
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
    fn heads_are_kept_a_line_each_and_what_is_there_stays() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let path = dir.path().join("heads");
        assert!(read_heads(&path).expect("none yet").is_empty());
        let chain = |number| {
            let head = Head { number, digest: Digest([0xab; 32]) };
            let (partition, erased_spans) = (Partition(0), Vec::new());
            VerifiedChain { partition, head, erased: 0, erased_spans }
        };
        for number in [1, 1, 2] {
            let heads = read_heads(&path).expect("heads");
            keep_heads(&path, &heads, &[chain(number)]).expect("kept");
        }
        let numbers = |heads: Vec<ExportedHead>| -> Vec<u64> {
            heads.iter().map(|head| head.head.number).collect()
        };
        assert_eq!(numbers(read_heads(&path).expect("heads")), [1, 2]);
        std::fs::write(&path, "0:1:zz\n").expect("written");
        let wrong = read_heads(&path).expect_err("no head");
        assert!(matches!(wrong, Error::Line { line: 1, .. }), "{wrong}");
    }

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
