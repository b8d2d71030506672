//! However a numbered device's batches are cut, ordered, repeated and sent again, also across a
//! restart of the service: the same readings are stored, once, and the account says the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::engine::tests::properties::checkpointed;

/// Readings of each boot: few enough that all their gaps can be told apart.
const READINGS: u64 = 40;
const BOOTS: [u64; 2] = [7, 1_767_225_600];

/// A boot and a number of it, from 1.
type Numbered = (u64, u64);

/// How what a device has measured reaches us.
#[derive(Clone, Debug)]
struct Delivery {
    /// Cuts from the numbers of a boot, as they arrive: boot, first, how many.
    sent: Vec<(usize, u64, u64)>,
    /// Everything is sent once more in the end, in cuts of so many, the latest first or last.
    rest: (u64, bool),
    /// The service begins anew from a checkpoint before this message.
    restart: usize,
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let cut = (0..BOOTS.len(), 1..=READINGS, 1..15_u64);
    (proptest::collection::vec(cut, 0..40), (1..30_u64, any::<bool>()), 0..60_usize)
        .prop_map(|(sent, rest, restart)| Delivery { sent, rest, restart })
}

impl Delivery {
    /// The messages: numbers without those that never arrive, which cut a batch in two.
    fn messages(&self, lost: &BTreeSet<Numbered>) -> Vec<Vec<Numbered>> {
        let (size, is_reversed) = self.rest;
        let mut rest: Vec<_> = (0..BOOTS.len())
            .flat_map(|boot| (0..=READINGS / size).map(move |cut| (boot, 1 + cut * size, size)))
            .collect();
        if is_reversed {
            rest.reverse();
        }
        let cuts = self.sent.iter().chain(&rest).map(|(boot, first, count)| {
            let end = (first + count).min(READINGS + 1);
            (*first..end).map(|number| (BOOTS[*boot], number)).collect::<Vec<_>>()
        });
        cuts.flat_map(|cut| runs(&cut, lost)).collect()
    }
}

fn runs(cut: &[Numbered], lost: &BTreeSet<Numbered>) -> Vec<Vec<Numbered>> {
    let runs = cut.split(|number| lost.contains(number));
    runs.filter(|run| !run.is_empty()).map(<[_]>::to_vec).collect()
}

/// When a number was measured, after the story's begin, and what it says.
fn content((boot, number): Numbered) -> (i64, i64) {
    let of_boot = if boot == BOOTS[0] { 0 } else { 1000 };
    let number = i64::try_from(number).expect("small");
    // Two numbers share each instant, and out of order: neither tells a reading by itself.
    (of_boot + (number * 13 % 40) / 2, 60 + number)
}

fn batch(run: &[Numbered]) -> proto::ReadingBatch {
    let reading = |numbered: &Numbered| {
        let (at, rate) = content(*numbered);
        heart_rate(BEGIN + at, rate)
    };
    let readings = run.iter().map(reading).collect();
    let (boot_id, first_seq) = run[0];
    proto::ReadingBatch { boot_id, ..numbered(first_seq, readings) }
}

/// What was stored, how often, and what the account says: present boot, highest, missing,
/// accepted, duplicate.
type Outcome = (BTreeMap<(i64, i64), u32>, (u64, Option<u64>, Vec<(u64, u64)>, u64, u64));

fn deliver(delivery: &Delivery, lost: &BTreeSet<Numbered>) -> (Outcome, u64) {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 2000;
    let mut sent = 0;
    let mut stored = BTreeMap::new();
    for (index, message) in delivery.messages(lost).iter().enumerate() {
        if index == delivery.restart {
            ward.state = checkpointed(&mut ward.state);
        }
        sent += message.len() as u64;
        for reading in readings(&ward.publish(1, &batch(message))) {
            let Value::Quantity(rate) = reading.value else { panic!("a rate") };
            let rate = rate.ten_thousandths() / 10_000;
            *stored.entry((since_begin(reading.measured_at), rate)).or_default() += 1;
        }
    }
    let report = ward.report(1);
    let counts = report.counts;
    let account =
        (report.boot_id, report.highest_seq, report.gaps, counts.accepted, counts.duplicate);
    ((stored, account), sent)
}

/// What must be, by what was sent alone.
fn expected(lost: &BTreeSet<Numbered>, sent: u64) -> Outcome {
    let all = BOOTS.iter().flat_map(|boot| (1..=READINGS).map(|number| (*boot, number)));
    let come: Vec<_> = all.filter(|numbered| !lost.contains(numbered)).collect();
    let stored = come.iter().map(|numbered| (content(*numbered), 1)).collect();
    let accepted = come.len() as u64;
    let present = come.last().map_or(0, |(boot, _)| *boot);
    let highest = come.last().map(|(_, number)| *number);
    let mut missing: Vec<(u64, u64)> = Vec::new();
    for number in (0..highest.unwrap_or(0)).filter(|number| !come.contains(&(present, *number))) {
        match missing.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => missing.push((number, number)),
        }
    }
    // A device may begin at 1.
    missing.retain(|gap| *gap != (0, 0));
    (stored, (present, highest, missing, accepted, sent - accepted))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_delivery_leads_to_the_same_readings_and_the_same_account(
        delivery in delivery(),
        lost in proptest::collection::btree_set((0..BOOTS.len(), 1..=READINGS), 0..20),
    ) {
        let lost = lost.into_iter().map(|(boot, number)| (BOOTS[boot], number)).collect();
        let (outcome, sent) = deliver(&delivery, &lost);
        prop_assert_eq!(outcome, expected(&lost, sent));
    }
}
