//! A value in four bytes, where there is one for each vital of each device.
//!
//! Promises: two values of a vital are the same exactly if they are packed; and what was packed
//! comes back as it was.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::vitals::{AbsentReason, Acvpu, Quantity, Value, Vital};

/// A value in 32 bits. Quantities that were admitted are never negative and at most 200,000
/// (steps), which is under 2^31 in ten-thousandths; reasons for an absence count from the other
/// end. The vital tells a level of consciousness from a quantity.
pub(super) fn code(value: Value) -> u32 {
    match value {
        Value::Quantity(quantity) => {
            u32::try_from(quantity.ten_thousandths()).unwrap_or(u32::MAX / 2)
        }
        Value::Consciousness(level) => level as u32,
        Value::Absent(reason) => u32::MAX - reason as u32,
    }
}

/// A value, of which the vital is known. No code is the highest number there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Packed(NonZeroU32);

impl From<Value> for Packed {
    fn from(value: Value) -> Self {
        Self(NonZeroU32::MIN.saturating_add(code(value)))
    }
}

impl Packed {
    /// The value, which is one of this vital.
    pub(super) fn value_of(self, vital: Vital) -> Value {
        let code = self.0.get() - 1;
        let of_code = i32::try_from(u32::MAX - code).ok().and_then(AbsentReason::from_number);
        if let Some(reason) = of_code {
            return Value::Absent(reason);
        }
        match (vital, i32::try_from(code).ok().and_then(Acvpu::from_number)) {
            (Vital::Consciousness, Some(level)) => Value::Consciousness(level),
            _ => Value::Quantity(Quantity::from_ten_thousandths(i64::from(code))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn values(vital: Vital) -> Vec<Value> {
        let ends = [vital.possible().low, vital.possible().high];
        let quantities = ends.map(Value::Quantity);
        let levels = (1..=5).filter_map(Acvpu::from_number).map(Value::Consciousness);
        let absent = (1..=5).filter_map(AbsentReason::from_number).map(Value::Absent);
        if vital == Vital::Consciousness {
            levels.chain(absent).collect()
        } else {
            quantities.into_iter().chain(absent).collect()
        }
    }

    #[test]
    fn no_two_values_of_a_vital_share_a_code() {
        for vital in Vital::ALL {
            let values = values(vital);
            let codes: BTreeSet<_> = values.iter().map(|it| code(*it)).collect();
            assert_eq!(codes.len(), values.len(), "{vital}");
            assert!(vital.possible().low >= Quantity::whole(0), "{vital}");
            assert!(vital.possible().high <= Quantity::whole(200_000), "{vital}");
        }
    }

    #[test]
    fn what_was_packed_comes_back_as_it_was() {
        for vital in Vital::ALL {
            for value in values(vital) {
                assert_eq!(Packed::from(value).value_of(vital), value, "{vital}");
            }
        }
    }
}
