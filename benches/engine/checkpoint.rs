//! A checkpoint while messages go on arriving, as the engine thread takes it, and the way back.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use pulseward::engine::snapshot::{BlobKey, Captured, Restoration};

use super::ward::{Load, Ward};
use super::{Latencies, MESSAGES, running_for};

/// Rows gathered between two batches of messages, as the service does it.
const CAPTURE_ROWS: usize = 4096;
/// Batches handed on and not yet encoded, as in the service.
const BATCHES_AHEAD: usize = 2;

type Blobs = Vec<(BlobKey, Vec<u8>)>;

/// Takes a whole checkpoint of a ward, restores it, and goes on from there.
pub(crate) fn measure(mut ward: Ward) -> Result<()> {
    let mut blobs = take(&mut ward);
    blobs.sort_unstable_by_key(|(key, _)| *key);
    let bytes: usize = blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    drop(ward);
    let begin = Instant::now();
    let mut restoration = Restoration::default();
    for (key, bytes) in &blobs {
        restoration.add(*key, bytes)?;
    }
    let added = begin.elapsed();
    let state = restoration.finish();
    println!(
        "restored from {} blobs of {} bytes in {:?}, {added:?} of it reading them; next deadline {:?}",
        blobs.len(),
        bytes / blobs.len(),
        begin.elapsed(),
        state.next_deadline(),
    );
    Ok(())
}

fn take(ward: &mut Ward) -> Blobs {
    let (hand_on, handed_on) = sync_channel(BATCHES_AHEAD);
    let committer = thread::spawn(move || encode(&handed_on));
    let mut gathering = Latencies::new();
    // The same without waiting for a core.
    let mut busy = Latencies::new();
    let mut applying = Latencies::new();
    let mut messages = 0;
    let whole = Instant::now();
    let general = ward.state.begin_snapshot();
    let began = whole.elapsed();
    hand_on.send(vec![general]).expect("the committer waits for more");
    loop {
        let (begin, begun) = (Instant::now(), running_for());
        let rows = ward.state.capture(CAPTURE_ROWS);
        gathering.record(begin.elapsed());
        busy.record(running_for().saturating_sub(begun));
        if rows.is_empty() {
            break;
        }
        hand_on.send(rows).expect("the committer waits for more");
        for input in ward.inputs(Load::Ward, MESSAGES) {
            applying.apply(ward, &input);
            messages += 1;
        }
    }
    let took = whole.elapsed();
    drop(hand_on);
    let (blobs, encoding) = committer.join().expect("encoding does not panic");
    println!(
        "checkpoint of {} patients: {took:?} with {messages} messages between",
        ward.patients()
    );
    println!("  beginning {began:?}; encoding, on another thread, {encoding:?}");
    println!("  gathering {CAPTURE_ROWS} rows: {gathering}");
    println!("  the same in processor time: {busy}");
    println!("  a message of {} meanwhile: {applying}", ward.readings());
    blobs
}

fn encode(handed_on: &Receiver<Vec<Captured>>) -> (Blobs, Duration) {
    let (mut blobs, mut took) = (Vec::new(), Duration::ZERO);
    while let Ok(rows) = handed_on.recv() {
        let begin = Instant::now();
        blobs.extend(rows.iter().map(Captured::encode));
        drop(rows);
        took += begin.elapsed();
    }
    (blobs, took)
}
