//! The newest reading of each vital of a device: what an amendment is told by.
//!
//! Promises: at most one reading for each vital, twelve bytes each, found without a search. Two
//! readings are the same exactly if their values are: every value that a patient can have packs
//! into 32 bits without loss.

use serde::{Deserialize, Serialize};

use super::super::packed::code;
use crate::clock::Timestamp;
use crate::vitals::{Value, Vital};

/// The newest readings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Newest {
    /// A bit for each vital that there is a reading of, by its number.
    vitals: u16,
    /// The readings, by the number of their vital: the halves of the measured time, and the value.
    readings: Box<[[u32; 3]]>,
}

/// What a reading is to the newest one of its vital.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It is the newest now.
    Newer,
    /// Of the same time, and saying the same.
    Same,
    /// Of the same time, and saying something else: an amendment.
    Amends,
    /// From before it.
    Older,
}

impl Newest {
    /// What a reading is to the newest of its vital.
    pub(super) fn order(&self, vital: Vital, measured_at: Timestamp, value: Value) -> Order {
        let Some(&[low, high, held]) = self.readings.get(self.index(vital)) else {
            return Order::Newer;
        };
        if self.vitals & bit(vital) == 0 {
            return Order::Newer;
        }
        match measured_at.micros().cmp(&whole(low, high)) {
            std::cmp::Ordering::Greater => Order::Newer,
            std::cmp::Ordering::Less => Order::Older,
            std::cmp::Ordering::Equal if code(value) == held => Order::Same,
            std::cmp::Ordering::Equal => Order::Amends,
        }
    }

    /// Takes note of a reading that was admitted; an older one changes nothing.
    pub(super) fn note(&mut self, vital: Vital, measured_at: Timestamp, value: Value) -> Order {
        let order = self.order(vital, measured_at, value);
        if matches!(order, Order::Newer | Order::Amends) {
            let (low, high) = halves(measured_at.micros());
            self.put(vital, [low, high, code(value)]);
        }
        order
    }

    fn put(&mut self, vital: Vital, reading: [u32; 3]) {
        let index = self.index(vital);
        if self.vitals & bit(vital) == 0 {
            let mut readings = std::mem::take(&mut self.readings).into_vec();
            readings.insert(index.min(readings.len()), reading);
            self.readings = readings.into_boxed_slice();
            self.vitals |= bit(vital);
        } else if let Some(held) = self.readings.get_mut(index) {
            *held = reading;
        }
    }

    /// Forgets what was measured between, the end exclusive.
    pub(super) fn forget(&mut self, from: Timestamp, until: Timestamp) {
        let is_between = |[low, high, _]: &[u32; 3]| {
            (from.micros()..until.micros()).contains(&whole(*low, *high))
        };
        let vitals = Vital::ALL.into_iter().filter(|vital| self.vitals & bit(*vital) != 0);
        // The readings stand in the order of their vitals' numbers.
        let mut kept: Vec<(u16, [u32; 3])> =
            vitals.map(bit).zip(self.readings.iter().copied()).collect();
        kept.retain(|(_, reading)| !is_between(reading));
        self.vitals = kept.iter().map(|(bit, _)| bit).sum();
        self.readings = kept.into_iter().map(|(_, reading)| reading).collect();
    }

    /// Where the vital's reading stands, or would stand.
    fn index(&self, vital: Vital) -> usize {
        (self.vitals & (bit(vital) - 1)).count_ones() as usize
    }

    /// Allocated bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.readings)
    }
}

const fn bit(vital: Vital) -> u16 {
    1 << vital.number()
}

fn halves(micros: i64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = micros.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

fn whole(low: u32, high: u32) -> i64 {
    let ([a, b, c, d], [e, f, g, h]) = (low.to_le_bytes(), high.to_le_bytes());
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::vitals::Quantity;

    proptest! {
        #[test]
        fn each_vitals_newest_is_what_a_map_would_say(
            readings in proptest::collection::vec((0_usize..15, -3_i64..3, 60_i64..63), 0..100),
            (forgotten, until) in (-3_i64..3, -3_i64..4),
        ) {
            let time = |at| Timestamp::from_micros(at * 5_000_000_000_001).unwrap();
            let mut newest = Newest::default();
            let mut map = BTreeMap::<Vital, (Timestamp, Value)>::new();
            for (vital, at, value) in readings {
                let vital = Vital::ALL[vital];
                let at = time(at);
                let value = Value::Quantity(Quantity::whole(value));
                let expected = match map.get(&vital) {
                    Some((held, _)) if at < *held => Order::Older,
                    Some(held) if (at, value) == *held => Order::Same,
                    Some((held, _)) if at == *held => Order::Amends,
                    _ => Order::Newer,
                };
                prop_assert_eq!(newest.note(vital, at, value), expected);
                if expected != Order::Older {
                    map.insert(vital, (at, value));
                }
            }
            newest.forget(time(forgotten), time(until));
            map.retain(|_, (at, _)| !(time(forgotten)..time(until)).contains(at));
            let mut again = Newest::default();
            for (vital, (at, value)) in map {
                again.note(vital, at, value);
            }
            prop_assert_eq!(newest, again);
        }
    }
}
