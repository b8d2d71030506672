//! How fast the engine takes readings in, how much it keeps of a patient, and how long it stands
//! still for a checkpoint.
//!
//! `cargo bench --bench engine [-- PATIENTS]`: at 1,000, 100,000 and 1,000,000 patients, or at
//! most at PATIENTS, with the default profile for adults. Everything goes through
//! [`engine::apply`] on one thread, as the service does it: a message from the broker in, its
//! outputs in a vector of their own out. A time per reading is that of the whole message divided
//! by its readings: topic, decoding, admission, rules, alerts and outputs. It is processor time
//! where the system tells it, so that waiting for a core on a shared machine does not count; what
//! neighbours do to caches still does. Sizes are measured in turns, so that this meets all of them
//! alike; what is printed are the median and the fastest turn. Latencies are by the wall clock.
//!
//! Memory is what the process has resident more than before, so that it counts whatever the
//! allocator adds. That of the accounts of devices' intakes cannot be told from the rest that way:
//! it is summed up, device by device, from the sizes of what each has allocated, rounded up as the
//! allocator does.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod checkpoint;
mod timing;
mod ward;

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use pulseward::engine;
use pulseward::engine::input::Input;

use self::timing::{Turns, machine, running_for};
use self::ward::{Load, PANEL, ROUNDS_OF_BOOT, Ward};

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
/// Messages made and then applied at a time: they are in a cache, as they are in the service, and
/// leave room there for a small ward.
const MESSAGES: u32 = 512;
/// Readings of a turn: about a quarter of a second.
const TURN_READINGS: u32 = 1_000_000;
const TURNS: usize = 7;

fn main() -> Result<()> {
    let most = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let most: u32 = most.map_or(Ok(SIZES[2]), |most| most.parse()).context("PATIENTS")?;
    let sizes: Vec<u32> = SIZES.into_iter().filter(|size| *size <= most).collect();
    println!("{}", machine());
    loads();
    let mut wards = enroll(&sizes)?;
    sizes_in_turns(&mut wards);
    for ward in &mut wards {
        latencies(ward);
    }
    let largest = wards.pop().context("a size")?;
    drop(wards);
    checkpoint::measure(largest)?;
    // Last: what they leave free would hide what the wards take.
    accounts(most);
    Ok(())
}

/// What kinds of messages cost, at a thousand patients.
fn loads() {
    for (load, name) in Load::ALL {
        for readings in [PANEL, 5 * PANEL] {
            let mut ward = Ward::new(SIZES[0], readings, load);
            ward.deteriorate(load);
            let turns: Turns = (0..TURNS).map(|_| turn(&mut ward, load)).collect();
            println!("{name:<24} {readings:>2} a message: {turns}");
        }
    }
}

/// Devices whose accounts are measured.
const ACCOUNTS: u32 = 100_000;

/// What the accounts of numbered devices take: in order, and with four starts full of gaps.
fn accounts(most: u32) {
    for (load, name) in [(Load::Ward, "in order"), (Load::Lossy, "over lossy links")] {
        let mut ward = Ward::new(ACCOUNTS.min(most), PANEL, load);
        ward.pass(load, 4 * ROUNDS_OF_BOOT - 2);
        let (mut total, mut largest) = (0, 0);
        for bytes in ward.state.account_bytes() {
            total += bytes;
            largest = largest.max(bytes);
        }
        let devices = ward.state.account_bytes().count();
        println!(
            "{devices:>9} accounts {name}: {} bytes a device, {largest} at most",
            total / devices
        );
    }
}

/// Enrols a ward of each size; tells what it keeps.
fn enroll(sizes: &[u32]) -> Result<Vec<Ward>> {
    let mut wards = Vec::new();
    for patients in sizes {
        let before = resident()?;
        let begin = Instant::now();
        wards.push(Ward::new(*patients, 5 * PANEL, Load::Ward));
        let bytes = resident()?.saturating_sub(before);
        println!(
            "{patients:>9} patients enrolled and measured in {:?}: {} bytes a patient",
            begin.elapsed(),
            bytes / u64::from(*patients),
        );
    }
    Ok(wards)
}

fn sizes_in_turns(wards: &mut [Ward]) {
    let mut turns = vec![Vec::new(); wards.len()];
    for _ in 0..TURNS {
        for (turns, ward) in turns.iter_mut().zip(wards.iter_mut()) {
            turns.push(turn(ward, Load::Ward));
        }
    }
    for (turns, ward) in turns.into_iter().zip(wards) {
        println!("{:>9} patients: {}", ward.patients(), turns.into_iter().collect::<Turns>());
    }
}

/// Nanoseconds a reading, over a turn.
fn turn(ward: &mut Ward, load: Load) -> f64 {
    let messages = TURN_READINGS / ward.readings();
    let mut took = Duration::ZERO;
    for _ in 0..messages.div_ceil(MESSAGES) {
        let inputs = ward.inputs(load, MESSAGES);
        let mut kept = Vec::with_capacity(inputs.len());
        let begin = running_for();
        for input in &inputs {
            let mut outputs = Vec::new();
            black_box(engine::apply(&mut ward.state, input, &mut outputs));
            kept.push(outputs);
        }
        took += running_for().saturating_sub(begin);
    }
    let applied = messages.div_ceil(MESSAGES) * MESSAGES;
    took.as_secs_f64() * 1e9 / f64::from(applied * ward.readings())
}

/// How long single messages take.
fn latencies(ward: &mut Ward) {
    let mut took = Latencies::new();
    for _ in 0..TURN_READINGS / ward.readings() / MESSAGES {
        for input in ward.inputs(Load::Ward, MESSAGES) {
            took.apply(ward, &input);
        }
    }
    println!("{:>9} patients, a message of {}: {took}", ward.patients(), ward.readings());
}

/// How long messages took, one by one.
struct Latencies(Histogram<u64>);

impl Latencies {
    fn new() -> Self {
        Self(Histogram::new(3).expect("three digits are allowed"))
    }

    fn apply(&mut self, ward: &mut Ward, input: &Input) {
        let begin = Instant::now();
        let mut outputs = Vec::new();
        black_box(engine::apply(&mut ward.state, input, &mut outputs));
        self.record(begin.elapsed());
    }

    fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.record(nanos).expect("the histogram grows as it must");
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |quantile| Duration::from_nanos(self.0.value_at_quantile(quantile));
        write!(f, "p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}", at(0.5), at(0.99), at(0.999), at(1.0))
    }
}

/// Resident memory of this process, where the system tells.
fn resident() -> Result<u64> {
    const PAGE_BYTES: u64 = 4096;
    let Ok(statm) = fs::read_to_string("/proc/self/statm") else { return Ok(0) };
    let pages: u64 = statm.split(' ').nth(1).context("resident pages")?.parse()?;
    Ok(pages * PAGE_BYTES)
}
