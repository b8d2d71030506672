//! How fast messages become readings: decoding in both encodings, and admission.
//!
//! `cargo bench --bench intake`. Decoding is [`decode::batch`] alone. Admission is
//! [`engine::apply`] on devices bound to patients without any rule, less the decoding of the same
//! messages: finding the device, numbers, clocks, bindings, ranges, and the outputs. A thousand
//! devices take turns. Times are processor time of this thread where the system tells it, so that
//! waiting for a core on a shared machine does not count; the median and the fastest of several
//! turns are printed, with the machine.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

#[path = "../engine/timing.rs"]
mod timing;
mod traffic;

use std::hint::black_box;
use std::mem::size_of;

use pulseward::engine;
use pulseward::engine::decode;
use pulseward::engine::input::{Encoding, Event, Input, Settings};
use pulseward::engine::output::{Output, Reading};

use self::timing::{Turns, machine, running_for};
use self::traffic::Traffic;

/// Messages made and then taken in at a time: they are in a cache, as they are in the service.
const MESSAGES: u32 = 1_000;
/// Readings of a turn: about a quarter of a second.
const TURN_READINGS: u32 = 400_000;
const TURNS: usize = 9;

fn main() {
    println!("{}", machine());
    println!("a reading: {} bytes, an output: {}", size_of::<Reading>(), size_of::<Output>());
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        for readings in [20, 1] {
            let mut traffic = Traffic::new(encoding, readings);
            let bytes = traffic.inputs(1)[0].clone();
            let Event::Publish(publish) = &bytes.event else { unreachable!("all are messages") };
            let name = format!("{encoding:?}, {readings} a message");
            println!("{name}: {} bytes a message", publish.payload.len());
            let decoded = turns(&mut traffic, decode_all);
            println!("{name:<24} decode:           {decoded}");
            let applied = turns(&mut traffic, apply_all);
            println!("{name:<24} decode and admit: {applied}");
            let admit = applied.median() - decoded.median();
            let rate = 1e3 / admit;
            println!(
                "{name:<24} so admit alone:   {admit:>6.0} ns a reading ({rate:.2} M readings/s)"
            );
        }
    }
}

fn turns(traffic: &mut Traffic, take: fn(&mut Traffic, &[Input])) -> Turns {
    (0..TURNS).map(|_| turn(traffic, take)).collect()
}

/// Nanoseconds a reading, over a turn.
fn turn(traffic: &mut Traffic, take: fn(&mut Traffic, &[Input])) -> f64 {
    let rounds = TURN_READINGS.div_ceil(traffic.readings() * MESSAGES);
    let mut took = 0.0;
    for _ in 0..rounds {
        let inputs = traffic.inputs(MESSAGES);
        let begin = running_for();
        take(traffic, &inputs);
        took += running_for().saturating_sub(begin).as_secs_f64();
    }
    took * 1e9 / f64::from(rounds * MESSAGES * traffic.readings())
}

fn decode_all(traffic: &mut Traffic, inputs: &[Input]) {
    let settings = Settings::default();
    for input in inputs {
        let Event::Publish(publish) = &input.event else { unreachable!("all are messages") };
        let batch = decode::batch(publish, &settings).expect("all are good");
        assert_eq!(batch.readings.len(), traffic.readings() as usize, "all are good");
        black_box(batch);
    }
}

fn apply_all(traffic: &mut Traffic, inputs: &[Input]) {
    let mut outputs = Vec::new();
    for input in inputs {
        outputs.clear();
        engine::apply(&mut traffic.state, input, &mut outputs);
        let admitted = outputs.iter().filter(|it| matches!(it, Output::Reading(_))).count();
        assert_eq!(admitted, traffic.readings() as usize, "all are admitted");
        black_box(&outputs);
    }
}
