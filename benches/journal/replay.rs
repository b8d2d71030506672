//! The way back: reading entries, following from disk, and a whole recovery through the engine.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use pulseward::clock::Timestamp;
use pulseward::engine;
use pulseward::engine::input::{Event, Input};
use pulseward::engine::output::Output;
use pulseward::engine::snapshot::Captured;
use pulseward::journal::{self, BlobKey, Entry, Opened, Record, Settings, Writer};
use pulseward::partition::{self, Guard, Quarantine};
use pulseward::position::Position;

use super::ward::{Load, PANEL, Ward};
use super::{next_records, rate};

const PATIENTS: u32 = 1000;
/// Messages of five panels each.
const MESSAGES: u32 = 100_000;
const PER_COMMIT: u32 = 500;

/// Messages of one reading, to be read only.
const PLAIN_MESSAGES: u64 = 800_000;

/// Reads what commits left, as a start and as a follower do.
pub(crate) fn entries(dir: &Path) -> Result<()> {
    {
        let Opened { mut writer, .. } = journal::open(&Settings::new(dir))?;
        while writer.last().0 < PLAIN_MESSAGES {
            writer.commit(next_records(&writer, u64::from(PER_COMMIT)))?;
        }
    }
    let begin = Instant::now();
    let Opened { journal, writer, .. } = journal::open(&Settings::new(dir))?;
    println!("open after {} messages: {:.1?}", journal.last(), begin.elapsed());
    let begin = Instant::now();
    let mut after = Position::START;
    while after < journal.last() {
        after = journal.read(after, 1 << 20)?.last().context("entries")?.position;
    }
    println!("read: {:>8.0} messages/s", rate(after.0, begin.elapsed()));

    drop(writer);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let mut follower = journal.follow(Position::START)?;
    let begin = Instant::now();
    runtime.block_on(async {
        while follower.next().await?.is_some() {}
        anyhow::Ok(())
    })?;
    println!("follower from disk: {:>8.0} messages/s", rate(after.0, begin.elapsed()));
    Ok(())
}

/// Recovers a ward: its checkpoint, and what was journaled behind it, through the engine.
pub(crate) fn engine(dir: &Path) -> Result<()> {
    let mut ward = Ward::new(PATIENTS, 5 * PANEL, Load::Ward);
    let (mut bytes, state_bytes);
    {
        let Opened { mut writer, .. } = journal::open(&Settings::new(dir))?;
        let begins = Input { received_at: Timestamp::MIN, event: Event::Tick };
        writer.commit(vec![next(&writer, 1, begins, vec![])])?;
        state_bytes = checkpoint(&mut ward, &mut writer)?;
        bytes = 0;
        for _ in 0..MESSAGES / PER_COMMIT {
            let mut records = Vec::new();
            for (number, input) in (1..).zip(ward.inputs(Load::Ward, PER_COMMIT)) {
                let mut outputs = Vec::new();
                engine::apply(&mut ward.state, &input, &mut outputs);
                records.push(next(&writer, number, input, outputs));
            }
            bytes += records.iter().map(|record| record.bytes.len()).sum::<usize>();
            writer.commit(records)?;
        }
    }
    let begin = Instant::now();
    let Opened { journal, checkpoint, writer: _writer } = journal::open(&Settings::new(dir))?;
    let guard = Guard::new(Quarantine::open(dir)?);
    let opened = begin.elapsed();
    let begin = Instant::now();
    let recovered = partition::recover(&journal, checkpoint, guard)?;
    let took = begin.elapsed();
    anyhow::ensure!(recovered.position == journal.last(), "recovered to the end");
    let readings = u64::from(MESSAGES) * u64::from(ward.readings());
    println!(
        "recovery of {PATIENTS} patients through the engine: {took:.1?} after an open of \
         {opened:.1?}, {:>8.0} messages/s, {:>8.0} readings/s; a message of {} readings is {} \
         bytes of journal, a patient {} of checkpoint",
        rate(u64::from(MESSAGES), took),
        rate(readings, took),
        ward.readings(),
        bytes / usize::try_from(MESSAGES)?,
        state_bytes / usize::try_from(PATIENTS)?,
    );
    Ok(())
}

/// The record that stands so many positions behind the last one.
fn next(writer: &Writer, number: u64, input: Input, outputs: Vec<Output>) -> Record {
    let position = Position(writer.last().0 + number);
    Record::new(Arc::new(Entry { position, input, outputs }))
}

/// Writes all of the state; gives its bytes.
fn checkpoint(ward: &mut Ward, writer: &mut Writer) -> Result<usize> {
    let put = |writer: &mut Writer, row: &Captured| {
        let (key, bytes) = row.encode();
        let (length, key) = (bytes.len(), BlobKey { kind: key.kind as u8, id: key.id.into() });
        writer.checkpoint_put(key, bytes.into()).map(|()| length)
    };
    let mut bytes = put(writer, &ward.state.begin_snapshot())?;
    loop {
        let rows = ward.state.capture(4096);
        if rows.is_empty() {
            writer.checkpoint_complete(writer.last())?;
            return Ok(bytes);
        }
        for row in &rows {
            bytes += put(writer, row)?;
        }
    }
}
