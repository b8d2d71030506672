//! A simulated ward, seeded: hours or days of it in seconds, with device faults, outages, swaps and
//! people, and checkers that watch every output (V3, V4, V7, V8, V10).
//!
//! What a run does follows from its seed alone. A run that fails says its seed, the input at which
//! it failed, what did not hold, and the command that runs it again. Without further ado the tests
//! run small wards; the environment makes them larger, or runs one seed:
//!
//! | variable | meaning |
//! |---|---|
//! | `PULSEWARD_SIMULATION_SEED` | this seed and no other |
//! | `PULSEWARD_SIMULATION_SEEDS` | so many seeds from 1 on |
//! | `PULSEWARD_SIMULATION_DAYS` | so many days of 200 patients, and with it an hour at 1 Hz |
//! | `PULSEWARD_SIMULATION_TRACE` | tells the alert events of this patient as they come |
//!
//! `PULSEWARD_SIMULATION_DAYS=3 cargo nextest run --release --test simulation` is the full size.

mod checks;
mod engines;
mod profiles;
mod random;
mod run;
mod ward;

use crate::run::{Report, number_from, run};
use crate::ward::{MINUTE, Plan, SECOND};

/// A ward small enough for a test of every day, in which much goes wrong.
const SMALL: Plan = Plan { seed: 0, patients: 18, hours: 6, interval: MINUTE, haste: 12 };

/// Runs the plan with every seed that was asked for, or with `seeds` of them.
fn check(test: &'static str, plan: Plan, seeds: u64) -> Vec<Report> {
    let asked = number_from("SEED").map(|seed| (seed, seed));
    let (first, last) = asked.unwrap_or((1, number_from("SEEDS").unwrap_or(seeds)));
    let run = |seed| run(test, Plan { seed, ..plan }).unwrap_or_else(|failure| panic!("{failure}"));
    (first..=last).map(run).collect()
}

#[test]
fn a_ward_in_which_much_goes_wrong_breaks_no_promise() {
    let reports = check("a_ward_in_which_much_goes_wrong_breaks_no_promise", SMALL, 6);
    for Report { seen, .. } in reports {
        // A ward in which nothing happens proves nothing.
        let least = [seen.readings, seen.events, seen.refused_commands].into_iter().min();
        assert!(least > Some(10) && seen.own_outages > 1 && seen.gateway_outages > 0, "{seen:?}");
    }
}

#[test]
fn one_seed_run_twice_gives_identical_outputs() {
    let test = "one_seed_run_twice_gives_identical_outputs";
    let plan = Plan { hours: 2, ..SMALL };
    let digests = |reports: Vec<Report>| -> Vec<u64> {
        reports.into_iter().map(|report| report.digest).collect()
    };
    let (once, again) = (digests(check(test, plan, 2)), digests(check(test, plan, 2)));
    assert_eq!(once, again);
    assert!(once.len() < 2 || once[0] != once[1], "seeds differ");
}

#[test]
fn days_of_a_ward_at_one_reading_a_minute() {
    let hours = number_from("DAYS").map_or(1, |days| 24 * i64::try_from(days).expect("a few"));
    let plan = Plan { seed: 0, patients: 200, hours, interval: MINUTE, haste: 1 };
    check("days_of_a_ward_at_one_reading_a_minute", plan, 1);
}

#[test]
fn an_hour_of_a_ward_at_one_hertz() {
    let patients = if number_from("DAYS").is_some() { 200 } else { 4 };
    let plan = Plan { seed: 0, patients, hours: 1, interval: SECOND, haste: 6 };
    check("an_hour_of_a_ward_at_one_hertz", plan, 1);
}
